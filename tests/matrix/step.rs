//! Steps: a request at a time, what the origin says to it, and what is expected of the answer.

use std::panic::Location;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version,
    header::{IF_MODIFIED_SINCE, IF_NONE_MATCH},
};

use crate::{origin::Content, reply::Reply};

/// A request and what is expected of it.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) at: i64,
    pub(crate) wall_step: i64,
    pub(crate) replies: Vec<Reply>,
    pub(crate) place: &'static Location<'static>,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) content: Bytes,
    /// Steps that are played expect something.
    pub(crate) expected: Option<Expected>,
    pub(crate) checks: Vec<Check>,
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub(crate) enum Expected {
    /// The service's own error.
    Error,
    /// To the origin, for the whole response: with this method and without any condition.
    Fill(Method),
    /// To the origin, as the client sent it.
    Forward,
    /// From the store.
    Hit,
    /// Past the cache.
    Pass,
    /// To the origin with conditions that fail, and again without.
    Refetch(Vec<(HeaderName, HeaderValue)>),
    /// 504 from the cache itself, after so many questions to the origin.
    Refuse(usize),
    /// From the store although stale, because the client allows it.
    StaleToClient,
    /// From the store although stale, in place of an error.
    StaleOnError,
    /// Stale, as the origin failed a moment ago, and without a question.
    StalePaused,
    /// From the store although stale, with so many refreshes in the background.
    StaleWhileRevalidate(usize),
    /// To the origin, with these conditions and no others.
    Validate(Vec<(HeaderName, HeaderValue)>),
}

/// One more thing to be true of an answer.
#[derive(Clone, Debug)]
pub(crate) enum Check {
    Age(u32),
    Body(Bytes),
    BodyFails,
    Lines(HeaderName, Vec<HeaderValue>),
    Lacks(HeaderName),
    OriginSaw(HeaderName, Vec<HeaderValue>),
    Starts(HeaderName, String),
    Status(StatusCode),
    Trailer(HeaderName, HeaderValue),
    Ttl(i64),
}

/// A GET of `http://a.test/x`, so many seconds after the start.
#[track_caller]
pub(crate) fn at(seconds: i64) -> Step {
    Step {
        at: seconds,
        wall_step: 0,
        replies: Vec::new(),
        place: Location::caller(),
        method: Method::GET,
        uri: Uri::from_static("http://a.test/x"),
        version: Version::HTTP_11,
        headers: HeaderMap::new(),
        content: Bytes::new(),
        expected: None,
        checks: Vec::new(),
    }
}

fn name(name: &str) -> HeaderName {
    HeaderName::from_bytes(name.as_bytes()).unwrap()
}

pub(crate) fn value(value: impl AsRef<[u8]>) -> HeaderValue {
    HeaderValue::from_bytes(value.as_ref()).unwrap()
}

// === The request ===

impl Step {
    pub(crate) fn method(mut self, method: &str) -> Self {
        self.method = method.parse().unwrap();
        self
    }

    pub(crate) fn uri(mut self, uri: &str) -> Self {
        self.uri = uri.parse().unwrap();
        self
    }

    pub(crate) fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// One more line of a field.
    pub(crate) fn send(mut self, field: &str, with: impl AsRef<[u8]>) -> Self {
        self.headers.append(name(field), value(with));
        self
    }

    pub(crate) fn cc(self, directives: &str) -> Self {
        self.send("cache-control", directives)
    }

    pub(crate) fn content(mut self, content: &'static str) -> Self {
        self.content = content.into();
        self
    }

    /// The wall clock alone steps, forward or back, before the request.
    pub(crate) fn step_wall(mut self, seconds: i64) -> Self {
        self.wall_step = seconds;
        self
    }

    pub(crate) fn request(&self) -> Request<Content> {
        let mut request = Request::new(Content::new(self.content.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = self.version;
        *request.headers_mut() = self.headers.clone();
        request
    }
}

// === The origin ===

impl Step {
    /// What the origin answers if it is asked. Without this it confirms what a conditional request
    /// asks about, and sends [`second`](crate::reply::second) otherwise.
    pub(crate) fn reply(self, reply: Reply) -> Self {
        self.replies([reply])
    }

    pub(crate) fn replies(mut self, replies: impl IntoIterator<Item = Reply>) -> Self {
        self.replies = replies.into_iter().collect();
        self
    }
}

// === What is expected ===

impl Step {
    /// A hit whose age is that of a response made at the start.
    pub(crate) fn hit(self) -> Self {
        self.expect(Expected::Hit)
    }

    /// Stale, as the client allows.
    pub(crate) fn stale(self) -> Self {
        self.expect(Expected::StaleToClient)
    }

    /// Stale, while one refresh runs in the background.
    pub(crate) fn stale_and_refresh(self) -> Self {
        self.expect(Expected::StaleWhileRevalidate(1))
    }

    /// Stale, and no refresh is tried.
    pub(crate) fn stale_and_wait(self) -> Self {
        self.expect(Expected::StaleWhileRevalidate(0))
    }

    /// Stale, in place of an error.
    pub(crate) fn stale_on_error(self) -> Self {
        self.expect(Expected::StaleOnError)
    }

    /// Stale, as the origin failed a moment ago.
    pub(crate) fn stale_paused(self) -> Self {
        self.expect(Expected::StalePaused)
    }

    /// To the origin, with `If-None-Match` as its one condition.
    pub(crate) fn val(self, tag: &str) -> Self {
        self.expect(Expected::Validate(vec![(IF_NONE_MATCH, value(tag))]))
    }

    /// To the origin, with `If-Modified-Since` as its one condition.
    pub(crate) fn val_since(self, date: &str) -> Self {
        self.expect(Expected::Validate(vec![(IF_MODIFIED_SINCE, value(date))]))
    }

    /// To the origin, with both conditions.
    pub(crate) fn val_both(self, tag: &str, date: &str) -> Self {
        self.expect(Expected::Validate(vec![
            (IF_NONE_MATCH, value(tag)),
            (IF_MODIFIED_SINCE, value(date)),
        ]))
    }

    /// To the origin with `If-None-Match`, and once more without any condition.
    pub(crate) fn refetch(self, tag: &str) -> Self {
        self.expect(Expected::Refetch(vec![(IF_NONE_MATCH, value(tag))]))
    }

    /// To the origin with `If-Modified-Since`, and once more without any condition.
    pub(crate) fn refetch_since(self, date: &str) -> Self {
        self.expect(Expected::Refetch(vec![(IF_MODIFIED_SINCE, value(date))]))
    }

    /// To the origin, with the client's own conditions and range, if any.
    pub(crate) fn fwd(self) -> Self {
        self.expect(Expected::Forward)
    }

    /// To the origin, without the client's conditions and range.
    pub(crate) fn fill(self) -> Self {
        self.expect(Expected::Fill(Method::GET))
    }

    /// Past the cache: not looked up, not stored.
    pub(crate) fn pass(self) -> Self {
        self.expect(Expected::Pass)
    }

    /// 504 from the cache itself, without a question to the origin.
    pub(crate) fn refuse(self) -> Self {
        self.expect(Expected::Refuse(0))
    }

    /// 504 from the cache itself, because the origin did not answer.
    pub(crate) fn refuse_after_asking(self) -> Self {
        self.expect(Expected::Refuse(1))
    }

    /// The service's own error.
    pub(crate) fn error(self) -> Self {
        self.expect(Expected::Error)
    }

    fn expect(mut self, expected: Expected) -> Self {
        self.expected = Some(expected);
        self
    }

    pub(crate) fn age(self, seconds: u32) -> Self {
        self.check(Check::Age(seconds))
    }

    /// What is left of the freshness lifetime.
    pub(crate) fn ttl(self, seconds: i64) -> Self {
        self.check(Check::Ttl(seconds))
    }

    pub(crate) fn status(self, code: u16) -> Self {
        self.check(Check::Status(StatusCode::from_u16(code).unwrap()))
    }

    pub(crate) fn body(self, body: &'static str) -> Self {
        self.check(Check::Body(body.into()))
    }

    /// The body ends with an error.
    pub(crate) fn body_fails(self) -> Self {
        self.check(Check::BodyFails)
    }

    /// The answer has exactly this line of the field.
    pub(crate) fn has(self, field: &str, line: impl AsRef<[u8]>) -> Self {
        self.check(Check::Lines(name(field), vec![value(line)]))
    }

    /// The answer has exactly these lines of the field, in this order.
    pub(crate) fn lines(self, field: &str, lines: &[&str]) -> Self {
        self.check(Check::Lines(name(field), lines.iter().map(value).collect()))
    }

    /// The one line of the field starts like this.
    pub(crate) fn starts(self, field: &str, beginning: &str) -> Self {
        self.check(Check::Starts(name(field), beginning.to_owned()))
    }

    pub(crate) fn lacks(self, field: &str) -> Self {
        self.check(Check::Lacks(name(field)))
    }

    pub(crate) fn trailer(self, field: &str, with: &str) -> Self {
        self.check(Check::Trailer(name(field), value(with)))
    }

    /// The first request that reached the origin had exactly these lines of the field.
    pub(crate) fn saw_lines(self, field: &str, lines: &[&str]) -> Self {
        let lines = lines.iter().map(value).collect();
        self.check(Check::OriginSaw(name(field), lines))
    }

    /// The first request that reached the origin had exactly this line of the field.
    pub(crate) fn saw(self, field: &str, line: &str) -> Self {
        self.check(Check::OriginSaw(name(field), vec![value(line)]))
    }

    fn check(mut self, check: Check) -> Self {
        self.checks.push(check);
        self
    }
}
