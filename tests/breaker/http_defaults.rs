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
async fn errors_and_four_statuses_are_failures() {
    for (status, fails) in [
        (200, false),
        (204, false),
        (301, false),
        (304, false),
        (400, false),
        (404, false),
        (429, false),
        (500, true),
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
