//! A shared HTTP cache (RFC 9111) as a [tower] layer.
//!
//! Wrap any service of `http` requests (an axum router, a hyper or tonic service) in a
//! [`CacheLayer`], and responses that may be reused are: from memory, correctly, and while they
//! still arrive. Many requests for the same make one call. A stale response is refreshed in the
//! background, or stands in for an origin that fails, where its headers allow that.
//!
//! # Example
//!
//! An axum router whose handlers say for how long their responses last:
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
//! Handlers that say nothing get a default lifetime from a [`TtlPolicy`]:
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
//! # Many nodes
//!
//! With the feature `redis`, nodes share what they store through Redis or Valkey. Each finds what
//! another stored, one at a time fetches what none has, and none serves for long what another
//! replaced or invalidated. A Redis that is slow, full or gone is as good as one that holds
//! nothing. See [`Redis`] and [`CacheBuilder::remote`].
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
//! # What it does to a request
//!
//! - GET and HEAD are looked up under scheme, host, path, query, and what the settings add
//!   ([`KeyPolicy`]). `Vary` picks the variant.
//! - What is fresh is served with its `Age`; conditions and ranges are answered here.
//! - What is stale is validated with the origin, what is missing is fetched, by one request for all
//!   that want the same. With a tier that nodes share, that is asked first.
//! - Other methods go to the origin, and a write invalidates what is stored for its target before
//!   its response is released.
//! - Upgrades and CONNECT pass through untouched; gRPC passes with its streams and trailers, and is
//!   only labelled.
//!
//! Every response carries a [`CacheOutcome`] in its extensions. Those that the cache does not make
//! itself say in `Cache-Status` and `X-Cache` how they came about.
//!
//! # What it never does
//!
//! Unless told otherwise it never stores what is private, sets a cookie, or answers `Authorization`
//! without the response saying that it may be shared. It never gives such a response to a request
//! that waited for another; never stores a body that did not end as it should; never turns its own
//! trouble into the client's. The service's error type stays as it is.
//!
//! # Good to know
//!
//! - The layer spawns the work that outlives a request on the current tokio runtime
//!   ([`CacheBuilder::executor`] takes another way). Task-locals of the request do not follow it
//!   there; its tracing span does.
//! - Put the layer outside of a compression layer to store what is compressed, which then must say
//!   `Vary: Accept-Encoding`; inside, to store it plain.
//! - Install a `metrics` recorder before the first request.
//! - hyper's HTTP/1 server cannot send interim responses such as 103; they never pass a tower
//!   service.
//!
//! # Features
//!
//! - `axum`: keys on axum's `OriginalUri`, so that routers nested under different prefixes never
//!   share an entry. Turn it on whenever the layer is applied inside a nested router.
//! - `redis`: [`Redis`], a second tier that nodes share, in Redis or Valkey.
//! - `full`: all of them.
//!
//! [tower]: https://docs.rs/tower

#![cfg_attr(docsrs, feature(doc_cfg))]

// For what unit tests share with the test programs.
#[cfg(test)]
extern crate self as cachewarp;

mod body;
pub mod breaker;
mod builder;
mod cache_status;
pub mod clock;
#[cfg_attr(
    not(any(test, feature = "redis")),
    expect(dead_code, reason = "no client for a server uses it")
)]
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
#[cfg_attr(
    not(any(test, feature = "redis")),
    expect(dead_code, reason = "no client for a server constructs a tier")
)]
mod remote;
mod semantics;
mod service;
mod state;
mod store;
mod ttl;
mod util;

pub use self::{
    body::CacheBody,
    breaker::{BreakerConfig, BreakerHandle, BreakerLayer},
    builder::{CacheBuilder, RequestDirective},
    config::{ConditionalMiss, RangeMiss},
    error::{BoxError, ConfigError, FillError},
    executor::{Executor, Task},
    extensions::{NoStore, Priority},
    fill::OnAbandoned,
    future::ResponseFuture,
    handle::{CacheHandle, CacheStats, Warmed},
    inner::CacheableService,
    key::{KeyExtension, KeyPolicy, Keying},
    layer::CacheLayer,
    outcome::{CacheOutcome, ForwardReason, Generated, StaleReason, Storing},
    semantics::{
        classify::Bypass,
        rules::{
            AgePolicy, DuplicatePolicy, ErrorStatusPolicy, ForwardedPolicy, HeadUpdates,
            Heuristics, LanguageOrder, SMaxagePolicy, SetCookiePolicy, VaryCredentials,
        },
        storable::NotStored,
    },
    service::CacheService,
    store::Memory,
    ttl::{
        AdaptiveTtl, AdaptiveTtlBuilder, Change, Fetched, FixedTtl, History, Lifetime, Observation,
        OriginTtl, Reason, TtlPolicy,
    },
};

#[cfg(feature = "redis")]
pub use self::remote::{Redis, RedisBuilder};

/// Runs the examples of the README as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
