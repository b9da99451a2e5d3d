//! What is remembered of a stored response for the policy that will give the next one its lifetime.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap,
    header::{ETAG, LAST_MODIFIED},
};
use xxhash_rust::xxh3::Xxh3;

use crate::ttl::{Change, History, Observation};

/// The history of a representation, up to the fetch of the response that it is kept with.
#[derive(Debug)]
pub(crate) struct Past {
    history: History,
    /// A hash of the body, where no validator tells whether the next one is another.
    body: Option<u64>,
    /// How many requests were answered with the response.
    requests: AtomicU32,
}

impl Past {
    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    pub(super) fn count(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }
}

impl Clone for Past {
    fn clone(&self) -> Self {
        Self {
            history: self.history,
            body: self.body,
            requests: AtomicU32::new(self.requests.load(Ordering::Relaxed)),
        }
    }
}

/// A stored response, as one that comes after it is compared with it.
#[derive(Debug)]
pub(crate) struct Before<'a> {
    pub(super) past: &'a Past,
    pub(super) headers: HeaderMap,
    /// When it arrived, by the monotonic clock.
    pub(super) arrived: Duration,
}

/// What one more fetch shows of a representation, as far as it is known at the head.
#[derive(Debug)]
pub(crate) struct Lesson {
    /// The history before.
    before: History,
    /// What there is to add to it, if there is something before.
    seen: Option<Observation>,
    cost: Duration,
    /// The hash of the body before, where the body has to tell.
    body_before: Option<u64>,
    validated: bool,
}

impl Lesson {
    /// What a response with these fields says, which came at `now` and took `cost`, about what
    /// was stored before.
    pub(crate) fn of(
        before: Option<Before<'_>>,
        headers: &HeaderMap,
        now: Duration,
        cost: Duration,
    ) -> Self {
        let validated = is_validated(headers);
        let Some(Before {
            past,
            headers: stored,
            arrived,
        }) = before
        else {
            return Self {
                before: History::new(),
                seen: None,
                cost,
                body_before: None,
                validated,
            };
        };
        Self {
            before: past.history,
            seen: Some(Observation {
                interval: now.saturating_sub(arrived),
                change: compare(&stored, headers),
                requests: past.requests.load(Ordering::Relaxed),
                cost,
            }),
            cost,
            body_before: past.body.filter(|_| !validated),
            validated,
        }
    }

    /// The history with what is known at the head.
    pub(crate) fn at_head(&self) -> History {
        match self.seen {
            Some(seen) => self.before.observe(seen),
            None => self.before.paid(self.cost),
        }
    }

    /// What to keep with a response whose body is not looked at: that of the one before, or one
    /// that a validator stands for.
    pub(crate) fn without_body(&self) -> Past {
        Past {
            history: self.at_head(),
            body: self.body_before,
            requests: AtomicU32::new(0),
        }
    }

    /// What to keep with a response that has this body, and whether that says more than its head
    /// did.
    pub(crate) fn with_body(&self, body: &[Bytes]) -> (Past, Learned) {
        if self.validated {
            return (self.without_body(), Learned::AtHead);
        }
        let body = hash(body);
        let mut learned = Learned::AtHead;
        let seen = self.seen.map(|mut seen| {
            if seen.change == Change::Unknown
                && let Some(before) = self.body_before
            {
                learned = Learned::FromBody;
                seen.change = match before == body {
                    true => Change::Unchanged,
                    false => Change::Changed,
                };
            }
            seen
        });
        let history = match seen {
            Some(seen) => self.before.observe(seen),
            None => self.before.paid(self.cost),
        };
        let past = Past {
            history,
            body: Some(body),
            requests: AtomicU32::new(0),
        };
        (past, learned)
    }
}

/// Whether a body told more of a change than the head before it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Learned {
    AtHead,
    FromBody,
}

fn is_validated(headers: &HeaderMap) -> bool {
    headers.contains_key(ETAG) || headers.contains_key(LAST_MODIFIED)
}

/// What validators say: the entity tag if both have one, else the time of modification. Whether a
/// tag is weak does not matter here (RFC 9110 §8.8.3.2).
fn compare(before: &HeaderMap, now: &HeaderMap) -> Change {
    fn opaque(value: &[u8]) -> &[u8] {
        value.strip_prefix(b"W/").unwrap_or(value)
    }
    for name in [ETAG, LAST_MODIFIED] {
        if let (Some(before), Some(now)) = (before.get(&name), now.get(&name)) {
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
