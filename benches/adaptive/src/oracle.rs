//! The policy that knows the truth: how fast each key changes, now and later, and how often it is
//! asked for. Not when it changes. It looks at one lifetime at a time, as if it was to be given over
//! and over: the best there is where rates are steady, but not quite where they are not.

use std::time::Duration;

use cachewarp::{Fetched, Lifetime, TtlPolicy};

use crate::{
    engine::Now,
    world::{Pattern, World},
};

/// The longest lifetime, as that of the policy that learns.
const CEILING: u32 = 3600;

/// Gives each key the lifetime that costs least, at one price of a stale answer for all.
#[derive(Debug)]
pub(crate) struct Oracle {
    /// Origin calls that a stale answer is worth.
    price: f64,
    keys: Vec<(Pattern, f64)>,
    /// Of keys that always change at one rate: worked out once.
    steady: Vec<Option<u32>>,
    now: Now,
}

impl Oracle {
    pub(crate) fn new(world: &World, price: f64, now: &Now) -> Self {
        let keys: Vec<_> = world
            .keys
            .iter()
            .map(|key| (key.pattern, key.requests))
            .collect();
        let steady = keys
            .iter()
            .map(|(pattern, requests)| match pattern {
                Pattern::Steady(_) => Some(best(*pattern, *requests, price, 0.0)),
                Pattern::Bursts { .. } => None,
            })
            .collect();
        Self {
            price,
            keys,
            steady,
            now: now.clone(),
        }
    }
}

impl TtlPolicy for Oracle {
    fn lifetime(&self, fetched: &Fetched<'_>) -> Option<Lifetime> {
        let key: usize = fetched.request.uri.path().get(1..)?.parse().ok()?;
        let seconds = match self.steady.get(key)? {
            Some(seconds) => *seconds,
            None => {
                let (pattern, requests) = self.keys.get(key)?;
                best(*pattern, *requests, self.price, self.now.get())
            }
        };
        Some(Lifetime::fresh_for(Duration::from_secs(seconds.into())))
    }
}

/// Calls and priced stale answers per second, least.
fn best(pattern: Pattern, requests: f64, price: f64, now: f64) -> u32 {
    let mut good = 0.0;
    let mut best = (f64::INFINITY, 0);
    let mut seconds = 0;
    while seconds <= CEILING {
        let lifetime = f64::from(seconds);
        let stale = requests * (lifetime - good).max(0.0);
        let cost = (1.0 + price * stale) / (lifetime + requests.recip());
        if cost < best.0 {
            best = (cost, seconds);
        }
        let step = if seconds < 16 {
            1
        } else {
            (1 << seconds.ilog2()) / 8
        };
        // Within a step the probability of no change falls by a steady rate.
        let from = pattern.expected(now, now + lifetime);
        let more = pattern.expected(now + lifetime, now + lifetime + f64::from(step));
        let mean = if more > 1e-9 {
            -(-more).exp_m1() / more
        } else {
            1.0
        };
        good += f64::from(step) * (-from).exp() * mean;
        seconds += step;
    }
    best.1
}
