//! Whether somebody waits for a request's response: an extension that any layer may set or read.

/// How urgent a request is, as an extension of an `http` request. Without one it is
/// [`Foreground`](Self::Foreground).
///
/// A circuit breaker gives its probes to background requests first: when one fails, no client sees
/// it. See [`breaker`](mod@crate::breaker).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Priority {
    /// Nobody waits for the response, as for a refresh of what is still served stale.
    Background,
    /// A client waits for the response.
    #[default]
    Foreground,
}

/// A response extension that keeps a response from being stored, whatever its fields say.
///
/// For services that know what no field can tell: that the end of this body may be missing, or
/// that this answer was made for one client.
///
/// ```
/// # use http::Response;
/// let mut response = Response::new("for your eyes only");
/// response.extensions_mut().insert(cachewarp::NoStore);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct NoStore;
