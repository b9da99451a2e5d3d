//! The table of purges and what it is made of.

mod answers;
#[path = "../../../src/purge/memo.rs"]
mod memo;
mod orders;
#[path = "../../../src/purge/subject.rs"]
mod subject;
mod sync;
#[path = "../../../src/purge/table.rs"]
mod table;

pub use orders::*;
