//! One fetch among all nodes: who may ask the origin, and who waits for that.
//!
//! A node that fetches says so under a name in the shared tier, for a few seconds at a time while
//! it lasts. The others wait until something changes under that name: the response is there, or
//! the lease is not. A node that dies costs the others what is left of its lease. The tier is no
//! lock: when it does not answer each node fetches for itself.

use std::{
    fmt,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    consult::Consulted,
    parcel::{self, Shown},
    place::Place,
    tier::Remote,
};
use crate::{
    engine::{context::RequestContext, hit_for_miss, lookup::Served},
    entry::Entry,
    semantics::freshness::Reuse,
    state::{cache::Cache, flights::FlightOutcome},
    store::Redis,
};

/// Between the first two looks of one who waits, in case what it waits for goes untold: this and up
/// to as much again.
const LOOK: Duration = Duration::from_millis(100);

/// The same between later ones, while changes are told.
const LONGEST_LOOK: Duration = Duration::from_millis(800);

/// For how long the others are told that there is nothing to wait for.
const WORD_FOR: Duration = Duration::from_secs(1);

/// What the holder of a lease says to those who wait, once it knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Word {
    /// Each node is to fetch for itself: the response is for all its clients, but too large to be
    /// given to the others.
    Alone,
    /// Each client is to be answered for itself.
    Uncacheable,
}

impl Word {
    fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::Alone => b"alone",
            Self::Uncacheable => b"uncacheable",
        }
    }

    fn parse(said: &[u8]) -> Option<Self> {
        let all = [Self::Alone, Self::Uncacheable];
        all.into_iter().find(|word| word.as_bytes() == said)
    }
}

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
    /// Waits for this node's turn to fetch what was [looked up](Self::consult) in vain, or for what
    /// another node fetches.
    pub(crate) async fn turn(&self, errand: &mut RequestContext) -> Turn {
        let Some(remote) = self.shared.remote.clone() else {
            return Turn::Fetch;
        };
        let deadline = Instant::now() + self.config.wait_timeout;
        let name = Place::of(&errand.request.key).name;
        let mut look = LOOK;
        loop {
            let listener = remote.waiting.listen(name);
            let mut changed = pin!(listener.changed());
            // From here on no change is missed: who holds the lease now is heard of when it ends.
            changed.as_mut().enable();
            match self.take_turn(&remote, errand).await {
                Turn::Wait if Instant::now() < deadline => {}
                Turn::Wait => return Turn::Fetch,
                turn => return turn,
            }
            // Told or not, it looks again.
            let patience = look + look.mul_f64(remote.jitter());
            let _ = timeout_at(deadline.min(Instant::now() + patience), changed).await;
            if let Some((entry, now)) = self.brought(errand).await {
                return Turn::Serve(entry, now);
            }
            if remote.trust.is_told() {
                look = LONGEST_LOOK.min(look * 2);
            }
        }
    }

    /// Looks what the other nodes have, and takes this node's turn unless another node has it.
    pub(crate) async fn turn_now(&self, errand: &mut RequestContext) -> Turn {
        let Some(remote) = &self.shared.remote else {
            return Turn::Fetch;
        };
        if let Some((entry, now)) = self.brought(errand).await {
            return Turn::Serve(entry, now);
        }
        self.take_turn(remote, errand).await
    }

    /// What another node fetched by now, if it is fresh.
    async fn brought(&self, errand: &mut RequestContext) -> Option<(Arc<Entry>, Duration)> {
        let consulted = self.consult(errand).await;
        self.promote(errand).await;
        match consulted {
            Consulted::Serve(entry, now, Served::Fresh) if !errand.has_selected(&entry) => {
                Some((entry, now))
            }
            Consulted::Serve(..) | Consulted::Ask | Consulted::Silent => None,
        }
    }

    /// Takes this node's turn unless another node has it.
    async fn take_turn(&self, remote: &Remote, errand: &mut RequestContext) -> Turn {
        // Without having seen the place nothing of the response can be shared, so nobody gains.
        if errand.observed.is_none() {
            return Turn::Fetch;
        }
        // What may not be used unvalidated is no use to the others.
        let asked = &errand.request.directives;
        let validates = errand
            .selected
            .as_ref()
            .is_some_and(|it| it.freshness().reuse == Reuse::Validate);
        if asked.no_cache || asked.max_age == Some(0) || validates {
            return Turn::Fetch;
        }
        let name = self.lease_name(remote, errand);
        let token = Bytes::copy_from_slice(&remote.nonce().to_be_bytes());
        match remote.redis.acquire(&name, &token, remote.lease).await {
            Ok(true) => {}
            Ok(false) => {
                let said = match remote.redis.get(&name).await {
                    Ok(said) => said.and_then(|said| Word::parse(&said)),
                    Err(_) => return Turn::Fetch,
                };
                return match said {
                    None => Turn::Wait,
                    Some(Word::Alone) => Turn::Fetch,
                    Some(Word::Uncacheable) => {
                        hit_for_miss::remember_uncacheable(self, errand);
                        Turn::Fetch
                    }
                };
            }
            Err(_) => {
                // It may have been taken all the same.
                let redis = remote.redis.clone();
                remote.redis.runtime().spawn(async move {
                    let _ = redis.release(&name, &token).await;
                });
                return Turn::Fetch;
            }
        }
        let lease = Arc::new(Lease {
            cache: self.clone(),
            name,
            token,
            said: Mutex::default(),
        });
        lease.renew(remote.redis.clone(), remote.lease);
        errand.lease = Some(lease);
        // The holder before may have stored, and given it up, since the place was looked at.
        match self.brought(errand).await {
            Some((entry, now)) => {
                errand.lease = None;
                Turn::Serve(entry, now)
            }
            None => Turn::Fetch,
        }
    }
}

impl Cache {
    /// What is fetched: the resource as it is since it was last invalidated, and the variant of it
    /// if it is known to have several.
    fn lease_name(&self, remote: &Remote, errand: &RequestContext) -> String {
        let newest = errand
            .stored
            .as_ref()
            .and_then(|stored| stored.variants().last());
        let order = self.config.rules.language_order;
        let mut shown = Shown::new(&errand.request.parts.headers, order);
        let selectors = match newest {
            _ if !errand.remote_vary.is_empty() => shown.selectors(&errand.remote_vary),
            Some(newest) => shown.selectors(newest.selecting().names()),
            None => Vec::new(),
        };
        let epoch = errand.observed.map_or(0, |seen| seen.epoch);
        let variant = parcel::variant_of(&selectors).unwrap_or(0);
        let name = Place::of(&errand.request.key).name;
        name.lease(remote.redis.namespace(), epoch, variant)
    }

    /// Tells the nodes that wait for this one's fetch as soon as it is known to be no use to them.
    pub(crate) fn announce(&self, errand: &RequestContext, flown: &FlightOutcome) {
        let (Some(lease), Some(remote)) = (&errand.lease, &self.shared.remote) else {
            return;
        };
        let most = remote.redis.max_value_bytes() as u64;
        match flown {
            // By what the response says, not only the request.
            _ if hit_for_miss::is_uncacheable(self, errand) => lease.say(Word::Uncacheable),
            FlightOutcome::Streaming(it) if it.fill.declared().is_some_and(|it| it > most) => {
                lease.say(Word::Alone);
            }
            FlightOutcome::Streaming(_)
            | FlightOutcome::Stored(_)
            | FlightOutcome::Failed(_)
            | FlightOutcome::FromPeer(_)
            | FlightOutcome::Private => {}
        }
    }
}

/// The word of a node that it is fetching. Dropped, it is given back.
pub(crate) struct Lease {
    cache: Cache,
    name: String,
    token: Bytes,
    said: Mutex<Option<Word>>,
}

impl Lease {
    /// Tells those who wait that they need not. The lease ends with that.
    pub(super) fn say(&self, word: Word) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.replace(word).is_none() {
            self.end(Some(word));
        }
    }

    fn end(&self, word: Option<Word>) {
        let shared = &self.cache.shared;
        let Some(remote) = &shared.remote else {
            return;
        };
        let redis = remote.redis.clone();
        // Wherever this is called, and even as a runtime ends.
        let runtime = redis.runtime();
        let (name, token) = (self.name.clone(), self.token.clone());
        let executor = move |task| drop(runtime.spawn(task));
        shared.tasks.spawn(&executor, async move {
            let ended = match word {
                Some(word) => {
                    let said = Bytes::from_static(word.as_bytes());
                    redis.fence(&name, said, WORD_FOR).await
                }
                None => redis.release(&name, &token).await.map(|_| ()),
            };
            if let Err(error) = ended {
                // It ends by itself.
                tracing::debug!(%error, "a lease was not given back");
            }
        });
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
        let said = self.said.get_mut().unwrap_or_else(PoisonError::into_inner);
        if said.is_none() {
            self.end(None);
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lease")
    }
}
