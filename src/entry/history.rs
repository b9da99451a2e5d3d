//! What is remembered of a stored response for the policy that will give the next one its lifetime.

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

/// The history of a representation, up to the fetch of the response that it is kept with.
#[derive(Debug)]
pub(crate) struct ChangeHistory {
    history: History,
    /// When the response was fetched or confirmed, by the monotonic clock. The answer to a HEAD may
    /// give an entry a later arrival; what is learnt counts from here.
    observed: Duration,
    /// A hash of the body, where no validator tells whether the next one is another.
    body: Option<u64>,
    /// How many requests were answered with the response.
    requests: AtomicU32,
}

impl ChangeHistory {
    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    pub(super) fn count(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }
}

impl Clone for ChangeHistory {
    fn clone(&self) -> Self {
        Self {
            history: self.history,
            observed: self.observed,
            body: self.body,
            requests: AtomicU32::new(self.requests.load(Ordering::Relaxed)),
        }
    }
}

/// A stored response, as one that comes after it is compared with it.
#[derive(Debug)]
pub(crate) struct Previous<'a> {
    pub(super) past: &'a ChangeHistory,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
}

/// What one more fetch shows of a representation, as far as it is known at the head.
#[derive(Debug)]
pub(crate) struct HistoryUpdate {
    /// The history before.
    before: History,
    /// What there is to add to it, if there is something before.
    seen: Option<Observation>,
    /// When the head was there, by the monotonic clock.
    now: Duration,
    cost: Duration,
    /// The hash of the body before, where the body has to tell.
    body_before: Option<u64>,
    validated: bool,
}

impl HistoryUpdate {
    /// What a response with this head says, which came at `now` and took `cost`, about what was
    /// stored before.
    pub(crate) fn of(
        before: Option<Previous<'_>>,
        status: StatusCode,
        headers: &HeaderMap,
        now: Duration,
        cost: Duration,
    ) -> Self {
        let validated = has_validator(headers);
        let Some(before) = before else {
            return Self {
                before: History::new(),
                seen: None,
                now,
                cost,
                body_before: None,
                validated,
            };
        };
        let past = before.past;
        Self {
            before: past.history,
            seen: Some(Observation {
                interval: now.saturating_sub(past.observed),
                change: compare(&before, status, headers),
                requests: past.requests.load(Ordering::Relaxed),
                cost,
            }),
            now,
            cost,
            body_before: past.body.filter(|_| !validated),
            validated,
        }
    }

    /// The history with what is known at the head.
    pub(crate) fn at_head(&self) -> History {
        self.after(self.seen)
    }

    /// Whether the body has to tell what the head does not.
    pub(crate) fn awaits_body(&self) -> bool {
        let unknown = |seen: Observation| seen.change == Change::Unknown;
        self.body_before.is_some() && self.seen.is_some_and(unknown)
    }

    /// What to keep with a response whose body is not looked at: that of the one before, or one
    /// that a validator stands for.
    pub(crate) fn without_body(&self) -> ChangeHistory {
        ChangeHistory {
            history: self.at_head(),
            observed: self.now,
            body: self.body_before,
            requests: AtomicU32::new(0),
        }
    }

    /// What to keep with a response that has this body.
    pub(crate) fn with_body(&self, body: &[Bytes]) -> ChangeHistory {
        if self.validated {
            return self.without_body();
        }
        let body = hash(body);
        let mut seen = self.seen;
        if let (Some(seen), true) = (&mut seen, self.awaits_body()) {
            seen.change = match self.body_before == Some(body) {
                true => Change::Unchanged,
                false => Change::Changed,
            };
        }
        ChangeHistory {
            history: self.after(seen),
            observed: self.now,
            body: Some(body),
            requests: AtomicU32::new(0),
        }
    }

    fn after(&self, seen: Option<Observation>) -> History {
        match seen {
            Some(seen) => self.before.observe(seen),
            None => self.before.paid(self.cost),
        }
    }
}

/// What heads say. Another status is a change; otherwise validators tell: the entity tag if both
/// have one, else the time of modification. Whether a tag is weak does not matter here (RFC 9110
/// §8.8.3.2).
fn compare(before: &Previous<'_>, status: StatusCode, headers: &HeaderMap) -> Change {
    fn opaque(value: &[u8]) -> &[u8] {
        value.strip_prefix(b"W/").unwrap_or(value)
    }
    if before.status != status {
        return Change::Changed;
    }
    for name in [ETAG, LAST_MODIFIED] {
        if let (Some(before), Some(now)) = (before.headers.get(&name), headers.get(&name)) {
            return if opaque(before.as_bytes()) == opaque(now.as_bytes()) {
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
