//! What a breaker reads in a request: which circuit it belongs to, and whether somebody waits.

use std::borrow::Cow;

use crate::extensions::Priority;

/// Says what a request is to the breaker. Implemented for closures from a request to the key.
pub trait Target<Req>: Send + Sync + 'static {
    /// The circuit the request belongs to. Requests with an empty key share one that is always
    /// there and not counted among [`max_keys`](crate::breaker::BreakerConfigBuilder::max_keys).
    fn key<'r>(&self, request: &'r Req) -> Cow<'r, str>;

    /// Whether somebody waits for the response.
    fn priority(&self, request: &Req) -> Priority {
        let _ = request;
        Priority::Foreground
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

/// One circuit for everything, whatever requests are.
#[derive(Clone, Copy, Debug, Default)]
pub struct OneForAll;

impl<Req> Target<Req> for OneForAll {
    fn key<'r>(&self, _: &'r Req) -> Cow<'r, str> {
        Cow::Borrowed("")
    }
}
