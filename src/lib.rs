//! A shared HTTP cache (RFC 9111) as a [tower] layer.
//!
//! Put a [`CacheLayer`] around any service of `http` requests (an axum router, a hyper or tonic
//! service), and responses that may be reused are answered from memory. Requests for one response
//! that come at the same time share one call of the service. A stale response is refreshed in the
//! background, or is the answer when the service fails, where its headers or your settings allow
//! that. Several nodes can share one cache through Redis.
//!
//! # Examples
//!
//! An axum router whose handlers say for how long their responses may be reused:
//!
//! ```
//! use axum::{Router, http::header::CACHE_CONTROL, routing::get};
//! use cachewarp::{CacheLayer, Memory};
//!
//! let app: Router = Router::new()
//!     .route("/items", get(|| async { ([(CACHE_CONTROL, "max-age=60")], "items") }))
//!     .layer(CacheLayer::new(Memory::with_capacity(64 << 20)));
//! ```
//!
//! Responses that say nothing about caching get a default lifetime from a [`TtlPolicy`]:
//!
//! ```
//! use cachewarp::{CacheLayer, FixedTtl, Memory};
//! use std::time::Duration;
//!
//! let cache = CacheLayer::builder()
//!     .memory(Memory::with_capacity(64 << 20))
//!     .ttl(FixedTtl::new(Duration::from_secs(60)))
//!     .build()?;
//! # Ok::<(), cachewarp::ConfigError>(())
//! ```
//!
//! # What happens to a request
//!
//! - A GET or HEAD is looked up by scheme, host, path, query, and what the settings add
//!   ([`KeyPolicy`]). If several responses are stored for it, the request fields that they list in
//!   `Vary` select one of these *variants*.
//! - A *fresh* response, one whose lifetime is not over, is the answer, with its `Age`. The
//!   client's conditions and ranges are evaluated here.
//! - A *stale* response is validated with the origin (the service behind the cache); if nothing is
//!   stored, the response is fetched. One request does this for all that want the same. With a tier
//!   that nodes share, that tier is asked first.
//! - Every other method goes to the origin. A successful write invalidates what is stored for its
//!   URI before its response is released. After a write that was sent and got no response, what is
//!   stored is validated before it is used, or served in place of an error ([`RequestProgress`]).
//! - Upgrades and CONNECT pass untouched. gRPC passes with its streams and trailers and gets only
//!   the fields that say how it was answered.
//!
//! # What is never done
//!
//! Unless the settings say otherwise, a response is not stored if it is private, sets a cookie, or
//! answers a request with `Authorization` and does not say that it may be shared. Such a response
//! is never given to a request that waited for another. A body that did not end as it should is
//! never stored. A fault of the cache is never an error for the client, and the service's error
//! type stays as it is.
//!
//! # Stale answers and the circuit breaker
//!
//! [`CacheBuilder::stale_while_revalidate`] and [`CacheBuilder::stale_if_error`] open windows for
//! stale answers (RFC 5861) that responses do not open themselves.
//! [`CacheBuilder::soft_timeout`] and [`CacheBuilder::early_refresh`] spare clients the wait for a
//! slow origin. [`CacheBuilder::breaker`] stops calling an origin that fails; the module
//! [`breaker`](mod@breaker) has the same for any tower service. [`AdaptiveTtl`] learns lifetimes.
//!
//! # Redis
//!
//! With the feature `redis`, nodes share what they store through Redis or Valkey. A node finds what
//! another stored, what none has is fetched by one node at a time, and what one node replaces or
//! invalidates, the others drop. No request depends on Redis: if it is slow, full or gone, it
//! counts as empty. See [`Redis`] and [`CacheBuilder::remote`].
//!
//! ```
//! # #[cfg(feature = "redis")] mod example {
//! use cachewarp::{CacheLayer, ConfigError, Memory, Redis};
//!
//! async fn cache() -> Result<CacheLayer, ConfigError> {
//!     let redis = Redis::connect("redis://127.0.0.1:6379").await?;
//!     CacheLayer::builder().memory(Memory::with_capacity(64 << 20)).remote(redis).build()
//! }
//! # }
//! ```
//!
//! # Purging
//!
//! [`CacheHandle::purge`] ends what is stored by URL, path, prefix, host, tag or cache group; [`Purge`]
//! says what can be named and how it ends, [`CacheTags`] gives a response tags. A handler can return a
//! [`Purge`] with its response. The guide [Purging] says which purge to use when, and what is promised
//! across nodes.
//!
//! # Limits
//!
//! Memory, waits and retries are bounded, and each limit is a setting of [`CacheBuilder`] with its
//! default in its docs. [README.md] has them in one table, [SECURITY.md] says what a stored
//! response may depend on.
//!
//! # Metrics
//!
//! Every response has a [`CacheOutcome`] in its extensions that says how it was answered and why, and
//! says it in `X-Cache` and `Cache-Status` too. [ANSWERS.md] lists what they say, and what to do.
//! Metrics go through the `metrics` facade, and [METRICS.md] lists all of them: install a recorder
//! before the first request.
//!
//! # Tracing
//!
//! Events and spans go through `tracing`. The spans are of level DEBUG and of the target
//! `cachewarp::spans`: `request`, and in it what the request waits for, `lookup` (in the shared tier),
//! `collapse` (another request's or node's call) and `origin`. `store` and `refresh` go on after the
//! answer: they are in the span that was current when the request came, and follow from `request`. None
//! has a query or the value of a header field. While nobody listens to this level, none is made.
//!
//! # Good to know
//!
//! - [Where to put the layer] says what happens on either side of authentication, sessions, CORS,
//!   compression, timeouts and other layers.
//! - Work that outlives a request runs on the current tokio runtime ([`CacheBuilder::executor`]
//!   takes another way). It has the tracing span of the request, but not its task-locals.
//! - Interim responses such as 103 never reach a tower service, and hyper's HTTP/1 server cannot
//!   send them.
//!
//! # Features
//!
//! - `axum`, for axum 0.8: keys on its `OriginalUri`, so that routers nested under different prefixes
//!   never share an entry. Without it, or with another version, the layer refuses to be in routers of
//!   axum's: it panics when the router is built, or is off where it sees that only by the requests.
//! - `redis`: [`Redis`], a second tier that nodes share, in Redis or Valkey.
//! - `redis-tls`: TLS to it, for URLs such as `rediss://`. Turns on `redis`.
//! - `redis-zstd`: bodies are compressed there. Turns on `redis`. Nodes that share a namespace should
//!   all have it or all lack it.
//! - `full`: all of them.
//!
//! [tower]: https://docs.rs/tower
//! [README.md]: https://docs.rs/crate/cachewarp/latest/source/README.md
//! [SECURITY.md]: https://docs.rs/crate/cachewarp/latest/source/SECURITY.md
//! [Where to put the layer]: https://docs.rs/crate/cachewarp/latest/source/docs/placement.md
//! [Purging]: https://docs.rs/crate/cachewarp/latest/source/docs/purging.md
//! [ANSWERS.md]: https://docs.rs/crate/cachewarp/latest/source/docs/ANSWERS.md
//! [METRICS.md]: https://docs.rs/crate/cachewarp/latest/source/docs/METRICS.md
// What is not compiled has no docs here to link to.
#![cfg_attr(
    not(feature = "redis"),
    doc = "[`Redis`]: https://docs.rs/cachewarp/latest/cachewarp/struct.Redis.html\n\
           [`CacheBuilder::remote`]: https://docs.rs/cachewarp/latest/cachewarp/struct.CacheBuilder.html#method.remote"
)]
#![cfg_attr(docsrs, feature(doc_cfg))]

// For what unit tests share with the test programs.
#[cfg(test)]
extern crate self as cachewarp;

mod body;
pub mod breaker;
mod builder;
mod cache_status;
pub mod clock;
mod codec;
mod config;
mod engine;
mod entry;
mod error;
mod executor;
mod extensions;
mod fill;
mod flight;
mod future;
mod generation;
mod handle;
mod inner;
mod key;
mod layer;
mod metrics;
mod outcome;
mod posts;
mod purge;
#[cfg_attr(
    not(any(test, feature = "redis")),
    expect(dead_code, reason = "no client for a server constructs a tier")
)]
mod remote;
mod semantics;
mod service;
mod spans;
mod state;
mod store;
mod ttl;
mod util;

pub use self::{
    body::CacheBody,
    breaker::{BreakerConfig, BreakerHandle, BreakerLayer},
    builder::{CacheBuilder, RequestDirective},
    config::{ConditionalMiss, HeadMiss, RangeMiss},
    engine::collapse::GoesAlone,
    error::{BoxError, ConfigError, FillError, InvalidUrl},
    executor::{Executor, Task},
    extensions::{BodyEnd, CacheTags, Caller, NoStore, Priority, RequestProgress},
    fill::OnAbandoned,
    future::ResponseFuture,
    handle::{
        CacheHandle, CacheStats, Entries, EntriesCursor, EntriesPage, EntryInfo, ExpectedAnswer,
        Explanation, HotKey, InvalidCursor, RequestStats, ResourceInfo, SelectingField, Warmed,
    },
    inner::{CacheableService, RequestBody},
    key::{KeyExtension, KeyPolicy, Keying},
    layer::CacheLayer,
    outcome::{CacheOutcome, ForwardReason, Generated, StaleReason, Storing, Tier},
    posts::ReadBody,
    purge::{InvalidPurge, Purge, PurgeError, PurgeRequest, Purged, PurgedHere, PurgedShared},
    semantics::{
        classify::Bypass,
        cookies::Cookies,
        freshness::LifetimeSource,
        rules::{
            AgePolicy, DuplicatePolicy, ErrorStatusPolicy, ForwardedPolicy, HeadUpdates,
            Heuristics, LanguageOrder, OverrideOrigin, SMaxagePolicy, SetCookiePolicy,
            VaryCredentials,
        },
        state::EntryState,
        storable::{NotStored, Prospect},
    },
    service::CacheService,
    store::Memory,
    ttl::{
        AdaptiveTtl, AdaptiveTtlBuilder, Change, Fetched, FixedTtl, History, Lifetime,
        LifetimeReason, Observation, OriginTtl, TtlPolicy,
    },
};

#[cfg(feature = "redis")]
pub use self::remote::{Redis, RedisBuilder};

/// Runs the examples of the README as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

/// Runs the examples of the guide as tests.
#[cfg(doctest)]
#[doc = include_str!("../docs/purging.md")]
pub struct PurgingGuide;
