//! What purging costs: the purge itself, the hits beside it, and hits of responses that have tags.
//!
//! `cargo bench --bench purge` prints each figure with its bar, and fails if one is missed. All are times
//! or ratios of one run.
//!
//! `PURGE_SECONDS` sets how long each of the long parts takes, 10 by default, and `PURGE_ENTRIES` how many
//! entries there are, 1,000,000 by default.

#![allow(clippy::disallowed_methods, reason = "a bench measures real time")]

use std::{
    convert::Infallible,
    env,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use cachewarp::{CacheHandle, CacheLayer, CacheOutcome, CacheService, CacheTags, Memory, Purge};
use http::{Request, Response, header::CACHE_CONTROL};
use http_body_util::Full;
use tokio::runtime::{Builder, Runtime};
use tower::{Layer, Service};

/// How many responses share a tag.
const TAGGED: u64 = 1_000;

/// How many of the entries are hit.
const HOT: u64 = 1_000;

/// In how many turns hits with and without tags are compared.
const ROUNDS: usize = 15;

/// Hits between two looks at the clock.
const BATCH: u64 = 64;

fn setting(name: &str, default: u64) -> u64 {
    env::var(name)
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(default)
}

type Answer = std::future::Ready<Result<Response<Full<Bytes>>, Infallible>>;

/// Pages of 200 bytes, each with some tags. The path says which.
#[derive(Clone)]
struct Pages;

impl Service<Request<Full<Bytes>>> for Pages {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Answer {
        let mut parts = request.uri().path()[1..].split('/');
        let tags: u64 = parts.next().and_then(|it| it.parse().ok()).unwrap_or(0);
        let page: u64 = parts.next().and_then(|it| it.parse().ok()).unwrap_or(0);
        let mut response = Response::new(Full::new(Bytes::from_static(&[b'x'; 200])));
        let headers = response.headers_mut();
        headers.insert(
            CACHE_CONTROL,
            http::HeaderValue::from_static("max-age=86400"),
        );
        if tags > 0 {
            let of = |n| format!("tag-{}", page / TAGGED * 1_000 + n);
            response
                .extensions_mut()
                .insert(CacheTags::new((0..tags).map(of)));
        }
        std::future::ready(Ok(response))
    }
}

type Cache = CacheService<Pages>;

fn cache() -> (Cache, CacheHandle) {
    let layer = CacheLayer::new(Memory::with_capacity(4 << 30));
    (layer.layer(Pages), layer.handle())
}

fn request(path: &str) -> Request<Full<Bytes>> {
    Request::get(path)
        .header("host", "bench.test")
        .body(Full::default())
        .unwrap_or_default()
}

fn is_hit(response: &Response<impl Sized>) -> bool {
    response
        .extensions()
        .get()
        .is_some_and(CacheOutcome::is_hit)
}

async fn store(cache: &Cache, handle: &CacheHandle, paths: impl Iterator<Item = String>) {
    let mut cache = cache.clone();
    for (count, path) in paths.enumerate() {
        let _ = cache.call(request(&path)).await;
        if count % 1024 == 0 {
            handle.drain(Duration::from_secs(60)).await;
        }
    }
    handle.drain(Duration::from_secs(60)).await;
}

/// Hits these paths in turn until it is told to stop. Returns how many hits there were, and the time of
/// each batch.
fn hits(
    runtime: &Runtime,
    cache: &Cache,
    paths: &[String],
    stop: &AtomicBool,
) -> (u64, Vec<Duration>) {
    runtime.block_on(async {
        let mut cache = cache.clone();
        let (mut count, mut times) = (0, Vec::new());
        let mut next = paths.iter().cycle();
        while !stop.load(Ordering::Relaxed) {
            let began = Instant::now();
            for _ in 0..BATCH {
                if let Some(path) = next.next()
                    && let Ok(response) = cache.call(request(path)).await
                    && is_hit(&response)
                {
                    count += 1;
                }
            }
            times.push(began.elapsed());
        }
        (count, times)
    })
}

/// Hits for some time, while something else happens.
fn hits_while<T: Send>(
    cache: &Cache,
    paths: &[String],
    other: impl FnOnce() -> T + Send,
) -> (u64, Vec<Duration>, T) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let hitting = scope.spawn(|| hits(&runtime(), cache, paths, &stop));
        let result = other();
        stop.store(true, Ordering::Relaxed);
        let (count, times) = hitting.join().unwrap_or_default();
        (count, times, result)
    })
}

fn runtime() -> Runtime {
    match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => panic!("no runtime: {error}"),
    }
}

fn percentile(times: &mut [Duration], part: f64) -> Duration {
    times.sort_unstable();
    let at = (times.len() as f64 * part) as usize;
    times
        .get(at.min(times.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
}

/// Prints a figure. Returns whether it keeps its bar.
fn figure(what: &str, measured: f64, bar: f64, unit: &str) -> bool {
    let kept = measured <= bar;
    let word = if kept { "kept" } else { "MISSED" };
    println!("{what}: {measured:.3} {unit} (bar {bar} {unit}, {word})");
    kept
}

fn main() -> ExitCode {
    let seconds = Duration::from_secs(setting("PURGE_SECONDS", 10));
    let entries = setting("PURGE_ENTRIES", 1_000_000);
    let mut all_kept = true;

    // A hit with tags beside one without, in turns.
    let (cache, handle) = cache();
    let paths =
        |tags: u64| -> Vec<String> { (0..HOT).map(|page| format!("/{tags}/{page}")).collect() };
    let kinds = [0, 5, 128].map(paths);
    runtime().block_on(async {
        for paths in &kinds {
            store(&cache, &handle, paths.iter().cloned()).await;
        }
    });
    let mut counts: [Vec<f64>; 3] = Default::default();
    for _ in 0..ROUNDS {
        for (counts, paths) in counts.iter_mut().zip(&kinds) {
            let (count, ..) =
                hits_while(&cache, paths, || thread::sleep(Duration::from_millis(200)));
            counts.push(count as f64);
        }
    }
    let median = |ratios: &mut Vec<f64>| {
        ratios.sort_by(f64::total_cmp);
        ratios[ratios.len() / 2]
    };
    for (kind, tags, bar) in [(1, 5, 1.05), (2, 128, 1.10)] {
        let rounds = counts[0].iter().zip(&counts[kind]);
        let mut ratios: Vec<f64> = rounds.map(|(without, with)| without / with).collect();
        let ratio = median(&mut ratios);
        all_kept &= figure(
            &format!("a hit with {tags} tags, beside one without"),
            ratio,
            bar,
            "x",
        );
    }

    // A purge of a tag among many entries, while hits run.
    runtime().block_on(async {
        let many = (0..entries).map(|page| format!("/1/{page}"));
        store(&cache, &handle, many).await;
    });
    println!("{} entries", handle.stats().entries);
    let hot = paths(5);
    let mut before = Vec::new();
    let mut during = Vec::new();
    let mut purges = Vec::new();
    let each = seconds / 10;
    for round in 0..10 {
        let (count, ..) = hits_while(&cache, &hot, || thread::sleep(each));
        before.push(count as f64);
        let (count, _, took) = hits_while(&cache, &hot, || {
            thread::sleep(each / 2);
            let began = Instant::now();
            let tag = format!("tag-{}", (round + 10) * 1_000);
            let purged = runtime().block_on(handle.purge(Purge::tag(tag)));
            let took = began.elapsed();
            assert!(purged.is_ok(), "{purged:?}");
            thread::sleep(each / 2);
            took
        });
        during.push(count as f64);
        purges.push(took);
    }
    let slowest = purges.iter().max().copied().unwrap_or_default();
    let milliseconds = slowest.as_secs_f64() * 1e3;
    all_kept &= figure(
        "the slowest purge of a tag of 1,000 responses",
        milliseconds,
        1.0,
        "ms",
    );
    let mut ratios: Vec<f64> = before.iter().zip(&during).map(|(b, d)| b / d).collect();
    all_kept &= figure(
        "hits a second without a purge, beside those with one",
        median(&mut ratios),
        1.05,
        "x",
    );

    // A thousand purges a second, while hits run.
    let (_, mut quiet, ()) = hits_while(&cache, &hot, || thread::sleep(seconds));
    let made = Arc::new(AtomicU64::new(0));
    let (_, mut busy, ()) = hits_while(&cache, &hot, || {
        let runtime = runtime();
        let began = Instant::now();
        while began.elapsed() < seconds {
            let number = made.fetch_add(1, Ordering::Relaxed);
            let _ = runtime.block_on(handle.purge(Purge::tag(format!("none-{number}"))));
            let due = began + Duration::from_millis(number + 1);
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    });
    let (quiet, busy) = (percentile(&mut quiet, 0.99), percentile(&mut busy, 0.99));
    println!(
        "{} purges; p99 of {BATCH} hits {quiet:?} without, {busy:?} with",
        made.load(Ordering::Relaxed)
    );
    let ratio = busy.as_secs_f64() / quiet.as_secs_f64().max(1e-9);
    all_kept &= figure(
        "p99 with 1,000 purges a second, beside none",
        ratio,
        1.5,
        "x",
    );
    if all_kept {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
