//! The account of the bytes of bodies that are more than stored: those that arrive, and those that
//! somebody reads, for as long as they are read.
//!
//! Why count what is read? A stored body that leaves memory while a client reads it stays in memory
//! all the same, and memory has room for the next one. Clients that ask for many large responses
//! and stop reading would hold all of them at once. So a body is in the account from its first
//! reader to its last, whether it is stored or not. Whatever is new needs room in the account; if
//! there is none, readers that stand still make it (see [`Account::make_room`]), or the new body is
//! not kept.

use std::{
    fmt::Debug,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use slab::Slab;
use tokio::time::Instant;

/// When the account was searched in vain for readers that stand still, it is searched again when the
/// next one may have stood still for long enough, but not before [`SHORTEST_PAUSE`].
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

const SHORTEST_PAUSE: Duration = Duration::from_millis(20);

/// Something that holds bytes of the account for its readers.
pub(crate) trait Holder: Debug + Send + Sync {
    /// What it would give back if its readers were cut off. `None` if it would give nothing back,
    /// or if its readers wait for the origin.
    fn held(&self, account: &Account) -> Option<Held>;

    /// Ends its readers with an error, and gives the bytes back to `account`.
    fn cut_off(&self, account: &Account);
}

/// What a holder holds.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Held {
    pub(crate) whose: Whose,
    pub(crate) bytes: u64,
    /// When one of its readers last took something.
    pub(crate) still_since: Instant,
}

/// Who needs the bytes, beside the readers.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Whose {
    /// The store has them too.
    Stored,
    /// Nobody: without the readers they are free.
    ReadersOnly,
}

/// Counts bytes up to a limit, and knows who holds them.
#[derive(Debug)]
pub(crate) struct Account {
    limit: u64,
    used: AtomicU64,
    holders: Mutex<Holders>,
}

#[derive(Debug)]
struct Holders {
    slots: Slab<Weak<dyn Holder>>,
    /// Until then, so many bytes and no more can be had of those that stand still.
    no_more_before: Option<(Instant, u64)>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Grant {
    Granted,
    Refused,
}

impl Account {
    pub(crate) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicU64::new(0),
            holders: Mutex::new(Holders {
                slots: Slab::new(),
                no_more_before: None,
            }),
        })
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The time by which stalled readers are told apart.
    pub(crate) fn now() -> Instant {
        Instant::now()
    }

    /// Takes bytes, if there is room for them.
    pub(crate) fn take(&self, bytes: u64) -> Grant {
        let fits = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        match taken {
            Ok(_) => Grant::Granted,
            Err(_) => Grant::Refused,
        }
    }

    /// Takes bytes that are there already, whether there is room for them or not.
    pub(super) fn take_regardless(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Adds a holder. Returns its place.
    pub(crate) fn enter(&self, holder: Weak<dyn Holder>) -> usize {
        self.holders().slots.insert(holder)
    }

    /// Removes the holder at `place`.
    pub(crate) fn leave(&self, place: usize) {
        self.holders().slots.try_remove(place);
    }

    /// Whether there is room for so many bytes more. If there is none, readers that have taken
    /// nothing for `stall` are cut off, the largest holder first, and first of all those whose bytes
    /// nobody else needs: only as many as it takes, and none if all of them were not enough.
    pub(crate) fn make_room(&self, bytes: u64, stall: Duration) -> Grant {
        let mut missing = self.missing(bytes);
        if missing > 0 && bytes <= self.limit {
            for holder in self.stalled(missing, stall) {
                holder.cut_off(self);
                missing = self.missing(bytes);
                if missing == 0 {
                    break;
                }
            }
        }
        match missing {
            0 => Grant::Granted,
            _ => Grant::Refused,
        }
    }

    fn missing(&self, bytes: u64) -> u64 {
        self.used().saturating_add(bytes).saturating_sub(self.limit)
    }

    /// The holders none of whose readers has taken anything for `stall`, in the order in which they
    /// are cut off. None if they hold less than `missing` together.
    fn stalled(&self, missing: u64, stall: Duration) -> Vec<Arc<dyn Holder>> {
        let now = Self::now();
        let holders = self.holders();
        if holders
            .no_more_before
            .is_some_and(|(then, bytes)| now < then && missing > bytes)
        {
            return Vec::new();
        }
        let all: Vec<Arc<dyn Holder>> = holders
            .slots
            .iter()
            .filter_map(|(_, holder)| holder.upgrade())
            .collect();
        // The holders have locks of their own, and enter and leave while they hold them.
        drop(holders);
        let mut stalled = Vec::new();
        let mut soonest = now + LONGEST_PAUSE;
        for holder in all {
            let Some(held) = holder.held(self) else {
                continue;
            };
            let due = held.still_since + stall;
            if due <= now {
                stalled.push((held, holder));
            } else {
                soonest = soonest.min(due);
            }
        }
        let total = stalled.iter().map(|(held, _)| held.bytes).sum::<u64>();
        if total < missing {
            let then = soonest.max(now + SHORTEST_PAUSE);
            self.holders().no_more_before = Some((then, total));
            return Vec::new();
        }
        self.holders().no_more_before = None;
        stalled.sort_unstable_by(|(one, _), (other, _)| other.cmp(one));
        stalled.into_iter().map(|(_, holder)| holder).collect()
    }

    fn holders(&self) -> MutexGuard<'_, Holders> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
