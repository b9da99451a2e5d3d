//! The schedule by which the memory tier removes expired resources, to the minute.
//!
//! It lists each stored resource exactly once: a key that leaves the store leaves the schedule too.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    clock::{Clock, ElapsedClock, SystemClock},
    key::{BuildKeyHasher, KeyHash},
};

/// How many expired keys one call takes out at most.
const MAX_TAKEN_AT_ONCE: usize = 32;

/// A point in time, in minutes since the schedule was made. Times are rounded up, never down.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Minute(u32);

/// The stored keys by the minute from which on their resources are expired.
#[derive(Debug)]
pub(super) struct ExpirySchedule {
    clock: ElapsedClock,
    keys: Mutex<KeysByMinute>,
}

type KeysByMinute = BTreeMap<Minute, HashSet<KeyHash, BuildKeyHasher>>;

impl ExpirySchedule {
    pub(super) fn new() -> Self {
        Self {
            clock: ElapsedClock::new(SystemClock::new()),
            keys: Mutex::default(),
        }
    }

    pub(super) fn now(&self) -> Minute {
        minute(self.clock.monotonic().as_secs() / 60)
    }

    /// The first minute that begins after `keep` has passed from now.
    pub(super) fn after(&self, keep: Duration) -> Minute {
        let end = self.clock.monotonic().saturating_add(keep);
        minute((end.as_secs() / 60).saturating_add(1))
    }

    /// Schedules `key` for `new`, and no longer for `old`.
    pub(super) fn replace(&self, key: KeyHash, old: Option<Minute>, new: Minute) {
        let mut keys = self.keys();
        if let Some(old) = old.filter(|old| *old != new) {
            remove(&mut keys, key, old);
        }
        // Insert even if both are the same minute: while the resource was being replaced, it may
        // have been evicted, and its key removed from the schedule.
        keys.entry(new).or_default().insert(key);
    }

    /// Removes `key`, which is scheduled for `minute`.
    pub(super) fn remove(&self, key: KeyHash, minute: Minute) {
        remove(&mut self.keys(), key, minute);
    }

    /// Takes out some of the keys that are scheduled for `now` or earlier.
    pub(super) fn take_due(&self, now: Minute) -> Vec<KeyHash> {
        let mut keys = self.keys();
        let mut taken = Vec::new();
        while let Some(mut first) = keys.first_entry()
            && *first.key() <= now
        {
            let due = first.get_mut();
            let room = MAX_TAKEN_AT_ONCE - taken.len();
            taken.extend(due.extract_if(|_| true).take(room));
            if !due.is_empty() {
                break;
            }
            first.remove();
        }
        taken
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.keys().values().map(HashSet::len).sum()
    }

    fn keys(&self) -> MutexGuard<'_, KeysByMinute> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remove(keys: &mut KeysByMinute, key: KeyHash, minute: Minute) {
    if let Some(scheduled) = keys.get_mut(&minute) {
        scheduled.remove(&key);
        if scheduled.is_empty() {
            keys.remove(&minute);
        }
    }
}

fn minute(count: u64) -> Minute {
    Minute(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(range: std::ops::Range<u64>) -> Vec<KeyHash> {
        range.map(KeyHash::from).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_due_once_its_time_has_passed_and_not_before() {
        let schedule = ExpirySchedule::new();
        let expires_at = schedule.after(Duration::from_secs(90));
        schedule.replace(KeyHash::from(1), None, expires_at);
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(schedule.take_due(schedule.now()), []);
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(schedule.take_due(schedule.now()), keys(1..2));
        assert_eq!(schedule.len(), 0);
    }

    #[test]
    fn due_keys_are_taken_a_few_at_a_time() {
        let schedule = ExpirySchedule::new();
        for (count, key) in keys(0..100).into_iter().enumerate() {
            schedule.replace(key, None, minute(count as u64 % 3));
        }
        let taken: Vec<usize> = (0..5).map(|_| schedule.take_due(minute(2)).len()).collect();
        assert_eq!(taken, [32, 32, 32, 4, 0]);
    }

    #[test]
    fn a_key_is_scheduled_for_one_minute_at_a_time() {
        let schedule = ExpirySchedule::new();
        let key = KeyHash::from(7);
        schedule.replace(key, None, minute(1));
        schedule.replace(key, Some(minute(1)), minute(5));
        schedule.replace(key, Some(minute(5)), minute(5));
        assert_eq!(schedule.len(), 1);
        assert_eq!(schedule.take_due(minute(4)), []);
        schedule.remove(key, minute(5));
        assert_eq!(schedule.len(), 0);
    }
}
