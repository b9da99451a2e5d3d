//! The target resource of a request (RFC 9110 §7.1), as a key names it.

use http::{Uri, request::Parts, uri::PathAndQuery};

/// The URI that the client requested, before any router removed a prefix.
pub(crate) fn target_uri(parts: &Parts) -> &Uri {
    #[cfg(feature = "axum")]
    if let Some(axum::extract::OriginalUri(original)) = parts.extensions.get() {
        return original;
    }
    &parts.uri
}

/// The parts that every key has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyTarget<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) scheme: &'a str,
    pub(crate) authority: &'a [u8],
    /// The path, with `?` and the query if there is a query, even an empty one.
    pub(crate) path_and_query: &'a str,
}

impl<'a> KeyTarget<'a> {
    /// The parts of an absolute URI, or of a URI in origin form with the scheme and the authority
    /// that its request implies.
    pub(crate) fn new(
        namespace: &'a str,
        uri: &'a Uri,
        default_scheme: &'a str,
        authority: &'a [u8],
    ) -> Self {
        Self {
            namespace,
            scheme: uri.scheme_str().unwrap_or(default_scheme),
            authority,
            path_and_query: uri.path_and_query().map_or("/", PathAndQuery::as_str),
        }
    }
}

/// Removes `:80` from an authority under http or `:443` under https (RFC 9110 §4.2.3).
pub(super) fn without_default_port<'a>(authority: &'a [u8], scheme: &str) -> &'a [u8] {
    let default = if scheme.eq_ignore_ascii_case("https") {
        ":443"
    } else if scheme.eq_ignore_ascii_case("http") {
        ":80"
    } else {
        return authority;
    };
    // An empty port ("host:") means the default port too (RFC 3986 §6.2.3).
    authority
        .strip_suffix(default.as_bytes())
        .or_else(|| authority.strip_suffix(b":"))
        .unwrap_or(authority)
}
