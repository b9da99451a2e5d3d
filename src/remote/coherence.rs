//! Which entries in memory still stand for what the nodes share.
//!
//! Other nodes change what this one holds in memory. Redis tells of every change, over a connection
//! of its own, and each is counted in one of 65,536 slots by the name it happened under. An entry
//! carries a [`Witness`]: the count of its slot, as it was before the shared tier was asked for the
//! entry or its predecessor. While the count is the same the entry stands; when it is not, or the
//! connection was lost meanwhile, the shared tier is asked again before the entry is used.
//!
//! Names that share a slot distrust each other's entries, which costs a question and no more.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::{location::Place, names::Name};
use crate::codec::Stamp;

const SLOTS: usize = 1 << 16;

/// In place of a witness. Its era is odd, so nothing stands by it.
const REFUTED: u64 = u64::MAX;

/// What was known of the changes that concern one entry at one moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Witness(u64);

/// The slots whose changes concern an entry: that of its name, and that of its resource if it is a
/// partition of one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Concerns {
    own: u16,
    resource: Option<u16>,
}

impl Concerns {
    pub(super) fn of(place: &Place) -> Self {
        Self {
            own: slot(place.name),
            resource: place.partition_of.map(slot),
        }
    }
}

/// The changes that other nodes made, by slot.
#[derive(Debug)]
pub(crate) struct Trust {
    /// Odd while changes may go unnoticed. It moves on whenever the connection is lost or regained.
    era: AtomicU32,
    slots: Box<[AtomicU32]>,
}

impl Trust {
    /// Nothing is trusted until changes are told.
    pub(crate) fn new() -> Self {
        Self {
            era: AtomicU32::new(1),
            slots: (0..SLOTS).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    /// Changes are told from here on.
    pub(crate) fn regained(&self) {
        self.turn(0);
    }

    /// Changes may go unnoticed from here on.
    pub(crate) fn lost(&self) {
        self.turn(1);
    }

    pub(crate) fn changed(&self, name: Name) {
        self.slots[usize::from(slot(name))].fetch_add(1, Ordering::SeqCst);
    }

    /// Whether changes are told at this moment.
    pub(crate) fn is_told(&self) -> bool {
        self.era.load(Ordering::SeqCst).is_multiple_of(2)
    }

    /// To be called before the shared tier is asked.
    pub(crate) fn witness(&self, concerns: Concerns) -> Witness {
        let era = self.era.load(Ordering::SeqCst);
        Witness(u64::from(era) << 32 | u64::from(self.changes(concerns)))
    }

    /// Whether nothing changed since, as far as is known, and everything that did is known.
    fn stands(&self, concerns: Concerns, witness: Witness) -> bool {
        let now = self.witness(concerns);
        (now.0 >> 32).is_multiple_of(2) && now == witness
    }

    /// The changes so far: counters only grow, so their sum stands still while both do.
    pub(crate) fn changes(&self, concerns: Concerns) -> u32 {
        let count = |slot: u16| self.slots[usize::from(slot)].load(Ordering::SeqCst);
        let resource = concerns.resource.map_or(0, count);
        count(concerns.own).wrapping_add(resource)
    }

    fn turn(&self, parity: u32) {
        // Two of the same in a row count: what was lost may have been regained and lost again.
        let next = |era: u32| Some(era.wrapping_add(if era % 2 == parity { 2 } else { 1 }));
        // The closure never refuses.
        let _ = self
            .era
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, next);
    }
}

fn slot(name: Name) -> u16 {
    // The lowest bits: as many as there are slots.
    name.hash() as u16
}

/// What an entry knows of its place in the shared tier.
#[derive(Debug)]
pub(crate) struct Mark {
    concerns: Concerns,
    /// What it is kept under there, or will be. The version is that of no other response.
    stamp: Stamp,
    variant: Option<u64>,
    witness: AtomicU64,
}

impl Mark {
    pub(super) fn new(
        concerns: Concerns,
        stamp: Stamp,
        variant: Option<u64>,
        witness: Witness,
    ) -> Self {
        Self {
            concerns,
            stamp,
            variant,
            witness: AtomicU64::new(witness.0),
        }
    }

    pub(crate) fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Which of the variants it is, if there are several.
    pub(crate) fn variant(&self) -> Option<u64> {
        self.variant
    }

    /// The shared tier was asked after `witness` was taken, and has this very entry.
    pub(crate) fn confirm(&self, witness: Witness) {
        self.witness.store(witness.0, Ordering::Release);
    }

    /// The resource was invalidated on another node since.
    pub(crate) fn refute(&self) {
        self.witness.store(REFUTED, Ordering::Release);
    }

    pub(crate) fn is_refuted(&self) -> bool {
        self.witness.load(Ordering::Acquire) == REFUTED
    }

    pub(crate) fn stands(&self, trust: &Trust) -> bool {
        trust.stands(self.concerns, Witness(self.witness.load(Ordering::Acquire)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn concerns(own: u16, resource: Option<u16>) -> Concerns {
        Concerns { own, resource }
    }

    fn mark(concerns: Concerns, witness: Witness) -> Mark {
        Mark::new(concerns, Stamp::default(), None, witness)
    }

    #[test]
    fn an_entry_stands_until_its_name_changes_or_changes_may_go_unnoticed() {
        let trust = Trust::new();
        let (name, other) = (Name::of(b"a"), Name::of(b"b"));
        let own = concerns(slot(name), None);
        let mark = mark(own, trust.witness(own));
        let confirm = || mark.confirm(trust.witness(own));
        assert!(!mark.stands(&trust), "before anything is told");
        trust.regained();
        assert!(!mark.stands(&trust), "what was stored before");
        confirm();
        assert!(mark.stands(&trust));
        trust.changed(other);
        assert!(mark.stands(&trust));
        trust.changed(name);
        assert!(!mark.stands(&trust));
        confirm();
        assert!(mark.stands(&trust));
        trust.lost();
        assert!(!mark.stands(&trust));
        confirm();
        assert!(!mark.stands(&trust), "while nothing is told");
        trust.regained();
        assert!(!mark.stands(&trust));
        confirm();
        trust.regained();
        assert!(!mark.stands(&trust), "after a loss that nobody saw");
    }

    #[test]
    fn a_partition_stands_until_its_resource_changes() {
        let trust = Trust::new();
        trust.regained();
        let (name, resource) = (Name::of(b"a"), Name::of(b"b"));
        let both = concerns(slot(name), Some(slot(resource)));
        for change in [name, resource] {
            let mark = mark(both, trust.witness(both));
            assert!(mark.stands(&trust));
            trust.changed(change);
            assert!(!mark.stands(&trust));
        }
    }

    #[test]
    fn a_change_between_the_question_and_its_answer_is_noticed() {
        let trust = Trust::new();
        trust.regained();
        let name = Name::of(b"a");
        let own = concerns(slot(name), None);
        let witness = trust.witness(own);
        trust.changed(name);
        assert!(!mark(own, witness).stands(&trust));
    }
}
