//! `Vary`, and the hashes of a request's selecting header fields (RFC 9111 §4.1).
//!
//! Both requests of a comparison are requests *as forwarded*: a field that was removed before the
//! request was forwarded cannot have selected the response.

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

/// The request fields by which a response was selected (RFC 9110 §12.5.5).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Vary {
    /// There are none: the response answers every request for its URI.
    Absent,
    /// `Vary: *`: the response answers no other request.
    Any,
    /// These fields, sorted and without repetition. There is at least one. `Host` is not among
    /// them: it is part of every key.
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

    /// The same, or these names if there are none.
    pub(crate) fn or_names(self, names: &[HeaderName]) -> Self {
        match self {
            Self::Absent => Self::of(names.iter().cloned().collect()),
            Self::Any | Self::Names(_) => self,
        }
    }

    /// The nominated names. `None` for `Vary: *`.
    pub(crate) fn names(&self) -> Option<&[HeaderName]> {
        match self {
            Self::Absent => Some(&[]),
            Self::Any => None,
            Self::Names(names) => Some(names),
        }
    }
}

/// The `Vary` of a response, with the fields on which it evidently varies without naming them. A
/// member that is not a field name could mean any field, so it counts as `*`.
///
/// - A response that grants access to one origin (`Access-Control-Allow-Origin`; Fetch standard,
///   CORS protocol and HTTP caches) varies on `Origin`.
/// - A response with a content coding was negotiated (RFC 9110 §12.5.3), so it varies on
///   `Accept-Encoding`. Compression middleware often does not name it.
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

/// The members of all `Vary` lines. `None` if one is the wildcard or not a field name.
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

/// A per-process seed of all hashes, so that clients cannot prepare values that collide.
#[derive(Clone, Copy)]
pub(crate) struct Seed(pub(crate) u64);

impl fmt::Debug for Seed {
    /// Does not show the value: it is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed")
    }
}

/// The selecting header fields of the request that a stored variant answered. Empty for a response
/// without `Vary`, which matches every request.
///
/// Only hashes of the values are kept, since some values are cookies. Two are equal if their names
/// are the same and the values are the same after normalisation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selecting {
    /// The hash of the field lines as received. It is a shortcut: most clients send the same bytes
    /// each time.
    exact: u64,
    names: Arc<[HeaderName]>,
    /// The hashes of the normalised values. `None` if the request did not have the field, which
    /// differs from an empty value.
    values: Box<[Option<u128>]>,
}

impl PartialEq for Selecting {
    fn eq(&self, other: &Self) -> bool {
        self.has_names_of(other) && self.values == other.values
    }
}

impl Eq for Selecting {}

impl Selecting {
    /// Hashes the fields of `request` that `names` nominates. The names are sorted as in
    /// [`Vary::Names`].
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

    /// The same, with the list of names that `share` returns, so that many variants share one list.
    pub(crate) fn sharing_names(
        &self,
        share: impl FnOnce(&[HeaderName]) -> Arc<[HeaderName]>,
    ) -> Self {
        Self {
            names: share(&self.names),
            ..self.clone()
        }
    }

    /// The names, and the hashes of the values in the order of the names.
    pub(crate) fn fields(&self) -> (&Arc<[HeaderName]>, &[Option<u128>]) {
        (&self.names, &self.values)
    }

    fn has_names_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.names, &other.names) || self.names == other.names
    }

    /// Whether the variant answers `request`: each nominated field is absent from both requests, or
    /// has the same value in both after normalisation (RFC 9111 §4.1).
    ///
    /// It allocates nothing if the values are the same byte for byte.
    pub(crate) fn matches(&self, request: &HeaderMap, seed: Seed, order: LanguageOrder) -> bool {
        self.is_exactly(request, seed) || PresentedFields::new(request, seed, order).selects(self)
    }

    /// Whether the values are those of the stored request, byte for byte.
    pub(crate) fn is_exactly(&self, request: &HeaderMap, seed: Seed) -> bool {
        self.is_empty() || self.exact == exact_hash(&self.names, request, seed)
    }

    /// The variant whose values are those of `request` byte for byte. `None` if there is no such
    /// variant, or if the variants have different names, so that another one may match as well.
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

    /// One hash of all names and values: the same for all requests that select the same variant.
    pub(crate) fn digest(&self) -> u128 {
        let mut encoded: SmallVec<[u8; 128]> = SmallVec::new();
        for (name, value) in self.names.iter().zip(&self.values) {
            encoded.extend_from_slice(name.as_str().as_bytes());
            // A field name contains no NUL, so the name ends unambiguously.
            encoded.push(0);
            encoded.push(u8::from(value.is_some()));
            encoded.extend_from_slice(&value.unwrap_or_default().to_le_bytes());
        }
        xxh3_128(&encoded)
    }
}

/// The fields of a request while it is compared with stored variants. Each field is normalised
/// once, however many variants nominate it.
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

/// The hash of these fields' lines as received. It includes the number of lines, so that an absent
/// field differs from an empty one. Each hash is the seed of the next, so that lines and fields
/// cannot be confused.
fn exact_hash(names: &[HeaderName], request: &HeaderMap, seed: Seed) -> u64 {
    let mut hash = seed.0;
    for name in names {
        let mut lines = 0_u64;
        // Requests have few fields, so a scan is faster than a lookup.
        for (_, line) in request.iter().filter(|(field, _)| *field == name) {
            hash = xxh3_64_with_seed(line.as_bytes(), hash);
            lines += 1;
        }
        hash = hash.rotate_left(1) ^ lines;
    }
    hash
}

/// The hash of the normalised value of a field. `None` if the request does not have it.
fn normal_hash(
    name: &HeaderName,
    request: &HeaderMap,
    seed: Seed,
    order: LanguageOrder,
) -> Option<u128> {
    let value = normal_value(name, request, order)?;
    Some(xxh3_128_with_seed(&value, seed.0))
}

/// The normalised value of a field. `None` if the request does not have it.
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
