//! The settings for requests: what clients may ask for, and what is fetched for requests that are not
//! a plain GET.

use http_body::Body;

use super::settings::CacheBuilder;
use crate::{
    config::{ConditionalMiss, HeadMiss, RangeMiss},
    error::BoxError,
    posts::{ReadBody, RequestBodies},
    semantics::rules::{HeadUpdates, IgnoredRequest},
};

/// # Requests
impl CacheBuilder {
    /// Request directives to ignore (RFC 9111 §5.2.1): `max-age`, `max-stale`, `min-fresh`,
    /// `no-cache`, `no-store` and `only-if-cached`. With them, any client of a public cache can
    /// cause origin calls. Defaults to none.
    pub fn ignore_request_directives(
        mut self,
        directives: impl IntoIterator<Item = RequestDirective>,
    ) -> Self {
        let mut ignored = IgnoredRequest::default();
        for directive in directives {
            match directive {
                RequestDirective::MaxAge => ignored.max_age = true,
                RequestDirective::MaxStale => ignored.max_stale = true,
                RequestDirective::MinFresh => ignored.min_fresh = true,
                RequestDirective::NoCache => ignored.no_cache = true,
                RequestDirective::NoStore => ignored.no_store = true,
                RequestDirective::OnlyIfCached => ignored.only_if_cached = true,
            }
        }
        self.config.rules.ignored_request = ignored;
        self
    }

    /// What to request from the origin for a conditional request if no response is stored. Defaults
    /// to [`ConditionalMiss::Fill`].
    pub fn conditional_miss(mut self, policy: ConditionalMiss) -> Self {
        self.config.conditional_miss = policy;
        self
    }

    /// What to request from the origin for a HEAD if no response is stored. Defaults to
    /// [`HeadMiss::Forward`].
    pub fn head_miss(mut self, policy: HeadMiss) -> Self {
        self.config.head_miss = policy;
        self
    }

    /// What to request from the origin for a range request if no response is stored. Defaults to
    /// [`RangeMiss::Forward`].
    pub fn range_miss(mut self, policy: RangeMiss) -> Self {
        self.config.range_miss = policy;
        self
    }

    /// A path where the response to a POST may be stored, and answer GET and HEAD of the same URI
    /// (RFC 9110 §9.3.3). Each call adds one. Defaults to none.
    ///
    /// A `*` at the end of the path stands for any more characters, one at the beginning for any
    /// that precede it. The query does not count.
    ///
    /// The response has to say that it is what a GET would get: it is a 200 with a lifetime of its
    /// own (`max-age`, `s-maxage` or `Expires`), and its `Content-Location` is the URI of the
    /// request. Everything else that keeps a response to GET from being stored keeps this one too.
    /// It is stored after the invalidation that the POST causes, and not at all if another
    /// invalidation of the URI ends while the POST is at the origin. It never answers a POST.
    ///
    /// What [`cookies`](Self::cookies), [`ignore_query`](Self::ignore_query), [`sort_query`](Self::sort_query)
    /// and [`languages`](Self::languages) remove from a GET they remove from such a POST too, because the
    /// key of what is stored does not have it. Of layers of one cache inside one another, only the
    /// outermost stores the response, if it has this setting.
    ///
    /// The answer to the POST itself stays [`Forwarded`](crate::CacheOutcome::Forwarded).
    ///
    /// ```
    /// use cachewarp::CacheLayer;
    ///
    /// let layer = CacheLayer::builder().post_fills_get("/orders/*").build()?;
    /// # Ok::<(), cachewarp::ConfigError>(())
    /// ```
    pub fn post_fills_get(mut self, path: impl Into<String>) -> Self {
        self.post_fills.push(path.into());
        self
    }

    /// A path where POST is a read: a query that is too long for a URL, and changes nothing. Each
    /// call adds one. Defaults to none.
    ///
    /// **This is outside of RFC 9111**, for which a POST is a write. Declare it only if the origin
    /// answers equal requests equally, whoever sends them, and changes nothing by them.
    ///
    /// The key has the URI, `Content-Type`, `Content-Encoding`, and 128 bits of the SHA-256 of the
    /// body, of which up to `max_body` bytes are read: between 1 byte and 16 MiB. The response is
    /// stored, reused and collapsed by the rules for GET, but it is never validated by its entity
    /// tag, and it answers POST only. Such a request invalidates nothing. Other writes to the URI
    /// invalidate its responses.
    ///
    /// A request goes to the origin as it is, and its response is not stored, if the body is longer
    /// or fails, has trailers, or takes longer than 30 seconds; if there are conditions, or a range;
    /// and if the bodies of all such requests under way hold a quarter of the bytes of the memory
    /// tier. So it is in a layer that has another one of the same cache around it, where only the outer
    /// one reads. A field such as `X-HTTP-Method-Override` makes it a write again.
    ///
    /// For `path`, `*` stands for the same as in [`post_fills_get`](Self::post_fills_get).
    ///
    /// The cache has to know how to make a body of the requests' type from the bytes that it has
    /// read. With the feature `axum` it makes bodies of axum, so that this is enough for a
    /// `Router`:
    ///
    /// ```
    /// use axum::{Router, routing::post};
    /// use cachewarp::{CacheLayer, FixedTtl};
    /// use std::time::Duration;
    ///
    /// let cache = CacheLayer::builder()
    ///     .ttl(FixedTtl::new(Duration::from_secs(60)))
    ///     .post_as_read("/search", 64 << 10)
    ///     .build()?;
    /// let app: Router = Router::new()
    ///     .route("/search", post(|query: String| async move { format!("found {query}") }))
    ///     .layer(cache);
    /// # Ok::<(), cachewarp::ConfigError>(())
    /// ```
    ///
    /// For requests with bodies of another type, set [`request_bodies`](Self::request_bodies).
    pub fn post_as_read(mut self, path: impl Into<String>, max_body: u64) -> Self {
        self.post_reads.push((path.into(), max_body));
        self
    }

    /// How a body of the requests' type `Q` is made of a [`ReadBody`], for
    /// [`post_as_read`](Self::post_as_read), which needs it. With the feature `axum` it defaults to
    /// `axum::body::Body::new`, and without to none. If the requests have bodies of another type, a
    /// warning is logged once, and no POST is a read.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use cachewarp::{BoxError, CacheLayer, ReadBody};
    /// use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
    ///
    /// type Boxed = UnsyncBoxBody<Bytes, BoxError>;
    ///
    /// let layer = CacheLayer::builder()
    ///     .request_bodies(|read: ReadBody<Boxed>| read.boxed_unsync())
    ///     .post_as_read("/search", 64 << 10)
    ///     .build()?;
    /// # Ok::<(), cachewarp::ConfigError>(())
    /// ```
    pub fn request_bodies<Q, F>(mut self, make: F) -> Self
    where
        Q: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
        F: Fn(ReadBody<Q>) -> Q + Send + Sync + 'static,
    {
        self.config.post_reads.set_bodies(RequestBodies::new(make));
        self
    }

    /// How the response to a forwarded HEAD affects the stored GET response. Defaults to
    /// [`HeadUpdates::Full`].
    pub fn head_updates(mut self, policy: HeadUpdates) -> Self {
        self.config.rules.head_updates = policy;
        self
    }
}

/// A request directive (RFC 9111 §5.2.1) that
/// [`ignore_request_directives`](CacheBuilder::ignore_request_directives) can ignore.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RequestDirective {
    /// `max-age`.
    MaxAge,
    /// `max-stale`.
    MaxStale,
    /// `min-fresh`.
    MinFresh,
    /// `no-cache`, in `Cache-Control` or `Pragma`.
    NoCache,
    /// `no-store`.
    NoStore,
    /// `only-if-cached`.
    OnlyIfCached,
}
