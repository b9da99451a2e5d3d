//! The policy that gives every unlabelled response the same lifetime.

use std::time::Duration;

use super::policy::{Fetched, Lifetime, TtlPolicy};

/// Gives one lifetime to every response that states none, for handlers that say nothing about
/// caching.
///
/// ```
/// use cachewarp::{CacheLayer, FixedTtl, Memory};
/// use std::time::Duration;
///
/// let layer = CacheLayer::builder()
///     .memory(Memory::with_capacity(64 << 20))
///     .ttl(FixedTtl::new(Duration::from_secs(60)))
///     .build()?;
/// # Ok::<(), cachewarp::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FixedTtl {
    lifetime: Lifetime,
}

impl FixedTtl {
    /// Unlabelled responses are fresh for `fresh`, in whole seconds.
    #[must_use]
    pub fn new(fresh: Duration) -> Self {
        Self {
            lifetime: Lifetime::fresh_for(fresh),
        }
    }
}

impl TtlPolicy for FixedTtl {
    fn lifetime(&self, _: &Fetched<'_>) -> Option<Lifetime> {
        Some(self.lifetime)
    }
}
