//! The request log: a line for each request, under the target `access`, once it is over.
//!
//! Unless somebody listens there is no line, and a request costs one look at a level.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use cachewarp::{CacheOutcome, Tier};
use http::{HeaderName, Method, Request, Response, header::CACHE_STATUS};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

pub(crate) use crate::log::url::Queries;
use crate::{answer::PROXY_STATUS, log::url};

/// The target of these lines.
pub(crate) const TARGET: &str = "access";

/// Whether anybody reads these lines.
pub(crate) fn is_heard() -> bool {
    tracing::enabled!(target: TARGET, tracing::Level::INFO)
}

/// How long the origin took until the heads of its responses to one request. An extension of the
/// request.
#[derive(Clone, Debug, Default)]
pub(crate) struct OriginTime(Arc<AtomicU64>);

impl OriginTime {
    pub(crate) fn add(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        // Zero means that the origin was not asked.
        self.0.fetch_add(micros.max(1), Ordering::Relaxed);
    }

    fn get(&self) -> Option<Duration> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            micros => Some(Duration::from_micros(micros)),
        }
    }
}

/// Who made a response, as far as its extensions do not say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Maker {
    Cache,
    /// Past the cache.
    Origin,
    Proxy,
}

/// How the body of a response ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Whole,
    /// The client was gone first, or the proxy was.
    Aborted,
    /// It broke off.
    Failed,
}

/// What is known of one request. Written to the log when it is dropped.
#[derive(Debug)]
pub(crate) struct Line {
    method: Method,
    url: String,
    began: Instant,
    origin: OriginTime,
    status: Option<u16>,
    outcome: &'static str,
    reason: String,
    tier: Option<&'static str>,
    bytes: u64,
    end: End,
}

impl Line {
    pub(crate) fn begin<B>(request: &mut Request<B>, queries: Queries) -> Box<Self> {
        let origin = OriginTime::default();
        request.extensions_mut().insert(origin.clone());
        Box::new(Self {
            method: request.method().clone(),
            url: url::shown(request, queries),
            began: Instant::now(),
            origin,
            status: None,
            outcome: "none",
            reason: String::new(),
            tier: None,
            bytes: 0,
            end: End::Aborted,
        })
    }

    /// Notes what the head of a response says. `name` is the proxy's, in it.
    pub(crate) fn answered<B>(&mut self, response: &Response<B>, maker: Maker, name: &str) {
        self.status = Some(response.status().as_u16());
        let outcome = response.extensions().get::<CacheOutcome>();
        self.outcome = match (outcome, maker) {
            (Some(outcome), _) => outcome.as_str(),
            (None, Maker::Proxy) => "own",
            (None, Maker::Cache | Maker::Origin) => "bypassed",
        };
        self.reason = match (outcome, maker) {
            (Some(CacheOutcome::Generated(why)), _) => why.as_str().to_owned(),
            (None, Maker::Proxy) => member(response, &PROXY_STATUS, name),
            (Some(_), _) | (None, Maker::Cache | Maker::Origin) => {
                member(response, &CACHE_STATUS, name)
            }
        };
        self.tier = outcome.and_then(CacheOutcome::tier).map(Tier::as_str);
        if outcome.is_some_and(CacheOutcome::is_hit) {
            // Nobody waited for a refresh behind the client.
            self.origin = OriginTime::default();
        }
    }

    fn took<E>(&mut self, frame: Option<&Result<Frame<Bytes>, E>>) {
        match frame {
            Some(Ok(frame)) => {
                self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
            Some(Err(_)) => self.end = End::Failed,
            None => self.end = End::Whole,
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let (method, url) = (self.method.as_str(), self.url.as_str());
        let reason = (!self.reason.is_empty()).then_some(self.reason.as_str());
        let end = match self.end {
            End::Whole => None,
            End::Aborted => Some("aborted"),
            End::Failed => Some("failed"),
        };
        tracing::info!(
            target: TARGET,
            method,
            url,
            status = self.status,
            outcome = self.outcome,
            reason,
            tier = self.tier,
            bytes = self.bytes,
            ms = millis(self.began.elapsed()),
            origin_ms = self.origin.get().map(millis),
            end,
        );
    }
}

/// Exact to the microsecond.
fn millis(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}

/// The parameters of our member of a field, which is the last one, without its text for people.
fn member<B>(response: &Response<B>, field: &HeaderName, name: &str) -> String {
    let last = response.headers().get_all(field).iter().next_back();
    let parameters = last
        .and_then(|line| line.to_str().ok())
        .and_then(|line| line.strip_prefix(name)?.strip_prefix("; "))
        .unwrap_or_default();
    let told = parameters.split("; details=").next();
    told.unwrap_or_default().to_owned()
}

/// A body whose end is logged, if the log is heard.
#[derive(Debug)]
pub(crate) struct Logged<B: Body> {
    body: B,
    line: Option<Box<Line>>,
}

impl<B: Body> Logged<B> {
    pub(crate) fn new(body: B, line: Option<Box<Line>>) -> Self {
        Self { body, line }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Logged<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(line) = &mut self.line {
            line.took(frame.as_ref());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B: Body> Drop for Logged<B> {
    fn drop(&mut self) {
        // The end of a body whose length is known is not asked for.
        if let Some(line) = &mut self.line
            && line.end == End::Aborted
            && (self.body.is_end_stream() || self.body.size_hint().exact() == Some(0))
        {
            line.end = End::Whole;
        }
    }
}
