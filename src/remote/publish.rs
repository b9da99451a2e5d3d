//! What this node tells the others: responses it stored, and resources it invalidated. Always behind
//! the answer, never before it.

use std::{
    pin::pin,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::{sleep, timeout};

use super::{
    fences::{Fence, KEEP, Telling},
    lease::{Lease, Word},
    name::Name,
    parcel::{self, Shown},
    place::Place,
    placing::{ATTEMPTS, Parting},
    tier::Remote,
    trust::{Concerns, Mark},
};
use crate::{
    engine::context::RequestContext,
    entry::Entry,
    error::StoreError,
    key::RequestKey,
    semantics::vary::Selecting,
    state::cache::Cache,
    store::{Compression, Placed, Put, Stamp, Value, encode, stamp},
};

/// How long to wait for the echo of an own write.
const ECHO: Duration = Duration::from_secs(1);

/// How often, and how long each time, a response waits for the invalidation before it: for a second
/// at the most.
const FENCED_WAITS: usize = 50;
const FENCED_WAIT: Duration = Duration::from_millis(20);

/// How much sooner a response ends than a fence that was there before it, fetches included.
const MARGIN: Duration = Duration::from_secs(60 * 60);

/// Between two attempts to tell invalidations.
const AGAIN: Duration = Duration::from_millis(500);

impl Cache {
    /// The mark of a response that is about to be stored. `None` if it cannot be shared.
    pub(crate) fn mark(&self, errand: &RequestContext, selecting: &Selecting) -> Option<Mark> {
        let remote = self.shared.remote.as_ref()?;
        let seen = errand.observed?;
        let stamp = Stamp {
            epoch: seen.epoch,
            version: remote.nonce(),
        };
        let order = self.config.rules.language_order;
        let mut shown = Shown::new(&errand.request.parts.headers, order);
        let variant = parcel::variant_of(&shown.selectors(selecting.names()));
        let concerns = Concerns::of(&Place::of(&errand.request.key));
        Some(Mark::new(concerns, stamp, variant, seen.witness))
    }

    /// Gives a response that was stored in memory to the other nodes, in the background.
    pub(crate) fn publish(&self, errand: &RequestContext, entry: &Arc<Entry>) {
        let Some(remote) = self.shared.remote.clone() else {
            return;
        };
        let (Some(seen), Some(mark)) = (errand.observed, entry.mark()) else {
            return;
        };
        let resource = errand.request.key.resource_hash();
        if self.shared.generations.current(resource) != errand.generation {
            return;
        }
        let bytes = usize::try_from(entry.body_len()).unwrap_or(usize::MAX);
        if bytes > remote.redis.max_value_bytes() {
            if let Some(lease) = &errand.lease {
                lease.say(Word::Alone);
            }
            remote.metrics().writes_dropped.increment(1);
            return;
        }
        let Some(permit) = remote.room_for(bytes) else {
            remote.metrics().writes_dropped.increment(1);
            return;
        };
        let order = self.config.rules.language_order;
        let request = errand.request.parts.headers.clone();
        let selecting = Shown::new(&request, order).selectors(entry.selecting().names());
        let asked = request.clone();
        let place = Place::of(&errand.request.key);
        let arrived = parcel::arrived_ms(entry, &*self.shared.clock);
        let parting = Parting {
            parcel: parcel::pack(entry, place.key.clone(), arrived, selecting),
            // A fence that a response is compared with must outlive it.
            keep: entry.keep().min(KEEP - MARGIN),
            request,
            stamp: mark.stamp(),
            variant: mark.variant(),
            place,
            seen,
        };
        let lease: Option<Arc<Lease>> = errand.lease.clone();
        // Only what is still in memory when it is done needs to hear of it.
        let (cache, entry) = (self.clone(), Arc::downgrade(entry));
        self.shared.tasks.spawn(&*self.config.executor, async move {
            let listener = remote.waiting.listen(parting.place.name);
            let mut echo = pin!(listener.changed());
            echo.as_mut().enable();
            let place = parting.place.clone();
            remote.fenced(place.resource()).await;
            let placed = remote.place(&cache, parting).await;
            drop((lease, permit));
            match placed {
                Ok(Placed::Stored) => remote.metrics().writes.increment(1),
                Ok(Placed::Changed | Placed::Fenced) => {
                    remote.metrics().writes_dropped.increment(1);
                    return;
                }
                Err(error) => {
                    remote.metrics().errors.increment(1);
                    remote.metrics().writes_dropped.increment(1);
                    tracing::debug!(%error, "not given to the other nodes");
                    return;
                }
            }
            // This node hears of its own write like every other. Before anybody asks for the
            // entry, see that it was just that.
            if remote.trust.is_told()
                && timeout(ECHO, echo).await.is_ok()
                && let Some(entry) = entry.upgrade()
                && let Some(mark) = entry.mark()
            {
                let witness = remote.trust.witness(Concerns::of(&place));
                let mut shown = Shown::new(&asked, order);
                if let Ok(true) = remote.keeps(&place, mark, &mut shown).await {
                    mark.confirm(witness);
                }
            }
        });
    }

    /// Takes back what the other nodes have for a request: the origin says that it is no more.
    /// Whatever took its place meanwhile stays, but for variants: they go together with their record.
    pub(crate) fn withdraw(&self, errand: &RequestContext) {
        let (Some(remote), Some(seen)) = (self.shared.remote.clone(), errand.observed) else {
            return;
        };
        if seen.main == Stamp::default() {
            return;
        }
        let main = Place::of(&errand.request.key)
            .name
            .main(remote.redis.namespace());
        let mark = errand.selected.as_ref().and_then(|entry| entry.mark());
        let varied = mark.is_some_and(|mark| mark.variant().is_some());
        let runtime = remote.redis.runtime();
        let executor = move |task| drop(runtime.spawn(task));
        self.shared.tasks.spawn(&executor, async move {
            if let Err(error) = remote.take_back(&main, seen.main, varied).await {
                remote.metrics().errors.increment(1);
                tracing::debug!(%error, "not taken back from the other nodes");
            }
        });
    }

    /// Tells the other nodes that what is stored for a resource is invalid.
    pub(crate) fn invalidate_remote(&self, key: &RequestKey) {
        let Some(remote) = self.shared.remote.clone() else {
            return;
        };
        let fence = Fence {
            name: Place::of(key).resource(),
            epoch: remote.nonce(),
        };
        match remote.fences.add(fence) {
            Telling::UnderWay => {}
            Telling::Full => {
                remote.metrics().invalidations_lost.increment(1);
                tracing::warn!("an invalidation is not told to the other nodes: too many are");
            }
            Telling::Begin => {
                // Wherever this is called, and even as a runtime ends.
                let runtime = remote.redis.runtime();
                let executor = move |task| drop(runtime.spawn(task));
                let telling = tell(Teller(Arc::downgrade(&remote)));
                self.shared.tasks.spawn(&executor, telling);
            }
        }
    }
}

impl Remote {
    /// Puts a fence in the place of what was seen there. What was seen of a variant is its own
    /// stamp and not that of its record, which is therefore looked at.
    async fn take_back(&self, main: &str, seen: Stamp, varied: bool) -> Result<(), StoreError> {
        let fence = Stamp {
            epoch: seen.epoch,
            version: self.nonce(),
        };
        let mut at = seen;
        for _ in 0..ATTEMPTS {
            if varied {
                let there = self.redis.peek(main).await?;
                match there.and_then(|bytes| stamp(&bytes)) {
                    Some(there) if there.epoch == seen.epoch => at = there,
                    Some(_) | None => return Ok(()),
                }
            }
            let put = Put {
                name: main,
                epoch: at.epoch,
                version: at.version,
                value: encode(&Value::Fence, fence, Compression::Off),
                keep: KEEP,
                beside: None,
            };
            if self.redis.put(put).await? != Placed::Changed || !varied {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Waits until the invalidation is there that a response comes after, for a while: before it,
    /// the response would be struck by it.
    async fn fenced(&self, resource: Name) {
        for _ in 0..FENCED_WAITS {
            if self.fences.concern(resource).is_none() {
                return;
            }
            sleep(FENCED_WAIT).await;
        }
    }

    async fn fence(&self, fence: Fence) -> Result<(), StoreError> {
        let space = self.redis.namespace();
        let stamp = Stamp {
            epoch: fence.epoch,
            version: fence.epoch,
        };
        let value: Bytes = encode(&Value::Fence, stamp, Compression::Off);
        let (main, others) = (fence.name.main(space), fence.name.fence(space));
        self.redis.fence(&others, value.clone(), KEEP).await?;
        self.redis.fence(&main, value, KEEP).await
    }
}

/// Who tells invalidations, and lets another begin once it ends, however it does.
struct Teller(Weak<Remote>);

impl Drop for Teller {
    fn drop(&mut self) {
        if let Some(remote) = self.0.upgrade() {
            remote.fences.pause();
        }
    }
}

/// Tells all invalidations that are on their way, for as long as there is a cache.
async fn tell(teller: Teller) {
    let mut failed = 0;
    while let Some(remote) = teller.0.upgrade()
        && let Some(fence) = remote.fences.next()
    {
        match remote.fence(fence).await {
            Ok(()) => remote.fences.told(fence),
            Err(error) => {
                remote.metrics().errors.increment(1);
                tracing::debug!(%error, "an invalidation was not told yet");
                failed += 1;
                // The others have had their turn as well.
                if failed >= remote.fences.len() {
                    failed = 0;
                    drop(remote);
                    sleep(AGAIN).await;
                }
            }
        }
    }
}
