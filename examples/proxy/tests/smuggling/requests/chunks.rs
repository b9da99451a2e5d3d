//! Chunks of requests and what stands behind them.

use super::{
    BOTH,
    Expect::{self, Either, Refused, Served},
    post, run,
};

#[tokio::test]
async fn chunks_are_read_in_one_way() {
    let long = "x".repeat(5_000);
    let longer = "x".repeat(20_000);
    let tiny = "1\r\nx\r\n".repeat(500);
    let cases: &[(&str, &str, Expect)] = &[
        ("sound", "3\r\nabc\r\n0\r\n\r\n", Served(BOTH)),
        (
            "hex in both cases",
            "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n",
            Served(BOTH),
        ),
        ("leading zeros", "0003\r\nabc\r\n000\r\n\r\n", Served(BOTH)),
        (
            "a size that wraps",
            "10000000000000003\r\nabc\r\n0\r\n\r\n@M",
            Refused,
        ),
        (
            "the largest size",
            "ffffffffffffffff\r\nabc\r\n0\r\n\r\n@M",
            Refused,
        ),
        (
            "a size of 2^63",
            "8000000000000000\r\nabc\r\n0\r\n\r\n@M",
            Refused,
        ),
        ("0x", "0x3\r\nabc\r\n0\r\n\r\n@M", Refused),
        ("plus", "+3\r\nabc\r\n0\r\n\r\n@M", Refused),
        ("minus", "-3\r\nabc\r\n0\r\n\r\n@M", Refused),
        ("a space in front", " 3\r\nabc\r\n0\r\n\r\n@M", Refused),
        ("a space behind", "3 \r\nabc\r\n0\r\n\r\n", Either),
        ("a space within", "1 0\r\nabc\r\n0\r\n\r\n@M", Refused),
        ("underscore", "1_0\r\nabc\r\n0\r\n\r\n@M", Refused),
        ("no size", "\r\nabc\r\n0\r\n\r\n@M", Refused),
        ("no hex", "g\r\nabc\r\n0\r\n\r\n@M", Refused),
        ("a comma", "3,3\r\nabc\r\n0\r\n\r\n@M", Refused),
        ("NUL behind", "3\0\r\nabc\r\n0\r\n\r\n@M", Refused),
        ("LF alone behind the size", "3\nabc\r\n0\r\n\r\n@M", Refused),
        ("CR alone behind the size", "3\rabc\r\n0\r\n\r\n@M", Refused),
        (
            "CR CR LF behind the size",
            "3\r\r\nabc\r\n0\r\n\r\n@M",
            Refused,
        ),
        (
            "LF alone behind the chunk",
            "3\r\nabc\n0\r\n\r\n@M",
            Refused,
        ),
        ("nothing behind the chunk", "3\r\nabc0\r\n\r\n@M", Refused),
        (
            "two other bytes behind the chunk",
            "3\r\nabcXX0\r\n\r\n@M",
            Refused,
        ),
        (
            "a chunk longer than its size",
            "3\r\nabcd\r\n0\r\n\r\n@M",
            Refused,
        ),
        (
            "a chunk shorter than its size",
            "5\r\nabc\r\n0\r\n\r\n@M",
            Refused,
        ),
        (
            "LF alone behind the last size",
            "3\r\nabc\r\n0\n\r\n@M",
            Refused,
        ),
        // hyper takes all up to the empty line for trailers, and drops it.
        ("LF alone at the end", "3\r\nabc\r\n0\r\n\n@M", Served(BOTH)),
        ("CR alone at the end", "3\r\nabc\r\n0\r\n\rX@M", Refused),
        ("an extension", "3;a=b\r\nabc\r\n0;c\r\n\r\n", Served(BOTH)),
        (
            "an extension in quotes",
            "3;a=\"b;c\"\r\nabc\r\n0\r\n\r\n",
            Served(BOTH),
        ),
        (
            "an extension with spaces",
            "3 ; a = b\r\nabc\r\n0\r\n\r\n",
            Served(BOTH),
        ),
        ("CR LF within quotes", "3;a=\"\r\nabc\r\n0\r\n\r\n", Either),
        ("LF in an extension", "3;a\nabc\r\n0\r\n\r\n@M", Refused),
        (
            "CR in an extension",
            "3;a\rb\r\nabc\r\n0\r\n\r\n@M",
            Refused,
        ),
        ("NUL in an extension", "3;a\0b\r\nabc\r\n0\r\n\r\n", Either),
        (
            "a long extension",
            "3;@5000\r\nabc\r\n0\r\n\r\n",
            Served(BOTH),
        ),
        (
            "a very long extension",
            "3;@20000\r\nabc\r\n0\r\n\r\n@M",
            Refused,
        ),
        ("many chunks", "@TINY0\r\n\r\n", Served(BOTH)),
        (
            "a trailer",
            "3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n",
            Served(BOTH),
        ),
        (
            "Content-Length in the trailer",
            "3\r\nabc\r\n0\r\nContent-Length: @L\r\n\r\n",
            Served(BOTH),
        ),
        (
            "Transfer-Encoding in the trailer",
            "3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
            Served(BOTH),
        ),
        (
            "Host in the trailer",
            "3\r\nabc\r\n0\r\nHost: b.example\r\n\r\n",
            Served(BOTH),
        ),
        (
            "Authorization in the trailer",
            "3\r\nabc\r\n0\r\nAuthorization: Basic eDp5\r\n\r\n",
            Served(BOTH),
        ),
        (
            "LF alone in the trailer",
            "3\r\nabc\r\n0\r\nX: y\nZ: z\r\n\r\n",
            Either,
        ),
        (
            "a CR in the trailer",
            "3\r\nabc\r\n0\r\nX: y\rZ: z\r\n\r\n",
            Refused,
        ),
        (
            "a fold in the trailer",
            "3\r\nabc\r\n0\r\nX: y\r\n z\r\n\r\n",
            Refused,
        ),
        (
            "a trailer that is none",
            "3\r\nabc\r\n0\r\nGET /smuggled HTTP/1.1\r\n\r\n",
            Either,
        ),
        (
            "a space before the colon in the trailer",
            "3\r\nabc\r\n0\r\nX : y\r\n\r\n",
            Either,
        ),
        (
            "NUL in the trailer",
            "3\r\nabc\r\n0\r\nX: \0\r\n\r\n",
            Refused,
        ),
    ];
    let cases = cases.iter().flat_map(|(name, rest, expect)| {
        let rest = rest
            .replace("@5000", &long)
            .replace("@20000", &longer)
            .replace("@TINY", &tiny);
        // Whether or not trailers are announced and wanted.
        let plain = post("Transfer-Encoding: chunked\r\n", &rest);
        let announced =
            "Trailer: Content-Length, Transfer-Encoding, Host, Authorization, X, X-Sum\r\n";
        let announced = post(
            &format!("TE: trailers\r\n{announced}Transfer-Encoding: chunked\r\n"),
            &rest,
        );
        [(*name, plain, *expect), (*name, announced, *expect)]
    });
    run(cases).await;
}
