//! What the layer adds to a request that the origin has to answer.
//!
//! `cargo bench --bench miss` prints criterion's figures for each case, bare and through the
//! layer, and then the difference of the two measured in alternating rounds of one run. The origin
//! does next to nothing, so the difference is the layer's own and the ratio the worst there is.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use cachewarp::{
    CacheLayer, CacheOutcome, CacheService, Memory, Storing,
    clock::{Clock, SystemClock},
};
use criterion::{Criterion, Throughput};
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE,
        ETAG, HOST, IF_NONE_MATCH, LAST_MODIFIED, USER_AGENT,
    },
};
use http_body_util::{BodyExt, Full};
use tokio::runtime::{Builder, Runtime};
use tower::{Layer, Service};

/// Rounds of each contender, in turn.
const ROUNDS: usize = 31;

/// Requests in a round, each for a URL of its own.
const REQUESTS: usize = 10_000;

/// Bytes in a response body.
const BODY: usize = 1_024;

const TAG: &str = "\"33a64df551425fcc55e4d42a148795d9\"";

/// Why the origin has to answer.
#[derive(Clone, Copy, Debug)]
enum Case {
    /// Nothing is stored; the response will be.
    Stored,
    /// A POST, which goes around the cache.
    Bypass,
    /// The response is for one client only, as the ones before it were.
    Uncacheable,
    /// What is stored is stale; the origin says 304.
    Revalidated,
}

impl Case {
    const ALL: [Self; 4] = [
        Self::Stored,
        Self::Bypass,
        Self::Uncacheable,
        Self::Revalidated,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Bypass => "bypass",
            Self::Uncacheable => "uncacheable",
            Self::Revalidated => "revalidated",
        }
    }

    fn method(self) -> Method {
        match self {
            Self::Bypass => Method::POST,
            Self::Stored | Self::Uncacheable | Self::Revalidated => Method::GET,
        }
    }

    fn cache_control(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Stored => "public, max-age=3600",
            Self::Bypass => "no-cache",
            Self::Uncacheable => "private, max-age=3600",
            Self::Revalidated => "public, max-age=1",
        })
    }

    /// Whether the layer is to see every URL once before the clock runs.
    fn is_primed(self) -> bool {
        match self {
            Self::Stored | Self::Bypass => false,
            Self::Uncacheable | Self::Revalidated => true,
        }
    }

    fn is_answered_as_meant(self, outcome: &CacheOutcome) -> bool {
        match self {
            Self::Stored => matches!(
                outcome,
                CacheOutcome::Fetched {
                    storing: Storing::Begun { .. },
                    ..
                }
            ),
            Self::Bypass => matches!(outcome, CacheOutcome::Forwarded),
            Self::Uncacheable => matches!(
                outcome,
                CacheOutcome::Fetched {
                    storing: Storing::Refused(_),
                    ..
                }
            ),
            Self::Revalidated => matches!(outcome, CacheOutcome::Revalidated { .. }),
        }
    }
}

/// The origin: six header fields and 1 KiB, or a 304, and a count of its calls.
#[derive(Clone)]
struct Inner {
    body: Bytes,
    calls: Arc<AtomicUsize>,
    case: Case,
}

impl Inner {
    fn new(case: Case) -> Self {
        Self {
            body: vec![b'x'; BODY].into(),
            calls: Arc::default(),
            case,
        }
    }

    fn answer(&self, request: &Request<Full<Bytes>>) -> Response<Full<Bytes>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let cache_control = self.case.cache_control();
        let response = if request.headers().contains_key(IF_NONE_MATCH) {
            Response::builder()
                .status(StatusCode::NOT_MODIFIED)
                .header(CACHE_CONTROL, cache_control)
                .header(ETAG, HeaderValue::from_static(TAG))
                .body(Full::default())
        } else {
            let modified = HeaderValue::from_static("Wed, 21 Oct 2015 07:28:00 GMT");
            Response::builder()
                .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
                .header(CONTENT_LENGTH, HeaderValue::from(BODY))
                .header(CACHE_CONTROL, cache_control)
                .header(ETAG, HeaderValue::from_static(TAG))
                .header(LAST_MODIFIED, modified)
                .header(CONTENT_LANGUAGE, HeaderValue::from_static("en"))
                .body(Full::new(self.body.clone()))
        };
        response.expect("the head is made of valid parts")
    }
}

impl Service<Request<Full<Bytes>>> for Inner {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        ready(Ok(self.answer(&request)))
    }
}

/// The machine's clock, which can be set forward.
#[derive(Clone, Debug)]
struct Settable {
    ahead: Arc<AtomicU64>,
    machine: SystemClock,
}

impl Settable {
    fn new() -> Self {
        Self {
            ahead: Arc::default(),
            machine: SystemClock::new(),
        }
    }

    fn pass(&self, seconds: u64) {
        self.ahead.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Clock for Settable {
    fn wall(&self) -> i64 {
        self.machine.wall() + self.ahead.load(Ordering::Relaxed).cast_signed()
    }

    fn monotonic(&self) -> Duration {
        self.machine.monotonic() + Duration::from_secs(self.ahead.load(Ordering::Relaxed))
    }
}

/// What both sides of the comparison are measured with.
struct Bench {
    case: Case,
    runtime: Runtime,
    uris: Vec<String>,
}

impl Bench {
    fn new(case: Case) -> Self {
        Self {
            case,
            // One thread: what the layer spawns takes its turn with the request that caused it.
            runtime: Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime on this thread"),
            uris: (0..REQUESTS)
                .map(|index| format!("http://shop.example/items/{index}"))
                .collect(),
        }
    }

    fn request(&self, index: usize) -> Request<Full<Bytes>> {
        Request::builder()
            .method(self.case.method())
            .uri(self.uris[index].as_str())
            .header(HOST, HeaderValue::from_static("shop.example"))
            .header(ACCEPT, HeaderValue::from_static("*/*"))
            .header(ACCEPT_ENCODING, HeaderValue::from_static("gzip"))
            .header(USER_AGENT, HeaderValue::from_static("benches/1.0"))
            .body(Full::default())
            .expect("the head is made of valid parts")
    }

    /// The time that the first `count` requests take of the inner service itself.
    fn bare(&self, count: usize) -> Duration {
        let mut service = Inner::new(self.case);
        let condition = match self.case {
            Case::Revalidated => Some(HeaderValue::from_static(TAG)),
            Case::Stored | Case::Bypass | Case::Uncacheable => None,
        };
        let start = now();
        self.runtime.block_on(async {
            for index in 0..count {
                let mut request = self.request(index);
                if let Some(tag) = &condition {
                    request.headers_mut().insert(IF_NONE_MATCH, tag.clone());
                }
                black_box(fetch(&mut service, request).await);
            }
        });
        let elapsed = start.elapsed();
        assert_eq!(service.calls.load(Ordering::Relaxed), count);
        elapsed
    }

    /// The time that they take through a layer made for this round.
    fn layered(&self, count: usize) -> Duration {
        let origin = Inner::new(self.case);
        let clock = Settable::new();
        let layer = CacheLayer::builder()
            .memory(Memory::with_capacity(256 << 20))
            .clock(clock.clone())
            .build()
            .expect("settings in range");
        let mut service: CacheService<Inner> = layer.layer(origin.clone());
        if self.case.is_primed() {
            self.ask(&mut service, count);
            clock.pass(2);
        }
        origin.calls.store(0, Ordering::Relaxed);

        let start = now();
        self.ask(&mut service, count);
        let elapsed = start.elapsed();

        assert_eq!(origin.calls.load(Ordering::Relaxed), count);
        let handle = layer.handle();
        let under_way = self.runtime.block_on(handle.drain(Duration::from_secs(10)));
        assert_eq!(under_way, 0);
        self.judge(&mut service, &clock, count);
        elapsed
    }

    fn ask(&self, service: &mut CacheService<Inner>, count: usize) {
        self.runtime.block_on(async {
            for index in 0..count {
                black_box(fetch(service, self.request(index)).await);
            }
        });
    }

    /// Checks that the requests were what they are called, off the clock.
    fn judge(&self, service: &mut CacheService<Inner>, clock: &Settable, count: usize) {
        self.runtime.block_on(async {
            let is_hit = |outcome: &Option<_>| matches!(outcome, Some(CacheOutcome::Hit { .. }));
            let (outcome, _) = fetch(service, self.request(count - 1)).await;
            match self.case {
                Case::Stored | Case::Revalidated => assert!(is_hit(&outcome), "{outcome:?}"),
                Case::Bypass | Case::Uncacheable => assert!(!is_hit(&outcome), "{outcome:?}"),
            }
            clock.pass(2);
            let mut request = self.request(count - 1);
            if matches!(self.case, Case::Stored) {
                *request.uri_mut() = "http://shop.example/another".parse().expect("a URI");
            }
            let (outcome, length) = fetch(service, request).await;
            let outcome = outcome.expect("the layer says how it answered");
            assert!(self.case.is_answered_as_meant(&outcome), "{outcome:?}");
            assert_eq!(length, BODY);
        });
    }
}

/// How a request was answered, if by a layer, and the length of the body.
async fn fetch<S, B>(
    service: &mut S,
    request: Request<Full<Bytes>>,
) -> (Option<CacheOutcome>, usize)
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible>,
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let Ok(response) = service.call(request).await;
    let outcome = response.extensions().get().cloned();
    let body = response.into_body().collect().await;
    (outcome, body.expect("a body that ends").to_bytes().len())
}

#[allow(
    clippy::disallowed_methods,
    reason = "a bench measures the machine's time"
)]
fn now() -> Instant {
    Instant::now()
}

/// The time that `count` requests take, in rounds of [`REQUESTS`] at the most.
fn in_rounds(count: u64, mut round: impl FnMut(usize) -> Duration) -> Duration {
    let mut left = count;
    let mut total = Duration::ZERO;
    while left > 0 {
        let requests = left.min(REQUESTS as u64);
        total += round(usize::try_from(requests).expect("a round that can be counted"));
        left -= requests;
    }
    total
}

fn miss(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("miss");
    group.throughput(Throughput::Elements(1));
    for case in Case::ALL {
        let bench = Bench::new(case);
        let name = case.name();
        group.bench_function(format!("{name}/bare"), |bencher| {
            bencher.iter_custom(|count| in_rounds(count, |requests| bench.bare(requests)));
        });
        group.bench_function(format!("{name}/cachewarp"), |bencher| {
            bencher.iter_custom(|count| in_rounds(count, |requests| bench.layered(requests)));
        });
    }
    group.finish();
}

/// What the layer adds to a request: the round of the median ratio, of alternating ones.
fn compare(case: Case) {
    let bench = Bench::new(case);
    let mut rounds: Vec<(f64, f64)> = (0..ROUNDS)
        .map(|_| (each(bench.bare(REQUESTS)), each(bench.layered(REQUESTS))))
        .collect();
    rounds.sort_by(|a, b| (a.1 / a.0).total_cmp(&(b.1 / b.0)));
    let (bare, layered) = rounds[ROUNDS / 2];
    println!(
        "{}: {bare:.0} ns bare, {layered:.0} ns through the layer, {:.0} ns more, ratio {:.2}",
        case.name(),
        layered - bare,
        layered / bare
    );
}

/// Nanoseconds a request, over one round.
fn each(round: Duration) -> f64 {
    round.as_nanos() as f64 / REQUESTS as f64
}

fn main() {
    if std::env::var_os("RATIO_ONLY").is_none() {
        let mut criterion = Criterion::default().configure_from_args();
        miss(&mut criterion);
        criterion.final_summary();
    }
    for case in Case::ALL {
        compare(case);
    }
}
