//! White space around the names of fields, and lines that are folded.

use tokio::io::AsyncWriteExt;

use super::support::{Act, Origin, Proxy, ok, read_to_end};

#[tokio::test]
async fn white_space_before_a_colon_of_a_response_is_removed() {
    for space in [" ", "\t", " \t  "] {
        let page = format!(
            "HTTP/1.1 200 OK\r\nCache-Control{space}: max-age=60\r\nX-Odd{space}:{space}1{space}\r\n\
             Content-Length{space}: 4\r\n\r\npage"
        );
        let secret = format!(
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nCache-Control{space}: no-store\r\n\
             Connection{space}: X-Hop\r\nX-Hop{space}: 1\r\nTransfer-Encoding{space}: chunked\r\n\r\n\
             4\r\npage\r\n0\r\n\r\n"
        );
        let origin = Origin::start(move |head| {
            let is_page = head.starts_with("GET /page ");
            Act::Say(if is_page {
                page.clone()
            } else {
                secret.clone()
            })
        })
        .await;
        let proxy = Proxy::start(origin.address, &[]).await;
        for x_cache in ["MISS", "HIT"] {
            let reply = proxy.get("/page", "").await;
            assert_eq!((reply.status(), &*reply.body), (200, "page"), "{space:?}");
            assert_eq!(reply.field("x-cache"), Some(x_cache));
            assert!(reply.head.contains("\r\nx-odd: 1\r\n"), "{reply:?}");
        }
        // Each such field means what it says.
        for _ in 0..2 {
            let reply = proxy.get("/secret", "").await;
            assert_eq!(reply.status(), 200);
            assert!(reply.body.contains("page"), "{reply:?}");
            assert_eq!(reply.field("x-hop"), None, "{reply:?}");
        }
        assert_eq!(origin.heads().len(), 3, "{space:?}");
    }
}

/// What a recipient makes of such lines differs, and the proxy may refuse them (RFC 9112 section 5.2).
#[tokio::test]
async fn folded_lines_of_a_response_are_502() {
    for fields in [
        "X-Long: a\r\n b\r\n",
        "X-Long: a\r\n\tb\r\n",
        "X-Long:\r\n a\r\n",
        "X-Long: a\r\n \r\n",
        " X-Long: a\r\n",
        "X-Long : a\r\n b\r\n",
        "Cache-Control: max-age=60,\r\n no-store\r\n",
    ] {
        let origin = Origin::start(move |_| ok(fields, "page")).await;
        let proxy = Proxy::start(origin.address, &[]).await;
        for _ in 0..2 {
            let reply = proxy.get("/", "").await;
            assert_eq!(reply.status(), 502, "{fields:?}");
            assert!(reply.body.contains("invalid HTTP header"), "{reply:?}");
        }
        assert_eq!(origin.heads().len(), 2, "{fields:?}");
    }
}

#[tokio::test]
async fn white_space_before_a_colon_of_a_request_is_400() {
    let origin = Origin::start(|_| ok("", "")).await;
    let proxy = Proxy::start(origin.address, &[]).await;
    for line in [
        "X-Odd : 1",
        "X-Odd\t: 1",
        "Content-Length : 2",
        "Transfer-Encoding : chunked",
        "Host : a.example",
        " X-Odd: 1",
        "X-Odd: 1\r\n 2",
    ] {
        let mut client = proxy.connect().await;
        let request = format!("POST / HTTP/1.1\r\nHost: a.example\r\n{line}\r\n\r\nhi");
        client.write_all(request.as_bytes()).await.unwrap();
        let reply = read_to_end(&mut client).await;
        assert_eq!(reply.status(), 400, "{line:?}");
    }
    assert!(origin.heads().is_empty());
}
