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
    parcel::{self, Shown},
    place::Place,
    placing::Parting,
    tier::Remote,
    trust::{Concerns, Mark},
};
use crate::{
    entry::Entry,
    error::StoreError,
    fetch::Errand,
    key::RequestKey,
    layer::Cache,
    semantics::vary::Selecting,
    store::{Compression, Placed, Stamp, Value, encode},
};

/// How long to wait for the echo of an own write.
const ECHO: Duration = Duration::from_secs(1);

/// Between two attempts to tell invalidations.
const AGAIN: Duration = Duration::from_millis(500);

impl Cache {
    /// The mark of a response that is about to be stored. `None` if it cannot be shared.
    pub(crate) fn mark(&self, errand: &Errand, selecting: &Selecting) -> Option<Mark> {
        let remote = self.shared.remote.as_ref()?;
        let seen = errand.seen?;
        let stamp = Stamp {
            epoch: seen.epoch,
            version: remote.nonce(),
        };
        let order = self.config.rules.language_order;
        let mut shown = Shown::new(&errand.asked.parts.headers, order);
        let variant = parcel::variant_of(&shown.selectors(selecting.names()));
        let concerns = Concerns::of(&Place::of(&errand.asked.key));
        Some(Mark::new(concerns, stamp, variant, seen.witness))
    }

    /// Gives a response that was stored in memory to the other nodes, in the background.
    pub(crate) fn publish(&self, errand: &Errand, entry: &Arc<Entry>) {
        let Some(remote) = self.shared.remote.clone() else {
            return;
        };
        let (Some(seen), Some(mark)) = (errand.seen, entry.mark()) else {
            return;
        };
        let resource = errand.asked.key.resource_hash();
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
        let request = errand.asked.parts.headers.clone();
        let selecting = Shown::new(&request, order).selectors(entry.selecting().names());
        let place = Place::of(&errand.asked.key);
        let arrived = parcel::arrived_ms(entry, &*self.shared.clock);
        let parting = Parting {
            parcel: parcel::pack(entry, place.key.clone(), arrived, selecting),
            keep: entry.keep().min(KEEP),
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
                if let Ok(true) = remote.keeps(&place, mark).await {
                    mark.confirm(witness);
                }
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
                let telling = tell(Arc::downgrade(&remote));
                self.shared.tasks.spawn(&*self.config.executor, telling);
            }
        }
    }
}

impl Remote {
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

/// Tells all invalidations that are on their way, for as long as there is a cache.
async fn tell(remote: Weak<Remote>) {
    while let Some(remote) = remote.upgrade()
        && let Some(fence) = remote.fences.next()
    {
        match remote.fence(fence).await {
            Ok(()) => remote.fences.told(fence),
            Err(error) => {
                remote.metrics().errors.increment(1);
                tracing::debug!(%error, "an invalidation was not told yet");
                drop(remote);
                sleep(AGAIN).await;
            }
        }
    }
}
