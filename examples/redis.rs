//! Two nodes over one Redis: what the first fetches, the second answers with.
//!
//! Run it with `redis-server &` and `cargo run --example redis`. Run again within a minute, both
//! find it there.

use std::{error::Error, time::Duration};

use axum::{Router, body::Body, http::header::CACHE_CONTROL, response::IntoResponse, routing::get};
use cachewarp::{CacheHandle, CacheLayer, ConfigError, Memory, Redis};
use http::Request;
use tokio::time::Instant;
use tower::ServiceExt;

async fn report() -> impl IntoResponse {
    tokio::time::sleep(Duration::from_secs(1)).await;
    ([(CACHE_CONTROL, "max-age=60")], "a report\n")
}

/// What runs in a process of its own elsewhere.
async fn node(url: &str) -> Result<(Router, CacheHandle), ConfigError> {
    let cache = CacheLayer::builder()
        .memory(Memory::with_capacity(64 << 20))
        .remote(Redis::connect(url).await?)
        .build()?;
    let handle = cache.handle();
    let app = Router::new().route("/report", get(report)).layer(cache);
    Ok((app, handle))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
    for name in ["first", "second"] {
        let (app, handle) = node(&url).await?;
        let started = Instant::now();
        let request = Request::get("http://shop.example/report").body(Body::empty())?;
        let response = app.oneshot(request).await?;
        let answer = &response.headers()["x-cache"];
        println!("{name} node: {answer:?} after {:?}", started.elapsed());
        axum::body::to_bytes(response.into_body(), usize::MAX).await?;
        // Redis is written to after the answer; this waits for it.
        handle.drain(Duration::from_secs(5)).await;
    }
    Ok(())
}
