//! What becomes of a connection of HTTP/1 after a response: pure rules.

use std::time::Duration;

use http::{
    HeaderMap, HeaderName, Method, StatusCode, Version,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};

use crate::hop;

/// How long a connection is kept whose origin does not say how long it waits.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long nothing may come after the answer to a HEAD, which tells of content and has none (RFC 9112
/// section 6.3), before its connection is used again. An origin that sends the content all the same does so
/// at once.
pub(crate) const SILENCE: Duration = Duration::from_millis(100);

/// Taken off what the origin says, for the way that a request takes.
const MARGIN: Duration = Duration::from_secs(1);

static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Close,
    /// Use it again, if it was not idle for longer than this.
    Reuse(Duration),
    /// The same, if the origin is silent first.
    Listen(Duration),
}

/// How many requests a connection has had, and how many the origin takes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    answered: u32,
    most: Option<u32>,
}

impl Count {
    pub(crate) fn has_answered(self) -> bool {
        self.answered > 0
    }

    /// After one more response, that to a request with this method.
    pub(crate) fn next(
        &mut self,
        method: &Method,
        status: StatusCode,
        version: Version,
        headers: &HeaderMap,
    ) -> Next {
        let before = self.answered;
        self.answered = before.saturating_add(1);
        // HTTP/1.0 knows no chunked content: a request that has it would lose it there.
        if version != Version::HTTP_11 {
            return Next::Close;
        }
        // Some origins say how many are left, others how many there are in all.
        if let Some(most) = parameter(headers, b"max") {
            let most = before.saturating_add(u32::try_from(most).unwrap_or(u32::MAX));
            self.most = Some(self.most.map_or(most, |known| known.min(most)));
        }
        if self.most.is_some_and(|most| self.answered >= most) {
            return Next::Close;
        }
        let idle = match parameter(headers, b"timeout") {
            Some(0) => return Next::Close,
            Some(seconds) => {
                let said = Duration::from_secs(seconds);
                (said - MARGIN.min(said / 2)).min(IDLE_TIMEOUT)
            }
            None => IDLE_TIMEOUT,
        };
        match told_content(method, status, headers) {
            Told::Nothing => Next::Reuse(idle),
            Told::Usual => Next::Listen(idle),
            Told::Odd => Next::Close,
        }
    }
}

/// Whether a response that has no content tells of some.
enum Told {
    Nothing,
    /// Of what a GET would get (RFC 9110 section 8.6): nearly every answer to a HEAD does.
    Usual,
    /// An origin that tells of content here may well send it.
    Odd,
}

fn told_content(method: &Method, status: StatusCode, headers: &HeaderMap) -> Told {
    let never_has_content = status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
    if !declares_content(headers) {
        Told::Nothing
    } else if never_has_content {
        // A 304 may tell the length of what it stands for. Few do, so that closing costs little.
        Told::Odd
    } else if *method == Method::HEAD {
        Told::Usual
    } else {
        Told::Nothing
    }
}

/// Whether a head tells of content, so that some may follow.
pub(crate) fn declares_content(headers: &HeaderMap) -> bool {
    let lengths = headers.get_all(CONTENT_LENGTH).iter();
    headers.contains_key(TRANSFER_ENCODING)
        || lengths.into_iter().any(|length| length.as_bytes() != b"0")
}

/// The smallest value of a parameter of Keep-Alive, such as `timeout=5`.
fn parameter(headers: &HeaderMap, name: &[u8]) -> Option<u64> {
    let values = hop::options(headers, &KEEP_ALIVE).filter_map(|option| {
        let equals = option.iter().position(|&byte| byte == b'=')?;
        let (key, value) = option.split_at(equals);
        if !key.trim_ascii().eq_ignore_ascii_case(name) {
            return None;
        }
        let value = std::str::from_utf8(&value[1..]).ok()?;
        value.trim().trim_matches('"').parse().ok()
    });
    values.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    fn next(method: &Method, status: u16, lines: &[(&'static str, &str)]) -> Next {
        let status = StatusCode::from_u16(status).unwrap();
        Count::default().next(method, status, Version::HTTP_11, &fields(lines))
    }

    #[test]
    fn a_response_that_has_no_content_and_tells_of_some_is_not_trusted() {
        let reuse = Next::Reuse(IDLE_TIMEOUT);
        let listen = Next::Listen(IDLE_TIMEOUT);
        let (get, head) = (Method::GET, Method::HEAD);
        let length = ("content-length", "5");
        let zero = ("content-length", "0");
        let chunked = ("transfer-encoding", "chunked");
        for (method, status, line, expected) in [
            (&get, 200, length, reuse),
            (&get, 200, chunked, reuse),
            (&get, 204, zero, reuse),
            (&get, 204, ("content-length", "00"), Next::Close),
            (&get, 204, length, Next::Close),
            (&get, 204, chunked, Next::Close),
            (&get, 304, zero, reuse),
            (&get, 304, ("content-length", "00"), Next::Close),
            (&get, 304, length, Next::Close),
            (&get, 304, chunked, Next::Close),
            (&head, 200, zero, reuse),
            (&head, 200, length, listen),
            (&head, 200, chunked, listen),
            (&head, 204, length, Next::Close),
            (&head, 304, length, Next::Close),
        ] {
            let next = next(method, status, &[line]);
            assert_eq!(next, expected, "{method} {status} {line:?}");
        }
    }

    #[test]
    fn a_connection_rests_for_less_than_the_origin_waits() {
        for (value, expected) in [
            ("timeout=5", Some(4_000)),
            ("timeout=5, max=100", Some(4_000)),
            ("max=100,Timeout = \"5\"", Some(4_000)),
            ("timeout=2", Some(1_000)),
            ("timeout=1", Some(500)),
            ("timeout=0", None),
            ("timeout=5, timeout=1", Some(500)),
            ("timeout=86400", Some(60_000)),
            ("timeout=99999999999999999999", Some(60_000)),
            ("timeout=-1", Some(60_000)),
            ("timeout", Some(60_000)),
            ("max=0", None),
            ("max=1", None),
            ("max=2", Some(60_000)),
        ] {
            let expected = match expected {
                Some(millis) => Next::Reuse(Duration::from_millis(millis)),
                None => Next::Close,
            };
            let next = next(&Method::GET, 200, &[("keep-alive", value)]);
            assert_eq!(next, expected, "{value}");
        }
    }

    #[test]
    fn the_most_requests_are_counted_in_both_ways() {
        for said in [["max=3", "max=2", "max=1"], ["max=3", "max=3", "max=3"]] {
            let mut count = Count::default();
            let closes = said.map(|value| {
                let fields = fields(&[("keep-alive", value)]);
                let next = count.next(&Method::GET, StatusCode::OK, Version::HTTP_11, &fields);
                next == Next::Close
            });
            assert_eq!(closes, [false, false, true], "{said:?}");
        }
    }

    #[test]
    fn an_old_origin_gets_one_request_on_a_connection() {
        let next = Count::default().next(
            &Method::GET,
            StatusCode::OK,
            Version::HTTP_10,
            &fields(&[("connection", "keep-alive")]),
        );
        assert_eq!(next, Next::Close);
    }
}
