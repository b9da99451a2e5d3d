//! One circuit as a pure state machine: what may pass, and what the end of a call changes.
//!
//! Time and chance come from outside, nothing here waits or locks, and every operation makes one
//! transition at the most. Each transition begins a new generation; what was let through in an
//! older one no longer counts when it ends.

use std::time::Duration;

use super::{
    event::{BreakerState, Reason, Transition},
    rules::{Pace, Rules},
    terms::{Admission, Counts, Ending, Lane, Override, Ticket},
    times::{Chance, Times},
    window::{Tally, Weight, Window},
};
use crate::extensions::Priority;

/// One circuit.
#[derive(Debug)]
pub(crate) struct Circuit {
    phase: Phase,
    window: Window,
    failures_in_a_row: u32,
    /// Openings since the circuit was last closed.
    openings: u32,
    generation: u64,
    /// The probes in flight, of this generation and of older ones: never more than there are
    /// permits. One that is overdue is no longer among them.
    probes: Vec<Probe>,
    next_probe: u64,
    chance: Chance,
    /// The latest time that anything happened. Two threads may come in another order than they
    /// looked at the clock.
    latest: Duration,
    counts: Counts,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Closed,
    Open { times: Times },
    HalfOpen { times: Times, successes: u32 },
    Forced(Override),
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    id: u64,
    generation: u64,
    began: Duration,
}

impl Circuit {
    pub(crate) fn new(rules: &Rules, seed: u64) -> Self {
        Self {
            phase: Phase::Closed,
            window: Window::new(rules.window),
            failures_in_a_row: 0,
            openings: 0,
            generation: 0,
            probes: Vec::new(),
            next_probe: 0,
            chance: Chance::new(seed),
            latest: Duration::ZERO,
            counts: Counts::default(),
        }
    }

    // === A call begins ===

    pub(crate) fn admit(
        &mut self,
        rules: &Rules,
        priority: Priority,
        now: Duration,
    ) -> (Admission, Option<Transition>) {
        let now = self.at(now);
        let (admission, transition) = match self.phase {
            Phase::Closed | Phase::Forced(Override::Closed) => {
                let generation = self.generation;
                (Admission::Pass(Ticket::Counted { generation }), None)
            }
            Phase::Forced(Override::Disabled) => (Admission::Pass(Ticket::Free), None),
            Phase::Forced(Override::Open) => (refuse(rules.open_for), None),
            Phase::Open { times } if now < times.of(priority) => {
                (refuse(times.of(priority).saturating_sub(now)), None)
            }
            Phase::Open { times } => {
                let transition = self.half_open(times);
                self.forget_overdue(rules, now);
                (self.probe(rules, now), Some(transition))
            }
            Phase::HalfOpen { times, .. } => match self.forget_overdue(rules, now) {
                Overdue::OfNow => {
                    let (transition, open_for) = self.open(rules, now, Reason::ProbeOverdue);
                    (refuse(open_for), Some(transition))
                }
                Overdue::NoneOfNow if now < times.of(priority) => {
                    (refuse(times.of(priority).saturating_sub(now)), None)
                }
                Overdue::NoneOfNow => (self.probe(rules, now), None),
            },
        };
        if matches!(admission, Admission::Refuse { .. }) {
            self.counts.refused += 1;
        }
        (admission, transition)
    }

    /// A permit, if one is left.
    fn probe(&mut self, rules: &Rules, now: Duration) -> Admission {
        if self.probes.len() as u64 >= u64::from(rules.half_open_permits) {
            return refuse(Duration::ZERO);
        }
        let (id, generation) = (self.next_probe, self.generation);
        self.next_probe += 1;
        self.probes.push(Probe {
            id,
            generation,
            began: now,
        });
        Admission::Pass(Ticket::Probe { generation, id })
    }

    /// Takes back the permits of probes that hang, so that the circuit cannot hang with them.
    fn forget_overdue(&mut self, rules: &Rules, now: Duration) -> Overdue {
        let mut overdue = Overdue::NoneOfNow;
        self.probes.retain(|probe| {
            if now.saturating_sub(probe.began) < rules.probe_timeout {
                return true;
            }
            if probe.generation == self.generation {
                overdue = Overdue::OfNow;
            }
            false
        });
        overdue
    }

    // === A call ends ===

    pub(crate) fn settle(
        &mut self,
        rules: &Rules,
        ticket: Ticket,
        ending: Ending,
        now: Duration,
    ) -> Option<Transition> {
        let now = self.at(now);
        let generation = match ticket {
            Ticket::Free => return None,
            Ticket::Counted { generation } => generation,
            Ticket::Probe { generation, id } => {
                // First of all: the permit is back, whatever else is true.
                self.probes.retain(|probe| probe.id != id);
                generation
            }
        };
        self.count(ending);
        if generation != self.generation {
            return None;
        }
        match self.phase {
            Phase::Closed => {
                self.record(ending, now);
                let reason = self.too_bad(rules, now)?;
                Some(self.open(rules, now, reason).0)
            }
            Phase::Forced(Override::Closed) => {
                self.record(ending, now);
                None
            }
            Phase::HalfOpen { times, successes } => match ending {
                Ending::Failed(_) => Some(self.open(rules, now, Reason::ProbeFailed).0),
                Ending::Succeeded(Pace::Slow) | Ending::Cancelled(Pace::Slow) => {
                    Some(self.open(rules, now, Reason::ProbeSlow).0)
                }
                Ending::Succeeded(Pace::Normal) => {
                    let successes = successes + 1;
                    self.phase = Phase::HalfOpen { times, successes };
                    (successes >= rules.half_open_successes)
                        .then(|| self.close(Reason::ProbesSucceeded))
                }
                Ending::Ignored | Ending::Cancelled(Pace::Normal) => None,
            },
            // No call is let through in these.
            Phase::Open { .. } | Phase::Forced(Override::Open | Override::Disabled) => None,
        }
    }

    fn count(&mut self, ending: Ending) {
        let (counter, pace) = match ending {
            Ending::Succeeded(pace) => (&mut self.counts.succeeded, pace),
            Ending::Failed(pace) => (&mut self.counts.failed, pace),
            Ending::Ignored => (&mut self.counts.ignored, Pace::Normal),
            Ending::Cancelled(pace) => (&mut self.counts.cancelled, pace),
        };
        *counter += 1;
        self.counts.slow += u64::from(pace == Pace::Slow);
    }

    fn record(&mut self, ending: Ending, now: Duration) {
        match ending {
            Ending::Succeeded(pace) => {
                self.failures_in_a_row = 0;
                self.window.push(Weight::Other(pace), now);
            }
            Ending::Failed(pace) => {
                self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
                self.window.push(Weight::Failure(pace), now);
            }
            Ending::Cancelled(Pace::Slow) => self.window.push(Weight::Other(Pace::Slow), now),
            Ending::Cancelled(Pace::Normal) | Ending::Ignored => {}
        }
    }

    /// Why the circuit cannot stay closed.
    fn too_bad(&mut self, rules: &Rules, now: Duration) -> Option<Reason> {
        if let Some(limit) = rules.consecutive_failures
            && self.failures_in_a_row >= limit
        {
            return Some(Reason::ConsecutiveFailures(self.failures_in_a_row));
        }
        let tally = self.window.tally(now);
        if tally.calls < u64::from(rules.minimum_calls) {
            return None;
        }
        let (failures, slow, calls) = (tally.failure_rate(), tally.slow_rate(), tally.calls);
        if failures >= rules.failure_rate {
            let rate = failures;
            Some(Reason::FailureRate { rate, calls })
        } else if slow >= rules.slow_rate {
            Some(Reason::SlowRate { rate: slow, calls })
        } else {
            None
        }
    }

    // === Transitions ===

    // ## (Closed | HalfOpen) => Open
    fn open(&mut self, rules: &Rules, now: Duration, reason: Reason) -> (Transition, Duration) {
        self.openings = self.openings.saturating_add(1);
        self.counts.openings += 1;
        let open_for = rules.open_length(self.openings, self.chance.next());
        let times = Times::new(now, open_for);
        let transition = Transition {
            open_for: Some(open_for),
            ..self.turn_to(Phase::Open { times }, reason)
        };
        (transition, open_for)
    }

    // ## Open => HalfOpen
    fn half_open(&mut self, times: Times) -> Transition {
        let successes = 0;
        self.turn_to(Phase::HalfOpen { times, successes }, Reason::TimeUp)
    }

    // ## (HalfOpen | Forced) => Closed
    fn close(&mut self, reason: Reason) -> Transition {
        self.start_afresh();
        self.turn_to(Phase::Closed, reason)
    }

    // ## Any => Forced
    pub(crate) fn force(&mut self, to: Override) -> Option<Transition> {
        self.start_afresh();
        changing(self.turn_to(Phase::Forced(to), Reason::Manual))
    }

    // ## Any => Closed, as new
    pub(crate) fn reset(&mut self) -> Option<Transition> {
        changing(self.close(Reason::Manual))
    }

    fn start_afresh(&mut self) {
        self.window.clear();
        self.failures_in_a_row = 0;
        self.openings = 0;
    }

    fn turn_to(&mut self, phase: Phase, reason: Reason) -> Transition {
        let from = self.state();
        self.phase = phase;
        self.generation += 1;
        Transition {
            from,
            to: self.state(),
            reason,
            open_for: None,
            generation: self.generation,
        }
    }

    // === What it looks like from outside ===

    pub(crate) fn state(&self) -> BreakerState {
        match self.phase {
            Phase::Closed => BreakerState::Closed,
            Phase::Open { .. } => BreakerState::Open,
            Phase::HalfOpen { .. } => BreakerState::HalfOpen,
            Phase::Forced(Override::Open) => BreakerState::ForcedOpen,
            Phase::Forced(Override::Closed) => BreakerState::ForcedClosed,
            Phase::Forced(Override::Disabled) => BreakerState::Disabled,
        }
    }

    pub(crate) fn lane(&self) -> Lane {
        match self.phase {
            Phase::Closed | Phase::Forced(Override::Closed) => Lane::Counted {
                generation: self.generation,
            },
            Phase::Forced(Override::Disabled) => Lane::Free,
            Phase::Open { .. } | Phase::HalfOpen { .. } | Phase::Forced(Override::Open) => {
                Lane::Ask
            }
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    pub(crate) fn tally(&mut self, now: Duration) -> Tally {
        let now = self.at(now);
        self.window.tally(now)
    }

    fn at(&mut self, now: Duration) -> Duration {
        self.latest = self.latest.max(now);
        self.latest
    }
}

/// Whether a probe of the current generation was among those that hung.
enum Overdue {
    OfNow,
    NoneOfNow,
}

fn refuse(retry_after: Duration) -> Admission {
    Admission::Refuse { retry_after }
}

/// What an operator repeats changes nothing that anybody need be told of.
fn changing(transition: Transition) -> Option<Transition> {
    (transition.from != transition.to).then_some(transition)
}

// The models include this file from elsewhere, where only a path leads to its tests.
#[cfg(test)]
#[path = "state/tests.rs"]
mod tests;
