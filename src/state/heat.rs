//! Which keys are hit most often, by a sample of the hits.
//!
//! Counting every hit would make all cores write to the same memory. So one hit in 64 is drawn, by the
//! thread that serves it, and counted in a Space-Saving sketch: Metwally, Agrawal and El Abbadi,
//! "Efficient Computation of Frequent and Top-k Elements in Data Streams", 2005. It has a fixed number
//! of counters. A key without one takes over the smallest, with its count, so a count is never too
//! small by more than what was not drawn, and too large by at most what the counter had before.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError, TryLockError},
};

use crate::{
    key::{BuildKeyHasher, KeyHash, KeyRef},
    util::sample,
};

/// How many keys have a counter.
const COUNTERS: usize = 1024;

/// Hits of longer keys, in bytes, are not counted, so that all keys together hold 1 MiB at most.
const LONGEST_KEY: usize = 1024;

/// The hits of the keys that are hit most often.
#[derive(Debug, Default)]
pub(crate) struct Heat {
    sketch: Mutex<Sketch>,
}

/// How often a key was hit, estimated from the hits that were drawn.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct KeyHits {
    /// The bytes of the key.
    pub(crate) key: Vec<u8>,
    pub(crate) hits: u64,
    /// How many of them may have been hits of other keys.
    pub(crate) excess: u64,
}

impl Heat {
    /// Counts a hit, if it is drawn. Never waits.
    #[inline]
    pub(crate) fn hit(&self, key: KeyRef<'_>) {
        if sample::draw() {
            self.count(key);
        }
    }

    #[cold]
    #[inline(never)]
    fn count(&self, key: KeyRef<'_>) {
        // While another thread counts, or somebody reads, this one is left out.
        let mut sketch = match self.sketch.try_lock() {
            Ok(sketch) => sketch,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        sketch.count(key);
    }

    /// About how many hits a key had. Zero if it is not among those that are hit most often.
    pub(crate) fn hits(&self, key: KeyHash) -> u64 {
        self.sketch().hits(key)
    }

    /// The keys that are hit most often, the hottest first.
    pub(crate) fn hottest(&self) -> Vec<KeyHits> {
        let sketch = self.sketch();
        let counters = sketch.counts.iter().zip(&sketch.owners);
        let mut hottest: Vec<KeyHits> = counters
            .map(|(count, owner)| KeyHits {
                key: owner.key.clone(),
                hits: count * sample::ONE_IN,
                excess: owner.excess * sample::ONE_IN,
            })
            .collect();
        drop(sketch);
        hottest.sort_by(|one, other| {
            let by_hits = other.hits.cmp(&one.hits);
            by_hits.then_with(|| one.key.cmp(&other.key))
        });
        hottest
    }

    fn sketch(&self) -> MutexGuard<'_, Sketch> {
        self.sketch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Sketch {
    /// The counter of each key.
    places: HashMap<KeyHash, usize, BuildKeyHasher>,
    /// Apart from their owners, so that the smallest is found quickly.
    counts: Vec<u64>,
    owners: Vec<Owner>,
}

/// Whose counter it is.
#[derive(Debug)]
struct Owner {
    hash: KeyHash,
    key: Vec<u8>,
    /// What the counter had when it was taken over.
    excess: u64,
}

impl Sketch {
    fn count(&mut self, key: KeyRef<'_>) {
        let (hash, bytes) = (key.hash(), key.as_bytes());
        if let Some(count) = self
            .places
            .get(&hash)
            .and_then(|it| self.counts.get_mut(*it))
        {
            *count += 1;
            return;
        }
        if bytes.len() > LONGEST_KEY {
            return;
        }
        if self.counts.len() < COUNTERS {
            self.places.insert(hash, self.counts.len());
            self.counts.push(1);
            self.owners.push(Owner {
                hash,
                key: bytes.to_vec(),
                excess: 0,
            });
            return;
        }
        let counts = self.counts.iter_mut().enumerate();
        let smallest = counts.min_by_key(|(_, count)| **count);
        if let Some((place, count)) = smallest
            && let Some(owner) = self.owners.get_mut(place)
        {
            self.places.remove(&owner.hash);
            self.places.insert(hash, place);
            owner.hash = hash;
            owner.excess = *count;
            // What it holds is used again, so hits hardly ever allocate.
            owner.key.clear();
            owner.key.extend_from_slice(bytes);
            *count += 1;
        }
    }

    fn hits(&self, key: KeyHash) -> u64 {
        let count = self.places.get(&key).and_then(|it| self.counts.get(*it));
        count.map_or(0, |count| count * sample::ONE_IN)
    }
}

#[cfg(test)]
mod tests {
    use http::Uri;

    use super::*;
    use crate::key::{KeyTarget, RequestKey};

    fn key(path: &str) -> RequestKey {
        let uri: Uri = path.parse().unwrap();
        RequestKey::of(KeyTarget::new("", &uri, "http", b"a.test"), 1)
    }

    #[test]
    fn the_hottest_keys_are_found_among_many_cold_ones() {
        let mut sketch = Sketch::default();
        let hot: Vec<RequestKey> = (0..10).map(|it| key(&format!("/hot/{it}"))).collect();
        for cold in 0..20_000 {
            sketch.count(key(&format!("/cold/{cold}")).as_ref());
            // The first one most often.
            let busy = hot.iter().take(1 + cold % hot.len());
            busy.for_each(|hot| sketch.count(hot.as_ref()));
        }
        assert_eq!(sketch.counts.len(), COUNTERS);
        assert_eq!(sketch.places.len(), COUNTERS);
        let heat = Heat {
            sketch: Mutex::new(sketch),
        };
        let hottest = heat.hottest();
        for (rank, hot) in hot.iter().enumerate() {
            assert_eq!(hottest[rank].key, hot.as_bytes());
            let hits = 64 * 2000 * (hot_rounds(rank));
            assert_eq!(hottest[rank].hits, hits, "{rank}");
            assert_eq!(hottest[rank].excess, 0);
            assert_eq!(heat.hits(hot.as_ref().hash()), hits);
        }
        assert_eq!(heat.hits(key("/cold/0").as_ref().hash()), 0);
        let cold = hottest.last().unwrap();
        assert!(cold.hits - cold.excess <= 64, "{cold:?}");
    }

    /// In how many of ten rounds the hot key of this rank is counted.
    fn hot_rounds(rank: usize) -> u64 {
        10 - rank as u64
    }

    #[test]
    fn a_hit_never_waits_and_a_long_key_is_not_kept() {
        let heat = Heat::default();
        let busy = heat.sketch.lock().unwrap();
        for _ in 0..1000 {
            heat.hit(key("/x").as_ref());
        }
        drop(busy);
        assert_eq!(heat.hottest(), []);
        let long = key(&format!("/{}", "x".repeat(LONGEST_KEY)));
        for _ in 0..10_000 {
            heat.hit(long.as_ref());
            heat.hit(key("/x").as_ref());
        }
        let hottest = heat.hottest();
        assert_eq!(hottest.len(), 1);
        assert!((8_000..12_000).contains(&hottest[0].hits), "{hottest:?}");
    }
}
