//! The policy that leaves lifetimes to the origin.

use crate::ttl::{Fetched, Lifetime, TtlPolicy};

/// Gives no lifetime to a response that states none. The default.
#[derive(Clone, Copy, Debug, Default)]
pub struct OriginTtl;

impl TtlPolicy for OriginTtl {
    fn lifetime(&self, _: &Fetched<'_>) -> Option<Lifetime> {
        None
    }
}
