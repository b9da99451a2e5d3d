//! The lease: which node may fetch a response from the origin, among all that want the same.
//!
//! A node that fetches stores a token under a name in the shared tier, for a few seconds at a time
//! and again for as long as it fetches. The others wait for a change of that name: then the
//! response is there, or the lease is not. A node that dies delays the others by what is left of
//! its lease. This is no lock: while the shared tier does not answer, each node fetches for itself.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::sleep;

use super::remote::Remote;
use crate::executor::{Executor, Tasks};

/// For how long a lease is acquired, and prolonged.
const LEASE: Duration = Duration::from_secs(3);

/// How long a note stays for the nodes that come later.
const NOTE_FOR: Duration = Duration::from_secs(1);

/// What the holder of a lease tells the nodes that wait for its fetch, as soon as it knows that
/// they cannot use it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum LeaseNote {
    /// Each node must fetch for itself: the response may be shared by clients, but is too large for
    /// the shared tier.
    FetchAlone,
    /// Each request must go to the origin: the response is for one client.
    Uncacheable,
}

impl LeaseNote {
    fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::FetchAlone => b"alone",
            Self::Uncacheable => b"uncacheable",
        }
    }

    fn parse(stored: &[u8]) -> Option<Self> {
        let all = [Self::FetchAlone, Self::Uncacheable];
        all.into_iter().find(|note| note.as_bytes() == stored)
    }
}

/// What became of an attempt to acquire a lease, by what the node does next.
#[derive(Debug)]
pub(crate) enum LeaseOutcome {
    /// Fetch, for all nodes.
    Acquired(Arc<Lease>),
    /// Wait: another node holds it.
    Held,
    /// Do as the note of the last holder says.
    Noted(LeaseNote),
    /// Fetch, for this node: the shared tier did not answer.
    Unavailable,
}

/// A lease that this node holds. It is released when it is dropped.
pub(crate) struct Lease {
    remote: Arc<Remote>,
    tasks: Tasks,
    name: String,
    token: Bytes,
    posted: Mutex<Option<LeaseNote>>,
}

impl Lease {
    /// Acquires the lease of this name, unless another node holds it. `executor` runs the task that
    /// prolongs it, and `tasks` counts the one that releases it.
    pub(crate) async fn acquire(
        remote: &Arc<Remote>,
        name: String,
        tasks: &Tasks,
        executor: &dyn Executor,
    ) -> LeaseOutcome {
        let store = &remote.store;
        let token = Bytes::copy_from_slice(&remote.nonce().to_be_bytes());
        match store.acquire(&name, &token, LEASE).await {
            Ok(true) => {}
            Ok(false) => {
                let stored = store.get(&name).await;
                return match stored.map(|it| it.and_then(|it| LeaseNote::parse(&it))) {
                    Ok(Some(note)) => LeaseOutcome::Noted(note),
                    Ok(None) => LeaseOutcome::Held,
                    Err(_) => LeaseOutcome::Unavailable,
                };
            }
            Err(_) => {
                // It may have been acquired all the same.
                let releases = Arc::clone(store);
                store.runtime().spawn(async move {
                    let _ = releases.release(&name, &token).await;
                });
                return LeaseOutcome::Unavailable;
            }
        }
        let lease = Arc::new(Self {
            remote: Arc::clone(remote),
            tasks: tasks.clone(),
            name,
            token,
            posted: Mutex::default(),
        });
        lease.keep_extending(executor);
        LeaseOutcome::Acquired(lease)
    }

    /// Tells the nodes that wait that they need not. The lease ends with that.
    pub(crate) fn post(&self, note: LeaseNote) {
        let mut posted = self.posted.lock().unwrap_or_else(PoisonError::into_inner);
        if posted.replace(note).is_none() {
            self.end(Some(note));
        }
    }

    /// Ends the lease in the background: with a note in its place, or without.
    fn end(&self, note: Option<LeaseNote>) {
        let store = Arc::clone(&self.remote.store);
        let (name, token) = (self.name.clone(), self.token.clone());
        // A lease may be dropped where no runtime is entered.
        self.tasks.spawn(&self.remote.executor(), async move {
            let ended = match note {
                Some(note) => {
                    let note = Bytes::from_static(note.as_bytes());
                    store.put(&name, note, NOTE_FOR).await
                }
                None => store.release(&name, &token).await.map(|_| ()),
            };
            if let Err(error) = ended {
                // It expires by itself.
                tracing::debug!(%error, "a lease was not released");
            }
        });
    }

    /// Prolongs the lease again and again, for as long as it is held.
    fn keep_extending(self: &Arc<Self>, executor: &dyn Executor) {
        let store = Arc::clone(&self.remote.store);
        let lease = Arc::downgrade(self);
        let extending = async move {
            loop {
                sleep(LEASE / 3).await;
                let Some((name, token)) = lease
                    .upgrade()
                    .map(|held| (held.name.clone(), held.token.clone()))
                else {
                    return;
                };
                if let Err(error) = store.extend(&name, &token, LEASE).await {
                    tracing::debug!(%error, "a lease was not extended");
                }
            }
        };
        // Not among the counted tasks: a drain waits for the task that holds the lease.
        executor.execute(Box::pin(extending));
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let posted = self.posted.get_mut();
        if posted.unwrap_or_else(PoisonError::into_inner).is_none() {
            self.end(None);
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lease")
    }
}
