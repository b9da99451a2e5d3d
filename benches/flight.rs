//! What a crowd costs that asks for one thing at once, while nothing of it is stored.
//!
//! Every round has a cold key, and an origin that answers once the whole crowd is on board: one
//! request asks it, and all others share the answer. Time runs from the moment the crowd is let go
//! until each of it has read its body to the end.

use std::{
    convert::Infallible,
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use cachewarp::{CacheLayer, CacheOutcome, Memory};
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use futures_util::future::{join, join_all};
use http::{
    HeaderValue, Request, Response,
    header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HOST},
};
use http_body_util::{BodyExt, Full};
use tokio::{
    runtime::Builder,
    sync::{Barrier, Semaphore},
};
use tower::{Layer, Service, service_fn};

/// Bytes in the response body.
const BODY: usize = 1_024;

/// Requests in a crowd.
const CROWDS: [usize; 4] = [1, 100, 1_000, 10_000];

/// The origin's side of a round.
struct Origin {
    body: Bytes,
    calls: AtomicUsize,
    crowd: usize,
    /// One permit for each request that is on board.
    on_board: Semaphore,
}

impl Origin {
    fn new(crowd: usize) -> Arc<Self> {
        Arc::new(Self {
            body: vec![b'x'; BODY].into(),
            calls: AtomicUsize::new(0),
            crowd,
            on_board: Semaphore::new(0),
        })
    }

    async fn answer(self: Arc<Self>) -> Result<Response<Full<Bytes>>, Infallible> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let crowd = u32::try_from(self.crowd).expect("a crowd that can be counted");
        let all = self.on_board.acquire_many(crowd).await;
        all.expect("nobody closes it").forget();
        let response = Response::builder()
            .header(CONTENT_TYPE, "application/json")
            .header(CACHE_CONTROL, "public, max-age=3600")
            .header(ETAG, "\"one\"")
            .body(Full::new(self.body.clone()))
            .expect("the head is made of valid parts");
        Ok(response)
    }
}

/// Asks as one of a crowd, and reads the answer to its end.
async fn ask<S, B>(mut service: S, path: Arc<str>, origin: Arc<Origin>) -> CacheOutcome
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible>,
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let request = Request::get(&*path)
        .header(HOST, HeaderValue::from_static("shop.example"))
        .body(Full::default())
        .expect("the head is made of valid parts");
    // Polled in this order: the request has joined the flight by the time it is counted.
    let boarded = async { origin.on_board.add_permits(1) };
    let (Ok(response), ()) = join(service.call(request), boarded).await;
    let outcome = response.extensions().get().cloned();
    let body = response.into_body().collect().await;
    assert_eq!(body.expect("a body that ends").to_bytes().len(), BODY);
    outcome.expect("the layer says how it answered")
}

/// The time that `rounds` crowds took, each with a key of its own.
async fn crowds(crowd: usize, rounds: u64) -> Duration {
    let layer = CacheLayer::new(Memory::with_capacity(256 << 20));
    let origin = Origin::new(crowd);
    let answering = Arc::clone(&origin);
    let service = layer.layer(service_fn(move |_: Request<Full<Bytes>>| {
        Arc::clone(&answering).answer()
    }));
    let mut total = Duration::ZERO;
    for round in 0..rounds {
        let path: Arc<str> = format!("http://shop.example/items/{round}").into();
        let gate = Arc::new(Barrier::new(crowd + 1));
        let tasks: Vec<_> = (0..crowd)
            .map(|_| {
                let (gate, service) = (Arc::clone(&gate), service.clone());
                let (path, origin) = (Arc::clone(&path), Arc::clone(&origin));
                tokio::spawn(async move {
                    gate.wait().await;
                    ask(service, path, origin).await
                })
            })
            .collect();
        #[allow(
            clippy::disallowed_methods,
            reason = "a bench measures the machine's time"
        )]
        let start = Instant::now();
        gate.wait().await;
        let outcomes = black_box(join_all(tasks).await);
        total += start.elapsed();

        assert_eq!(origin.calls.swap(0, Ordering::Relaxed), 1);
        let collapsed = outcomes
            .into_iter()
            .map(|outcome| outcome.expect("no request panics"))
            .filter(|outcome| matches!(outcome, CacheOutcome::Collapsed { .. }));
        assert_eq!(collapsed.count(), crowd - 1);
        assert_eq!(layer.handle().drain(Duration::from_secs(10)).await, 0);
    }
    total
}

fn flight(criterion: &mut Criterion) {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime of two threads");
    let mut group = criterion.benchmark_group("flight");
    group.sampling_mode(SamplingMode::Flat);
    for crowd in CROWDS {
        group.throughput(Throughput::Elements(crowd as u64));
        group.bench_function(BenchmarkId::from_parameter(crowd), |bencher| {
            bencher.iter_custom(|rounds| {
                // In a task, so that the crowd has both threads and no third takes part.
                let all = runtime.spawn(crowds(crowd, rounds));
                runtime.block_on(all).expect("no round panics")
            });
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().sample_size(20).configure_from_args();
    flight(&mut criterion);
    criterion.final_summary();
}
