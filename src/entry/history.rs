//! What an entry remembers for a TTL policy that learns: how its representation changed, and how
//! often it was requested. Each fetch adds one observation.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, StatusCode,
    header::{ETAG, LAST_MODIFIED},
};
use xxhash_rust::xxh3::Xxh3;

use crate::{
    semantics::validate::has_validator,
    ttl::{Change, History, Observation},
};

/// The history of a representation, up to the fetch of the response that it is stored with.
#[derive(Debug)]
pub(crate) struct ChangeHistory {
    history: History,
    /// When the response was fetched or validated, by the monotonic clock. The next observation's
    /// interval begins here, not at the entry's arrival: the answer to a HEAD may make that later.
    observed_at: Duration,
    /// A hash of the body, if the head has no validator.
    body_hash: Option<u64>,
    /// How many requests were answered with the response.
    requests: AtomicU32,
}

impl ChangeHistory {
    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    pub(super) fn count_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }
}

impl Clone for ChangeHistory {
    fn clone(&self) -> Self {
        Self {
            history: self.history,
            observed_at: self.observed_at,
            body_hash: self.body_hash,
            requests: AtomicU32::new(self.requests.load(Ordering::Relaxed)),
        }
    }
}

/// The stored response that a new one is compared with.
#[derive(Debug)]
pub(crate) struct Previous<'a> {
    pub(super) history: &'a ChangeHistory,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
}

/// What one more fetch adds to the history of a representation, as far as its head shows it.
#[derive(Debug)]
pub(crate) struct HistoryUpdate {
    /// The history before this fetch.
    previous: History,
    /// What this fetch showed. `None` for the first fetch of the representation.
    observation: Option<Observation>,
    /// When the head arrived, by the monotonic clock.
    fetched_at: Duration,
    fetch_duration: Duration,
    /// The hash of the previous body, if the new head has no validator.
    previous_body_hash: Option<u64>,
    has_validator: bool,
}

impl HistoryUpdate {
    /// Compares the head of a new response with the stored response that it replaces.
    pub(crate) fn new(
        previous: Option<Previous<'_>>,
        status: StatusCode,
        headers: &HeaderMap,
        fetched_at: Duration,
        fetch_duration: Duration,
    ) -> Self {
        let has_validator = has_validator(headers);
        let Some(previous) = previous else {
            return Self {
                previous: History::new(),
                observation: None,
                fetched_at,
                fetch_duration,
                previous_body_hash: None,
                has_validator,
            };
        };
        let stored = previous.history;
        Self {
            previous: stored.history,
            observation: Some(Observation {
                interval: fetched_at.saturating_sub(stored.observed_at),
                change: compare_heads(&previous, status, headers),
                requests: stored.requests.load(Ordering::Relaxed),
                cost: fetch_duration,
            }),
            fetched_at,
            fetch_duration,
            previous_body_hash: stored.body_hash.filter(|_| !has_validator),
            has_validator,
        }
    }

    /// The history including what the head shows.
    pub(crate) fn at_head(&self) -> History {
        self.add(self.observation)
    }

    /// Whether only the body can show if the representation changed.
    pub(crate) fn awaits_body(&self) -> bool {
        let is_unknown = |seen: Observation| seen.change == Change::Unknown;
        self.previous_body_hash.is_some() && self.observation.is_some_and(is_unknown)
    }

    /// The history to store if the body is not compared: after a 304, or because a validator
    /// identifies the body.
    pub(crate) fn without_body(&self) -> ChangeHistory {
        ChangeHistory {
            history: self.at_head(),
            observed_at: self.fetched_at,
            body_hash: self.previous_body_hash,
            requests: AtomicU32::new(0),
        }
    }

    /// The history to store with a response that has this body.
    pub(crate) fn with_body(&self, body: &[Bytes]) -> ChangeHistory {
        if self.has_validator {
            return self.without_body();
        }
        let body_hash = hash(body);
        let mut observation = self.observation;
        if let (Some(seen), true) = (&mut observation, self.awaits_body()) {
            seen.change = match self.previous_body_hash == Some(body_hash) {
                true => Change::Unchanged,
                false => Change::Changed,
            };
        }
        ChangeHistory {
            history: self.add(observation),
            observed_at: self.fetched_at,
            body_hash: Some(body_hash),
            requests: AtomicU32::new(0),
        }
    }

    fn add(&self, observation: Option<Observation>) -> History {
        match observation {
            Some(observation) => self.previous.observe(observation),
            None => self.previous.paid(self.fetch_duration),
        }
    }
}

/// Whether the representation changed, as far as two heads show it. Another status is a change.
/// With the same status the entity tags decide if both heads have one, else `Last-Modified`. Weak
/// and strong tags compare alike (RFC 9110 §8.8.3.2).
fn compare_heads(previous: &Previous<'_>, status: StatusCode, headers: &HeaderMap) -> Change {
    fn opaque(value: &[u8]) -> &[u8] {
        value.strip_prefix(b"W/").unwrap_or(value)
    }
    if previous.status != status {
        return Change::Changed;
    }
    for name in [ETAG, LAST_MODIFIED] {
        if let (Some(old), Some(new)) = (previous.headers.get(&name), headers.get(&name)) {
            return if opaque(old.as_bytes()) == opaque(new.as_bytes()) {
                Change::Unchanged
            } else {
                Change::Changed
            };
        }
    }
    Change::Unknown
}

fn hash(body: &[Bytes]) -> u64 {
    let mut hasher = Xxh3::new();
    body.iter().for_each(|segment| hasher.update(segment));
    hasher.digest()
}
