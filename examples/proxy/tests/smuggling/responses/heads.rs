//! Status lines, line ends and fields.

use super::{
    Expect::{Bad, Either, Good},
    run,
};

#[tokio::test]
async fn heads_of_responses_are_read_in_one_way() {
    run(&[
        ("HTTP/0.9", "<html>hello</html>", Bad),
        ("nothing but content", "hello\r\n", Bad),
        (
            "an empty line in front",
            "\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
            Either,
        ),
        (
            "LF alone",
            "HTTP/1.1 200 OK\nContent-Length: 3\n\nabc",
            Either,
        ),
        (
            "CR alone",
            "HTTP/1.1 200 OK\rContent-Length: 3\r\rabc@M",
            Bad,
        ),
        (
            "a CR in a value",
            "HTTP/1.1 200 OK\r\n@KX: y\rContent-Length: 3\r\nContent-Length: 0\r\n\r\n@M",
            Bad,
        ),
        (
            "an LF in a value",
            "HTTP/1.1 200 OK\r\n@KX: y\nContent-Length: 0\r\n\r\n@M",
            Either,
        ),
        (
            "NUL in a value",
            "HTTP/1.1 200 OK\r\n@KX: y\0\r\nContent-Length: 0\r\n\r\n@M",
            Bad,
        ),
        (
            "NUL in a name",
            "HTTP/1.1 200 OK\r\n@KX\0: y\r\nContent-Length: 0\r\n\r\n@M",
            Bad,
        ),
        (
            "a fold",
            "HTTP/1.1 200 OK\r\n@KX: y\r\n z\r\nContent-Length: 0\r\n\r\n@M",
            Bad,
        ),
        (
            "a fold first",
            "HTTP/1.1 200 OK\r\n X: y\r\nContent-Length: 0\r\n\r\n@M",
            Bad,
        ),
        (
            "a folded length",
            "HTTP/1.1 200 OK\r\n@KContent-Length:\r\n 0\r\n\r\n@M",
            Bad,
        ),
        (
            "no colon",
            "HTTP/1.1 200 OK\r\n@KX\r\nContent-Length: 0\r\n\r\n@M",
            Bad,
        ),
        (
            "no name",
            "HTTP/1.1 200 OK\r\n@K: y\r\nContent-Length: 0\r\n\r\n@M",
            Bad,
        ),
        (
            "a space before the colon",
            "HTTP/1.1 200 OK\r\n@KX : y\r\nContent-Length: 3\r\n\r\nabc",
            Good(200, "abc"),
        ),
        (
            "a space in a name",
            "HTTP/1.1 200 OK\r\n@KX y: z\r\nContent-Length: 0\r\n\r\n@M",
            Bad,
        ),
        (
            "no reason",
            "HTTP/1.1 200 \r\nContent-Length: 3\r\n\r\nabc",
            Good(200, "abc"),
        ),
        (
            "no reason and no space",
            "HTTP/1.1 200\r\nContent-Length: 3\r\n\r\nabc",
            Good(200, "abc"),
        ),
        (
            "obs-text in the reason",
            "HTTP/1.1 200 \u{e9}\r\nContent-Length: 3\r\n\r\nabc",
            Good(200, "abc"),
        ),
        (
            "a CR in the reason",
            "HTTP/1.1 200 O\rK\r\nContent-Length: 3\r\n\r\nabc",
            Bad,
        ),
        (
            "NUL in the reason",
            "HTTP/1.1 200 O\0K\r\nContent-Length: 3\r\n\r\nabc",
            Bad,
        ),
        (
            "a status of two digits",
            "HTTP/1.1 20 OK\r\nContent-Length: 3\r\n\r\nabc",
            Bad,
        ),
        (
            "a status of four digits",
            "HTTP/1.1 2000 OK\r\nContent-Length: 3\r\n\r\nabc",
            Bad,
        ),
        (
            "status 000",
            "HTTP/1.1 000 OK\r\nContent-Length: 3\r\n\r\nabc",
            Bad,
        ),
        (
            "status 099",
            "HTTP/1.1 099 OK\r\nContent-Length: 3\r\n\r\nabc",
            Bad,
        ),
        (
            "status 600",
            "HTTP/1.1 600 OK\r\nContent-Length: 3\r\n\r\nabc",
            Either,
        ),
        (
            "status 999",
            "HTTP/1.1 999 OK\r\nContent-Length: 3\r\n\r\nabc",
            Either,
        ),
        (
            "status with a sign",
            "HTTP/1.1 +20 OK\r\nContent-Length: 3\r\n\r\nabc",
            Bad,
        ),
        (
            "two spaces",
            "HTTP/1.1  200 OK\r\nContent-Length: 3\r\n\r\nabc",
            Bad,
        ),
        (
            "a tab",
            "HTTP/1.1\t200 OK\r\nContent-Length: 3\r\n\r\nabc",
            Bad,
        ),
        (
            "HTTP/1.2",
            "HTTP/1.2 200 OK\r\nContent-Length: 3\r\n\r\nabc",
            Bad,
        ),
        (
            "HTTP/2",
            "HTTP/2 200 OK\r\nContent-Length: 3\r\n\r\nabc",
            Bad,
        ),
        ("ICY", "ICY 200 OK\r\nContent-Length: 3\r\n\r\nabc", Bad),
        (
            "http/1.1",
            "http/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
            Bad,
        ),
        (
            "a space in front",
            " HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
            Bad,
        ),
        ("half a head", "HTTP/1.1 200 OK\r\nContent-Le", Either),
        (
            "Connection: content-length",
            "HTTP/1.1 200 OK\r\nConnection: content-length\r\n@KContent-Length: 3\r\n\r\nabc@M",
            Good(200, "abc"),
        ),
        (
            "Connection: close that stays",
            "HTTP/1.1 200 OK\r\nConnection: close\r\n@KContent-Length: 3\r\n\r\nabc@M",
            Good(200, "abc"),
        ),
    ])
    .await;
}
