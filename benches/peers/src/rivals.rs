//! Who takes part, each set up as its own documentation shows, with a lifetime of an hour.

use std::{convert::Infallible, future::ready, time::Duration};

use axum::{Router, body::Body, routing::get};
use axum_response_cache::CacheLayer as AxumResponseCache;
use bytes::Bytes;
use cachewarp::Memory;
use hitbox::{Config, Extractor, policy::PolicyConfig};
use hitbox_backend::format::{BincodeFormat, Format, JsonFormat};
use hitbox_http::{
    CacheableHttpRequest,
    extractors::{Method, NeutralExtractor, header::HeaderExtractor, path::PathExtractor},
    predicates::{NeutralRequestPredicate, NeutralResponsePredicate},
};
use hitbox_moka::MokaBackend;
use http::{Request, Response, header::ACCEPT_ENCODING};
use http_body_util::{Empty, Full};
use http_cache::{MokaCache, MokaManager};
use http_cache_tower::HttpCacheLayer;
use tower::{Layer, Service, service_fn};
use tower_http_cache::backend::memory::InMemoryBackend;

use crate::contender::{Cached, Contender, RequestsOnly};
use crate::floor::{Floor, FloorKey, HashedKey, StringKey, VariedKey};
use crate::work::{Asks, Origin, Resource};

/// The request body that the tower caches get.
type NoBody = Empty<Bytes>;

pub(crate) const LIFETIME: Duration = Duration::from_secs(3_600);

/// Room in the caches that count entries: five times what is stored at most.
const ENTRIES: u32 = 10_000;

/// Contenders for a hit on a resource with one response; the first is the floor.
pub fn plain() -> Vec<Box<dyn Contender>> {
    let resource = Resource::Plain;
    vec![
        floor::<StringKey>("by hand: moka, String key (the floor)", resource),
        floor::<HashedKey>("by hand: moka, 16-byte hashed key", resource),
        cachewarp(resource),
        axum_response_cache(resource),
        tower_http_cache(),
        http_cache_tower(),
        hitbox_tower(
            "hitbox-tower 0.2, moka (bincode)",
            resource,
            BincodeFormat,
            hitbox_key(),
        ),
        hitbox_tower(
            "hitbox-tower 0.2, moka (default, JSON)",
            resource,
            JsonFormat,
            hitbox_key(),
        ),
        Box::new(RequestsOnly(Asks::new(resource))),
    ]
}

/// Contenders for a hit on a resource with two variants; the first is the floor.
///
/// cachewarp learns from `Vary` what to select by. The others need a key from their user;
/// tower-http-cache's key sees no header, and http-cache-tower keeps one variant at a time.
pub fn varied() -> Vec<Box<dyn Contender>> {
    let resource = Resource::Varied;
    vec![
        floor::<VariedKey>("by hand: moka, String key with the header", resource),
        cachewarp(resource),
        axum_response_cache(resource),
        hitbox_tower(
            "hitbox-tower 0.2, moka (bincode)",
            resource,
            BincodeFormat,
            hitbox_key().header(ACCEPT_ENCODING.to_string()),
        ),
    ]
}

fn floor<K: FloorKey>(name: &'static str, resource: Resource) -> Box<dyn Contender> {
    Box::new(Cached::<_, NoBody>::new(name, resource, |origin| {
        let floor = Floor::<K, _>::new(move |request: &Request<NoBody>| origin.answer(request));
        service_fn(move |request| ready(Ok::<_, Infallible>(floor.call(request))))
    }))
}

fn cachewarp(resource: Resource) -> Box<dyn Contender> {
    let name = "cachewarp (with Age, X-Cache and Cache-Status)";
    let cached = Cached::<_, NoBody>::new(name, resource, |origin| {
        let cache = cachewarp::CacheLayer::new(Memory::with_capacity(64 << 20));
        cache.layer(origin_service(origin))
    });
    Box::new(cached.adding(&["age", "x-cache", "cache-status"]))
}

fn axum_response_cache(resource: Resource) -> Box<dyn Contender> {
    let name = "axum-response-cache 0.5 (with its Router)";
    Box::new(Cached::<_, Body>::new(name, resource, |origin| {
        let handler = get(move |request: Request<Body>| async move {
            origin.answer(&request).map(Body::from)
        });
        let handler = match resource {
            Resource::Plain => handler.layer(AxumResponseCache::with_lifespan(LIFETIME)),
            Resource::Varied => {
                let keyer = |request: &Request<Body>| {
                    let encoding = request.headers().get(ACCEPT_ENCODING).cloned();
                    (request.method().clone(), request.uri().clone(), encoding)
                };
                handler.layer(AxumResponseCache::with_lifespan_and_keyer(LIFETIME, keyer))
            }
        };
        Router::<()>::new().route("/items/{id}", handler)
    }))
}

fn tower_http_cache() -> Box<dyn Contender> {
    let name = "tower-http-cache 0.6";
    Box::new(Cached::<_, NoBody>::new(name, Resource::Plain, |origin| {
        let backend = InMemoryBackend::new(ENTRIES.into());
        let cache = tower_http_cache::CacheLayer::builder(backend).ttl(LIFETIME);
        cache.build().layer(origin_service(origin))
    }))
}

fn http_cache_tower() -> Box<dyn Contender> {
    let name = "http-cache-tower 1.0.0-alpha.9, moka";
    Box::new(Cached::<_, NoBody>::new(name, Resource::Plain, |origin| {
        let manager = MokaManager::new(MokaCache::new(ENTRIES.into()));
        HttpCacheLayer::new(manager).layer(origin_service(origin))
    }))
}

/// Its default stores JSON; its documentation recommends bincode, so both are shown.
fn hitbox_tower<F, K>(
    name: &'static str,
    resource: Resource,
    format: F,
    key: K,
) -> Box<dyn Contender>
where
    F: Format + Clone + Send + Sync + 'static,
    K: Extractor<Subject = CacheableHttpRequest<NoBody>> + Send + Sync + 'static,
{
    let backend = MokaBackend::builder()
        .max_entries(ENTRIES.into())
        .value_format(format)
        .build();
    Box::new(Cached::<_, NoBody>::new(name, resource, |origin| {
        let config = Config::builder()
            .request_predicate(NeutralRequestPredicate::new())
            .response_predicate(NeutralResponsePredicate::new())
            .extractor(key)
            .policy(PolicyConfig::builder().ttl(LIFETIME).build())
            .build();
        let cache = hitbox_tower::Cache::builder()
            .backend(backend)
            .config(config);
        cache.build().layer(origin_service(origin))
    }))
}

pub(crate) fn hitbox_key() -> impl Extractor<Subject = CacheableHttpRequest<NoBody>> + Send + Sync {
    Method::<NeutralExtractor<NoBody>>::new().path("/items/{id}")
}

/// The origin as the services of these rivals see it.
pub(crate) fn origin_service<Q: Send + 'static>(
    origin: Origin,
) -> impl Service<
    Request<Q>,
    Response = Response<Full<Bytes>>,
    Error = Infallible,
    Future = impl Future + Send,
> + Clone
+ Send
+ 'static {
    service_fn(move |request: Request<Q>| {
        let origin = origin.clone();
        async move { Ok(origin.answer(&request).map(Full::new)) }
    })
}
