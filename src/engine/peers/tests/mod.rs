//! Many nodes over one shared tier in memory, under paused time: every limit is exact. What only
//! real servers show is in `tests/remote`.

mod coherence;
mod conditional;
mod crowds;
mod faults;
mod floods;
mod forged;
mod leases;
mod lookups;
mod network;
#[path = "../../../../tests/support/node.rs"]
mod node;
mod orders;
#[path = "../../../../tests/support/origin.rs"]
mod origin;
mod purges;
mod queues;
mod refreshes;
mod site;
mod spans;
mod touches;
mod unanswered;
mod writes;
