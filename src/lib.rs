//! A shared HTTP cache (RFC 9111) as a [tower] layer.
//!
//! Wrap any service of `http` requests (an axum router, a hyper or tonic service) in a
//! [`CacheLayer`], and responses that may be reused are: from memory, correctly, and while they
//! still arrive.
//!
//! [tower]: https://docs.rs/tower

mod asked;
mod assess;
#[cfg(feature = "axum")]
mod axum;
mod body;
mod builder;
pub mod clock;
mod config;
mod entry;
mod error;
mod fetch;
mod fill;
mod flight;
mod flown;
mod fly;
mod future;
mod generation;
mod handle;
mod head;
mod invalidate;
mod keep;
mod key;
mod layer;
mod marks;
mod metrics;
mod respond;
mod semantics;
mod serve;
mod service;
mod status;
mod store;
mod tasks;
mod ttl;

pub use self::{
    body::CacheBody,
    builder::{CacheBuilder, RequestDirective},
    config::{ConditionalMiss, NoStore, RangeMiss},
    error::{BoxError, ConfigError, FillError},
    fill::OnAbandoned,
    future::ResponseFuture,
    handle::{CacheHandle, CacheStats},
    key::{KeyExtension, KeyPolicy, Keying},
    layer::CacheLayer,
    semantics::{
        classify::Bypass,
        rules::{
            AgePolicy, DuplicatePolicy, ErrorStatusPolicy, ForwardedPolicy, HeadUpdates,
            Heuristics, LanguageOrder, SMaxagePolicy, SetCookiePolicy, VaryCredentials,
        },
        storable::NotStored,
    },
    service::{CacheService, Inner},
    status::{CacheOutcome, Forward, Generated, StaleReason, Storing},
    store::Memory,
    tasks::{Executor, Task},
    ttl::{Fetched, FixedTtl, Lifetime, OriginTtl, TtlPolicy},
};
