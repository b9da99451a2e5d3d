//! The permits of a breaker: never more probes than permits, all permits come back, and nobody
//! waits for a service that a breaker no longer calls.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    task::Poll,
    time::Duration,
};

use shuttle::{
    future::block_on,
    rand::{Rng, thread_rng},
    thread,
};

use crate::{
    breaker::{
        event::{BreakerState, Transition},
        gate::{CallPermit, Environment, Gate, InnerCode, Passage, Refusing},
        rules::{CircuitRules, Extent},
        terms::{CallOutcome, Override},
        waiters::{Readiness, Waiters},
    },
    extensions::Priority,
};

/// Orders tried of each model.
const ORDERS: usize = 3000;

const PERMITS: u32 = 2;

/// An environment whose clock stands still until the test moves it.
struct Model {
    rules: CircuitRules,
    seconds: AtomicU64,
    /// Probes between their admission and their end, as the callers see it.
    probes: AtomicUsize,
    refusing: AtomicUsize,
    waiters: Waiters,
    closed_again: AtomicUsize,
}

impl Environment for Model {
    fn rules(&self) -> &CircuitRules {
        &self.rules
    }

    fn now(&self) -> Duration {
        Duration::from_secs(self.seconds.load(SeqCst))
    }

    fn refusing(&self, change: Refusing) {
        self.waiters.refusing(change);
        match change {
            Refusing::Begins => {
                let before = self.refusing.fetch_add(1, SeqCst);
                assert_eq!(before, 0, "one gate refuses once");
            }
            Refusing::Ceases => {
                let before = self.refusing.fetch_sub(1, SeqCst);
                assert_eq!(before, 1, "what ceases had begun");
            }
        }
    }

    fn changed(&self, _: &str, transition: &Transition) {
        if transition.to.refuses() && !transition.from.refuses() {
            self.waiters.wake_all();
        }
        if transition.to == BreakerState::Closed {
            self.closed_again.fetch_add(1, SeqCst);
        }
    }

    fn ended(&self, _: CallOutcome) {}

    fn refused(&self) {}
}

impl Model {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            rules: CircuitRules {
                window: Extent::Calls(4),
                minimum_calls: 4,
                consecutive_failures: Some(1),
                half_open_permits: PERMITS,
                half_open_successes: 2,
                probe_timeout: Duration::from_secs(1000),
                open_for: Duration::from_secs(10),
                open_growth: 1.0,
                open_jitter: 0.0,
                ..CircuitRules::default()
            },
            seconds: AtomicU64::new(0),
            probes: AtomicUsize::new(0),
            refusing: AtomicUsize::new(0),
            waiters: Waiters::default(),
            closed_again: AtomicUsize::new(0),
        })
    }

    fn pass(&self, seconds: u64) {
        self.seconds.fetch_add(seconds, SeqCst);
    }
}

fn gate(model: &Arc<Model>) -> Arc<Gate<Model>> {
    Arc::new(Gate::new(Arc::clone(model), "", 1))
}

/// A gate that has just opened, and whose time is up.
fn opened(model: &Arc<Model>) -> Arc<Gate<Model>> {
    let gate = gate(model);
    end(admit(&gate).expect("it is closed"), CallOutcome::Failed);
    assert_eq!(gate.state(), BreakerState::Open);
    model.pass(10);
    gate
}

fn admit(gate: &Arc<Gate<Model>>) -> Option<CallPermit<Model>> {
    match Arc::clone(gate).admit(Priority::Foreground, None) {
        Passage::Granted(permit) => Some(permit),
        Passage::Refused { .. } => None,
    }
}

fn end(permit: CallPermit<Model>, outcome: fn(crate::breaker::rules::Pace) -> CallOutcome) {
    permit.end(|took, rules| outcome(rules.pace(took)));
}

/// One call, from its permit to its end, counted on its way as a probe.
fn probe(model: &Model, gate: &Arc<Gate<Model>>, finish: impl FnOnce(CallPermit<Model>)) {
    let Some(permit) = admit(gate) else { return };
    let in_flight = model.probes.fetch_add(1, SeqCst) + 1;
    assert!(
        in_flight <= PERMITS as usize,
        "{in_flight} probes in flight"
    );
    thread::yield_now();
    model.probes.fetch_sub(1, SeqCst);
    finish(permit);
}

fn check(model: impl Fn() + Send + Sync + 'static) {
    let model = Arc::new(model);
    let random = Arc::clone(&model);
    shuttle::check_random(move || random(), ORDERS);
    shuttle::check_pct(move || model(), ORDERS, 3);
}

/// Every probe that may ever be in flight is cancelled or ignored, so none closes the circuit.
pub fn never_more_probes_than_permits_and_all_come_back() {
    check(|| {
        let model = Model::new();
        let gate = opened(&model);
        let callers: Vec<_> = (0..4)
            .map(|caller| {
                let (model, gate) = (Arc::clone(&model), Arc::clone(&gate));
                thread::spawn(move || {
                    for _ in 0..3 {
                        probe(&model, &gate, |permit| match caller % 2 {
                            0 => drop(permit),
                            _ => permit.end(|_, _| CallOutcome::Ignored),
                        });
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.join().expect("no panic");
        }
        assert_eq!(gate.state(), BreakerState::HalfOpen);
        let all: Vec<_> = (0..PERMITS)
            .map(|_| admit(&gate).expect("a permit"))
            .collect();
        assert!(admit(&gate).is_none(), "and no more than there are");
        drop(all);
    });
}

/// Probes fail, panic, succeed and go, while time passes: the circuit opens and probes many times.
pub fn never_more_probes_than_permits_over_many_openings() {
    check(|| {
        let model = Model::new();
        let gate = opened(&model);
        let callers: Vec<_> = (0..3)
            .map(|_| {
                let (model, gate) = (Arc::clone(&model), Arc::clone(&gate));
                thread::spawn(move || {
                    for _ in 0..4 {
                        // Until a probe has closed the circuit, whatever passes is a probe.
                        if model.closed_again.load(SeqCst) > 0 {
                            return;
                        }
                        probe(&model, &gate, |mut permit| {
                            match thread_rng().gen_range(0..4) {
                                0 => drop(permit),
                                1 => end(permit, CallOutcome::Failed),
                                2 => {
                                    permit.mark_inner(InnerCode::Running);
                                    drop(permit);
                                }
                                _ => permit.end(|_, _| CallOutcome::Ignored),
                            }
                        });
                        model.pass(5);
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.join().expect("no panic");
        }
        // Whatever happened, it finds its way back.
        model.pass(10);
        for _ in 0..2 {
            end(admit(&gate).expect("a permit"), CallOutcome::Succeeded);
        }
        assert_eq!(gate.state(), BreakerState::Closed);
        assert_eq!(model.refusing.load(SeqCst), 0);
    });
}

/// Late outcomes and an operator in between: what is left is always a gate that can be closed.
pub fn late_outcomes_and_orders_leave_no_gate_stuck() {
    check(|| {
        let model = Model::new();
        let gate = gate(&model);
        let callers: Vec<_> = (0..3)
            .map(|caller| {
                let (model, gate) = (Arc::clone(&model), Arc::clone(&gate));
                thread::spawn(move || {
                    for _ in 0..2 {
                        if let Some(permit) = admit(&gate) {
                            thread::yield_now();
                            end(
                                permit,
                                if caller == 0 {
                                    CallOutcome::Succeeded
                                } else {
                                    CallOutcome::Failed
                                },
                            );
                        }
                        model.pass(10);
                    }
                })
            })
            .collect();
        let operator = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || {
                gate.force(Override::Open);
                gate.force(Override::Closed);
                gate.reset();
            })
        };
        for caller in callers {
            caller.join().expect("no panic");
        }
        operator.join().expect("no panic");
        model.pass(10);
        for _ in 0..2 {
            end(
                admit(&gate).expect("it lets a call pass"),
                CallOutcome::Succeeded,
            );
        }
        assert_eq!(gate.state(), BreakerState::Closed);
        drop(gate);
        assert_eq!(model.refusing.load(SeqCst), 0);
    });
}

/// Calls from before the opening succeed while the gate probes: none of them closes it.
pub fn late_outcomes_close_nothing() {
    check(|| {
        let model = Model::new();
        let gate = gate(&model);
        let late: Vec<_> = (0..3).map(|_| admit(&gate).expect("closed")).collect();
        end(admit(&gate).expect("closed"), CallOutcome::Failed);
        model.pass(10);
        let mut callers: Vec<_> = late
            .into_iter()
            .map(|permit| thread::spawn(move || end(permit, CallOutcome::Succeeded)))
            .collect();
        let probing = Arc::clone(&gate);
        callers.push(thread::spawn(move || drop(admit(&probing))));
        for caller in callers {
            caller.join().expect("no panic");
        }
        assert_eq!(gate.state(), BreakerState::HalfOpen);
        assert_eq!(model.closed_again.load(SeqCst), 0);
    });
}

/// A gate that is forgotten while it refuses no longer counts as refusing, once its calls are gone.
pub fn a_forgotten_gate_refuses_nobody() {
    check(|| {
        let model = Model::new();
        let gate = gate(&model);
        let permits: Vec<_> = (0..2).map(|_| admit(&gate).expect("closed")).collect();
        drop(gate);
        let callers: Vec<_> = permits
            .into_iter()
            .map(|permit| thread::spawn(move || end(permit, CallOutcome::Failed)))
            .collect();
        for caller in callers {
            caller.join().expect("no panic");
        }
        assert_eq!(model.refusing.load(SeqCst), 0);
    });
}

/// A service waits for an inner one that is never ready. When the gate opens it must take the call:
/// were its waker missed, it would wait for ever, which shuttle reports as a deadlock.
pub fn nobody_waits_for_a_service_that_is_no_longer_called() {
    check(|| {
        let model = Model::new();
        let gate = gate(&model);
        let failing = admit(&gate).expect("it is closed");
        let waiter = {
            let (model, gate) = (Arc::clone(&model), Arc::clone(&gate));
            thread::spawn(move || {
                let id = model.waiters.new_id();
                block_on(poll_fn(|cx| match model.waiters.wait(id, cx.waker()) {
                    Readiness::Wait => Poll::Pending,
                    Readiness::TakeTheCall => Poll::Ready(()),
                }));
                assert!(admit(&gate).is_none(), "there is nothing to wait for");
            })
        };
        let given_up = {
            let model = Arc::clone(&model);
            thread::spawn(move || {
                let id = model.waiters.new_id();
                let waker = std::task::Waker::noop();
                if model.waiters.wait(id, waker) == Readiness::Wait {
                    model.waiters.leave(id);
                }
            })
        };
        end(failing, CallOutcome::Failed);
        waiter.join().expect("no panic");
        given_up.join().expect("no panic");
    });
}

/// The models do run their threads in different orders.
pub fn orders_differ() {
    static FIRST: AtomicBool = AtomicBool::new(false);
    static SECOND: AtomicBool = AtomicBool::new(false);
    check(|| {
        let turn = shuttle::sync::Arc::new(shuttle::sync::atomic::AtomicBool::new(false));
        let theirs = shuttle::sync::Arc::clone(&turn);
        let other =
            thread::spawn(move || theirs.store(true, shuttle::sync::atomic::Ordering::SeqCst));
        match turn.load(shuttle::sync::atomic::Ordering::SeqCst) {
            true => FIRST.store(true, SeqCst),
            false => SECOND.store(true, SeqCst),
        }
        other.join().expect("no panic");
    });
    assert!(FIRST.load(SeqCst) && SECOND.load(SeqCst));
}
