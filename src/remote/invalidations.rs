//! Invalidations that the shared tier does not have yet: which are sent first, and what happens
//! when there are too many.
//!
//! Until the tier has an invalidation, this node uses nothing from the tier that it concerns. One
//! that cannot be sent at once is sent again and again, until it succeeds.
//!
//! Writes to URLs that nobody stored must not delay the others, however many there are. So pending
//! invalidations wait in lanes, each of which is emptied by a task of its own: those of resources
//! that this node knows to be stored, all others, and for both those that could not be sent before.
//! No lane waits for another.
//!
//! If too many are pending, they are given up together, and the other nodes are told to distrust
//! all that was stored before (`distrust`). That covers each of them.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use super::names::Name;
use crate::semantics::decide::Validity;

/// How many invalidations are sent as one. The server does nothing else meanwhile, for less than a
/// millisecond.
const BATCH: usize = 128;

/// One invalidation of a resource.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct PendingInvalidation {
    pub(super) name: Name,
    /// The epoch that begins with it. No other invalidation has the same.
    pub(super) epoch: u64,
    /// What becomes of what was stored before.
    pub(super) validity: Validity,
}

/// Whether a resource is stored, as far as this node knows.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Known {
    /// Nothing is known to be stored. Other nodes may have stored something all the same.
    Nothing,
    Stored,
}

/// Which task sends an invalidation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Lane {
    /// Of resources that are known to be stored.
    Stored,
    /// Of all others.
    Unknown,
    /// Those of [`Stored`](Self::Stored) that could not be sent before.
    StoredAgain,
    /// Those of [`Unknown`](Self::Unknown) that could not be sent before.
    UnknownAgain,
}

impl Lane {
    const COUNT: usize = 4;

    fn first(known: Known) -> Self {
        match known {
            Known::Stored => Self::Stored,
            Known::Nothing => Self::Unknown,
        }
    }

    fn again(known: Known) -> Self {
        match known {
            Known::Stored => Self::StoredAgain,
            Known::Nothing => Self::UnknownAgain,
        }
    }
}

/// A task to start, as none does its work yet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum SendingTask {
    /// Sends the invalidations of a lane.
    Sending(Lane),
    /// Tells the other nodes to distrust everything.
    Distrusting,
}

/// What a pending invalidation means for a lookup in the shared tier.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Pending {
    Nothing,
    /// What the tier has is invalid, or a write got no answer. This epoch begins.
    Epoch(u64, Validity),
    /// What the tier has may be invalid, whatever it is.
    Everything,
}

/// The pending invalidations.
#[derive(Debug)]
pub(super) struct PendingInvalidations {
    /// How many there may be at once.
    most: usize,
    /// How many there are: every lookup asks, and usually there are none.
    count: AtomicUsize,
    /// Whether the other nodes are still to be told to distrust everything.
    everything: AtomicBool,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    pending: HashMap<Name, Waiting>,
    lanes: [LaneQueue; Lane::COUNT],
    /// How many places in lanes have been taken so far.
    places: u64,
    distrust: Announcement,
}

#[derive(Debug)]
struct Waiting {
    epoch: u64,
    validity: Validity,
    known: Known,
    /// Its lane, and its place there. `None` while it is being sent, so that no two of one name
    /// are.
    place: Option<(Lane, u64)>,
}

#[derive(Debug, Default)]
struct LaneQueue {
    /// The places in this lane. Some may have been left for a place in another.
    order: VecDeque<(Name, u64)>,
    /// Whether a task is sending them.
    sending: bool,
}

/// Whether the other nodes are to be told to distrust everything.
#[derive(Debug, Default)]
struct Announcement {
    due: Due,
    /// Whether a task tells them.
    telling: bool,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Due {
    #[default]
    Nothing,
    /// They are to be told.
    Everything,
    /// They are being told, which covers what was given up until now.
    Told,
}

impl PendingInvalidations {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            count: AtomicUsize::new(0),
            everything: AtomicBool::new(false),
            queue: Mutex::default(),
        }
    }

    /// What is pending of this name.
    pub(super) fn of(&self, name: Name) -> Pending {
        // In this order: when all are given up, the flag is set first.
        let count = self.count.load(Ordering::SeqCst);
        if self.everything.load(Ordering::SeqCst) {
            return Pending::Everything;
        }
        if count == 0 {
            return Pending::Nothing;
        }
        let queue = self.queue();
        match queue.pending.get(&name) {
            _ if queue.distrust.due != Due::Nothing => Pending::Everything,
            Some(waiting) => Pending::Epoch(waiting.epoch, waiting.validity),
            None => Pending::Nothing,
        }
    }

    /// Adds an invalidation. It replaces an older one of the same name, of which it keeps that what
    /// was stored before is invalidated, and not only unanswered. If too many are pending,
    /// all of them are given up, and everything is to be distrusted instead.
    pub(super) fn add(
        &self,
        invalidation: PendingInvalidation,
        known: Known,
    ) -> Option<SendingTask> {
        let PendingInvalidation {
            name,
            epoch,
            validity,
        } = invalidation;
        let mut queue = self.queue();
        let is_full = queue.pending.len() >= self.most;
        let start = match queue.pending.get_mut(&name) {
            Some(waiting) => {
                waiting.epoch = epoch;
                waiting.validity = waiting.validity.max(validity);
                let is_promoted = known > waiting.known && waiting.place.is_some();
                waiting.known = known.max(waiting.known);
                if is_promoted {
                    queue.wait(name, Lane::first(known))
                } else {
                    None
                }
            }
            None if is_full => queue.give_up(),
            None => {
                let place = None;
                let waiting = Waiting {
                    epoch,
                    validity,
                    known,
                    place,
                };
                queue.pending.insert(name, waiting);
                queue.wait(name, Lane::first(known))
            }
        };
        self.recount(&queue);
        start
    }

    /// The next invalidations of a lane, which are to be sent now. If there are none, the task of
    /// the lane ends.
    pub(super) fn next(&self, lane: Lane) -> Vec<PendingInvalidation> {
        let mut queue = self.queue();
        let Queue { pending, lanes, .. } = &mut *queue;
        let mut batch = Vec::new();
        let LaneQueue { order, sending } = &mut lanes[lane as usize];
        while batch.len() < BATCH
            && let Some((name, place)) = order.pop_front()
        {
            if let Some(waiting) = pending.get_mut(&name)
                && waiting.place == Some((lane, place))
            {
                waiting.place = None;
                batch.push(PendingInvalidation {
                    name,
                    epoch: waiting.epoch,
                    validity: waiting.validity,
                });
            }
        }
        *sending = !batch.is_empty();
        batch
    }

    /// The tier has this invalidation now.
    pub(super) fn sent(&self, invalidation: PendingInvalidation) -> Option<SendingTask> {
        let PendingInvalidation { name, epoch, .. } = invalidation;
        let mut queue = self.queue();
        let start = match queue.pending.get(&name) {
            Some(waiting) if waiting.epoch == epoch => {
                queue.pending.remove(&name);
                None
            }
            // Another one came while it was being sent.
            Some(waiting) if waiting.place.is_none() => {
                let lane = Lane::first(waiting.known);
                queue.wait(name, lane)
            }
            Some(_) | None => None,
        };
        self.recount(&queue);
        start
    }

    /// This invalidation could not be sent.
    pub(super) fn failed(&self, invalidation: PendingInvalidation) -> Option<SendingTask> {
        let name = invalidation.name;
        let mut queue = self.queue();
        match queue.pending.get(&name) {
            Some(waiting) if waiting.place.is_none() => {
                let lane = Lane::again(waiting.known);
                queue.wait(name, lane)
            }
            Some(_) | None => None,
        }
    }

    /// How many are pending.
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// How many invalidations wait in a lane, at most.
    pub(super) fn len(&self, lane: Lane) -> usize {
        self.queue().lanes[lane as usize].order.len()
    }

    /// The task of a lane has ended, for whatever reason.
    pub(super) fn sending_ended(&self, lane: Lane) {
        self.queue().lanes[lane as usize].sending = false;
    }

    /// Whether the other nodes are to be told now to distrust everything. If not, the task that
    /// tells them ends.
    pub(super) fn next_distrust(&self) -> bool {
        let distrust = &mut self.queue().distrust;
        if distrust.due != Due::Nothing {
            distrust.due = Due::Told;
        }
        distrust.telling = distrust.due != Due::Nothing;
        distrust.telling
    }

    /// The other nodes have been told to distrust everything.
    pub(super) fn distrust_told(&self) {
        let distrust = &mut self.queue().distrust;
        // Otherwise more has been given up since.
        if distrust.due == Due::Told {
            distrust.due = Due::Nothing;
            self.everything.store(false, Ordering::SeqCst);
        }
    }

    /// The task that tells the other nodes has ended, for whatever reason.
    pub(super) fn telling_ended(&self) {
        self.queue().distrust.telling = false;
    }

    fn recount(&self, queue: &Queue) {
        if queue.distrust.due == Due::Everything {
            self.everything.store(true, Ordering::SeqCst);
        }
        self.count.store(queue.pending.len(), Ordering::SeqCst);
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Lets an invalidation wait in a lane.
    fn wait(&mut self, name: Name, lane: Lane) -> Option<SendingTask> {
        let Self { pending, lanes, .. } = self;
        self.places += 1;
        pending.get_mut(&name)?.place = Some((lane, self.places));
        let LaneQueue { order, sending } = &mut lanes[lane as usize];
        if order.len() > 2 * pending.len() + BATCH {
            // More than half of the places have been left.
            order.retain(|(name, place)| {
                pending
                    .get(name)
                    .is_some_and(|it| it.place == Some((lane, *place)))
            });
        }
        order.push_back((name, self.places));
        let is_sending = std::mem::replace(sending, true);
        (!is_sending).then_some(SendingTask::Sending(lane))
    }

    /// Gives up what is pending, and the one that was to be added.
    fn give_up(&mut self) -> Option<SendingTask> {
        self.pending.clear();
        self.lanes.iter_mut().for_each(|lane| lane.order.clear());
        self.distrust.due = Due::Everything;
        let is_telling = std::mem::replace(&mut self.distrust.telling, true);
        (!is_telling).then_some(SendingTask::Distrusting)
    }
}

#[cfg(test)]
mod tests;
