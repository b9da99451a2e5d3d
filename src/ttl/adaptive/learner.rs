//! The adaptive policy: how it decides on one lifetime, and what its decisions share.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{header::CONTENT_TYPE, response};

use super::{
    estimate::estimate,
    grid::{GridStep, steps},
    price::Price,
    prior::{Priors, Sample},
    weigh::{Choice, Weighed, choose},
};
use crate::{
    semantics::validate::has_validator,
    ttl::{
        history::Change,
        policy::{Fetched, Lifetime, LifetimeReason, TtlPolicy},
    },
};

/// Learns lifetimes from how often each key changes and how often it is requested. See the
/// [model](#the-model).
///
/// It chooses the lifetimes with the fewest origin calls for which the share of stale answers stays
/// within a [budget](crate::AdaptiveTtlBuilder::budget). The budget applies to the expected share over
/// all keys. A key that changes all the time gets the floor, or nearly; a key that never changes gets
/// the ceiling.
///
/// ```
/// use cachewarp::{AdaptiveTtl, CacheLayer, Memory};
/// use std::time::Duration;
///
/// let layer = CacheLayer::builder()
///     .memory(Memory::with_capacity(64 << 20))
///     .ttl(AdaptiveTtl::builder().budget(0.01).ceiling(Duration::from_secs(600)).build()?)
///     .build()?;
/// # Ok::<(), cachewarp::ConfigError>(())
/// ```
///
/// # The model
///
/// The requests for a key are modelled as a Poisson process with rate *r*, its changes as one with rate
/// *l*. With a lifetime of *T* there is on average one origin call in *T + 1/r* seconds, and in this
/// time *r (T - (1 - exp(-l T)) / l)* stale answers are expected. The policy chooses the lifetime with
/// the lowest cost per second: origin calls, plus *p* times the stale answers. The price *p* says how
/// many origin calls one stale answer is worth. It is the Lagrange multiplier of the budget and the
/// same for all keys (as in Olston and Widom, *Best-effort cache synchronization with source
/// cooperation*, 2002, where one threshold spreads a budget over all sources). The policy adjusts it
/// until the stale answers expected of its own choices meet the budget.
///
/// - *r* is taken from the [`History`](crate::History). Before there is one, it is the typical rate.
/// - *l* is not one number but a distribution over 24 rates, from one change per second to one in 49
///   days, and never. Bayes' rule updates it: an interval *D* in which the representation changed has
///   the likelihood *1 - exp(-l D)*, one in which it did not change *exp(-l D)*. (Cho and
///   Garcia-Molina, *Estimating frequency of change*, 2003, show why plain counts of changes are biased
///   when changes are only seen on access, and which estimators are not.)
/// - The prior is learnt for each kind of response, that is status and media type, as the average over
///   time of the distributions of its keys (empirical Bayes). There are up to 64 kinds; all others
///   share one prior. A key without a history starts with the prior.
/// - Keys may change in bursts. So the rate of a key may be drawn again from the prior, at one of five
///   paces from never to once in 4 minutes: a hidden Markov model. How probable each pace is, is learnt
///   for each kind from how well it predicted what was observed. So old observations fade as fast as
///   the rates change, and not at all if they do not.
///
/// With a budget of up to 3 %, a stale answer never costs less than an origin call. So no key is given
/// up, that is, left stale because it changes too fast to keep it fresh. With a larger budget this may
/// happen to keys that change fast and are requested seldom.
///
/// # What it costs
///
/// A few microseconds and two short locks for each response from the origin, and nothing on a hit. The
/// history of a key takes 88 bytes and is dropped with its entry. What is learnt of all keys takes 25 KB
/// at most. Each node learns for itself.
#[derive(Debug)]
pub struct AdaptiveTtl {
    floor: u32,
    ceiling: u32,
    explicit: Explicit,
    steps: Vec<GridStep>,
    learned: Mutex<Learned>,
}

/// What is learnt from all keys.
#[derive(Debug)]
struct Learned {
    priors: Priors,
    price: Price,
}

/// What the policy does with a lifetime that a response states.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Explicit {
    Keep,
    Shorten,
}

impl AdaptiveTtl {
    /// A policy that has learnt nothing yet. The bounds are in seconds.
    pub(super) fn new(budget: f32, bounds: (u32, u32), explicit: Explicit) -> Self {
        let (floor, ceiling) = bounds;
        Self {
            floor,
            ceiling,
            explicit,
            steps: steps(),
            learned: Mutex::new(Learned {
                priors: Priors::new(),
                price: Price::new(budget),
            }),
        }
    }

    fn decide(&self, fetched: &Fetched<'_>) -> Choice {
        let kind = kind(fetched.response);
        let (prior, price) = {
            let learned = self.learned();
            (learned.priors.of(kind), learned.price.now())
        };
        let history = fetched.history;
        let rates = prior.rates();
        let estimate = estimate(history, &prior, &rates);
        let weighed = Weighed {
            rates: &estimate.rates,
            prior: &rates,
            redraw: estimate.redraw,
            requests: estimate.requests,
            price,
            bounds: (self.floor_of(fetched.response), self.ceiling),
        };
        let choice = choose(&weighed, &self.steps);
        let mut learned = self.learned();
        // While the change is unknown, this is a first answer: the policy is asked again once the body
        // has been compared.
        if !matches!(history.last(), Some((_, Change::Unknown))) {
            learned.price.adjust(&choice);
        }
        if let Some((interval, Change::Changed | Change::Unchanged)) = history.last() {
            let sample = Sample {
                rates: estimate.rates,
                evidence: estimate.evidence,
                requests: estimate.requests,
                seconds: interval.as_secs_f32(),
            };
            learned.priors.learn(kind, &sample);
        }
        choice
    }

    /// At least a second for a response without a validator: with a lifetime of zero it would not be
    /// stored, and its history would be lost.
    fn floor_of(&self, response: &response::Parts) -> u32 {
        if has_validator(&response.headers) {
            self.floor
        } else {
            self.floor.max(1)
        }
    }

    fn learned(&self) -> MutexGuard<'_, Learned> {
        // A poisoned lock is fine: the state is valid at any time.
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TtlPolicy for AdaptiveTtl {
    fn lifetime(&self, fetched: &Fetched<'_>) -> Option<Lifetime> {
        let fresh = Duration::from_secs(self.decide(fetched).seconds.into());
        Some(Lifetime::fresh_for(fresh).because(LifetimeReason::Learned))
    }

    fn shorten(&self, fetched: &Fetched<'_>, explicit: Duration) -> Option<Duration> {
        match self.explicit {
            Explicit::Keep => None,
            Explicit::Shorten => {
                let fresh = Duration::from_secs(self.decide(fetched).seconds.into());
                (fresh < explicit).then_some(fresh)
            }
        }
    }

    fn learns(&self) -> bool {
        true
    }
}

/// A hash of the status and the media type: responses of one kind are expected to change alike.
fn kind(response: &response::Parts) -> u64 {
    let mut hasher = DefaultHasher::new();
    response.status.as_u16().hash(&mut hasher);
    let value = response.headers.get(CONTENT_TYPE);
    let value = value.map_or(&[][..], |value| value.as_bytes());
    for byte in value.iter().take_while(|byte| !matches!(byte, b';' | b' ')) {
        byte.to_ascii_lowercase().hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests;
