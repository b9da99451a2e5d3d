//! The target resource of a request (RFC 9110 §7.1), as a key names it.

use std::borrow::Cow;

use http::{Extensions, Uri, request::Parts, uri::PathAndQuery};

use crate::semantics::query::QueryRules;

/// The URI that the client requested, before any router removed a prefix.
pub(crate) fn target_uri(parts: &Parts) -> &Uri {
    target_of(&parts.uri, &parts.extensions)
}

/// The same, of the parts of a request.
#[cfg_attr(not(feature = "axum"), expect(unused_variables))]
pub(crate) fn target_of<'a>(uri: &'a Uri, extensions: &'a Extensions) -> &'a Uri {
    #[cfg(feature = "axum")]
    if let Some(axum::extract::OriginalUri(original)) = extensions.get() {
        return original;
    }
    uri
}

/// The URI that the inner service gets, if it is not what a router leaves of the target. A router only
/// removes a prefix of the path. Whatever else changes a URI may follow from anything in the request,
/// so both URIs are part of the key.
#[inline]
pub(crate) fn rewritten_uri<'a>(
    parts: &'a Parts,
    query: Option<&QueryRules>,
) -> Option<Cow<'a, Uri>> {
    let (rest, target) = (&parts.uri, target_uri(parts));
    if std::ptr::eq(rest, target) {
        return None;
    }
    rewritten_from(target, rest, query)
}

/// The same for two URIs. Not a part of it, so that the code of a hit stays compact.
#[inline(never)]
fn rewritten_from<'a>(
    target: &'a Uri,
    rest: &'a Uri,
    query: Option<&QueryRules>,
) -> Option<Cow<'a, Uri>> {
    if is_rest(rest, target) {
        return None;
    }
    let normal = |uri: &'a Uri| {
        let normal = query.and_then(|query| query.normal_uri(uri));
        normal.map_or(Cow::Borrowed(uri), Cow::Owned)
    };
    let rest = normal(rest);
    (!is_rest(&rest, &normal(target))).then_some(rest)
}

/// Whether `rest` is `target` without a prefix of its path.
fn is_rest(rest: &Uri, target: &Uri) -> bool {
    rest.query() == target.query()
        // Where the prefix is all of the path, a slash is left.
        && (rest.path() == "/" || target.path().ends_with(rest.path()))
        && rest.authority() == target.authority()
        && rest.scheme() == target.scheme()
}

/// The parts that every key has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyTarget<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) scheme: &'a str,
    pub(crate) authority: &'a [u8],
    /// The path, with `?` and the query if there is a query, even an empty one.
    pub(crate) path_and_query: &'a str,
    /// What of the query has no meaning.
    pub(crate) query: Option<&'a QueryRules>,
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
            query: None,
        }
    }

    /// The same, without what has no meaning.
    pub(crate) fn normalised_by(self, query: Option<&'a QueryRules>) -> Self {
        Self { query, ..self }
    }
}

/// Removes `:80` from an authority under http or `:443` under https (RFC 9110 §4.2.3).
pub(crate) fn without_default_port<'a>(authority: &'a [u8], scheme: &str) -> &'a [u8] {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_router_removes_a_prefix_of_the_path_and_nothing_else() {
        for (target, rest) in [
            ("/a/item", "/item"),
            ("/a/b/item?x=1", "/item?x=1"),
            ("/a", "/"),
            ("/a/", "/"),
            ("/a?x=1", "/?x=1"),
            ("/item", "/item"),
            ("/a/item?", "/item?"),
            ("http://a.test/a/item", "http://a.test/item"),
        ] {
            assert!(
                is_rest(&rest.parse().unwrap(), &target.parse().unwrap()),
                "{target} {rest}"
            );
        }
        for (target, rest) in [
            ("/item", "/a/item"),
            ("/a/item", "/other"),
            ("/aitem", "/item"),
            ("/a/item", "/ITEM"),
            ("/a/%69tem", "/item"),
            ("/a/item?utm_source=x", "/item"),
            ("/a/item", "/item?x=1"),
            ("/a/item", "/item?"),
            ("/a/item?x=1", "/item?x=2"),
            ("/a/item", "http://a.test/item"),
            ("http://a.test/item", "http://b.test/item"),
            ("http://a.test/item", "https://a.test/item"),
        ] {
            assert!(
                !is_rest(&rest.parse().unwrap(), &target.parse().unwrap()),
                "{target} {rest}"
            );
        }
    }
}
