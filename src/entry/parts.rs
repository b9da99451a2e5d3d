//! The parts of a stored response: its head, its time of arrival, and the segments of its body.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::{
    generation::Generation,
    purge::{PurgeTime, Tags},
    semantics::{decide::Validity, freshness::Freshness, vary::Selecting},
};

/// A stored response without its body.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) headers: HeaderMap,
    pub(crate) meta: HeadMeta,
}

impl Head {
    /// The current age of the response at `now`, in seconds (RFC 9111 §4.2.3).
    pub(crate) fn age(&self, now: Duration) -> u32 {
        self.meta.arrival.age(self.meta.freshness, now)
    }
}

/// A stored response without its header fields and its body.
#[derive(Clone, Debug)]
pub(crate) struct HeadMeta {
    pub(crate) status: StatusCode,
    pub(crate) freshness: Freshness,
    pub(crate) arrival: Arrival,
    pub(crate) selecting: Selecting,
    pub(crate) generation: Generation,
    /// How long to keep the entry, from its arrival on. Longer than it is fresh, so that it can be
    /// revalidated or served stale.
    pub(crate) keep: Duration,
    pub(crate) validity: Validity,
    /// The purge clock when the fetch of the body began, or when a 304 confirmed it.
    pub(crate) born: PurgeTime,
    pub(crate) tags: Option<Arc<Tags>>,
}

/// When a response arrived, and when it was generated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// The arrival by the wall clock, in Unix seconds.
    pub(crate) wall: i64,
    /// The arrival by the monotonic clock.
    pub(crate) monotonic: Duration,
    /// The `Date` of the response, in Unix seconds; its arrival if it has none.
    pub(crate) date: i64,
}

impl Arrival {
    pub(super) fn age(&self, freshness: Freshness, now: Duration) -> u32 {
        let resident = now.saturating_sub(self.monotonic).as_secs();
        freshness.age(u32::try_from(resident).unwrap_or(u32::MAX))
    }
}

/// A stored body, in segments whose buffers have no spare capacity.
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
