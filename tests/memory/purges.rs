//! Tags and purges in memory: entries weigh the tags that they hold, and neither distinct keys, tags and
//! fields nor purges make anything grow for ever.
//!
//! `PURGE_KEYS=10000000` in the environment asks for ten million resources.

use std::{convert::Infallible, env, time::Duration};

use bytes::Bytes;
use cachewarp::{CacheHandle, CacheLayer, CacheTags, Memory, Purge};
use http::{HeaderName, Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::{MIB, Peak, TURN, get, live};

/// The number at the end of a path.
fn number(request: &Request<Empty<Bytes>>) -> usize {
    let digits = request.uri().path().rsplit('/').next().unwrap();
    digits.parse().unwrap()
}

/// A response with so many tags, all of them its own.
fn tagged(number: usize, tags: usize) -> Response<Full<Bytes>> {
    let mut response = Response::builder()
        .header("cache-control", "public, max-age=600")
        .header("content-type", "application/json")
        .header("etag", format!("\"{number}\""))
        .body(Full::new(Bytes::from(vec![b'.'; 200])))
        .unwrap();
    let tags = (0..tags).map(|tag| format!("item:{number}:{tag}"));
    response.extensions_mut().insert(CacheTags::new(tags));
    response
}

async fn fetch<S>(service: &S, path: &str)
where
    S: Service<Request<Empty<Bytes>>, Error = Infallible> + Clone,
    S::Response: IntoBody,
{
    let answer = service.clone().oneshot(get(path)).await.unwrap();
    answer.read().await;
}

/// An answer whose body can be read.
trait IntoBody {
    async fn read(self);
}

impl<B: http_body::Body<Error: std::fmt::Debug>> IntoBody for Response<B> {
    async fn read(self) {
        self.into_body().collect().await.unwrap();
    }
}

#[tokio::test]
async fn entries_weigh_the_tags_that_they_hold() {
    let _turn = TURN.lock().await;
    // They stay until the end: what one of them frees later is not counted for the next.
    let mut layers = Vec::new();
    for (tags, entries) in [(1, 5_000), (5, 5_000), (32, 2_000), (128, 1_000)] {
        let layer = CacheLayer::new(Memory::with_capacity(512 * MIB as u64));
        let service = layer.layer(service_fn(move |request: Request<Empty<Bytes>>| {
            std::future::ready(Ok::<_, Infallible>(tagged(number(&request), tags)))
        }));
        fetch(&service, "/item/0").await;
        let before = live();
        for n in 1..=entries {
            fetch(&service, &format!("/item/{n}")).await;
        }
        layer.handle().drain(Duration::from_secs(60)).await;
        let stats = layer.handle().stats();
        let (held, weighed) = (live() - before, stats.memory_bytes as usize);
        println!(
            "{tags} tags: {} B each by weight, {} B held",
            weighed / entries,
            held / entries
        );
        assert_eq!(stats.entries as usize, entries + 1);
        assert!(
            weighed.abs_diff(held) * 100 <= held * 15,
            "{tags} tags: {weighed} bytes by weight, {held} held"
        );
        layers.push(layer);
    }
}

/// Purges one of the tags of a resource, another one's path, or a tag that nothing has.
async fn purge_something(handle: &CacheHandle, n: usize) {
    let purge = match n % 4 {
        0 => Purge::tag(format!("item:{n}:0")),
        1 => Purge::path(format!("/item/{n}")).soft(),
        2 => Purge::prefix(format!("/item/{n}")).validate(),
        _ => Purge::tag(format!("none:{n}")).url(format!("http://a.test/item/{n}")),
    };
    handle.purge(purge).await.unwrap();
}

#[tokio::test]
async fn distinct_keys_tags_fields_and_purges_stay_within_their_bytes() {
    let keys = env::var("PURGE_KEYS").map_or(60_000, |it| it.parse().unwrap());
    let _turn = TURN.lock().await;
    let peak = Peak::default();
    let before = live();
    let layer = CacheLayer::new(Memory::with_capacity(64 * MIB as u64));
    let handle = layer.handle();
    let service = layer.layer(service_fn(|request: Request<Empty<Bytes>>| {
        let number = number(&request);
        let mut response = tagged(number, number % 7);
        // More lists of names than are kept.
        let name = HeaderName::try_from(format!("x-{}", number % 5_000)).unwrap();
        response.headers_mut().insert(name, number.into());
        std::future::ready(Ok::<_, Infallible>(response))
    }));
    let empty = live() - before;
    for n in 0..keys {
        fetch(&service, &format!("/item/{n}")).await;
        if n % 8 == 0 {
            purge_something(&handle, n).await;
        }
        if n % 1_000 == 0 {
            peak.look();
        }
    }
    handle.drain(Duration::from_secs(60)).await;
    peak.look();
    let (stats, grown) = (handle.stats(), peak.get() - before);
    println!(
        "{keys} keys: {grown} B at the most, {} entries of {} B, {empty} B before the first",
        stats.entries, stats.memory_bytes
    );
    assert!(stats.memory_bytes as usize <= 64 * MIB, "{stats:?}");
    assert!(
        stats.memory_bytes as usize > 32 * MIB,
        "so little is stored that this measured nothing: {stats:?}"
    );
    // The memory, what an empty cache has, and what is on its way out of the memory.
    assert!(grown <= 64 * MIB + empty + 8 * MIB, "{grown} B");
    handle.purge(Purge::everything()).await.unwrap();
    // Each look has moka go on, for a tenth of a second at most.
    let looks = (0..1_000).take_while(|_| handle.stats().entries > 0);
    assert!(looks.count() < 1_000, "{:?}", handle.stats());
    let left = live() - before;
    println!("{left} B after all of it was purged");
    assert!(left <= empty + 8 * MIB, "{left} B are left");
}
