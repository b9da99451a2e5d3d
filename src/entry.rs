//! A stored response: plain data, packed.
//!
//! A ready `HeaderMap` of eight fields holds about 1.5 KB. An entry keeps its field values in one
//! exact-size buffer instead, shares the list of names with every entry of the same shape, and
//! keeps a small body in that same buffer. Rebuilding the map is what makes a hit expensive, so an
//! entry that is hit several times within a second keeps the finished head of that second, `Age`
//! and all, for the hits that follow. All such heads together stay within a fixed allowance.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, response};
use smallvec::SmallVec;
use xxhash_rust::xxh3::Xxh3;

use crate::{
    generation::Generation,
    remote::Mark,
    semantics::{decide::Standing, freshness::Freshness, select::Variant, vary::Selecting},
    varint,
};

/// Bodies up to this size live in the same buffer as the head.
const INLINE_BODY: usize = 4 * 1024;

/// Hits within one second after which an entry keeps a finished head.
const HOT_AFTER: u32 = 2;

/// Fields that an answer may add to the stored ones: `Age`, `X-Cache` and `Cache-Status`.
const ADDED_FIELDS: usize = 3;

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
///
/// What every hit reads comes first and together: under load a hit mostly waits for memory.
#[repr(C)]
pub(crate) struct Entry {
    selecting: Selecting,
    arrival: Arrival,
    freshness: Freshness,
    standing: Standing,
    ready: ArcSwapOption<ReadyHead>,
    body_len: u64,
    /// Each value after its length, then the body if it is small.
    packed: Bytes,
    head_len: u32,
    body: Option<Segments>,
    status: StatusCode,
    keep: u32,
    recent: Recent,
    generation: Generation,
    names: Arc<[HeaderName]>,
    mark: Option<Mark>,
}

impl Entry {
    /// Packs a response.
    pub(crate) fn new(head: &Head, body: &Segments, shapes: &Shapes) -> Self {
        let body_len = body.len();
        let inline = body_len <= INLINE_BODY as u64;
        let lines = head.headers.values();
        let head_len: usize = lines
            .map(|value| varint::encoded_len(value.len()) + value.len())
            .sum();
        let mut packed = Vec::with_capacity(head_len + if inline { body_len as usize } else { 0 });
        for value in head.headers.values() {
            varint::encode(value.len(), |digit| packed.push(digit));
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
            // A map yields a name once for each of its values.
            names: shapes.intern(head.headers.iter().map(|(name, _)| name)),
            packed: packed.into(),
            head_len: u32::try_from(head_len).unwrap_or(u32::MAX),
            body: (!inline).then(|| body.clone()),
            body_len,
            freshness: head.freshness,
            arrival: head.arrival,
            keep: u32::try_from(head.keep.as_secs()).unwrap_or(u32::MAX),
            generation: head.generation,
            selecting: head
                .selecting
                .sharing_names(|names| shapes.intern(names.iter())),
            recent: Recent::default(),
            ready: ArcSwapOption::empty(),
            mark: None,
        }
    }

    /// The same, with what ties it to the tier that nodes share.
    pub(crate) fn marked(self, mark: Option<Mark>) -> Self {
        Self { mark, ..self }
    }

    pub(crate) fn mark(&self) -> Option<&Mark> {
        self.mark.as_ref()
    }

    /// The same response with another head, sharing a body of more than a few kilobytes.
    pub(crate) fn with_head(&self, head: &Head, shapes: &Shapes) -> Self {
        Self::new(head, &self.body(), shapes)
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

    /// The finished head of a fresh hit at `age`, which `finish` makes of the stored one unless it
    /// is there already. `maker` tells apart the layers that finish heads differently.
    pub(crate) fn finished_head(
        self: &Arc<Self>,
        hot: &Arc<HotHeads>,
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
        hot: &Arc<HotHeads>,
        now: Duration,
        maker: u64,
        last: Option<&ReadyHead>,
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
            self.ready.store(Some(Arc::new(ReadyHead {
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
        size_of::<Self>() + SHARED + self.packed.len() + 2 * SHARED + segments + names
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

/// Lists of header names, one copy for all the entries that share one.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    known: Mutex<HashMap<u64, Arc<[HeaderName]>>>,
}

impl Shapes {
    fn intern<'n>(&self, names: impl Iterator<Item = &'n HeaderName>) -> Arc<[HeaderName]> {
        let names: SmallVec<[&HeaderName; 16]> = names.collect();
        let mut hasher = Xxh3::new();
        for name in &names {
            hasher.update(name.as_str().as_bytes());
            hasher.update(b"\n");
        }
        let hash = hasher.digest();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shape) = known.get(&hash)
            && shape.iter().eq(names.iter().copied())
        {
            return Arc::clone(shape);
        }
        let shape: Arc<[HeaderName]> = names.into_iter().map(compact).collect();
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

mod ready;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use self::ready::HotHeads;
use self::ready::{Holder, ReadyHead, Recent, head_bytes};
