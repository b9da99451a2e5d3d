//! Chunks of responses and what stands behind them.

use super::{
    Expect::{self, Cut, Good},
    run,
};

#[tokio::test]
async fn chunks_of_responses_are_read_in_one_way() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\n@KTransfer-Encoding: chunked\r\n\r\n";
    let chunks: &[(&str, &str, Expect)] = &[
        (
            "an extension",
            "3;a=\"b\"\r\nabc\r\n0\r\n\r\n",
            Good(200, "abc"),
        ),
        (
            "a size that wraps",
            "10000000000000003\r\nabc\r\n0\r\n\r\n@M",
            Cut,
        ),
        (
            "the largest size",
            "ffffffffffffffff\r\nabc\r\n0\r\n\r\n@M",
            Cut,
        ),
        ("0x", "0x3\r\nabc\r\n0\r\n\r\n@M", Cut),
        ("plus", "+3\r\nabc\r\n0\r\n\r\n@M", Cut),
        ("minus", "-3\r\nabc\r\n0\r\n\r\n@M", Cut),
        ("a space in front", " 3\r\nabc\r\n0\r\n\r\n@M", Cut),
        ("no size", "\r\nabc\r\n0\r\n\r\n@M", Cut),
        ("LF alone behind the size", "3\nabc\r\n0\r\n\r\n@M", Cut),
        ("LF alone behind the chunk", "3\r\nabc\n0\r\n\r\n@M", Cut),
        ("nothing behind the chunk", "3\r\nabc0\r\n\r\n@M", Cut),
        (
            "a chunk longer than its size",
            "3\r\nabcd\r\n0\r\n\r\n@M",
            Cut,
        ),
        (
            "a chunk shorter than its size",
            "5\r\nabc\r\n0\r\n\r\n@M",
            Cut,
        ),
        ("LF in an extension", "3;a\nabc\r\n0\r\n\r\n@M", Cut),
        ("no last chunk", "3\r\nabc\r\n", Cut),
        ("no end", "3\r\nabc\r\n0\r\n", Cut),
        (
            "a trailer",
            "3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n",
            Good(200, "abc"),
        ),
        (
            "framing in the trailer",
            "3\r\nabc\r\n0\r\nContent-Length: 9\r\nTransfer-Encoding: x\r\n\r\n",
            Good(200, "abc"),
        ),
        (
            "framing in the trailer, and more",
            "3\r\nabc\r\n0\r\nContent-Length: @L\r\n\r\n@M",
            Good(200, "abc"),
        ),
        ("a trailer that is none", "3\r\nabc\r\n0\r\n@M", Cut),
    ];
    // The rows live as long as the program: they are few.
    let rows: Vec<_> = chunks
        .iter()
        .map(|(name, rest, expect)| {
            let said: &'static str = format!("{HEAD}{rest}").leak();
            (*name, said, *expect)
        })
        .collect();
    run(&rows).await;
}
