//! A request extension: whether somebody waits for the response.

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
