//! says: `hyper::body::Incoming` cannot be the body of requests to a cache
//! says: box it before the cache gets the request

use bytes::Bytes;
use cachewarp::{CacheLayer, Memory};
use http::{Request, Response};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    rt::{Read, Write},
    server::conn::http1,
};
use hyper_util::service::TowerToHyperService;
use tower::{ServiceBuilder, service_fn};

fn serve(connection: impl Read + Write + Unpin) {
    let service = ServiceBuilder::new()
        .layer(CacheLayer::new(Memory::with_capacity(64 << 20)))
        .service(service_fn(async |_: Request<Incoming>| {
            Ok::<_, std::io::Error>(Response::new(Full::<Bytes>::default()))
        }));
    drop(http1::Builder::new().serve_connection(connection, TowerToHyperService::new(service)));
}

fn main() {
    serve(hyper_util::rt::TokioIo::new(tokio::io::empty()));
}
