//! The one origin of all nodes, and what it answers.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::{Future, ready},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use tokio::sync::watch;
use tower::Service;

type Handler = dyn Fn(&Request<Full<Bytes>>) -> Response<Full<Bytes>> + Send + Sync;

/// The one origin of all nodes: counts its calls by path, answers while its gate is open, and ends
/// its bodies while those are let go.
#[derive(Clone)]
pub(crate) struct Origin {
    handler: Arc<Handler>,
    calls: watch::Sender<usize>,
    by_path: Arc<Mutex<HashMap<String, usize>>>,
    gate: watch::Sender<bool>,
    bodies: watch::Sender<bool>,
    body_takes: Arc<Mutex<Duration>>,
}

impl Origin {
    pub(crate) fn new(
        handler: impl Fn(&Request<Full<Bytes>>) -> Response<Full<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            handler: Arc::new(handler),
            calls: watch::Sender::new(0),
            by_path: Arc::default(),
            gate: watch::Sender::new(true),
            bodies: watch::Sender::new(true),
            body_takes: Arc::default(),
        }
    }

    /// Answers every GET with a body that is never the same, fresh for an hour.
    pub(crate) fn counting() -> Self {
        let version = AtomicU64::new(0);
        Self::new(move |request| {
            let version = version.fetch_add(1, Ordering::SeqCst);
            if request.method() != Method::GET {
                return status(StatusCode::NO_CONTENT);
            }
            fresh(format!("{} {version}", request.uri().path()))
        })
    }

    pub(crate) fn calls(&self) -> usize {
        *self.calls.borrow()
    }

    /// Waits until there have been so many calls.
    pub(crate) async fn called(&self, times: usize) {
        let mut calls = self.calls.subscribe();
        // The sender outlives this: the origin has it.
        calls.wait_for(|calls| *calls >= times).await.unwrap();
    }

    pub(crate) fn calls_of(&self, path: &str) -> usize {
        let by_path = self.by_path.lock().unwrap();
        by_path.get(path).copied().unwrap_or(0)
    }

    pub(crate) fn close(&self) {
        self.gate.send_replace(false);
    }

    pub(crate) fn open(&self) {
        self.gate.send_replace(true);
    }

    /// From here on bodies stop half way.
    pub(crate) fn hold_bodies(&self) {
        self.bodies.send_replace(false);
    }

    pub(crate) fn release_bodies(&self) {
        self.bodies.send_replace(true);
    }

    /// From here on every body takes this long.
    pub(crate) fn slow_bodies(&self, takes: Duration) {
        *self.body_takes.lock().unwrap() = takes;
    }

    /// The response with its body as it is sent at this moment.
    fn send(&self, response: Response<Full<Bytes>>) -> Response<OriginBody> {
        let takes = *self.body_takes.lock().unwrap();
        let nothing = response.body().size_hint().exact() == Some(0);
        if nothing || takes.is_zero() && *self.bodies.borrow() {
            return response.map(BodyExt::boxed_unsync);
        }
        let mut go_on = self.bodies.subscribe();
        response.map(|body| {
            let whole = body.collect().now_or_never().unwrap().unwrap().to_bytes();
            let half = whole.len() / 2;
            let (first, rest) = (whole.slice(..half), whole.slice(half..));
            let rest = stream::once(async move {
                tokio::time::sleep(takes).await;
                // The sender outlives every body: the origin has it.
                go_on.wait_for(|open| *open).await.unwrap();
                Ok(Frame::data(rest))
            });
            let frames = stream::iter([Ok(Frame::data(first))]).chain(rest);
            BodyExt::boxed_unsync(StreamBody::new(frames))
        })
    }
}

/// What the origin sends.
pub(crate) type OriginBody = UnsyncBoxBody<Bytes, Infallible>;

/// The number of a body of [`Origin::counting`].
#[track_caller]
pub(crate) fn version(body: &str) -> u64 {
    let number = body.rsplit(' ').next();
    number
        .and_then(|it| it.parse().ok())
        .expect("a numbered body")
}

/// A response that is fresh for an hour.
pub(crate) fn fresh(body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    Response::builder()
        .header("cache-control", "max-age=3600")
        .header("content-type", "text/plain")
        .body(Full::new(body.into()))
        .unwrap()
}

pub(crate) fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

impl Service<Request<Full<Bytes>>> for Origin {
    type Response = Response<OriginBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        *self
            .by_path
            .lock()
            .unwrap()
            .entry(request.uri().path().to_owned())
            .or_default() += 1;
        self.calls.send_modify(|calls| *calls += 1);
        let response = self.send((self.handler)(&request));
        if *self.gate.borrow() {
            return Box::pin(ready(Ok(response)));
        }
        let mut gate = self.gate.subscribe();
        Box::pin(async move {
            // The sender outlives every call: the origin has it.
            gate.wait_for(|open| *open).await.unwrap();
            Ok(response)
        })
    }
}
