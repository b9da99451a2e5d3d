//! What a policy is asked about, and which of its answers counts.

use axum::{Router, body::Body, routing};
use cachewarp::FixedTtl;

use super::*;

/// Shortens to ten seconds until it knows whether the page changes, and to nothing less then.
#[derive(Clone, Default)]
struct Wary(Arc<Mutex<Vec<Duration>>>);

impl TtlPolicy for Wary {
    fn lifetime(&self, _: &Fetched<'_>) -> Option<Lifetime> {
        None
    }

    fn shorten(&self, fetched: &Fetched<'_>, explicit: Duration) -> Option<Duration> {
        assert_eq!(fetched.explicit, Some(explicit));
        self.0.lock().unwrap().push(explicit);
        match fetched.history.last() {
            Some((_, Change::Changed | Change::Unchanged)) => None,
            _ => Some(Duration::from_secs(10)),
        }
    }

    fn learns(&self) -> bool {
        true
    }
}

#[track_caller]
fn assert_hit(outcome: &CacheOutcome, expected: i64) {
    assert!(
        matches!(outcome, CacheOutcome::Hit { ttl, .. } if *ttl == expected),
        "{outcome:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_last_word_on_a_stated_lifetime_counts() {
    let policy = Wary::default();
    let service = over(policy.clone(), || stating(page(0), "max-age=1000"));
    ask(&service).await;
    assert_hit(&ask(&service).await, 10);
    sleep(Duration::from_secs(11)).await;
    ask(&service).await;
    assert_hit(&ask(&service).await, 1000);
    // Once at first, then at the head and after the body.
    let stated = Duration::from_secs(1000);
    assert_eq!(*policy.0.lock().unwrap(), [stated; 3]);
}

/// Says how long its response is fresh, where only the application sees it.
#[derive(Clone, Copy)]
struct FreshFor(u64);

struct ByExtension;

impl TtlPolicy for ByExtension {
    fn lifetime(&self, fetched: &Fetched<'_>) -> Option<Lifetime> {
        let told = fetched.response.extensions.get();
        let FreshFor(seconds) = told.copied().unwrap_or(FreshFor(1));
        Some(Lifetime::fresh_for(Duration::from_secs(seconds)))
    }

    fn learns(&self) -> bool {
        true
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_is_asked_about_the_same_response_whenever_it_is() {
    let service = over(ByExtension, || {
        let mut page = page(0);
        page.extensions_mut().insert(FreshFor(100));
        page
    });
    for _ in 0..3 {
        let fetched = ask(&service).await;
        assert!(matches!(fetched, CacheOutcome::Fetched { .. }));
        assert_hit(&ask(&service).await, 100);
        sleep(Duration::from_secs(101)).await;
    }
}

/// Leaves no response any lifetime.
struct Nothing;

impl TtlPolicy for Nothing {
    fn lifetime(&self, _: &Fetched<'_>) -> Option<Lifetime> {
        Some(Lifetime::fresh_for(Duration::ZERO))
    }

    fn shorten(&self, _: &Fetched<'_>, _: Duration) -> Option<Duration> {
        Some(Duration::ZERO)
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_left_no_lifetime_is_validated_on_each_request() {
    let window = Duration::from_secs(30);
    for directives in [
        "public",
        "max-age=0",
        "max-age=60",
        "max-age=60, stale-while-revalidate=30",
    ] {
        let service = with(
            |builder| {
                let builder = builder.ttl(Nothing).stale_while_revalidate(window);
                builder.stale_if_error(window)
            },
            || stating(tagged(0), directives),
        );
        ask(&service).await;
        for _ in 0..2 {
            sleep(Duration::from_secs(1)).await;
            let outcome = ask(&service).await;
            assert!(
                matches!(outcome, CacheOutcome::Revalidated { .. }),
                "{directives}: {outcome:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_path_is_the_one_that_was_asked_for_in_a_nested_router_too() {
    let fixed = FixedTtl::new(Duration::from_secs(1)).path("/static/", Duration::from_secs(3600));
    let closure = |fetched: &Fetched<'_>| {
        let nested = fetched.uri.path() == "/static/x" && fetched.request.uri.path() == "/x";
        nested.then(|| Lifetime::fresh_for(Duration::from_secs(3600)))
    };
    for layer in [builder().ttl(fixed), builder().ttl(closure)] {
        let handler = routing::get(async || "body");
        let inner = Router::new().route("/x", handler);
        let app = Router::new().nest("/static", inner.layer(layer.build().unwrap()));
        let mut outcomes = vec![];
        for _ in 0..2 {
            let request = Request::get("http://shop.example/static/x").body(Body::empty());
            let response = app.clone().oneshot(request.unwrap()).await.unwrap();
            let outcome = response.extensions().get::<CacheOutcome>();
            outcomes.push(outcome.cloned().unwrap());
            response.into_body().collect().await.unwrap();
        }
        assert_hit(&outcomes.remove(1), 3600);
    }
}

fn stating(mut page: Answer, directives: &'static str) -> Answer {
    let directives = HeaderValue::from_static(directives);
    page.headers_mut().insert(CACHE_CONTROL, directives);
    page
}
