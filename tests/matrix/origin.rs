//! The scripted origin: a service that answers by a script and records its requests.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
};

use bytes::Bytes;
use cachewarp::{
    BoxError,
    clock::{Clock, ManualClock},
};
use http::{
    Request, Response,
    header::{IF_MODIFIED_SINCE, IF_NONE_MATCH},
    request::Parts,
};
use http_body_util::{Full, combinators::UnsyncBoxBody};
use tower::Service;

use crate::reply::{Kind, Reply, Unreachable, not_modified, second};

/// Bodies of requests.
pub(crate) type Content = Full<Bytes>;

/// The inner service.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    clock: ManualClock,
    state: Arc<Mutex<State>>,
}

struct State {
    otherwise: Arc<dyn Fn(&Parts) -> Reply + Send + Sync>,
    script: VecDeque<Reply>,
    seen: Vec<Parts>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("script", &self.script)
            .finish_non_exhaustive()
    }
}

impl Origin {
    pub(crate) fn new(clock: &ManualClock) -> Self {
        Self {
            clock: clock.clone(),
            state: Arc::new(Mutex::new(State {
                otherwise: Arc::new(unchanged_or_new),
                script: VecDeque::new(),
                seen: Vec::new(),
            })),
        }
    }

    /// The answers to the next requests, in place of those of an earlier script.
    pub(crate) fn script(&self, replies: impl IntoIterator<Item = Reply>) {
        self.state().script = replies.into_iter().collect();
    }

    /// The answers to requests that no script provides for.
    pub(crate) fn answer(&self, otherwise: impl Fn(&Parts) -> Reply + Send + Sync + 'static) {
        self.state().otherwise = Arc::new(otherwise);
    }

    /// The requests that reached the origin so far.
    pub(crate) fn calls(&self) -> usize {
        self.state().seen.len()
    }

    /// The heads of the requests after the first `skipped`.
    pub(crate) fn seen(&self, skipped: usize) -> Vec<Parts> {
        self.state().seen[skipped..].to_vec()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// Confirms what a conditional request asks about, and sends something new otherwise.
fn unchanged_or_new(request: &Parts) -> Reply {
    match request.headers.get(IF_NONE_MATCH) {
        Some(tag) => not_modified().with("etag", tag),
        None if request.headers.contains_key(IF_MODIFIED_SINCE) => not_modified(),
        None => second(),
    }
}

impl Service<Request<Content>> for Origin {
    type Response = Response<UnsyncBoxBody<Bytes, BoxError>>;
    type Error = Unreachable;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unreachable>> {
        let mut state = self.state();
        if let Some(Kind::Unready) = state.script.front().map(|reply| reply.kind) {
            state.script.pop_front();
            return Poll::Ready(Err(Unreachable));
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Content>) -> Self::Future {
        let (parts, _) = request.into_parts();
        let method = parts.method.clone();
        let mut state = self.state();
        let reply = match state.script.pop_front() {
            Some(reply) => reply,
            None => (state.otherwise)(&parts),
        };
        state.seen.push(parts);
        drop(state);
        let clock = self.clock.clone();
        Box::pin(async move {
            clock.advance(reply.delay);
            if let Some(gate) = &reply.gate {
                gate.passed().await;
            }
            match reply.kind {
                Kind::Response => Ok(reply.into_response(&method, clock.wall())),
                Kind::Silence => std::future::pending().await,
                Kind::Unreachable | Kind::Unready => Err(Unreachable),
            }
        })
    }
}
