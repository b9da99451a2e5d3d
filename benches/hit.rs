//! What a hit costs, beside the least code by hand that serves one (`floor.rs`).
//!
//! `cargo bench --bench hit` prints criterion's figures for each, and then the ratio of the two
//! measured in alternating rounds of one run, which is the figure that holds on a noisy machine.

#[path = "floor.rs"]
mod floor;
#[path = "peers/src/work.rs"]
#[allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "the public module of another crate, of which this one uses a part"
)]
mod work;

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use cachewarp::{AdaptiveTtl, BreakerConfig, CacheLayer, CacheService, Memory};
use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use tower::{Layer, Service};

use floor::{Floor, FloorKey, StringKey, VariedKey};
use work::{Asks, BODY, Origin, Resource};

/// Rounds of each contender, in turn.
const ROUNDS: usize = 31;

/// Hits in a round: whole cycles of every resource.
const HITS: usize = 60_000;

/// The origin as a service, and a count of its calls.
#[derive(Clone)]
struct Inner(Origin);

impl Service<Request<Full<Bytes>>> for Inner {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        ready(Ok(self.0.answer(&request).map(Full::new)))
    }
}

/// One side of the comparison.
struct Side<S> {
    asks: Asks,
    origin: Origin,
    serve: S,
}

impl<S: FnMut(Request<Full<Bytes>>)> Side<S> {
    fn hit(&mut self, count: usize) {
        for index in 0..count {
            (self.serve)(self.asks.request(index));
        }
    }
}

/// Reads a body that is there already.
fn drain(body: impl Body<Data = Bytes>) {
    let mut body = pin!(body);
    let mut read = 0;
    while let Poll::Ready(Some(Ok(frame))) = body
        .as_mut()
        .poll_frame(&mut Context::from_waker(Waker::noop()))
    {
        read += frame.data_ref().map_or(0, Bytes::len);
    }
    assert_eq!(read, BODY);
}

fn by_hand<K: FloorKey>(resource: Resource) -> Side<impl FnMut(Request<Full<Bytes>>)> {
    let origin = Origin::new(resource);
    let counted = origin.clone();
    let floor = Floor::<K, _>::new(move |request: &Request<Full<Bytes>>| counted.answer(request));
    let mut side = Side {
        asks: Asks::new(resource),
        origin,
        serve: move |request| drain(floor.call(request).into_body()),
    };
    side.hit(2 * resource.cycle());
    assert_eq!(side.origin.calls(), resource.cycle());
    side
}

fn layered(resource: Resource) -> Side<impl FnMut(Request<Full<Bytes>>)> {
    let layer = CacheLayer::new(Memory::with_capacity(64 << 20));
    through(&layer, resource)
}

/// A layer that counts requests, looks whether it is time for a refresh, and has a breaker.
fn learning(resource: Resource) -> Side<impl FnMut(Request<Full<Bytes>>)> {
    let layer = CacheLayer::builder()
        .memory(Memory::with_capacity(64 << 20))
        .ttl(AdaptiveTtl::default())
        .early_refresh(1.0)
        .breaker(BreakerConfig::default());
    through(&layer.build().expect("settings in range"), resource)
}

fn through(
    layer: &CacheLayer,
    resource: Resource,
) -> Side<impl FnMut(Request<Full<Bytes>>) + use<>> {
    let origin = Origin::new(resource);
    let mut service: CacheService<Inner> = layer.layer(Inner(origin.clone()));
    // Misses need a runtime; hits are there at once.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime on this thread");
    let asks = Asks::new(resource);
    runtime.block_on(async {
        for index in 0..resource.cycle() {
            let response = service.call(asks.request(index)).await;
            let Ok(response) = response;
            let body = http_body_util::BodyExt::collect(response.into_body()).await;
            assert_eq!(body.expect("a body that ends").to_bytes().len(), BODY);
        }
        assert_eq!(layer.handle().drain(Duration::from_secs(10)).await, 0);
    });
    let mut side = Side {
        asks,
        origin,
        serve: move |request| {
            let call = pin!(service.call(request));
            let poll = call.poll(&mut Context::from_waker(Waker::noop()));
            let Poll::Ready(Ok(response)) = poll else {
                panic!("a hit is ready at once");
            };
            drain(response.into_body());
        },
    };
    // Often enough for the heads that are kept ready.
    side.hit(6 * resource.cycle());
    assert_eq!(side.origin.calls(), resource.cycle());
    side
}

fn hit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hit");
    group.throughput(Throughput::Elements(1));
    measure(
        &mut group,
        "plain/floor",
        by_hand::<StringKey>(Resource::Plain),
    );
    measure(&mut group, "plain/cachewarp", layered(Resource::Plain));
    measure(
        &mut group,
        "varied/floor",
        by_hand::<VariedKey>(Resource::Varied),
    );
    measure(&mut group, "varied/cachewarp", layered(Resource::Varied));
    group.finish();
}

fn measure(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    mut side: Side<impl FnMut(Request<Full<Bytes>>)>,
) {
    let mut index = 0;
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            index += 1;
            (side.serve)(black_box(side.asks.request(index)));
        });
    });
}

/// The ratio of a hit on one side to one on the other: the median over alternating rounds.
fn compare(
    name: &str,
    (one, mut floor): (&str, Side<impl FnMut(Request<Full<Bytes>>)>),
    (other, mut layer): (&str, Side<impl FnMut(Request<Full<Bytes>>)>),
) {
    let mut rounds: Vec<(f64, f64)> = (0..ROUNDS)
        .map(|_| (timed(&mut floor), timed(&mut layer)))
        .collect();
    rounds.sort_by(|a, b| (a.1 / a.0).total_cmp(&(b.1 / b.0)));
    let (by_hand, layered) = rounds[ROUNDS / 2];
    println!(
        "{name}: {by_hand:.0} ns {one}, {layered:.0} ns {other}, ratio {:.3}",
        layered / by_hand
    );
}

/// Nanoseconds a hit, over one round.
fn timed(side: &mut Side<impl FnMut(Request<Full<Bytes>>)>) -> f64 {
    #[allow(
        clippy::disallowed_methods,
        reason = "a bench measures the machine's time"
    )]
    let start = Instant::now();
    side.hit(HITS);
    start.elapsed().as_nanos() as f64 / HITS as f64
}

fn main() {
    if std::env::var_os("RATIO_ONLY").is_none() {
        let mut criterion = Criterion::default().configure_from_args();
        hit(&mut criterion);
        criterion.final_summary();
    }
    compare(
        "plain",
        ("by hand", by_hand::<StringKey>(Resource::Plain)),
        ("through the layer", layered(Resource::Plain)),
    );
    compare(
        "varied",
        ("by hand", by_hand::<VariedKey>(Resource::Varied)),
        ("through the layer", layered(Resource::Varied)),
    );
    for (name, resource) in [("plain", Resource::Plain), ("varied", Resource::Varied)] {
        let with = "with AdaptiveTtl, early refresh and a breaker";
        compare(
            name,
            ("through the layer", layered(resource)),
            (with, learning(resource)),
        );
    }
}
