//! What a hit allocates: its `HeaderMap`, and at most five times more.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{alloc::System, convert::Infallible, time::Duration};

use bytes::Bytes;
use cachewarp::{CacheBody, CacheLayer, CacheOutcome, CacheService, Memory, clock::ManualClock};
use futures_util::FutureExt;
use http::{
    Request, Response,
    header::{
        ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_TYPE, COOKIE, ETAG, HOST, LAST_MODIFIED, SERVER,
        VARY,
    },
};
use http_body_util::{BodyExt, Full};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tower::{Layer, Service, service_fn};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Beyond building the request and one clone of the answer's `HeaderMap`.
const ALLOWED: usize = 5;

const BODY: &str = "A body that is kept beside its head, and read by every hit without a copy.";
const ENCODINGS: [&str; 2] = ["gzip", "br"];

/// Cookies of requests that are hits: none, ignored ones in one line and in several, others too.
const COOKIES: [&[&str]; 4] = [
    &[],
    &["_ga=GA1.2.1; _gid=GA1.2.2; OptanonConsent=a&b"],
    &["_ga=GA1.2.1", "_gid=GA1.2.2", "_fbp=fb.1.2"],
    &["_ga=GA1.2.1; session=1"],
];

/// Hits counted of each kind. moka puts off its maintenance and does it within a read now and then,
/// so what counts is the hit in the middle.
const HITS: usize = 31;

type Ask = Request<Full<Bytes>>;
type Answer = Response<CacheBody<Full<Bytes>>>;

#[derive(Clone, Copy, Debug)]
enum Resource {
    Plain,
    Varied,
}

#[derive(Clone, Copy, Debug)]
enum Head {
    /// Rebuilt from what is stored: the first hit of its second.
    Rebuilt,
    /// Finished by an earlier hit of the same second.
    Finished,
}

/// Counts the allocations of `work`; growing one counts too.
fn allocations<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let region = Region::new(ALLOCATOR);
    let done = work();
    let counted = region.change();
    (counted.allocations + counted.reallocations, done)
}

fn ask(index: usize, cookies: &[&'static str]) -> Ask {
    let request = Request::get("/items/1?page=2")
        .header(HOST, "shop.example")
        .header(ACCEPT_ENCODING, ENCODINGS[index % 2]);
    let lines = cookies.iter();
    lines
        .fold(request, |request, line| request.header(COOKIE, *line))
        .body(Full::default())
        .unwrap()
}

fn origin(resource: Resource, request: &Ask) -> Response<Full<Bytes>> {
    let varies = match resource {
        Resource::Plain => (SERVER, "origin"),
        Resource::Varied => (VARY, "accept-encoding"),
    };
    let encoding = request.headers()[ACCEPT_ENCODING].to_str().unwrap();
    Response::builder()
        .header(CONTENT_TYPE, "text/plain")
        .header(CACHE_CONTROL, "max-age=3600")
        .header(ETAG, format!("\"{encoding}\""))
        .header(LAST_MODIFIED, "Wed, 21 Oct 2015 07:28:00 GMT")
        .header(varies.0, varies.1)
        .body(Full::from(BODY))
        .unwrap()
}

/// A hit, which is there at once.
fn hit<S>(service: &mut CacheService<S>, request: Ask) -> Answer
where
    CacheService<S>: Service<Ask, Response = Answer, Error = Infallible>,
{
    let Ok(answer) = service.call(request).now_or_never().unwrap();
    answer
}

/// The allocations of the hit in the middle, and those of a clone of its `HeaderMap`.
fn count(resource: Resource, head: Head, cookies: &[&'static str]) -> (usize, usize) {
    let clock = ManualClock::at(1_700_000_000);
    let layer = CacheLayer::builder()
        .memory(Memory::with_capacity(64 << 20))
        .clock(clock.clone())
        .build()
        .unwrap();
    let mut service = layer.layer(service_fn(move |request: Ask| async move {
        Ok::<_, Infallible>(origin(resource, &request))
    }));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        for index in 0..ENCODINGS.len() {
            let Ok(answer) = service.call(ask(index, cookies)).await;
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), BODY);
        }
        assert_eq!(layer.handle().drain(Duration::from_secs(10)).await, 0);
    });
    if let Head::Finished = head {
        // Often enough for both variants to keep the head of this second.
        for index in 0..8 {
            hit(&mut service, ask(index, cookies));
        }
    }
    let mut counts: Vec<(usize, usize)> = (0..HITS)
        .map(|index| {
            if let Head::Rebuilt = head {
                clock.advance(Duration::from_secs(2));
            }
            let request = ask(index, cookies);
            let (whole, answer) = allocations(|| {
                let mut answer = hit(&mut service, request);
                let frame = answer.frame().now_or_never().unwrap();
                assert_eq!(frame.unwrap().unwrap().into_data().unwrap(), BODY);
                answer
            });
            let outcome = answer.extensions().get::<CacheOutcome>();
            assert!(matches!(outcome, Some(CacheOutcome::Hit { .. })));
            // The first clone of a value that is fresh also prepares it to be shared.
            let first = answer.headers().clone();
            let (cloned, _) = allocations(|| first.clone());
            (whole, cloned)
        })
        .collect();
    counts.sort_unstable();
    counts[HITS / 2]
}

/// One test, for the counts are of the whole process.
#[test]
fn a_hit_allocates_its_fields_and_at_most_five_times_more() {
    for resource in [Resource::Plain, Resource::Varied] {
        for head in [Head::Rebuilt, Head::Finished] {
            let (without, _) = count(resource, head, &[]);
            for cookies in COOKIES {
                let (whole, cloned) = count(resource, head, cookies);
                assert!(cloned > 0, "nothing was counted");
                assert!(
                    whole <= cloned + ALLOWED,
                    "{resource:?}, {head:?} head: {whole} allocations, of which {cloned} are a \
                     clone of the fields and {ALLOWED} are allowed"
                );
                assert_eq!(whole, without, "with {cookies:?}");
                println!("{resource:?}, {head:?} head: {whole}, of which {cloned} are the fields");
            }
        }
    }
}
