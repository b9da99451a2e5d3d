//! [`Purge`]: what to purge and how, as operators and applications say it.

use std::{
    error::Error,
    fmt,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
};

use http::Uri;
use smallvec::SmallVec;

use super::{subject::Subject, table::Mode};
use crate::{
    key::{KeyTarget, without_default_port},
    semantics::{classify::Authority, query::QueryRules},
};

/// How many subjects one purge may name.
const MAX_SUBJECTS: usize = 256;

/// Begins a purge: what to end of what is stored.
///
/// Each function here names the first subject and returns a [`PurgeRequest`], whose methods of the same
/// names add more. Hand it to [`CacheHandle::purge`](crate::CacheHandle::purge), or let a handler behind
/// the cache put it into the extensions of its response: then the purge is in force before the response
/// is released. With the feature `axum` it can be a part of a handler's response:
///
/// ```
/// # #[cfg(feature = "axum")]
/// # mod handler {
/// use axum::{extract::Path, http::StatusCode, response::IntoResponse};
/// use cachewarp::Purge;
///
/// async fn delete_item(Path(id): Path<u32>) -> impl IntoResponse {
///     // ... delete it from the database, then:
///     (StatusCode::NO_CONTENT, Purge::path("/items").tag(format!("item:{id}")))
/// }
/// # }
/// ```
///
/// # Which subject
///
/// - [`url`](Self::url): one URL with its query, in all variants.
/// - [`path`](Self::path): one path, with any query.
/// - [`prefix`](Self::prefix): a path and all that lies below it, with any query.
/// - [`host`](Self::host), [`namespace`](Self::namespace), [`everything`](Self::everything).
/// - [`tag`](Self::tag): all responses that have this tag. See [`CacheTags`](crate::CacheTags).
/// - [`group`](Self::group): a cache group of one origin (RFC 9875).
///
/// A URL or path that begins with `/` means every host of the namespace. One with a scheme and a host
/// means this host, by http and by https. Paths are those that clients ask for, whatever prefix a router
/// removes from them. Equivalent ways of percent-encoding do not differ.
///
/// # Which mode
///
/// - Hard, the default: what was fetched before is never used again. Not even in place of an error, and
///   not even if the origin would confirm it with a 304.
/// - [`soft`](PurgeRequest::soft): it is stale from now on. Clients may still get it within its stale
///   windows, while it is refreshed.
/// - [`validate`](PurgeRequest::validate): it is used again only after the origin confirmed it (RFC 9111
///   section 4.4). This is what a write does to its URL.
///
/// A response counts as fetched when its fetch began. So one that is still on its way when a purge comes
/// is purged too.
///
/// A purge costs the same whether it concerns one stored response or a million.
#[derive(Clone, Copy, Debug)]
pub enum Purge {}

/// What to purge, and how. [`Purge`] begins one.
#[derive(Clone, Debug)]
#[must_use = "it does nothing until a cache gets it"]
pub struct PurgeRequest {
    named: Vec<Named>,
    mode: Mode,
    /// Where it was carried out, as a response may pass several layers.
    done: SmallVec<[u64; 1]>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Named {
    Url(String),
    Path(String),
    Prefix(String),
    Host(String),
    Tag(String),
    Group { origin: String, name: String },
    Namespace,
    Everything,
}

impl Purge {
    /// One URL, with its query: all its variants, and all that the settings keep apart by the key. What
    /// the cache ignores in queries does not count here either.
    pub fn url(url: impl Into<String>) -> PurgeRequest {
        PurgeRequest::new().url(url)
    }

    /// One path, with any query.
    pub fn path(path: impl Into<String>) -> PurgeRequest {
        PurgeRequest::new().path(path)
    }

    /// A path and all that lies below it, with any query. It ends at the boundary of a segment: `/items`
    /// means `/items` and `/items/7`, and not `/items-of-the-day`. `/items/` does without `/items` itself.
    pub fn prefix(path: impl Into<String>) -> PurgeRequest {
        PurgeRequest::new().prefix(path)
    }

    /// All responses of one host. With its port, unless that is the default port.
    pub fn host(host: impl Into<String>) -> PurgeRequest {
        PurgeRequest::new().host(host)
    }

    /// All responses with this tag. Upper and lower case differ.
    pub fn tag(tag: impl Into<String>) -> PurgeRequest {
        PurgeRequest::new().tag(tag)
    }

    /// All responses that their origin put into this cache group (RFC 9875). An origin is a scheme, a host
    /// and a port: `https://example.com`.
    pub fn group(origin: impl Into<String>, name: impl Into<String>) -> PurgeRequest {
        PurgeRequest::new().group(origin, name)
    }

    /// All responses of the layer's namespace. See [`CacheLayer::scope`](crate::CacheLayer::scope).
    pub fn namespace() -> PurgeRequest {
        PurgeRequest::new().and(Named::Namespace)
    }

    /// All responses of the cache, in all namespaces, on all nodes.
    pub fn everything() -> PurgeRequest {
        PurgeRequest::new().and(Named::Everything)
    }
}

impl PurgeRequest {
    fn new() -> Self {
        Self {
            named: Vec::new(),
            mode: Mode::Hard,
            done: SmallVec::new(),
        }
    }

    fn and(mut self, named: Named) -> Self {
        // A repetition purges no more. The limit is far below what would make this slow.
        if self.named.len() > MAX_SUBJECTS || !self.named.contains(&named) {
            self.named.push(named);
        }
        self
    }

    /// Adds a URL: see [`Purge::url`].
    pub fn url(self, url: impl Into<String>) -> Self {
        self.and(Named::Url(url.into()))
    }

    /// Adds a path: see [`Purge::path`].
    pub fn path(self, path: impl Into<String>) -> Self {
        self.and(Named::Path(path.into()))
    }

    /// Adds a prefix of paths: see [`Purge::prefix`].
    pub fn prefix(self, path: impl Into<String>) -> Self {
        self.and(Named::Prefix(path.into()))
    }

    /// Adds a host: see [`Purge::host`].
    pub fn host(self, host: impl Into<String>) -> Self {
        self.and(Named::Host(host.into()))
    }

    /// Adds a tag: see [`Purge::tag`].
    pub fn tag(self, tag: impl Into<String>) -> Self {
        self.and(Named::Tag(tag.into()))
    }

    /// Adds a cache group: see [`Purge::group`].
    pub fn group(self, origin: impl Into<String>, name: impl Into<String>) -> Self {
        let (origin, name) = (origin.into(), name.into());
        self.and(Named::Group { origin, name })
    }

    /// Makes it soft: what is named becomes stale now, and its stale windows begin.
    pub fn soft(mut self) -> Self {
        self.mode = Mode::Soft;
        self
    }

    /// What is named is used again only after the origin confirmed it.
    pub fn validate(mut self) -> Self {
        self.mode = Mode::Validate;
        self
    }

    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// How many subjects are named.
    pub(crate) fn len(&self) -> usize {
        self.named.len()
    }

    /// Whether it has yet to be carried out by a layer of the cache with this number. It counts as carried
    /// out from now on: by all layers of that cache with the same names for what they store.
    pub(crate) fn begin(&mut self, cache: usize, names: &Names<'_>) -> bool {
        // What is invalid names nothing.
        let subjects = self.subjects(names).unwrap_or_default();
        let done = BuildHasherDefault::<DefaultHasher>::default().hash_one((cache, subjects));
        let is_new = !self.done.contains(&done);
        if is_new {
            self.done.push(done);
        }
        is_new
    }

    /// The URL with a host and a query that alone is named, if it is one.
    pub(crate) fn single_url(&self) -> Option<&str> {
        match &self.named[..] {
            [Named::Url(url)] => Some(url),
            _ => None,
        }
    }

    /// The subjects, in the names of a layer.
    ///
    /// # Errors
    ///
    /// If something that is named is malformed, or if there is nothing, or too much.
    pub(crate) fn subjects(&self, names: &Names<'_>) -> Result<Vec<Subject>, InvalidPurge> {
        if self.named.is_empty() {
            return Err(InvalidPurge::Empty);
        }
        if self.named.len() > MAX_SUBJECTS {
            return Err(InvalidPurge::TooMany {
                count: self.named.len(),
                most: MAX_SUBJECTS,
            });
        }
        let mut subjects = Vec::with_capacity(self.named.len() + 1);
        for named in &self.named {
            named.resolve(names, &mut subjects)?;
        }
        Ok(subjects)
    }
}

/// How a layer names what it stores.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) query: Option<&'a QueryRules>,
}

impl Named {
    fn resolve(&self, names: &Names<'_>, to: &mut Vec<Subject>) -> Result<(), InvalidPurge> {
        let namespace = names.namespace.as_bytes();
        match self {
            Self::Url(url) => {
                let target = PurgeTarget::parse("url", url)?;
                let normal = match names.query {
                    Some(query) => query.normalise(&target.path_and_query),
                    None => target.path_and_query.as_str().into(),
                };
                let host = target.host.as_deref();
                to.push(Subject::resource(namespace, host, normal.as_bytes()));
            }
            Self::Path(path) => {
                let target = PurgeTarget::without_query("path", path)?;
                to.push(Subject::path(namespace, target.host(), target.path()));
            }
            Self::Prefix(prefix) => {
                let mut target = PurgeTarget::without_query("prefix", prefix)?;
                if !target.path_and_query.ends_with('/') {
                    to.push(Subject::path(namespace, target.host(), target.path()));
                    target.path_and_query.push('/');
                }
                to.push(Subject::below(namespace, target.host(), target.path()));
            }
            Self::Host(host) => {
                let allowed = "a host, with a port if it is not the default: example.com:8080";
                let parsed = Authority::parse(host.as_bytes());
                parsed.ok_or_else(|| malformed("host", host, allowed))?;
                let host = host.to_ascii_lowercase();
                for scheme in ["http", "https"] {
                    let host = without_default_port(host.as_bytes(), scheme);
                    to.push(Subject::host(namespace, host));
                }
                to.dedup();
            }
            Self::Tag(tag) if tag.is_empty() => {
                return Err(malformed("tag", tag, "at least one character"));
            }
            Self::Tag(tag) => to.push(Subject::tag(namespace, tag.as_bytes())),
            Self::Group { origin, name } => {
                let allowed = "an origin: https://example.com";
                let uri: Option<Uri> = origin.parse().ok();
                let uri = uri.filter(|uri| uri.path_and_query().is_none_or(|it| it == "/"));
                let target = uri
                    .as_ref()
                    .and_then(|uri| Some((uri.scheme_str()?, uri.authority()?)));
                let (scheme, host) = target.ok_or_else(|| malformed("group", origin, allowed))?;
                let host = host.as_str().to_ascii_lowercase();
                let host = without_default_port(host.as_bytes(), scheme);
                to.push(Subject::group(
                    namespace,
                    scheme.as_bytes(),
                    host,
                    name.as_bytes(),
                ));
            }
            Self::Namespace => to.push(Subject::namespace(namespace)),
            Self::Everything => to.push(Subject::everything()),
        }
        Ok(())
    }
}

/// A path with its query, of one host or of every host.
#[derive(Debug)]
struct PurgeTarget {
    host: Option<Vec<u8>>,
    path_and_query: String,
}

impl PurgeTarget {
    fn parse(subject: &'static str, text: &str) -> Result<Self, InvalidPurge> {
        let allowed = "a path that begins with a slash, or an absolute http or https URL";
        let refused = || malformed(subject, text, allowed);
        let uri: Uri = text.parse().map_err(|_| refused())?;
        let is_path = text.starts_with('/');
        let host = match (uri.scheme_str(), uri.authority()) {
            (None, None) if is_path => None,
            (Some(scheme @ ("http" | "https")), Some(authority)) => {
                let authority = authority.as_str().to_ascii_lowercase();
                Authority::parse(authority.as_bytes()).ok_or_else(refused)?;
                Some(without_default_port(authority.as_bytes(), scheme).to_vec())
            }
            _ => return Err(refused()),
        };
        let target = KeyTarget::new("", &uri, "", b"").path_and_query;
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Self {
            host,
            path_and_query: format!("{slash}{target}"),
        })
    }

    fn without_query(subject: &'static str, text: &str) -> Result<Self, InvalidPurge> {
        let target = Self::parse(subject, text)?;
        if target.path_and_query.contains('?') {
            let allowed = "no query, as it means all queries; name a url for one query";
            return Err(malformed(subject, text, allowed));
        }
        Ok(target)
    }

    fn host(&self) -> Option<&[u8]> {
        self.host.as_deref()
    }

    fn path(&self) -> &[u8] {
        self.path_and_query.as_bytes()
    }
}

fn malformed(subject: &'static str, value: &str, allowed: &'static str) -> InvalidPurge {
    InvalidPurge::Malformed {
        subject,
        value: value.to_owned(),
        allowed,
    }
}

/// Why a purge was refused. Nothing of it was carried out.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InvalidPurge {
    /// It names nothing.
    Empty,
    /// A subject is not of the form that its kind has.
    #[non_exhaustive]
    Malformed {
        /// The method that named it.
        subject: &'static str,
        /// What was given.
        value: String,
        /// What is allowed, in words.
        allowed: &'static str,
    },
    /// It names more subjects than a purge may.
    #[non_exhaustive]
    TooMany {
        /// How many it names.
        count: usize,
        /// How many it may name.
        most: usize,
    },
}

impl fmt::Display for InvalidPurge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => {
                f.write_str("the purge names nothing: add a url, a tag or another subject")
            }
            Self::Malformed {
                subject,
                value,
                allowed,
            } => write!(f, "`{subject}` has {value:?}, but takes {allowed}"),
            Self::TooMany { count, most } => write!(
                f,
                "the purge names {count} subjects, and at most {most} are allowed: split it, or name a \
                 tag or a prefix that covers them"
            ),
        }
    }
}

impl Error for InvalidPurge {}

#[cfg(feature = "axum")]
mod for_axum {
    use axum::response::{IntoResponse, IntoResponseParts, Response, ResponseParts};

    use super::PurgeRequest;

    impl IntoResponseParts for PurgeRequest {
        type Error = std::convert::Infallible;

        fn into_response_parts(
            self,
            mut parts: ResponseParts,
        ) -> Result<ResponseParts, Self::Error> {
            parts.extensions_mut().insert(self);
            Ok(parts)
        }
    }

    impl IntoResponse for PurgeRequest {
        fn into_response(self) -> Response {
            (self, ()).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: Names<'static> = Names {
        namespace: "n",
        query: None,
    };

    fn subjects(purge: &PurgeRequest) -> Vec<Subject> {
        purge.subjects(&NAMES).unwrap()
    }

    #[test]
    fn urls_are_normalised_as_keys_are() {
        let host = Some(&b"a.test"[..]);
        for (url, host, path) in [
            ("/items/7", None, "/items/7"),
            ("/items/7?x=1", None, "/items/7?x=1"),
            ("http://A.test/items", host, "/items"),
            ("https://a.test:443/items", host, "/items"),
            ("http://a.test:80", host, "/"),
            ("http://a.test?q", host, "/?q"),
            ("https://a.test:80/", Some(&b"a.test:80"[..]), "/"),
        ] {
            let expected = Subject::resource(b"n", host, path.as_bytes());
            assert_eq!(subjects(&Purge::url(url)), [expected], "{url}");
        }
    }

    #[test]
    fn a_prefix_has_itself_and_what_lies_below_it() {
        let below = Subject::below(b"n", None, b"/items/");
        let itself = Subject::path(b"n", None, b"/items");
        assert_eq!(subjects(&Purge::prefix("/items")), [itself, below]);
        assert_eq!(subjects(&Purge::prefix("/items/")), [below]);
        assert_eq!(
            subjects(&Purge::prefix("https://a.test")),
            [Subject::below(b"n", Some(b"a.test"), b"/")]
        );
    }

    #[test]
    fn several_subjects_are_purged_together_and_repetitions_do_not_count() {
        let purge = Purge::url("/a").tag("t").prefix("/b/").tag("t").soft();
        assert_eq!(subjects(&purge).len(), 3);
        assert_eq!(purge.mode(), Mode::Soft);
    }

    #[test]
    fn a_purge_that_means_nothing_is_refused_with_what_was_given() {
        for (purge, expected) in [
            (Purge::url("items"), "`url` has \"items\""),
            (Purge::url(""), "`url` has \"\""),
            (Purge::url("ftp://a.test/x"), "`url` has \"ftp://a.test/x\""),
            (Purge::url("http://u@a.test/x"), "`url` has"),
            (Purge::path("/x?y=1"), "`path` has \"/x?y=1\""),
            (Purge::prefix("*"), "`prefix` has \"*\""),
            (Purge::host("a.test/x"), "`host` has \"a.test/x\""),
            (Purge::host(""), "`host` has \"\""),
            (Purge::tag(""), "`tag` has \"\""),
            (Purge::group("a.test", "g"), "`group` has \"a.test\""),
            (PurgeRequest::new(), "names nothing"),
        ] {
            let error = purge.subjects(&NAMES).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let many = (0..257).fold(Purge::tag("a"), |purge, n| purge.tag(n.to_string()));
        let error = many.subjects(&NAMES).unwrap_err().to_string();
        assert!(error.contains("258") && error.contains("256"), "{error}");
    }
}
