//! The findings about one step: what was not as expected, and where that is written.

use std::panic::Location;

use cachewarp::CacheOutcome;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{AGE, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE},
    request::Parts,
};

use crate::{reply::Reply, site::Answer};

/// What was found so far.
#[derive(Debug)]
pub(crate) struct Verdict {
    place: &'static Location<'static>,
    at: i64,
    findings: Vec<String>,
}

impl Verdict {
    pub(crate) fn new(place: &'static Location<'static>, at: i64) -> Self {
        Self {
            place,
            at,
            findings: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, finding: &str) {
        let Self { place, at, .. } = self;
        self.findings.push(format!(
            "{}:{}, t={at}: {finding}",
            place.file(),
            place.line()
        ));
    }

    pub(crate) fn require(&mut self, holds: bool, finding: impl FnOnce() -> String) {
        if !holds {
            self.add(&finding());
        }
    }

    pub(crate) fn same_lines(&mut self, of: &HeaderMap, name: &HeaderName, lines: &[HeaderValue]) {
        let found: Vec<_> = of.get_all(name).iter().collect();
        self.require(found.iter().copied().eq(lines), || {
            format!("{name} {found:?}, not {lines:?}")
        });
    }

    /// The origin was asked once, with the conditions and the range that the client sent.
    pub(crate) fn same_conditions(&mut self, sent: &HeaderMap, seen: &[Parts]) {
        self.require(seen.len() == 1, || {
            format!("{} questions to the origin, not one", seen.len())
        });
        for seen in seen {
            for name in [IF_NONE_MATCH, IF_MODIFIED_SINCE, RANGE, IF_RANGE] {
                let lines: Vec<_> = sent.get_all(&name).iter().cloned().collect();
                self.same_lines(&seen.headers, &name, &lines);
            }
        }
    }

    /// What the origin was asked has this method.
    pub(crate) fn same_method(&mut self, method: &Method, seen: &[Parts]) {
        for seen in seen {
            self.require(seen.method == *method, || {
                format!("the origin saw {}, not {method}", seen.method)
            });
        }
    }

    /// The fields of a forwarded answer are those that the origin sent.
    pub(crate) fn unchanged(&mut self, sent: Option<&Reply>, answer: &Answer) {
        let Some(sent) = sent else {
            return self.same_lines(&answer.headers, &AGE, &[]);
        };
        // Ours comes after the origin's own.
        let labels = HeaderName::from_static("cache-status");
        let names = sent.fields().keys().chain([&AGE]);
        for name in names.filter(|name| **name != labels) {
            let lines: Vec<_> = sent.fields().get_all(name).iter().cloned().collect();
            self.same_lines(&answer.headers, name, &lines);
        }
    }

    /// `X-Cache` says the same as the outcome.
    pub(crate) fn labelled(&mut self, method: &Method, answer: &Answer) {
        let label: &[&str] = match answer.outcome() {
            CacheOutcome::Hit { .. } => &["HIT"],
            CacheOutcome::Stale { .. } => &["STALE"],
            CacheOutcome::Revalidated { .. } => &["REVALIDATED"],
            CacheOutcome::Fetched { .. } | CacheOutcome::Collapsed { .. } => &["MISS"],
            CacheOutcome::Bypassed(_) | CacheOutcome::Forwarded => &["BYPASS"],
            CacheOutcome::Generated(_) => &["ERROR"],
            // No field is added to the beginning of a tunnel.
            CacheOutcome::Tunnelled if answer.status == 101 || method == Method::CONNECT => &[],
            CacheOutcome::Tunnelled => &["BYPASS"],
            _ => &[],
        };
        let label: Vec<_> = label
            .iter()
            .copied()
            .map(HeaderValue::from_static)
            .collect();
        self.same_lines(&answer.headers, &HeaderName::from_static("x-cache"), &label);
    }

    /// What was left of the freshness lifetime.
    pub(crate) fn ttl(&mut self, outcome: CacheOutcome) -> i64 {
        match outcome {
            CacheOutcome::Hit { ttl, .. }
            | CacheOutcome::Stale { ttl, .. }
            | CacheOutcome::Revalidated { ttl, .. } => ttl,
            other => {
                self.add(&format!("{other:?} has no lifetime"));
                0
            }
        }
    }

    /// Adds the answer to the findings, if there are any.
    pub(crate) fn show(&mut self, answer: &Answer, seen: &[Parts]) {
        if self.findings.is_empty() {
            return;
        }
        let seen: Vec<_> = seen.iter().map(|parts| &parts.headers).collect();
        self.add(&format!("the answer: {answer:?}; the origin saw {seen:?}"));
    }

    pub(crate) fn findings(self) -> Vec<String> {
        self.findings
    }
}
