//! A plain hyper server behind a cache: the first request takes a second, the second none.
//!
//! The cache makes requests of its own, to refresh what it stored, and so needs request bodies
//! with a default. hyper's `Incoming` has none: it is boxed, as an empty box will do.
//!
//! Run it with `cargo run --example hyper`, then twice `curl -i http://127.0.0.1:3000/`, and once
//! more with `--http2-prior-knowledge`.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use cachewarp::{CacheLayer, Memory};
use http::{Request, Response, header::CACHE_CONTROL};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use tower::ServiceBuilder;

type RequestBody = BoxBody<Bytes, hyper::Error>;

async fn hello(request: Request<RequestBody>) -> Result<Response<Full<Bytes>>, Infallible> {
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut response = Response::new(format!("hello from {}\n", request.uri().path()).into());
    let minute = http::HeaderValue::from_static("max-age=60");
    response.headers_mut().insert(CACHE_CONTROL, minute);
    Ok(response)
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let service = ServiceBuilder::new()
        .map_request(|request: Request<Incoming>| request.map(BodyExt::boxed))
        .layer(CacheLayer::new(Memory::with_capacity(64 << 20)))
        .service_fn(hello);

    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let service = TowerToHyperService::new(service.clone());
        tokio::spawn(async move {
            let served = Builder::new(TokioExecutor::new())
                .serve_connection_with_upgrades(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                eprintln!("connection ended: {error}");
            }
        });
    }
}
