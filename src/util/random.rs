//! Random numbers that spread out what would otherwise happen at the same moment. They are fast,
//! and easy to predict: never use them for secrets.

use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
};

/// A generator of random numbers that threads may share.
///
/// SplitMix64: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014.
#[derive(Debug)]
pub(crate) struct Random(AtomicU64);

impl Random {
    /// A generator with a random seed, so that no two processes draw the same numbers.
    pub(crate) fn new() -> Self {
        Self::seeded(RandomState::new().hash_one("random"))
    }

    pub(crate) fn seeded(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// Any number, all equally likely.
    pub(crate) fn next(&self) -> u64 {
        let step = 0x9e37_79b9_7f4a_7c15;
        let mut bits = self.0.fetch_add(step, Ordering::Relaxed).wrapping_add(step);
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }

    /// A number above 0 and at most 1, all equally likely: never 0, so that it has a logarithm.
    pub(crate) fn fraction(&self) -> f64 {
        // The upper 53 bits: as many as an `f64` holds exactly.
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_spread_evenly_above_zero_and_up_to_one() {
        let random = Random::new();
        let mut tenths = [0; 10];
        for _ in 0..100_000 {
            let drawn = random.fraction();
            assert!(0.0 < drawn && drawn <= 1.0, "{drawn}");
            tenths[((drawn * 10.0).ceil() as usize) - 1] += 1;
        }
        for (tenth, count) in tenths.iter().enumerate() {
            assert!((9_500..10_500).contains(count), "{tenth}: {count}");
        }
    }

    /// The first numbers that the reference implementation gives for the seed 1234567.
    #[test]
    fn the_numbers_are_those_of_splitmix64() {
        let random = Random::seeded(1_234_567);
        let expected = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        assert_eq!(expected.map(|_| random.next()), expected);
    }
}
