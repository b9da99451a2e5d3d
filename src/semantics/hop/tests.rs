//! Which fields belong to a connection, and what `Connection` may say.

use http::HeaderName;

use super::{
    ConnectionOptions, connection_options, is_hop_by_hop, response_connection_options, strip,
};
use crate::semantics::testing::head_of;

#[test]
fn ten_fields_are_always_hop_by_hop() {
    let hop_by_hop = [
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    for name in hop_by_hop {
        assert!(is_hop_by_hop(&HeaderName::from_static(name)), "{name}");
    }
    let end_to_end = [
        "age",
        "authorization",
        "cache-control",
        "content-length",
        "via",
        "x-te",
    ];
    for name in end_to_end {
        assert!(!is_hop_by_hop(&HeaderName::from_static(name)), "{name}");
    }
}

#[test]
fn stripping_leaves_end_to_end_fields_in_order() {
    let cases: &[(&[&str], &[&str])] = &[
        (&["X-Keep: 1"], &["X-Keep: 1"]),
        (
            &[
                "Connection: X-Hop",
                "X-Hop: 1",
                "Keep-Alive: timeout=5",
                "X-Keep: 1",
            ],
            &["X-Keep: 1"],
        ),
        (
            &[
                "Connection: x-a, close",
                "Connection: , X-B",
                "X-A: 1",
                "X-A: 2",
                "X-B: 1",
            ],
            &[],
        ),
        (
            &[
                "Transfer-Encoding: chunked",
                "TE: trailers",
                "Trailer: x",
                "Upgrade: h2c",
            ],
            &[],
        ),
        (
            &["Set-Cookie: a", "Set-Cookie: b", "TE: x"],
            &["Set-Cookie: a", "Set-Cookie: b"],
        ),
        // What is no field name names no field.
        (&["Connection: x y, \"x-a\"", "X-A: 1"], &["X-A: 1"]),
    ];
    for (received, kept) in cases {
        let mut headers = head_of(received);
        strip(&mut headers);
        assert_eq!(headers, head_of(kept), "{received:?}");
    }
}

#[test]
fn a_request_may_not_have_fields_dropped_that_its_answer_depends_on() {
    use ConnectionOptions::{Abusive, Ordinary};
    let cases: &[(&[&str], ConnectionOptions)] = &[
        (&[], Ordinary),
        (&["Connection: keep-alive"], Ordinary),
        (
            &["Connection: Keep-Alive, Close, TE", "TE: trailers"],
            Ordinary,
        ),
        (
            &["Connection: upgrade, proxy-connection, trailer"],
            Ordinary,
        ),
        (&["Connection: x-absent"], Ordinary),
        (&["Connection: x y"], Ordinary),
        (&["Connection: Accept-Language"], Abusive),
        (&["Connection: accept"], Abusive),
        (&["Connection: authorization"], Abusive),
        (&["Connection: cache-control"], Abusive),
        (&["Connection: close, content-type"], Abusive),
        (&["Connection: close", "Connection: cookie"], Abusive),
        (&["Connection: host"], Abusive),
        (&["Connection: if-none-match"], Abusive),
        (&["Connection: range"], Abusive),
        // A response may vary on whatever is there.
        (&["Connection: X-Tenant", "X-Tenant: a"], Abusive),
    ];
    for (lines, expected) in cases {
        assert_eq!(connection_options(&head_of(lines)), *expected, "{lines:?}");
    }
}

#[test]
fn a_response_may_declare_fields_of_its_own_hop_by_hop() {
    use ConnectionOptions::{Abusive, Ordinary};
    let cases: &[(&[&str], ConnectionOptions)] = &[
        (&["Connection: close"], Ordinary),
        (&["Connection: X-Hop", "X-Hop: 1"], Ordinary),
        (&["Connection: cache-control"], Abusive),
        (&["Connection: content-encoding"], Abusive),
        (&["Connection: vary"], Abusive),
    ];
    for (lines, expected) in cases {
        assert_eq!(
            response_connection_options(&head_of(lines)),
            *expected,
            "{lines:?}"
        );
    }
}
