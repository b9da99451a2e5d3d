//! A slow origin in this process, so that a newcomer sees what a cache is for.
//!
//! Everything takes it two seconds. `/report` never changes, `/greeting` speaks the client's
//! language, `/news` changes every ten seconds, and `/moody` fails one time in three.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, Request, Response, StatusCode, Uri,
    header::{
        ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
    },
};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::{Instant, sleep};

const PAUSE: Duration = Duration::from_secs(2);
const NEWS_EVERY: u64 = 10;

/// Starts the origin on a free port of the loopback interface.
pub(crate) fn start() -> io::Result<Uri> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    thread::Builder::new()
        .name("demo origin".to_owned())
        .spawn(move || {
            if let Err(error) = runtime.block_on(serve(listener)) {
                tracing::error!(%error, "the demo origin ended");
            }
        })?;
    Uri::try_from(format!("http://{address}")).map_err(io::Error::other)
}

/// Requests to try.
pub(crate) fn lines(proxy: SocketAddr) -> String {
    let curl = r"curl -s -D - -w '%{time_total} s\n\n'";
    format!(
        "the origin takes 2 s for everything, so its responses are 2 s old when they come; run each \
         of these twice, and look at X-Cache:\n  \
         {curl} http://{proxy}/report\n  \
         {curl} -H 'Accept-Language: de' http://{proxy}/greeting\n  \
         {curl} http://{proxy}/moody\n\
         /moody fails at every third call of the origin: run it again after 5 s, and once more 5 s \
         later; the third call fails, and the answer is stale\n"
    )
}

/// What to try with a node beside this one: under one name, or each would have pages of its own.
pub(crate) fn other_node(proxy: SocketAddr) -> String {
    format!(
        "start another node with the same flags and another --port, and ask it for the same:\n  \
         curl -i -H 'Host: {proxy}' http://OTHER/report\n"
    )
}

async fn serve(listener: TcpListener) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let started = Instant::now();
    loop {
        let (stream, _) = listener.accept().await?;
        let service = service_fn(move |request| respond(request, started));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the demo origin ended");
            }
        });
    }
}

async fn respond(
    request: Request<Incoming>,
    started: Instant,
) -> Result<Response<Full<Bytes>>, Infallible> {
    sleep(PAUSE).await;
    let response = match request.uri().path() {
        "/report" => page(
            "max-age=60",
            "A report nobody should have to wait for twice.\n",
        ),
        "/greeting" => greeting(request.headers()),
        "/news" => news(request.headers(), started.elapsed()),
        "/moody" => moody(),
        _ => {
            let text = "Try /report, /greeting, /news or /moody.\n";
            status(StatusCode::NOT_FOUND, page("max-age=10", text))
        }
    };
    Ok(response)
}

/// One variant per language.
fn greeting(headers: &HeaderMap) -> Response<Full<Bytes>> {
    let wanted = headers
        .get(ACCEPT_LANGUAGE)
        .and_then(|value| value.to_str().ok());
    let (language, text) = match wanted.and_then(|wanted| wanted.get(..2)) {
        Some("de") => ("de", "Guten Tag.\n"),
        Some("fr") => ("fr", "Bonjour.\n"),
        _ => ("en", "Hello.\n"),
    };
    let mut response = page("max-age=60", text);
    let headers = response.headers_mut();
    headers.insert(VARY, http::HeaderValue::from_static("accept-language"));
    headers.insert(CONTENT_LANGUAGE, http::HeaderValue::from_static(language));
    response
}

/// Changes, and says with an ETag when it did not.
fn news(headers: &HeaderMap, age: Duration) -> Response<Full<Bytes>> {
    let edition = age.as_secs() / NEWS_EVERY;
    let policy = "max-age=5, stale-while-revalidate=30";
    let etag = http::HeaderValue::try_from(format!("\"{edition}\""))
        .expect("a quoted number is field text");
    let mut response = if headers.get(IF_NONE_MATCH) == Some(&etag) {
        status(StatusCode::NOT_MODIFIED, page(policy, ""))
    } else {
        page(policy, format!("Edition {edition}.\n"))
    };
    response.headers_mut().insert(ETAG, etag);
    response
}

/// Fails one time in three; what was good may be shown meanwhile.
fn moody() -> Response<Full<Bytes>> {
    static ASKED: AtomicU64 = AtomicU64::new(0);
    let asked = ASKED.fetch_add(1, Ordering::Relaxed) + 1;
    if asked.is_multiple_of(3) {
        return status(
            StatusCode::SERVICE_UNAVAILABLE,
            page("no-store", "Not now.\n"),
        );
    }
    page(
        "max-age=5, stale-if-error=60",
        format!("Answer number {asked}.\n"),
    )
}

fn page(policy: &'static str, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, http::HeaderValue::from_static(policy));
    headers.insert(
        CONTENT_TYPE,
        http::HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

fn status(status: StatusCode, mut response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    *response.status_mut() = status;
    response
}
