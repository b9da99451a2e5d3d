//! What an adaptive policy learns from each fetch, and the lifetimes it then gives.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use cachewarp::{
    AdaptiveTtl, CacheBuilder, CacheLayer, CacheOutcome, Change, Fetched, History, Lifetime,
    Memory, TtlPolicy,
};
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{CACHE_CONTROL, IF_NONE_MATCH},
};
use http_body_util::{BodyExt, Empty, Full};
use tokio::time::{Instant, sleep};
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::origin::{Standing, get};

mod answers;

type Bytes = bytes::Bytes;

/// Gives ten seconds, and records what it is given.
#[derive(Clone, Default)]
struct Listening(Arc<Mutex<Vec<History>>>);

impl TtlPolicy for Listening {
    fn lifetime(&self, fetched: &Fetched<'_>) -> Option<Lifetime> {
        self.0.lock().unwrap().push(*fetched.history);
        Some(Lifetime::fresh_for(Duration::from_secs(10)))
    }

    fn shorten(&self, fetched: &Fetched<'_>, explicit: Duration) -> Option<Duration> {
        assert_eq!(fetched.explicit, Some(explicit));
        self.0.lock().unwrap().push(*fetched.history);
        Some(explicit / 2)
    }

    fn learns(&self) -> bool {
        true
    }
}

impl Listening {
    fn heard(&self) -> History {
        *self.0.lock().unwrap().last().expect("it was asked")
    }

    fn last(&self) -> (u64, Change) {
        let (interval, change) = self.heard().last().expect("there was one before");
        (interval.as_secs(), change)
    }
}

type Answer = Response<Full<Bytes>>;

/// A cache with this policy over an origin with one page, which may answer 304.
fn over(
    policy: impl TtlPolicy,
    page: impl Fn() -> Answer + Clone + Send + Sync + 'static,
) -> impl Service<
    Request<Empty<Bytes>>,
    Response = Response<impl http_body::Body<Data = Bytes, Error = impl std::fmt::Debug>>,
    Error = std::convert::Infallible,
> + Clone {
    with(|builder| builder.ttl(policy), page)
}

/// The same with other settings beside.
fn with(
    settings: impl FnOnce(CacheBuilder) -> CacheBuilder,
    page: impl Fn() -> Answer + Clone + Send + Sync + 'static,
) -> impl Service<
    Request<Empty<Bytes>>,
    Response = Response<impl http_body::Body<Data = Bytes, Error = impl std::fmt::Debug>>,
    Error = std::convert::Infallible,
> + Clone {
    let layer = settings(builder()).build().unwrap();
    layer.layer(service_fn(move |request: Request<Empty<Bytes>>| {
        let mut page = page();
        let asked = request.headers().get(IF_NONE_MATCH);
        if asked.is_some() && asked == page.headers().get("etag") {
            *page.status_mut() = StatusCode::NOT_MODIFIED;
            *page.body_mut() = Full::default();
        }
        async move {
            sleep(Duration::from_millis(50)).await;
            Ok(page)
        }
    }))
}

fn builder() -> CacheBuilder {
    let builder = CacheLayer::builder().memory(Memory::with_capacity(1 << 20));
    builder.clock(Standing::default())
}

async fn ask<S, B>(service: &S) -> CacheOutcome
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>> + Clone,
    S::Error: std::fmt::Debug,
    B: http_body::Body<Error: std::fmt::Debug>,
{
    send(service, get("/")).await
}

async fn send<S, B>(service: &S, request: Request<Empty<Bytes>>) -> CacheOutcome
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>> + Clone,
    S::Error: std::fmt::Debug,
    B: http_body::Body<Error: std::fmt::Debug>,
{
    let response = service.clone().oneshot(request).await.unwrap();
    let outcome = response.extensions().get().cloned().unwrap();
    response.into_body().collect().await.unwrap();
    outcome
}

fn page(body: u64) -> Answer {
    Response::new(Full::from(body.to_string()))
}

fn tagged(tag: u64) -> Answer {
    let mut page = page(tag);
    let tag = format!("\"{tag}\"").parse().unwrap();
    page.headers_mut().insert("etag", tag);
    page
}

fn dated(body: u64) -> Answer {
    let mut page = page(body);
    let date = HeaderValue::from_static("Sat, 01 Jan 2000 00:00:00 GMT");
    page.headers_mut().insert("last-modified", date);
    page
}

/// A number that tests change.
#[derive(Clone, Default)]
struct Version(Arc<Mutex<u64>>);

impl Version {
    fn get(&self) -> u64 {
        *self.0.lock().unwrap()
    }

    fn change(&self) {
        *self.0.lock().unwrap() += 1;
    }
}

#[tokio::test(start_paused = true)]
async fn validators_and_bodies_tell_whether_it_changed() {
    for make in [tagged as fn(u64) -> Answer, page] {
        let (policy, version) = (Listening::default(), Version::default());
        let shown = version.clone();
        let service = over(policy.clone(), move || make(shown.get()));
        ask(&service).await;
        assert_eq!(policy.heard().fetches(), 0);
        let cost = policy.heard().cost().expect("it was fetched");
        assert_eq!(cost.as_millis(), 50);
        for (round, changes) in [false, false, true, false].into_iter().enumerate() {
            for _ in 0..5 {
                assert!(matches!(ask(&service).await, CacheOutcome::Hit { .. }));
            }
            sleep(Duration::from_secs(20)).await;
            if changes {
                version.change();
            }
            ask(&service).await;
            let change = match changes {
                true => Change::Changed,
                false => Change::Unchanged,
            };
            assert_eq!(policy.last(), (20, change), "round {round}");
            assert_eq!(policy.heard().fetches() as usize, round + 1);
        }
        // Five hits and the one that came late, in each twenty seconds.
        let rate = policy.heard().request_rate().unwrap();
        assert!((rate - 0.3).abs() < 0.01, "{rate}");
        let runs: Vec<_> = policy.heard().runs().map(|(_, change)| change).collect();
        assert_eq!(
            runs,
            [Change::Unchanged, Change::Changed, Change::Unchanged]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn another_status_is_a_change_whatever_else_is_the_same() {
    for make in [dated as fn(u64) -> Answer, page] {
        for (before, after) in [(200, 404), (404, 200), (200, 200)] {
            let (policy, version) = (Listening::default(), Version::default());
            let shown = version.clone();
            let service = over(policy.clone(), move || {
                let mut page = make(0);
                let status = if shown.get() == 0 { before } else { after };
                *page.status_mut() = StatusCode::from_u16(status).unwrap();
                page
            });
            ask(&service).await;
            sleep(Duration::from_secs(20)).await;
            version.change();
            ask(&service).await;
            let change = match before == after {
                true => Change::Unchanged,
                false => Change::Changed,
            };
            assert_eq!(policy.last(), (20, change), "{before} {after}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_between_two_fetches_leaves_the_interval_as_it_is() {
    let seconds = |seconds| sleep(Duration::from_secs(seconds));
    for (make, heads) in [
        (tagged as fn(u64) -> Answer, false),
        (tagged, true),
        (page, false),
    ] {
        let policy = Listening::default();
        let service = over(policy.clone(), move || make(0));
        ask(&service).await;
        seconds(6).await;
        if heads {
            let mut head = get("/");
            *head.method_mut() = Method::HEAD;
            let no_cache = HeaderValue::from_static("no-cache");
            head.headers_mut().insert(CACHE_CONTROL, no_cache);
            send(&service, head).await;
        }
        seconds(6).await;
        if heads {
            // Stored anew, with a later arrival.
            let hit = ask(&service).await;
            assert!(matches!(hit, CacheOutcome::Hit { .. }), "{hit:?}");
        }
        seconds(8).await;
        ask(&service).await;
        assert_eq!(policy.last(), (20, Change::Unchanged), "{heads}");
        assert_eq!(policy.heard().fetches(), 1, "{heads}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stated_lifetime_can_be_shortened_and_nothing_else() {
    let stated = |value: &'static str| {
        move || {
            let mut page = page(0);
            let value = value.parse().unwrap();
            page.headers_mut().insert(CACHE_CONTROL, value);
            page
        }
    };
    let policy = Listening::default();
    let service = over(policy.clone(), stated("max-age=60"));
    ask(&service).await;
    assert!(matches!(
        ask(&service).await,
        CacheOutcome::Hit { ttl: 30, .. }
    ));
    // What must not be stored is none of its business.
    for never in ["no-store", "private", "no-cache, max-age=60", "max-age=0"] {
        let policy = Listening::default();
        let service = over(policy.clone(), stated(never));
        ask(&service).await;
        let outcome = ask(&service).await;
        assert!(
            !matches!(outcome, CacheOutcome::Hit { .. }),
            "{never}: {outcome:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_for_a_policy_that_does_not_learn() {
    let told = Arc::new(Mutex::new(vec![]));
    let heard = Arc::clone(&told);
    let policy = move |fetched: &Fetched<'_>| {
        heard.lock().unwrap().push(*fetched.history);
        Some(Lifetime::fresh_for(Duration::from_secs(10)))
    };
    let service = over(policy, || page(0));
    for _ in 0..3 {
        ask(&service).await;
        sleep(Duration::from_secs(20)).await;
    }
    assert_eq!(*told.lock().unwrap(), [History::new(); 3]);
}

/// Calls of the origin in ten minutes of one request a second.
async fn calls_under_adaptive(changes_every: Option<Duration>) -> u64 {
    let began = Instant::now();
    let calls = Version::default();
    let counted = calls.clone();
    let service = over(AdaptiveTtl::default(), move || {
        counted.change();
        let version = changes_every.map_or(0.0, |every| {
            (began.elapsed().as_secs_f64() / every.as_secs_f64()).floor()
        });
        page(version as u64)
    });
    for _ in 0..600 {
        ask(&service).await;
        sleep(Duration::from_secs(1)).await;
    }
    calls.get()
}

#[tokio::test(start_paused = true)]
async fn what_never_changes_is_fetched_ever_less_and_what_flips_nearly_always() {
    let never = calls_under_adaptive(None).await;
    let seldom = calls_under_adaptive(Some(Duration::from_secs(60))).await;
    let always = calls_under_adaptive(Some(Duration::from_secs(2))).await;
    assert!(never < 30, "{never}");
    assert!(
        never < seldom && seldom < always,
        "{never} {seldom} {always}"
    );
    assert!(always > 250, "{always}");
}
