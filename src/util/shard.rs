//! Which part of a counter a thread writes to, so that threads do not take memory from each other.

use std::{
    cell::Cell,
    sync::atomic::{AtomicUsize, Ordering},
};

/// How many parts there are. More threads than that share them.
pub(crate) const SHARDS: usize = 16;

const NONE: usize = usize::MAX;

thread_local! {
    static OWN: Cell<usize> = const { Cell::new(NONE) };
}

/// The part of this thread: below [`SHARDS`], and always the same.
#[inline]
pub(crate) fn own() -> usize {
    OWN.with(|own| match own.get() {
        NONE => assign(own),
        shard => shard,
    })
}

#[cold]
fn assign(own: &Cell<usize>) -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let shard = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
    own.set(shard);
    shard
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, thread};

    use super::*;

    #[test]
    fn a_thread_keeps_its_part_and_several_have_several() {
        let threads = (0..SHARDS).map(|_| thread::spawn(|| (own(), own())));
        let threads: Vec<_> = threads.collect();
        let mut parts = HashSet::new();
        for thread in threads {
            let (first, second) = thread.join().unwrap();
            assert_eq!(first, second);
            assert!(first < SHARDS);
            parts.insert(first);
        }
        // Other tests start threads too.
        assert!(parts.len() > 1, "{parts:?}");
    }
}
