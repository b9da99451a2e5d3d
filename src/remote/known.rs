//! Under which names the shared tier has something, as far as this node knows: from what it read
//! and wrote there, and from the notifications of what others did.
//!
//! One bit for many names. It only decides which invalidations are sent first, so it may be wrong.

use std::sync::atomic::{AtomicU64, Ordering};

use super::names::Name;

/// A million bits, in 128 KiB.
const BITS: usize = 1 << 20;

/// The names that are known to be stored.
#[derive(Debug)]
pub(super) struct KnownNames(Box<[AtomicU64]>);

impl KnownNames {
    pub(super) fn new() -> Self {
        let words = BITS / u64::BITS as usize;
        Self((0..words).map(|_| AtomicU64::new(0)).collect())
    }

    pub(super) fn contains(&self, name: Name) -> bool {
        let (word, bit) = self.place(name);
        word.load(Ordering::Relaxed) & bit != 0
    }

    /// Something is stored under this name.
    pub(super) fn insert(&self, name: Name) {
        let (word, bit) = self.place(name);
        // Mostly it is known, and reading is cheaper.
        if word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// What is stored under this name was invalidated.
    pub(super) fn remove(&self, name: Name) {
        let (word, bit) = self.place(name);
        if word.load(Ordering::Relaxed) & bit != 0 {
            word.fetch_and(!bit, Ordering::Relaxed);
        }
    }

    fn place(&self, name: Name) -> (&AtomicU64, u64) {
        // Other bits than those of the slots, so that two names are not alike in both.
        let at = (name.hash() >> 64) as usize % BITS;
        let bits = u64::BITS as usize;
        // There are as many words as `BITS` needs.
        (&self.0[at / bits], 1 << (at % bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_until_it_is_removed() {
        let known = KnownNames::new();
        let names: Vec<_> = (0..1000_u32)
            .map(|it| Name::of(&it.to_be_bytes()))
            .collect();
        let (stored, others) = names.split_at(500);
        stored.iter().for_each(|name| known.insert(*name));
        assert!(stored.iter().all(|name| known.contains(*name)));
        // A few share a bit with one of the stored.
        let wrong = others.iter().filter(|name| known.contains(**name));
        assert!(wrong.count() < 5);
        stored.iter().for_each(|name| known.remove(*name));
        assert!(!names.iter().any(|name| known.contains(*name)));
    }
}
