//! When the breaker is ready, over services that have to be ready first.

use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use cachewarp::breaker::{BreakerConfig, BreakerLayer, BreakerOpen, BreakerState, Verdict};
use futures_util::future::join_all;
use tokio::{sync::oneshot, time::advance};
use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok, task};
use tower::{
    BoxError, Layer, Service, ServiceExt,
    buffer::Buffer,
    limit::ConcurrencyLimit,
    load_shed::{LoadShed, error::Overloaded},
};
use tower_test::{assert_request_eq, mock};

use crate::support::{Do, Error, Told, asked, layer, refusal};

type Judge = fn(&Result<&'static str, BoxError>, Duration) -> Verdict;
type Answer = fn(BreakerOpen) -> Result<&'static str, BoxError>;

/// Opens at the first error, over a service of tower.
fn over_tower() -> BreakerLayer<Judge, Answer> {
    let judge: Judge = |outcome, _| match outcome {
        Ok(_) => Verdict::Success,
        Err(_) => Verdict::Failure,
    };
    let answer: Answer = |_| Err("refused".into());
    let breaker = BreakerConfig::builder()
        .consecutive_failures(1)
        .open_jitter(0.0);
    BreakerLayer::new(judge, answer).breaker(breaker.build().unwrap())
}

#[tokio::test(start_paused = true)]
async fn it_is_ready_when_the_inner_service_is() {
    let (mut service, mut handle) = mock::spawn_layer(over_tower());
    handle.allow(0);
    assert_pending!(service.poll_ready());
    handle.allow(1);
    assert!(service.is_woken());
    assert_ready_ok!(service.poll_ready());
    let mut call = task::spawn(service.call("one"));
    assert_request_eq!(handle, "one").send_response("answer");
    assert_eq!(assert_ready_ok!(call.poll()), "answer");
    assert_pending!(service.poll_ready());
}

#[tokio::test(start_paused = true)]
async fn while_it_refuses_it_needs_nobody_to_be_ready() {
    let layer = over_tower();
    let (mut service, mut inner) = mock::spawn_layer(layer.clone());
    inner.allow(0);
    layer.handle().force_open("");
    assert_ready_ok!(service.poll_ready());
    let mut call = task::spawn(service.call("one"));
    assert_eq!(assert_ready_err!(call.poll()).to_string(), "refused");
    layer.handle().reset("");
    assert_pending!(service.poll_ready());
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_is_woken_when_it_opens() {
    let layer = over_tower();
    let (mut service, mut inner) = mock::spawn_layer(layer.clone());
    inner.allow(0);
    assert_pending!(service.poll_ready::<&str>());
    layer.handle().force_open("");
    assert!(service.is_woken());
    assert_ready_ok!(service.poll_ready());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_passes_after_all_waits_for_an_instance_of_its_own() {
    let layer = over_tower();
    let (mut service, mut inner) = mock::spawn_layer(layer.clone());
    inner.allow(0);
    layer.handle().force_open("");
    assert_ready_ok!(service.poll_ready());
    layer.handle().reset("");
    let mut call = task::spawn(service.call("late"));
    assert_pending!(call.poll());
    inner.allow(1);
    assert!(call.is_woken());
    assert_pending!(call.poll());
    assert_request_eq!(inner, "late").send_response("answer");
    assert_eq!(assert_ready_ok!(call.poll()), "answer");
}

#[tokio::test(start_paused = true)]
async fn an_error_of_readiness_goes_to_the_caller_and_counts() {
    let layer = over_tower();
    let (mut service, mut inner) = mock::spawn_layer(layer.clone());
    inner.send_error("closed");
    let error = assert_ready_err!(service.poll_ready::<&str>());
    assert_eq!(error.to_string(), "closed");
    assert_eq!(layer.handle().state(""), BreakerState::Open);
    assert_eq!(layer.handle().stats("").failed, 1);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_readiness_ends_a_probe() {
    let layer = over_tower();
    let (inner, handle) = mock::pair::<&str, &str>();
    drop(handle);
    let closed = layer.layer(inner);
    assert!(closed.clone().oneshot("one").await.is_err());
    let refused = closed.clone().oneshot("two").await.unwrap_err();
    assert_eq!(refused.to_string(), "refused");
    advance(Duration::from_secs(5)).await;
    let error = closed.clone().oneshot("three").await.unwrap_err();
    assert_ne!(error.to_string(), "refused");
    assert_eq!(layer.handle().stats("").openings, 2);
}

#[tokio::test(start_paused = true)]
async fn behind_it_a_limit_still_limits() {
    let told = Told::default();
    let limited = layer(|it| it).layer(ConcurrencyLimit::new(told.clone(), 1));
    let (tell, wait) = oneshot::channel();
    let held = tokio::spawn(limited.clone().oneshot(asked(Do::Wait(wait))));
    tokio::task::yield_now().await;
    let mut next = limited.clone();
    let mut ready = task::spawn(next.ready());
    assert_pending!(ready.poll());
    assert_eq!(told.in_flight.load(SeqCst), 1);
    tell.send(()).unwrap();
    held.await.unwrap().unwrap();
    assert!(ready.is_woken());
    assert!(assert_ready!(ready.poll()).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_held_limit_holds_nobody_who_is_refused() {
    let layer = layer(|it| it);
    let limited = layer.layer(ConcurrencyLimit::new(Told::default(), 1));
    let (tell, wait) = oneshot::channel();
    let held = tokio::spawn(limited.clone().oneshot(asked(Do::Wait(wait))));
    tokio::task::yield_now().await;
    let mut waiting = task::spawn(limited.clone().oneshot(asked(Do::Succeed)));
    assert_pending!(waiting.poll());
    layer.handle().force_open("");
    assert!(waiting.is_woken());
    assert!(matches!(
        assert_ready!(waiting.poll()),
        Err(Error::Refused(_))
    ));
    refusal(&limited, asked(Do::Succeed)).await;
    tell.send(()).unwrap();
    held.await.unwrap().unwrap();
}

/// A service that was ready holds its place in the limit until it is called or dropped.
#[tokio::test(start_paused = true)]
async fn a_refused_call_gives_its_place_in_a_limit_back() {
    let layer = layer(|it| it);
    let limit = Arc::new(tokio::sync::Semaphore::new(1));
    let limited = ConcurrencyLimit::with_semaphore(Told::default(), Arc::clone(&limit));
    let mut service = layer.layer(limited);
    service.ready().await.unwrap();
    assert_eq!(limit.available_permits(), 0);
    layer.handle().force_open("");
    let refused = service.call(asked(Do::Succeed)).await;
    assert!(matches!(refused, Err(Error::Refused(_))));
    assert_eq!(limit.available_permits(), 1);
    layer.handle().reset("");
    service.ready().await.unwrap();
    assert_eq!(service.call(asked(Do::Succeed)).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn over_a_buffer_every_call_is_answered() {
    let layer = over_tower();
    let (inner, mut handle) = mock::pair::<&str, &str>();
    let buffered = layer.layer(Buffer::new(inner, 1));
    let calls: Vec<_> = (0..10)
        .map(|_| tokio::spawn(buffered.clone().oneshot("one")))
        .collect();
    for _ in 0..10 {
        assert_request_eq!(handle, "one").send_response("answer");
    }
    for answer in join_all(calls).await {
        assert_eq!(answer.unwrap().unwrap(), "answer");
    }
    let failing = tokio::spawn(buffered.clone().oneshot("two"));
    assert_request_eq!(handle, "two").send_error("broken");
    assert!(failing.await.unwrap().is_err());
    // The buffer's only slot is not lost to those that are refused.
    for _ in 0..5 {
        let refused = buffered.clone().oneshot("three").await;
        assert_eq!(refused.unwrap_err().to_string(), "refused");
    }
    advance(Duration::from_secs(5)).await;
    let probe = tokio::spawn(buffered.clone().oneshot("four"));
    assert_request_eq!(handle, "four").send_response("answer");
    assert_eq!(probe.await.unwrap().unwrap(), "answer");
}

#[tokio::test(start_paused = true)]
async fn load_is_shed_outside_of_it_as_without_it() {
    let layer = over_tower();
    let (inner, mut handle) = mock::pair::<&str, &str>();
    let shedding = LoadShed::new(layer.layer(ConcurrencyLimit::new(inner, 1)));
    let mut held = task::spawn(shedding.clone().oneshot("one"));
    assert_pending!(held.poll());
    let shed = shedding.clone().oneshot("two").await.unwrap_err();
    assert!(shed.is::<Overloaded>());
    assert_request_eq!(handle, "one").send_response("answer");
    assert_eq!(assert_ready_ok!(held.poll()), "answer");
    assert_eq!(layer.handle().state(""), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn load_that_is_shed_inside_of_it_is_a_failure() {
    let layer = over_tower();
    let (inner, mut handle) = mock::pair::<&str, &str>();
    let shedding = layer.layer(LoadShed::new(ConcurrencyLimit::new(inner, 1)));
    let mut held = task::spawn(shedding.clone().oneshot("one"));
    assert_pending!(held.poll());
    let shed = shedding.clone().oneshot("two").await.unwrap_err();
    assert!(shed.is::<Overloaded>());
    assert_eq!(layer.handle().state(""), BreakerState::Open);
    let refused = shedding.clone().oneshot("three").await.unwrap_err();
    assert_eq!(refused.to_string(), "refused");
    assert_request_eq!(handle, "one").send_response("answer");
    assert_eq!(assert_ready_ok!(held.poll()), "answer");
}
