//! What `Vary` says, and the fingerprint of a request's selecting header fields (RFC 9111 §4.1).
//!
//! Requests here are requests *as forwarded*, on both sides of the comparison: fields taken out on
//! the way to the origin cannot have selected anything.

use std::fmt;

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

    /// The nominated names, or `None` when no list of names is enough.
    pub(crate) fn names(&self) -> Option<&[HeaderName]> {
        match self {
            Self::Absent => Some(&[]),
            Self::Any => None,
            Self::Names(names) => Some(names),
        }
    }
}

/// Reads the `Vary` of a response. A member that is no field name may hide any field, so it counts
/// as `*`.
pub(crate) fn parse(response: &HeaderMap) -> Vary {
    nominated(response).map_or(Vary::Any, Vary::of)
}

/// Reads the `Vary` of a response, and adds what its other fields show that it varies on.
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
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Selecting(Box<[Selector]>);

/// One selecting header field.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Selector {
    pub(crate) name: HeaderName,
    /// `None` when the request lacked the field, which differs from an empty value.
    pub(crate) value: Option<Fingerprint>,
}

/// Stands for the value of a field, all its lines together.
#[derive(Clone, Copy, Debug, Eq)]
pub(crate) struct Fingerprint {
    /// Hash of the lines as received: a shortcut, since most clients repeat themselves to the byte.
    pub(crate) raw: u64,
    /// Hash of the normalised value, which decides.
    pub(crate) normal: u128,
}

impl PartialEq for Fingerprint {
    fn eq(&self, other: &Self) -> bool {
        self.normal == other.normal
    }
}

impl Selecting {
    /// Fingerprints the fields of `request` that `names`, sorted as in [`Vary::Names`], nominates.
    pub(crate) fn record(
        names: &[HeaderName],
        request: &HeaderMap,
        seed: Seed,
        order: LanguageOrder,
    ) -> Self {
        let selector = |name: &HeaderName| Selector {
            name: name.clone(),
            value: raw_hash(name, request, seed).map(|raw| Fingerprint {
                raw,
                normal: normal_hash(name, request, seed, order),
            }),
        };
        Self(names.iter().map(selector).collect())
    }

    /// Puts together what a store took apart with [`selectors`](Self::selectors).
    pub(crate) fn from_selectors(selectors: Box<[Selector]>) -> Self {
        Self(selectors)
    }

    pub(crate) fn selectors(&self) -> &[Selector] {
        &self.0
    }

    /// Whether the variant answers `request`: each nominated field is absent from both requests or
    /// has the same value in both, after normalisation (RFC 9111 §4.1).
    ///
    /// Allocates nothing while the values are those of the stored request to the byte.
    pub(crate) fn matches(&self, request: &HeaderMap, seed: Seed, order: LanguageOrder) -> bool {
        Presented::new(request, seed, order).selects(self)
    }

    /// Whether the response came without `Vary`.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &HeaderName> {
        self.0.iter().map(|selector| &selector.name)
    }

    /// Whether both come from the same `Vary`, so that they are equal or mutually exclusive.
    pub(crate) fn same_names(&self, other: &Self) -> bool {
        self.names().eq(other.names())
    }

    /// One number for all names and values, by which requests that want the same variant group.
    pub(crate) fn digest(&self) -> u128 {
        let mut encoded: SmallVec<[u8; 128]> = SmallVec::new();
        for Selector { name, value } in &self.0 {
            encoded.extend_from_slice(name.as_str().as_bytes());
            // NUL is in no field name: names end unambiguously.
            encoded.push(0);
            encoded.push(u8::from(value.is_some()));
            if let Some(fingerprint) = value {
                encoded.extend_from_slice(&fingerprint.normal.to_le_bytes());
            }
        }
        xxh3_128(&encoded)
    }
}

/// A request on its way through the stored variants: no field is hashed twice, however many
/// variants nominate it.
pub(crate) struct Presented<'a> {
    request: &'a HeaderMap,
    seed: Seed,
    order: LanguageOrder,
    fields: SmallVec<[PresentedField<'a>; 2]>,
}

struct PresentedField<'a> {
    name: &'a HeaderName,
    raw: Option<u64>,
    /// Computed only when some variant's raw hash differs.
    normal: Option<u128>,
}

impl<'a> Presented<'a> {
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
        variant.0.iter().all(|stored| self.agrees(stored))
    }

    /// Takes note of the values that a variant was stored with to the byte: what they mean is
    /// known then, and no value needs to be normalised to be told from those of other variants.
    pub(crate) fn recognise(&mut self, variant: &'a Selecting) {
        for stored in &variant.0 {
            let field = self.field(&stored.name);
            if let (Some(raw), Some(stored)) = (field.raw, stored.value)
                && raw == stored.raw
            {
                field.normal = Some(stored.normal);
            }
        }
    }

    fn field(&mut self, name: &'a HeaderName) -> &mut PresentedField<'a> {
        let known = self.fields.iter().position(|field| *field.name == *name);
        let index = known.unwrap_or_else(|| {
            self.fields.push(PresentedField {
                name,
                raw: raw_hash(name, self.request, self.seed),
                normal: None,
            });
            self.fields.len() - 1
        });
        &mut self.fields[index]
    }

    fn agrees(&mut self, stored: &'a Selector) -> bool {
        let (request, seed, order) = (self.request, self.seed, self.order);
        let field = self.field(&stored.name);
        match (field.raw, stored.value) {
            (None, None) => true,
            (Some(raw), Some(stored)) if raw == stored.raw => true,
            (Some(_), Some(stored)) => {
                let normal = field
                    .normal
                    .get_or_insert_with(|| normal_hash(field.name, request, seed, order));
                *normal == stored.normal
            }
            (None, Some(_)) | (Some(_), None) => false,
        }
    }
}

/// Hash of the lines of a field as received, `None` without any. Each line's hash seeds that of
/// the next, which tells `a`, `b` on two lines from `ab` on one.
fn raw_hash(name: &HeaderName, request: &HeaderMap, seed: Seed) -> Option<u64> {
    let chain =
        |hash: Option<u64>, line: &[u8]| Some(xxh3_64_with_seed(line, hash.unwrap_or(seed.0)));
    request
        .get_all(name)
        .iter()
        .map(|line| line.as_bytes())
        .fold(None, chain)
}

fn normal_hash(name: &HeaderName, request: &HeaderMap, seed: Seed, order: LanguageOrder) -> u128 {
    xxh3_128_with_seed(&normalise(name, request, order), seed.0)
}

#[cfg(test)]
mod tests;
