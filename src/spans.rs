//! The spans of `tracing`: what a request waits for, and what goes on after its answer.
//!
//! What a request waits for is inside of its own span: `lookup` in the shared tier, `collapse`,
//! `origin`, and the `purge` in its response. What goes on after the answer is not, or the request would seem to take until then:
//! `refresh` and `store` are beside it, in the span that was current when the request came, and
//! follow from it.
//!
//! All are of level DEBUG, and made in this module only, so that a filter can name them. They show
//! the path of a URL, and never a query or the value of a header field.

use http::{Extensions, Request, Response, StatusCode};
use tracing::{
    Level, Span, debug_span,
    field::Empty,
    level_filters::{LevelFilter, STATIC_MAX_LEVEL},
    span,
};

use crate::{metrics::CallEnd, outcome::CacheOutcome};

/// Whether anybody listens to spans of this level: one load of a word that hardly ever changes.
#[inline]
pub(crate) fn may_be_heard() -> bool {
    Level::DEBUG <= STATIC_MAX_LEVEL && Level::DEBUG <= LevelFilter::current()
}

/// The span that was current before a request got its own. What outlives the request runs in it.
#[derive(Clone, Debug)]
pub(crate) struct Outside(Span);

/// The span of a request. `None` if nobody listens to it.
pub(crate) fn request<B>(request: &mut Request<B>) -> Option<Span> {
    let outside = Span::current();
    let span = debug_span!(
        "request",
        method = request.method().as_str(),
        path = request.uri().path(),
        outcome = Empty,
        status = Empty,
        error = Empty
    );
    if span.is_disabled() {
        return None;
    }
    request.extensions_mut().insert(Outside(outside));
    Some(span)
}

/// Says in the span of a request how it was answered.
pub(crate) fn answered<B, E>(span: &Span, answer: &Result<Response<B>, E>) {
    match answer {
        Ok(response) => {
            if let Some(outcome) = response.extensions().get::<CacheOutcome>() {
                span.record("outcome", outcome.as_str());
            }
            span.record("status", response.status().as_u16());
        }
        // What it says is the service's: it may have anything in it.
        Err(_) => {
            span.record("error", true);
        }
    }
}

/// The spans of one request: those of what it waits for, and of what goes on after its answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spans(Option<Box<Outside>>);

impl Spans {
    /// Takes what [`request`] left.
    pub(crate) fn take(extensions: &mut Extensions) -> Self {
        Self(extensions.remove::<Outside>().map(Box::new))
    }

    /// The span in which a task runs that may outlive the request.
    pub(crate) fn outside(&self) -> Span {
        match &self.0 {
            Some(outside) => outside.0.clone(),
            None => Span::current(),
        }
    }

    /// The span of the request, for what it waits for in a task that runs [outside](Self::outside).
    pub(crate) fn inside(&self) -> Span {
        match &self.0 {
            Some(_) => Span::current(),
            None => Span::none(),
        }
    }

    /// The refresh of a stored response in the background.
    pub(crate) fn refresh(&self) -> Span {
        self.after(|outside| debug_span!(parent: outside, "refresh"))
    }

    /// The body of a response, from its head until it is stored.
    pub(crate) fn store(&self) -> Span {
        self.after(|outside| debug_span!(parent: outside, "store", body = Empty))
    }

    fn after(&self, make: impl FnOnce(Option<span::Id>) -> Span) -> Span {
        let Some(outside) = &self.0 else {
            return Span::none();
        };
        let span = make(outside.0.id());
        span.follows_from(Span::current());
        span
    }
}

/// A purge, until the shared tier has recorded it or it is pending. What it names is not shown: a URL may
/// have a query.
pub(crate) fn purge(subjects: usize, mode: &'static str) -> Span {
    debug_span!("purge", subjects, mode, shared = Empty)
}

/// The search in the shared tier.
pub(crate) fn lookup() -> Span {
    debug_span!("lookup", found = Empty)
}

/// What requests wait for when they share a call of the origin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Among {
    Nodes,
    Requests,
}

/// The wait for a response that somebody else fetches.
pub(crate) fn collapse(among: Among) -> Span {
    let among = match among {
        Among::Nodes => "nodes",
        Among::Requests => "requests",
    };
    debug_span!("collapse", among, ended = Empty)
}

/// A call of the origin, until the head of its response is there.
#[derive(Debug)]
pub(crate) struct OriginSpan {
    span: Span,
    outcome: &'static str,
    status: Option<StatusCode>,
}

impl OriginSpan {
    /// `None` if nobody listens.
    pub(crate) fn new() -> Option<Box<Self>> {
        let span = debug_span!("origin", outcome = Empty, status = Empty);
        // At its time limit, or as nobody waits for it any longer.
        let outcome = "dropped";
        let status = None;
        (!span.is_disabled()).then(|| {
            Box::new(Self {
                span,
                outcome,
                status,
            })
        })
    }

    pub(crate) fn in_scope<T>(&self, work: impl FnOnce() -> T) -> T {
        self.span.in_scope(work)
    }

    /// The call brought this.
    pub(crate) fn end<B, E>(mut self, answer: &Result<Response<B>, E>) {
        self.outcome = match answer {
            Ok(response) => {
                self.status = Some(response.status());
                CallEnd::of(response.status()).as_str()
            }
            Err(_) => CallEnd::Error.as_str(),
        };
    }
}

impl Drop for OriginSpan {
    fn drop(&mut self) {
        self.span.record("outcome", self.outcome);
        if let Some(status) = self.status {
            self.span.record("status", status.as_u16());
        }
    }
}
