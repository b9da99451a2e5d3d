//! A stored response and its packed form.
//!
//! A ready `HeaderMap` of eight fields holds about 1.5 KB. An entry keeps its field values in one
//! exact-size buffer instead, shares the list of names with every entry of the same shape, and
//! keeps a small body in that same buffer. Rebuilding the map is what makes a hit expensive, so an
//! entry that is hit several times within a second keeps the finished head of that second, `Age`
//! and all, for the hits that follow. All such heads together stay within a fixed allowance.

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, response};
use smallvec::SmallVec;

use super::{
    history::{ChangeHistory, Previous},
    mark::RemoteVersion,
    names::{ADDED_FIELDS, NameInterner},
    parts::{Arrival, Head, HeadMeta, Segments},
    rendered::{Holder, Recent, RenderedHead, RenderedHeads, head_bytes},
};
use crate::{
    generation::Generation,
    semantics::{decide::Standing, freshness::Freshness, select::Variant, vary::Selecting},
    util::varint,
};

/// Bodies up to this size live in the same buffer as the head.
pub(super) const INLINE_BODY: usize = 4 * 1024;

/// Hits within one second after which an entry keeps a finished head.
const HOT_AFTER: u32 = 2;

/// One stored response, complete and immutable.
///
/// What every hit reads comes first and together: under load a hit mostly waits for memory.
#[repr(C)]
pub(crate) struct Entry {
    selecting: Selecting,
    arrival: Arrival,
    freshness: Freshness,
    standing: Standing,
    ready: ArcSwapOption<RenderedHead>,
    body_len: u64,
    /// Each value after its length, then the body if it is small.
    packed: Bytes,
    head_len: u32,
    body: Option<Segments>,
    status: StatusCode,
    keep: u32,
    /// Milliseconds that the origin took for it.
    cost: u32,
    recent: Recent,
    generation: Generation,
    pub(super) names: Arc<[HeaderName]>,
    remote_version: Option<RemoteVersion>,
    past: Option<Box<ChangeHistory>>,
}

impl Entry {
    /// Packs a response.
    pub(crate) fn new(head: &Head, body: &Segments, shapes: &NameInterner) -> Self {
        // A map yields a name once for each of its values.
        let fields: SmallVec<[(&HeaderName, &HeaderValue); 16]> = head.headers.iter().collect();
        let terms = HeadMeta {
            status: head.status,
            freshness: head.freshness,
            arrival: head.arrival,
            selecting: shapes.share_names(&head.selecting),
            generation: head.generation,
            keep: head.keep,
            standing: head.standing,
        };
        let names = shapes.intern(fields.iter().map(|(name, _)| *name));
        let values = fields.iter().map(|(_, value)| value.as_bytes());
        Self::pack(terms, names, values, body)
    }

    /// Packs a response whose fields are bytes, without a `HeaderMap` between. `None` if one of
    /// them is not as RFC 9110 §5 has it, or they are more than a `HeaderMap` takes.
    pub(crate) fn read<'f>(
        mut terms: HeadMeta,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
        body: &Segments,
        shapes: &NameInterner,
    ) -> Option<Self> {
        let fields: SmallVec<[(&[u8], &[u8]); 16]> = fields.collect();
        if !fields.iter().all(|(_, value)| is_value(value)) {
            return None;
        }
        let names = shapes.parse(fields.iter().map(|(name, _)| *name))?;
        terms.selecting = shapes.share_names(&terms.selecting);
        let values = fields.iter().map(|(_, value)| *value);
        Some(Self::pack(terms, names, values, body))
    }

    /// Whether an entry copies a body of so many bytes.
    pub(crate) fn copies(body_len: u64) -> bool {
        body_len <= INLINE_BODY as u64
    }

    fn pack<'v>(
        terms: HeadMeta,
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
            status: terms.status,
            standing: terms.standing,
            names,
            packed: packed.into(),
            head_len: u32::try_from(head_len).unwrap_or(u32::MAX),
            body: (!inline).then(|| body.clone()),
            body_len,
            freshness: terms.freshness,
            arrival: terms.arrival,
            keep: u32::try_from(terms.keep.as_secs()).unwrap_or(u32::MAX),
            generation: terms.generation,
            selecting: terms.selecting,
            cost: 0,
            recent: Recent::default(),
            ready: ArcSwapOption::empty(),
            remote_version: None,
            past: None,
        }
    }

    /// The same, with its version in the shared tier.
    pub(crate) fn with_remote_version(self, remote_version: Option<RemoteVersion>) -> Self {
        Self {
            remote_version,
            ..self
        }
    }

    /// The same, with what a policy that learns is to know of it.
    pub(crate) fn with_past(self, past: Option<ChangeHistory>) -> Self {
        let past = past.map(Box::new);
        Self { past, ..self }
    }

    /// What the response that comes next is compared with, by a policy that learns.
    pub(crate) fn before(&self) -> Option<Previous<'_>> {
        self.past.as_ref().map(|past| Previous {
            past,
            status: self.status,
            headers: self.headers(),
        })
    }

    /// Counts a request that is answered with it, if that is of interest.
    pub(crate) fn count(&self) {
        if let Some(past) = &self.past {
            past.count();
        }
    }

    /// The same, with the time that the origin took for it.
    pub(crate) fn fetched_in(self, cost: Duration) -> Self {
        let cost = u32::try_from(cost.as_millis()).unwrap_or(u32::MAX);
        Self { cost, ..self }
    }

    /// The time that the origin took for it, if that is known.
    pub(crate) fn cost(&self) -> Duration {
        Duration::from_millis(self.cost.into())
    }

    /// How long it stays fresh from `now` on.
    pub(crate) fn fresh_for(&self, now: Duration) -> Duration {
        let resident = now.saturating_sub(self.arrival.monotonic);
        self.fresh_on_arrival().saturating_sub(resident)
    }

    /// Whether at most half is left of the freshness that it had when it arrived, where it may
    /// have been old already.
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

    /// Which version it is in the shared tier, if it may be there.
    pub(crate) fn remote_version(&self) -> Option<&RemoteVersion> {
        self.remote_version.as_ref()
    }

    /// The same response with another head, sharing a body of more than a few kilobytes.
    pub(crate) fn with_head(&self, head: &Head, shapes: &NameInterner) -> Self {
        Self {
            cost: self.cost,
            past: self.past.clone(),
            ..Self::new(head, &self.body(), shapes)
        }
    }

    /// The whole head, to be changed and packed again.
    pub(crate) fn unpack(&self) -> Head {
        Head {
            status: self.status,
            headers: self.headers(),
            freshness: self.freshness,
            arrival: self.arrival,
            selecting: self.selecting.clone(),
            generation: self.generation,
            keep: self.keep(),
            standing: self.standing,
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn standing(&self) -> Standing {
        self.standing
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

    /// How old the response is at `now`, in seconds (RFC 9111 §4.2.3).
    pub(crate) fn age(&self, now: Duration) -> u32 {
        self.arrival.age(self.freshness, now)
    }

    pub(crate) fn keep(&self) -> Duration {
        Duration::from_secs(u64::from(self.keep))
    }

    pub(crate) fn body_len(&self) -> u64 {
        self.body_len
    }

    pub(crate) fn body(&self) -> Segments {
        match &self.body {
            Some(segments) => segments.clone(),
            None if self.body_len == 0 => Segments::Empty,
            None => Segments::One(self.packed.slice(self.head_len as usize..)),
        }
    }

    /// The stored header fields, in a map with room for those that an answer adds.
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

    /// The finished head of a fresh hit at `age`, which `finish` makes of the stored one unless it
    /// is there already. `maker` tells apart the layers that finish heads differently.
    pub(crate) fn finished_head(
        self: &Arc<Self>,
        hot: &Arc<RenderedHeads>,
        now: Duration,
        maker: u64,
        finish: impl FnOnce(&mut response::Parts, u32),
    ) -> response::Parts {
        let age = self.age(now);
        let ready = self.ready.load();
        match &*ready {
            Some(ready) if ready.age == age && ready.maker == maker => ready.head.clone(),
            ready => self.finish(hot, now, maker, ready.as_deref(), finish),
        }
    }

    /// Finishes a head, and keeps it for the hits that follow if the entry is asked for a lot.
    #[cold]
    fn finish(
        self: &Arc<Self>,
        hot: &Arc<RenderedHeads>,
        now: Duration,
        maker: u64,
        last: Option<&RenderedHead>,
        finish: impl FnOnce(&mut response::Parts, u32),
    ) -> response::Parts {
        let age = self.age(now);
        let (mut head, ()) = Response::new(()).into_parts();
        head.status = self.status;
        head.headers = self.headers();
        finish(&mut head, age);
        let bytes = head_bytes(head.headers.len());
        let lease = match last {
            // Still asked for: the head of the next second takes the place of the last one's.
            Some(last) if age.abs_diff(last.age) <= 1 => Some(Arc::clone(&last.lease)),
            Some(_) => {
                self.ready.store(None);
                None
            }
            None if self.recent.hit(age) >= HOT_AFTER => {
                let holder = Arc::downgrade(self);
                hot.lease(holder, bytes, now)
            }
            None => None,
        };
        if let Some(lease) = lease {
            self.ready.store(Some(Arc::new(RenderedHead {
                age,
                maker,
                head: head.clone(),
                lease,
            })));
        }
        head
    }

    /// The bytes that this entry holds on the heap, its own included.
    pub(crate) fn heap_bytes(&self) -> usize {
        /// The two counters of an `Arc`, and the allocator's word.
        const SHARED: usize = 24;
        let segments = self.body.as_ref().map_or(0, |body| {
            body.as_slice()
                .iter()
                .map(|s| s.len() + size_of::<Bytes>() + 2 * SHARED)
                .sum()
        });
        // Held by the table of shapes and by this entry: the first of its shape pays for the names.
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
        let past = self
            .past
            .as_ref()
            .map_or(0, |_| size_of::<ChangeHistory>() + SHARED);
        size_of::<Self>() + SHARED + self.packed.len() + 2 * SHARED + segments + names + past
    }
}

impl Holder for Entry {
    fn keeps_ready(&self, now: Duration) -> bool {
        let age = self.ready.load().as_ref().map(|ready| ready.age);
        let used = age.is_some_and(|ready| self.age(now).saturating_sub(ready) <= 1);
        if age.is_some() && !used {
            self.ready.store(None);
        }
        used
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("status", &self.status)
            .field("body_len", &self.body_len)
            .field("freshness", &self.freshness)
            .field("standing", &self.standing)
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

/// Whether a field may have this value (RFC 9110 §5.5), by the rule of `HeaderValue`.
fn is_value(value: &[u8]) -> bool {
    // Not up to the first that may not be: without an early end, many bytes are looked at at once.
    value.iter().fold(true, |valid, &byte| {
        valid & ((byte >= b' ') & (byte != 0x7f) | (byte == b'\t'))
    })
}
