//! Extensions that services and other layers set: the priority of a request, and a response that
//! must not be stored.

/// A request extension that says whether a client waits for the response. A request without it
/// counts as [`Foreground`](Self::Foreground).
///
/// A circuit breaker prefers background requests as probes: if such a probe fails, no client sees
/// the error. See [`breaker`](mod@crate::breaker).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Priority {
    /// No client waits for the response, for example when the cache refreshes a stale response in
    /// the background.
    Background,
    /// A client waits for the response.
    #[default]
    Foreground,
}

/// A response extension that forbids to store the response, whatever its header fields say.
///
/// Use it when a service knows something that the header fields do not say: that the body may be
/// incomplete, or that the response is for one client only.
///
/// ```
/// # use http::Response;
/// let mut response = Response::new("for your eyes only");
/// response.extensions_mut().insert(cachewarp::NoStore);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct NoStore;
