//! Selecting header fields as nodes compare them.
//!
//! In memory the value of a selecting field is compared by a hash with a secret of the process.
//! Nodes share no secret, so here it is a hash that needs none: no client can find two values with the
//! same.

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    codec::Selector,
    semantics::{rules::LanguageOrder, vary},
};

/// The most names that are compared with one request: more than the variants of one response have
/// between them. Each is searched for among those before it.
const MOST_NAMES: usize = 256;

/// The selecting header fields of one request. A value is normalised and hashed when it is first
/// needed.
pub(crate) struct SelectingHeaders<'a> {
    request: &'a HeaderMap,
    order: LanguageOrder,
    hashed: SmallVec<[(Bytes, Option<u128>); 2]>,
}

impl<'a> SelectingHeaders<'a> {
    pub(crate) fn new(request: &'a HeaderMap, order: LanguageOrder) -> Self {
        Self {
            request,
            order,
            hashed: SmallVec::new(),
        }
    }

    /// The selectors of a response to this request that varies on these fields.
    pub(crate) fn selectors<'n>(
        &mut self,
        names: impl IntoIterator<Item = &'n HeaderName>,
    ) -> Vec<Selector> {
        let selector = |name: &HeaderName| {
            let name = Bytes::copy_from_slice(name.as_str().as_bytes());
            Selector {
                value: self.value(&name),
                name,
            }
        };
        names.into_iter().map(selector).collect()
    }

    /// Whether the request selects a variant with these selectors. No request does once it was
    /// compared with too many names.
    pub(super) fn matches(&mut self, selectors: &[Selector]) -> bool {
        selectors.iter().all(|selector| {
            self.hashed.len() <= MOST_NAMES && self.value(&selector.name) == selector.value
        })
    }

    fn value(&mut self, name: &Bytes) -> Option<u128> {
        if let Some((_, value)) = self.hashed.iter().find(|(known, _)| known == name) {
            return *value;
        }
        let field = HeaderName::from_bytes(name).ok();
        let value = field
            .and_then(|field| vary::normal_value(&field, self.request, self.order))
            .map(|value| fingerprint(&value));
        self.hashed.push((name.clone(), value));
        value
    }
}

/// The first half of the SHA-256 of a value.
#[cfg(feature = "redis")]
fn fingerprint(value: &[u8]) -> u128 {
    use sha2::{Digest, Sha256};

    let digest: [u8; 32] = Sha256::digest(value).into();
    let (half, _) = digest.split_at(16);
    half.iter()
        .fold(0, |hash, byte| hash << 8 | u128::from(*byte))
}

/// A hash that needs no further crate: without a kind of server, no value leaves this process.
#[cfg(not(feature = "redis"))]
fn fingerprint(value: &[u8]) -> u128 {
    xxhash_rust::xxh3::xxh3_128(value)
}

/// The id of the variant with these selectors. It is the same for every response of that variant.
/// `None` for a response that does not vary.
pub(crate) fn variant_id(selectors: &[Selector]) -> Option<u64> {
    if selectors.is_empty() {
        return None;
    }
    let mut text = Vec::new();
    for Selector { name, value } in selectors {
        text.extend_from_slice(name);
        // No field name contains NUL, so it ends the name unambiguously.
        text.push(0);
        text.push(u8::from(value.is_some()));
        text.extend_from_slice(&value.unwrap_or_default().to_be_bytes());
    }
    Some(xxh3_64(&text))
}
