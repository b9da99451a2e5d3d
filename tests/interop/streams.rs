//! What never ends, or turns into something else: WebSocket and event streams.

use std::convert::Infallible;

use axum::{
    Router,
    extract::{State, WebSocketUpgrade, ws},
    http::header::CACHE_CONTROL,
    response::{
        IntoResponse,
        sse::{Event, Sse},
    },
    routing::get as on_get,
};
use cachewarp::{CacheLayer, Memory};
use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use http_body_util::BodyExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_tungstenite::{connect_async, tungstenite::Message};
use tower::Layer;

use crate::support::{get, open, serve, settle, soon};

fn cache() -> CacheLayer {
    CacheLayer::new(Memory::with_capacity(1 << 20))
}

// === WebSocket ===

/// Speaks first, then says everything back.
async fn echo(mut socket: ws::WebSocket) {
    let hello = ws::Message::Text("hello".into());
    if socket.send(hello).await.is_err() {
        return;
    }
    while let Some(Ok(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_websocket_works_through_the_layer_both_ways() {
    let cache = cache();
    let upgrade = on_get(|upgrade: WebSocketUpgrade| async { upgrade.on_upgrade(echo) });
    let app = Router::new().route("/socket", upgrade);
    for address in [
        serve(app.clone().layer(cache.clone())).await,
        serve(cache.layer(app)).await,
    ] {
        // Twice: the first leaves nothing behind that the second would get.
        for _ in 0..2 {
            let connecting = connect_async(format!("ws://{address}/socket"));
            let (mut socket, response) = soon(connecting).await.unwrap();
            assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
            assert!(!response.headers().contains_key("x-cache"));
            let hello = soon(socket.next()).await.unwrap().unwrap();
            assert_eq!(hello, Message::text("hello"));
            for message in [Message::text("text"), Message::binary(vec![0xff; 100_000])] {
                soon(socket.send(message.clone())).await.unwrap();
                let back = soon(socket.next()).await.unwrap().unwrap();
                assert_eq!(back, message);
            }
            soon(socket.close(None)).await.unwrap();
            while soon(socket.next()).await.is_some() {}
        }
    }
}

// === Server-sent events ===

/// Hands the sending end of every stream to the test.
async fn events(
    State(opened): State<mpsc::UnboundedSender<mpsc::Sender<Event>>>,
) -> impl IntoResponse {
    let (events, stream) = mpsc::channel(1);
    opened.send(events).expect("the test waits");
    let stream = ReceiverStream::new(stream).map(Ok::<_, Infallible>);
    ([(CACHE_CONTROL, "max-age=3600")], Sse::new(stream))
}

#[tokio::test]
async fn events_arrive_one_by_one_and_nothing_of_them_is_stored() {
    let cache = cache();
    let (opened, mut streams) = mpsc::unbounded_channel();
    let app = Router::new().route("/events", on_get(events));
    let address = serve(app.with_state(opened).layer(cache.clone())).await;
    for _ in 0..2 {
        let mut response = open(address, get("/events")).await;
        let events = soon(streams.recv()).await.unwrap();
        assert_eq!(response.headers()["x-cache"], "MISS");
        let status = response.headers()["cache-status"].to_str().unwrap();
        assert!(!status.contains("stored"), "{status}");
        for number in ["1", "2", "3"] {
            // The next is not made before this one is here.
            events.send(Event::default().data(number)).await.unwrap();
            let frame = soon(response.frame()).await.unwrap().unwrap();
            let data = frame.into_data().unwrap();
            assert_eq!(data, format!("data: {number}\n\n"));
        }
        // The client ends it, and the handler learns of that.
        drop(response);
        soon(events.closed()).await;
    }
    settle(&cache).await;
}

/// The first stream of a URL does not keep other requests waiting, however long it lasts.
#[tokio::test]
async fn two_clients_have_streams_of_their_own() {
    let cache = cache();
    let (opened, mut streams) = mpsc::unbounded_channel();
    let app = Router::new().route("/events", on_get(events));
    let address = serve(app.with_state(opened).layer(cache.clone())).await;
    let mut one = open(address, get("/events")).await;
    let to_one = soon(streams.recv()).await.unwrap();
    let mut two = open(address, get("/events")).await;
    let to_two = soon(streams.recv()).await.unwrap();
    for (response, events, data) in [(&mut two, &to_two, "two"), (&mut one, &to_one, "one")] {
        events.send(Event::default().data(data)).await.unwrap();
        let frame = soon(response.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), format!("data: {data}\n\n"));
    }
}
