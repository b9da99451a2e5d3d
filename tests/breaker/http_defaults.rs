//! Over HTTP: what fails, and what a client gets that is refused.

use std::time::Duration;

use cachewarp::breaker::{BreakerConfig, BreakerLayer, BreakerOpen, BreakerState};
use http::{Request, Response, StatusCode, header::RETRY_AFTER};
use tokio::time::advance;
use tower::{Layer, Service, ServiceExt, service_fn};

/// Answers with the status that the request's body names, or with an error.
fn service(
    layer: &BreakerLayer<
        cachewarp::breaker::HttpClassify,
        cachewarp::breaker::HttpOnOpen,
        cachewarp::breaker::HttpAll,
    >,
) -> impl Service<Request<u16>, Response = Response<String>, Error = &'static str> + Clone {
    layer.layer(service_fn(async |request: Request<u16>| {
        let mut response = Response::new("from the service".to_owned());
        *response.status_mut() =
            StatusCode::from_u16(*request.body()).map_err(|_| "unreachable")?;
        Ok(response)
    }))
}

fn layer() -> BreakerLayer<
    cachewarp::breaker::HttpClassify,
    cachewarp::breaker::HttpOnOpen,
    cachewarp::breaker::HttpAll,
> {
    let breaker = BreakerConfig::builder()
        .consecutive_failures(1)
        .open_jitter(0.0);
    BreakerLayer::http().breaker(breaker.build().unwrap())
}

#[tokio::test(start_paused = true)]
async fn errors_and_three_statuses_are_failures() {
    for (status, fails) in [
        (200, false),
        (204, false),
        (301, false),
        (304, false),
        (400, false),
        (404, false),
        (429, false),
        (500, false),
        (501, false),
        (502, true),
        (503, true),
        (504, true),
        (505, false),
        (599, false),
        (0, true),
    ] {
        let layer = layer();
        let outcome = service(&layer).oneshot(Request::new(status)).await;
        assert_eq!(outcome.is_err(), status == 0);
        let opened = layer.handle().state("") == BreakerState::Open;
        assert_eq!(opened, fails, "{status}");
    }
}

/// One call of a path, which is answered with this status; 0 is an error.
async fn call(
    service: &(impl Service<Request<u16>, Response = Response<String>, Error = &'static str> + Clone),
    path: &str,
    status: u16,
) {
    let request = Request::get(path).body(status).unwrap();
    let _ = service.clone().oneshot(request).await;
}

#[tokio::test(start_paused = true)]
async fn failures_of_one_path_do_not_speak_for_the_others() {
    let paths = |paths: &'static [&'static str]| paths.iter().cycle().take(21);
    for (status, of, opens) in [
        (
            500,
            paths(&["/a", "/b", "/c", "/d", "/e", "/f", "/g"]),
            false,
        ),
        (502, paths(&["/a"]), false),
        (503, paths(&["/a", "/a?1", "/a?2", "/%61"]), false),
        (504, paths(&["/a", "/b", "/c"]), false),
        (
            503,
            paths(&["/a", "/b", "/c", "/d", "/e", "/f", "/g"]),
            true,
        ),
        // Errors always count. Seven in a row need three paths; without them it takes the share of
        // failures among twenty calls.
        (0, paths(&["/a", "/b", "/c"]), true),
        (0, paths(&["/a"]), true),
    ] {
        let layer = BreakerLayer::http();
        let service = service(&layer);
        for path in of.clone() {
            call(&service, path, status).await;
        }
        let opened = layer.handle().state("") == BreakerState::Open;
        assert_eq!(opened, opens, "{status} for {:?}", of.take(7));
    }
}

#[tokio::test(start_paused = true)]
async fn errors_of_one_path_count_and_are_not_seven_in_a_row() {
    let layer = BreakerLayer::http();
    let service = service(&layer);
    for _ in 0..19 {
        call(&service, "/a", 0).await;
    }
    assert_eq!(layer.handle().stats("").failed, 19);
    assert_eq!(layer.handle().state(""), BreakerState::Closed);
    call(&service, "/a", 0).await;
    assert_eq!(layer.handle().state(""), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn a_path_counts_again_after_ten_seconds() {
    let layer = BreakerLayer::http();
    let service = service(&layer);
    for (after, failed, ignored) in [(0, 1, 0), (9_999, 1, 1), (1, 2, 1), (5_000, 2, 2)] {
        advance(Duration::from_millis(after)).await;
        call(&service, "/a", 503).await;
        let stats = layer.handle().stats("");
        assert_eq!((stats.failed, stats.ignored), (failed, ignored), "{after}");
    }
}

#[tokio::test(start_paused = true)]
async fn five_hundred_counts_when_asked() {
    for (asked, paths, opens) in [
        (false, &["/a", "/b", "/c"][..], false),
        (true, &["/a", "/b", "/c"], true),
        (true, &["/a", "/b", "/a"], false),
        (true, &["/a", "/a", "/a"], false),
    ] {
        let breaker = BreakerConfig::builder().consecutive_failures(3);
        let breaker = if asked { breaker.count_500() } else { breaker };
        let layer = BreakerLayer::http().breaker(breaker.build().unwrap());
        let service = service(&layer);
        for path in paths {
            call(&service, path, 500).await;
        }
        let opened = layer.handle().state("") == BreakerState::Open;
        assert_eq!(opened, opens, "{paths:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_is_told_when_to_come_back() {
    let layer = layer();
    let service = service(&layer);
    let failed = service.clone().oneshot(Request::new(502)).await.unwrap();
    assert_eq!(failed.body(), "from the service");
    assert!(failed.extensions().get::<BreakerOpen>().is_none());
    for (later, expected, left) in [
        (0, "5", 5000),
        (1, "5", 4999),
        (1000, "4", 3999),
        (3998, "1", 1),
    ] {
        advance(Duration::from_millis(later)).await;
        let refused = service.clone().oneshot(Request::new(200)).await.unwrap();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.headers()[RETRY_AFTER], expected);
        assert_eq!(refused.body(), "");
        let reason = refused.extensions().get::<BreakerOpen>().unwrap();
        assert_eq!(reason.retry_after, Duration::from_millis(left));
        assert_eq!(&*reason.key, "");
    }
}
