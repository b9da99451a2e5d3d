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
