//! A service whose requests say how each call ends.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use cachewarp::{
    Priority,
    breaker::{
        BreakerConfig, BreakerConfigBuilder, BreakerLayer, BreakerOpen, BreakerService, HttpAll,
        HttpKey, Verdict,
    },
};
use http::Request;
use tokio::{sync::oneshot, time::sleep};
use tower::{Layer, Service, ServiceExt};

/// How the service ends a call.
pub(crate) enum Do {
    Succeed,
    Fail,
    /// An outcome that is ignored.
    Shrug,
    Panic,
    /// Succeeds when the test says so.
    Wait(oneshot::Receiver<()>),
    Take(Duration),
}

#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Error {
    Failed,
    Ignored,
    Refused(BreakerOpen),
}

pub(crate) type Asked = Request<Do>;
pub(crate) type Outcome = Result<(), Error>;
pub(crate) type Classify = fn(&Outcome, Duration) -> Verdict;
pub(crate) type OnOpen = fn(BreakerOpen) -> Outcome;
pub(crate) type Layered<T = HttpAll> = BreakerLayer<Classify, OnOpen, T>;
pub(crate) type Guarded<T = HttpAll> = BreakerService<Told, Classify, OnOpen, T>;

/// Ends each call as its request says, and counts the calls in progress.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    pub(crate) calls: Arc<AtomicUsize>,
    pub(crate) in_flight: Arc<AtomicUsize>,
}

struct InFlight(Arc<AtomicUsize>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Service<Asked> for Told {
    type Response = ();
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Outcome> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Outcome> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Asked) -> Self::Future {
        self.calls.fetch_add(1, SeqCst);
        self.in_flight.fetch_add(1, SeqCst);
        let in_flight = InFlight(Arc::clone(&self.in_flight));
        Box::pin(async move {
            let _in_flight = in_flight;
            match request.into_body() {
                Do::Succeed => Ok(()),
                Do::Fail => Err(Error::Failed),
                Do::Shrug => Err(Error::Ignored),
                Do::Panic => panic!("as told"),
                Do::Wait(told) => {
                    told.await.unwrap();
                    Ok(())
                }
                Do::Take(long) => {
                    sleep(long).await;
                    Ok(())
                }
            }
        })
    }
}

/// A breaker over that service, without randomness.
pub(crate) fn layer(
    settings: impl FnOnce(BreakerConfigBuilder) -> BreakerConfigBuilder,
) -> Layered {
    let classify: Classify = |outcome, _| match outcome {
        Ok(()) => Verdict::Success,
        Err(Error::Ignored) => Verdict::Ignored,
        Err(_) => Verdict::Failure,
    };
    let on_open: OnOpen = |refused| Err(Error::Refused(refused));
    let breaker = settings(BreakerConfig::builder().open_jitter(0.0)).build();
    BreakerLayer::new(classify, on_open)
        .key(HttpAll)
        .breaker(breaker.unwrap())
}

/// The path, without its slash.
pub(crate) type ByPath = HttpKey<fn(&Asked) -> String>;

/// The same, with a circuit for each path.
pub(crate) fn keyed(
    settings: impl FnOnce(BreakerConfigBuilder) -> BreakerConfigBuilder,
) -> Layered<ByPath> {
    layer(settings).key(HttpKey(|request| request.uri().path()[1..].to_owned()))
}

pub(crate) fn asked(what: Do) -> Asked {
    Request::new(what)
}

pub(crate) fn background(what: Do) -> Asked {
    let mut request = asked(what);
    request.extensions_mut().insert(Priority::Background);
    request
}

pub(crate) fn of(key: &str, what: Do) -> Asked {
    Request::get(format!("/{key}")).body(what).unwrap()
}

/// One call through a clone.
pub(crate) async fn send<S>(service: &S, request: Asked) -> Outcome
where
    S: Service<Asked, Response = (), Error = Error> + Clone,
{
    service.clone().oneshot(request).await
}

pub(crate) async fn fail<S>(service: &S, times: usize)
where
    S: Service<Asked, Response = (), Error = Error> + Clone,
{
    for _ in 0..times {
        assert_eq!(send(service, asked(Do::Fail)).await, Err(Error::Failed));
    }
}

pub(crate) async fn succeed<S>(service: &S, times: usize)
where
    S: Service<Asked, Response = (), Error = Error> + Clone,
{
    for _ in 0..times {
        assert_eq!(send(service, asked(Do::Succeed)).await, Ok(()));
    }
}

/// The `Retry-After` of a refused call.
pub(crate) async fn refusal<S>(service: &S, request: Asked) -> Duration
where
    S: Service<Asked, Response = (), Error = Error> + Clone,
{
    match send(service, request).await {
        Err(Error::Refused(refused)) => refused.retry_after,
        other => panic!("not refused: {other:?}"),
    }
}

pub(crate) fn guarded(layer: &Layered) -> (Guarded, Told) {
    let told = Told::default();
    (layer.layer(told.clone()), told)
}
