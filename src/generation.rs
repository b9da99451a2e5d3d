//! The fence against stale writes: counters that every invalidation moves forward.
//!
//! A fill notes the generation of its resource before it asks the origin, and may store only if
//! that generation still stands. Without the fence, a response that the origin produced before a
//! write could be stored after the write was seen to succeed, and would be served from then on.
//!
//! Counters are a fixed array indexed by the key's hash. Two resources may share one: then an
//! invalidation of one makes a fill of the other skip its store, which costs a miss and nothing
//! else.

use std::sync::atomic::{AtomicU64, Ordering};

const SLOTS: usize = 1 << 16;

/// The generation that a fill started under.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Generation(u64);

/// One counter for each of 65,536 groups of resources.
#[derive(Debug)]
pub(crate) struct Generations {
    counters: Box<[AtomicU64]>,
}

impl Generations {
    pub(crate) fn new() -> Self {
        Self {
            counters: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// The generation that stands for a resource, by the hash of its key without extra dimensions.
    pub(crate) fn current(&self, resource_hash: u64) -> Generation {
        Generation(self.counter(resource_hash).load(Ordering::SeqCst))
    }

    /// Ends the standing generation: no fill that began under it may store from here on.
    pub(crate) fn advance(&self, resource_hash: u64) {
        self.counter(resource_hash).fetch_add(1, Ordering::SeqCst);
    }

    fn counter(&self, resource_hash: u64) -> &AtomicU64 {
        // The remainder is below the length, and `usize` holds every value below 65,536.
        &self.counters[(resource_hash % SLOTS as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalidation_ends_the_generation_of_its_resource_only() {
        let generations = Generations::new();
        let (before, other) = (generations.current(7), generations.current(8));
        generations.advance(7);
        assert_ne!(generations.current(7), before);
        assert_eq!(generations.current(8), other);
    }

    #[test]
    fn resources_that_share_a_counter_are_fenced_together() {
        let generations = Generations::new();
        let before = generations.current(7);
        generations.advance(7 + SLOTS as u64);
        assert_ne!(generations.current(7), before);
    }
}
