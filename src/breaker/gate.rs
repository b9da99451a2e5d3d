//! The gate: one circuit behind a lock, and the permits that it grants.
//!
//! While the circuit is closed, a call begins without the lock: an atomic word next to the lock
//! says that calls pass. A permit is a guard. However its call ends (with an outcome, dropped
//! before its end, or in a panic), the circuit counts the end once and the permit is free again.

use std::time::Duration;

use super::{
    event::{BreakerState, Transition},
    rules::CircuitRules,
    state::Circuit,
    sync::{Arc, AtomicU64, Mutex, Ordering, PoisonError},
    terms::{CallOutcome, Counts, FastPath, Override, Part, Permission, Ticket},
    window::Tally,
};
use crate::extensions::Priority;

/// What a gate needs from outside, and what it reports.
pub(crate) trait Environment {
    fn rules(&self) -> &CircuitRules;

    /// Monotonic time.
    fn now(&self) -> Duration;

    /// Called when a gate begins or ceases to refuse calls. The gate's lock is held, so the calls
    /// come in order.
    fn refusing(&self, change: Refusing);

    /// Called when a circuit changed its state. No lock is held.
    fn changed(&self, key: &str, transition: &Transition);

    /// Called when a counted call ended.
    fn ended(&self, outcome: CallOutcome);

    /// Called when a call was refused.
    fn refused(&self);
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Refusing {
    Begins,
    Ceases,
}

/// What the gate answers to a request.
#[derive(Debug)]
pub(crate) enum Passage<E: Environment> {
    Granted(CallPermit<E>),
    Refused {
        gate: Arc<Gate<E>>,
        retry_after: Duration,
    },
}

/// One circuit, shared by the calls with its key.
#[derive(Debug)]
pub(crate) struct Gate<E: Environment> {
    environment: Arc<E>,
    key: Box<str>,
    /// The circuit's fast path, written under its lock. Readers may see the previous value: that is
    /// as if they had come a moment earlier.
    fast_path: AtomicU64,
    circuit: Mutex<Circuit>,
    /// When the key was last looked up, by the counter of [`Keys`](super::keys::Keys).
    pub(super) used: AtomicU64,
}

impl<E: Environment> Gate<E> {
    pub(crate) fn new(environment: Arc<E>, key: &str, seed: u64) -> Self {
        let circuit = Circuit::new(environment.rules(), seed);
        Self {
            environment,
            key: key.into(),
            fast_path: AtomicU64::new(pack(circuit.fast_path())),
            circuit: Mutex::new(circuit),
            used: AtomicU64::new(0),
        }
    }

    pub(crate) fn admit(self: Arc<Self>, priority: Priority, part: Option<Part>) -> Passage<E> {
        let now = self.environment.now();
        let ticket = match unpack(self.fast_path.load(Ordering::Acquire)) {
            FastPath::Counted { generation } => Ticket::Counted { generation },
            FastPath::Uncounted => Ticket::Uncounted,
            FastPath::AskCircuit => {
                let rules = self.environment.rules();
                match self.change(|circuit| circuit.admit(rules, priority, part, now)) {
                    Permission::Granted(ticket) => ticket,
                    Permission::Refused { retry_after } => {
                        self.environment.refused();
                        let gate = self;
                        return Passage::Refused { gate, retry_after };
                    }
                }
            }
        };
        Passage::Granted(CallPermit {
            gate: self,
            ticket: Some(ticket),
            part,
            began: now,
            inner_code: InnerCode::NotRunning,
        })
    }

    pub(crate) fn force(&self, to: Override) {
        self.change(|circuit| ((), circuit.force(to)));
    }

    pub(crate) fn reset(&self) {
        self.change(|circuit| ((), circuit.reset()));
    }

    pub(crate) fn state(&self) -> BreakerState {
        self.locked(|circuit| circuit.state())
    }

    pub(crate) fn stats(&self) -> (Counts, Tally) {
        let now = self.environment.now();
        self.locked(|circuit| (circuit.counts(), circuit.tally(now)))
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    fn end_call(&self, ticket: Ticket, part: Option<Part>, outcome: CallOutcome, now: Duration) {
        if ticket == Ticket::Uncounted {
            return;
        }
        let rules = self.environment.rules();
        let counted = self.change(|circuit| circuit.end_call(rules, ticket, part, outcome, now));
        self.environment.ended(counted);
    }

    /// Changes the circuit, and reports a change of its state once the lock is free again.
    fn change<T>(&self, step: impl FnOnce(&mut Circuit) -> (T, Option<Transition>)) -> T {
        let (done, transition) = self.locked(|circuit| {
            let before = circuit.fast_path();
            let (done, transition) = step(circuit);
            let after = circuit.fast_path();
            if before != after {
                self.fast_path.store(pack(after), Ordering::Release);
                match (
                    before == FastPath::AskCircuit,
                    after == FastPath::AskCircuit,
                ) {
                    (false, true) => self.environment.refusing(Refusing::Begins),
                    (true, false) => self.environment.refusing(Refusing::Ceases),
                    (true, true) | (false, false) => {}
                }
            }
            (done, transition)
        });
        if let Some(transition) = transition {
            self.environment.changed(&self.key, &transition);
        }
        done
    }

    fn locked<T>(&self, at: impl FnOnce(&mut Circuit) -> T) -> T {
        // A poisoned lock is fine: no operation of the circuit leaves it half changed.
        at(&mut self.circuit.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<E: Environment> Drop for Gate<E> {
    fn drop(&mut self) {
        // A key that was evicted no longer refuses calls.
        if unpack(self.fast_path.load(Ordering::Acquire)) == FastPath::AskCircuit {
            self.environment.refusing(Refusing::Ceases);
        }
    }
}

/// Admits one call. It is held until the call ends.
#[derive(Debug)]
pub(crate) struct CallPermit<E: Environment> {
    gate: Arc<Gate<E>>,
    /// `None` once it was handed back.
    ticket: Option<Ticket>,
    part: Option<Part>,
    began: Duration,
    inner_code: InnerCode,
}

/// Whether the code of the inner service is running. A permit that is dropped while it runs is
/// dropped by a panic.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum InnerCode {
    NotRunning,
    Running,
}

impl<E: Environment> CallPermit<E> {
    pub(crate) fn mark_inner(&mut self, inner_code: InnerCode) {
        self.inner_code = inner_code;
    }

    /// Hands the permit back. `judge` gets the duration of the call and says how it ended.
    pub(crate) fn end(mut self, judge: impl FnOnce(Duration, &CircuitRules) -> CallOutcome) {
        let now = self.gate.environment.now();
        let took = now.saturating_sub(self.began);
        let outcome = judge(took, self.gate.environment.rules());
        if let Some(ticket) = self.ticket.take() {
            self.gate.end_call(ticket, self.part, outcome, now);
        }
    }
}

impl<E: Environment> Drop for CallPermit<E> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        let now = self.gate.environment.now();
        let pace = self
            .gate
            .environment
            .rules()
            .pace(now.saturating_sub(self.began));
        let outcome = match self.inner_code {
            InnerCode::NotRunning => CallOutcome::Cancelled(pace),
            InnerCode::Running => CallOutcome::Failed(pace),
        };
        self.gate.end_call(ticket, self.part, outcome, now);
    }
}

/// Packs the fast path into one word: the variant in the low two bits, the generation above them.
fn pack(fast_path: FastPath) -> u64 {
    match fast_path {
        FastPath::AskCircuit => 0,
        FastPath::Counted { generation } => generation << 2 | 1,
        FastPath::Uncounted => 2,
    }
}

fn unpack(word: u64) -> FastPath {
    match word & 3 {
        1 => FastPath::Counted {
            generation: word >> 2,
        },
        2 => FastPath::Uncounted,
        _ => FastPath::AskCircuit,
    }
}
