//! What a breaker adds to a call that it lets through.
//!
//! `cargo bench --bench breaker` prints nanoseconds for the bare service and for the same one behind
//! a closed breaker, measured in alternating rounds of one run: with one circuit, with one for each
//! host, and with one circuit that two threads share. Rounds are short, and the fastest of each
//! counts: it is the one that nothing else on the machine disturbed.

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    hint::black_box,
    pin::pin,
    sync::Barrier,
    task::{Context, Poll, Waker},
    thread,
    time::Instant,
};

use cachewarp::breaker::{BreakerLayer, BreakerState};
use http::{Request, Response};
use tower::{Layer, Service};

/// Rounds of each contender, in turn.
const ROUNDS: usize = 301;

/// Calls in a round.
const CALLS: usize = 10_000;

/// Answers at once.
#[derive(Clone)]
struct Inner;

impl Service<Request<()>> for Inner {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        black_box(request);
        ready(Ok(Response::new(())))
    }
}

/// Calls a service `calls` times; returns nanoseconds a call.
fn timed<S>(service: &mut S, calls: usize) -> f64
where
    S: Service<Request<()>, Response = Response<()>, Error = Infallible>,
{
    let mut cx = Context::from_waker(Waker::noop());
    let uri = http::Uri::from_static("http://a.example/");
    #[allow(
        clippy::disallowed_methods,
        reason = "a bench measures the machine's time"
    )]
    let start = Instant::now();
    for _ in 0..calls {
        assert!(service.poll_ready(&mut cx).is_ready());
        let mut request = Request::new(());
        *request.uri_mut() = uri.clone();
        let call = pin!(service.call(request));
        let Poll::Ready(Ok(response)) = call.poll(&mut cx) else {
            panic!("the service answers at once");
        };
        assert_eq!(black_box(response).status(), 200);
    }
    start.elapsed().as_nanos() as f64 / calls as f64
}

/// The fastest rounds, and what the breaker adds to them.
fn compare<S>(name: &str, mut layered: S)
where
    S: Service<Request<()>, Response = Response<()>, Error = Infallible>,
{
    let (mut bare, mut behind) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..ROUNDS {
        bare = bare.min(timed(&mut Inner, CALLS));
        behind = behind.min(timed(&mut layered, CALLS));
    }
    println!(
        "{name}: {bare:.0} ns bare, {behind:.0} ns behind the breaker, {:.0} ns more",
        behind - bare
    );
}

/// The same through clones of one service, each in a thread of its own, all at once.
fn contended<S>(name: &str, threads: usize, layered: &S)
where
    S: Service<Request<()>, Response = Response<()>, Error = Infallible> + Clone + Send,
{
    let start = Barrier::new(threads);
    let mut figures: Vec<f64> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|_| {
                let (mut service, start) = (layered.clone(), &start);
                scope.spawn(move || {
                    start.wait();
                    timed(&mut service, CALLS * 50)
                })
            })
            .collect();
        let ended = running.into_iter().map(thread::ScopedJoinHandle::join);
        ended.map(|end| end.expect("no panic")).collect()
    });
    figures.sort_by(f64::total_cmp);
    let slowest = figures.last().copied().unwrap_or_default();
    println!("{name}: {slowest:.0} ns a call in the slower of {threads} threads");
}

fn main() {
    let layer = BreakerLayer::http();
    compare("one circuit", layer.layer(Inner));
    let per_host = BreakerLayer::http().per_host();
    compare("one circuit a host", per_host.layer(Inner));
    contended("one circuit, shared", 2, &layer.layer(Inner));
    contended("no breaker", 2, &Inner);
    for (handle, key) in [(layer.handle(), ""), (per_host.handle(), "a.example")] {
        assert_eq!(handle.state(key), BreakerState::Closed);
        assert!(handle.stats(key).succeeded >= (ROUNDS * CALLS) as u64);
    }
}
