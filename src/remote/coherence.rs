//! Coherence of memory with the shared tier: which entries in memory are still current there.
//!
//! Other nodes change what this one holds in memory. The server notifies it of every change over a
//! connection of its own, and each is counted in one of 65,536 slots, by a hash of the name that
//! changed. An entry carries a [`Snapshot`] of the counters of its slots, taken before the shared
//! tier was asked for the entry or its predecessor. While the counters are the same, the entry is
//! current. When they are not, or the connection was lost in the meantime, the shared tier is asked
//! again before the entry is used.
//!
//! Names that share a slot make each other's entries look changed. That costs one question to the
//! shared tier, no more.

use std::sync::atomic::{AtomicU32, Ordering};

use super::{location::RemoteKey, names::Name};
use crate::entry::{RemoteVersion, Slots, Snapshot};

const SLOTS: usize = 1 << 16;

/// Counts the changes that other nodes made, by slot.
#[derive(Debug)]
pub(crate) struct ChangeTracker {
    /// Odd while changes may go unnoticed. It moves on whenever the connection is lost or regained.
    era: AtomicU32,
    slots: Box<[AtomicU32]>,
}

impl ChangeTracker {
    /// Begins disconnected: no entry is current until there are change notifications.
    pub(super) fn new() -> Self {
        Self {
            era: AtomicU32::new(1),
            slots: (0..SLOTS).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    /// Every change is notified from here on.
    pub(super) fn connected(&self) {
        self.next_era(0);
    }

    /// Changes may go unnoticed from here on.
    pub(super) fn disconnected(&self) {
        self.next_era(1);
    }

    pub(super) fn changed(&self, name: Name) {
        self.slots[usize::from(slot(name))].fetch_add(1, Ordering::SeqCst);
    }

    /// Whether changes are notified at this moment.
    pub(crate) fn is_connected(&self) -> bool {
        self.era.load(Ordering::SeqCst).is_multiple_of(2)
    }

    /// The state of these slots. Take it before the shared tier is asked.
    pub(crate) fn snapshot(&self, slots: Slots) -> Snapshot {
        let era = self.era.load(Ordering::SeqCst);
        Snapshot::new(era, self.changes(slots))
    }

    /// Whether nothing changed since the version was validated, and no change can have gone
    /// unnoticed.
    pub(crate) fn is_current(&self, version: &RemoteVersion) -> bool {
        let now = self.snapshot(version.slots());
        now.is_connected() && now == version.snapshot()
    }

    /// The number of changes so far. Counters only grow, so their sum changes if one of them does.
    pub(crate) fn changes(&self, slots: Slots) -> u32 {
        let count = |slot: u16| self.slots[usize::from(slot)].load(Ordering::SeqCst);
        let resource = slots.resource.map_or(0, count);
        count(slots.own).wrapping_add(resource)
    }

    fn next_era(&self, parity: u32) {
        // Twice the same parity in a row is a new era too: a lost connection may have been regained
        // and lost again.
        let next = |era: u32| Some(era.wrapping_add(if era % 2 == parity { 2 } else { 1 }));
        // The closure never refuses.
        let _ = self
            .era
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, next);
    }
}

/// The slots whose changes concern the response stored under a key.
pub(crate) fn slots_of(key: &RemoteKey) -> Slots {
    Slots {
        own: slot(key.name),
        resource: key.partition_of.map(slot),
    }
}

fn slot(name: Name) -> u16 {
    // The lowest bits: there are as many slots.
    name.hash() as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{codec::Stamp, semantics::decide::Validity};

    fn slots(own: u16, resource: Option<u16>) -> Slots {
        Slots { own, resource }
    }

    fn version(slots: Slots, snapshot: Snapshot) -> RemoteVersion {
        RemoteVersion::new(slots, Stamp::default(), None, snapshot)
    }

    #[test]
    fn an_entry_is_current_until_its_name_changes_or_changes_may_go_unnoticed() {
        let tracker = ChangeTracker::new();
        let (name, other) = (Name::of(b"a"), Name::of(b"b"));
        let own = slots(slot(name), None);
        let version = version(own, tracker.snapshot(own));
        let validate = || version.validated_at(tracker.snapshot(own));
        assert!(!tracker.is_current(&version), "before any notification");
        tracker.connected();
        assert!(!tracker.is_current(&version), "stored before");
        validate();
        assert!(tracker.is_current(&version));
        tracker.changed(other);
        assert!(tracker.is_current(&version));
        tracker.changed(name);
        assert!(!tracker.is_current(&version));
        validate();
        assert!(tracker.is_current(&version));
        tracker.disconnected();
        assert!(!tracker.is_current(&version));
        validate();
        assert!(!tracker.is_current(&version), "while disconnected");
        tracker.connected();
        assert!(!tracker.is_current(&version));
        validate();
        tracker.connected();
        assert!(!tracker.is_current(&version), "after an unseen loss");
    }

    #[test]
    fn a_partition_is_current_until_its_resource_changes() {
        let tracker = ChangeTracker::new();
        tracker.connected();
        let (name, resource) = (Name::of(b"a"), Name::of(b"b"));
        let both = slots(slot(name), Some(slot(resource)));
        for change in [name, resource] {
            let version = version(both, tracker.snapshot(both));
            assert!(tracker.is_current(&version));
            tracker.changed(change);
            assert!(!tracker.is_current(&version));
        }
    }

    #[test]
    fn a_change_between_the_question_and_its_answer_is_noticed() {
        let tracker = ChangeTracker::new();
        tracker.connected();
        let name = Name::of(b"a");
        let own = slots(slot(name), None);
        let snapshot = tracker.snapshot(own);
        tracker.changed(name);
        assert!(!tracker.is_current(&version(own, snapshot)));
    }

    #[test]
    fn what_was_invalidated_is_never_current() {
        let tracker = ChangeTracker::new();
        tracker.connected();
        let own = slots(1, None);
        let version = version(own, tracker.snapshot(own));
        version.invalidate();
        assert_eq!(version.validity(), Validity::Invalidated);
        assert!(!tracker.is_current(&version));
    }
}
