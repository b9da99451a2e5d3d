//! Requests whose framing announces content that then does not come: they have none.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request};
use http_body::Frame;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep},
};

use super::{
    content::{connect, content, warning, warnings},
    support::{Act, Origin, Proxy, field, ok, read_head, read_to_end, soon},
};

/// Long enough for the header to have been read alone.
const MOMENT: Duration = Duration::from_millis(50);

const METHODS: [&str; 5] = ["GET", "HEAD", "OPTIONS", "TRACE", "DELETE"];

fn page(head: &str) -> Act {
    if head.starts_with("HEAD") {
        return Act::Say("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n\r\n".to_owned());
    }
    ok("Cache-Control: max-age=60\r\n", "page")
}

/// Neither framing nor content has reached the origin.
fn assert_plain(head: &str) {
    assert_eq!(field(head, "transfer-encoding"), None, "{head}");
    let length = field(head, "content-length");
    assert!(matches!(length, None | Some("0")), "{head}");
}

#[tokio::test]
async fn an_empty_chunked_body_is_none() {
    for (end, later) in [
        ("0\r\n\r\n", false),
        ("0\r\n\r\n", true),
        ("000;x=y\r\n\r\n", false),
        ("0\r\nX-Sum: 7\r\n\r\n", true),
    ] {
        let origin = Origin::start(page).await;
        let proxy = Proxy::start(origin.address, &[]).await;
        for method in METHODS {
            // One connection: what follows the body is a request.
            let mut client = proxy.connect().await;
            for x_cache in ["MISS", "HIT"] {
                let head = format!(
                    "{method} /{method} HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n"
                );
                client.write_all(head.as_bytes()).await.unwrap();
                if later {
                    sleep(MOMENT).await;
                }
                client.write_all(end.as_bytes()).await.unwrap();
                let reply = soon(read_head(&mut client)).await.expect("it goes on");
                assert!(reply.starts_with("HTTP/1.1 200 "), "{method}: {reply}");
                if method != "HEAD" {
                    soon(client.read_exact(&mut [0; 4])).await.unwrap();
                }
                if method == "GET" {
                    assert_eq!(field(&reply, "x-cache"), Some(x_cache), "{end:?}");
                }
            }
        }
        for head in origin.heads() {
            assert_plain(&head);
        }
    }
}

#[tokio::test]
async fn an_end_of_the_stream_that_comes_later_is_no_content() {
    let empty = || Frame::data(Bytes::new());
    let sum = || HeaderMap::from_iter([(http::header::ETAG, HeaderValue::from_static("7"))]);
    let cases = [
        ("/end", None, Vec::new()),
        ("/empty", None, vec![empty()]),
        ("/many", None, (0..9).map(|_| empty()).collect()),
        ("/trailers", None, vec![Frame::trailers(sum())]),
        ("/length", Some("0"), vec![empty()]),
    ];
    let origin = Origin::start(page).await;
    let proxy = Proxy::start(origin.address, &[]).await;
    let mut client = connect(&proxy).await;
    for (path, length, frames) in cases {
        for method in METHODS {
            let (piece, body) = content();
            let mut request = Request::builder()
                .method(method)
                .uri(format!("http://a.example{path}"));
            if let Some(length) = length {
                request = request.header("content-length", length);
            }
            let answer = client.send_request(request.body(body).unwrap());
            let answer = tokio::spawn(answer);
            sleep(MOMENT).await;
            for frame in &frames {
                let again = match frame.trailers_ref() {
                    Some(trailers) => Frame::trailers(trailers.clone()),
                    None => empty(),
                };
                // With a length of zero it may be answered already.
                let _ = piece.send(Ok(again));
            }
            drop(piece);
            let response = soon(answer).await.unwrap().unwrap();
            assert_eq!(response.status(), 200, "{method} {path}");
        }
        // It is what everybody gets.
        let reply = proxy.get(path, "").await;
        let x_cache = reply.field("x-cache");
        // A DELETE has removed it.
        assert_eq!(x_cache, Some("MISS"), "{path}");
        assert_eq!(proxy.get(path, "").await.field("x-cache"), Some("HIT"));
    }
    for head in origin.heads() {
        assert_plain(&head);
    }
    let (piece, body) = content();
    let get = Request::get("http://a.example/end").body(body).unwrap();
    let answer = tokio::spawn(client.send_request(get));
    sleep(MOMENT).await;
    drop(piece);
    let response = soon(answer).await.unwrap().unwrap();
    assert_eq!(response.headers()["x-cache"], "HIT");
}

#[tokio::test]
async fn content_of_a_get_arrives_and_its_answer_is_not_kept() {
    let (origin, mut connections) = Origin::by_hand().await;
    let proxy = Proxy::start(origin.address, &["--workers", "1"]).await;
    let mut client = connect(&proxy).await;
    let get = |body| Request::get("http://a.example/").body(body).unwrap();
    for _ in 0..2 {
        let (piece, body) = content();
        for data in ["", "hi", "", "ho"] {
            piece.send(Ok(Frame::data(data.into()))).unwrap();
        }
        drop(piece);
        let answering = async {
            let mut stream = soon(connections.recv()).await.unwrap();
            let head = soon(read_head(&mut stream)).await.unwrap();
            assert_eq!(field(&head, "transfer-encoding"), Some("chunked"));
            let mut taken = Vec::new();
            while !taken.ends_with(b"0\r\n\r\n") {
                taken.push(soon(stream.read_u8()).await.unwrap());
            }
            assert_eq!(taken, b"2\r\nhi\r\n2\r\nho\r\n0\r\n\r\n");
            let page = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nConnection: close\r\n\
                        Content-Length: 0\r\n\r\n";
            stream.write_all(page.as_bytes()).await.unwrap();
        };
        let (response, ()) = tokio::join!(soon(client.send_request(get(body))), answering);
        assert_eq!(response.unwrap().headers()["x-cache"], "BYPASS");
    }
}

/// It costs its client's time, and no call to the origin.
#[tokio::test]
async fn content_that_never_begins_is_408() {
    let limit = Duration::from_millis(300);
    let origin = Origin::start(page).await;
    let proxy = warning(origin.address, &["--client-timeout", "0.3"]).await;
    for method in METHODS {
        let mut client = proxy.connect().await;
        let head =
            format!("{method} / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n");
        let began = Instant::now();
        client.write_all(head.as_bytes()).await.unwrap();
        let reply = read_to_end(&mut client).await;
        assert_eq!(reply.status(), 408, "{method}");
        assert!(began.elapsed() >= limit, "{method}");
    }
    // Empty pieces are no content, however many come.
    let mut client = connect(&proxy).await;
    let (piece, body) = content();
    let get = Request::get("http://a.example/").body(body).unwrap();
    let answer = tokio::spawn(client.send_request(get));
    while !answer.is_finished() {
        // Once it is answered, nobody takes them.
        let _ = piece.send(Ok(Frame::data(Bytes::new())));
        sleep(limit / 10).await;
    }
    assert_eq!(answer.await.unwrap().unwrap().status(), 408);
    assert!(origin.heads().is_empty());
    assert_eq!(warnings(proxy).await, "");
}

#[tokio::test]
async fn what_breaks_before_it_begins_never_reaches_the_origin() {
    let origin = Origin::start(page).await;
    let proxy = warning(origin.address, &[]).await;
    for (content, stays) in [
        ("zz\r\n", true),
        ("\r\n", true),
        ("", false),
        ("0\r\n", false),
        ("2", false),
    ] {
        let mut client = proxy.connect().await;
        let request = format!(
            "GET / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n{content}"
        );
        client.write_all(request.as_bytes()).await.unwrap();
        if !stays {
            client.shutdown().await.unwrap();
        }
        assert_eq!(read_to_end(&mut client).await.status(), 400, "{content:?}");
    }
    assert!(origin.heads().is_empty());
    assert_eq!(warnings(proxy).await, "");
}
