//! A gRPC server and its client, with a cache between: calls pass through it as they are, a stream
//! message by message and the status in the trailers, and none is stored.
//!
//! Run it with `cargo run --example tonic`: it serves itself, prints what it got, and ends.

use cachewarp::{BoxError, CacheLayer, Memory};
use tokio::net::TcpListener;
use tonic::transport::{Endpoint, Server, server::TcpIncoming};
use tonic_health::{
    ServingStatus,
    pb::{HealthCheckRequest, health_client::HealthClient},
    server::health_reporter,
};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let (reporter, health) = health_reporter();
    reporter
        .set_service_status("shop", ServingStatus::Serving)
        .await;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = Server::builder()
        .layer(CacheLayer::new(Memory::with_capacity(64 << 20)))
        .add_service(health)
        .serve_with_incoming(TcpIncoming::from(listener));
    tokio::spawn(server);

    let channel = Endpoint::from_shared(format!("http://{address}"))?
        .connect()
        .await?;
    let mut client = HealthClient::new(channel);
    let request = HealthCheckRequest {
        service: "shop".to_owned(),
    };

    let response = client.check(request.clone()).await?;
    let cache = response.metadata().get("x-cache").cloned();
    println!("unary: {:?}, {cache:?}", response.into_inner().status());

    let mut stream = client.watch(request).await?.into_inner();
    for next in [ServingStatus::NotServing, ServingStatus::Unknown] {
        if let Some(message) = stream.message().await? {
            println!("stream: {:?}", message.status());
        }
        reporter.set_service_status("shop", next).await;
    }

    let request = HealthCheckRequest {
        service: "nothing".to_owned(),
    };
    if let Err(status) = client.check(request).await {
        println!("error: {:?}, {}", status.code(), status.message());
    }
    Ok(())
}
