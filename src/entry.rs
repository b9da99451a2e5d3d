//! A stored response: plain data, packed.
//!
//! A ready `HeaderMap` of eight fields holds about 1.5 KB. An entry keeps its field values in one
//! exact-size buffer instead, shares the list of names with every entry of the same shape, and
//! keeps a small body in that same buffer. Rebuilding the map costs a hit some 200 ns, so entries
//! that are hit again and again keep a ready map beside the buffer, within a fixed allowance.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use xxhash_rust::xxh3::Xxh3;

use crate::{
    generation::Generation,
    semantics::{decide::Standing, freshness::Freshness, select::Variant, vary::Selecting},
};

/// Bodies up to this size live in the same buffer as the head.
const INLINE_BODY: usize = 4 * 1024;

/// The largest stored head, in bytes of field names and values.
pub(crate) const MAX_HEAD_BYTES: usize = 64 * 1024 - 1;

/// Hits after which an entry asks for a ready `HeaderMap`.
const HOT_AFTER: u8 = 3;

/// Shapes remembered at once; past it the table starts anew, and old shapes live on in entries.
const MAX_SHAPES: usize = 1024;

/// Everything about a stored response but its body.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) freshness: Freshness,
    pub(crate) arrival: Arrival,
    pub(crate) selecting: Selecting,
    pub(crate) generation: Generation,
    /// How long the entry is of use, from its arrival: past freshness, for revalidation.
    pub(crate) keep: Duration,
    pub(crate) standing: Standing,
}

impl Head {
    /// How old the response is at `now`, in seconds (RFC 9111 §4.2.3).
    pub(crate) fn age(&self, now: Duration) -> u32 {
        self.arrival.age(self.freshness, now)
    }
}

/// When a response arrived, by both clocks, and its `Date`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) wall: i64,
    pub(crate) monotonic: Duration,
    pub(crate) date: i64,
}

impl Arrival {
    fn age(&self, freshness: Freshness, now: Duration) -> u32 {
        let resident = now.saturating_sub(self.monotonic).as_secs();
        freshness.age(u32::try_from(resident).unwrap_or(u32::MAX))
    }
}

/// A stored body: bytes in segments of exact size.
#[derive(Clone, Debug, Default)]
pub(crate) enum Segments {
    #[default]
    Empty,
    One(Bytes),
    Many(Arc<[Bytes]>),
}

impl Segments {
    pub(crate) fn len(&self) -> u64 {
        self.as_slice().iter().map(|s| s.len() as u64).sum()
    }

    pub(crate) fn as_slice(&self) -> &[Bytes] {
        match self {
            Self::Empty => &[],
            Self::One(bytes) => std::slice::from_ref(bytes),
            Self::Many(segments) => segments,
        }
    }
}

impl FromIterator<Bytes> for Segments {
    fn from_iter<I: IntoIterator<Item = Bytes>>(segments: I) -> Self {
        let mut segments: Vec<Bytes> = segments.into_iter().filter(|s| !s.is_empty()).collect();
        match segments.len() {
            0 => Self::Empty,
            1 => segments.pop().map_or(Self::Empty, Self::One),
            _ => Self::Many(segments.into()),
        }
    }
}

/// One stored response, complete and immutable.
pub(crate) struct Entry {
    status: StatusCode,
    standing: Standing,
    hits: AtomicU8,
    names: Arc<[HeaderName]>,
    /// Two bytes of length for each value, the values, then the body if it is small.
    packed: Bytes,
    head_len: u32,
    body: Option<Segments>,
    body_len: u64,
    freshness: Freshness,
    arrival: Arrival,
    keep: u32,
    generation: Generation,
    selecting: Selecting,
    ready: OnceLock<Box<ReadyHead>>,
}

impl Entry {
    /// Packs a response. The head may hold [`MAX_HEAD_BYTES`] at most.
    pub(crate) fn new(head: &Head, body: &Segments, shapes: &Shapes) -> Self {
        let body_len = body.len();
        let inline = body_len <= INLINE_BODY as u64;
        let lengths = head.headers.len() * 2;
        let values: usize = head.headers.values().map(HeaderValue::len).sum();
        let head_len = lengths + values;
        let mut packed = Vec::with_capacity(head_len + if inline { body_len as usize } else { 0 });
        for value in head.headers.values() {
            debug_assert!(value.len() <= MAX_HEAD_BYTES, "the road bounds heads");
            packed.extend_from_slice(&(value.len() as u16).to_le_bytes());
        }
        for value in head.headers.values() {
            packed.extend_from_slice(value.as_bytes());
        }
        if inline {
            for segment in body.as_slice() {
                packed.extend_from_slice(segment);
            }
        }
        Self {
            status: head.status,
            standing: head.standing,
            hits: AtomicU8::new(0),
            names: shapes.intern(&head.headers),
            packed: packed.into(),
            head_len: u32::try_from(head_len).unwrap_or(u32::MAX),
            body: (!inline).then(|| body.clone()),
            body_len,
            freshness: head.freshness,
            arrival: head.arrival,
            keep: u32::try_from(head.keep.as_secs()).unwrap_or(u32::MAX),
            generation: head.generation,
            selecting: head.selecting.clone(),
            ready: OnceLock::new(),
        }
    }

    /// The same response with another head, sharing a body of more than a few kilobytes.
    pub(crate) fn with_head(&self, head: &Head, shapes: &Shapes) -> Self {
        Self::new(head, &self.body(), shapes)
    }

    /// The whole head, to be changed and packed again.
    pub(crate) fn unpack(&self) -> Head {
        Head {
            status: self.status,
            headers: self.rebuild(0),
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

    /// The stored header fields, in a map with room for `extra` more.
    ///
    /// The returned map holds [`Reserved`] values under the names in `reserve` when it comes from
    /// a ready map, so that what changes with every answer replaces a value in place.
    pub(crate) fn headers(
        &self,
        hot: &Arc<HotHeads>,
        reserve: &[(HeaderName, HeaderValue)],
    ) -> HeaderMap {
        if let Some(ready) = self.ready.get() {
            return ready.headers.clone();
        }
        let headers = self.rebuild(reserve.len());
        if self.hits.fetch_add(1, Ordering::Relaxed) == HOT_AFTER {
            self.keep_ready(&headers, hot, reserve);
        }
        headers
    }

    fn keep_ready(
        &self,
        headers: &HeaderMap,
        hot: &Arc<HotHeads>,
        reserve: &[(HeaderName, HeaderValue)],
    ) {
        let Some(lease) = hot.lease(map_bytes(headers.len() + reserve.len())) else {
            // The allowance is used up: count towards the next try.
            self.hits.store(0, Ordering::Relaxed);
            return;
        };
        let mut headers = headers.clone();
        for (name, value) in reserve {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        // Losing the race to another hit drops this map and returns its lease.
        let _ = self.ready.set(Box::new(ReadyHead {
            headers,
            _lease: lease,
        }));
    }

    fn rebuild(&self, extra: usize) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(self.names.len() + extra);
        let mut start = self.names.len() * 2;
        for (name, len) in self.names.iter().zip(self.packed.chunks_exact(2)) {
            let end = start + usize::from(u16::from_le_bytes([len[0], len[1]]));
            // Every value was a valid `HeaderValue` when it was packed.
            if let Ok(value) = HeaderValue::from_maybe_shared(self.packed.slice(start..end)) {
                headers.append(name.clone(), value);
            }
            start = end;
        }
        headers
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
        let selectors = size_of_val(self.selecting.selectors());
        size_of::<Self>() + SHARED + self.packed.len() + 2 * SHARED + segments + selectors
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

struct ReadyHead {
    headers: HeaderMap,
    _lease: Lease,
}

/// About what a `HeaderMap` of that many fields holds on the heap.
fn map_bytes(fields: usize) -> usize {
    /// A bucket holds a name, a value, a hash and its links; an index entry is four bytes.
    const BUCKET: usize = 104;
    fields * BUCKET + (fields * 4 / 3).next_power_of_two().max(8) * 4
}

/// The allowance that ready heads share.
#[derive(Debug)]
pub(crate) struct HotHeads {
    allowance: usize,
    used: AtomicUsize,
}

impl HotHeads {
    pub(crate) fn new(allowance: usize) -> Arc<Self> {
        Arc::new(Self {
            allowance,
            used: AtomicUsize::new(0),
        })
    }

    fn lease(self: &Arc<Self>, bytes: usize) -> Option<Lease> {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        let lease = Lease {
            hot: Arc::clone(self),
            bytes,
        };
        // Dropping the lease gives back what was taken.
        (before + bytes <= self.allowance).then_some(lease)
    }
}

/// A share of the allowance, given back when its ready head goes.
struct Lease {
    hot: Arc<HotHeads>,
    bytes: usize,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.hot.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Lists of header names, one copy for all the entries that share one.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    known: Mutex<HashMap<u64, Arc<[HeaderName]>>>,
}

impl Shapes {
    fn intern(&self, headers: &HeaderMap) -> Arc<[HeaderName]> {
        // A map yields a name once for each of its values.
        let names = || headers.iter().map(|(name, _)| name);
        let mut hasher = Xxh3::new();
        for name in names() {
            hasher.update(name.as_str().as_bytes());
            hasher.update(b"\n");
        }
        let hash = hasher.digest();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shape) = known.get(&hash)
            && shape.iter().eq(names())
        {
            return Arc::clone(shape);
        }
        let shape: Arc<[HeaderName]> = names().map(compact).collect();
        if known.len() >= MAX_SHAPES {
            known.clear();
        }
        known.insert(hash, Arc::clone(&shape));
        shape
    }
}

/// The same name in memory of its own: one that came off the wire keeps its read buffer alive.
fn compact(name: &HeaderName) -> HeaderName {
    // The bytes are those of a valid name.
    HeaderName::from_bytes(name.as_str().as_bytes()).unwrap_or_else(|_| name.clone())
}
