//! The permits of a half-open breaker, whatever becomes of the calls that hold them.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use cachewarp::breaker::{BreakerHandle, BreakerState};
use futures_util::future::join_all;
use tokio::{sync::oneshot, time::advance};
use tower::Service;

use crate::support::{
    Do, Error, Guarded, Told, asked, fail, guarded, layer, refusal, send, succeed,
};

/// Half-open with the next call, two permits, three successes to close.
async fn ready_to_probe() -> (Guarded, Told, BreakerHandle) {
    let layer = layer(|it| it.consecutive_failures(1).half_open_permits(2));
    let ((service, told), handle) = (guarded(&layer), layer.handle());
    fail(&service, 1).await;
    advance(Duration::from_secs(5)).await;
    (service, told, handle)
}

#[tokio::test(start_paused = true)]
async fn a_crowd_gets_no_more_probes_than_permits() {
    let (service, told, _) = ready_to_probe().await;
    let mut tells = Vec::new();
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let (tell, wait) = oneshot::channel();
            tells.push(tell);
            let service = service.clone();
            tokio::spawn(async move { send(&service, asked(Do::Wait(wait))).await })
        })
        .collect();
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(told.in_flight.load(SeqCst), 2);
    for tell in tells {
        // Those that were refused no longer listen.
        let _ = tell.send(());
    }
    let outcomes = join_all(calls).await;
    let passed = outcomes.iter().filter(|it| matches!(it, Ok(Ok(()))));
    assert_eq!(passed.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_dropped_gives_its_permit_back() {
    let (mut service, _, handle) = ready_to_probe().await;
    for round in 0..20 {
        let calls: Vec<_> = (0..2)
            .map(|_| {
                let (tell, wait) = oneshot::channel();
                (tell, service.call(asked(Do::Wait(wait))))
            })
            .collect();
        let wait = refusal(&service, asked(Do::Succeed)).await;
        assert_eq!(wait, Duration::ZERO, "round {round}");
        // Never polled, and polled once.
        for (index, (_tell, call)) in calls.into_iter().enumerate() {
            let mut call = tokio_test::task::spawn(call);
            if index == 1 {
                assert!(call.poll().is_pending());
            }
        }
    }
    assert_eq!(handle.state(""), BreakerState::HalfOpen);
    succeed(&service, 3).await;
    assert_eq!(handle.state(""), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_ignored_gives_its_permit_back() {
    let (service, _, handle) = ready_to_probe().await;
    for _ in 0..20 {
        let ignored = send(&service, asked(Do::Shrug)).await;
        assert_eq!(ignored, Err(Error::Ignored));
    }
    assert_eq!(handle.state(""), BreakerState::HalfOpen);
    assert_eq!(handle.stats("").ignored, 20);
    succeed(&service, 3).await;
    assert_eq!(handle.state(""), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_panics_has_failed() {
    let (service, told, handle) = ready_to_probe().await;
    let probing = service.clone();
    let call = tokio::spawn(async move { send(&probing, asked(Do::Panic)).await });
    assert!(call.await.unwrap_err().is_panic());
    assert_eq!(handle.state(""), BreakerState::Open);
    assert_eq!(told.in_flight.load(SeqCst), 0);
    advance(Duration::from_secs(10)).await;
    succeed(&service, 3).await;
    assert_eq!(handle.state(""), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_hangs_does_not_keep_it_half_open() {
    let (mut service, _, handle) = ready_to_probe().await;
    let hung: Vec<_> = (0..2)
        .map(|_| {
            let (tell, wait) = oneshot::channel();
            (tell, service.call(asked(Do::Wait(wait))))
        })
        .collect();
    advance(Duration::from_secs(59)).await;
    assert!(refusal(&service, asked(Do::Succeed)).await.is_zero());
    advance(Duration::from_secs(1)).await;
    let wait = refusal(&service, asked(Do::Succeed)).await;
    assert_eq!(wait, Duration::from_secs(10));
    assert_eq!(handle.state(""), BreakerState::Open);
    advance(wait).await;
    succeed(&service, 3).await;
    assert_eq!(handle.state(""), BreakerState::Closed);
    drop(hung);
    assert_eq!(handle.state(""), BreakerState::Closed);
}
