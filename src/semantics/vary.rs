//! What `Vary` says, and the fingerprint of a request's selecting header fields (RFC 9111 §4.1).
//!
//! Requests here are requests *as forwarded*, on both sides of the comparison: fields taken out on
//! the way to the origin cannot have selected anything.

use std::fmt;
use std::sync::Arc;

use http::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_ENCODING, HOST, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName};
use smallvec::SmallVec;
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128, xxh3_128_with_seed};

use crate::semantics::list::members;
use crate::semantics::rules::LanguageOrder;
use crate::semantics::vary::normalise::normalise;

mod normalise;

/// The request fields a response was selected by (RFC 9110 §12.5.5).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Vary {
    /// None: the response answers every request for its URI.
    Absent,
    /// More than request fields can tell: the response answers no other request.
    Any,
    /// These, sorted and without repetition, never empty. `Host` is not among them, for it is
    /// part of every key already.
    Names(SmallVec<[HeaderName; 4]>),
}

impl Vary {
    fn of(mut names: SmallVec<[HeaderName; 4]>) -> Self {
        names.retain(|name| *name != HOST);
        names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        names.dedup();
        if names.is_empty() {
            Self::Absent
        } else {
            Self::Names(names)
        }
    }

    /// These names in place of none.
    pub(crate) fn or_names(self, names: &[HeaderName]) -> Self {
        match self {
            Self::Absent => Self::of(names.iter().cloned().collect()),
            Self::Any | Self::Names(_) => self,
        }
    }

    /// The nominated names, or `None` when no list of names is enough.
    pub(crate) fn names(&self) -> Option<&[HeaderName]> {
        match self {
            Self::Absent => Some(&[]),
            Self::Any => None,
            Self::Names(names) => Some(names),
        }
    }
}

/// Reads the `Vary` of a response, and adds what its other fields show that it varies on. A member
/// that is no field name may hide any field, so it counts as `*`.
///
/// - A response that grants access to the one origin asking (`Access-Control-Allow-Origin`, Fetch
///   standard, CORS protocol and HTTP caches) varies on `Origin`.
/// - A response with a content coding was negotiated (RFC 9110 §12.5.3): it varies on
///   `Accept-Encoding`, which compressing middleware often forgets to say.
pub(crate) fn effective(request: &HeaderMap, response: &HeaderMap) -> Vary {
    let Some(mut names) = nominated(response) else {
        return Vary::Any;
    };
    if request.contains_key(ORIGIN) && grants_one_origin(response) {
        names.push(ORIGIN);
    }
    if response.contains_key(CONTENT_ENCODING) {
        names.push(ACCEPT_ENCODING);
    }
    Vary::of(names)
}

/// Every member of every `Vary` line, or `None` for the wildcard.
fn nominated(response: &HeaderMap) -> Option<SmallVec<[HeaderName; 4]>> {
    members(response.get_all(VARY))
        .map(|member| match member {
            b"*" => None,
            name => HeaderName::from_bytes(name).ok(),
        })
        .collect()
}

fn grants_one_origin(response: &HeaderMap) -> bool {
    response
        .get_all(ACCESS_CONTROL_ALLOW_ORIGIN)
        .iter()
        .any(|origin| origin != "*")
}

/// Keys every fingerprint, so that nobody outside can prepare values that collide.
#[derive(Clone, Copy)]
pub(crate) struct Seed(pub(crate) u64);

impl fmt::Debug for Seed {
    /// Keeps the value out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed")
    }
}

/// The selecting header fields of the request that a stored variant answered. Empty for a response
/// without `Vary`, which matches everything.
///
/// Values are kept as hashes only: some of them are cookies. Two are equal when the same names
/// carry values that mean the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selecting {
    /// Hash of the names with their lines as received: a shortcut, since most clients repeat
    /// themselves to the byte.
    exact: u64,
    names: Arc<[HeaderName]>,
    /// Hashes of the normalised values; `None` where the request lacked the field, which differs
    /// from an empty value.
    values: Box<[Option<u128>]>,
}

impl PartialEq for Selecting {
    fn eq(&self, other: &Self) -> bool {
        self.has_names_of(other) && self.values == other.values
    }
}

impl Eq for Selecting {}

impl Selecting {
    /// Fingerprints the fields of `request` that `names`, sorted as in [`Vary::Names`], nominates.
    pub(crate) fn record(
        names: &[HeaderName],
        request: &HeaderMap,
        seed: Seed,
        order: LanguageOrder,
    ) -> Self {
        Self {
            exact: exact_hash(names, request, seed),
            names: names.into(),
            values: names
                .iter()
                .map(|name| normal_hash(name, request, seed, order))
                .collect(),
        }
    }

    /// The same, with the names as `share` has them: one list for many.
    pub(crate) fn sharing_names(
        &self,
        share: impl FnOnce(&[HeaderName]) -> Arc<[HeaderName]>,
    ) -> Self {
        Self {
            names: share(&self.names),
            ..self.clone()
        }
    }

    /// The names and the values' hashes, in the order of the names.
    pub(crate) fn fields(&self) -> (&Arc<[HeaderName]>, &[Option<u128>]) {
        (&self.names, &self.values)
    }

    fn has_names_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.names, &other.names) || self.names == other.names
    }

    /// Whether the variant answers `request`: each nominated field is absent from both requests or
    /// has the same value in both, after normalisation (RFC 9111 §4.1).
    ///
    /// Allocates nothing while the values are those of the stored request to the byte.
    pub(crate) fn matches(&self, request: &HeaderMap, seed: Seed, order: LanguageOrder) -> bool {
        self.is_exactly(request, seed) || PresentedFields::new(request, seed, order).selects(self)
    }

    /// Whether the values are those of the stored request to the byte.
    pub(crate) fn is_exactly(&self, request: &HeaderMap, seed: Seed) -> bool {
        self.is_empty() || self.exact == exact_hash(&self.names, request, seed)
    }

    /// The one among variants with the same names that was stored with just these values. `None`
    /// if there is no such variant, or one has other names and may match as well.
    pub(crate) fn exactly<'v, V>(
        variants: &'v [V],
        selecting: impl Fn(&'v V) -> &'v Self,
        request: &HeaderMap,
        seed: Seed,
    ) -> Option<&'v V> {
        let first = selecting(variants.first()?);
        let exact = exact_hash(&first.names, request, seed);
        let mut found = None;
        for variant in variants {
            let candidate = selecting(variant);
            if !candidate.has_names_of(first) {
                return None;
            }
            if candidate.exact == exact {
                found = Some(variant);
            }
        }
        found
    }

    /// Whether the response came without `Vary`.
    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &HeaderName> {
        self.names.iter()
    }

    /// One number for all names and values, by which requests that want the same variant group.
    pub(crate) fn digest(&self) -> u128 {
        let mut encoded: SmallVec<[u8; 128]> = SmallVec::new();
        for (name, value) in self.names.iter().zip(&self.values) {
            encoded.extend_from_slice(name.as_str().as_bytes());
            // NUL is in no field name: names end unambiguously.
            encoded.push(0);
            encoded.push(u8::from(value.is_some()));
            encoded.extend_from_slice(&value.unwrap_or_default().to_le_bytes());
        }
        xxh3_128(&encoded)
    }
}

/// A request on its way through the stored variants: no field is normalised twice, however many
/// variants nominate it.
pub(crate) struct PresentedFields<'a> {
    request: &'a HeaderMap,
    seed: Seed,
    order: LanguageOrder,
    fields: SmallVec<[(&'a HeaderName, Option<u128>); 2]>,
}

impl<'a> PresentedFields<'a> {
    pub(crate) fn new(request: &'a HeaderMap, seed: Seed, order: LanguageOrder) -> Self {
        Self {
            request,
            seed,
            order,
            fields: SmallVec::new(),
        }
    }

    /// See [`Selecting::matches`].
    pub(crate) fn selects(&mut self, variant: &'a Selecting) -> bool {
        let mut fields = variant.names.iter().zip(&variant.values);
        fields.all(|(name, value)| self.value(name) == *value)
    }

    fn value(&mut self, name: &'a HeaderName) -> Option<u128> {
        if let Some((_, value)) = self.fields.iter().find(|(known, _)| *known == name) {
            return *value;
        }
        let value = normal_hash(name, self.request, self.seed, self.order);
        self.fields.push((name, value));
        value
    }
}

/// Hash of the lines of these fields as received. The number of lines tells an absent field from
/// an empty one, and each hash seeds the next, which tells lines and fields apart.
fn exact_hash(names: &[HeaderName], request: &HeaderMap, seed: Seed) -> u64 {
    let mut hash = seed.0;
    for name in names {
        let mut lines = 0_u64;
        // A scan beats a lookup: requests have few fields.
        for (_, line) in request.iter().filter(|(field, _)| *field == name) {
            hash = xxh3_64_with_seed(line.as_bytes(), hash);
            lines += 1;
        }
        hash = hash.rotate_left(1) ^ lines;
    }
    hash
}

/// Hash of the normalised value of a field, `None` if the request lacks it.
fn normal_hash(
    name: &HeaderName,
    request: &HeaderMap,
    seed: Seed,
    order: LanguageOrder,
) -> Option<u128> {
    let value = normal_value(name, request, order)?;
    Some(xxh3_128_with_seed(&value, seed.0))
}

/// The value of a field in its normal form, `None` if the request lacks it.
pub(crate) fn normal_value(
    name: &HeaderName,
    request: &HeaderMap,
    order: LanguageOrder,
) -> Option<SmallVec<[u8; 256]>> {
    request
        .contains_key(name)
        .then(|| normalise(name, request, order))
}

#[cfg(test)]
mod tests;
