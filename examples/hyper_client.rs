//! The cache around hyper's client: what a program asks others for is stored as the answers allow.
//!
//! Run it with a URL whose answer may be stored:
//! `cargo run --example hyper_client -- http://127.0.0.1:3000/`

use std::{env, time::Duration};

use bytes::Bytes;
use cachewarp::{BoxError, CacheLayer, CacheOutcome, CacheService, ConfigError, Memory};
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tower::{Layer, ServiceExt};

/// Request bodies need a default, the empty body, because the cache makes requests of its own.
type Http = Client<HttpConnector, Full<Bytes>>;

/// hyper's client behind a cache. The cache is private: it also stores what only this program, with
/// its own credentials, may see. The client has no time limit of its own: the cache has one, and
/// answers what is stale when it has passed.
pub fn client() -> Result<CacheService<Http>, ConfigError> {
    let cache = CacheLayer::builder()
        .memory(Memory::with_capacity(64 << 20))
        .private_client()
        .stale_if_error(Duration::from_secs(600))
        .origin_timeout(Duration::from_secs(10))
        .build()?;
    Ok(cache.layer(Client::builder(TokioExecutor::new()).build_http()))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let url = env::args().nth(1).ok_or("which URL?")?;
    let client = client()?;
    for _ in 0..2 {
        let request = Request::get(&url).body(Full::default())?;
        let response = client.clone().oneshot(request).await?;
        let outcome = response.extensions().get::<CacheOutcome>().cloned();
        let status = response.status();
        let length = response.into_body().collect().await?.to_bytes().len();
        println!("{status}, {length} bytes: {outcome:?}");
    }
    Ok(())
}
