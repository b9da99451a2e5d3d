//! What runs a world under a policy, and what it counts.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use cachewarp::TtlPolicy;
use clap::ValueEnum;

use crate::world::World;

/// What came of a run, after the warm-up.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Tally {
    pub(crate) answers: u64,
    /// Calls of the origin.
    pub(crate) calls: u64,
    /// Answers that were no longer what the origin had.
    pub(crate) stale: u64,
}

impl Tally {
    pub(crate) fn share(&self) -> f64 {
        self.stale as f64 / self.answers as f64
    }
}

/// By what a change shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Origin {
    /// By the body alone: its responses have no validator.
    Bare,
    /// By an entity tag.
    Tagged,
}

/// Something that answers the requests of a world.
pub(crate) trait Engine {
    fn run(&self, world: &World, policy: &Arc<dyn TtlPolicy>) -> Tally;
}

/// The simulated time. Copies share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Now(Arc<AtomicU64>);

impl Now {
    pub(crate) fn set(&self, seconds: f64) {
        self.0.store(seconds.to_bits(), Ordering::Relaxed);
    }

    /// Seconds since the world began.
    pub(crate) fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}
