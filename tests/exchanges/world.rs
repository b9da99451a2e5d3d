//! A cache, an origin whose every answer the test decides, and the clients that ask.

use std::{
    convert::Infallible,
    io,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use cachewarp::{
    CacheLayer, CacheService, Fetched, Lifetime, Memory, RequestProgress,
    clock::{Clock, ManualClock},
};
use futures_util::{FutureExt, future::BoxFuture, stream};
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use tokio::{
    sync::oneshot,
    task::{JoinHandle, yield_now},
};
use tower::{Layer, Service, ServiceExt};

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Who asks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Client {
    Plain,
    /// Plain, with fields that only it sends.
    Odd,
    Cookie,
    ApiKey,
    Authorization,
    NoStore,
}

impl Client {
    pub(crate) fn is_plain(self) -> bool {
        matches!(self, Self::Plain | Self::Odd)
    }

    /// Whether a response for everybody is stored, if this client caused it.
    pub(crate) fn may_share(self, lifetimes: Lifetimes) -> bool {
        match lifetimes {
            Lifetimes::Stated => !matches!(self, Self::Authorization | Self::NoStore),
            Lifetimes::ByPolicy => self.is_plain(),
        }
    }

    /// Whether this client may get what was fetched for another one.
    pub(crate) fn may_get(self, lifetimes: Lifetimes) -> bool {
        lifetimes == Lifetimes::Stated || self.is_plain() || self == Self::NoStore
    }

    fn fields(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Plain => &[],
            Self::Odd => &[("user-agent", "robot"), ("accept", "text/odd")],
            Self::Cookie => &[("cookie", "session=1")],
            Self::ApiKey => &[("x-api-key", "k")],
            Self::Authorization => &[("authorization", "Bearer bad")],
            Self::NoStore => &[("cache-control", "no-store")],
        }
    }
}

/// Who says for how long a response for everybody is fresh.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Lifetimes {
    /// The response.
    Stated,
    /// A policy of the cache, so that it is for plain requests alone.
    ByPolicy,
}

/// What the origin answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Answer {
    /// 200 for everybody, fresh for ten seconds, and for a day in place of errors.
    Public,
    Private,
    NoStore,
    SetCookie,
    Status(u16),
    Error,
    /// A response for everybody whose body breaks before its first byte.
    Broken,
}

impl Answer {
    pub(crate) fn status(self) -> Option<u16> {
        match self {
            Self::Public | Self::Private | Self::NoStore | Self::SetCookie => Some(200),
            Self::Status(code) => Some(code),
            Self::Error | Self::Broken => None,
        }
    }
}

/// A request that has reached the origin.
pub(crate) struct Call {
    pub(crate) id: usize,
    pub(crate) client: Client,
    pub(crate) method: Method,
    /// The writes that were done when it came.
    version: usize,
    progress: Option<RequestProgress>,
    reply: oneshot::Sender<(Answer, usize)>,
}

impl Call {
    /// Whether somebody still waits for the answer.
    pub(crate) fn is_open(&self) -> bool {
        !self.reply.is_closed()
    }

    pub(crate) fn say(&self, said: fn(&RequestProgress)) {
        if let Some(progress) = &self.progress {
            said(progress);
        }
    }

    pub(crate) fn answer(self, answer: Answer) {
        // A client that left does not take it.
        let _ = self.reply.send((answer, self.version));
    }
}

/// Hands its requests to the test.
#[derive(Clone)]
pub(crate) struct Origin {
    calls: Arc<Mutex<Vec<Call>>>,
    lifetimes: Lifetimes,
    version: Arc<Mutex<usize>>,
}

impl Service<Request<Empty<Bytes>>> for Origin {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Empty<Bytes>>) -> Self::Future {
        let Asker { id, client } = *request.extensions().get().unwrap();
        let (reply, answer) = oneshot::channel();
        self.calls.lock().unwrap().push(Call {
            id,
            client,
            method: request.method().clone(),
            version: *self.version.lock().unwrap(),
            progress: request.extensions().get().cloned(),
            reply,
        });
        let lifetimes = self.lifetimes;
        async move {
            match answer.await {
                Ok((answer, version)) => respond(id, version, answer, lifetimes),
                Err(_) => Err("the test is over".into()),
            }
        }
        .boxed()
    }
}

fn respond(
    id: usize,
    version: usize,
    answer: Answer,
    lifetimes: Lifetimes,
) -> Result<Response<Body>, BoxError> {
    let public = match lifetimes {
        Lifetimes::Stated => "max-age=10, stale-if-error=86400",
        Lifetimes::ByPolicy => "",
    };
    let (directives, body) = match answer {
        Answer::Public | Answer::Broken => (public, format!("all {version} {id}")),
        Answer::Private => ("private, max-age=10", format!("own {id}")),
        Answer::NoStore => ("no-store", format!("own {id}")),
        Answer::SetCookie => ("max-age=10", format!("own {id}")),
        Answer::Status(_) => ("", format!("own {id}")),
        Answer::Error => return Err("nobody is there".into()),
    };
    let full = |text: String| {
        let body = Full::new(Bytes::from(text));
        body.map_err(|never: Infallible| match never {})
            .boxed_unsync()
    };
    let broken = || {
        let error: Result<Frame<Bytes>, _> = Err(io::ErrorKind::ConnectionReset.into());
        StreamBody::new(stream::iter([error])).boxed_unsync()
    };
    let mut response = Response::new(match answer {
        Answer::Broken => broken(),
        _ => full(body),
    });
    if let Answer::Status(code) = answer {
        *response.status_mut() = StatusCode::from_u16(code)?;
    } else {
        let headers = response.headers_mut();
        headers.insert("cache-control", directives.parse()?);
    }
    if answer == Answer::SetCookie {
        response.headers_mut().insert("set-cookie", "a=b".parse()?);
    }
    Ok(response)
}

#[derive(Clone, Copy)]
struct Asker {
    id: usize,
    client: Client,
}

/// What a client got: the status, and the body if it came whole.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Got {
    Answer(u16, Option<String>),
    Error,
}

/// A request under way.
pub(crate) struct Asked {
    pub(crate) id: usize,
    pub(crate) client: Client,
    pub(crate) method: Method,
    pub(crate) reload: bool,
    /// The writes that were done when it began.
    pub(crate) version: usize,
    /// What could be served in place of an error when it began.
    pub(crate) fallback: Option<String>,
    task: JoinHandle<Got>,
}

/// What everybody may see without a question to the origin.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Seen {
    pub(crate) fresh: Option<String>,
    /// Fresh, or stale for a client that accepts that.
    pub(crate) stale: Option<String>,
}

pub(crate) struct World {
    cache: CacheService<Origin>,
    clock: ManualClock,
    origin: Origin,
    next: usize,
}

impl World {
    pub(crate) fn new(lifetimes: Lifetimes) -> Self {
        let clock = ManualClock::at(1_700_000_000);
        let origin = Origin {
            calls: Arc::default(),
            lifetimes,
            version: Arc::default(),
        };
        let layer = CacheLayer::builder()
            .memory(Memory::with_capacity(1 << 20))
            .clock(clock.clone())
            .refresh_pause(Duration::ZERO);
        let layer = match lifetimes {
            Lifetimes::Stated => layer.build(),
            Lifetimes::ByPolicy => layer
                .ttl(|fetched: &Fetched<'_>| {
                    let is_page = fetched.response.status == StatusCode::OK;
                    is_page.then(|| Lifetime::fresh_for(Duration::from_secs(10)))
                })
                .stale_if_error(Duration::from_secs(86_400))
                .build(),
        };
        let layer = layer.unwrap();
        Self {
            cache: layer.layer(origin.clone()),
            clock,
            origin,
            next: 0,
        }
    }

    pub(crate) fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
        let _ = self.clock.wall();
    }

    pub(crate) fn write_done(&self) {
        *self.origin.version.lock().unwrap() += 1;
    }

    /// The calls that wait for an answer, without those that nobody waits for.
    pub(crate) fn open_calls(&self) -> usize {
        let mut calls = self.origin.calls.lock().unwrap();
        calls.retain(Call::is_open);
        calls.len()
    }

    pub(crate) fn take_call(&self, which: usize) -> Option<Call> {
        let open = self.open_calls();
        let mut calls = self.origin.calls.lock().unwrap();
        (open > 0).then(|| calls.remove(which % open))
    }

    /// Says something of the write with this number, if it has reached the origin.
    pub(crate) fn say(&self, id: usize, said: fn(&RequestProgress)) -> bool {
        let calls = self.origin.calls.lock().unwrap();
        let call = calls.iter().find(|call| call.id == id);
        call.inspect(|call| call.say(said)).is_some()
    }

    pub(crate) async fn ask(
        &mut self,
        client: Client,
        method: Method,
        reload: bool,
        fallback: &Option<String>,
    ) -> Asked {
        self.next += 1;
        let id = self.next;
        let mut request = Request::builder().method(method.clone()).uri("/");
        for (name, value) in client.fields() {
            request = request.header(*name, *value);
        }
        if reload {
            request = request.header("cache-control", "no-cache");
        }
        let mut request = request.body(Empty::new()).unwrap();
        request.extensions_mut().insert(Asker { id, client });
        let task = tokio::spawn(got(self.cache.clone(), request));
        let version = *self.origin.version.lock().unwrap();
        settle().await;
        Asked {
            id,
            client,
            method,
            reload,
            version,
            fallback: fallback.clone(),
            task,
        }
    }

    pub(crate) async fn seen(&self) -> Seen {
        Seen {
            fresh: self.peek("only-if-cached").await,
            stale: self.peek("only-if-cached, max-stale").await,
        }
    }

    async fn peek(&self, directives: &str) -> Option<String> {
        let request = Request::builder()
            .uri("/")
            .header("cache-control", directives)
            .body(Empty::new())
            .unwrap();
        match got(self.cache.clone(), request).await {
            Got::Answer(200, body) => body,
            Got::Answer(..) | Got::Error => None,
        }
    }
}

impl Asked {
    pub(crate) fn result(&mut self) -> Option<Got> {
        let result = (&mut self.task).now_or_never()?;
        Some(result.expect("the request does not panic"))
    }

    /// The client disconnects.
    pub(crate) async fn leave(self) {
        self.task.abort();
        settle().await;
    }
}

async fn got(cache: CacheService<Origin>, request: Request<Empty<Bytes>>) -> Got {
    let Ok(answer) = cache.oneshot(request).await else {
        return Got::Error;
    };
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.ok();
    let text = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned());
    Got::Answer(status, text)
}

/// Lets every task run until none can go on.
pub(crate) async fn settle() {
    for _ in 0..40 {
        yield_now().await;
    }
}
