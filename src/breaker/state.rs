//! One circuit as a pure state machine: which calls may pass, and what the end of a call changes.
//!
//! The caller passes in the time and the seed for random numbers. Nothing here waits or locks, and
//! each operation makes at most one transition. A transition begins a new generation: a call that
//! was admitted in an older generation does not count in the new one.

use std::time::Duration;

use super::{
    event::{BreakerState, Reason, Transition},
    parts::{FailedParts, FailuresInARow, Novelty},
    rules::{CircuitRules, Pace},
    terms::{CallOutcome, Counts, FastPath, Override, Part, Permission, Ticket},
    times::ProbeTimes,
    window::{Tally, Window, WindowCall},
};
use crate::{extensions::Priority, util::random::Random};

/// One circuit.
#[derive(Debug)]
pub(crate) struct Circuit {
    phase: Phase,
    window: Window,
    failures_in_a_row: FailuresInARow,
    failed_parts: FailedParts,
    /// How often the circuit opened since it was last closed.
    openings: u32,
    generation: u64,
    /// The probes in flight, of this generation and of older ones: never more than
    /// `half_open_permits`. A probe that is overdue has been removed.
    probes: Vec<Probe>,
    next_probe: u64,
    random: Random,
    /// The latest time seen. Two threads may read the clock in one order and get here in the other,
    /// so the time that a caller passes in can be earlier.
    latest: Duration,
    counts: Counts,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Closed,
    Open { times: ProbeTimes },
    HalfOpen { times: ProbeTimes, successes: u32 },
    Forced(Override),
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    id: u64,
    generation: u64,
    began: Duration,
    part: Option<Part>,
}

impl Circuit {
    pub(crate) fn new(rules: &CircuitRules, seed: u64) -> Self {
        Self {
            phase: Phase::Closed,
            window: Window::new(rules.window),
            failures_in_a_row: FailuresInARow::default(),
            failed_parts: FailedParts::default(),
            openings: 0,
            generation: 0,
            probes: Vec::new(),
            next_probe: 0,
            random: Random::seeded(seed),
            latest: Duration::ZERO,
            counts: Counts::default(),
        }
    }

    // === A call begins ===

    pub(crate) fn admit(
        &mut self,
        rules: &CircuitRules,
        priority: Priority,
        part: Option<Part>,
        now: Duration,
    ) -> (Permission, Option<Transition>) {
        let now = self.at(now);
        let blamed_until = self.failed_parts.probes_from(part);
        let (permission, transition) = match self.phase {
            Phase::Closed | Phase::Forced(Override::Closed) => {
                let generation = self.generation;
                (Permission::Granted(Ticket::Counted { generation }), None)
            }
            Phase::Forced(Override::Disabled) => (Permission::Granted(Ticket::Uncounted), None),
            Phase::Forced(Override::Open) => (refuse(rules.open_for), None),
            Phase::Open { times } => match times.of(priority).max(blamed_until) {
                from if now < from => (refuse(from.saturating_sub(now)), None),
                _ => {
                    let transition = self.half_open(times);
                    self.forget_overdue(rules, now);
                    (self.probe(rules, part, now), Some(transition))
                }
            },
            Phase::HalfOpen { times, .. } => match self.forget_overdue(rules, now) {
                Overdue::CurrentGeneration(part) => {
                    let (transition, open_for) = self.open(rules, now, Reason::ProbeOverdue);
                    self.blame(part, now.saturating_add(open_for));
                    (refuse(open_for), Some(transition))
                }
                Overdue::None => match times.of(priority).max(blamed_until) {
                    from if now < from => (refuse(from.saturating_sub(now)), None),
                    _ => (self.probe(rules, part, now), None),
                },
            },
        };
        if matches!(permission, Permission::Refused { .. }) {
            self.counts.refused += 1;
        }
        (permission, transition)
    }

    /// Admits a call as a probe if a permit is left.
    fn probe(&mut self, rules: &CircuitRules, part: Option<Part>, now: Duration) -> Permission {
        if self.probes.len() as u64 >= u64::from(rules.half_open_permits) {
            return refuse(Duration::ZERO);
        }
        let (id, generation) = (self.next_probe, self.generation);
        self.next_probe += 1;
        self.probes.push(Probe {
            id,
            generation,
            began: now,
            part,
        });
        Permission::Granted(Ticket::Probe { generation, id })
    }

    /// Frees the permits of probes that have no outcome after `probe_timeout`. Otherwise a call
    /// that hangs would keep the circuit half-open.
    fn forget_overdue(&mut self, rules: &CircuitRules, now: Duration) -> Overdue {
        let mut overdue = Overdue::None;
        self.probes.retain(|probe| {
            if now.saturating_sub(probe.began) < rules.probe_timeout {
                return true;
            }
            if probe.generation == self.generation {
                overdue = Overdue::CurrentGeneration(probe.part);
            }
            false
        });
        overdue
    }

    // === A call ends ===

    /// Returns as what the call counted.
    pub(crate) fn end_call(
        &mut self,
        rules: &CircuitRules,
        ticket: Ticket,
        part: Option<Part>,
        outcome: CallOutcome,
        now: Duration,
    ) -> (CallOutcome, Option<Transition>) {
        let now = self.at(now);
        let generation = match ticket {
            Ticket::Uncounted => return (CallOutcome::Ignored, None),
            Ticket::Counted { generation } => generation,
            Ticket::Probe { generation, id } => {
                // Before any return: the permit must be free again in every case.
                self.probes.retain(|probe| probe.id != id);
                generation
            }
        };
        let outcome = match self.phase {
            Phase::Closed | Phase::Forced(Override::Closed) if generation == self.generation => {
                self.weigh(outcome, part, now)
            }
            _ => outcome,
        };
        self.count(outcome);
        if generation != self.generation {
            return (outcome, None);
        }
        (outcome, self.after(rules, part, outcome, now))
    }

    /// What one part of the service did again within a few seconds says nothing about the service.
    fn weigh(&mut self, outcome: CallOutcome, part: Option<Part>, now: Duration) -> CallOutcome {
        match (outcome, part) {
            (
                CallOutcome::PartFailed(_)
                | CallOutcome::Succeeded(Pace::Slow)
                | CallOutcome::Cancelled(Pace::Slow),
                Some(part),
            ) if self.failed_parts.note(part, now) == Novelty::Repeated => CallOutcome::Ignored,
            _ => outcome,
        }
    }

    /// What a call of this generation changes.
    fn after(
        &mut self,
        rules: &CircuitRules,
        part: Option<Part>,
        outcome: CallOutcome,
        now: Duration,
    ) -> Option<Transition> {
        match self.phase {
            Phase::Closed => {
                self.record(outcome, part, now);
                let reason = self.reason_to_open(rules, now)?;
                Some(self.open(rules, now, reason).0)
            }
            Phase::Forced(Override::Closed) => {
                self.record(outcome, part, now);
                None
            }
            Phase::HalfOpen { times, successes } => match outcome {
                CallOutcome::Failed(_) => Some(self.open(rules, now, Reason::ProbeFailed).0),
                CallOutcome::PartFailed(_) => {
                    Some(self.open_by(part, rules, now, Reason::ProbeFailed))
                }
                CallOutcome::Succeeded(Pace::Slow) | CallOutcome::Cancelled(Pace::Slow) => {
                    Some(self.open_by(part, rules, now, Reason::ProbeSlow))
                }
                CallOutcome::Succeeded(Pace::Normal) => {
                    let successes = successes + 1;
                    self.phase = Phase::HalfOpen { times, successes };
                    (successes >= rules.half_open_successes)
                        .then(|| self.close(Reason::ProbesSucceeded))
                }
                CallOutcome::Ignored | CallOutcome::Cancelled(Pace::Normal) => None,
            },
            // No counted call is admitted in these states.
            Phase::Open { .. } | Phase::Forced(Override::Open | Override::Disabled) => None,
        }
    }

    fn count(&mut self, outcome: CallOutcome) {
        let (counter, pace) = match outcome {
            CallOutcome::Succeeded(pace) => (&mut self.counts.succeeded, pace),
            CallOutcome::Failed(pace) | CallOutcome::PartFailed(pace) => {
                (&mut self.counts.failed, pace)
            }
            CallOutcome::Ignored => (&mut self.counts.ignored, Pace::Normal),
            CallOutcome::Cancelled(pace) => (&mut self.counts.cancelled, pace),
        };
        *counter += 1;
        self.counts.slow += u64::from(pace == Pace::Slow);
    }

    fn record(&mut self, outcome: CallOutcome, part: Option<Part>, now: Duration) {
        match outcome {
            CallOutcome::Succeeded(pace) => {
                self.failures_in_a_row.clear();
                self.window.push(WindowCall::Other(pace), now);
            }
            CallOutcome::Failed(pace) | CallOutcome::PartFailed(pace) => {
                self.failures_in_a_row.push(part);
                self.window.push(WindowCall::Failure(pace), now);
            }
            CallOutcome::Cancelled(Pace::Slow) => {
                self.window.push(WindowCall::Other(Pace::Slow), now);
            }
            CallOutcome::Cancelled(Pace::Normal) | CallOutcome::Ignored => {}
        }
    }

    /// Why a closed circuit has to open, if it has to.
    fn reason_to_open(&mut self, rules: &CircuitRules, now: Duration) -> Option<Reason> {
        if let Some(limit) = rules.consecutive_failures
            && let Some(failures) = self.failures_in_a_row.reached(limit)
        {
            return Some(Reason::ConsecutiveFailures(failures));
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
    fn open(
        &mut self,
        rules: &CircuitRules,
        now: Duration,
        reason: Reason,
    ) -> (Transition, Duration) {
        self.openings = self.openings.saturating_add(1);
        self.counts.openings += 1;
        let open_for = rules.open_length(self.openings, self.random.fraction());
        let times = ProbeTimes::new(now, open_for);
        let transition = Transition {
            open_for: Some(open_for),
            ..self.transition_to(Phase::Open { times }, reason)
        };
        (transition, open_for)
    }

    /// Opens because of a probe that speaks for one part alone.
    fn open_by(
        &mut self,
        part: Option<Part>,
        rules: &CircuitRules,
        now: Duration,
        reason: Reason,
    ) -> Transition {
        let (transition, open_for) = self.open(rules, now, reason);
        self.blame(part, now.saturating_add(open_for));
        transition
    }

    /// Lets other parts probe first the next time. Otherwise one part that fails for ever would keep
    /// the circuit open for all.
    fn blame(&mut self, part: Option<Part>, open_until: Duration) {
        if let Some(part) = part {
            self.failed_parts.blame(part, open_until);
        }
    }

    // ## Open => HalfOpen
    fn half_open(&mut self, times: ProbeTimes) -> Transition {
        let successes = 0;
        self.transition_to(Phase::HalfOpen { times, successes }, Reason::TimeUp)
    }

    // ## (HalfOpen | Forced) => Closed
    fn close(&mut self, reason: Reason) -> Transition {
        self.start_over();
        self.transition_to(Phase::Closed, reason)
    }

    // ## Any => Forced
    pub(crate) fn force(&mut self, to: Override) -> Option<Transition> {
        self.start_over();
        unless_same_state(self.transition_to(Phase::Forced(to), Reason::Manual))
    }

    // ## Any => Closed, with an empty window
    pub(crate) fn reset(&mut self) -> Option<Transition> {
        unless_same_state(self.close(Reason::Manual))
    }

    fn start_over(&mut self) {
        self.window.clear();
        self.failures_in_a_row.clear();
        self.failed_parts.clear();
        self.openings = 0;
    }

    fn transition_to(&mut self, phase: Phase, reason: Reason) -> Transition {
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

    // === Reading the state ===

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

    pub(crate) fn fast_path(&self) -> FastPath {
        match self.phase {
            Phase::Closed | Phase::Forced(Override::Closed) => FastPath::Counted {
                generation: self.generation,
            },
            Phase::Forced(Override::Disabled) => FastPath::Uncounted,
            Phase::Open { .. } | Phase::HalfOpen { .. } | Phase::Forced(Override::Open) => {
                FastPath::AskCircuit
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

/// Whether a probe of the current generation is overdue.
enum Overdue {
    /// One is, and this is the part that it asked for.
    CurrentGeneration(Option<Part>),
    None,
}

fn refuse(retry_after: Duration) -> Permission {
    Permission::Refused { retry_after }
}

/// Drops the transition if the circuit already was in the state that an operator asked for: nothing
/// changed, so nothing is reported.
fn unless_same_state(transition: Transition) -> Option<Transition> {
    (transition.from != transition.to).then_some(transition)
}

// The models include this file from elsewhere, where only a path leads to its tests.
#[cfg(test)]
#[path = "state/tests.rs"]
mod tests;
