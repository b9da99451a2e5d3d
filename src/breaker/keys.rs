//! The circuits of a breaker: one for calls without a key, and a bounded number for those with one.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    event::BreakerState,
    gate::{Gate, World},
};

/// Gates by key.
#[derive(Debug)]
pub(super) struct Keys<W: World> {
    pub(super) world: Arc<W>,
    /// For the empty key; always there.
    common: Arc<Gate<W>>,
    gates: RwLock<HashMap<Box<str>, Arc<Gate<W>>, RandomState>>,
    /// Grows with every look-up: the time by which the least recently used key is told.
    used: AtomicU64,
    /// A secret of this process, so that nodes do not probe in step.
    seeds: RandomState,
}

impl<W: World> Keys<W> {
    pub(super) fn new(world: Arc<W>) -> Self {
        let seeds = RandomState::new();
        Self {
            common: Arc::new(Gate::new(Arc::clone(&world), "", seeds.hash_one(""))),
            gates: RwLock::default(),
            used: AtomicU64::new(0),
            world,
            seeds,
        }
    }

    /// The gate of a key, made if there is none yet.
    pub(super) fn gate(&self, key: &str) -> Arc<Gate<W>> {
        if key.is_empty() {
            return Arc::clone(&self.common);
        }
        if let Some(gate) = self.existing(key) {
            gate.used.store(self.tick(), Ordering::Relaxed);
            return gate;
        }
        let mut forgotten = None;
        let gate = {
            let mut gates = self.gates.write().unwrap_or_else(PoisonError::into_inner);
            if gates.len() >= self.world.rules().max_keys && !gates.contains_key(key) {
                forgotten = least_wanted(gates.values()).and_then(|key| gates.remove(&*key));
            }
            match gates.entry(key.into()) {
                Entry::Occupied(gate) => Arc::clone(gate.get()),
                Entry::Vacant(place) => {
                    let seed = self.seeds.hash_one(key);
                    let gate = Gate::new(Arc::clone(&self.world), key, seed);
                    gate.used.store(self.tick(), Ordering::Relaxed);
                    Arc::clone(place.insert(Arc::new(gate)))
                }
            }
        };
        // Outside of the lock.
        drop(forgotten);
        gate
    }

    /// The gate of a key, if there is one.
    pub(super) fn existing(&self, key: &str) -> Option<Arc<Gate<W>>> {
        if key.is_empty() {
            return Some(Arc::clone(&self.common));
        }
        let gates = self.gates.read().unwrap_or_else(PoisonError::into_inner);
        gates.get(key).map(Arc::clone)
    }

    pub(super) fn keys(&self) -> Vec<String> {
        let gates = self.gates.read().unwrap_or_else(PoisonError::into_inner);
        let mut keys: Vec<String> = gates.keys().map(|key| String::from(&**key)).collect();
        keys.sort_unstable();
        keys
    }

    fn tick(&self) -> u64 {
        self.used.fetch_add(1, Ordering::Relaxed)
    }
}

/// The key to forget: closed before open before manual, and of those the least recently used.
///
/// Looks at all of them, which is a matter of microseconds for a thousand, and only happens when a
/// key comes that is one too many.
fn least_wanted<'g, W: World + 'g>(
    gates: impl Iterator<Item = &'g Arc<Gate<W>>>,
) -> Option<Box<str>> {
    let rank = |state: BreakerState| match state {
        BreakerState::Closed => 0,
        BreakerState::Open | BreakerState::HalfOpen => 1,
        BreakerState::ForcedOpen | BreakerState::ForcedClosed | BreakerState::Disabled => 2,
    };
    gates
        .min_by_key(|gate| (rank(gate.state()), gate.used.load(Ordering::Relaxed)))
        .map(|gate| gate.key().into())
}
