//! What is known before a key is: how fast responses of its kind change, learnt from all of them.

use super::{
    belief::{PerPace, REDRAWS},
    grid::{PerRate, RATES},
};

/// How many kinds of responses are told apart. The others are one more.
const KINDS: usize = 64;

/// What the first guess at the rates counts for, in observations.
const FIRST_GUESS: f32 = 20.0;

/// How many observations back the averages reach.
const MEMORY: f32 = 5000.0;

/// The share of the first guess in any prior, so that nothing becomes impossible.
const DOUBT: f32 = 0.02;

/// The logarithm of how improbable a pace may become, so that there is a way back.
const RULED_OUT: f32 = -20.0;

/// Requests per second of a key that nothing is known of, at first.
const FIRST_REQUESTS: f32 = 0.05;

/// What was learnt of one kind of responses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prior {
    /// How much of the time a representation changes at each rate.
    rates: PerRate,
    /// Logarithms of how probable each pace is beside the most probable one.
    paces: PerPace,
    /// Observations behind `rates`, no more than are remembered.
    weight: f32,
    /// Seconds of a typical interval.
    typical: f32,
    /// The mean of the logarithm of requests per second.
    requests: f32,
}

/// One observation, for the average.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lesson {
    pub(super) rates: PerRate,
    /// How probable the last interval was at each pace.
    pub(super) evidence: Option<PerPace>,
    pub(super) requests: f32,
    /// Seconds of the last interval.
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

    /// Averages over time, not over fetches: a key that is fetched often counts for no more than
    /// one that is not.
    pub(super) fn learn(&mut self, lesson: &Lesson) {
        self.weight = (self.weight + 1.0).min(MEMORY);
        let share = self.weight.recip();
        self.typical += (lesson.seconds - self.typical) * (share * 10.0).min(1.0);
        let time = (lesson.seconds / self.typical.max(1e-3)).min(20.0);
        let part = (share * time).min(0.5);
        for (rate, seen) in self.rates.iter_mut().zip(&lesson.rates) {
            *rate += (seen - *rate) * part;
        }
        self.requests += (lesson.requests.max(1e-6).ln() - self.requests) * part;
        if let Some(evidence) = lesson.evidence {
            for (pace, likely) in self.paces.iter_mut().zip(&evidence) {
                *pace += likely.max(1e-3).ln();
            }
            let most = self.paces.iter().copied().fold(f32::MIN, f32::max);
            self.paces = self.paces.map(|pace| (pace - most).max(RULED_OUT));
        }
    }
}

/// Anything between a change a second and a change a day alike, with something for those that
/// never change.
fn guess() -> PerRate {
    let mut rates = [1.0; RATES];
    rates[0] = 4.0;
    let total: f32 = rates.iter().sum();
    rates.map(|rate| rate / total)
}

/// The priors of all kinds.
#[derive(Debug)]
pub(super) struct Priors {
    /// First come, first served.
    known: Vec<(u64, Prior)>,
    /// Of all kinds together: what a new kind begins with, and all there is for those beyond.
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

    pub(super) fn learn(&mut self, kind: u64, lesson: &Lesson) {
        self.overall.learn(lesson);
        if let Some((_, prior)) = self.known.iter_mut().find(|(known, _)| *known == kind) {
            prior.learn(lesson);
        } else if self.known.len() < KINDS {
            let mut prior = self.overall;
            prior.weight = prior.weight.min(FIRST_GUESS);
            prior.learn(lesson);
            self.known.push((kind, prior));
        }
    }
}
