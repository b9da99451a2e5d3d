//! What the operator says to have no meaning is removed from a request that is looked up: what is
//! keyed is what is forwarded.

use http::{HeaderValue, header::ACCEPT_LANGUAGE, request::Parts};
use smallvec::SmallVec;

use crate::semantics::{language::Languages, query::QueryRules};

/// The lines of a field before it was normalised.
pub(super) type AsReceived = SmallVec<[HeaderValue; 1]>;

/// Sets `Accept-Language` to the language that the origin will choose. Returns it as received.
pub(super) fn set_language(languages: &Languages, parts: &mut Parts) -> AsReceived {
    let headers = &mut parts.headers;
    let received = headers.get_all(ACCEPT_LANGUAGE).iter().cloned().collect();
    if let Some(language) = languages.choose(headers) {
        headers.insert(ACCEPT_LANGUAGE, language.clone());
    }
    received
}

/// Sets `Accept-Language` to what it was: the request is not looked up after all.
pub(super) fn restore_language(received: AsReceived, parts: &mut Parts) {
    parts.headers.remove(ACCEPT_LANGUAGE);
    for line in received {
        parts.headers.append(ACCEPT_LANGUAGE, line);
    }
}

/// Removes from the URI what its key does not have.
pub(crate) fn set_query(query: &QueryRules, parts: &mut Parts) {
    if let Some(normal) = query.normal_uri(&parts.uri) {
        parts.uri = normal;
    }
    // Handlers may read this one instead.
    #[cfg(feature = "axum")]
    if let Some(axum::extract::OriginalUri(original)) = parts.extensions.get_mut()
        && let Some(normal) = query.normal_uri(original)
    {
        *original = normal;
    }
}
