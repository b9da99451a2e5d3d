//! says: Clone

use bytes::Bytes;
use cachewarp::{CacheLayer, Memory};
use http::{Request, Response};
use http_body_util::Full;
use tower::{Layer, Service, service_fn};

struct Once;

fn serve(_: impl Service<Request<Full<Bytes>>>) {}

fn main() {
    let once = Once;
    let cache = CacheLayer::new(Memory::with_capacity(64 << 20));
    serve(cache.layer(service_fn(move |_: Request<Full<Bytes>>| {
        let _ = &once;
        async { Ok::<_, std::io::Error>(Response::new(Full::<Bytes>::default())) }
    })));
}
