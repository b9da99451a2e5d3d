//! Crowds on a node whose memory lacks what the shared tier has: one fetch for all, and stale
//! answers for all where they are allowed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use cachewarp::{BreakerConfig, CacheBuilder, CacheOutcome};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::{
    network::Network,
    node::{Node, Seen, begin, get_with, request},
    origin::{Origin, status},
};

const CROWD: usize = 100;

/// Longer than any wait but one for the origin.
const A_WHILE: Duration = Duration::from_millis(1500);

/// An origin whose answers say this in `Cache-Control`, and what makes it answer 503.
pub(super) fn switchable(directives: &'static str) -> (Origin, Arc<AtomicBool>) {
    let down = Arc::new(AtomicBool::new(false));
    let is_down = Arc::clone(&down);
    let origin = Origin::new(move |_| {
        if is_down.load(Ordering::SeqCst) {
            return status(StatusCode::SERVICE_UNAVAILABLE);
        }
        let response = Response::builder().header("cache-control", directives);
        response.body(Full::from("stored")).unwrap()
    });
    (origin, down)
}

/// A node that has nothing in memory, and a shared tier that has `/a` since two seconds.
struct Cold {
    node: Node,
    origin: Origin,
    down: Arc<AtomicBool>,
    /// Calls of the origin so far.
    before: usize,
    _other: Node,
}

impl Cold {
    async fn with(
        directives: &'static str,
        settings: impl FnOnce(CacheBuilder) -> CacheBuilder,
    ) -> Self {
        let network = Network::new();
        let (origin, down) = switchable(directives);
        let [other] = network.nodes(&origin).await;
        let node = network.over(&origin, &network.server.node(), settings);
        node.is_connected().await;
        other.get("/a").await;
        other.settle().await;
        sleep(Duration::from_millis(2100)).await;
        Self {
            node,
            before: origin.calls(),
            origin,
            down,
            _other: other,
        }
    }

    async fn new(directives: &'static str) -> Self {
        Self::with(directives, |builder| builder).await
    }

    fn calls(&self) -> usize {
        self.origin.calls() - self.before
    }

    fn crowd(&self, request: impl Fn() -> Request<Full<bytes::Bytes>>) -> Vec<JoinHandle<Seen>> {
        (0..CROWD).map(|_| begin(&self.node, request())).collect()
    }

    /// Sends a crowd while the origin is held for a while. Returns the calls of the origin by then.
    async fn held(&self, crowd: Vec<JoinHandle<Seen>>) -> usize {
        sleep(A_WHILE).await;
        let calls = self.calls();
        self.origin.open();
        let opened = Instant::now();
        for seen in all(crowd).await {
            assert_eq!(seen.status, StatusCode::OK, "{seen:?}");
        }
        assert_eq!(opened.elapsed(), Duration::ZERO, "nobody waits for more");
        calls
    }
}

async fn all(crowd: Vec<JoinHandle<Seen>>) -> Vec<Seen> {
    let mut seen = Vec::with_capacity(crowd.len());
    for one in crowd {
        seen.push(one.await.unwrap());
    }
    seen
}

fn get() -> Request<Full<bytes::Bytes>> {
    request(Method::GET, "/a")
}

#[tokio::test(start_paused = true)]
async fn when_the_origin_is_down_all_get_the_shared_response() {
    let cold = Cold::new("max-age=1, stale-if-error=3600").await;
    cold.down.store(true, Ordering::SeqCst);
    let began = Instant::now();
    for seen in all(cold.crowd(get)).await {
        assert_eq!(seen.status, StatusCode::OK, "{seen:?}");
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(cold.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn while_the_breaker_is_open_all_get_the_shared_response() {
    let settings = |builder: CacheBuilder| builder.breaker(BreakerConfig::default());
    let cold = Cold::with("max-age=1, stale-if-error=3600", settings).await;
    cold.node.layer.breaker_handle().unwrap().force_open("");
    for seen in all(cold.crowd(get)).await {
        assert_eq!(seen.status, StatusCode::OK, "{seen:?}");
    }
    assert_eq!(cold.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_crowd_after_the_window_waits_for_the_refresh() {
    let cold = Cold::new("max-age=1, stale-while-revalidate=3").await;
    cold.origin.close();
    let stale = cold.node.get("/a").await;
    assert!(
        matches!(stale.outcome, CacheOutcome::Stale { .. }),
        "{stale:?}"
    );
    cold.origin.called(cold.before + 1).await;
    sleep(Duration::from_secs(4)).await;
    let calls = cold.held(cold.crowd(get)).await;
    assert_eq!(calls, 1);
}

#[tokio::test(start_paused = true)]
async fn a_crowd_behind_one_that_takes_stale_is_one_fetch() {
    let cold = Cold::new("max-age=1").await;
    cold.origin.close();
    let mut crowd = vec![begin(
        &cold.node,
        get_with("/a", "cache-control", "max-stale"),
    )];
    crowd.extend(cold.crowd(get));
    let calls = cold.held(crowd).await;
    assert_eq!(calls, 1);
}

#[tokio::test(start_paused = true)]
async fn a_crowd_that_insists_behind_one_that_does_not_is_one_fetch() {
    let cold = Cold::new("max-age=100").await;
    cold.origin.close();
    let mut crowd = vec![begin(&cold.node, get())];
    crowd.extend(cold.crowd(|| get_with("/a", "cache-control", "no-cache")));
    let calls = cold.held(crowd).await;
    assert_eq!(calls, 1);
}

#[tokio::test(start_paused = true)]
async fn when_the_origin_is_slow_all_get_the_shared_response() {
    const SOFT: Duration = Duration::from_millis(100);
    let settings = |builder: CacheBuilder| builder.soft_timeout(SOFT);
    let cold = Cold::with("max-age=1, stale-if-error=3600", settings).await;
    cold.origin.close();
    let began = Instant::now();
    for seen in all(cold.crowd(get)).await {
        assert_eq!(seen.status, StatusCode::OK, "{seen:?}");
    }
    // The origin has yet to answer.
    assert_eq!(began.elapsed(), SOFT);
    assert_eq!(cold.calls(), 1);
    cold.origin.open();
}
