//! One fetch among all nodes: who may ask the origin, and who waits for that.
//!
//! A node that fetches says so under a name in the shared tier, for a few seconds at a time while
//! it lasts. The others wait until something changes under that name: the response is there, or
//! the lease is not. A node that dies costs the others what is left of its lease. The tier is no
//! lock: when it does not answer each node fetches for itself.

use std::{
    fmt,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout_at};

use super::{consult::Consulted, place::Place};
use crate::{entry::Entry, fetch::Errand, layer::Cache, serve::Served, store::Redis};

/// Between two looks of one who waits, in case what it waits for goes untold: this and up to as
/// much again.
const LOOK: Duration = Duration::from_millis(100);

/// For how long the others are told that a response is for one client only.
const UNCACHEABLE_FOR: Duration = Duration::from_secs(1);

/// What a lease says once its holder knows that the response cannot be shared.
const UNCACHEABLE: &[u8] = b"uncacheable";

/// What a node that wants to fetch does next.
#[derive(Debug)]
pub(crate) enum Turn {
    /// It fetches, with the lease in the errand if there is one.
    Fetch,
    /// Another node did.
    Serve(Arc<Entry>, Duration),
    /// Another node is fetching.
    Wait,
}

impl Cache {
    /// Waits for this node's turn to fetch, or for what another node fetched.
    pub(crate) async fn turn(&self, errand: &mut Errand) -> Turn {
        let Some(remote) = self.shared.remote.clone() else {
            return Turn::Fetch;
        };
        let deadline = Instant::now() + self.config.wait_timeout;
        let name = Place::of(&errand.asked.key).name;
        loop {
            let listener = remote.waiting.listen(name);
            let mut changed = pin!(listener.changed());
            // From here on no change is missed, whatever the tier answers.
            changed.as_mut().enable();
            match self.turn_now(errand).await {
                Turn::Wait if Instant::now() < deadline => {}
                Turn::Wait => return Turn::Fetch,
                turn => return turn,
            }
            let look = LOOK + LOOK.mul_f64(remote.jitter());
            // Told or not, it looks again.
            let _ = timeout_at(deadline.min(Instant::now() + look), changed).await;
        }
    }

    /// Looks what the other nodes have, and takes this node's turn unless another node has it.
    pub(crate) async fn turn_now(&self, errand: &mut Errand) -> Turn {
        let Some(remote) = &self.shared.remote else {
            return Turn::Fetch;
        };
        if let Consulted::Serve(entry, now, Served::Fresh) = self.consult(errand).await {
            return Turn::Serve(entry, now);
        }
        // Without having seen the place nothing of the response can be shared, so nobody gains.
        if errand.seen.is_none() {
            return Turn::Fetch;
        }
        let name = Place::of(&errand.asked.key).name;
        let name = name.lease(remote.redis.namespace());
        let token = Bytes::copy_from_slice(&remote.nonce().to_be_bytes());
        match remote.redis.acquire(&name, &token, remote.lease).await {
            Ok(true) => {}
            Ok(false) => {
                return match remote.redis.get(&name).await {
                    Ok(Some(says)) if *says == *UNCACHEABLE => {
                        self.remember_uncacheable(errand);
                        Turn::Fetch
                    }
                    Ok(_) => Turn::Wait,
                    Err(_) => Turn::Fetch,
                };
            }
            Err(_) => return Turn::Fetch,
        }
        let lease = Arc::new(Lease {
            cache: self.clone(),
            name,
            token,
            uncacheable: AtomicBool::new(false),
        });
        lease.renew(remote.redis.clone(), remote.lease);
        errand.lease = Some(lease);
        // The holder before may have stored, and given it up, since the place was looked at.
        match self.consult(errand).await {
            Consulted::Serve(entry, now, Served::Fresh) => {
                errand.lease = None;
                Turn::Serve(entry, now)
            }
            Consulted::Serve(..) | Consulted::Ask | Consulted::Silent => Turn::Fetch,
        }
    }
}

/// The word of a node that it is fetching. Dropped, it is given back.
pub(crate) struct Lease {
    cache: Cache,
    name: String,
    token: Bytes,
    uncacheable: AtomicBool,
}

impl Lease {
    /// The response is for one client only: nobody need wait for another.
    pub(crate) fn uncacheable(&self) {
        self.uncacheable.store(true, Ordering::SeqCst);
    }

    /// Says it again and again for as long as the lease is held.
    fn renew(self: &Arc<Self>, redis: Redis, lease: Duration) {
        let held = Arc::downgrade(self);
        let renewing = async move {
            loop {
                sleep(lease / 3).await;
                let Some((name, token)) = held
                    .upgrade()
                    .map(|held| (held.name.clone(), held.token.clone()))
                else {
                    return;
                };
                if let Err(error) = redis.extend(&name, &token, lease).await {
                    tracing::debug!(%error, "a lease was not renewed");
                }
            }
        };
        // Not among the tasks that a drain waits for: what holds the lease is.
        self.cache.config.executor.execute(Box::pin(renewing));
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let shared = &self.cache.shared;
        let Some(remote) = &shared.remote else {
            return;
        };
        let redis = remote.redis.clone();
        // Wherever this is dropped, and even as a runtime ends.
        let runtime = redis.runtime();
        let name = std::mem::take(&mut self.name);
        let token = std::mem::take(&mut self.token);
        let uncacheable = self.uncacheable.load(Ordering::SeqCst);
        let executor = move |task| drop(runtime.spawn(task));
        shared.tasks.spawn(&executor, async move {
            let given_back = if uncacheable {
                let says = Bytes::from_static(UNCACHEABLE);
                redis.fence(&name, says, UNCACHEABLE_FOR).await
            } else {
                redis.release(&name, &token).await.map(|_| ())
            };
            if let Err(error) = given_back {
                // It ends by itself.
                tracing::debug!(%error, "a lease was not given back");
            }
        });
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lease")
    }
}
