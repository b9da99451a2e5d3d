//! Fields of HTTP/2 that say more, or something else, in HTTP/1.

use super::{
    DATA, END_HEADERS, END_STREAM, Expect,
    Expect::{Either, Refused, Served},
    Fields, HEADERS, SMUGGLED, first, frame, instead, judge, post, section, with, without,
};
use crate::smuggling::stage::{Say, Stage};

#[tokio::test]
async fn one_request_of_http2_is_one_of_http1() {
    let content = SMUGGLED.as_bytes();
    let cases: Vec<(&str, Fields, &[u8], Expect)> = vec![
        ("sound", post(|_| ()), content, Served),
        ("its length", with("content-length", "43"), content, Served),
        (
            "a shorter length",
            with("content-length", "4"),
            content,
            Refused,
        ),
        ("no length", with("content-length", "0"), content, Refused),
        (
            "a longer length",
            with("content-length", "400"),
            content,
            Refused,
        ),
        (
            "two lengths",
            post(|f| f.extend([("content-length", "0"), ("content-length", "43")])),
            content,
            Refused,
        ),
        (
            "two lengths, the first one right",
            post(|f| f.extend([("content-length", "43"), ("content-length", "0")])),
            content,
            Refused,
        ),
        (
            "the same length twice",
            post(|f| f.extend([("content-length", "43"), ("content-length", "43")])),
            content,
            Refused,
        ),
        (
            "a list of lengths",
            with("content-length", "43, 43"),
            content,
            Refused,
        ),
        (
            "a length with plus",
            with("content-length", "+43"),
            content,
            Refused,
        ),
        (
            "an empty length",
            with("content-length", ""),
            content,
            Refused,
        ),
        (
            "a huge length",
            with("content-length", "18446744073709551659"),
            content,
            Refused,
        ),
        (
            "a length that is none",
            with("content-length", "x"),
            content,
            Refused,
        ),
        (
            "a length with a space",
            with("content-length", " 43"),
            content,
            Either,
        ),
        (
            "transfer-encoding",
            with("transfer-encoding", "chunked"),
            b"0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n",
            Refused,
        ),
        ("connection", with("connection", "close"), content, Refused),
        (
            "connection: content-length",
            with("connection", "content-length"),
            content,
            Refused,
        ),
        (
            "keep-alive",
            with("keep-alive", "timeout=5"),
            content,
            Refused,
        ),
        (
            "proxy-connection",
            with("proxy-connection", "close"),
            content,
            Refused,
        ),
        ("upgrade", with("upgrade", "h2c"), content, Refused),
        ("te: gzip", with("te", "gzip"), content, Refused),
        ("te: trailers", with("te", "trailers"), content, Served),
        (
            "transfer_encoding",
            with("transfer_encoding", "chunked"),
            content,
            Either,
        ),
        (
            "CR LF in a value",
            with("x", "y\r\nTransfer-Encoding: chunked"),
            content,
            Refused,
        ),
        (
            "LF in a value",
            with("x", "y\nTransfer-Encoding: chunked"),
            content,
            Refused,
        ),
        (
            "CR in a value",
            with("x", "y\rTransfer-Encoding: chunked"),
            content,
            Refused,
        ),
        ("NUL in a value", with("x", "y\0"), content, Refused),
        ("DEL in a value", with("x", "y\x7f"), content, Refused),
        ("spaces around a value", with("x", " y\t"), content, Either),
        ("upper case in a name", with("X-Y", "z"), content, Refused),
        (
            "Transfer-Encoding in upper case",
            with("Transfer-Encoding", "chunked"),
            content,
            Refused,
        ),
        (
            "a colon in a name",
            with("x: y\r\ntransfer-encoding", "chunked"),
            content,
            Refused,
        ),
        (
            "a colon behind a name",
            with("transfer-encoding:", "chunked"),
            content,
            Refused,
        ),
        (
            "a space behind a name",
            with("transfer-encoding ", "chunked"),
            content,
            Refused,
        ),
        (
            "a space in front of a name",
            with(" transfer-encoding", "chunked"),
            content,
            Refused,
        ),
        (
            "CR LF in a name",
            with("x\r\ntransfer-encoding", "chunked"),
            content,
            Refused,
        ),
        (
            "NUL in a name",
            with("transfer-encoding\0", "chunked"),
            content,
            Refused,
        ),
        ("an empty name", with("", "x"), content, Refused),
        (
            "obs-text in a name",
            with("transfer-encodin\u{e9}", "chunked"),
            content,
            Refused,
        ),
        (
            "a request in :path",
            instead(":path", "/a HTTP/1.1\r\nHost: b\r\n\r\nGET /smuggled"),
            content,
            Refused,
        ),
        (
            "a space in :path",
            instead(":path", "/a HTTP/1.1"),
            content,
            Refused,
        ),
        (
            "a tab in :path",
            instead(":path", "/a\tHTTP/1.1"),
            content,
            Refused,
        ),
        (
            "CR LF in :path",
            instead(":path", "/a\r\nX: y"),
            content,
            Refused,
        ),
        ("NUL in :path", instead(":path", "/a\0"), content, Refused),
        ("an empty :path", instead(":path", ""), content, Refused),
        (
            "a :path without a slash",
            instead(":path", "a"),
            content,
            Either,
        ),
        (
            "a :path of another host",
            instead(":path", "http://b.example/a"),
            content,
            Either,
        ),
        (
            "a :path that starts with @",
            instead(":path", "@b.example/a"),
            content,
            Either,
        ),
        ("* for POST", instead(":path", "*"), content, Refused),
        (
            "a fragment in :path",
            instead(":path", "/a#b"),
            content,
            Either,
        ),
        ("two :paths", with(":path", "/smuggled"), content, Refused),
        ("no :path", without(":path"), content, Refused),
        (
            "a request in :method",
            instead(":method", "GET /smuggled HTTP/1.1\r\nHost: b\r\n\r\nPOST"),
            content,
            Refused,
        ),
        (
            "a space in :method",
            instead(":method", "GET /smuggled"),
            content,
            Refused,
        ),
        ("an empty :method", instead(":method", ""), content, Refused),
        ("two :methods", first(":method", "GET"), content, Refused),
        ("no :method", without(":method"), content, Refused),
        (
            "two :authoritys",
            first(":authority", "b.example"),
            content,
            Refused,
        ),
        (
            "a name in :authority",
            instead(":authority", "b@a.example"),
            content,
            Refused,
        ),
        (
            "CR LF in :authority",
            instead(":authority", "a.example\r\nX: y"),
            content,
            Refused,
        ),
        (
            "a space in :authority",
            instead(":authority", "a.example b"),
            content,
            Refused,
        ),
        (
            "a path in :authority",
            instead(":authority", "a.example/b"),
            content,
            Refused,
        ),
        (
            "an empty :authority",
            instead(":authority", ""),
            content,
            Refused,
        ),
        ("no :authority", without(":authority"), content, Refused),
        ("another host", with("host", "b.example"), content, Refused),
        ("the same host", with("host", "a.example"), content, Served),
        (
            "two hosts",
            post(|f| f.extend([("host", "a.example"), ("host", "b.example")])),
            content,
            Refused,
        ),
        (
            "another :scheme",
            instead(":scheme", "ftp"),
            content,
            Refused,
        ),
        (
            "a URL in :scheme",
            instead(":scheme", "http://b.example/?"),
            content,
            Refused,
        ),
        ("two :schemes", first(":scheme", "https"), content, Refused),
        ("no :scheme", without(":scheme"), content, Refused),
        (
            "an unknown pseudo-field",
            first(":x", "y"),
            content,
            Refused,
        ),
        (
            ":status in a request",
            first(":status", "200"),
            content,
            Refused,
        ),
        (
            ":protocol",
            first(":protocol", "websocket"),
            content,
            Refused,
        ),
        (
            "a pseudo-field behind another",
            post(|f| f.push((":authority", "b.example"))),
            content,
            Refused,
        ),
        ("CONNECT", instead(":method", "CONNECT"), content, Refused),
        (
            "a cookie with CR LF",
            with("cookie", "a=b\r\nX: y"),
            content,
            Refused,
        ),
        ("expect", with("expect", "100-continue"), content, Either),
    ];
    let mut stage = Stage::start(|_| Say::Echo).await;
    let mut failed = Vec::new();
    for (name, fields, content, expect) in cases {
        let frames = [
            frame(HEADERS, END_HEADERS, 1, &section(&fields)),
            frame(DATA, END_STREAM, 1, content),
        ];
        failed.extend(judge(&mut stage, name, &frames, content, expect).await);
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
