//! The policy that learns: what is shared between its decisions, and how one is made.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{header::CONTENT_TYPE, response};

use super::{
    estimate::estimate,
    grid::{Step, steps},
    price::Price,
    prior::{Lesson, Priors},
    settings::{AdaptiveTtlBuilder, Explicit},
    weigh::{Choice, Weighed, choose},
};
use crate::{
    semantics::validate::has_validator,
    ttl::{
        history::Change,
        policy::{Fetched, Lifetime, Reason, TtlPolicy},
    },
};

/// Learns lifetimes from how often each key changes and how often it is asked for. See the
/// [model](#the-model).
///
/// It gives the lifetimes that make as few origin calls as can be while the share of stale answers
/// stays within a [budget](AdaptiveTtlBuilder::budget). The budget speaks of what is expected over
/// all keys; a key that always changes gets the floor, or nearly, and one that never does the
/// ceiling.
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
/// Requests for a key are taken for a Poisson process with rate *r*, its changes for one with rate
/// *l*. With a lifetime of *T* there is one origin call in *T + 1/r* seconds on average, and
/// *r (T - (1 - exp(-l T)) / l)* stale answers are expected in that time. The lifetime is the one
/// for which calls + *p* x stale answers per second are least. The price *p*, origin calls that
/// one stale answer is worth, is the Lagrange multiplier of the budget, the same for all keys
/// (as in Olston and Widom, *Best-effort cache synchronization with source cooperation*, 2002,
/// where one threshold spreads a budget over all sources). It is found by following what the
/// policy's own choices are expected to come to.
///
/// - *r* is what the [`History`](crate::History) counted; before that, what is typical.
/// - *l* is not one number but a distribution over 24 rates, from one per second to one in 49 days
///   and never: Bayes' rule, with *1 - exp(-l D)* for an interval *D* after which the
///   representation had changed and *exp(-l D)* for one after which it had not. (That counts of
///   changes are biased when changes are only seen on access, and which estimators are not, is in
///   Cho and Garcia-Molina, *Estimating frequency of change*, 2003.)
/// - The prior is learnt for each kind of response, that is status and media type, as the average
///   over time of what is believed of its keys (empirical Bayes). Up to 64 kinds; the others share
///   one. Cold keys start there.
/// - Keys may change in bursts. So, at one of five paces from never to once in 4 minutes, the rate
///   of a key is drawn anew from the prior: a hidden Markov model. How probable each pace is, is
///   learnt for each kind from how well it foretold what was seen. Old observations then fade as
///   fast as the world changes, and not at all where it does not.
///
/// For a budget up to 3 %, a stale answer is never worth less than an origin call. So no key is
/// ever given up, that is, left stale because it changes too fast to be kept fresh. With larger
/// budgets, keys that change fast and are asked for seldom may be.
///
/// # What it costs
///
/// A few microseconds and two short locks for each response from the origin, nothing on a hit. The
/// history of a key is 88 bytes and goes with its entry; what is shared is about 25 KB at most.
/// All of it is each node's own.
#[derive(Debug)]
pub struct AdaptiveTtl {
    floor: u32,
    ceiling: u32,
    explicit: Explicit,
    steps: Vec<Step>,
    state: Mutex<State>,
}

/// What all keys share.
#[derive(Debug)]
struct State {
    priors: Priors,
    price: Price,
}

impl AdaptiveTtl {
    /// Settings to begin with: a budget of 2 %, lifetimes from a second to an hour.
    pub const fn builder() -> AdaptiveTtlBuilder {
        AdaptiveTtlBuilder::new()
    }

    pub(super) fn with(builder: AdaptiveTtlBuilder) -> Self {
        let whole = |span: Duration| u32::try_from(span.as_secs()).unwrap_or(u32::MAX);
        Self {
            floor: whole(builder.floor),
            ceiling: whole(builder.ceiling),
            explicit: builder.explicit,
            steps: steps(),
            state: Mutex::new(State {
                priors: Priors::new(),
                price: Price::new(builder.budget as f32),
            }),
        }
    }

    fn decide(&self, fetched: &Fetched<'_>) -> Choice {
        let kind = kind(fetched.response);
        let (prior, price) = {
            let state = self.state();
            (state.priors.of(kind), state.price.now())
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
        let mut state = self.state();
        // Asked again once the body tells: that answer is the one that counts.
        if !matches!(history.last(), Some((_, Change::Unknown))) {
            state.price.follow(&choice);
        }
        if let Some((interval, Change::Changed | Change::Unchanged)) = history.last() {
            let lesson = Lesson {
                rates: estimate.rates,
                evidence: estimate.evidence,
                requests: estimate.requests,
                seconds: interval.as_secs_f32(),
            };
            state.priors.learn(kind, &lesson);
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

    fn state(&self) -> MutexGuard<'_, State> {
        // All of it is valid at any time, so a panic elsewhere is no reason to stop.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for AdaptiveTtl {
    fn default() -> Self {
        Self::with(AdaptiveTtlBuilder::new())
    }
}

impl TtlPolicy for AdaptiveTtl {
    fn lifetime(&self, fetched: &Fetched<'_>) -> Option<Lifetime> {
        let fresh = Duration::from_secs(self.decide(fetched).seconds.into());
        Some(Lifetime::fresh_for(fresh).because(Reason::Learned))
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

/// Responses of one status and media type are expected to change alike.
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
