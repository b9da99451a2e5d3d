//! Opening, waiting, probing, closing: with time paused.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use cachewarp::breaker::BreakerState;
use tokio::time::advance;

use crate::support::{Do, Error, asked, background, fail, guarded, layer, refusal, send, succeed};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[tokio::test(start_paused = true)]
async fn a_service_that_fails_is_left_alone_and_tried_again() {
    let layer = layer(|it| it.consecutive_failures(3));
    let ((service, told), handle) = (guarded(&layer), layer.handle());
    fail(&service, 3).await;
    assert_eq!(handle.state(""), BreakerState::Open);
    assert_eq!(refusal(&service, asked(Do::Succeed)).await, ms(5000));
    assert_eq!(told.calls.load(SeqCst), 3, "nobody called it");
    advance(ms(4999)).await;
    assert_eq!(refusal(&service, asked(Do::Succeed)).await, ms(1));
    advance(ms(1)).await;
    succeed(&service, 2).await;
    assert_eq!(handle.state(""), BreakerState::HalfOpen);
    succeed(&service, 1).await;
    assert_eq!(handle.state(""), BreakerState::Closed);
    assert_eq!(handle.stats("").refused, 2);
}

#[tokio::test(start_paused = true)]
async fn it_opens_within_the_window_whatever_came_before() {
    let layer = layer(|it| it.consecutive_failures(None));
    let ((service, _), handle) = (guarded(&layer), layer.handle());
    succeed(&service, 5000).await;
    fail(&service, 49).await;
    assert_eq!(handle.state(""), BreakerState::Closed);
    fail(&service, 1).await;
    assert_eq!(handle.state(""), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn few_calls_trip_it_too() {
    let layer = layer(|it| it);
    let ((service, told), handle) = (guarded(&layer), layer.handle());
    succeed(&service, 5).await;
    for _ in 0..7 {
        advance(Duration::from_secs(600)).await;
        fail(&service, 1).await;
    }
    assert_eq!(handle.state(""), BreakerState::Open);
    assert_eq!(told.calls.load(SeqCst), 12);
}

#[tokio::test(start_paused = true)]
async fn a_window_over_time_forgets() {
    let settings = |it: cachewarp::breaker::BreakerConfigBuilder| {
        it.time_window(ms(10_000))
            .minimum_calls(4)
            .consecutive_failures(None)
    };
    let layer = layer(settings);
    let ((service, _), handle) = (guarded(&layer), layer.handle());
    fail(&service, 3).await;
    advance(ms(10_000)).await;
    fail(&service, 3).await;
    assert_eq!(handle.stats("").window_calls, 3);
    assert_eq!(handle.state(""), BreakerState::Closed);
    fail(&service, 1).await;
    assert_eq!(handle.state(""), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn slow_calls_open_it_though_they_succeed() {
    let layer = layer(|it| it.slow_call(ms(100)).minimum_calls(4));
    let ((service, _), handle) = (guarded(&layer), layer.handle());
    for (took, slow) in [(99, 0), (100, 1), (99, 1), (500, 2)] {
        assert_eq!(handle.state(""), BreakerState::Closed);
        let call = send(&service, asked(Do::Take(ms(took))));
        assert_eq!(call.await, Ok(()));
        assert_eq!(handle.stats("").slow, slow, "{took} ms");
    }
    assert_eq!(handle.state(""), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn a_call_given_up_counts_only_if_it_was_slow() {
    let layer = layer(|it| it.slow_call(ms(100)).minimum_calls(4));
    let ((service, _), handle) = (guarded(&layer), layer.handle());
    for (patience, window) in [(50, 0), (99, 0), (150, 1), (200, 2), (90, 2), (150, 3)] {
        let call = send(&service, asked(Do::Take(ms(1000))));
        assert!(tokio::time::timeout(ms(patience), call).await.is_err());
        assert_eq!(handle.stats("").window_calls, window, "{patience} ms");
    }
    assert_eq!(handle.stats("").cancelled, 6);
    assert_eq!(handle.state(""), BreakerState::Closed);
    let call = send(&service, asked(Do::Take(ms(1000))));
    assert!(tokio::time::timeout(ms(150), call).await.is_err());
    assert_eq!(handle.state(""), BreakerState::Open, "four of four");
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failure() {
    let layer = layer(|it| it.consecutive_failures(2));
    let ((service, _), handle) = (guarded(&layer), layer.handle());
    for _ in 0..2 {
        let service = service.clone();
        let call = tokio::spawn(async move { send(&service, asked(Do::Panic)).await });
        assert!(call.await.unwrap_err().is_panic());
    }
    assert_eq!(handle.state(""), BreakerState::Open);
    assert_eq!(handle.stats("").failed, 2);
}

#[tokio::test(start_paused = true)]
async fn late_outcomes_do_not_count() {
    let layer = layer(|it| it.consecutive_failures(3).half_open_permits(1));
    let ((service, _), handle) = (guarded(&layer), layer.handle());
    let mut late = Vec::new();
    for _ in 0..10 {
        let (tell, told) = tokio::sync::oneshot::channel();
        let service = service.clone();
        late.push((
            tell,
            tokio::spawn(async move { send(&service, asked(Do::Wait(told))).await }),
        ));
    }
    tokio::task::yield_now().await;
    fail(&service, 3).await;
    advance(ms(5000)).await;
    succeed(&service, 1).await;
    assert_eq!(handle.state(""), BreakerState::HalfOpen);
    for (tell, call) in late {
        tell.send(()).unwrap();
        assert_eq!(call.await.unwrap(), Ok(()));
    }
    assert_eq!(
        handle.state(""),
        BreakerState::HalfOpen,
        "one probe of three"
    );
    assert_eq!(handle.stats("").succeeded, 11);
}

#[tokio::test(start_paused = true)]
async fn background_requests_probe_first() {
    let layer = layer(|it| it.consecutive_failures(1).half_open_successes(1));
    let ((service, told), handle) = (guarded(&layer), layer.handle());
    fail(&service, 1).await;
    advance(ms(4499)).await;
    assert_eq!(refusal(&service, background(Do::Fail)).await, ms(1));
    advance(ms(1)).await;
    assert_eq!(refusal(&service, asked(Do::Fail)).await, ms(500));
    let probe = send(&service, background(Do::Fail)).await;
    assert_eq!(probe, Err(Error::Failed));
    assert_eq!(refusal(&service, asked(Do::Fail)).await, ms(10_000));
    advance(ms(9000)).await;
    assert_eq!(send(&service, background(Do::Succeed)).await, Ok(()));
    assert_eq!(handle.state(""), BreakerState::Closed);
    assert_eq!(
        told.calls.load(SeqCst),
        3,
        "no client's call met the outage"
    );
}
