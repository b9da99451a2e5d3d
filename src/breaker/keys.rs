//! The circuits of a breaker: one for calls without a key, and a bounded number of others by key.

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
    gate::{Environment, Gate},
};

/// Gates by key.
#[derive(Debug)]
pub(super) struct Keys<E: Environment> {
    pub(super) environment: Arc<E>,
    /// For the empty key. It is never evicted.
    common: Arc<Gate<E>>,
    gates: RwLock<HashMap<Box<str>, Arc<Gate<E>>, RandomState>>,
    /// Counts the lookups: the clock that finds the least recently used key.
    lookups: AtomicU64,
    /// Different in each process, so that nodes do not probe at the same moments.
    seeds: RandomState,
}

impl<E: Environment> Keys<E> {
    pub(super) fn new(environment: Arc<E>) -> Self {
        let seeds = RandomState::new();
        Self {
            common: Arc::new(Gate::new(Arc::clone(&environment), "", seeds.hash_one(""))),
            gates: RwLock::default(),
            lookups: AtomicU64::new(0),
            environment,
            seeds,
        }
    }

    /// The gate of a key. It is made if there is none.
    pub(super) fn gate(&self, key: &str) -> Arc<Gate<E>> {
        if key.is_empty() {
            return Arc::clone(&self.common);
        }
        if let Some(gate) = self.existing(key) {
            gate.used.store(self.tick(), Ordering::Relaxed);
            return gate;
        }
        let mut evicted = None;
        let gate = {
            let mut gates = self.gates.write().unwrap_or_else(PoisonError::into_inner);
            if gates.len() >= self.environment.rules().max_keys && !gates.contains_key(key) {
                evicted = key_to_evict(gates.values()).and_then(|key| gates.remove(&*key));
            }
            match gates.entry(key.into()) {
                Entry::Occupied(gate) => Arc::clone(gate.get()),
                Entry::Vacant(vacant) => {
                    let seed = self.seeds.hash_one(key);
                    let gate = Gate::new(Arc::clone(&self.environment), key, seed);
                    gate.used.store(self.tick(), Ordering::Relaxed);
                    Arc::clone(vacant.insert(Arc::new(gate)))
                }
            }
        };
        // The lock is free by now: dropping a gate reports to the metrics recorder.
        drop(evicted);
        gate
    }

    /// The gate of a key, if there is one.
    pub(super) fn existing(&self, key: &str) -> Option<Arc<Gate<E>>> {
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
        self.lookups.fetch_add(1, Ordering::Relaxed)
    }
}

/// The key to evict: closed circuits before open ones, and those that an operator has set last. Of
/// equal ones, the least recently used.
///
/// It looks at all keys. For a thousand that takes microseconds, and it only happens when a new key
/// exceeds the bound.
fn key_to_evict<'g, E: Environment + 'g>(
    gates: impl Iterator<Item = &'g Arc<Gate<E>>>,
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
