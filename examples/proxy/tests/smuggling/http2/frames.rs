//! Trailers and frames of HTTP/2 that would be more than one request in HTTP/1.

use super::{
    DATA, END_HEADERS, END_STREAM,
    Expect::{Either, Refused, Served},
    HEADERS, RST_STREAM, SMUGGLED, frame, judge, post, section, with,
};
use crate::smuggling::stage::{Say, Stage};

#[tokio::test]
async fn trailers_of_http2_stay_trailers() {
    let content = SMUGGLED.as_bytes();
    let mut stage = Stage::start(|_| Say::Echo).await;
    let mut failed = Vec::new();
    for (name, trailers, expect) in [
        ("a trailer", vec![("x-sum", "7")], Served),
        (
            "content-length in a trailer",
            vec![("content-length", "0")],
            Either,
        ),
        (
            "transfer-encoding in a trailer",
            vec![("transfer-encoding", "chunked")],
            Refused,
        ),
        ("host in a trailer", vec![("host", "b.example")], Either),
        (
            "a pseudo-field in a trailer",
            vec![(":path", "/smuggled")],
            Either,
        ),
        (
            "CR LF in a trailer",
            vec![("x", "y\r\n\r\nGET /smuggled HTTP/1.1")],
            Refused,
        ),
        (
            "a name with a colon in a trailer",
            vec![("x: y\r\n\r\n", "z")],
            Refused,
        ),
    ] {
        for announced in ["x-sum", "content-length, transfer-encoding, host, x"] {
            let head = with("trailer", announced);
            let frames = [
                frame(HEADERS, END_HEADERS, 1, &section(&head)),
                frame(DATA, 0, 1, content),
                frame(HEADERS, END_HEADERS | END_STREAM, 1, &section(&trailers)),
            ];
            failed.extend(judge(&mut stage, name, &frames, content, expect).await);
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[tokio::test]
async fn frames_of_http2_are_no_requests_of_http1() {
    let content = SMUGGLED.as_bytes();
    let mut stage = Stage::start(|_| Say::Echo).await;
    let mut failed = Vec::new();
    let head = || frame(HEADERS, END_HEADERS, 1, &section(&post(|_| ())));
    let whole = || {
        frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            1,
            &section(&post(|_| ())),
        )
    };
    for (name, frames, content, expect) in [
        ("no content", vec![whole()], &b""[..], Served),
        (
            "an empty frame of content",
            vec![head(), frame(DATA, END_STREAM, 1, b"")],
            b"",
            Served,
        ),
        (
            "content behind the end",
            vec![whole(), frame(DATA, END_STREAM, 1, content)],
            b"",
            Either,
        ),
        (
            "HTTP/1 behind the end",
            vec![whole(), SMUGGLED.into()],
            b"",
            Either,
        ),
        ("HTTP/1 within", vec![head(), SMUGGLED.into()], b"", Refused),
        (
            "no end",
            vec![head(), frame(DATA, 0, 1, content)],
            content,
            Refused,
        ),
        (
            "a reset",
            vec![
                head(),
                frame(DATA, 0, 1, content),
                frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]),
            ],
            content,
            Refused,
        ),
        (
            "a head that does not end",
            vec![
                frame(HEADERS, 0, 1, &section(&post(|_| ()))),
                frame(DATA, END_STREAM, 1, content),
            ],
            content,
            Refused,
        ),
    ] {
        failed.extend(judge(&mut stage, name, &frames, content, expect).await);
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
