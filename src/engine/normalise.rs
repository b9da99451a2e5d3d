//! What the operator says to have no meaning is removed from a request that is looked up: what is
//! keyed is what is forwarded. A request that goes past the cache after all gets it back.

use http::{
    HeaderValue, Uri,
    header::{ACCEPT_LANGUAGE, COOKIE},
    request::Parts,
};

use crate::semantics::{cookies::CookieRules, language::Languages, query::QueryRules};

/// What was changed in the head of a request, as the client sent it.
#[derive(Clone, Debug, Default)]
pub(super) struct HeadAsReceived {
    cookies: Option<Vec<HeaderValue>>,
    languages: Option<Vec<HeaderValue>>,
    uri: Option<Uri>,
    /// The URI before the prefixes of nested axum routers were removed.
    #[cfg(feature = "axum")]
    original: Option<Uri>,
}

impl HeadAsReceived {
    /// Sets `Accept-Language` to the language that the origin will choose.
    pub(super) fn set_language(&mut self, languages: &Languages, parts: &mut Parts) {
        let headers = &mut parts.headers;
        let received = headers.get_all(ACCEPT_LANGUAGE).iter().cloned().collect();
        if let Some(language) = languages.choose(headers) {
            headers.insert(ACCEPT_LANGUAGE, language.clone());
        }
        self.languages.get_or_insert(received);
    }

    /// Removes the cookies that are ignored, unless that was done before.
    pub(super) fn remove_ignored_cookies(&mut self, rules: &CookieRules, parts: &mut Parts) {
        let headers = &mut parts.headers;
        self.cookies
            .get_or_insert_with(|| rules.remove_ignored(headers));
    }

    /// Removes from the URI what its key does not have.
    pub(super) fn set_query(&mut self, query: &QueryRules, parts: &mut Parts) {
        if let Some(normal) = query.normal_uri(&parts.uri) {
            self.uri = Some(std::mem::replace(&mut parts.uri, normal));
        }
        // Handlers may read this one instead.
        #[cfg(feature = "axum")]
        if let Some(axum::extract::OriginalUri(original)) = parts.extensions.get_mut()
            && let Some(normal) = query.normal_uri(original)
        {
            self.original = Some(std::mem::replace(original, normal));
        }
    }

    /// Makes the head what it was.
    pub(super) fn restore(&self, parts: &mut Parts) {
        for (name, received) in [(COOKIE, &self.cookies), (ACCEPT_LANGUAGE, &self.languages)] {
            if let Some(received) = received {
                parts.headers.remove(&name);
                for line in received {
                    parts.headers.append(&name, line.clone());
                }
            }
        }
        if let Some(uri) = &self.uri {
            parts.uri = uri.clone();
        }
        #[cfg(feature = "axum")]
        if let Some(received) = &self.original
            && let Some(axum::extract::OriginalUri(original)) = parts.extensions.get_mut()
        {
            *original = received.clone();
        }
    }
}

/// Gives a head what is normal in another one of the same request.
pub(super) fn copy(from: &Parts, to: &mut Parts) {
    for name in [COOKIE, ACCEPT_LANGUAGE] {
        to.headers.remove(&name);
        for line in from.headers.get_all(&name) {
            to.headers.append(&name, line.clone());
        }
    }
    to.uri.clone_from(&from.uri);
    #[cfg(feature = "axum")]
    if let Some(original) = from.extensions.get::<axum::extract::OriginalUri>() {
        to.extensions.insert(original.clone());
    }
}
