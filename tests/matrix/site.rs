//! The site of a case: a cache over the scripted origin, and a clock that the test moves.

use std::time::Duration;

use bytes::Bytes;
use cachewarp::{
    BoxError, CacheBody, CacheBuilder, CacheHandle, CacheLayer, CacheOutcome, CacheService,
    clock::{Clock, ManualClock},
};
use http::{Extensions, HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use tower::{Layer, ServiceExt};

use crate::{
    date::T0,
    origin::{Content, Origin},
    reply::Unreachable,
    step::Step,
};

/// What the cache answers with.
pub(crate) type Live = Response<CacheBody<UnsyncBoxBody<Bytes, BoxError>>>;

/// Longer than anything here takes, by the paused clock of tokio.
const LONG: Duration = Duration::from_secs(3600);

/// A cache over an origin.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) clock: ManualClock,
    pub(crate) handle: CacheHandle,
    pub(crate) origin: Origin,
    service: CacheService<Origin>,
}

impl Site {
    /// A site with these settings.
    pub(crate) fn new(settings: impl FnOnce(CacheBuilder) -> CacheBuilder) -> Self {
        let clock = ManualClock::at(T0);
        let origin = Origin::new(&clock);
        let builder = CacheLayer::builder().clock(clock.clone());
        let layer = settings(builder).build().unwrap();
        Self {
            handle: layer.handle(),
            service: layer.layer(origin.clone()),
            clock,
            origin,
        }
    }

    /// A site with the default settings.
    pub(crate) fn plain() -> Self {
        Self::new(|builder| builder)
    }

    /// Lets time pass until so many seconds after the start.
    pub(crate) fn wait_until(&self, at: i64) {
        let at = Duration::from_secs(at.try_into().expect("nothing happens before the start"));
        let passing = at.checked_sub(self.clock.monotonic());
        self.clock.advance(passing.expect("time does not go back"));
    }

    /// Sends a request, and returns as soon as there is a head.
    pub(crate) async fn send(&self, request: Request<Content>) -> Result<Live, Unreachable> {
        self.service.clone().oneshot(request).await
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn ask(&self, request: Request<Content>) -> Result<Answer, Unreachable> {
        Ok(Answer::read(self.send(request).await?).await)
    }

    /// Plays a step and everything it starts in the background, and says what was not as expected.
    pub(crate) async fn play(&self, step: Step) -> Vec<String> {
        self.wait_until(step.at);
        self.clock.step_wall(step.wall_step);
        self.origin.script(step.replies.clone());
        let before = self.origin.calls();
        let answer = self.ask(step.request()).await;
        let left = self.handle.drain(LONG).await;
        assert_eq!(left, 0, "background work goes on and on");
        step.verify(answer, &self.origin.seen(before))
    }

    /// Plays a step that must go as expected.
    pub(crate) async fn expect(&self, step: Step) {
        let findings = self.play(step).await;
        assert!(findings.is_empty(), "\n{}", findings.join("\n"));
    }

    /// Waits for fills and refreshes to end.
    pub(crate) async fn drain(&self) {
        assert_eq!(self.handle.drain(LONG).await, 0);
    }
}

/// Returns once every task waits for something: paused time moves only then.
pub(crate) async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) trailers: Option<HeaderMap>,
    pub(crate) extensions: Extensions,
    /// What arrived of the body.
    pub(crate) body: Bytes,
    pub(crate) ending: Ending,
}

/// How a body ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ending {
    Clean,
    Error,
}

impl Answer {
    pub(crate) async fn read(response: Live) -> Self {
        let (parts, mut body) = response.into_parts();
        let (mut bytes, mut trailers, mut ending) = (Vec::new(), None, Ending::Clean);
        while let Some(frame) = body.frame().await {
            match frame.map(http_body::Frame::into_data) {
                Ok(Ok(data)) => bytes.extend_from_slice(&data),
                Ok(Err(frame)) => trailers = frame.into_trailers().ok(),
                Err(_) => {
                    ending = Ending::Error;
                    break;
                }
            }
        }
        Self {
            status: parts.status,
            headers: parts.headers,
            trailers,
            extensions: parts.extensions,
            body: bytes.into(),
            ending,
        }
    }

    pub(crate) fn outcome(&self) -> CacheOutcome {
        let outcome = self.extensions.get().cloned();
        outcome.expect("every answer says what it comes of")
    }

    /// The lines of a field.
    pub(crate) fn lines(&self, name: &str) -> Vec<&[u8]> {
        let lines = self.headers.get_all(name);
        lines.iter().map(http::HeaderValue::as_bytes).collect()
    }
}
