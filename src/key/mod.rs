//! The key of a stored resource.
//!
//! A key is the concatenation of its parts, each preceded by its length, so that different parts
//! never give the same key. The parts are the namespace, the scheme, the host and port, the path
//! with the query if there is one, and then the dimensions that the settings and the [`KeyPolicy`]
//! add. The method is not among them: one stored response answers both GET and HEAD. A policy can
//! add parts and cannot remove any: caches whose keys left out the host have served pages of one
//! site to readers of another.
//!
//! With the feature `axum`, the URI is the one that the outermost axum router received. If the layer is
//! within a router and middleware has rewritten the URI there, the result is a dimension too.
//!
//! Unless the settings say otherwise, path and query are compared byte for byte (RFC 9111 §4, RFC 9110 §4.2.3): they are not decoded
//! or sorted, and dot segments are not removed. The host is in lower case, without a default port.

mod key;
mod parts;
mod policy;
mod request_key;
mod target;

pub use self::policy::{KeyExtension, KeyPolicy, Keying};
pub(crate) use self::{
    key::{BuildKeyHasher, Key, KeyHash, KeyRef},
    parts::KeyParts,
    request_key::{Dimensions, RequestKey},
    target::{KeyTarget, rewritten_uri, target_of, target_uri, without_default_port},
};
