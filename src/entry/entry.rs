//! A stored response and its packed form.
//!
//! A `HeaderMap` of eight fields holds about 1.5 KB. An entry keeps its field values in one buffer
//! of exact size instead, shares the list of field names with all entries that have the same
//! fields, and keeps a small body in the same buffer. Rebuilding the map is the most expensive part
//! of a hit. So an entry that is hit several times within a second keeps the rendered head of that
//! second, `Age` included, for the hits that follow. All rendered heads together stay within a
//! fixed allowance.

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use smallvec::SmallVec;

use super::{
    account::Account,
    body::StoredBody,
    extras::Extras,
    history::{ChangeHistory, Previous},
    mark::RemoteVersion,
    names::{ADDED_FIELDS, NameInterner},
    parts::{Arrival, Head, HeadMeta, Segments},
    rendered::{RecentHits, RenderedHead},
    slices::Slices,
};
use crate::{
    generation::Generation,
    purge::{Memo, PurgeTime, Tags},
    semantics::{decide::Validity, freshness::Freshness, select::Variant, vary::Selecting},
    util::varint,
};

/// Bodies up to this many bytes are stored in the same buffer as the head.
pub(super) const INLINE_BODY: usize = 4 * 1024;

/// One stored response, complete and immutable.
///
/// The fields that every hit reads come first, next to each other: under load, a hit spends most of
/// its time waiting for memory.
#[repr(C)]
pub(crate) struct Entry {
    selecting: Selecting,
    arrival: Arrival,
    freshness: Freshness,
    head_len: u32,
    /// Which purges it has been compared with.
    purges: Memo,
    pub(super) rendered: ArcSwapOption<RenderedHead>,
    body_len: u64,
    /// The field values, each with its length in front, then the body if it is small.
    packed: Bytes,
    /// The body, unless it is in `packed`.
    body: Option<StoredBody>,
    validity: Validity,
    pub(super) status: StatusCode,
    /// How long to keep the entry, in seconds from its arrival on.
    keep: u32,
    /// How long the origin took to answer, in milliseconds. Zero if that is unknown.
    fetch_duration: u32,
    pub(super) recent_hits: RecentHits,
    generation: Generation,
    pub(super) names: Arc<[HeaderName]>,
    extras: Extras,
}

impl Entry {
    /// Packs a response.
    pub(crate) fn new(head: &Head, body: &Segments, interner: &NameInterner) -> Self {
        // A map yields a name once for each of its values.
        let fields: SmallVec<[(&HeaderName, &HeaderValue); 16]> = head.headers.iter().collect();
        let meta = HeadMeta {
            selecting: interner.share_names(&head.meta.selecting),
            ..head.meta.clone()
        };
        let names = interner.intern(fields.iter().map(|(name, _)| *name));
        let values = fields.iter().map(|(_, value)| value.as_bytes());
        Self::pack(meta, names, values, body)
    }

    /// Packs a response whose fields come as bytes, without building a `HeaderMap`. `None` if a
    /// name or value is invalid (RFC 9110 §5), or if there are more fields than an answer can have.
    pub(crate) fn parse<'f>(
        mut meta: HeadMeta,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
        body: &Segments,
        interner: &NameInterner,
    ) -> Option<Self> {
        let fields: SmallVec<[(&[u8], &[u8]); 16]> = fields.collect();
        if !fields.iter().all(|(_, value)| is_value(value)) {
            return None;
        }
        let names = interner.parse(fields.iter().map(|(name, _)| *name))?;
        meta.selecting = interner.share_names(&meta.selecting);
        let values = fields.iter().map(|(_, value)| *value);
        Some(Self::pack(meta, names, values, body))
    }

    /// Whether an entry copies a body of this many bytes into its own buffer.
    pub(crate) fn copies(body_len: u64) -> bool {
        body_len <= INLINE_BODY as u64
    }

    fn pack<'v>(
        meta: HeadMeta,
        names: Arc<[HeaderName]>,
        values: impl Iterator<Item = &'v [u8]> + Clone,
        body: &Segments,
    ) -> Self {
        let body_len = body.len();
        let inline = Self::copies(body_len);
        let lines = values.clone();
        let head_len: usize = lines
            .map(|value| varint::encoded_len(value.len()) + value.len())
            .sum();
        let mut packed = Vec::with_capacity(head_len + if inline { body_len as usize } else { 0 });
        for value in values {
            varint::encode(value.len(), |digit| packed.push(digit));
            packed.extend_from_slice(value);
        }
        if inline {
            for segment in body.as_slice() {
                packed.extend_from_slice(segment);
            }
        }
        Self {
            status: meta.status,
            validity: meta.validity,
            names,
            packed: packed.into(),
            head_len: u32::try_from(head_len).unwrap_or(u32::MAX),
            body: (!inline).then(|| StoredBody::new(body.clone())),
            body_len,
            freshness: meta.freshness,
            arrival: meta.arrival,
            keep: u32::try_from(meta.keep.as_secs()).unwrap_or(u32::MAX),
            generation: meta.generation,
            selecting: meta.selecting,
            fetch_duration: 0,
            recent_hits: RecentHits::default(),
            rendered: ArcSwapOption::empty(),
            purges: Memo::born(meta.born),
            extras: Extras::of(meta.tags),
        }
    }

    /// The same, with its version in the shared tier.
    pub(crate) fn with_remote_version(self, remote_version: Option<RemoteVersion>) -> Self {
        let extras = self.extras.with_remote_version(remote_version);
        Self { extras, ..self }
    }

    /// The same, with a history for a TTL policy that learns.
    pub(crate) fn with_history(self, history: Option<ChangeHistory>) -> Self {
        let extras = self.extras.with_history(history);
        Self { extras, ..self }
    }

    /// What the next response is compared with, to learn whether the representation changed. `None`
    /// if no history is kept.
    pub(crate) fn previous(&self) -> Option<Previous<'_>> {
        self.extras.history().map(|history| Previous {
            history,
            status: self.status,
            headers: self.headers(),
        })
    }

    /// Counts a request that is answered with this entry, if a history is kept.
    pub(crate) fn count_request(&self) {
        if let Some(history) = self.extras.history() {
            history.count_request();
        }
    }

    /// The same, with the time that the origin took to answer.
    pub(crate) fn with_fetch_duration(self, duration: Duration) -> Self {
        let fetch_duration = u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
        Self {
            fetch_duration,
            ..self
        }
    }

    /// The time that the origin took to answer. Zero if that is unknown.
    pub(crate) fn fetch_duration(&self) -> Duration {
        Duration::from_millis(self.fetch_duration.into())
    }

    /// How much longer the entry is fresh, from `now` on.
    pub(crate) fn fresh_for(&self, now: Duration) -> Duration {
        if self.purges.stale_for(now).is_some() {
            return Duration::ZERO;
        }
        let resident = now.saturating_sub(self.arrival.monotonic);
        self.fresh_on_arrival().saturating_sub(resident)
    }

    /// Whether at most half is left of the time for which the entry was still fresh on arrival. A
    /// response that arrives from another cache has spent part of its freshness lifetime there.
    pub(crate) fn is_ageing(&self, now: Duration) -> bool {
        self.fresh_for(now) <= self.fresh_on_arrival() / 2
    }

    fn fresh_on_arrival(&self) -> Duration {
        let Freshness {
            lifetime,
            initial_age,
            ..
        } = self.freshness;
        Duration::from_secs(lifetime.saturating_sub(initial_age).into())
    }

    /// Which version the entry is in the shared tier, if it may be there.
    pub(crate) fn remote_version(&self) -> Option<&RemoteVersion> {
        self.extras.remote_version()
    }

    /// Which purges it has been compared with, and what they made of it.
    #[inline]
    pub(crate) fn purges(&self) -> &Memo {
        &self.purges
    }

    /// The tags and groups by which it can be purged.
    pub(crate) fn tags(&self) -> Option<&Arc<Tags>> {
        self.extras.tags()
    }

    /// The same response with another head. A small body is copied, a larger one shared. Purges
    /// concern it as before.
    pub(crate) fn with_head(&self, head: &Head, interner: &NameInterner) -> Self {
        let small = match &self.body {
            Some(_) => Segments::Empty,
            None => self.segments(),
        };
        Self {
            body: self.body.clone(),
            body_len: self.body_len,
            fetch_duration: self.fetch_duration,
            purges: self.purges.copied(),
            extras: self.extras.with_tags_of(head),
            ..Self::new(head, &small, interner)
        }
    }

    /// The same, confirmed by a 304 whose fetch began at this time: earlier purges concern it no longer.
    pub(crate) fn confirmed_at(self, time: PurgeTime) -> Self {
        Self {
            purges: Memo::born(time),
            ..self
        }
    }

    /// The complete head, which the caller may change and pack again.
    pub(crate) fn unpack(&self) -> Head {
        Head {
            headers: self.headers(),
            meta: HeadMeta {
                status: self.status,
                freshness: self.freshness,
                arrival: self.arrival,
                selecting: self.selecting.clone(),
                generation: self.generation,
                keep: self.keep(),
                validity: self.validity,
                born: self.purges.seen(),
                tags: self.extras.tags().cloned(),
            },
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn validity(&self) -> Validity {
        if self.purges.must_validate() {
            Validity::Invalidated
        } else {
            self.validity
        }
    }

    pub(crate) fn freshness(&self) -> &Freshness {
        &self.freshness
    }

    pub(crate) fn generation(&self) -> Generation {
        self.generation
    }

    pub(crate) fn selecting(&self) -> &Selecting {
        &self.selecting
    }

    pub(crate) fn arrival(&self) -> Arrival {
        self.arrival
    }

    /// The current age of the response at `now`, in seconds (RFC 9111 §4.2.3).
    pub(crate) fn age(&self, now: Duration) -> u32 {
        self.arrival.age(self.freshness, now)
    }

    /// The age by which it is decided whether the entry is used: if a purge made it stale, it became
    /// stale then.
    #[inline]
    pub(crate) fn age_for_reuse(&self, now: Duration) -> u32 {
        let age = self.age(now);
        match self.purges.stale_for(now) {
            None => age,
            Some(staleness) => age.max(self.freshness.lifetime.saturating_add(staleness)),
        }
    }

    /// How long to keep the entry, from its arrival on.
    pub(crate) fn keep(&self) -> Duration {
        Duration::from_secs(u64::from(self.keep))
    }

    pub(crate) fn body_len(&self) -> u64 {
        self.body_len
    }

    /// The body for a client, from byte `first` on, `length` bytes of it. `account` counts it for as
    /// long as it is read, unless it is small enough to be kept beside the head.
    pub(crate) fn read(&self, account: &Arc<Account>, first: u64, length: u64) -> Slices {
        match &self.body {
            Some(body) => Slices::counted(body.read(account), first, length),
            None => Slices::Small(self.inline_part(first, length)),
        }
    }

    /// Bytes of the body that is kept beside the head, as far as it has them.
    fn inline_part(&self, first: u64, length: u64) -> Bytes {
        let end = self.packed.len();
        let bounded = |position: u64| usize::try_from(position).unwrap_or(end).min(end);
        let start = bounded(u64::from(self.head_len).saturating_add(first));
        let end = bounded((start as u64).saturating_add(length));
        self.packed.slice(start..end)
    }

    /// The body, if it is counted while it is read.
    pub(crate) fn counted_body(&self) -> Option<&StoredBody> {
        self.body.as_ref()
    }

    /// The body for one who is not a client and keeps an account of its own.
    pub(crate) fn segments(&self) -> Segments {
        match &self.body {
            Some(body) => body.segments(),
            None => self.inline_body(),
        }
    }

    fn inline_body(&self) -> Segments {
        match self.body_len {
            0 => Segments::Empty,
            length => Segments::One(self.inline_part(0, length)),
        }
    }

    /// The stored header fields, in a map with room for the fields that an answer adds.
    pub(crate) fn headers(&self) -> HeaderMap {
        let room = self.names.len() + ADDED_FIELDS;
        let mut headers = HeaderMap::try_with_capacity(room).unwrap_or_default();
        let mut at = 0;
        for name in self.names.iter() {
            let (start, length) = varint::decode(&self.packed, at);
            let end = start + length;
            // Every value was a valid `HeaderValue` when it was packed.
            if let Ok(value) = HeaderValue::from_maybe_shared(self.packed.slice(start..end)) {
                headers.append(name.clone(), value);
            }
            at = end;
        }
        headers
    }

    /// The stored names and values, in the order of [`headers`](Self::headers).
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&HeaderName, &[u8])> {
        let mut at = 0;
        self.names.iter().map(move |name| {
            let (start, length) = varint::decode(&self.packed, at);
            at = start + length;
            (name, self.packed.get(start..at).unwrap_or_default())
        })
    }

    /// The bytes that this entry holds on the heap, including the entry itself.
    pub(crate) fn heap_bytes(&self) -> usize {
        /// The two counters of an `Arc`, and one word of the allocator.
        const SHARED: usize = 24;
        let body = self.body.as_ref().map_or(0, StoredBody::heap_bytes);
        // Two references: the interner and this entry. The first entry with these names counts
        // them.
        let names = |names: &Arc<[HeaderName]>| {
            if Arc::strong_count(names) <= 2 {
                let text: usize = names.iter().map(|name| name.as_str().len()).sum();
                size_of_val(&**names) + text + 2 * SHARED
            } else {
                0
            }
        };
        let (selecting, values) = self.selecting.fields();
        let names = names(&self.names) + names(selecting) + size_of_val(values);
        let beside = body + names + self.extras.heap_bytes();
        size_of::<Self>() + SHARED + self.packed.len() + 2 * SHARED + beside
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("status", &self.status)
            .field("body_len", &self.body_len)
            .field("freshness", &self.freshness)
            .field("validity", &self.validity)
            .finish_non_exhaustive()
    }
}

impl Variant for Arc<Entry> {
    fn selecting(&self) -> &Selecting {
        &self.selecting
    }

    fn date(&self) -> i64 {
        self.arrival.date
    }

    fn response_time(&self) -> i64 {
        self.arrival.wall
    }
}

/// Whether these bytes are a valid field value (RFC 9110 §5.5). Accepts what `HeaderValue` accepts.
fn is_value(value: &[u8]) -> bool {
    // A fold does not stop at the first invalid byte, so the compiler can check many bytes at once.
    value.iter().fold(true, |valid, &byte| {
        valid & ((byte >= b' ') & (byte != 0x7f) | (byte == b'\t'))
    })
}
