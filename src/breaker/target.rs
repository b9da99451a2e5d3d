//! What a breaker reads in a request: the key of its circuit, and its priority.

use std::borrow::Cow;

use crate::extensions::Priority;

/// Finds the circuit of a request. Implemented for closures from a request to the key.
pub trait Target<Req>: Send + Sync + 'static {
    /// The key of the request's circuit. The circuit of the empty key always exists and is not
    /// counted among [`max_keys`](crate::breaker::BreakerConfigBuilder::max_keys).
    fn key<'r>(&self, request: &'r Req) -> Cow<'r, str>;

    /// Whether somebody waits for the response. Defaults to [`Priority::Foreground`].
    fn priority(&self, request: &Req) -> Priority {
        let _ = request;
        Priority::Foreground
    }

    /// The part of the service that the request asks for, as a hash. Calls without a part speak for
    /// the whole service. The breaker asks for it if its classifier tells parts
    /// [apart](super::Classify::granularity). Defaults to `None`; the targets for HTTP return the
    /// path, without the query.
    fn part(&self, request: &Req) -> Option<u64> {
        let _ = request;
        None
    }
}

impl<Req, F> Target<Req> for F
where
    F: Fn(&Req) -> String + Send + Sync + 'static,
{
    fn key<'r>(&self, request: &'r Req) -> Cow<'r, str> {
        Cow::Owned(self(request))
    }
}

/// One circuit for all requests, of any type.
#[derive(Clone, Copy, Debug, Default)]
pub struct OneForAll;

impl<Req> Target<Req> for OneForAll {
    fn key<'r>(&self, _: &'r Req) -> Cow<'r, str> {
        Cow::Borrowed("")
    }
}
