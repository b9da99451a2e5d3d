//! The body of a stored response, and its readers, which are counted.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    account::{Account, Held, Holder, Whose},
    parts::Segments,
};
use crate::error::FillError;

/// A body that is not kept beside its head. Entries with the same body share it.
pub(crate) struct StoredBody(Arc<SharedBody>);

impl StoredBody {
    pub(super) fn new(segments: Segments) -> Self {
        Self(Arc::new(SharedBody {
            bytes: segments.len(),
            pieces: segments.as_slice().len(),
            entries: AtomicUsize::new(1),
            state: Mutex::new(BodyState {
                segments,
                readers: 0,
                round: 0,
                still_since: None,
                place: 0,
            }),
        }))
    }

    /// The bytes that it holds on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        /// The two counters of an `Arc`, and one word of the allocator.
        const SHARED: usize = 24;
        let bytes = usize::try_from(self.0.bytes).unwrap_or(usize::MAX);
        let pieces = self.0.pieces * (size_of::<Bytes>() + 2 * SHARED);
        bytes + pieces + size_of::<SharedBody>() + SHARED
    }

    /// The body for one who is not a client and keeps an account of its own.
    pub(super) fn segments(&self) -> Segments {
        self.0.lock().segments.clone()
    }

    /// A reader. The first one adds the body to the account.
    pub(super) fn read(&self, account: &Arc<Account>) -> BodyReader {
        BodyReader::new(&self.0, account, Entered::Now)
    }

    /// A reader for which the account has the bytes already.
    pub(crate) fn take_over(&self, account: &Arc<Account>) -> BodyReader {
        BodyReader::new(&self.0, account, Entered::Before)
    }
}

impl Clone for StoredBody {
    fn clone(&self) -> Self {
        self.0.entries.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }
}

impl Drop for StoredBody {
    fn drop(&mut self) {
        self.0.entries.fetch_sub(1, Ordering::Release);
    }
}

/// What the entries and the readers of one body share.
#[derive(Debug)]
struct SharedBody {
    bytes: u64,
    pieces: usize,
    /// How many entries have it. Once there is none, there will never be one again.
    entries: AtomicUsize,
    state: Mutex<BodyState>,
}

#[derive(Debug)]
struct BodyState {
    /// Nothing once the body was taken from its readers.
    segments: Segments,
    /// How many readers there are, without those that were cut off.
    readers: usize,
    /// How often readers were cut off. Those of an earlier round are.
    round: u32,
    /// When a reader last took something. `None` before the first one.
    still_since: Option<Instant>,
    /// The place in the account, while there are readers.
    place: usize,
}

/// Whether the account has the bytes of a body that gets a reader.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Entered {
    Before,
    Now,
}

impl SharedBody {
    fn lock(&self) -> MutexGuard<'_, BodyState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn whose(&self) -> Whose {
        match self.entries.load(Ordering::Acquire) {
            0 => Whose::ReadersOnly,
            _ => Whose::Stored,
        }
    }
}

/// A reader of a stored body. The account counts the body until its last reader is dropped.
#[derive(Debug)]
pub(crate) struct BodyReader {
    body: Arc<SharedBody>,
    account: Arc<Account>,
    round: u32,
}

impl BodyReader {
    fn new(body: &Arc<SharedBody>, account: &Arc<Account>, entered: Entered) -> Self {
        let mut state = body.lock();
        state.readers += 1;
        state.still_since = Some(Account::now());
        match entered {
            Entered::Before if state.readers > 1 => account.give_back(body.bytes),
            Entered::Now if state.readers == 1 => account.take_regardless(body.bytes),
            Entered::Before | Entered::Now => {}
        }
        if state.readers == 1 {
            let holder: Weak<dyn Holder> = Arc::<SharedBody>::downgrade(body);
            state.place = account.enter(holder);
        }
        Self {
            round: state.round,
            body: Arc::clone(body),
            account: Arc::clone(account),
        }
    }

    /// One more reader like this one. `None` if this one was cut off.
    pub(crate) fn another(&self) -> Option<Self> {
        let mut state = self.body.lock();
        if state.round != self.round {
            return None;
        }
        state.readers += 1;
        Some(Self {
            round: self.round,
            body: Arc::clone(&self.body),
            account: Arc::clone(&self.account),
        })
    }

    /// The segment at `index`. An error if this reader was cut off.
    pub(super) fn segment(&self, index: usize) -> Result<Option<Bytes>, FillError> {
        let mut state = self.body.lock();
        if state.round != self.round {
            return Err(FillError::TooSlow);
        }
        state.still_since = Some(Account::now());
        Ok(state.segments.as_slice().get(index).cloned())
    }
}

impl Drop for BodyReader {
    fn drop(&mut self) {
        let mut state = self.body.lock();
        if state.round != self.round {
            return;
        }
        state.readers -= 1;
        if state.readers == 0 {
            self.account.leave(state.place);
            self.account.give_back(self.body.bytes);
        }
    }
}

impl Holder for SharedBody {
    fn held(&self, _: &Account) -> Option<Held> {
        let state = self.lock();
        let still_since = state.still_since.filter(|_| state.readers > 0)?;
        Some(Held {
            whose: self.whose(),
            bytes: self.bytes,
            still_since,
        })
    }

    fn cut_off(&self, account: &Account) {
        let mut state = self.lock();
        if state.readers == 0 {
            return;
        }
        state.readers = 0;
        state.round = state.round.wrapping_add(1);
        account.leave(state.place);
        account.give_back(self.bytes);
        let freed = match self.whose() {
            Whose::ReadersOnly => std::mem::take(&mut state.segments),
            Whose::Stored => Segments::Empty,
        };
        drop(state);
        drop(freed);
    }
}

impl fmt::Debug for StoredBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredBody({} bytes)", self.0.bytes)
    }
}
