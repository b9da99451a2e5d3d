//! What calls pass through: one circuit behind a lock, and the permits it hands out.
//!
//! While calls pass freely they do not take the lock to begin: a copy of what they get stands beside
//! it in one atomic word. A permit is a guard. However its call ends (with an outcome, dropped half
//! way, in a panic), the circuit learns of it once, and what it held is free again.

use std::time::Duration;

use super::{
    event::{BreakerState, Transition},
    rules::Rules,
    state::Circuit,
    sync::{Arc, AtomicU64, Mutex, Ordering, PoisonError},
    terms::{Admission, Counts, Ending, Lane, Override, Ticket},
    window::Tally,
};
use crate::extensions::Priority;

/// What a gate has to know of the world, and what it tells it.
pub(crate) trait World {
    fn rules(&self) -> &Rules;

    /// Monotonic.
    fn now(&self) -> Duration;

    /// A gate begins or ceases to refuse calls. Called under the gate's lock, so in the right order.
    fn refusing(&self, change: Refusing);

    /// Called outside of any lock.
    fn changed(&self, key: &str, transition: &Transition);

    /// A call that was counted has ended.
    fn ended(&self, ending: Ending);

    fn refused(&self);
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Refusing {
    Begins,
    Ceases,
}

/// What a request gets at the gate.
#[derive(Debug)]
pub(crate) enum Passage<W: World> {
    Granted(Permit<W>),
    Refused {
        gate: Arc<Gate<W>>,
        retry_after: Duration,
    },
}

/// One circuit, shared by the calls with its key.
#[derive(Debug)]
pub(crate) struct Gate<W: World> {
    world: Arc<W>,
    key: Box<str>,
    /// The circuit's lane, written under its lock. A reader may see the one before the last, as if
    /// it had come a moment earlier.
    lane: AtomicU64,
    circuit: Mutex<Circuit>,
    /// When its key was last asked for, as its table counts.
    pub(super) used: AtomicU64,
}

impl<W: World> Gate<W> {
    pub(crate) fn new(world: Arc<W>, key: &str, seed: u64) -> Self {
        let circuit = Circuit::new(world.rules(), seed);
        Self {
            world,
            key: key.into(),
            lane: AtomicU64::new(pack(circuit.lane())),
            circuit: Mutex::new(circuit),
            used: AtomicU64::new(0),
        }
    }

    pub(crate) fn admit(self: Arc<Self>, priority: Priority) -> Passage<W> {
        let now = self.world.now();
        let ticket = match unpack(self.lane.load(Ordering::Acquire)) {
            Lane::Counted { generation } => Ticket::Counted { generation },
            Lane::Free => Ticket::Free,
            Lane::Ask => {
                let rules = self.world.rules();
                match self.change(|circuit| circuit.admit(rules, priority, now)) {
                    Admission::Pass(ticket) => ticket,
                    Admission::Refuse { retry_after } => {
                        self.world.refused();
                        let gate = self;
                        return Passage::Refused { gate, retry_after };
                    }
                }
            }
        };
        Passage::Granted(Permit {
            gate: self,
            ticket: Some(ticket),
            began: now,
            at_work: AtWork::No,
        })
    }

    pub(crate) fn force(&self, to: Override) {
        self.change(|circuit| ((), circuit.force(to)));
    }

    pub(crate) fn reset(&self) {
        self.change(|circuit| ((), circuit.reset()));
    }

    pub(crate) fn state(&self) -> BreakerState {
        self.look(|circuit| circuit.state())
    }

    pub(crate) fn stats(&self) -> (Counts, Tally) {
        let now = self.world.now();
        self.look(|circuit| (circuit.counts(), circuit.tally(now)))
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    fn settle(&self, ticket: Ticket, ending: Ending, now: Duration) {
        if ticket == Ticket::Free {
            return;
        }
        let rules = self.world.rules();
        self.change(|circuit| ((), circuit.settle(rules, ticket, ending, now)));
        self.world.ended(ending);
    }

    /// Lets `step` change the circuit, and tells everybody once the lock is free again.
    fn change<T>(&self, step: impl FnOnce(&mut Circuit) -> (T, Option<Transition>)) -> T {
        let (done, transition) = self.look(|circuit| {
            let before = circuit.lane();
            let (done, transition) = step(circuit);
            let after = circuit.lane();
            if before != after {
                self.lane.store(pack(after), Ordering::Release);
                match (before == Lane::Ask, after == Lane::Ask) {
                    (false, true) => self.world.refusing(Refusing::Begins),
                    (true, false) => self.world.refusing(Refusing::Ceases),
                    (true, true) | (false, false) => {}
                }
            }
            (done, transition)
        });
        if let Some(transition) = transition {
            self.world.changed(&self.key, &transition);
        }
        done
    }

    fn look<T>(&self, at: impl FnOnce(&mut Circuit) -> T) -> T {
        // No step of the circuit panics half way.
        at(&mut self.circuit.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<W: World> Drop for Gate<W> {
    fn drop(&mut self) {
        // A key that was forgotten no longer refuses anybody.
        if unpack(self.lane.load(Ordering::Acquire)) == Lane::Ask {
            self.world.refusing(Refusing::Ceases);
        }
    }
}

/// What lets one call through, for as long as it takes.
#[derive(Debug)]
pub(crate) struct Permit<W: World> {
    gate: Arc<Gate<W>>,
    /// `None` once it is handed back.
    ticket: Option<Ticket>,
    began: Duration,
    at_work: AtWork,
}

/// Whether the inner service's code runs at this moment. A permit that goes then goes in its panic.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AtWork {
    No,
    Yes,
}

impl<W: World> Permit<W> {
    pub(crate) fn at_work(&mut self, at_work: AtWork) {
        self.at_work = at_work;
    }

    /// How the call ended, from how long it took.
    pub(crate) fn end(mut self, ending: impl FnOnce(Duration, &Rules) -> Ending) {
        let now = self.gate.world.now();
        let took = now.saturating_sub(self.began);
        let ending = ending(took, self.gate.world.rules());
        if let Some(ticket) = self.ticket.take() {
            self.gate.settle(ticket, ending, now);
        }
    }
}

impl<W: World> Drop for Permit<W> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        let now = self.gate.world.now();
        let pace = self.gate.world.rules().pace(now.saturating_sub(self.began));
        let ending = match self.at_work {
            AtWork::No => Ending::Cancelled(pace),
            AtWork::Yes => Ending::Failed(pace),
        };
        self.gate.settle(ticket, ending, now);
    }
}

/// The lane in one word: which in the low two bits, the generation in the others.
fn pack(lane: Lane) -> u64 {
    match lane {
        Lane::Ask => 0,
        Lane::Counted { generation } => generation << 2 | 1,
        Lane::Free => 2,
    }
}

fn unpack(word: u64) -> Lane {
    match word & 3 {
        1 => Lane::Counted {
            generation: word >> 2,
        },
        2 => Lane::Free,
        _ => Lane::Ask,
    }
}
