//! The policy that may add dimensions to a key.

use http::request::Parts;

use super::request_key::RequestKey;

/// Adds dimensions to the key of a request: a tenant, a device class, an experiment.
///
/// Implemented for closures.
///
/// ```
/// use cachewarp::{CacheLayer, Keying, KeyExtension, Memory};
///
/// let layer = CacheLayer::builder()
///     .memory(Memory::with_capacity(64 << 20))
///     .key(|request: &http::request::Parts, key: &mut KeyExtension<'_>| {
///         match request.headers.get("x-tenant") {
///             Some(tenant) => {
///                 key.push(tenant.as_bytes());
///                 Keying::Use
///             }
///             None => Keying::Bypass,
///         }
///     })
///     .build()?;
/// # Ok::<(), cachewarp::ConfigError>(())
/// ```
pub trait KeyPolicy: Send + Sync + 'static {
    /// Adds this policy's dimensions for `request` to `key`, or lets the request bypass the cache.
    fn extend_key(&self, request: &Parts, key: &mut KeyExtension<'_>) -> Keying;
}

impl<F> KeyPolicy for F
where
    F: Fn(&Parts, &mut KeyExtension<'_>) -> Keying + Send + Sync + 'static,
{
    fn extend_key(&self, request: &Parts, key: &mut KeyExtension<'_>) -> Keying {
        self(request, key)
    }
}

/// What a [`KeyPolicy`] decides about a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Keying {
    /// Look the request up under the extended key.
    Use,
    /// Send the request to the origin, without a lookup and without storing the answer.
    Bypass,
}

/// The part of a key that a [`KeyPolicy`] writes.
#[derive(Debug)]
pub struct KeyExtension<'a>(pub(crate) &'a mut RequestKey);

impl KeyExtension<'_> {
    /// Adds one dimension. A dimension is identified by its position: if one is absent, push a
    /// placeholder for it.
    pub fn push(&mut self, part: &[u8]) {
        self.0.push(part);
    }
}
