//! Keeps what memory answers from looking unused in the shared tier.
//!
//! A server that must evict something takes what was not read for a while, or was read seldom
//! (`allkeys-lru`, `allkeys-lfu`). Of a response that every node has in memory it sees no read at
//! all: the most popular one looks coldest. Once it is evicted, all nodes hear of that and ask the
//! origin. So a hit in memory touches the response there, without a round trip of its own: eight times
//! a second at most, so that the server can tell how popular it is, and all of a node together in the
//! background, a bounded number at a time. The log of purges is touched with them: without it nothing
//! that the tier holds may be used.

use std::{
    mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, task::JoinHandle, time::sleep};

use super::{
    names::{Name, purges},
    store::RemoteStore,
};
use crate::{
    entry::RemoteVersion,
    key::{Dimensions, RequestKey},
};

/// For how long touches are gathered before they are sent. A server that replaces all it holds in
/// less than that keeps nothing anyway.
const GATHER: Duration = Duration::from_millis(250);

/// The most responses that are touched at a time. The others' turn is the next time that they are
/// hit.
const MOST: usize = 1024;

/// The most that are touched at a time if some were touched within the last second. What is left is
/// for those that were not.
const MOST_AGAIN: usize = MOST / 2;

/// The most names in one command: the server does nothing else meanwhile.
const NAMES: usize = 256;

/// The touches that a node has yet to send, and the task that sends them.
#[derive(Debug)]
pub(super) struct Touches {
    queue: Arc<TouchQueue>,
    task: JoinHandle<()>,
}

impl Touches {
    /// Starts the task, on the server's runtime.
    pub(super) fn new(store: Arc<dyn RemoteStore>) -> Self {
        let queue = Arc::new(TouchQueue {
            added: Notify::new(),
            length: AtomicUsize::new(0),
            waiting: Mutex::new(Vec::with_capacity(MOST)),
        });
        let runtime = store.runtime().clone();
        Self {
            task: runtime.spawn(send(Arc::clone(&queue), store)),
            queue,
        }
    }

    /// Notes that memory answered with this version at `now`. Never waits, and allocates nothing.
    pub(super) fn add(&self, version: &RemoteVersion, key: &RequestKey, now: Duration) {
        let most = match version.since_touch(now) {
            0 => return,
            1..8 => MOST_AGAIN,
            _ => MOST,
        };
        if self.queue.length.load(Ordering::Relaxed) < most {
            self.queue.push(version, key, now);
        }
    }
}

impl Drop for Touches {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A response to touch.
#[derive(Debug)]
struct Touch {
    name: Name,
    variant: Option<u64>,
    /// The resource whose tombstone a partition is compared with.
    partition_of: Option<Name>,
}

impl Touch {
    /// What a lookup of the response reads.
    fn names(self, namespace: &str) -> impl Iterator<Item = String> + use<> {
        let variant = self.variant.map(|id| self.name.variant(namespace, id));
        let tombstone = self.partition_of.map(|name| name.tombstone(namespace));
        let main = self.name.main(namespace);
        [Some(main), variant, tombstone].into_iter().flatten()
    }
}

#[derive(Debug)]
struct TouchQueue {
    added: Notify,
    /// Of the list. Hits read it, so that they leave the lock alone while there is no room.
    length: AtomicUsize,
    waiting: Mutex<Vec<Touch>>,
}

impl TouchQueue {
    #[cold]
    #[inline(never)]
    fn push(&self, version: &RemoteVersion, key: &RequestKey, now: Duration) {
        // A hit does not wait for another one, and there are more to come.
        let Ok(mut waiting) = self.waiting.try_lock() else {
            return;
        };
        if waiting.len() < MOST {
            waiting.push(Touch {
                name: Name::of(key.as_bytes()),
                variant: version.variant(),
                partition_of: match key.dimensions() {
                    Dimensions::Plain => None,
                    Dimensions::Extended => Some(Name::of(key.resource_bytes())),
                },
            });
            version.touched_at(now);
        }
        self.length.store(waiting.len(), Ordering::Relaxed);
        drop(waiting);
        self.added.notify_one();
    }

    /// Takes all touches, and leaves an empty list with room for as many.
    fn take(&self, batch: &mut Vec<Touch>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        mem::swap(&mut *waiting, batch);
        self.length.store(0, Ordering::Relaxed);
    }
}

/// Sends what is added, until it is aborted.
async fn send(queue: Arc<TouchQueue>, store: Arc<dyn RemoteStore>) {
    let mut batch = Vec::with_capacity(MOST);
    loop {
        queue.added.notified().await;
        sleep(GATHER).await;
        queue.take(&mut batch);
        let namespace = &store.limits().namespace;
        let touched = batch.drain(..);
        let names = touched.flat_map(|it| it.names(namespace));
        // Without the log of purges none of them may be used.
        let names: Vec<_> = names.chain([purges(namespace)]).collect();
        for names in names.chunks(NAMES) {
            if !store.is_available() {
                break;
            }
            if let Err(error) = store.touch(names).await {
                tracing::debug!(%error, "responses in the shared tier were not touched");
            }
        }
    }
}
