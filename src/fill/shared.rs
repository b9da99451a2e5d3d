//! What the recorder and the readers of one body share.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use slab::Slab;
use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::{
    limits::Limits,
    state::{CutOff, FillState, Keeping},
};
use crate::entry::{Account, Entry, Grant, Held, Holder, Whose};

/// What a body is received for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum FillPurpose {
    /// To be stored, if it is not too large.
    Store,
    /// For its readers only.
    Deliver,
}

/// One body, shared by its recorder and its readers.
#[derive(Debug)]
pub(crate) struct Fill {
    pub(super) account: Arc<Account>,
    /// The length that the head declared.
    pub(super) declared: Option<u64>,
    /// What the body is received for.
    pub(super) purpose: FillPurpose,
    /// The place in the account.
    place: usize,
    /// Wakes the recorder when a reader moved on or was dropped.
    pub(super) moved: Notify,
    pub(super) state: Mutex<FillState>,
}

impl Fill {
    /// A body that is kept whole if its length allows it, and if the account has room. Readers that
    /// stand still make room.
    pub(crate) fn new(declared: Option<u64>, account: &Arc<Account>, limits: &Limits) -> Arc<Self> {
        // A body of unknown length needs room for its first byte.
        let bytes = declared
            .filter(|length| *length <= limits.max_body)
            .unwrap_or(1);
        let keeping = match account.make_room(bytes, limits.reader_stall) {
            Grant::Granted => Keeping::Whole,
            Grant::Refused => Keeping::NoRoom,
        };
        Self::with(FillPurpose::Store, keeping, declared, account)
    }

    /// A body that is not kept, whatever its length. It ends with its last reader.
    pub(crate) fn not_kept(declared: Option<u64>, account: &Arc<Account>) -> Arc<Self> {
        Self::with(FillPurpose::Deliver, Keeping::Window, declared, account)
    }

    fn with(
        purpose: FillPurpose,
        keeping: Keeping,
        declared: Option<u64>,
        account: &Arc<Account>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|fill: &Weak<Self>| Self {
            account: Arc::clone(account),
            declared,
            purpose,
            place: account.enter(Weak::<Self>::clone(fill)),
            moved: Notify::new(),
            state: Mutex::new(FillState {
                ended: None,
                keeping,
                loose: 0,
                loose_bytes: 0,
                moved_at: None,
                permit: None,
                read_at: Account::now(),
                readers: Slab::new(),
                received: 0,
                segments: VecDeque::new(),
                stored: None,
                taken: 0,
            }),
        })
    }

    /// The length that the head declared.
    pub(crate) fn declared(&self) -> Option<u64> {
        self.declared
    }

    /// Whether the account had room for it when it began.
    pub(crate) fn begins(&self) -> Beginning {
        match self.lock().keeping {
            Keeping::NoRoom => Beginning::NotKept,
            Keeping::Whole | Keeping::Window => Beginning::Kept,
        }
    }

    /// Holds the permit of a fill until the body ends, or is no longer kept whole.
    pub(crate) fn hold(&self, permit: OwnedSemaphorePermit) {
        self.lock().permit = Some(permit);
    }

    /// The body is stored in `entry` from now on. Those who still read it read what is stored there,
    /// which the account counts in place of the fill.
    pub(crate) fn hand_over(&self, entry: &Entry) {
        let mut state = self.lock();
        let taken = std::mem::take(&mut state.taken);
        let Some(body) = entry.counted_body() else {
            self.account.give_back(taken);
            return;
        };
        state.stored = Some(body.take_over(&self.account));
        let segments = std::mem::take(&mut state.segments);
        drop(state);
        drop(segments);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, FillState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a fill begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Beginning {
    Kept,
    /// There is no room for it: it is only delivered.
    NotKept,
}

impl Drop for Fill {
    fn drop(&mut self) {
        self.account.leave(self.place);
        let taken = self.lock().taken;
        self.account.give_back(taken);
    }
}

impl Holder for Fill {
    fn held(&self, account: &Account) -> Option<Held> {
        let mut state = self.lock();
        // The store needs what is kept whole.
        if state.keeping == Keeping::Whole && state.ended.is_none() || state.stored.is_some() {
            return None;
        }
        let span = state.reader_span()?;
        account.give_back(state.release(span.slowest));
        if span.slowest >= state.received || state.taken == 0 {
            return None;
        }
        let moved_at = state.moved_at.unwrap_or(state.read_at);
        Some(Held {
            whose: Whose::ReadersOnly,
            bytes: state.taken,
            still_since: state.read_at.max(moved_at),
        })
    }

    fn cut_off(&self, account: &Account) {
        let mut state = self.lock();
        let mut wakers = Vec::new();
        for (_, reader) in &mut state.readers {
            if reader.is_reading() {
                reader.cut_off = CutOff::Yes;
                wakers.extend(reader.waker.take());
            }
        }
        account.give_back(std::mem::take(&mut state.taken));
        let freed = state.release_all();
        drop(state);
        drop(freed);
        wakers.into_iter().for_each(std::task::Waker::wake);
        self.moved.notify_one();
    }
}
