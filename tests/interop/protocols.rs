//! HTTP/1.1 and HTTP/2 with prior knowledge: one cache, one key.

use axum::body::Body;
use bytes::Bytes;
use cachewarp::{CacheLayer, Memory};
use http::{Request, Version, header::HOST};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tower::Layer;

use crate::support::{Reply, fresh, origin, serve, settle, soon};

fn client(version: Version) -> Client<HttpConnector, Body> {
    let mut builder = Client::builder(TokioExecutor::new());
    builder.http2_only(version == Version::HTTP_2);
    builder.build_http()
}

async fn ask(client: &Client<HttpConnector, Body>, uri: &str) -> Reply {
    let request = Request::builder().uri(uri).body(Body::empty());
    let response = soon(client.request(request.expect("a valid request"))).await;
    Reply::read(response.expect("the server answers")).await
}

#[tokio::test]
async fn both_protocols_hit_what_either_stored() {
    for (first, second) in [
        (Version::HTTP_11, Version::HTTP_2),
        (Version::HTTP_2, Version::HTTP_11),
    ] {
        let cache = CacheLayer::new(Memory::with_capacity(1 << 20));
        // HTTP/1.1 names the host in a field, HTTP/2 in the target.
        let (service, calls) = origin(|request| {
            let in_target = request.uri().authority().is_some();
            assert_ne!(in_target, request.headers().contains_key(HOST));
            fresh("text")
        });
        let address = serve(cache.layer(service)).await;
        let uri = format!("http://{address}/text?q");

        let miss = ask(&client(first), &uri).await;
        assert_eq!((miss.head.version, miss.x_cache()), (first, "MISS"));
        settle(&cache).await;
        let hit = ask(&client(second), &uri).await;
        assert_eq!((hit.head.version, hit.x_cache()), (second, "HIT"));
        assert_eq!(hit.body, Bytes::from("text"));
        assert_eq!(calls.count(), 1);
    }
}

#[tokio::test]
async fn streams_of_one_connection_share_one_fetch() {
    let cache = CacheLayer::new(Memory::with_capacity(1 << 20));
    let (service, calls) = origin(|_| fresh("text"));
    let address = serve(cache.layer(service)).await;
    let client = client(Version::HTTP_2);
    let uri = format!("http://{address}/text");
    ask(&client, &uri).await;
    let replies = futures_util::future::join_all((0..50).map(|_| ask(&client, &uri))).await;
    assert!(replies.iter().all(|reply| *reply.body == *b"text"));
    assert_eq!(calls.count(), 1);
}
