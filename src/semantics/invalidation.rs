//! What an unsafe request does to stored responses (RFC 9111 §4.4).

use http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header};
use iri_string::types::{UriAbsoluteStr, UriReferenceStr};
use smallvec::SmallVec;

use crate::semantics::classify::{Authority, Safety, default_port};
use crate::semantics::fields;

/// What a response to a request invalidates.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Invalidation {
    Nothing,
    /// The target of the request, and what is [`related`] to it.
    Target,
}

/// Decides what a final response to a request with this method invalidates: success or redirection
/// of an unsafe one, its target. That of CONNECT is a tunnel and no resource.
pub(crate) fn invalidates(method: &Method, status: StatusCode) -> Invalidation {
    let done = status.is_success() || status.is_redirection();
    match Safety::of(method) {
        Safety::Unsafe if done && *method != Method::CONNECT => Invalidation::Target,
        Safety::Unsafe | Safety::Safe => Invalidation::Nothing,
    }
}

/// The URIs in `Location` and `Content-Location` that a response to an unsafe request invalidates
/// beside its `target`, which has to be an absolute URI.
///
/// Only those of the target's own origin: nobody invalidates what is another's. They come back
/// with the scheme and authority of the target, as it spells them.
pub(crate) fn related(target: &Uri, response: &HeaderMap) -> SmallVec<[Uri; 2]> {
    [header::LOCATION, header::CONTENT_LOCATION]
        .iter()
        .filter_map(|name| sibling(target, response, name))
        .collect()
}

/// The resource of the target's origin that this field refers to, if it does.
fn sibling(target: &Uri, response: &HeaderMap, name: &HeaderName) -> Option<Uri> {
    let reference = str::from_utf8(fields::only(response, name)?).ok()?;
    let reference = UriReferenceStr::new(reference).ok()?;
    // A reference that keeps the query of its base is the target itself, so the base needs none.
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
        && place(one)
            .zip(place(other))
            .is_some_and(|(one, other)| one.same(&other, default_port))
}

fn place(uri: &Uri) -> Option<Authority<'_>> {
    Authority::parse(uri.authority()?.as_str().as_bytes())
}

#[cfg(test)]
mod tests;
