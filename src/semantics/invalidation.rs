//! What an unsafe request does to stored responses (RFC 9111 §4.4).

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri,
    header::{CONTENT_LOCATION, LOCATION},
    uri::PathAndQuery,
};
use iri_string::types::{UriAbsoluteStr, UriReferenceStr};
use smallvec::SmallVec;

use crate::semantics::classify::{Authority, Safety, default_port};
use crate::semantics::fields;
use crate::semantics::uri::{Percent, decode, encode, encode_reference, with_path_and_query};

/// What a response to a request invalidates.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum InvalidationScope {
    Nothing,
    /// The target of the request, and the resources [`related`] to it.
    Target,
}

/// Decides what a final response to a request with this method invalidates: if the method is unsafe
/// and the response is a success or a redirection, the target. CONNECT opens a tunnel and changes
/// no resource.
pub(crate) fn invalidates(method: &Method, status: StatusCode) -> InvalidationScope {
    let done = status.is_success() || status.is_redirection();
    match Safety::of(method) {
        Safety::Unsafe if done && *method != Method::CONNECT => InvalidationScope::Target,
        Safety::Unsafe | Safety::Safe => InvalidationScope::Nothing,
    }
}

/// The URIs of the resources in `Location` and `Content-Location`, which a response to an unsafe
/// request invalidates in addition to its `target`, an absolute URI.
///
/// Only resources of the target's own origin are among them, so that no server can invalidate those
/// of another. Their scheme and authority are spelt as in the target. A path comes in both
/// spellings that a client may have sent: as it is written, and percent-encoded.
pub(crate) fn related(target: &Uri, response: &HeaderMap) -> Vec<Uri> {
    // Before they are resolved, the references are encoded in a way that can be undone: the
    // resolver only accepts what RFC 3986 allows.
    let mut references = HeaderMap::new();
    for name in [LOCATION, CONTENT_LOCATION] {
        for value in response.get_all(&name) {
            if let Ok(value) = HeaderValue::from_bytes(&encode_reference(value.as_bytes())) {
                references.append(&name, value);
            }
        }
    }
    let base = encode(target.path().as_bytes(), Percent::Encode);
    let Some(base) = with_path_and_query(target, base.as_bytes()) else {
        return Vec::new();
    };
    let mut related = Vec::new();
    for resolved in resolve(&base, &references) {
        let path = resolved.path_and_query().map_or("/", PathAndQuery::as_str);
        let written = decode(path.as_bytes());
        let encoded = encode(&written, Percent::KeepTriplets);
        related.extend(with_path_and_query(target, &written));
        if encoded.as_bytes() != written {
            related.extend(with_path_and_query(target, encoded.as_bytes()));
        }
    }
    related
}

/// Whether the response's `Content-Location` is its `target`, an absolute URI: then its content is
/// the present representation of that (RFC 9110 §8.7).
pub(crate) fn is_content_location(target: &Uri, response: &HeaderMap) -> bool {
    let Some(reference) = fields::only(response, &CONTENT_LOCATION) else {
        return false;
    };
    // An empty field says nothing, and a fragment is not allowed in this one.
    if reference.is_empty() || reference.contains(&b'#') {
        return false;
    }
    let base = encode(target.path().as_bytes(), Percent::Encode);
    let base = with_path_and_query(target, base.as_bytes());
    let reference = HeaderValue::from_bytes(&encode_reference(reference));
    let (Some(base), Ok(reference)) = (base, reference) else {
        return false;
    };
    let fields = HeaderMap::from_iter([(CONTENT_LOCATION, reference)]);
    let path_of = |uri: &Uri| {
        uri.path_and_query()
            .map_or("/", PathAndQuery::as_str)
            .to_owned()
    };
    sibling(&base, &fields, &CONTENT_LOCATION)
        .is_some_and(|resolved| decode(path_of(&resolved).as_bytes()) == path_of(target).as_bytes())
}

/// Resolves `Location` and `Content-Location` against the target.
fn resolve(target: &Uri, response: &HeaderMap) -> SmallVec<[Uri; 2]> {
    [LOCATION, CONTENT_LOCATION]
        .iter()
        .filter_map(|name| sibling(target, response, name))
        .collect()
}

/// The resource that this field refers to, if it has the same origin as the target.
fn sibling(target: &Uri, response: &HeaderMap, name: &HeaderName) -> Option<Uri> {
    let reference = str::from_utf8(fields::only(response, name)?).ok()?;
    let reference = UriReferenceStr::new(reference).ok()?;
    // Only a reference to the target itself would keep the query of the base: the base needs none.
    let base = format!(
        "{}://{}{}",
        target.scheme()?,
        target.authority()?,
        target.path()
    );
    let base = UriAbsoluteStr::new(&base).ok()?;
    let resolved: Uri = reference.resolve_against(base).to_string().parse().ok()?;
    if !same_origin(target, &resolved) {
        return None;
    }
    let mut parts = target.clone().into_parts();
    parts.path_and_query = resolved.into_parts().path_and_query;
    Uri::from_parts(parts).ok()
}

/// Whether both have the same scheme, host and port (RFC 9110 §4.3.1).
fn same_origin(one: &Uri, other: &Uri) -> bool {
    let default_port = default_port(one.scheme_str());
    one.scheme() == other.scheme()
        && authority(one)
            .zip(authority(other))
            .is_some_and(|(one, other)| one.same(&other, default_port))
}

fn authority(uri: &Uri) -> Option<Authority<'_>> {
    Authority::parse(uri.authority()?.as_str().as_bytes())
}

#[cfg(test)]
mod tests;
