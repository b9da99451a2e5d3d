//! When the resources in memory are past their use, to the minute.
//!
//! It holds one line for each resource that is held: whoever leaves the cache, leaves the schedule.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    clock::{Clock, SystemClock},
    key::{BuildKeyHasher, KeyHash},
};

/// Resources freed at a time.
const MOST_AT_ONCE: usize = 32;

/// A minute since the schedule began. It may lie after what it stands for, never before.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Minute(u32);

/// Which resources are past their use from which minute on.
#[derive(Debug)]
pub(super) struct Schedule {
    clock: SystemClock,
    due: Mutex<Due>,
}

type Due = BTreeMap<Minute, HashSet<KeyHash, BuildKeyHasher>>;

impl Schedule {
    pub(super) fn new() -> Self {
        Self {
            clock: SystemClock::new(),
            due: Mutex::default(),
        }
    }

    pub(super) fn now(&self) -> Minute {
        minute(self.clock.monotonic().as_secs() / 60)
    }

    /// The minute that begins when at least `keep` has passed from now.
    pub(super) fn after(&self, keep: Duration) -> Minute {
        let end = self.clock.monotonic().saturating_add(keep);
        minute((end.as_secs() / 60).saturating_add(1))
    }

    /// Puts `key` down for `after`, and no longer for `before`.
    pub(super) fn replace(&self, key: KeyHash, before: Option<Minute>, after: Minute) {
        let mut due = self.due();
        if let Some(before) = before.filter(|before| *before != after) {
            strike(&mut due, key, before);
        }
        // Even if it is there: it may have been evicted, and struck off, while it was replaced.
        due.entry(after).or_default().insert(key);
    }

    /// Strikes `key` off.
    pub(super) fn remove(&self, key: KeyHash, until: Minute) {
        strike(&mut self.due(), key, until);
    }

    /// Takes out some of the keys that are put down for `now` or earlier.
    pub(super) fn take_due(&self, now: Minute) -> Vec<KeyHash> {
        let mut due = self.due();
        let mut taken = Vec::new();
        while let Some(mut first) = due.first_entry()
            && *first.key() <= now
        {
            let keys = first.get_mut();
            let room = MOST_AT_ONCE - taken.len();
            taken.extend(keys.extract_if(|_| true).take(room));
            if !keys.is_empty() {
                break;
            }
            first.remove();
        }
        taken
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.due().values().map(HashSet::len).sum()
    }

    fn due(&self) -> MutexGuard<'_, Due> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn strike(due: &mut Due, key: KeyHash, minute: Minute) {
    if let Some(keys) = due.get_mut(&minute) {
        keys.remove(&key);
        if keys.is_empty() {
            due.remove(&minute);
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
    async fn a_key_comes_up_once_its_time_has_passed_and_not_before() {
        let schedule = Schedule::new();
        let until = schedule.after(Duration::from_secs(90));
        schedule.replace(KeyHash::from(1), None, until);
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(schedule.take_due(schedule.now()), []);
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(schedule.take_due(schedule.now()), keys(1..2));
        assert_eq!(schedule.len(), 0);
    }

    #[test]
    fn many_that_are_due_come_up_a_few_at_a_time() {
        let schedule = Schedule::new();
        for (count, key) in keys(0..100).into_iter().enumerate() {
            schedule.replace(key, None, minute(count as u64 % 3));
        }
        let taken: Vec<usize> = (0..5).map(|_| schedule.take_due(minute(2)).len()).collect();
        assert_eq!(taken, [32, 32, 32, 4, 0]);
    }

    #[test]
    fn a_key_is_down_for_one_minute_at_a_time() {
        let schedule = Schedule::new();
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
