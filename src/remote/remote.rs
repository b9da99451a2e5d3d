//! The tier that nodes share, as one cache sees it: what is in it for a request.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join;
use moka::sync::Cache as Records;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    coherence::{Mark, Trust, Witness},
    convert::Shown,
    invalidations::{Fences, KEEP},
    location::Place,
    names::{Name, Part, prefix},
    notify::Waiting,
    redis::{Notice, Redis, Tracking},
};
use crate::{
    codec::{Compression, Listed, Parcel, Record, Selector, Stamp, Value, decode, encode, stamp},
    error::StoreError,
    metrics::RemoteMetrics,
};

/// Bytes of records that are remembered, so that a variant is asked for along with its record.
const REMEMBERED: u64 = 4 << 20;

/// What responses on their way to the tier may hold together, in KiB: 32 MiB of bodies, each of
/// which may be there twice, as it is and encoded.
const WRITING: usize = 32 << 10;

/// What a response on its way holds beside its body, in KiB.
const BESIDE: usize = 4;

/// How long a node may fetch before the others stop waiting for it, unless it says that it still
/// does.
const LEASE: Duration = Duration::from_secs(3);

/// From this many bytes on a value is compressed and decompressed by a thread for such work.
pub(super) const LARGE: usize = 128 << 10;

/// A Redis, and what one cache knows of it.
pub(crate) struct Remote {
    pub(super) redis: Redis,
    pub(super) trust: Arc<Trust>,
    pub(super) waiting: Arc<Waiting>,
    pub(super) fences: Fences,
    pub(super) lease: Duration,
    metrics: OnceLock<RemoteMetrics>,
    records: Records<Name, Arc<Record>>,
    versions: AtomicU64,
    writing: Arc<Semaphore>,
    _tracking: Tracking,
}

/// What was seen of a place when it was looked at.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Seen {
    /// Of what is kept there.
    pub(super) main: Stamp,
    /// Of the resource: every invalidation begins another.
    pub(super) epoch: u64,
    /// Taken before the look.
    pub(super) witness: Witness,
}

impl Seen {
    /// What will be seen of a place once an invalidation is there.
    pub(super) fn fenced(epoch: u64, witness: Witness) -> Self {
        Self {
            main: Stamp {
                epoch,
                version: epoch,
            },
            epoch,
            witness,
        }
    }

    /// What was seen of the place that `mark` marks, which still has the response.
    pub(super) fn of(mark: &Mark, witness: Witness) -> Self {
        Self {
            main: mark.stamp(),
            epoch: mark.stamp().epoch,
            witness,
        }
    }
}

/// What is kept for a request.
#[derive(Debug)]
pub(super) enum Kept {
    Entry {
        parcel: Parcel,
        version: u64,
    },
    /// Nothing any more: it was invalidated.
    Fence,
    Nothing,
    /// Variants, of which none is for the request: what the most recent was selected by.
    Others(Vec<Bytes>),
}

#[derive(Debug)]
pub(super) struct Sight {
    pub(super) kept: Kept,
    pub(super) seen: Seen,
}

impl Remote {
    pub(crate) fn new(redis: Redis) -> Self {
        let trust = Arc::new(Trust::new());
        let waiting = Arc::new(Waiting::default());
        let (told, wakes) = (Arc::clone(&trust), Arc::clone(&waiting));
        let tracking = redis.track(prefix(redis.namespace()), move |notice| match notice {
            Notice::Changed(kept) => {
                if let Some((name, part)) = Name::parse(&kept) {
                    if part == Part::Main {
                        told.changed(name);
                    }
                    wakes.wake(name);
                }
            }
            Notice::Lost => told.lost(),
            Notice::Armed => told.regained(),
        });
        let largest = units(redis.max_value_bytes());
        Self {
            fences: Fences::default(),
            lease: LEASE,
            metrics: OnceLock::new(),
            records: Records::builder()
                .max_capacity(REMEMBERED)
                .weigher(|_, record: &Arc<Record>| weight(record))
                .build(),
            redis,
            trust,
            versions: AtomicU64::new(RandomState::new().hash_one("versions")),
            waiting,
            writing: Arc::new(Semaphore::new(WRITING.max(largest))),
            _tracking: tracking,
        }
    }

    /// Made with the first question, like all handles.
    pub(super) fn metrics(&self) -> &RemoteMetrics {
        self.metrics.get_or_init(RemoteMetrics::register)
    }

    /// A number that no other response, invalidation or lease has, on any node.
    pub(super) fn nonce(&self) -> u64 {
        // Never zero, which stands for nothing.
        self.versions.fetch_add(1, Ordering::Relaxed).max(1)
    }

    /// Room for a response on its way, unless as many are as may be.
    pub(super) fn room_for(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = u32::try_from(units(bytes)).ok()?;
        Arc::clone(&self.writing).try_acquire_many_owned(units).ok()
    }

    /// A number from 0 to 1 that other nodes are unlikely to have.
    pub(super) fn jitter(&self) -> f64 {
        (self.nonce().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64 / (1_u64 << 24) as f64
    }

    /// Whether what `mark` marks may be used without asking.
    pub(crate) fn stands(&self, mark: &Mark) -> bool {
        mark.stands(&self.trust)
    }

    /// What is kept for a request with these selecting fields.
    pub(super) async fn find(
        &self,
        place: &Place,
        shown: &mut Shown<'_>,
    ) -> Result<Sight, StoreError> {
        let space = self.redis.namespace();
        let main = place.name.main(space);
        let (first, epoch, ahead) = match place.partition_of {
            Some(resource) => {
                let fence = resource.fence(space);
                let (first, found) = self.redis.get_two(&main, &fence).await?;
                match found.and_then(|found| stamp(&found)) {
                    Some(at) => (first, Some(at.epoch), None),
                    // Whether there was another is not known any more, so nothing older counts.
                    None => (None, Some(self.begin_epoch(&fence).await?), None),
                }
            }
            None => match self.remembered(place, shown) {
                Some(id) => {
                    let variant = place.name.variant(space, id);
                    let (first, second) = self.redis.get_two(&main, &variant).await?;
                    (first, None, second.map(|bytes| (id, bytes)))
                }
                None => (self.redis.get(&main).await?, None, None),
            },
        };
        let opened = match &first {
            Some(bytes) => self.open(&main, bytes).await,
            None => None,
        };
        let (value, at) = match opened {
            Some((value, at)) => (Some(value), at),
            None => (None, Stamp::default()),
        };
        let seen = Seen {
            main: at,
            epoch: epoch.unwrap_or(at.epoch),
            witness: Witness::default(),
        };
        let kept = match value {
            Some(Value::Fence) => Kept::Fence,
            Some(Value::Entry(parcel)) if parcel.key == place.key && at.epoch == seen.epoch => {
                Kept::Entry {
                    parcel,
                    version: at.version,
                }
            }
            Some(Value::Record(record)) if record.key == place.key => {
                self.variant(place, record, ahead, seen.epoch, shown)
                    .await?
            }
            Some(Value::Entry(_) | Value::Record(_)) | None => Kept::Nothing,
        };
        Ok(Sight { kept, seen })
    }

    /// The variant that the request selects: the most recent that matches.
    async fn variant(
        &self,
        place: &Place,
        record: Record,
        ahead: Option<(u64, Bytes)>,
        epoch: u64,
        shown: &mut Shown<'_>,
    ) -> Result<Kept, StoreError> {
        let record = Arc::new(unpinned(&record));
        self.records.insert(place.name, Arc::clone(&record));
        let others = || {
            let newest = record.variants.iter().max_by_key(|listed| recency(listed));
            let fields = newest.map_or(&[][..], |listed| &listed.selecting);
            let names = fields.iter().map(|selector| selector.name.clone());
            Kept::Others(names.collect())
        };
        let Some(id) = choose(&record, shown) else {
            return Ok(others());
        };
        let variant = place.name.variant(self.redis.namespace(), id);
        let bytes = match ahead {
            Some((asked, bytes)) if asked == id => Some(bytes),
            _ => self.redis.get(&variant).await?,
        };
        let Some(bytes) = bytes else {
            return Ok(others());
        };
        Ok(match self.open(&variant, &bytes).await {
            Some((Value::Entry(parcel), at))
                if parcel.key == place.key
                    && at.epoch == epoch
                    && shown.matches(&parcel.selecting) =>
            {
                Kept::Entry {
                    parcel,
                    version: at.version,
                }
            }
            _ => others(),
        })
    }

    /// The epoch of a resource that has none yet: the first to come decides for all.
    async fn begin_epoch(&self, fence: &str) -> Result<u64, StoreError> {
        let epoch = self.nonce();
        let first = Stamp {
            epoch,
            version: epoch,
        };
        let value = encode(&Value::Fence, first, Compression::Off);
        if self.redis.acquire(fence, &value, KEEP).await? {
            return Ok(epoch);
        }
        let found = self.redis.peek(fence).await?;
        Ok(found
            .and_then(|found| stamp(&found))
            .map_or(epoch, |at| at.epoch))
    }

    /// Whether the response that `mark` marks is still the one kept for such a request. Reads no
    /// body.
    pub(super) async fn keeps(
        &self,
        place: &Place,
        mark: &Mark,
        shown: &mut Shown<'_>,
    ) -> Result<bool, StoreError> {
        let space = self.redis.namespace();
        let main = place.name.main(space);
        let same = |bytes: Option<Bytes>| {
            let at = bytes.and_then(|bytes| stamp(&bytes));
            at.is_some_and(|at| at == mark.stamp())
        };
        if let Some(resource) = place.partition_of {
            let fence = self.redis.peek(&resource.fence(space)).await?;
            let at = fence.and_then(|fence| stamp(&fence));
            if at.is_none_or(|at| at.epoch != mark.stamp().epoch) {
                return Ok(false);
            }
        }
        let Some(id) = mark.variant() else {
            return Ok(same(self.redis.peek(&main).await?));
        };
        let variant = place.name.variant(space, id);
        let (first, second) = join(self.redis.get(&main), self.redis.peek(&variant)).await;
        let chosen = match first?.map(|bytes| decode(&bytes)) {
            Some(Ok((Value::Record(record), _))) if record.key == place.key => {
                choose(&record, shown) == Some(id)
            }
            Some(_) | None => false,
        };
        Ok(chosen && same(second?))
    }

    /// Decodes a value. One that does not decode is deleted.
    pub(super) async fn open(&self, name: &str, bytes: &Bytes) -> Option<(Value, Stamp)> {
        let decoded = if bytes.len() < LARGE {
            decode(bytes)
        } else {
            // It takes milliseconds to decompress, which no request's thread should spend.
            let bytes = bytes.clone();
            let decoding = self.redis.runtime().spawn_blocking(move || decode(&bytes));
            decoding.await.ok()?
        };
        match decoded {
            Ok(opened) => Some(opened),
            Err(error) => {
                self.metrics().undecodable.increment(1);
                tracing::warn!(name, %error, "a shared value does not decode");
                let (redis, name, bytes) = (self.redis.clone(), name.to_owned(), bytes.clone());
                let runtime = redis.runtime();
                runtime.spawn(async move {
                    if let Err(error) = redis.discard(&name, &bytes).await {
                        tracing::debug!(name, %error, "not deleted");
                    }
                });
                None
            }
        }
    }

    /// The variant that was the request's when its record was last seen.
    fn remembered(&self, place: &Place, shown: &mut Shown<'_>) -> Option<u64> {
        let record = self.records.get(&place.name)?;
        (record.key == place.key)
            .then(|| choose(&record, shown))
            .flatten()
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("redis", &self.redis)
            .field("told", &self.trust.is_told())
            .finish_non_exhaustive()
    }
}

/// The same record in memory of its own: as read, it keeps the whole read buffer alive.
fn unpinned(record: &Record) -> Record {
    let copied = |bytes: &Bytes| Bytes::copy_from_slice(bytes);
    let selector = |selector: &Selector| Selector {
        name: copied(&selector.name),
        value: selector.value,
    };
    let listed = |listed: &Listed| Listed {
        selecting: listed.selecting.iter().map(selector).collect(),
        ..*listed
    };
    Record {
        key: copied(&record.key),
        variants: record.variants.iter().map(listed).collect(),
    }
}

fn choose(record: &Record, shown: &mut Shown<'_>) -> Option<u64> {
    let matching = record
        .variants
        .iter()
        .filter(|listed| shown.matches(&listed.selecting));
    matching
        .max_by_key(|listed| recency(listed))
        .map(|it| it.id)
}

/// Orders by `Date`, then by arrival. A `Date` in the future counts as the time of arrival.
pub(super) fn recency(listed: &Listed) -> (i64, i64) {
    let arrived = listed.arrived_ms.div_euclid(1000);
    (listed.date.min(arrived), listed.arrived_ms)
}

/// What a response on its way counts as.
fn units(bytes: usize) -> usize {
    BESIDE + bytes / 1024
}

/// About what a record holds in memory.
fn weight(record: &Record) -> u32 {
    let bytes: usize = record
        .variants
        .iter()
        .map(|listed| 96 + listed.selecting.len() * 96)
        .sum();
    u32::try_from(256 + record.key.len() + bytes).unwrap_or(u32::MAX)
}
