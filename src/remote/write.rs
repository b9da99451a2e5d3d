//! Writes a response to the shared tier, where other nodes write at the same time.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

use super::{
    accept::is_ahead,
    fence::KEEP_TOMBSTONE,
    location::RemoteKey,
    read::{LARGE, ObservedVersion},
    remote::Remote,
    selecting::SelectingHeaders,
    store::{ConditionalPut, PutOutcome},
    variants,
};
use crate::{
    clock::Clock,
    codec::{Compression, EntryRecord, Stamp, Value, VariantList, VariantRecord, encode},
    error::StoreError,
    semantics::rules::LanguageOrder,
};

/// How often a write is tried while other nodes change the value in between.
pub(super) const ATTEMPTS: usize = 4;

/// A response to be written to the shared tier.
pub(crate) struct PendingWrite {
    pub(crate) key: RemoteKey,
    /// What the shared tier had when it was asked: the write replaces nothing else.
    pub(crate) observed: ObservedVersion,
    pub(crate) record: EntryRecord,
    pub(crate) stamp: Stamp,
    /// The id of the variant, if the response varies.
    pub(crate) variant: Option<u64>,
    /// After how long it expires.
    pub(crate) keep: Duration,
    /// The request of the response: the response replaces the variants that this request selects.
    pub(crate) request: HeaderMap,
}

impl Remote {
    /// Writes a response, unless there is something that it must not replace.
    pub(super) async fn write(
        &self,
        mut pending: PendingWrite,
        order: LanguageOrder,
        clock: &dyn Clock,
    ) -> Result<PutOutcome, StoreError> {
        let main = self.main_name(&pending.key);
        let value = self.encoded(&pending.record, pending.stamp).await?;
        pending.record.body.clear();
        let observed = pending.observed.main;
        for attempt in 0..ATTEMPTS {
            // The first attempt expects what was observed. A list of variants is changed rather
            // than replaced, so it has to be read first.
            let stored = if attempt > 0 || pending.variant.is_some() {
                match self.store.get(&main).await? {
                    Some(bytes) => self.decode_or_delete(&main, &bytes).await,
                    None => None,
                }
            } else {
                None
            };
            let expected = match &stored {
                _ if attempt == 0 && pending.variant.is_none() => observed,
                Some((stored, _)) if is_newer(stored, &pending, order, clock.wall_millis()) => {
                    return Ok(PutOutcome::VersionChanged);
                }
                Some((_, at)) => *at,
                None => Stamp::default(),
            };
            if expected.epoch != observed.epoch {
                return Ok(PutOutcome::EpochChanged);
            }
            let put = match pending.variant {
                None => ConditionalPut {
                    name: &main,
                    expected,
                    value: value.clone(),
                    keep: pending.keep,
                    companion: None,
                },
                Some(id) => {
                    let siblings = match stored {
                        Some((Value::Variants(list), _)) if list.key == pending.key.key => {
                            list.variants
                        }
                        _ => Vec::new(),
                    };
                    let (list, keep) =
                        self.list(&pending, id, siblings, order, clock.wall_millis());
                    let variant = self.variant_name(&pending.key, id);
                    ConditionalPut {
                        name: &main,
                        expected,
                        value: list,
                        keep,
                        companion: Some((variant, value.clone(), pending.keep)),
                    }
                }
            };
            self.learn_distrust().await?;
            if !self.may_write(&pending.observed, clock) {
                // For all that is known.
                return Ok(PutOutcome::EpochChanged);
            }
            match self.store.put_if(put).await? {
                PutOutcome::VersionChanged => {}
                outcome => return Ok(outcome),
            }
        }
        Ok(PutOutcome::VersionChanged)
    }

    /// Whether nothing can have been invalidated since this was observed without leaving a trace.
    fn may_write(&self, observed: &ObservedVersion, clock: &dyn Clock) -> bool {
        observed.asked.may_write(clock, self.distrust.moment())
    }

    /// The encoded list of a new variant and its siblings, and after how long it expires.
    fn list(
        &self,
        pending: &PendingWrite,
        id: u64,
        siblings: Vec<VariantRecord>,
        order: LanguageOrder,
        now_ms: i64,
    ) -> (Bytes, Duration) {
        let record = &pending.record;
        let new = VariantRecord {
            id,
            date: record.date,
            arrived_ms: record.arrived_ms,
            until_ms: until(record, pending.keep),
            selecting: record.selecting.clone(),
        };
        let mut request = SelectingHeaders::new(&pending.request, order);
        let variants = variants::insert(siblings, new, &mut request, now_ms);
        let last = variants.iter().map(|it| it.until_ms).max();
        let keep = last.unwrap_or(now_ms).saturating_sub(now_ms);
        let keep = u64::try_from(keep).unwrap_or(1);
        let list = Value::Variants(VariantList {
            key: pending.key.key.clone(),
            variants,
        });
        let stamp = Stamp {
            epoch: pending.stamp.epoch,
            version: self.nonce(),
        };
        let list = encode(&list, stamp, Compression::Off);
        (list, Duration::from_millis(keep).min(KEEP_TOMBSTONE))
    }

    /// Encodes a response; a large one on a thread that may block.
    async fn encoded(&self, record: &EntryRecord, stamp: Stamp) -> Result<Bytes, StoreError> {
        let compression = match self.limits().compression_threshold {
            Some(threshold) => Compression::AtLeast(threshold),
            None => Compression::Off,
        };
        let value = Value::Entry(record.clone());
        let length: usize = record.body.iter().map(Bytes::len).sum();
        if length < LARGE {
            return Ok(encode(&value, stamp, compression));
        }
        let encoding = move || encode(&value, stamp, compression);
        let encoded = self.store.runtime().spawn_blocking(encoding).await;
        encoded.map_err(StoreError::new)
    }
}

/// Whether what is stored arrived after the response that would replace it. What is from the future
/// did not: no node of this clock uses it.
fn is_newer(stored: &Value, pending: &PendingWrite, order: LanguageOrder, now_ms: i64) -> bool {
    let is_later =
        |arrived_ms: i64| arrived_ms > pending.record.arrived_ms && !is_ahead(arrived_ms, now_ms);
    match stored {
        Value::Entry(other) => is_later(other.arrived_ms),
        Value::Variants(list) => {
            let mut request = SelectingHeaders::new(&pending.request, order);
            let mut later = list.variants.iter().filter(|it| is_later(it.arrived_ms));
            later.any(|it| Some(it.id) == pending.variant || request.matches(&it.selecting))
        }
        Value::Tombstone => false,
    }
}

/// Until when a response is of use, in milliseconds since the Unix epoch.
fn until(record: &EntryRecord, keep: Duration) -> i64 {
    let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
    record.arrived_ms.saturating_add(keep)
}
