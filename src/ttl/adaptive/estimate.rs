//! Estimates how fast a key changes, from its history and the prior of its kind.

use super::{
    belief::{Belief, Interval, IntervalResult, PACES, PerPace, REDRAWS},
    grid::{PerRate, RATES},
    prior::Prior,
};
use crate::ttl::history::{Change, History};

/// Paces less probable than this are considered for one history in [`CURIOUS`] only.
const NEGLIGIBLE: f32 = 1e-3;

/// One history in this many is considered at every pace, to learn how probable each is.
const CURIOUS: u32 = 8;

/// How many requests the typical request rate of the kind counts for next to the key's own. Few:
/// some keys are requested a thousand times as often as others.
const TYPICAL: f32 = 0.1;

/// How a key is expected to behave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Estimate {
    /// How probable each rate of change is.
    pub(super) rates: PerRate,
    /// How often per second the rate is drawn again.
    pub(super) redraw: f32,
    /// Requests per second.
    pub(super) requests: f32,
    /// How probable the last interval was at each pace, if all paces were considered.
    pub(super) evidence: Option<PerPace>,
}

/// Applies Bayes' rule to each run of a history. `rates` are those of the prior.
pub(super) fn estimate(history: &History, prior: &Prior, rates: &PerRate) -> Estimate {
    let curious = history.fetches() % CURIOUS == 1;
    let mut paces = prior.paces().map(|pace| {
        if curious || pace > NEGLIGIBLE {
            pace
        } else {
            0.0
        }
    });
    let mut beliefs: [Belief; PACES] = std::array::from_fn(|pace| Belief::new(rates, pace));
    let mut evidence = [0.0; PACES];
    let mut take = |seconds: f32, seen| {
        let interval = Interval::new(seconds, seen);
        for ((belief, pace), likely) in beliefs.iter_mut().zip(&mut paces).zip(&mut evidence) {
            if *pace > 0.0 {
                *likely = belief.observe(&interval, rates);
                *pace *= likely.max(1e-6);
            }
        }
        let total: f32 = paces.iter().sum();
        paces = paces.map(|pace| pace / total);
    };
    // The last interval is applied on its own, to see how probable it was.
    let last = match history.last() {
        Some((span, Change::Changed | Change::Unchanged)) => Some(span.as_secs_f32()),
        Some((_, Change::Unknown)) | None => None,
    };
    let runs = history.seconds();
    for (at, run) in runs.iter().enumerate() {
        let seen = if run.is_sign_negative() {
            IntervalResult::Changed
        } else {
            IntervalResult::Unchanged
        };
        let last = last.filter(|_| at + 1 == runs.len());
        let before = run.abs() - last.unwrap_or(0.0);
        if before > 1e-3 {
            take(before, seen);
        }
        if let Some(last) = last {
            take(last, seen);
        }
    }
    let mut posterior = [0.0; RATES];
    for (belief, pace) in beliefs.iter().zip(&paces) {
        for (rate, believed) in posterior.iter_mut().zip(&belief.rates) {
            *rate += pace * believed;
        }
    }
    let redraw = paces.iter().zip(&REDRAWS).map(|(a, b)| a * b).sum();
    let (asked, span) = history.traffic();
    Estimate {
        rates: posterior,
        redraw: if redraw > 1e-6 { redraw } else { 0.0 },
        requests: (TYPICAL + asked) / (TYPICAL / prior.requests() + span),
        evidence: (curious && last.is_some()).then_some(evidence),
    }
}
