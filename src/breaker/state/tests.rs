//! The circuit, step by step.

use super::*;

use BreakerState::{Closed, Disabled, ForcedClosed, ForcedOpen, HalfOpen, Open};
use CallOutcome::{Cancelled, Failed, Ignored, PartFailed, Succeeded};
use Pace::{Normal, Slow};
use Priority::{Background, Foreground};

const OK: CallOutcome = Succeeded(Normal);
const BAD: CallOutcome = Failed(Normal);

/// No chance in it: open for 10 s, then 20, then 25.
fn rules() -> CircuitRules {
    CircuitRules {
        window: super::super::rules::Extent::Calls(10),
        minimum_calls: 4,
        consecutive_failures: Some(3),
        half_open_permits: 2,
        half_open_successes: 3,
        probe_timeout: secs(30),
        open_for: secs(10),
        open_at_most: secs(25),
        open_jitter: 0.0,
        ..CircuitRules::default()
    }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A circuit at a time that only moves forward.
struct Bench {
    circuit: Circuit,
    rules: CircuitRules,
    now: Duration,
    told: Vec<Transition>,
}

impl Bench {
    fn new(rules: CircuitRules) -> Self {
        Self {
            circuit: Circuit::new(&rules, 1),
            rules,
            now: secs(1000),
            told: Vec::new(),
        }
    }

    fn pass(&mut self, seconds: f64) -> &mut Self {
        self.now += Duration::from_secs_f64(seconds);
        self
    }

    fn ask(&mut self, priority: Priority) -> Result<Ticket, Duration> {
        self.ask_for(None, priority)
    }

    fn ask_for(&mut self, part: Option<u64>, priority: Priority) -> Result<Ticket, Duration> {
        let part = part.map(Part);
        let (admission, told) = self.circuit.admit(&self.rules, priority, part, self.now);
        self.told.extend(told);
        match admission {
            Permission::Granted(ticket) => Ok(ticket),
            Permission::Refused { retry_after } => Err(retry_after),
        }
    }

    fn begin(&mut self) -> Ticket {
        self.ask(Foreground).expect("a call that passes")
    }

    fn end(&mut self, ticket: Ticket, ending: CallOutcome) -> &mut Self {
        self.end_of(None, ticket, ending);
        self
    }

    /// Returns as what the call counted.
    fn end_of(&mut self, part: Option<u64>, ticket: Ticket, ending: CallOutcome) -> CallOutcome {
        let (rules, part) = (&self.rules, part.map(Part));
        let (counted, told) = self.circuit.end_call(rules, ticket, part, ending, self.now);
        self.told.extend(told);
        counted
    }

    /// One call of a part.
    fn call_of(&mut self, part: u64, ending: CallOutcome) -> CallOutcome {
        let ticket = self.ask_for(Some(part), Foreground);
        self.end_of(Some(part), ticket.expect("a call that passes"), ending)
    }

    fn call(&mut self, ending: CallOutcome) -> &mut Self {
        let ticket = self.begin();
        self.end(ticket, ending)
    }

    fn calls(&mut self, endings: &[CallOutcome]) -> &mut Self {
        for ending in endings {
            self.call(*ending);
        }
        self
    }

    fn state(&self) -> BreakerState {
        self.circuit.state()
    }

    /// Takes out the last transition.
    fn last(&mut self) -> Option<(BreakerState, BreakerState, Reason)> {
        let last = self.told.pop()?;
        Some((last.from, last.to, last.reason))
    }

    fn opened(rules: CircuitRules) -> Self {
        let mut bench = Self::new(rules);
        bench.calls(&[BAD; 3]);
        assert_eq!(bench.state(), Open);
        bench
    }

    /// Half-open, with one probe in flight.
    fn probing(rules: CircuitRules) -> (Self, Ticket) {
        let mut bench = Self::opened(rules);
        bench.pass(10.0);
        let probe = bench.begin();
        assert_eq!(bench.state(), HalfOpen);
        (bench, probe)
    }
}

// === Opening ===

#[test]
fn each_rule_opens_by_itself_and_none_too_early() {
    let slow = CircuitRules {
        slow_call: Some(secs(1)),
        ..rules()
    };
    let shares_only = CircuitRules {
        consecutive_failures: None,
        ..rules()
    };
    let cases: &[(&str, CircuitRules, &[CallOutcome], Option<Reason>)] = &[
        ("two failures in a row", rules(), &[BAD, BAD, OK], None),
        (
            "three in a row, below the minimum of calls",
            rules(),
            &[BAD, BAD, BAD],
            Some(Reason::ConsecutiveFailures(3)),
        ),
        (
            "a success in between",
            CircuitRules {
                minimum_calls: 9,
                ..rules()
            },
            &[BAD, BAD, OK, BAD, BAD],
            None,
        ),
        (
            "what is ignored breaks no row",
            rules(),
            &[BAD, Ignored, BAD, Cancelled(Normal), BAD],
            Some(Reason::ConsecutiveFailures(3)),
        ),
        (
            "below the minimum",
            shares_only.clone(),
            &[BAD, BAD, BAD],
            None,
        ),
        (
            "at the minimum",
            shares_only.clone(),
            &[BAD, OK, OK, BAD],
            Some(Reason::FailureRate {
                rate: 0.5,
                calls: 4,
            }),
        ),
        (
            "the call that makes the minimum may be a success",
            shares_only.clone(),
            &[BAD, BAD, OK, OK],
            Some(Reason::FailureRate {
                rate: 0.5,
                calls: 4,
            }),
        ),
        (
            "below the share",
            shares_only.clone(),
            &[BAD, OK, OK, OK, BAD, OK],
            None,
        ),
        (
            "without a threshold none is slow",
            rules(),
            &[Succeeded(Normal); 8],
            None,
        ),
        (
            "slow successes",
            slow.clone(),
            &[OK, Succeeded(Slow), OK, Succeeded(Slow)],
            Some(Reason::SlowRate {
                rate: 0.5,
                calls: 4,
            }),
        ),
        (
            "slow calls that were given up",
            slow.clone(),
            &[OK, Cancelled(Slow), OK, Cancelled(Slow)],
            Some(Reason::SlowRate {
                rate: 0.5,
                calls: 4,
            }),
        ),
        (
            "calls that were given up early",
            slow,
            &[Cancelled(Normal); 20],
            None,
        ),
        ("what is ignored", rules(), &[Ignored; 20], None),
    ];
    for (name, rules, endings, expected) in cases {
        let mut bench = Bench::new(rules.clone());
        bench.calls(endings);
        let expected = expected.map(|reason| (Closed, Open, reason));
        assert_eq!(bench.last(), expected, "{name}");
        assert_eq!(bench.state() == Open, expected.is_some(), "{name}");
    }
}

#[test]
fn it_opens_within_one_window_after_any_history() {
    let rules = CircuitRules {
        window: super::super::rules::Extent::Calls(100),
        minimum_calls: 100,
        consecutive_failures: None,
        ..rules()
    };
    let mut bench = Bench::new(rules);
    bench.calls(&[OK; 5000]);
    bench.calls(&[BAD; 49]);
    assert_eq!(bench.state(), Closed);
    bench.call(BAD);
    assert_eq!(bench.state(), Open);
}

#[test]
fn a_window_over_time_forgets_what_is_older() {
    let rules = CircuitRules {
        window: super::super::rules::Extent::Time {
            span: secs(10),
            buckets: 10,
        },
        consecutive_failures: None,
        ..rules()
    };
    let mut bench = Bench::new(rules);
    bench.calls(&[BAD; 3]).pass(10.0).call(BAD);
    assert_eq!(bench.state(), Closed, "only one failure is young enough");
    bench.calls(&[OK, OK]).pass(5.0).call(BAD);
    assert_eq!(bench.state(), Open, "two of four");
}

// === Open ===

#[test]
fn an_open_circuit_refuses_calls_and_says_for_how_long() {
    let mut bench = Bench::opened(rules());
    assert_eq!(bench.told[0].open_for, Some(secs(10)));
    assert_eq!(bench.ask(Foreground), Err(secs(10)));
    bench.pass(4.0);
    assert_eq!(bench.ask(Foreground), Err(secs(6)));
    assert_eq!(bench.circuit.counts().refused, 2);
    bench.pass(6.0);
    assert!(bench.ask(Foreground).is_ok());
    assert_eq!(bench.last(), Some((Open, HalfOpen, Reason::TimeUp)));
}

#[test]
fn background_requests_may_probe_a_little_earlier() {
    // A tenth of ten seconds, and no more than a second of anything longer.
    for (open_for, head_start) in [(secs(10), 1.0), (secs(5), 0.5), (secs(25), 1.0)] {
        let mut bench = Bench::opened(CircuitRules {
            open_for,
            ..rules()
        });
        bench.pass(open_for.as_secs_f64() - head_start - 0.25);
        assert_eq!(bench.ask(Background), Err(Duration::from_millis(250)));
        bench.pass(0.25);
        let left = Duration::from_secs_f64(head_start);
        assert_eq!(bench.ask(Foreground), Err(left));
        assert!(bench.ask(Background).is_ok());
        assert_eq!(bench.state(), HalfOpen);
        assert_eq!(bench.ask(Foreground), Err(left), "still before its time");
        bench.pass(head_start);
        assert!(bench.ask(Foreground).is_ok(), "the permit that is left");
    }
}

#[test]
fn each_opening_in_a_row_lasts_longer_up_to_a_limit() {
    let mut bench = Bench::opened(rules());
    for length in [20, 25, 25] {
        bench.pass(25.0).call(BAD);
        assert_eq!(bench.ask(Foreground), Err(secs(length)));
    }
    bench.pass(25.0).calls(&[OK; 3]);
    assert_eq!(bench.state(), Closed);
    bench.calls(&[BAD; 3]);
    assert_eq!(bench.ask(Foreground), Err(secs(10)), "from the start again");
}

#[test]
fn jitter_shortens_the_open_time_by_up_to_its_share() {
    let rules = CircuitRules {
        open_jitter: 0.2,
        ..rules()
    };
    let lengths: Vec<Duration> = (0..200)
        .map(|seed| {
            let mut circuit = Circuit::new(&rules, seed);
            let (_, length) = circuit.open(&rules, Duration::ZERO, Reason::ProbeFailed);
            length
        })
        .collect();
    assert!(lengths.iter().all(|it| (secs(8)..=secs(10)).contains(it)));
    assert!(lengths.iter().any(|it| *it < Duration::from_millis(8500)));
    assert!(lengths.iter().any(|it| *it > Duration::from_millis(9500)));
}

#[test]
fn the_open_time_is_bounded_for_any_number_of_openings() {
    for opening in [0, 1, 100, u32::MAX] {
        let length = rules().open_length(opening, 0.5);
        assert!((secs(10)..=secs(25)).contains(&length), "{opening}");
    }
    let whole = CircuitRules {
        open_jitter: 1.0,
        ..rules()
    };
    assert!(whole.open_length(1, 1.0) > Duration::ZERO);
}

// === Half-open ===

#[test]
fn never_more_probes_than_permits() {
    let (mut bench, first) = Bench::probing(rules());
    let second = bench.begin();
    assert_eq!(bench.ask(Foreground), Err(Duration::ZERO));
    assert_eq!(bench.ask(Background), Err(Duration::ZERO));
    bench.end(first, OK);
    let third = bench.begin();
    assert!(bench.ask(Foreground).is_err());
    bench.end(second, OK).end(third, OK);
    assert_eq!(
        bench.last(),
        Some((HalfOpen, Closed, Reason::ProbesSucceeded))
    );
}

#[test]
fn every_end_of_a_probe_gives_its_permit_back() {
    for (ending, expected) in [
        (OK, HalfOpen),
        (Ignored, HalfOpen),
        (Cancelled(Normal), HalfOpen),
        (BAD, Open),
        (Succeeded(Slow), Open),
        (Cancelled(Slow), Open),
        (Failed(Slow), Open),
    ] {
        let (mut bench, probe) = Bench::probing(rules());
        bench.end(probe, ending);
        assert_eq!(bench.state(), expected, "{ending:?}");
        assert!(bench.circuit.probes.is_empty(), "{ending:?}");
    }
}

#[test]
fn ignored_and_cancelled_probes_do_not_close_it() {
    let (mut bench, probe) = Bench::probing(rules());
    bench.end(probe, OK).call(OK);
    for _ in 0..50 {
        bench.call(Ignored).call(Cancelled(Normal));
    }
    assert_eq!(bench.state(), HalfOpen);
    bench.call(OK);
    assert_eq!(bench.state(), Closed);
}

#[test]
fn a_probe_that_hangs_counts_as_failed_and_frees_its_permit() {
    let (mut bench, hung) = Bench::probing(rules());
    let other = bench.begin();
    bench.pass(29.9);
    assert_eq!(bench.ask(Foreground), Err(Duration::ZERO));
    bench.pass(0.1);
    assert_eq!(bench.ask(Foreground), Err(secs(20)));
    assert_eq!(bench.last(), Some((HalfOpen, Open, Reason::ProbeOverdue)));
    bench.pass(20.0).calls(&[OK; 3]);
    assert_eq!(bench.state(), Closed);
    bench.end(hung, BAD).end(other, BAD);
    assert_eq!(bench.state(), Closed, "that was long ago");
}

#[test]
fn probes_of_an_older_generation_still_hold_their_permits() {
    let (mut bench, first) = Bench::probing(rules());
    let lasting = bench.begin();
    bench.end(first, BAD).pass(20.0);
    let probe = bench.begin();
    assert_eq!(bench.ask(Foreground), Err(Duration::ZERO), "two in flight");
    bench.end(lasting, BAD);
    assert_eq!(bench.state(), HalfOpen, "its outcome is of another time");
    let next = bench.begin();
    bench.end(probe, OK).end(next, OK).call(OK);
    assert_eq!(bench.state(), Closed);
}

#[test]
fn old_probes_do_not_keep_it_half_open_for_ever() {
    let rules = CircuitRules {
        half_open_permits: 1,
        open_for: secs(1),
        open_growth: 1.0,
        ..rules()
    };
    let mut bench = Bench::opened(rules);
    bench.pass(1.0);
    let hung = bench.begin();
    bench.circuit.force(Override::Open);
    bench.circuit.reset();
    bench.calls(&[BAD; 3]).pass(1.0);
    assert_eq!(bench.ask(Foreground), Err(Duration::ZERO));
    assert_eq!(bench.state(), HalfOpen);
    bench.pass(29.0).calls(&[OK; 3]);
    assert_eq!(bench.state(), Closed);
    bench.end(hung, OK);
}

// === Late outcomes ===

#[test]
fn a_call_that_began_before_the_circuit_opened_does_not_count_after() {
    let mut bench = Bench::new(rules());
    let late: Vec<Ticket> = (0..20).map(|_| bench.begin()).collect();
    bench.calls(&[BAD; 3]).pass(10.0);
    let probe = bench.begin();
    for (index, ticket) in late.into_iter().enumerate() {
        bench.end(ticket, if index % 2 == 0 { OK } else { BAD });
        assert_eq!(bench.state(), HalfOpen);
    }
    bench.end(probe, OK).calls(&[OK, OK]);
    assert_eq!(bench.state(), Closed);
    assert_eq!(bench.circuit.tally(bench.now), Tally::default());
    assert_eq!(bench.circuit.counts().failed, 13, "figures have them all");
}

#[test]
fn an_older_time_changes_nothing() {
    let mut bench = Bench::opened(rules());
    bench.now = Duration::ZERO;
    assert_eq!(bench.ask(Foreground), Err(secs(10)));
}

// === Orders ===

#[test]
fn an_override_lasts_whatever_the_outcomes_of_calls() {
    let orders = [
        (Override::Open, ForcedOpen),
        (Override::Closed, ForcedClosed),
        (Override::Disabled, Disabled),
    ];
    for (order, state) in orders {
        for mut bench in [
            Bench::new(rules()),
            Bench::opened(rules()),
            Bench::probing(rules()).0,
        ] {
            let before = bench.state();
            bench.told.extend(bench.circuit.force(order));
            assert_eq!(bench.last(), Some((before, state, Reason::Manual)));
            for _ in 0..50 {
                bench.pass(100.0);
                match bench.ask(Background) {
                    Ok(ticket) => _ = bench.end(ticket, BAD),
                    Err(_) => assert_eq!(state, ForcedOpen),
                }
            }
            assert_eq!(bench.state(), state);
            assert_eq!(bench.circuit.force(order), None, "told once");
            let told = bench.circuit.reset().expect("a change");
            assert_eq!((told.from, told.to), (state, Closed));
            bench.calls(&[BAD; 2]);
            assert_eq!(bench.state(), Closed, "starts afresh");
            bench.call(BAD);
            assert_eq!(bench.state(), Open);
        }
    }
}

#[test]
fn a_disabled_circuit_counts_nothing_and_a_forced_closed_one_does() {
    for (order, failed) in [(Override::Disabled, 0), (Override::Closed, 5)] {
        let mut bench = Bench::new(rules());
        bench.circuit.force(order);
        bench.calls(&[BAD; 5]);
        assert_eq!(bench.circuit.counts().failed, failed);
        assert_eq!(bench.circuit.tally(bench.now).failures, failed);
    }
}

#[test]
fn each_transition_has_a_new_generation_and_updates_the_fast_path() {
    let (mut bench, probe) = Bench::probing(rules());
    assert_eq!(bench.circuit.fast_path(), FastPath::AskCircuit);
    bench.end(probe, OK).calls(&[OK; 2]);
    assert_eq!(
        bench.circuit.fast_path(),
        FastPath::Counted { generation: 3 }
    );
    bench.circuit.force(Override::Disabled);
    assert_eq!(bench.circuit.fast_path(), FastPath::Uncounted);
    let generations: Vec<u64> = bench.told.iter().map(|told| told.generation).collect();
    assert_eq!(generations, [1, 2, 3]);
}

// === Parts ===

const PART_BAD: CallOutcome = PartFailed(Normal);

#[test]
fn a_part_that_fails_again_is_ignored_for_a_while() {
    let mut bench = Bench::new(rules());
    assert_eq!(bench.call_of(1, PART_BAD), PART_BAD);
    for _ in 0..50 {
        assert_eq!(bench.call_of(1, PART_BAD), Ignored);
    }
    assert_eq!((bench.state(), bench.circuit.counts().failed), (Closed, 1));
    // Failures of the service always count, but not one part alone opens the circuit in a row.
    assert_eq!(bench.call_of(1, BAD), BAD);
    assert_eq!(bench.state(), Closed);
    bench.pass(10.0);
    assert_eq!(bench.call_of(1, PART_BAD), PART_BAD);
}

#[test]
fn failures_in_a_row_of_three_parts_open_it() {
    for (parts, opens) in [
        (&[1, 2, 3][..], true),
        (&[1, 1, 2, 2, 1, 2], false),
        (&[1, 1, 1, 2, 2, 3], true),
    ] {
        let shares_never = CircuitRules {
            minimum_calls: 10,
            ..rules()
        };
        let mut bench = Bench::new(shares_never);
        for part in parts {
            bench.call_of(*part, PART_BAD);
        }
        assert_eq!(bench.state() == Open, opens, "{parts:?}");
    }
}

/// What is slow again and again is one slow part too.
#[test]
fn slow_calls_of_one_part_do_not_speak_for_the_others() {
    let slow = Succeeded(Slow);
    let mut bench = Bench::new(rules());
    let counted = [slow, slow, Cancelled(Slow), slow].map(|it| bench.call_of(1, it));
    assert_eq!(counted, [slow, Ignored, Ignored, Ignored]);
    assert_eq!(bench.state(), Closed);
    for part in 2..=4 {
        bench.call_of(part, slow);
    }
    assert_eq!(bench.state(), Open);
}

#[test]
fn a_part_whose_probe_opened_it_lets_others_probe_first() {
    for (bad, ending, reason) in [
        (Some(1), PART_BAD, Reason::ProbeFailed),
        (Some(1), Succeeded(Slow), Reason::ProbeSlow),
        // Failures of the service are nobody's.
        (None, BAD, Reason::ProbeFailed),
    ] {
        let mut bench = Bench::opened(rules());
        bench.pass(10.0);
        let probe = bench.ask_for(bad, Foreground).unwrap();
        bench.end_of(bad, probe, ending);
        assert_eq!(bench.last(), Some((HalfOpen, Open, reason)));
        // Open for 20 s, and ten more for the part.
        bench.pass(20.0);
        let again = bench.ask_for(bad, Foreground);
        assert_eq!(again.is_ok(), bad.is_none(), "{ending:?}");
        let Err(wait) = again else { continue };
        assert_eq!((wait, bench.state()), (secs(10), Open));
        for _ in 0..3 {
            assert_eq!(bench.call_of(2, OK), OK);
            if bench.state() == HalfOpen {
                bench.ask_for(bad, Foreground).unwrap_err();
            }
        }
        assert_eq!(bench.state(), Closed);
        // It begins anew: the part counts, once.
        assert_eq!(bench.call_of(1, PART_BAD), PART_BAD);
        assert_eq!(bench.state(), Closed);
    }
}

#[test]
fn a_part_that_nobody_else_probes_for_probes_ten_seconds_later() {
    let mut bench = Bench::opened(rules());
    bench.pass(10.0);
    let hanging = bench.ask_for(Some(1), Foreground).unwrap();
    bench.pass(30.0);
    // It is overdue, whoever finds out.
    bench.ask(Foreground).unwrap_err();
    assert_eq!(bench.last(), Some((HalfOpen, Open, Reason::ProbeOverdue)));
    bench.end_of(Some(1), hanging, OK);
    bench.pass(20.0 + 9.9);
    bench.ask_for(Some(1), Background).unwrap_err();
    bench.pass(0.1);
    bench.ask_for(Some(1), Foreground).unwrap();
}
