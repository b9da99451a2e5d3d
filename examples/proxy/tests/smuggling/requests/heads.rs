//! Request lines, line ends, and fields about the connection.

use super::{
    A, BOTH,
    Expect::{self, Either, Refused, Served},
    SMUGGLED, run,
};
use crate::smuggling::stage::carrying;

#[tokio::test]
async fn heads_are_read_in_one_way() {
    let a = "GET /a HTTP/1.1\r\nHost: a.example\r\n";
    let cases: &[(&str, &str, Expect)] = &[
        (
            "sound",
            "GET /a HTTP/1.1\r\nHost: a.example\r\n\r\n",
            Served(BOTH),
        ),
        ("LF alone", "GET /a HTTP/1.1\nHost: a.example\n\n", Either),
        ("LF LF at the end", "@A\n", Either),
        ("CR alone", "GET /a HTTP/1.1\rHost: a.example\r\r", Refused),
        (
            "CR CR LF",
            "GET /a HTTP/1.1\r\r\nHost: a.example\r\r\n\r\r\n",
            Refused,
        ),
        (
            "LF CR",
            "GET /a HTTP/1.1\n\rHost: a.example\n\r\n\r",
            Refused,
        ),
        ("empty lines in front", "\r\n\r\n@A\r\n", Served(BOTH)),
        ("empty lines of LF in front", "\n\n@A\r\n", Either),
        (
            "spaces before the first field",
            "GET /a HTTP/1.1\r\n X: y\r\nHost: a.example\r\n\r\n",
            Refused,
        ),
        (
            "tab before the first field",
            "GET /a HTTP/1.1\r\n\tHost: a.example\r\n\r\n",
            Refused,
        ),
        ("a fold", "@AX: y\r\n z\r\n\r\n", Refused),
        ("a fold that is empty", "@AX: y\r\n \r\n\r\n", Refused),
        ("NUL in a value", "@AX: y\0z\r\n\r\n", Refused),
        ("CR in a value", "@AX: y\rz\r\n\r\n", Refused),
        ("DEL in a value", "@AX: y\x7fz\r\n\r\n", Refused),
        ("obs-text in a value", "@AX: \u{e9}\r\n\r\n", Served(BOTH)),
        ("no name", "@A: y\r\n\r\n", Refused),
        ("no colon", "@AX\r\n\r\n", Refused),
        (
            "spaces between the words",
            "GET  /a  HTTP/1.1\r\nHost: a.example\r\n\r\n",
            Refused,
        ),
        (
            "tabs between the words",
            "GET\t/a\tHTTP/1.1\r\nHost: a.example\r\n\r\n",
            Refused,
        ),
        (
            "a space behind the version",
            "GET /a HTTP/1.1 \r\nHost: a.example\r\n\r\n",
            Refused,
        ),
        (
            "two versions",
            "GET /a HTTP/1.1 HTTP/1.1\r\nHost: a.example\r\n\r\n",
            Refused,
        ),
        (
            "a space in front",
            " GET /a HTTP/1.1\r\nHost: a.example\r\n\r\n",
            Refused,
        ),
        (
            "HTTP/1.2",
            "GET /a HTTP/1.2\r\nHost: a.example\r\n\r\n",
            Refused,
        ),
        (
            "HTTP/1.10",
            "GET /a HTTP/1.10\r\nHost: a.example\r\n\r\n",
            Refused,
        ),
        (
            "HTTP/2.0",
            "GET /a HTTP/2.0\r\nHost: a.example\r\n\r\n",
            Refused,
        ),
        (
            "http/1.1",
            "GET /a http/1.1\r\nHost: a.example\r\n\r\n",
            Refused,
        ),
        ("HTTP/0.9", "GET /a\r\n", Refused),
        ("HTTP/1.0", "GET /a HTTP/1.0\r\n\r\n", Served(A)),
        (
            "HTTP/1.0 that stays",
            "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            Served(BOTH),
        ),
        (
            "HTTP/1.0 with content",
            "POST /a HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc",
            Served(BOTH),
        ),
        (
            "HTTP/1.0 with chunks",
            "POST /a HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n@M",
            Refused,
        ),
        (
            "HTTP/1.0 with both",
            "POST /a HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: @L\r\nTransfer-Encoding: chunked\r\n\r\n@M",
            Refused,
        ),
        (
            "a GET with a length",
            "@AContent-Length: @L\r\n\r\n@M",
            Served(BOTH),
        ),
        (
            "a GET with chunks",
            "@ATransfer-Encoding: chunked\r\n\r\n@X\r\n@M\r\n0\r\n\r\n",
            Served(BOTH),
        ),
        (
            "Connection: content-length",
            "@AConnection: content-length\r\nContent-Length: @L\r\n\r\n@M",
            Served(BOTH),
        ),
        (
            "Connection: transfer-encoding",
            "@AConnection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n@X\r\n@M\r\n0\r\n\r\n",
            Served(BOTH),
        ),
        (
            "Connection: host",
            "@AConnection: host\r\n\r\n",
            Served(BOTH),
        ),
        (
            "Expect",
            "@AExpect: 100-continue\r\nContent-Length: @L\r\n\r\n@M",
            Served(BOTH),
        ),
        (
            "Expect with chunks",
            "@AExpect: 100-Continue\r\nTransfer-Encoding: chunked\r\n\r\n@X\r\n@M\r\n0\r\n\r\n",
            Served(BOTH),
        ),
        (
            "Expect of nothing",
            "@AExpect: 100-continue\r\n\r\n@M",
            Served(&["/a", "/smuggled", "/last"]),
        ),
        (
            "another Expect",
            "@AExpect: y 100-continue\r\nContent-Length: @L\r\n\r\n@M",
            Either,
        ),
        (
            "Upgrade: h2c",
            "@AConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n@M",
            Served(&["/a", "/smuggled", "/last"]),
        ),
        (
            "Upgrade: websocket that is not granted",
            "@AConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n@M",
            Either,
        ),
        (
            "Upgrade with a length",
            "@AConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: @L\r\n\r\n@M",
            Either,
        ),
        (
            "the preface of HTTP/2 behind",
            "@A\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            Served(A),
        ),
        ("two Hosts", "@AHost: b.example\r\n\r\n", Refused),
        ("no Host", "GET /a HTTP/1.1\r\n\r\n", Refused),
        (
            "Host with a space before the colon",
            "GET /a HTTP/1.1\r\nHost : a.example\r\n\r\n",
            Refused,
        ),
        (
            "absolute form",
            "GET http://b.example/a HTTP/1.1\r\nHost: a.example\r\n\r\n",
            Served(BOTH),
        ),
        (
            "absolute form without a path",
            "GET http://b.example HTTP/1.1\r\nHost: a.example\r\n\r\n",
            Served(&["/", "/last"]),
        ),
        (
            "absolute form with a fragment alone",
            "GET http://b.example#/a HTTP/1.1\r\nHost: a.example\r\n\r\n",
            Served(&["/", "/last"]),
        ),
        (
            "absolute form with a query alone",
            "GET http://b.example?a HTTP/1.1\r\nHost: a.example\r\n\r\n",
            Served(&["/?a", "/last"]),
        ),
        (
            "absolute form with a name",
            "GET http://a@b.example/a HTTP/1.1\r\nHost: a.example\r\n\r\n",
            Refused,
        ),
        (
            "absolute form with another scheme",
            "GET ftp://b.example/a HTTP/1.1\r\nHost: a.example\r\n\r\n",
            Refused,
        ),
        (
            "a path without a slash",
            "GET a HTTP/1.1\r\nHost: a.example\r\n\r\n",
            Refused,
        ),
        (
            "two slashes",
            "GET //a HTTP/1.1\r\nHost: a.example\r\n\r\n",
            Served(&["//a", "/last"]),
        ),
        (
            "a fragment",
            "GET /a#b HTTP/1.1\r\nHost: a.example\r\n\r\n",
            Either,
        ),
        (
            "a request in the path",
            "GET /a%20HTTP/1.1%0d%0aHost:%20b%0d%0a HTTP/1.1\r\nHost: a.example\r\n\r\n",
            Served(&["/a%20HTTP/1.1%0d%0aHost:%20b%0d%0a", "/last"]),
        ),
        (
            "NUL in the path",
            "GET /a\0 HTTP/1.1\r\nHost: a.example\r\n\r\n",
            Refused,
        ),
        (
            "DEL in the path",
            "GET /a\x7f HTTP/1.1\r\nHost: a.example\r\n\r\n",
            Either,
        ),
        (
            "obs-text in the path",
            "GET /a\u{e9} HTTP/1.1\r\nHost: a.example\r\n\r\n",
            Either,
        ),
        (
            "CONNECT",
            "CONNECT a.example:80 HTTP/1.1\r\nHost: a.example\r\n\r\n",
            Refused,
        ),
        (
            "CONNECT with a length",
            "CONNECT a.example:80 HTTP/1.1\r\nHost: a.example\r\nContent-Length: @L\r\n\r\n@M",
            Refused,
        ),
        (
            "an unknown method",
            "SMUGGLE /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: @L\r\n\r\n@M",
            Served(BOTH),
        ),
        (
            "a method in lower case",
            "get /a HTTP/1.1\r\nHost: a.example\r\n\r\n",
            Either,
        ),
        (
            "a method that is no token",
            "GE(T /a HTTP/1.1\r\nHost: a.example\r\n\r\n",
            Refused,
        ),
        (
            "TRACE with content",
            "TRACE /a HTTP/1.1\r\nHost: a.example\r\nMax-Forwards: 0\r\nContent-Length: @L\r\n\r\n@M",
            Either,
        ),
        (
            "a refused request with a length",
            "POST /a HTTP/1.1\r\nContent-Length: @L\r\n\r\n@M",
            Refused,
        ),
        (
            "a refused request with chunks",
            "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n@X\r\n@M\r\n0\r\n\r\n",
            Refused,
        ),
        (
            "HEAD with a length",
            "HEAD /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: @L\r\n\r\n@M",
            Served(BOTH),
        ),
        (
            "HEAD with chunks",
            "HEAD /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n@X\r\n@M\r\n0\r\n\r\n",
            Served(BOTH),
        ),
        (
            "overrides of the method",
            "@AX-HTTP-Method-Override: CONNECT\r\n\r\n",
            Served(BOTH),
        ),
    ];
    let cases = cases.iter().map(|(name, sent, expect)| {
        let sent = carrying(SMUGGLED, &sent.replace("@A", a));
        (*name, sent.into_bytes(), *expect)
    });
    run(cases).await;
}
