//! Handles, listeners and metrics: what an operator sees and orders.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock, atomic::Ordering::SeqCst},
    time::Duration,
};

use cachewarp::breaker::{BreakerHandle, BreakerState, Reason};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tokio::time::advance;

use crate::support::{Do, Error, asked, fail, guarded, layer, refusal, send, succeed};

const fn assert_shared<T: Clone + Send + Sync + 'static>() {}
const _: () = assert_shared::<BreakerHandle>();

#[tokio::test(start_paused = true)]
async fn forced_open_refuses_until_told_otherwise() {
    let layer = layer(|it| it);
    let ((service, told), handle) = (guarded(&layer), layer.handle());
    handle.force_open("");
    for _ in 0..3 {
        advance(Duration::from_secs(3600)).await;
        let wait = refusal(&service, asked(Do::Succeed)).await;
        assert_eq!(wait, Duration::from_secs(5));
    }
    assert_eq!(told.calls.load(SeqCst), 0);
    handle.reset("");
    succeed(&service, 1).await;
    assert_eq!(handle.state(""), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn forced_closed_lets_everything_pass_and_counts_it() {
    let layer = layer(|it| it);
    let ((service, _), handle) = (guarded(&layer), layer.handle());
    handle.force_closed("");
    fail(&service, 500).await;
    assert_eq!(handle.state(""), BreakerState::ForcedClosed);
    assert_eq!(handle.stats("").failed, 500);
    assert_eq!(handle.stats("").failure_rate, 1.0);
    handle.reset("");
    fail(&service, 6).await;
    assert_eq!(handle.state(""), BreakerState::Closed, "starts afresh");
    fail(&service, 1).await;
    assert_eq!(handle.state(""), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn disabled_lets_everything_pass_and_counts_nothing() {
    let layer = layer(|it| it);
    let ((service, told), handle) = (guarded(&layer), layer.handle());
    fail(&service, 7).await;
    assert_eq!(handle.state(""), BreakerState::Open);
    handle.disable("");
    fail(&service, 50).await;
    assert_eq!(handle.state(""), BreakerState::Disabled);
    assert_eq!(handle.stats("").failed, 7);
    assert_eq!(told.calls.load(SeqCst), 57);
}

#[tokio::test(start_paused = true)]
async fn a_listener_is_told_of_every_change() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&seen);
    let layer = layer(|it| it.consecutive_failures(2)).on_event(move |event| {
        told.lock().unwrap().push((
            event.from,
            event.to,
            event.reason,
            event.open_for,
            event.generation,
        ));
    });
    let ((service, _), handle) = (guarded(&layer), layer.handle());
    fail(&service, 2).await;
    advance(Duration::from_secs(5)).await;
    fail(&service, 1).await;
    advance(Duration::from_secs(10)).await;
    succeed(&service, 3).await;
    handle.force_open("");
    handle.force_open("");
    handle.reset("");
    use BreakerState::{Closed, ForcedOpen, HalfOpen, Open};
    let (five, ten) = (Duration::from_secs(5), Duration::from_secs(10));
    let in_a_row = Reason::ConsecutiveFailures(2);
    let expected = [
        (Closed, Open, in_a_row, Some(five), 1),
        (Open, HalfOpen, Reason::TimeUp, None, 2),
        (HalfOpen, Open, Reason::ProbeFailed, Some(ten), 3),
        (Open, HalfOpen, Reason::TimeUp, None, 4),
        (HalfOpen, Closed, Reason::ProbesSucceeded, None, 5),
        (Closed, ForcedOpen, Reason::Manual, None, 6),
        (ForcedOpen, Closed, Reason::Manual, None, 8),
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_listener_may_use_the_handle() {
    let handle = Arc::new(OnceLock::<BreakerHandle>::new());
    let inside = Arc::clone(&handle);
    let layer = layer(|it| it.consecutive_failures(1)).on_event(move |event| {
        let handle = inside.get().unwrap();
        if event.to == BreakerState::Open {
            assert_eq!(handle.state(""), BreakerState::Open);
            assert_eq!(handle.stats("").openings, 1);
            handle.force_closed("");
        }
    });
    handle.set(layer.handle()).unwrap();
    let (service, _) = guarded(&layer);
    fail(&service, 20).await;
    assert_eq!(layer.handle().state(""), BreakerState::ForcedClosed);
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_panics_hurts_nobody() {
    let layer = layer(|it| it.consecutive_failures(1)).on_event(|_| panic!("as told"));
    let ((service, _), handle) = (guarded(&layer), layer.handle());
    // A second panic while the first one drops the call would end the process.
    let panics = service.clone();
    let call = tokio::spawn(async move { send(&panics, asked(Do::Panic)).await });
    assert!(call.await.unwrap_err().is_panic());
    assert_eq!(handle.state(""), BreakerState::Open);
    assert!(matches!(
        send(&service, asked(Do::Succeed)).await,
        Err(Error::Refused(_))
    ));
}

#[test]
fn metrics_count_what_happens() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let layer = metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let layer = layer(|it| it.consecutive_failures(2).slow_call(Duration::from_secs(1)));
            let (service, _) = guarded(&layer);
            succeed(&service, 3).await;
            let slow = asked(Do::Take(Duration::from_secs(2)));
            assert_eq!(send(&service, slow).await, Ok(()));
            assert_eq!(send(&service, asked(Do::Shrug)).await, Err(Error::Ignored));
            fail(&service, 2).await;
            refusal(&service, asked(Do::Succeed)).await;
            layer
        })
    });
    let mut seen = BTreeMap::new();
    for (key, _, description, value) in snapshotter.snapshot().into_vec() {
        let labels: Vec<_> = key.key().labels().map(|label| label.value()).collect();
        assert!(description.is_some(), "{key:?}");
        let value = match value {
            DebugValue::Counter(count) => count as f64,
            DebugValue::Gauge(gauge) => gauge.into_inner(),
            DebugValue::Histogram(_) => panic!("no histogram"),
        };
        seen.insert(format!("{} {}", key.key().name(), labels.join(" ")), value);
    }
    let expected = [
        ("cachewarp_breaker_calls_total cancelled", 0.0),
        ("cachewarp_breaker_calls_total failure", 2.0),
        ("cachewarp_breaker_calls_total ignored", 1.0),
        ("cachewarp_breaker_calls_total success", 4.0),
        ("cachewarp_breaker_changes_total open", 1.0),
        ("cachewarp_breaker_refused_total ", 1.0),
        ("cachewarp_breaker_refusing ", 1.0),
        ("cachewarp_breaker_slow_calls_total ", 1.0),
    ];
    let seen: Vec<_> = seen.iter().map(|(name, value)| (&**name, *value)).collect();
    assert_eq!(seen, expected);
    // A breaker that was dropped refuses no call. A snapshot has taken what it showed.
    drop(layer);
    let left = snapshotter.snapshot().into_vec();
    let refusing = left
        .iter()
        .find(|it| it.0.key().name() == "cachewarp_breaker_refusing");
    assert_eq!(refusing.unwrap().3, DebugValue::Gauge((-1.0).into()));
}
