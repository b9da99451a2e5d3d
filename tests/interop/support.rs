//! Real servers on loopback, real clients, and one on a raw socket that sees every byte.

use std::{
    convert::Infallible,
    future::ready,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use cachewarp::{BoxError, CacheLayer, CacheOutcome};
use http::{
    HeaderMap, Request, Response,
    header::{CACHE_CONTROL, HOST},
    response,
};
use http_body_util::BodyExt;
use hyper::{body::Incoming, client::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tower::{Service, ServiceExt, util::BoxCloneService};

/// Far more than any step takes; only a hang meets it.
const PATIENCE: Duration = Duration::from_secs(20);

/// The host that tests ask for, whatever the port.
pub(crate) const HOSTNAME: &str = "a.test";

/// A service of one handler.
pub(crate) type Origin = BoxCloneService<Request<Body>, Response<Body>, Infallible>;

/// Waits for what must happen.
pub(crate) async fn soon<T>(event: impl Future<Output = T>) -> T {
    timeout(PATIENCE, event).await.expect("it never happened")
}

/// Waits until everything that is to be stored is.
pub(crate) async fn settle(cache: &CacheLayer) {
    assert_eq!(cache.handle().drain(PATIENCE).await, 0, "tasks are left");
}

// === Services ===

/// How often a service was called.
#[derive(Clone, Default)]
pub(crate) struct Calls(Arc<AtomicUsize>);

impl Calls {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A service that answers with what `answer` says, and counts.
pub(crate) fn origin(
    answer: impl Fn(&Request<Body>) -> Response<Body> + Clone + Send + 'static,
) -> (Origin, Calls) {
    let calls = Calls::default();
    let counter = calls.clone();
    let service = tower::service_fn(move |request| {
        counter.add();
        ready(Ok(answer(&request)))
    });
    (BoxCloneService::new(service), calls)
}

/// A response that is fresh for an hour.
pub(crate) fn fresh(body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    let hour = http::HeaderValue::from_static("max-age=3600");
    response.headers_mut().insert(CACHE_CONTROL, hour);
    response
}

/// GET of a path at [`HOSTNAME`].
pub(crate) fn get(path: &str) -> Request<Body> {
    asking("GET", path)
}

/// A request without content.
pub(crate) fn asking(method: &str, path: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri(path);
    let request = request.header(HOST, HOSTNAME).body(Body::empty());
    request.expect("a valid request")
}

/// The same request with one more field.
pub(crate) fn with(mut request: Request<Body>, name: &'static str, value: &[u8]) -> Request<Body> {
    let value = http::HeaderValue::from_bytes(value).expect("a valid value");
    request.headers_mut().append(name, value);
    request
}

// === Servers ===

/// Serves HTTP/1.1 and HTTP/2, upgrades included, on a free port for as long as the test runs.
pub(crate) async fn serve<S, B>(service: S) -> SocketAddr
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                service.clone().oneshot(request.map(Body::new))
            });
            tokio::spawn(async move {
                // A client that goes away is no news.
                let _ = Builder::new(TokioExecutor::new())
                    .serve_connection_with_upgrades(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    address
}

pub(crate) async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a free port");
    let address = listener.local_addr();
    (listener, address.expect("a bound socket has an address"))
}

// === Clients ===

/// A response, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) head: response::Parts,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Reply {
    pub(crate) async fn read<B>(response: Response<B>) -> Self
    where
        B: http_body::Body<Data = Bytes, Error: std::fmt::Debug>,
    {
        let (head, body) = response.into_parts();
        let body = soon(body.collect()).await.expect("the body is whole");
        Self {
            head,
            trailers: body.trailers().cloned(),
            body: body.to_bytes(),
        }
    }

    pub(crate) fn status(&self) -> u16 {
        self.head.status.as_u16()
    }

    /// Every line of a field, in order.
    pub(crate) fn lines(&self, name: &str) -> Vec<&[u8]> {
        let lines = self.head.headers.get_all(name);
        lines.iter().map(http::HeaderValue::as_bytes).collect()
    }

    /// The first line of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }

    /// `X-Cache`, or nothing.
    pub(crate) fn x_cache(&self) -> &str {
        self.field("x-cache").unwrap_or_default()
    }

    /// How the cache answered; known in process only.
    pub(crate) fn outcome(&self) -> CacheOutcome {
        let outcome = self.head.extensions.get::<CacheOutcome>();
        outcome.cloned().expect("every response has an outcome")
    }
}

/// Asks over a new HTTP/1.1 connection, and hands over the response once its head is there.
pub(crate) async fn open(address: SocketAddr, request: Request<Body>) -> Response<Incoming> {
    let stream = TcpStream::connect(address).await.expect("a server listens");
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.expect("the connection is there");
    tokio::spawn(connection);
    let response = soon(sender.send_request(request)).await;
    response.expect("the server answers")
}

/// Asks over a new HTTP/1.1 connection and reads the response.
pub(crate) async fn ask(address: SocketAddr, request: Request<Body>) -> Reply {
    Reply::read(open(address, request).await).await
}

/// Asks a service in this process and reads the response.
pub(crate) async fn call<S, B>(service: &S, request: Request<Body>) -> Reply
where
    S: Service<Request<Body>, Response = Response<B>, Error: std::fmt::Debug> + Clone,
    B: http_body::Body<Data = Bytes, Error: std::fmt::Debug>,
{
    let response = soon(service.clone().oneshot(request)).await;
    Reply::read(response.expect("the service answers")).await
}

/// A client on a raw socket: HTTP/1.1 as it is on the wire.
pub(crate) struct Wire(BufReader<TcpStream>);

impl Wire {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await;
        Self(BufReader::new(stream.expect("a server listens")))
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let sent = soon(self.0.write_all(bytes)).await;
        sent.expect("the server listens");
    }

    /// The next response: its head as it came, and its content.
    pub(crate) async fn read(&mut self) -> (String, String) {
        let head = self.read_head().await;
        let length = field(&head, "content-length").expect("the length is declared");
        let mut body = vec![0; length.parse().expect("a length is a number")];
        let read = soon(self.0.read_exact(&mut body)).await;
        read.expect("the content is whole");
        (head, String::from_utf8_lossy(&body).into_owned())
    }

    pub(crate) async fn read_head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let read = soon(self.0.read_until(b'\n', &mut head)).await;
            let read = read.expect("the connection holds");
            assert_ne!(read, 0, "the connection ended");
        }
        String::from_utf8_lossy(&head).into_owned()
    }

    /// Everything up to the end of the connection.
    pub(crate) async fn read_to_end(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset after the last byte loses nothing.
        let _ = soon(self.0.read_to_end(&mut rest)).await;
        rest
    }
}

/// The first line of a field, in a head as text.
pub(crate) fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
