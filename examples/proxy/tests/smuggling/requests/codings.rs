//! Transfer codings of requests, and fields that some recipients take for one.

use super::{
    BOTH,
    Expect::{Either, Refused, Served},
    post, run,
};

#[tokio::test]
async fn a_transfer_coding_is_chunked_or_refused() {
    // Content of no chunks, then a request: who does not see chunks sees something else.
    let line = |name, line: &str, expect| {
        let sent = post(&format!("Content-Length: 3\r\n{line}\r\n"), "0\r\n\r\n@M");
        let alone = post(&format!("{line}\r\n"), "0\r\n\r\n@M");
        [(name, sent, expect), (name, alone, expect)]
    };
    let cases = [
        line(
            "space before the colon",
            "Transfer-Encoding : chunked",
            Refused,
        ),
        line(
            "tab before the colon",
            "Transfer-Encoding\t: chunked",
            Refused,
        ),
        line(
            "vertical tab before the value",
            "Transfer-Encoding: \x0bchunked",
            Refused,
        ),
        line(
            "form feed before the value",
            "Transfer-Encoding: \x0cchunked",
            Refused,
        ),
        line(
            "vertical tab after the value",
            "Transfer-Encoding: chunked\x0b",
            Refused,
        ),
        line(
            "NUL after the value",
            "Transfer-Encoding: chunked\0",
            Refused,
        ),
        line("NUL in the name", "Transfer\0-Encoding: chunked", Refused),
        line(
            "no-break space",
            "Transfer-Encoding: \u{a0}chunked",
            Refused,
        ),
        line("xchunked", "Transfer-Encoding: xchunked", Refused),
        line("chunkedx", "Transfer-Encoding: chunkedx", Refused),
        line("chunk", "Transfer-Encoding: chunk", Refused),
        line("identity", "Transfer-Encoding: identity", Refused),
        line(
            "chunked, identity",
            "Transfer-Encoding: chunked, identity",
            Refused,
        ),
        line(
            "identity, chunked",
            "Transfer-Encoding: identity, chunked",
            Refused,
        ),
        line("gzip, chunked", "Transfer-Encoding: gzip, chunked", Refused),
        line("chunked, gzip", "Transfer-Encoding: chunked, gzip", Refused),
        line("gzip", "Transfer-Encoding: gzip", Refused),
        line(
            "chunked, chunked",
            "Transfer-Encoding: chunked, chunked",
            Refused,
        ),
        line(
            "chunked twice",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            Refused,
        ),
        line(
            "identity, then chunked",
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
            Refused,
        ),
        line(
            "chunked, then identity",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
            Refused,
        ),
        line(
            "xchunked, then chunked",
            "Transfer-Encoding: xchunked\r\nTransfer-Encoding: chunked",
            Refused,
        ),
        line("a parameter", "Transfer-Encoding: chunked;q=1", Refused),
        line("in quotes", "Transfer-Encoding: \"chunked\"", Refused),
        line("empty", "Transfer-Encoding:", Refused),
        line("a comma behind", "Transfer-Encoding: chunked,", Refused),
        line("folded", "Transfer-Encoding:\r\n chunked", Refused),
        line(
            "folded behind another",
            "X: y\r\n Transfer-Encoding: chunked",
            Refused,
        ),
        line(
            "a bare CR in front",
            "X: y\rTransfer-Encoding: chunked",
            Refused,
        ),
        line("a CR within", "Transfer-Encoding: chunk\red", Refused),
        line("a space in front", " Transfer-Encoding: chunked", Refused),
        line("a colon too many", "Transfer-Encoding:: chunked", Refused),
        line("colon first", ":Transfer-Encoding: chunked", Refused),
        line("no colon", "Transfer-Encoding chunked", Refused),
    ];
    let mut cases: Vec<_> = cases.into_iter().flatten().collect();
    for (name, te) in [
        ("other case", "tRANSFER-eNCODING: ChUnKeD"),
        ("no space", "Transfer-Encoding:chunked"),
        ("spaces around", "Transfer-Encoding: \t chunked \t "),
        ("a comma in front", "Transfer-Encoding: , chunked"),
    ] {
        let fields = format!("{te}\r\n");
        cases.push((name, post(&fields, "0\r\n\r\n"), Either));
        let both = format!("Content-Length: 3\r\n{te}\r\n");
        cases.push((name, post(&both, "0\r\n\r\n@M"), Either));
    }
    // What is no field of that name is none of the framing.
    for te in [
        "Transfer_Encoding: chunked",
        "X-Transfer-Encoding: chunked",
        "Transfer-Encodin: chunked",
    ] {
        let fields = format!("Content-Length: 5\r\n{te}\r\n");
        cases.push(("another field", post(&fields, "0\r\n\r\n"), Served(BOTH)));
    }
    run(cases).await;
}
