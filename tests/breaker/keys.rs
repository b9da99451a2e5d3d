//! A circuit for each key, and no more of them than there may be.

use std::convert::Infallible;

use cachewarp::breaker::{BreakerHandle, BreakerLayer, BreakerState};
use http::{Request, Response, StatusCode};
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::support::{Asked, Do, Error, Outcome, Told, keyed, of, refusal, send};

async fn fail<S>(service: &S, key: &str)
where
    S: Service<Asked, Response = (), Error = Error> + Clone,
{
    let outcome: Outcome = send(service, of(key, Do::Fail)).await;
    assert_eq!(outcome, Err(Error::Failed));
}

async fn ask<S>(service: &S, key: &str)
where
    S: Service<Asked, Response = (), Error = Error> + Clone,
{
    assert_eq!(send(service, of(key, Do::Succeed)).await, Ok(()));
}

fn seen(handle: &BreakerHandle, expected: &[&str]) {
    assert_eq!(handle.keys(), expected);
}

#[tokio::test(start_paused = true)]
async fn one_key_does_not_suffer_from_another() {
    let layer = keyed(|it| it.consecutive_failures(1));
    let (service, handle) = (layer.layer(Told::default()), layer.handle());
    fail(&service, "a").await;
    assert!(!refusal(&service, of("a", Do::Succeed)).await.is_zero());
    ask(&service, "b").await;
    assert_eq!(handle.state("a"), BreakerState::Open);
    assert_eq!(handle.state("b"), BreakerState::Closed);
    assert_eq!(handle.stats("a").refused, 1);
    assert_eq!(handle.stats("b").succeeded, 1);
    match send(&service, of("a", Do::Succeed)).await {
        Err(Error::Refused(refused)) => assert_eq!(&*refused.key, "a"),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn at_the_bound_the_closed_key_asked_for_the_longest_ago_goes() {
    let layer = keyed(|it| it.consecutive_failures(1).max_keys(3));
    let (service, handle) = (layer.layer(Told::default()), layer.handle());
    fail(&service, "open").await;
    ask(&service, "a").await;
    ask(&service, "b").await;
    ask(&service, "a").await;
    ask(&service, "c").await;
    seen(&handle, &["a", "c", "open"]);
    ask(&service, "d").await;
    seen(&handle, &["c", "d", "open"]);
    assert_eq!(handle.state("open"), BreakerState::Open);
    // None of them closed: the least recently used goes all the same.
    for key in ["c", "d"] {
        fail(&service, key).await;
    }
    ask(&service, "e").await;
    seen(&handle, &["c", "d", "e"]);
    assert_eq!(handle.state("open"), BreakerState::Closed, "forgotten");
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_ordered_is_forgotten_last() {
    let layer = keyed(|it| it.consecutive_failures(1).max_keys(2));
    let (service, handle) = (layer.layer(Told::default()), layer.handle());
    handle.disable("held");
    for key in ["a", "b", "c"] {
        fail(&service, key).await;
        seen(&handle, &[key, "held"]);
    }
    handle.force_open("d");
    seen(&handle, &["d", "held"]);
    ask(&service, "e").await;
    seen(&handle, &["d", "e"]);
}

#[tokio::test(start_paused = true)]
async fn no_number_of_keys_is_too_many() {
    let layer = keyed(|it| it.consecutive_failures(1).max_keys(8));
    let (service, handle) = (layer.layer(Told::default()), layer.handle());
    for key in 0..1000 {
        fail(&service, &format!("key-{key}")).await;
        assert!(handle.keys().len() <= 8);
    }
}

#[tokio::test(start_paused = true)]
async fn to_ask_about_a_key_makes_no_circuit() {
    let layer = keyed(|it| it);
    let handle = layer.handle();
    assert_eq!(handle.state("a"), BreakerState::Closed);
    assert_eq!(handle.stats("a").window_calls, 0);
    handle.reset("a");
    seen(&handle, &[]);
}

#[tokio::test(start_paused = true)]
async fn hosts_have_circuits_of_their_own() {
    let layer = BreakerLayer::http().per_host();
    let service = layer.layer(service_fn(async |request: Request<()>| {
        let mut response = Response::new(());
        if request.uri().host() == Some("bad.example") {
            *response.status_mut() = StatusCode::BAD_GATEWAY;
        }
        Ok::<_, Infallible>(response)
    }));
    for host in ["bad.example", "good.example"] {
        for path in 0..7 {
            let uri = format!("http://{host}/{path}");
            let request = Request::get(uri).body(()).unwrap();
            service.clone().oneshot(request).await.unwrap();
        }
    }
    let handle = layer.handle();
    assert_eq!(handle.state("bad.example"), BreakerState::Open);
    assert_eq!(handle.state("good.example"), BreakerState::Closed);
    seen(&handle, &["bad.example", "good.example"]);
}
