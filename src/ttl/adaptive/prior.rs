//! The prior: how fast responses of one kind change, learnt from all keys of the kind.

use super::{
    belief::{PerPace, REDRAWS},
    grid::{PerRate, RATES},
};

/// How many kinds of responses have a prior of their own. All others share one.
const KINDS: usize = 64;

/// How many observations the first guess counts for.
const FIRST_GUESS: f32 = 20.0;

/// How many observations the averages reach back.
const MEMORY: f32 = 5000.0;

/// The share of the first guess in every prior, so that no rate becomes impossible.
const DOUBT: f32 = 0.02;

/// The logarithm of the least probability of a pace, so that it can become probable again.
const RULED_OUT: f32 = -20.0;

/// The first guess at the requests per second of a key.
const FIRST_REQUESTS: f32 = 0.05;

/// What was learnt about one kind of responses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prior {
    /// How probable each rate of change is, averaged over time.
    rates: PerRate,
    /// The logarithm of the probability of each pace, relative to the most probable one.
    paces: PerPace,
    /// How many observations `rates` rests on, at most [`MEMORY`].
    weight: f32,
    /// The length of a typical interval in seconds.
    typical: f32,
    /// The mean of the logarithm of requests per second.
    requests: f32,
}

/// One observation, to be averaged into a prior.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) rates: PerRate,
    /// How probable the last interval was at each pace.
    pub(super) evidence: Option<PerPace>,
    pub(super) requests: f32,
    /// The length of the last interval in seconds.
    pub(super) seconds: f32,
}

impl Prior {
    pub(super) fn first_guess() -> Self {
        Self {
            rates: guess(),
            paces: REDRAWS.map(|redraw| if redraw == 0.0 { 0.0 } else { -1.0 }),
            weight: FIRST_GUESS,
            typical: 0.0,
            requests: FIRST_REQUESTS.ln(),
        }
    }

    pub(super) fn rates(&self) -> PerRate {
        let mut rates = guess();
        for (rate, learned) in rates.iter_mut().zip(&self.rates) {
            *rate = *rate * DOUBT + learned * (1.0 - DOUBT);
        }
        rates
    }

    /// How probable each pace is.
    pub(super) fn paces(&self) -> PerPace {
        let likely = self.paces.map(f32::exp);
        let total: f32 = likely.iter().sum();
        likely.map(|pace| pace / total)
    }

    pub(super) fn requests(&self) -> f32 {
        self.requests.exp()
    }

    /// Averages over time, not over fetches, so that a key that is fetched often does not count for
    /// more.
    pub(super) fn learn(&mut self, sample: &Sample) {
        self.weight = (self.weight + 1.0).min(MEMORY);
        let share = self.weight.recip();
        self.typical += (sample.seconds - self.typical) * (share * 10.0).min(1.0);
        let time = (sample.seconds / self.typical.max(1e-3)).min(20.0);
        let part = (share * time).min(0.5);
        for (rate, seen) in self.rates.iter_mut().zip(&sample.rates) {
            *rate += (seen - *rate) * part;
        }
        self.requests += (sample.requests.max(1e-6).ln() - self.requests) * part;
        if let Some(evidence) = sample.evidence {
            for (pace, likely) in self.paces.iter_mut().zip(&evidence) {
                *pace += likely.max(1e-3).ln();
            }
            let most = self.paces.iter().copied().fold(f32::MIN, f32::max);
            self.paces = self.paces.map(|pace| (pace - most).max(RULED_OUT));
        }
    }
}

/// The first guess: every rate is equally probable, and no change at all four times as much.
fn guess() -> PerRate {
    let mut rates = [1.0; RATES];
    rates[0] = 4.0;
    let total: f32 = rates.iter().sum();
    rates.map(|rate| rate / total)
}

/// The priors of all kinds.
#[derive(Debug)]
pub(super) struct Priors {
    /// By kind. The first kinds that come are kept.
    known: Vec<(u64, Prior)>,
    /// Of all kinds together. A new kind starts with it, and kinds without a prior of their own use it.
    overall: Prior,
}

impl Priors {
    pub(super) fn new() -> Self {
        Self {
            known: Vec::new(),
            overall: Prior::first_guess(),
        }
    }

    pub(super) fn of(&self, kind: u64) -> Prior {
        let known = self.known.iter().find(|(known, _)| *known == kind);
        known.map_or(self.overall, |(_, prior)| *prior)
    }

    pub(super) fn learn(&mut self, kind: u64, sample: &Sample) {
        self.overall.learn(sample);
        if let Some((_, prior)) = self.known.iter_mut().find(|(known, _)| *known == kind) {
            prior.learn(sample);
        } else if self.known.len() < KINDS {
            let mut prior = self.overall;
            prior.weight = prior.weight.min(FIRST_GUESS);
            prior.learn(sample);
            self.known.push((kind, prior));
        }
    }
}
