//! What the programs of this crate share: the contenders, and the work that they all do.
//!
//! One program times hits in memory (`main.rs`), another counts what they allocate
//! (`bin/allocations.rs`): a counting allocator costs those most who allocate most, so it has no
//! place in a program that times. A third times hits in Redis (`bin/remote.rs`).

pub mod contender;
#[path = "../../floor.rs"]
mod floor;
pub mod remote;
pub mod rivals;
#[path = "../../../tests/support/mod.rs"]
#[allow(dead_code, reason = "a module of the tests, of which a part is used")]
mod support;
pub mod work;

use tokio::runtime::{Builder, Runtime};

/// Requests in a turn are a multiple of this: whole cycles of every resource.
pub const CYCLES: usize = 2_000;

/// Requests before anything is measured: a cache may treat what is often hit differently.
pub const WARM_UP: usize = CYCLES * 20;

/// The runtime that all contenders run on, in turn, on the calling thread.
///
/// # Panics
///
/// When the system refuses what a runtime needs.
#[must_use]
pub fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime on this thread needs little that could be missing")
}
