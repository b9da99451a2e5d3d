//! says: `hyper::body::Incoming` cannot be the body of requests to a cache
//! says: the cache makes requests of its own, with an empty body
//! says: box it before the cache gets the request
//! says: .map_request(

use bytes::Bytes;
use cachewarp::{CacheLayer, Memory};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tower::{Layer, Service, service_fn};

fn serve(_: impl Service<Request<Incoming>>) {}

fn main() {
    let cache = CacheLayer::new(Memory::with_capacity(64 << 20));
    serve(cache.layer(service_fn(async |_: Request<Incoming>| {
        Ok::<_, std::io::Error>(Response::new(Full::<Bytes>::default()))
    })));
}
