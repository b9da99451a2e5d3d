//! [`Caller`]: whose requests they are, and the fetches that this caller has left behind.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

/// A request extension that says which requests come from the same caller.
///
/// A fetch goes on when its client leaves, because others may want the response. A client that asks
/// and leaves, again and again, could cause any number of calls of the inner service in that way: over
/// HTTP/2 a request and its reset are a few bytes. So the service above makes a `Caller` for each
/// connection, or for whatever else it counts by, and puts a clone of it into the extensions of each
/// of its requests. Fetches whose clients have all left before the head of the response arrived count
/// against the caller whose request began them. When there are more than
/// [`max_abandoned`](crate::CacheBuilder::max_abandoned), the oldest one is cancelled. No request is
/// refused, and a fetch that somebody waits for does not count.
///
/// Fetches of requests without this extension are bounded for all of them together, by
/// [`max_fills`](crate::CacheBuilder::max_fills).
///
/// ```
/// use cachewarp::Caller;
/// # use http::Request;
///
/// // Once for each connection:
/// let caller = Caller::new();
/// // For each of its requests:
/// let mut request = Request::new(());
/// request.extensions_mut().insert(caller.clone());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Caller(Arc<Mutex<LeftBehind>>);

#[derive(Debug, Default)]
struct LeftBehind {
    next: u64,
    /// The oldest first.
    fetches: VecDeque<(u64, Arc<Notify>)>,
}

impl Caller {
    /// A caller that has sent nothing yet. Clones are the same caller.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a fetch that nobody waits for. If there are more than `most` by now, the oldest ones
    /// are cancelled.
    pub(crate) fn abandon(&self, most: usize) -> AbandonedFetch {
        let cancelled = Arc::new(Notify::new());
        let mut left = self.lock();
        let number = left.next;
        left.next += 1;
        left.fetches.push_back((number, Arc::clone(&cancelled)));
        while left.fetches.len() > most {
            if let Some((_, oldest)) = left.fetches.pop_front() {
                oldest.notify_one();
            }
        }
        AbandonedFetch {
            caller: self.clone(),
            number,
            cancelled,
        }
    }

    fn lock(&self) -> MutexGuard<'_, LeftBehind> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A fetch that nobody waits for. It counts until this is dropped.
#[derive(Debug)]
pub(crate) struct AbandonedFetch {
    caller: Caller,
    number: u64,
    cancelled: Arc<Notify>,
}

impl AbandonedFetch {
    /// Resolves when the caller has left too many others behind since.
    pub(crate) async fn cancelled(&self) {
        self.cancelled.notified().await;
    }
}

impl Drop for AbandonedFetch {
    fn drop(&mut self) {
        let mut left = self.caller.lock();
        let found = left
            .fetches
            .binary_search_by_key(&self.number, |(number, _)| *number);
        if let Ok(index) = found {
            left.fetches.remove(index);
        }
    }
}
