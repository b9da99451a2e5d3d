//! How a response gets into its place in the shared tier, beside what other nodes put there.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

use super::{
    fences::KEEP,
    parcel::Shown,
    place::Place,
    tier::{LARGE, Remote, Seen, recency},
};
use crate::{
    error::StoreError,
    state::cache::Cache,
    store::{Compression, Listed, Parcel, Placed, Put, Record, Stamp, Value, encode},
};

/// How often a response is put in its place when others put theirs there meanwhile.
pub(super) const ATTEMPTS: usize = 4;

/// Variants in one record.
const MAX_VARIANTS: usize = 64;

/// A response on its way to the shared tier.
pub(super) struct Parting {
    pub(super) place: Place,
    pub(super) seen: Seen,
    pub(super) parcel: Parcel,
    pub(super) stamp: Stamp,
    pub(super) variant: Option<u64>,
    pub(super) keep: Duration,
    /// What the response's request answered to: it takes the place of variants it would have got.
    pub(super) request: HeaderMap,
}

impl Remote {
    /// Puts a response in its place, unless something that must not be replaced is there.
    pub(super) async fn place(
        &self,
        cache: &Cache,
        mut parting: Parting,
    ) -> Result<Placed, StoreError> {
        let main = parting.place.name.main(self.redis.namespace());
        let value = self.encoded(&parting.parcel, parting.stamp).await?;
        parting.parcel.body.clear();
        let expected = parting.seen.main;
        for attempt in 0..ATTEMPTS {
            // What was seen may be there still. A record is changed, not replaced, so it has to
            // be read first.
            let there = if attempt > 0 || parting.variant.is_some() {
                match self.redis.get(&main).await? {
                    Some(bytes) => self.open(&main, &bytes).await,
                    None => None,
                }
            } else {
                None
            };
            let at = match &there {
                _ if attempt == 0 && parting.variant.is_none() => expected,
                Some((there, _)) if is_newer(there, &parting, cache) => {
                    return Ok(Placed::Changed);
                }
                Some((_, at)) => *at,
                None => Stamp::default(),
            };
            if at.epoch != expected.epoch {
                return Ok(Placed::Fenced);
            }
            let put = match parting.variant {
                None => Put {
                    name: &main,
                    epoch: at.epoch,
                    version: at.version,
                    value: value.clone(),
                    keep: parting.keep,
                    beside: None,
                },
                Some(id) => {
                    let siblings = match there {
                        Some((Value::Record(record), _)) if record.key == parting.place.key => {
                            record.variants
                        }
                        _ => Vec::new(),
                    };
                    let (record, keep) = self.record(cache, &parting, id, siblings);
                    let variant = parting.place.name.variant(self.redis.namespace(), id);
                    Put {
                        name: &main,
                        epoch: at.epoch,
                        version: at.version,
                        value: record,
                        keep,
                        beside: Some((variant, value.clone(), parting.keep)),
                    }
                }
            };
            match self.redis.put(put).await? {
                Placed::Changed => {}
                placed => return Ok(placed),
            }
        }
        Ok(Placed::Changed)
    }

    /// The record of a variant and its siblings, and how long it is of use.
    fn record(
        &self,
        cache: &Cache,
        parting: &Parting,
        id: u64,
        siblings: Vec<Listed>,
    ) -> (Bytes, Duration) {
        let parcel = &parting.parcel;
        let new = Listed {
            id,
            date: parcel.date,
            arrived_ms: parcel.arrived_ms,
            until_ms: until(parcel, parting.keep),
            selecting: parcel.selecting.clone(),
        };
        let mut shown = Shown::new(&parting.request, cache.config.rules.language_order);
        let now = cache.shared.clock.wall_millis();
        let variants = beside(siblings, new, &mut shown, now);
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
        let record = encode(&record, stamp, Compression::Off);
        (record, Duration::from_millis(keep).min(KEEP))
    }

    /// A large body takes milliseconds to compress, which no request's thread should spend.
    async fn encoded(&self, parcel: &Parcel, stamp: Stamp) -> Result<Bytes, StoreError> {
        let compression = match self.redis.compression_threshold() {
            Some(threshold) => Compression::AtLeast(threshold),
            None => Compression::Off,
        };
        let value = Value::Entry(parcel.clone());
        let length: usize = parcel.body.iter().map(Bytes::len).sum();
        if length < LARGE {
            return Ok(encode(&value, stamp, compression));
        }
        let encoding = move || encode(&value, stamp, compression);
        let encoded = self.redis.runtime().spawn_blocking(encoding).await;
        encoded.map_err(StoreError::new)
    }
}

/// Whether what is there arrived after what would take its place.
fn is_newer(there: &Value, parting: &Parting, cache: &Cache) -> bool {
    let arrived = parting.parcel.arrived_ms;
    match there {
        Value::Entry(other) => other.arrived_ms > arrived,
        Value::Record(record) => {
            let mut shown = Shown::new(&parting.request, cache.config.rules.language_order);
            let mut later = record.variants.iter().filter(|it| it.arrived_ms > arrived);
            later.any(|it| Some(it.id) == parting.variant || shown.matches(&it.selecting))
        }
        Value::Fence => false,
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
