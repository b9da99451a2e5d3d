//! Generations: they keep a response that was fetched before an invalidation from being stored
//! after it.
//!
//! A fill reads the generation of its resource before it calls the origin, and may store its
//! response only if the generation is still the same. Otherwise a response that the origin made
//! before a write could be stored after the write succeeded, and would be served from then on.
//!
//! A generation has two counters: how many invalidations there were, and how many writes that were
//! sent and got no answer. Either ends the generation for fills. Only the first forbids to serve what
//! was stored before it in place of an error.
//!
//! The counters are a fixed array, indexed by the hash of the key. Two resources may share a
//! counter. Then an invalidation of one keeps a fill of the other from being stored, which costs
//! one miss.

use std::sync::atomic::{AtomicU64, Ordering};

const SLOTS: usize = 1 << 16;

/// The generation of a resource at one moment: the number of invalidations in the upper half, that of
/// unanswered writes in the lower one.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Generation(u64);

/// One invalidation more.
const INVALIDATION: u64 = 1 << 32;

impl Generation {
    /// Whether there was an invalidation between this generation and another: not only writes that
    /// got no answer.
    pub(crate) fn is_invalidated_in(self, other: Self) -> bool {
        self.0 / INVALIDATION != other.0 / INVALIDATION
    }
}

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

    /// The current generation of a resource, by the hash of its key without further dimensions.
    pub(crate) fn current(&self, resource_hash: u64) -> Generation {
        Generation(self.counter(resource_hash).load(Ordering::SeqCst))
    }

    /// Ends the current generation, as the resource is invalidated: no fill that began in it may be
    /// stored from now on.
    pub(crate) fn invalidate(&self, resource_hash: u64) {
        self.counter(resource_hash)
            .fetch_add(INVALIDATION, Ordering::SeqCst);
    }

    /// Ends the current generation, as a write got no answer. After 2^32 of them this counts as an
    /// invalidation too, which is harmless.
    pub(crate) fn doubt(&self, resource_hash: u64) {
        self.counter(resource_hash).fetch_add(1, Ordering::SeqCst);
    }

    /// The generation that follows `generation` of a resource after the invalidations of these
    /// resources, if no other invalidation comes between.
    pub(crate) fn after(
        generation: Generation,
        resource_hash: u64,
        invalidated: &[u64],
    ) -> Generation {
        let slot = resource_hash % SLOTS as u64;
        let own = invalidated
            .iter()
            .filter(|hash| **hash % SLOTS as u64 == slot);
        Generation(generation.0.wrapping_add(own.count() as u64 * INVALIDATION))
    }

    fn counter(&self, resource_hash: u64) -> &AtomicU64 {
        // The remainder is below the length, and fits in a `usize`.
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
        generations.invalidate(7);
        assert_ne!(generations.current(7), before);
        assert_eq!(generations.current(8), other);
    }

    #[test]
    fn a_write_without_an_answer_ends_a_generation_and_is_no_invalidation() {
        let generations = Generations::new();
        let before = generations.current(7);
        generations.doubt(7);
        let after = generations.current(7);
        assert_ne!(after, before);
        assert!(!before.is_invalidated_in(after));
        generations.invalidate(7);
        assert!(before.is_invalidated_in(generations.current(7)));
        assert!(after.is_invalidated_in(generations.current(7)));
    }

    #[test]
    fn a_generation_that_only_own_invalidations_moved_is_known_beforehand() {
        let generations = Generations::new();
        let (before, invalidated) = (generations.current(7), [7, 8, 7 + SLOTS as u64]);
        invalidated
            .iter()
            .for_each(|hash| generations.invalidate(*hash));
        let after = Generations::after(before, 7, &invalidated);
        assert_eq!(generations.current(7), after);
        generations.doubt(7);
        assert_ne!(generations.current(7), after);
    }

    #[test]
    fn resources_that_share_a_counter_share_their_generations() {
        let generations = Generations::new();
        let before = generations.current(7);
        generations.invalidate(7 + SLOTS as u64);
        assert_ne!(generations.current(7), before);
    }
}
