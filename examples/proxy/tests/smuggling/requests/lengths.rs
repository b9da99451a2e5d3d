//! Lengths of requests, alone and beside a transfer coding.

use super::{
    A, BOTH,
    Expect::{self, Either, Refused, Served},
    post, run,
};

#[tokio::test]
async fn content_length_and_transfer_encoding_are_read_in_one_way() {
    let te = "Transfer-Encoding: chunked\r\n";
    let cases: &[(&str, &str, &str, Expect)] = &[
        ("a length", "Content-Length: @L\r\n", "@M", Served(BOTH)),
        ("chunks", te, "@X\r\n@M\r\n0\r\n\r\n", Served(BOTH)),
        ("no content", "", "", Served(BOTH)),
        (
            "a smuggled request is the client's own",
            "",
            "@M",
            Served(&["/a", "/smuggled", "/last"]),
        ),
        // Both: the length goes, and so does the connection (RFC 9112 section 6.3).
        (
            "CL.TE",
            "Content-Length: @L\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n@M",
            Served(A),
        ),
        (
            "TE.CL",
            "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
            "@X\r\n@M\r\n0\r\n\r\n",
            Served(A),
        ),
        (
            "CL.TE.CL",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n",
            "0\r\n\r\n@M",
            Served(A),
        ),
        (
            "TE and a bad CL",
            "Transfer-Encoding: chunked\r\nContent-Length: x\r\n",
            "0\r\n\r\n@M",
            Either,
        ),
        (
            "a bad CL and TE",
            "Content-Length: x\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n@M",
            Refused,
        ),
        (
            "CL: 0 and TE",
            "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n@M",
            Served(A),
        ),
        (
            "same CLs",
            "Content-Length: @L\r\nContent-Length: @L\r\n",
            "@M",
            Either,
        ),
        (
            "different CLs",
            "Content-Length: 0\r\nContent-Length: @L\r\n",
            "@M",
            Refused,
        ),
        (
            "different CLs, the other order",
            "Content-Length: @L\r\nContent-Length: 0\r\n",
            "@M",
            Refused,
        ),
        (
            "a list of the same CL",
            "Content-Length: @L, @L\r\n",
            "@M",
            Refused,
        ),
        (
            "a list of different CLs",
            "Content-Length: 0, @L\r\n",
            "@M",
            Refused,
        ),
        (
            "CL, in a list with nothing",
            "Content-Length: @L,\r\n",
            "@M",
            Refused,
        ),
        ("CL with plus", "Content-Length: +@L\r\n", "@M", Refused),
        ("CL with minus", "Content-Length: -0\r\n", "@M", Refused),
        ("CL below zero", "Content-Length: -@L\r\n", "@M", Refused),
        (
            "CL with spaces around",
            "Content-Length: \t @L \t\r\n",
            "@M",
            Served(BOTH),
        ),
        (
            "CL with a space within",
            "Content-Length: 4 3\r\n",
            "@M",
            Refused,
        ),
        ("CL in hex", "Content-Length: 0x2b\r\n", "@M", Refused),
        (
            "CL with an exponent",
            "Content-Length: 4e1\r\n",
            "@M",
            Refused,
        ),
        ("CL with a point", "Content-Length: @L.0\r\n", "@M", Refused),
        (
            "CL with underscore",
            "Content-Length: 4_3\r\n",
            "@M",
            Refused,
        ),
        (
            "CL with leading zeros",
            "Content-Length: 000@L\r\n",
            "@M",
            Either,
        ),
        ("CL, empty", "Content-Length:\r\n", "@M", Refused),
        ("CL in quotes", "Content-Length: \"@L\"\r\n", "@M", Refused),
        (
            "CL, huge",
            "Content-Length: 18446744073709551616\r\n",
            "@M",
            Refused,
        ),
        (
            "CL that wraps to @L",
            "Content-Length: 18446744073709551659\r\n",
            "@M",
            Refused,
        ),
        (
            "CL, the largest",
            "Content-Length: 18446744073709551615\r\n",
            "@M",
            Refused,
        ),
        (
            "CL of Arabic digits",
            "Content-Length: \u{664}\u{663}\r\n",
            "@M",
            Refused,
        ),
        ("CL with NUL", "Content-Length: @L\0\r\n", "@M", Refused),
        (
            "CL with a bare CR",
            "Content-Length: 0\rX: y\r\n",
            "@M",
            Refused,
        ),
        (
            "CL, space before the colon",
            "Content-Length : @L\r\n",
            "@M",
            Refused,
        ),
        (
            "CL, tab before the colon",
            "Content-Length\t: @L\r\n",
            "@M",
            Refused,
        ),
        ("CL, folded", "Content-Length:\r\n @L\r\n", "@M", Refused),
        (
            "CL, underscore in the name",
            "Content_Length: @L\r\n",
            "@M",
            Served(&["/a", "/smuggled", "/last"]),
        ),
        (
            "CL, other case",
            "cONTENT-lENGTH: @L\r\n",
            "@M",
            Served(BOTH),
        ),
        (
            "CL, NUL in the name",
            "Content-\0Length: @L\r\n",
            "@M",
            Refused,
        ),
        (
            "CL, space in the name",
            "Content Length: @L\r\n",
            "@M",
            Refused,
        ),
        (
            "CL, obs-text in the name",
            "Content\u{e9}-Length: @L\r\n",
            "@M",
            Refused,
        ),
    ];
    run(cases
        .iter()
        .map(|(name, fields, rest, expect)| (*name, post(fields, rest), *expect)))
    .await;
}
