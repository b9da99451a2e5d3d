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
    lease::Lease,
    parcel::{self, Shown},
    place::Place,
    tier::{Remote, Seen, recency},
    trust::{Concerns, Mark},
};
use crate::{
    entry::Entry,
    error::StoreError,
    fetch::Errand,
    key::RequestKey,
    layer::Cache,
    semantics::vary::Selecting,
    store::{Compression, Listed, Parcel, Placed, Put, Record, Stamp, Value, encode},
};

/// How often a response is put in its place when others put theirs there meanwhile.
const ATTEMPTS: usize = 4;

/// Variants in one record.
const MAX_VARIANTS: usize = 64;

/// How long to wait for the echo of an own write.
const ECHO: Duration = Duration::from_secs(1);

/// Between two attempts to tell invalidations.
const AGAIN: Duration = Duration::from_millis(500);

/// A response on its way to the shared tier.
struct Parting {
    place: Place,
    seen: Seen,
    parcel: Parcel,
    stamp: Stamp,
    variant: Option<u64>,
    keep: Duration,
    /// What the response's request answered to: it takes the place of variants it would have got.
    request: http::HeaderMap,
}

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
        let (cache, entry) = (self.clone(), Arc::clone(entry));
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
                    tracing::debug!(%error, "not given to the other nodes");
                    return;
                }
            }
            // This node hears of its own write like every other. Before anybody asks for the
            // entry, see that it was just that.
            if timeout(ECHO, echo).await.is_ok()
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
    /// Puts a response in its place, unless something that must not be replaced is there.
    async fn place(&self, cache: &Cache, parting: Parting) -> Result<Placed, StoreError> {
        let space = self.redis.namespace();
        let main = parting.place.name.main(space);
        let compression = match self.redis.compression_threshold() {
            Some(threshold) => Compression::AtLeast(threshold),
            None => Compression::Off,
        };
        let mut at = parting.seen.main;
        let mut current = None;
        let value = Value::Entry(parting.parcel);
        let bytes = encode(&value, parting.stamp, compression);
        let Value::Entry(parcel) = value else {
            return Ok(Placed::Changed);
        };
        for attempt in 0..ATTEMPTS {
            // A record is changed, not replaced, so it has to be read first.
            if attempt > 0 || parting.variant.is_some() {
                current = match self.redis.get(&main).await? {
                    Some(bytes) => self.open(&main, &bytes).await,
                    None => None,
                };
                at = current.as_ref().map_or(Stamp::default(), |(_, at)| *at);
                if at.epoch != parting.seen.main.epoch {
                    return Ok(Placed::Fenced);
                }
                if let Some((Value::Entry(newer), _)) = &current
                    && newer.arrived_ms > parcel.arrived_ms
                {
                    return Ok(Placed::Changed);
                }
            }
            let placed = match parting.variant {
                None => {
                    let put = Put {
                        name: &main,
                        epoch: at.epoch,
                        version: at.version,
                        value: bytes.clone(),
                        keep: parting.keep,
                        beside: None,
                    };
                    self.redis.put(put).await?
                }
                Some(id) => {
                    let listed = Listed {
                        id,
                        date: parcel.date,
                        arrived_ms: parcel.arrived_ms,
                        until_ms: until(&parcel, parting.keep),
                        selecting: parcel.selecting.clone(),
                    };
                    let siblings = match current.take() {
                        Some((Value::Record(record), _)) if record.key == parting.place.key => {
                            record.variants
                        }
                        _ => Vec::new(),
                    };
                    let order = cache.config.rules.language_order;
                    let mut shown = Shown::new(&parting.request, order);
                    let now = cache.shared.clock.wall_millis();
                    let variants = beside(siblings, listed, &mut shown, now);
                    let last = variants.iter().map(|it| it.until_ms).max().unwrap_or(now);
                    let keep = u64::try_from(last.saturating_sub(now)).unwrap_or(1);
                    let record = Value::Record(Record {
                        key: parting.place.key.clone(),
                        variants,
                    });
                    let stamp = Stamp {
                        epoch: parting.stamp.epoch,
                        version: self.nonce(),
                    };
                    let variant = parting.place.name.variant(space, id);
                    let put = Put {
                        name: &main,
                        epoch: at.epoch,
                        version: at.version,
                        value: encode(&record, stamp, Compression::Off),
                        keep: Duration::from_millis(keep).min(KEEP),
                        beside: Some((variant, bytes.clone(), parting.keep)),
                    };
                    self.redis.put(put).await?
                }
            };
            if placed != Placed::Changed {
                return Ok(placed);
            }
        }
        Ok(Placed::Changed)
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

/// The variants that are left beside a new one: those that its request would not have got, that are
/// still of use, and the most recent of them.
fn beside(siblings: Vec<Listed>, new: Listed, shown: &mut Shown<'_>, now_ms: i64) -> Vec<Listed> {
    let mut kept: Vec<Listed> = siblings
        .into_iter()
        .filter(|sibling| {
            sibling.id != new.id && sibling.until_ms > now_ms && !shown.matches(&sibling.selecting)
        })
        .collect();
    kept.sort_by_key(recency);
    let most = MAX_VARIANTS - 1;
    kept.drain(..kept.len().saturating_sub(most));
    kept.push(new);
    kept
}

fn until(parcel: &Parcel, keep: Duration) -> i64 {
    let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
    parcel.arrived_ms.saturating_add(keep)
}
