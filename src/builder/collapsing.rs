//! Setters for request collapsing, fills and background work.

use std::time::Duration;

use super::settings::{BuildTarget, CacheBuilder};
use crate::fill::OnAbandoned;

/// # Collapsing, bodies that arrive, and background work
impl CacheBuilder {
    /// How long requests wait for a concurrent request to fetch the same response. After that one
    /// of them calls the origin too, and the others wait for whichever response comes first. None
    /// waits longer than [`origin_timeout`](Self::origin_timeout) in all. Defaults to 5 seconds.
    pub fn wait_timeout(mut self, timeout: Duration) -> Self {
        self.config.wait_timeout = timeout;
        self
    }

    /// How long the cache receives a body after its last client disconnected. Defaults to 60
    /// seconds.
    pub fn fill_timeout(mut self, timeout: Duration) -> Self {
        self.config.fill.timeout = timeout;
        self
    }

    /// How long a body that is fetched in order to be stored may stand still, before the cache gives
    /// it up: its readers get an error ([`FillError::Idle`](crate::FillError::Idle)), nothing is
    /// stored, and the next request fetches. Above zero. Defaults to 30 seconds.
    ///
    /// Only the time counts in which the cache waits for the body of the inner service, not the
    /// time in which readers hold the body back. Empty frames do not count as progress. Bodies that
    /// are only passed on have no such limit: event streams, gRPC, tunnels, what forbids to be
    /// stored ([`NoStore`](crate::NoStore) too), and requests that bypass the cache.
    ///
    /// A request that comes when such a body has stood still for
    /// [`wait_timeout`](Self::wait_timeout) does not read it: it calls the origin, and requests
    /// after it share that call.
    pub fn body_idle_timeout(mut self, timeout: Duration) -> Self {
        self.config.fill.idle = timeout;
        self
    }

    /// How many bytes of a body that is too large to store are held for its readers, if concurrent
    /// requests share it, and if there is [room](crate::Memory#what-all-of-it-holds) for them: else
    /// 64 KiB. When the window is full, the slowest reader sets the pace. Defaults to 1 MiB.
    pub fn fill_window(mut self, bytes: u64) -> Self {
        self.config.fill.window = bytes;
        self
    }

    /// How long a reader of a body may read nothing, before the cache cuts it off with
    /// [`FillError::TooSlow`](crate::FillError::TooSlow): if it holds up other readers of a body that
    /// is too large to store, or if the memory that it holds is
    /// [needed](crate::Memory#what-all-of-it-holds). Otherwise it may take its time. Defaults to 10
    /// seconds.
    pub fn reader_stall(mut self, stall: Duration) -> Self {
        self.config.fill.reader_stall = stall;
        self
    }

    /// What to do with a response whose last client disconnects before its body is complete.
    /// Defaults to [`OnAbandoned::Continue`].
    pub fn on_abandoned(mut self, policy: OnAbandoned) -> Self {
        self.config.fill.on_abandoned = policy;
        self
    }

    /// How many fetches each [`Caller`](crate::Caller) may have that go on although all their clients
    /// left before the head of the response arrived. Beyond it, the oldest of them is cancelled; no
    /// request is refused. Zero cancels each such fetch. Defaults to 64.
    ///
    /// Requests without a [`Caller`](crate::Caller) in their extensions do not count; their fetches
    /// are bounded by [`max_fills`](Self::max_fills) alone.
    pub fn max_abandoned(mut self, fetches: usize) -> Self {
        self.config.max_abandoned = fetches;
        self
    }

    /// For how long requests for a key are not collapsed after its response could not be shared
    /// (hit-for-miss): each goes to the origin at once. Defaults to 10 seconds.
    pub fn uncacheable_for(mut self, span: Duration) -> Self {
        self.config.uncacheable_for = span;
        self
    }

    /// How many requests may wait for the same response. Further ones are answered 503
    /// ([`Generated::TooManyWaiters`](crate::Generated::TooManyWaiters)). At least 1. Defaults to
    /// 16,384.
    pub fn max_waiters(mut self, waiters: usize) -> Self {
        match &mut self.target {
            BuildTarget::New { limits, .. } => limits.waiters = waiters,
            BuildTarget::Existing { fixed_setting, .. } => *fixed_setting = Some("max_waiters"),
        }
        self
    }

    /// How many fetches and fills may run at once that go on if their client disconnects,
    /// background refreshes included. At least 1. Defaults to 4096. A body that is too large to be
    /// stored, or finds no room, ends with its clients: it does not count any more.
    ///
    /// Above the limit, a request is fetched for its own client only: the response is neither
    /// shared nor stored, and the fetch ends if the client disconnects.
    ///
    /// Bodies that arrive and bodies that are read, stored or not, hold together at most as many bytes
    /// as the memory tier has (see [`Memory`](crate::Memory#what-all-of-it-holds)), and above that
    /// each fill up to 64 KiB.
    pub fn max_fills(mut self, fills: usize) -> Self {
        match &mut self.target {
            BuildTarget::New { limits, .. } => limits.fills = fills,
            BuildTarget::Existing { fixed_setting, .. } => *fixed_setting = Some("max_fills"),
        }
        self
    }

    /// How many background refreshes may run at once. Above the limit, a later request refreshes
    /// the stale response. Defaults to 256.
    pub fn max_refreshes(mut self, refreshes: usize) -> Self {
        match &mut self.target {
            BuildTarget::New { limits, .. } => limits.refreshes = refreshes,
            BuildTarget::Existing { fixed_setting, .. } => *fixed_setting = Some("max_refreshes"),
        }
        self
    }
}
