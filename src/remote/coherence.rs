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
//!
//! If the shared tier has nothing for an entry, it may have been evicted there, or invalidated so
//! long ago that the tombstone has expired. So invalidations are notified under a name of their
//! own, and the tracker remembers for each slot when there was the last one. So are writes that got
//! no answer.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use super::{fence::FILL_LIMIT, location::RemoteKey, names::Name};
use crate::entry::{RemoteVersion, Slots, Snapshot};

const SLOTS: usize = 1 << 16;

/// By how much the arrival of a response may seem later than it was: clocks of nodes differ.
const CLOCKS_DIFFER: u32 = 5;

/// Counts the changes that other nodes made, by slot.
#[derive(Debug)]
pub(crate) struct ChangeTracker {
    /// Odd while changes may go unnoticed. It moves on whenever the connection is lost or regained.
    era: AtomicU32,
    slots: Box<[AtomicU32]>,
    /// When the last invalidation was noticed, by slot. This and the other times are in seconds by
    /// the monotonic clock, and begin at one: zero is for never.
    invalidated: Box<[AtomicU32]>,
    /// The same of writes that got no answer.
    unanswered: Box<[AtomicU32]>,
    /// Since when changes have been going unnoticed. Zero while they do not.
    unnoticed_since: AtomicU32,
    /// When changes had last gone unnoticed for longer than a tombstone is certain to live.
    blind_until: AtomicU32,
}

impl ChangeTracker {
    /// Begins disconnected: no entry is current until there are change notifications.
    pub(super) fn new(now: Duration) -> Self {
        let slots = || (0..SLOTS).map(|_| AtomicU32::new(0)).collect();
        Self {
            era: AtomicU32::new(1),
            slots: slots(),
            invalidated: slots(),
            unanswered: slots(),
            unnoticed_since: AtomicU32::new(seconds(now)),
            blind_until: AtomicU32::new(0),
        }
    }

    /// Every change is notified from here on.
    pub(super) fn connected(&self, now: Duration) {
        let since = self.unnoticed_since.swap(0, Ordering::SeqCst);
        if since != 0 && is_long(since, now) {
            self.blind_until.store(seconds(now), Ordering::SeqCst);
        }
        self.next_era(0);
    }

    /// Changes may go unnoticed from here on.
    pub(super) fn disconnected(&self, now: Duration) {
        self.next_era(1);
        let (never, relaxed) = (0, Ordering::SeqCst);
        // Unless they have been for longer.
        let _ = self
            .unnoticed_since
            .compare_exchange(never, seconds(now), relaxed, relaxed);
    }

    pub(super) fn changed(&self, name: Name) {
        self.slots[usize::from(slot(name))].fetch_add(1, Ordering::SeqCst);
    }

    /// A resource was invalidated, by the notification.
    pub(super) fn invalidated(&self, name: Name, now: Duration) {
        self.invalidated[usize::from(slot(name))].store(seconds(now), Ordering::SeqCst);
        self.changed(name);
    }

    /// A write to a resource got no answer, by the notification.
    pub(super) fn unanswered(&self, name: Name, now: Duration) {
        self.unanswered[usize::from(slot(name))].store(seconds(now), Ordering::SeqCst);
        self.changed(name);
    }

    /// Everything may have changed.
    pub(super) fn everything_changed(&self) {
        self.era.fetch_add(2, Ordering::SeqCst);
    }

    /// Whether an entry that arrived at this time, and is gone from the shared tier, may have been
    /// invalidated since.
    pub(crate) fn may_be_invalidated(
        &self,
        slots: Slots,
        arrived: Duration,
        now: Duration,
    ) -> bool {
        let last = self.invalidated[usize::from(slots.own)].load(Ordering::SeqCst);
        let blind = self.blind_until.load(Ordering::SeqCst);
        let unnoticed = self.unnoticed_since.load(Ordering::SeqCst);
        let last = last.max(blind);
        is_since(last, arrived) || (unnoticed != 0 && is_long(unnoticed, now))
    }

    /// Whether a write that got no answer was noticed since an entry arrived at this time.
    pub(crate) fn may_be_unanswered(&self, slots: Slots, arrived: Duration) -> bool {
        let last = self.unanswered[usize::from(slots.own)].load(Ordering::SeqCst);
        is_since(last, arrived)
    }

    /// Whether every change was notified since the shared tier was last known to have this version.
    pub(crate) fn has_noticed_all(&self, version: &RemoteVersion) -> bool {
        let now = self.snapshot(version.slots());
        now.is_connected_with(version.snapshot())
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

/// A time by the monotonic clock, in seconds from one on.
fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs())
        .unwrap_or(u32::MAX)
        .saturating_add(1)
}

/// Whether something was noticed after a response had arrived, or just before.
fn is_since(noticed: u32, arrived: Duration) -> bool {
    noticed != 0 && noticed.saturating_add(CLOCKS_DIFFER) >= seconds(arrived)
}

/// Whether a tombstone from then may have expired by now.
fn is_long(since: u32, now: Duration) -> bool {
    u64::from(seconds(now).saturating_sub(since)) >= FILL_LIMIT.as_secs()
}

fn slot(name: Name) -> u16 {
    // The lowest bits: there are as many slots.
    name.hash() as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{codec::Stamp, semantics::decide::Validity};

    const NOW: Duration = Duration::from_secs(1000);

    fn slots(own: u16, resource: Option<u16>) -> Slots {
        Slots { own, resource }
    }

    fn version(slots: Slots, snapshot: Snapshot) -> RemoteVersion {
        RemoteVersion::new(slots, Stamp::default(), None, snapshot)
    }

    #[test]
    fn an_entry_is_current_until_its_name_changes_or_changes_may_go_unnoticed() {
        let tracker = ChangeTracker::new(NOW);
        let (name, other) = (Name::of(b"a"), Name::of(b"b"));
        let own = slots(slot(name), None);
        let version = version(own, tracker.snapshot(own));
        let validate = || version.validated_at(tracker.snapshot(own));
        assert!(!tracker.is_current(&version), "before any notification");
        tracker.connected(NOW);
        assert!(!tracker.is_current(&version), "stored before");
        validate();
        assert!(tracker.is_current(&version));
        tracker.changed(other);
        assert!(tracker.is_current(&version));
        tracker.changed(name);
        assert!(!tracker.is_current(&version));
        validate();
        assert!(tracker.is_current(&version));
        tracker.disconnected(NOW);
        assert!(!tracker.is_current(&version));
        validate();
        assert!(!tracker.is_current(&version), "while disconnected");
        tracker.connected(NOW);
        assert!(!tracker.is_current(&version));
        validate();
        tracker.connected(NOW);
        assert!(!tracker.is_current(&version), "after an unseen loss");
    }

    #[test]
    fn a_partition_is_current_until_its_resource_changes() {
        let tracker = ChangeTracker::new(NOW);
        tracker.connected(NOW);
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
        let tracker = ChangeTracker::new(NOW);
        tracker.connected(NOW);
        let name = Name::of(b"a");
        let own = slots(slot(name), None);
        let snapshot = tracker.snapshot(own);
        tracker.changed(name);
        assert!(!tracker.is_current(&version(own, snapshot)));
    }

    #[test]
    fn what_was_invalidated_is_never_current() {
        let tracker = ChangeTracker::new(NOW);
        tracker.connected(NOW);
        let own = slots(1, None);
        let version = version(own, tracker.snapshot(own));
        version.invalidate();
        assert_eq!(version.validity(), Validity::Invalidated);
        assert!(!tracker.is_current(&version));
    }

    #[test]
    fn what_is_gone_from_the_tier_may_be_invalidated_if_that_was_noticed_since() {
        let (tracker, name) = (ChangeTracker::new(NOW), Name::of(b"a"));
        let own = slots(slot(name), None);
        let other = slots(slot(Name::of(b"b")), None);
        let second = Duration::from_secs(1);
        let long_after = NOW + 100 * FILL_LIMIT;
        let at = NOW + Duration::from_secs(20);
        tracker.connected(NOW);
        let may_be = |slots, arrived| tracker.may_be_invalidated(slots, arrived, long_after);
        tracker.changed(name);
        assert!(
            !may_be(own, NOW),
            "it changed: an eviction, or another response"
        );
        tracker.invalidated(name, at);
        for (what, slots, arrived, expected) in [
            ("it arrived before", own, NOW, true),
            ("just then", own, at, true),
            ("or so it seems", own, at + 5 * second, true),
            ("it arrived after that", own, at + 6 * second, false),
            ("another resource", other, NOW, false),
        ] {
            assert_eq!(may_be(slots, arrived), expected, "{what}");
        }
    }

    #[test]
    fn a_write_without_an_answer_is_no_invalidation() {
        let (tracker, name) = (ChangeTracker::new(NOW), Name::of(b"a"));
        let own = slots(slot(name), None);
        let second = Duration::from_secs(1);
        tracker.connected(NOW);
        let version = version(own, tracker.snapshot(own));
        assert!(!tracker.may_be_unanswered(own, NOW));
        tracker.unanswered(name, NOW + second);
        assert!(!tracker.is_current(&version));
        assert!(!tracker.may_be_invalidated(own, NOW, NOW + second));
        assert!(tracker.may_be_unanswered(own, NOW));
        assert!(!tracker.may_be_unanswered(own, NOW + 10 * second));
        let other = slots(slot(Name::of(b"b")), None);
        assert!(!tracker.may_be_unanswered(other, NOW));
    }

    #[test]
    fn all_was_noticed_while_the_connection_held() {
        let tracker = ChangeTracker::new(NOW);
        let own = slots(1, None);
        let version = || version(own, tracker.snapshot(own));
        let before = version();
        assert!(!tracker.has_noticed_all(&before), "not connected yet");
        tracker.connected(NOW);
        assert!(!tracker.has_noticed_all(&before));
        let connected = version();
        tracker.changed(Name::of(b"a"));
        assert!(tracker.has_noticed_all(&connected));
        tracker.disconnected(NOW);
        assert!(!tracker.has_noticed_all(&connected));
        assert!(!tracker.has_noticed_all(&version()));
        tracker.connected(NOW);
        assert!(!tracker.has_noticed_all(&connected));
        let connected = version();
        tracker.everything_changed();
        assert!(!tracker.has_noticed_all(&connected));
        connected.invalidate();
        assert!(!tracker.has_noticed_all(&connected));
    }

    #[test]
    fn an_invalidation_is_stronger_than_a_write_without_an_answer() {
        let tracker = ChangeTracker::new(NOW);
        let own = slots(1, None);
        let version = version(own, tracker.snapshot(own));
        assert!(!version.is_unanswered_in(0));
        version.unanswered_in(7);
        for version in [&version, &version.copied()] {
            assert_eq!(version.validity(), Validity::Unanswered);
            assert!(version.is_unanswered_in(7) && !version.is_unanswered_in(8));
        }
        version.invalidate();
        version.unanswered_in(8);
        for version in [&version, &version.copied()] {
            assert_eq!(version.validity(), Validity::Invalidated);
        }
    }

    #[test]
    fn what_is_gone_from_the_tier_may_be_invalidated_if_much_went_unnoticed() {
        let tracker = ChangeTracker::new(NOW);
        let own = slots(1, None);
        let second = Duration::from_secs(1);
        let (short, long) = (FILL_LIMIT - second, FILL_LIMIT);
        let may_be = |arrived, now| tracker.may_be_invalidated(own, arrived, now);
        assert!(!may_be(NOW, NOW + short), "it would find the tombstone");
        assert!(may_be(NOW, NOW + long));
        tracker.connected(NOW + short);
        assert!(!may_be(NOW, NOW + long));
        // A short loss, then one that is reported twice and is long.
        let lost = NOW + 2 * long;
        tracker.disconnected(lost);
        tracker.connected(lost + short);
        assert!(!may_be(NOW, lost + 2 * long));
        tracker.disconnected(lost + long);
        tracker.disconnected(lost + long + short);
        assert!(!may_be(NOW, lost + long + short));
        assert!(may_be(NOW, lost + 2 * long));
        tracker.connected(lost + 2 * long);
        assert!(
            may_be(NOW, lost + 3 * long),
            "of the time before, all is unknown"
        );
        assert!(!may_be(lost + 2 * long + 6 * second, lost + 3 * long));
    }

    #[test]
    fn everything_changes_at_once() {
        let tracker = ChangeTracker::new(NOW);
        let own = slots(1, None);
        let before = version(own, tracker.snapshot(own));
        tracker.everything_changed();
        assert!(!tracker.is_connected());
        assert!(!tracker.is_current(&before));
        tracker.connected(NOW);
        let before = version(own, tracker.snapshot(own));
        assert!(tracker.is_current(&before));
        tracker.everything_changed();
        assert!(tracker.is_connected());
        assert!(!tracker.is_current(&before));
    }
}
