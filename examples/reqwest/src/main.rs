//! The cache around [reqwest]: what a program asks others for is stored as the answers allow.
//!
//! reqwest has requests of its own, so [`client`] wraps it into a service of `http` requests. It
//! leaves three things to the cache or to the caller:
//!
//! - no redirects are followed: else the cache would store what another URL answered;
//! - nothing is decompressed: build reqwest without those features, or the stored body and its fields
//!   would not belong together;
//! - no time limit: the cache has one, and answers what is stale when it has passed.
//!
//! Run it with a URL whose answer may be stored:
//! `cargo run --manifest-path examples/reqwest/Cargo.toml -- http://127.0.0.1:3000/`

use std::{env, time::Duration};

use cachewarp::{BoxError, CacheLayer, CacheOutcome, CacheService, Memory};
use http::{Request, Response};
use http_body_util::BodyExt;
use reqwest::{Body, redirect::Policy};
use tower::{Layer, ServiceExt, service_fn, util::BoxCloneSyncService};

/// reqwest as a service of `http` requests.
type Http = BoxCloneSyncService<Request<Body>, Response<Body>, reqwest::Error>;

/// reqwest behind a cache. The cache is private: it also stores what only this program, with its own
/// credentials, may see.
fn client() -> Result<CacheService<Http>, BoxError> {
    let client = reqwest::Client::builder()
        .redirect(Policy::none())
        .build()?;
    let http = BoxCloneSyncService::new(service_fn(move |request: Request<Body>| {
        let client = client.clone();
        async move { Ok(client.execute(request.try_into()?).await?.into()) }
    }));
    let cache = CacheLayer::builder()
        .memory(Memory::with_capacity(64 << 20))
        .private_client()
        .stale_if_error(Duration::from_secs(600))
        .origin_timeout(Duration::from_secs(10))
        .build()?;
    Ok(cache.layer(http))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let url = env::args().nth(1).ok_or("which URL?")?;
    let client = client()?;
    for _ in 0..2 {
        let request = Request::get(&url).body(Body::default())?;
        let response = client.clone().oneshot(request).await?;
        let outcome = response.extensions().get::<CacheOutcome>().cloned();
        let status = response.status();
        let length = response.into_body().collect().await?.to_bytes().len();
        println!("{status}, {length} bytes: {outcome:?}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// A server that answers every connection once, and counts.
    async fn server(head: &'static str) -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("its port"));
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                counted.fetch_add(1, Ordering::SeqCst);
                let answer = format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        (url, calls)
    }

    /// The statuses of two requests with the program's token.
    async fn twice(url: &str) -> [u16; 2] {
        let client = client().expect("settings in range");
        let mut statuses = [0; 2];
        for status in &mut statuses {
            let request = Request::get(url).header("authorization", "Bearer mine");
            let request = request.body(Body::default()).expect("a URL");
            let response = client.clone().oneshot(request).await.expect("a server");
            *status = response.status().as_u16();
            response.into_body().collect().await.expect("a whole body");
        }
        statuses
    }

    #[tokio::test]
    async fn what_is_private_is_asked_for_once() {
        let (url, calls) = server("204 No Content\r\nCache-Control: private, max-age=60").await;
        assert_eq!(twice(&url).await, [204, 204]);
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn what_must_not_be_stored_is_asked_for_again() {
        let (url, calls) = server("200 OK\r\nContent-Length: 0\r\nCache-Control: no-store").await;
        assert_eq!(twice(&url).await, [200, 200]);
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_redirect_is_stored_as_a_redirect() {
        let moved = "301 Moved Permanently\r\nLocation: /new\r\nContent-Length: 0\r\n\
                     Cache-Control: max-age=60";
        let (url, calls) = server(moved).await;
        assert_eq!(twice(&url).await, [301, 301]);
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }
}
