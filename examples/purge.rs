//! A shop behind a cache, whose handlers purge: pages stay cached for an hour, and what is deleted is
//! gone at once, from the lists too.
//!
//! Run it with `cargo run --example purge`, then:
//!
//! ```sh
//! curl -i http://127.0.0.1:3000/items             # X-Cache: MISS, and HIT when asked again
//! curl -i -X DELETE http://127.0.0.1:3000/items/7 # its handler purges the list and the item
//! curl -i http://127.0.0.1:3000/items             # X-Cache: MISS, without item 7
//! curl -i -X POST http://127.0.0.1:3000/restock   # purges softly, and says what became of it
//! curl -i http://127.0.0.1:3000/items             # X-Cache: STALE, and then HIT
//! ```

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    extract::{Path, State},
    http::{StatusCode, header::CACHE_CONTROL},
    response::IntoResponse,
    routing::{get, post},
};
use cachewarp::{CacheHandle, CacheLayer, CacheTags, Memory, Purge, PurgeError};
use tokio::net::TcpListener;

/// An hour for this cache, none for browsers, which no purge reaches.
const FOR_THE_CACHE: &str = "max-age=0, s-maxage=3600, stale-while-revalidate=60";

#[derive(Clone)]
struct Shop {
    items: Arc<Mutex<BTreeSet<u32>>>,
    cache: CacheHandle,
}

impl Shop {
    /// Does something with the items, which stand for a database.
    fn with_items<T>(&self, work: impl FnOnce(&mut BTreeSet<u32>) -> T) -> T {
        work(&mut self.items.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The list shows every item, so it has the tag of each.
async fn list(State(shop): State<Shop>) -> impl IntoResponse {
    let ids: Vec<u32> = shop.with_items(|items| items.iter().copied().collect());
    let tags = CacheTags::new(ids.iter().map(|id| format!("item:{id}"))).and("items");
    ([(CACHE_CONTROL, FOR_THE_CACHE)], tags, format!("{ids:?}\n"))
}

async fn item(State(shop): State<Shop>, Path(id): Path<u32>) -> impl IntoResponse {
    let (status, body) = match shop.with_items(|items| items.contains(&id)) {
        true => (StatusCode::OK, format!("item {id}\n")),
        false => (StatusCode::NOT_FOUND, "no such item\n".to_owned()),
    };
    let tags = CacheTags::new([format!("item:{id}")]);
    (status, [(CACHE_CONTROL, FOR_THE_CACHE)], tags, body)
}

/// The purge is a part of the response, and in force before anybody gets it.
async fn delete(State(shop): State<Shop>, Path(id): Path<u32>) -> impl IntoResponse {
    shop.with_items(|items| items.remove(&id));
    (StatusCode::NO_CONTENT, Purge::tag(format!("item:{id}")))
}

/// The list may be the old one for a moment. With the handle, the handler sees the result.
async fn restock(State(shop): State<Shop>) -> (StatusCode, String) {
    shop.with_items(|items| items.extend(1..=9));
    match shop.cache.purge(Purge::prefix("/items").soft()).await {
        Ok(purged) => (StatusCode::OK, format!("{purged:#?}\n")),
        // Only with nodes that share a Redis.
        Err(error @ PurgeError::Pending(_)) => (StatusCode::ACCEPTED, format!("{error}\n")),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn app() -> Router {
    let cache = CacheLayer::new(Memory::with_capacity(64 << 20));
    let shop = Shop {
        items: Arc::new(Mutex::new((1..=9).collect())),
        cache: cache.handle(),
    };
    Router::new()
        .route("/items", get(list))
        .route("/items/{id}", get(item).delete(delete))
        .route("/restock", post(restock))
        .layer(cache)
        .with_state(shop)
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app()).await
}
