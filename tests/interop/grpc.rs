//! gRPC: a real tonic client and server with the layer between, and the trailers on the wire.

use std::net::SocketAddr;

use axum::body::Body;
use bytes::Bytes;
use cachewarp::{CacheLayer, Memory};
use http::{HeaderValue, Request, Response, header::CACHE_CONTROL};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tonic::{
    Code,
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};
use tonic_health::{
    ServingStatus,
    pb::{
        HealthCheckRequest, health_check_response::ServingStatus as Seen,
        health_client::HealthClient,
    },
    server::{HealthReporter, health_reporter},
};
use tower::util::MapResponseLayer;

use crate::support::{Reply, listen, soon};

struct Health {
    address: SocketAddr,
    client: HealthClient<Channel>,
    reporter: HealthReporter,
}

impl Health {
    /// A server behind a cache; every response says that it may be stored.
    async fn start() -> Self {
        let cache = CacheLayer::new(Memory::with_capacity(1 << 20));
        let (reporter, service) = health_reporter();
        let (listener, address) = listen().await;
        let server = Server::builder()
            .layer(cache)
            .layer(MapResponseLayer::new(
                |mut response: Response<tonic::body::Body>| {
                    let hour = HeaderValue::from_static("public, max-age=3600");
                    response.headers_mut().insert(CACHE_CONTROL, hour);
                    response
                },
            ))
            .add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        let endpoint = Endpoint::from_shared(format!("http://{address}"));
        let channel = endpoint.expect("a valid address").connect().await;
        Self {
            address,
            client: HealthClient::new(channel.expect("the server listens")),
            reporter,
        }
    }

    async fn check(&mut self, service: &str) -> Result<(Seen, String), tonic::Status> {
        let service = service.to_owned();
        let check = self.client.check(HealthCheckRequest { service });
        let response = soon(check).await?;
        let x_cache = response.metadata().get("x-cache");
        let x_cache = x_cache.and_then(|value| value.to_str().ok());
        let x_cache = x_cache.unwrap_or_default().to_owned();
        Ok((response.into_inner().status(), x_cache))
    }
}

#[tokio::test]
async fn unary_calls_pass_and_are_never_cached() {
    let mut health = Health::start().await;
    for (status, seen) in [
        (ServingStatus::Serving, Seen::Serving),
        (ServingStatus::NotServing, Seen::NotServing),
    ] {
        health.reporter.set_service_status("a", status).await;
        for _ in 0..2 {
            let answer = health.check("a").await.unwrap();
            assert_eq!(answer, (seen, "BYPASS".to_owned()));
        }
    }
}

#[tokio::test]
async fn an_error_status_passes() {
    let mut health = Health::start().await;
    for _ in 0..2 {
        let status = health.check("unknown").await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(status.message(), "service not registered");
    }
    health
        .reporter
        .set_service_status("unknown", ServingStatus::Serving)
        .await;
    assert_eq!(health.check("unknown").await.unwrap().0, Seen::Serving);
}

#[tokio::test]
async fn a_stream_of_the_server_arrives_message_by_message() {
    let mut health = Health::start().await;
    let service = "a".to_owned();
    let reporter = health.reporter.clone();
    reporter
        .set_service_status("a", ServingStatus::Serving)
        .await;
    let watch = health.client.watch(HealthCheckRequest { service });
    let mut stream = soon(watch).await.unwrap().into_inner();
    let first = soon(stream.message()).await.unwrap().unwrap();
    assert_eq!(first.status(), Seen::Serving);
    for (status, seen) in [
        (ServingStatus::NotServing, Seen::NotServing),
        (ServingStatus::Serving, Seen::Serving),
    ] {
        // The next is not made before this one is here.
        reporter.set_service_status("a", status).await;
        let message = soon(stream.message()).await.unwrap().unwrap();
        assert_eq!(message.status(), seen);
    }
    // An answer to another call, while the stream is open.
    assert_eq!(health.check("a").await.unwrap().0, Seen::Serving);
}

#[tokio::test]
async fn the_status_comes_in_the_trailers() {
    let health = Health::start().await;
    let mut client = Client::builder(TokioExecutor::new());
    let client = client.http2_only(true).build_http();
    let address = health.address;
    let request = Request::builder()
        .method("POST")
        .uri(format!("http://{address}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        // One message of no bytes: neither compressed nor long.
        .body(Body::from(Bytes::from_static(&[0; 5])))
        .unwrap();
    let reply = Reply::read(soon(client.request(request)).await.unwrap()).await;
    assert_eq!(reply.status(), 200);
    assert_eq!(reply.field("content-type"), Some("application/grpc"));
    assert_eq!(reply.field("grpc-status"), None, "not in the head");
    let trailers = reply.trailers.expect("trailers arrive");
    assert_eq!(trailers["grpc-status"], "0");
    // A frame of five bytes, then a message that says SERVING.
    assert_eq!(*reply.body, [0, 0, 0, 0, 2, 0x08, 0x01]);
}
