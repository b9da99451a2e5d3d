//! An axum application behind a cache: the first request takes a second, the second none.
//!
//! Run it with `cargo run --example axum`, then twice `curl -i http://127.0.0.1:3000/items/7`.

use std::time::Duration;

use axum::{
    Router, extract::Path, http::header::CACHE_CONTROL, response::IntoResponse, routing::get,
};
use cachewarp::{CacheLayer, Memory};
use tokio::net::TcpListener;

async fn item(Path(id): Path<u64>) -> impl IntoResponse {
    tokio::time::sleep(Duration::from_secs(1)).await;
    ([(CACHE_CONTROL, "max-age=60")], format!("item {id}\n"))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let app = Router::new()
        .route("/items/{id}", get(item))
        .layer(CacheLayer::new(Memory::with_capacity(64 << 20)));

    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await
}
