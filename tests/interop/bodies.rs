//! Bodies on their way: trailers, frames as they come, and errors in the middle.

use std::convert::Infallible;

use axum::body::Body;
use bytes::Bytes;
use cachewarp::{BoxError, CacheLayer, Memory};
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tower::{Layer, ServiceExt, service_fn};

use crate::support::{Calls, Reply, ask, fresh, get, open, origin, serve, settle, soon, with};

fn cache() -> CacheLayer {
    CacheLayer::new(Memory::with_capacity(1 << 20))
}

/// A fresh response of two frames and trailers.
fn trailing() -> Response<Body> {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("42"));
    let frames = [
        Frame::data(Bytes::from("te")),
        Frame::data(Bytes::from("xt")),
        Frame::trailers(trailers),
    ];
    let frames = tokio_stream::iter(frames.map(Ok::<_, Infallible>));
    let mut response = fresh(Body::new(StreamBody::new(frames)));
    let trailer = HeaderValue::from_static("x-sum");
    response.headers_mut().insert("trailer", trailer);
    response
}

/// A response whose frames the test sends.
type Frames = mpsc::Sender<Result<Frame<Bytes>, BoxError>>;

fn by_hand() -> (Response<Body>, Frames) {
    let (frames, stream) = mpsc::channel(1);
    let body = StreamBody::new(ReceiverStream::new(stream));
    (fresh(Body::new(body)), frames)
}

#[tokio::test]
async fn trailers_pass_through_on_a_miss() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let cache = cache();
        let (service, calls) = origin(|_| trailing());
        let address = serve(cache.layer(service)).await;
        let mut client = Client::builder(TokioExecutor::new());
        client.http2_only(version == Version::HTTP_2);
        let client = client.build_http();
        for x_cache in ["MISS", "HIT"] {
            let request = Request::builder().uri(format!("http://{address}/"));
            let request = request.header("te", "trailers").body(Body::empty());
            let reply = soon(client.request(request.unwrap())).await.unwrap();
            let reply = Reply::read(reply).await;
            assert_eq!((reply.x_cache(), &*reply.body), (x_cache, &b"text"[..]));
            if x_cache == "MISS" {
                let trailers = reply.trailers.expect("trailers arrive");
                assert_eq!(trailers["x-sum"], "42", "{version:?}");
            } else {
                // They are not merged into the head, and the field that announced them is gone.
                assert_eq!(reply.field("x-sum"), None);
                assert_eq!(reply.field("trailer"), None);
            }
            settle(&cache).await;
        }
        assert_eq!(calls.count(), 1);
    }
}

#[tokio::test]
async fn trailers_of_what_is_not_stored_pass_through_too() {
    let (service, _) = origin(|_| trailing());
    let service = cache().layer(service);
    for request in [
        with(get("/"), "cache-control", b"no-store"),
        with(get("/"), "x-original-url", b"/other"),
        crate::support::asking("POST", "/"),
    ] {
        let reply = crate::support::call(&service, request).await;
        assert_eq!(reply.trailers.unwrap()["x-sum"], "42");
    }
}

/// In process, where no server takes it off: routers answer HEAD with what they have for GET.
#[tokio::test]
async fn an_answer_to_head_has_no_body() {
    let cache = cache();
    let (service, _) = origin(|_| fresh("text"));
    let service = cache.layer(service);
    let head = || crate::support::asking("HEAD", "/");
    for (x_cache, request) in [
        ("BYPASS", with(head(), "x-original-url", b"/other")),
        ("MISS", with(head(), "cache-control", b"no-store")),
        ("MISS", head()),
        ("MISS", get("/")),
        ("HIT", head()),
    ] {
        let method = request.method().clone();
        let reply = crate::support::call(&service, request).await;
        assert_eq!(reply.x_cache(), x_cache);
        assert_eq!(reply.body.is_empty(), method == http::Method::HEAD);
        settle(&cache).await;
    }
}

#[tokio::test]
async fn a_frame_arrives_before_the_next_is_made() {
    let cache = cache();
    let (opened, mut responses) = mpsc::unbounded_channel();
    let service = cache.layer(service_fn(move |_: Request<Body>| {
        let (response, frames) = by_hand();
        opened.send(frames).expect("the test waits");
        async { Ok::<_, Infallible>(response) }
    }));
    let address = serve(service).await;
    let mut first = open(address, get("/")).await;
    let frames = soon(responses.recv()).await.unwrap();
    let data = |text: &'static str| Ok(Frame::data(Bytes::from(text)));
    frames.send(data("one")).await.unwrap();
    let frame = soon(first.frame()).await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "one");
    // Another joins in the middle, and gets it from the beginning.
    let mut second = open(address, get("/")).await;
    assert_eq!(second.headers()["x-cache"], "MISS");
    let frame = soon(second.frame()).await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "one");
    frames.send(data("two")).await.unwrap();
    drop(frames);
    for response in [first, second] {
        let rest = soon(response.into_body().collect()).await.unwrap();
        assert_eq!(rest.to_bytes(), "two");
    }
    settle(&cache).await;
    let hit = ask(address, get("/")).await;
    assert_eq!((hit.x_cache(), &*hit.body), ("HIT", &b"onetwo"[..]));
    assert!(responses.try_recv().is_err(), "the origin was asked again");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error_to_its_reader_and_is_not_stored() {
    let cache = cache();
    let calls = Calls::default();
    let counter = calls.clone();
    let service = cache.layer(service_fn(move |_: Request<Body>| {
        counter.add();
        let (response, frames) = by_hand();
        async move {
            tokio::spawn(async move {
                let _ = frames.send(Ok(Frame::data(Bytes::from("half")))).await;
                let _ = frames.send(Err("torn".into())).await;
            });
            Ok::<_, Infallible>(response)
        }
    }));
    let address = serve(service.clone()).await;
    for _ in 0..2 {
        let response = open(address, get("/")).await;
        assert!(soon(response.into_body().collect()).await.is_err());
        settle(&cache).await;
    }
    assert_eq!(calls.count(), 2);
    // In process the cause can be read.
    let response = service.oneshot(get("/")).await.unwrap();
    let error = soon(response.into_body().collect()).await.unwrap_err();
    assert!(!error.to_string().is_empty());
}

#[tokio::test]
async fn a_client_that_leaves_does_not_stop_what_is_being_stored() {
    let cache = cache();
    let (opened, mut responses) = mpsc::unbounded_channel();
    let service = cache.layer(service_fn(move |_: Request<Body>| {
        let (response, frames) = by_hand();
        opened.send(frames).expect("the test waits");
        async { Ok::<_, Infallible>(response) }
    }));
    let address = serve(service).await;
    let leaving = open(address, get("/")).await;
    let frames = soon(responses.recv()).await.unwrap();
    drop(leaving);
    let data = Frame::data(Bytes::from("whole"));
    soon(frames.send(Ok(data))).await.unwrap();
    drop(frames);
    settle(&cache).await;
    let hit = ask(address, get("/")).await;
    assert_eq!((hit.x_cache(), &*hit.body), ("HIT", &b"whole"[..]));
}
