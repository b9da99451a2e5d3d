//! Chance: numbers that spread what would come at once, and need not be hard to guess.

use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
};

/// A source of chance, different in every process.
#[derive(Debug)]
pub(crate) struct Chance(AtomicU64);

impl Chance {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(RandomState::new().hash_one("chance")))
    }

    /// A number above 0, and 1 at the most.
    pub(crate) fn draw(&self) -> f64 {
        // SplitMix64: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014.
        let step = 0x9e37_79b9_7f4a_7c15;
        let mut bits = self.0.fetch_add(step, Ordering::Relaxed);
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        ((bits >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_spread_evenly_between_nothing_and_one() {
        let chance = Chance::new();
        let mut tenths = [0; 10];
        for _ in 0..100_000 {
            let drawn = chance.draw();
            assert!(0.0 < drawn && drawn <= 1.0, "{drawn}");
            tenths[((drawn * 10.0).ceil() as usize) - 1] += 1;
        }
        for (tenth, count) in tenths.iter().enumerate() {
            assert!((9_500..10_500).contains(count), "{tenth}: {count}");
        }
    }
}
