//! The spans of `tracing`: their names, parents and fields, when they close, and that nothing secret
//! is in them.

use std::{
    fmt::{self, Write},
    mem,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Method, Response, StatusCode};
use http_body_util::Full;
use tracing::{
    Event, Instrument, Subscriber,
    callsite::rebuild_interest_cache,
    field::{Field, Visit},
    info_span,
    span::{Attributes, Id, Record},
    subscriber::{DefaultGuard, set_default},
};
use tracing_subscriber::{
    Layer, Registry,
    filter::LevelFilter,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
};

use super::{
    network::Network,
    node::{Node, begin, get_with, request},
    origin::Origin,
};
use crate::spans::{self, Among, OriginSpan, Spans};

/// Writes each span down when it closes, in a line, and everything that spans and events say.
#[derive(Clone, Default)]
struct Listener {
    closed: Arc<Mutex<Vec<String>>>,
    said: Arc<Mutex<String>>,
}

impl Listener {
    fn listen(&self, level: LevelFilter) -> DefaultGuard {
        let guard = set_default(Registry::default().with(self.clone().with_filter(level)));
        // Tests of other threads come upon a span for the first time too. If that is while a
        // listener appears, tracing may take it for a span that nobody wants.
        while level >= LevelFilter::DEBUG && !all_are_heard() {
            rebuild_interest_cache();
        }
        self.closed();
        guard
    }

    /// The spans that were closed since the last look, in that order.
    fn closed(&self) -> Vec<String> {
        mem::take(&mut *self.closed.lock().unwrap())
    }

    fn note(&self, said: &str) {
        self.said.lock().unwrap().push_str(said);
    }
}

fn all_are_heard() -> bool {
    let mut asked = request(Method::GET, "/");
    let Some(_request) = spans::request(&mut asked) else {
        return false;
    };
    let after = Spans::take(asked.extensions_mut());
    let others = [
        spans::lookup(),
        spans::purge(1, "hard"),
        spans::collapse(Among::Nodes),
        after.refresh(),
        after.store(),
    ];
    OriginSpan::new().is_some() && others.iter().all(|span| !span.is_disabled())
}

/// The fields of an open span, and which one it follows from.
struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        write!(self.0, " {field}={value}").unwrap();
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Listener {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields(String::new());
        attributes.record(&mut fields);
        self.note(&fields.0);
        context.span(id).unwrap().extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        let mut extensions = span.extensions_mut();
        let fields = extensions.get_mut::<Fields>().unwrap();
        values.record(fields);
        self.note(&fields.0);
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, context: Context<'_, S>) {
        let followed = context.span(follows).expect("it was closed before").name();
        let span = context.span(id).unwrap();
        let mut extensions = span.extensions_mut();
        let fields = extensions.get_mut::<Fields>().unwrap();
        write!(fields.0, " after={followed}").unwrap();
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        self.note(&fields.0);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let span = context.span(&id).unwrap();
        let names = span.scope().from_root().map(|it| it.name());
        let path = names.collect::<Vec<_>>().join(" > ");
        let extensions = span.extensions();
        let fields = &extensions.get::<Fields>().unwrap().0;
        self.closed.lock().unwrap().push(format!("{path}:{fields}"));
    }
}

fn alone(origin: &Origin) -> Node {
    Node::over(origin, |it| it)
}

fn answering(directives: &'static str) -> Origin {
    Origin::new(move |_| {
        Response::builder()
            .header("cache-control", directives)
            .body(Full::from("text"))
            .unwrap()
    })
}

#[tokio::test(start_paused = true)]
async fn a_request_is_told_from_what_goes_on_after_its_answer() {
    let listener = Listener::default();
    let _guard = listener.listen(LevelFilter::DEBUG);
    let origin = Origin::counting();
    origin.slow_bodies(Duration::from_secs(1));
    let node = alone(&origin);
    let answered = node.get("/a?q=1").instrument(info_span!("server")).await;
    assert_eq!(answered.status, StatusCode::OK);
    node.settle().await;
    assert_eq!(
        listener.closed(),
        [
            "server > request > origin: outcome=answered status=200",
            "server > request: method=GET path=/a outcome=miss status=200",
            "server > store: after=request body=whole",
            "server:",
        ]
    );

    // A hit waits for nothing. Without a span around it, it is the root.
    node.get("/a?q=1").await;
    assert_eq!(
        listener.closed(),
        ["request: method=GET path=/a outcome=hit status=200"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_purge_says_how_it_ended_and_not_what_it_names() {
    let listener = Listener::default();
    let _guard = listener.listen(LevelFilter::DEBUG);
    let origin = Origin::counting();
    let node = alone(&origin);
    let purge = cachewarp::Purge::url("/a?secret=1").tag("t").soft();
    node.layer.handle().purge(purge).await.unwrap();
    assert_eq!(
        listener.closed(),
        ["purge: subjects=2 mode=soft shared=none"]
    );
}

#[tokio::test(start_paused = true)]
async fn requests_that_wait_for_another_one_say_so() {
    let listener = Listener::default();
    let _guard = listener.listen(LevelFilter::DEBUG);
    let origin = Origin::counting();
    origin.close();
    let node = alone(&origin);
    let leader = begin(&node, request(Method::GET, "/a"));
    origin.called(1).await;
    let waiter = begin(&node, request(Method::GET, "/a"));
    tokio::time::sleep(Duration::from_millis(10)).await;
    origin.open();
    leader.await.unwrap();
    waiter.await.unwrap();
    node.settle().await;
    let mut closed = listener.closed();
    closed.sort_unstable();
    assert_eq!(
        closed,
        [
            "request > collapse: among=requests ended=shared",
            "request > origin: outcome=answered status=200",
            "request: method=GET path=/a outcome=collapsed status=200",
            "request: method=GET path=/a outcome=miss status=200",
            "store: after=request body=whole",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_refresh_follows_from_the_request_that_caused_it() {
    let listener = Listener::default();
    let origin = answering("max-age=1, stale-while-revalidate=60");
    let node = alone(&origin);
    node.get("/a").await;
    node.settle().await;
    tokio::time::advance(Duration::from_secs(5)).await;

    let _guard = listener.listen(LevelFilter::DEBUG);
    origin.close();
    node.get("/a").await;
    assert_eq!(
        listener.closed(),
        ["request: method=GET path=/a outcome=stale status=200"],
        "it is over while the refresh goes on"
    );
    origin.open();
    node.settle().await;
    assert_eq!(
        listener.closed(),
        [
            "refresh > origin: outcome=answered status=200",
            "store: after=refresh body=whole",
            "refresh: after=request",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn what_goes_past_the_cache_has_its_call_too() {
    let listener = Listener::default();
    let _guard = listener.listen(LevelFilter::DEBUG);
    let origin = answering("no-store");
    let node = alone(&origin);
    node.send(request(Method::PUT, "/a")).await;
    node.send(get_with("/a", "x-http-method-override", "PUT"))
        .await;
    // Nobody else may have it, so it is fetched without a task.
    node.send(get_with("/a", "cache-control", "no-store")).await;
    node.settle().await;
    assert_eq!(
        listener.closed(),
        [
            "request > origin: outcome=answered status=200",
            "request: method=PUT path=/a outcome=bypassed status=200",
            "request > origin: outcome=answered status=200",
            "request: method=GET path=/a outcome=bypassed status=200",
            "request > origin: outcome=answered status=200",
            "request: method=GET path=/a outcome=miss status=200",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_that_its_client_leaves_closes_with_its_call() {
    let listener = Listener::default();
    let _guard = listener.listen(LevelFilter::DEBUG);
    let origin = answering("no-store");
    origin.close();
    let node = alone(&origin);
    let asked = begin(&node, get_with("/a", "cache-control", "no-store"));
    origin.called(1).await;
    asked.abort();
    asked.await.unwrap_err();
    assert_eq!(
        listener.closed(),
        [
            "request > origin: outcome=dropped",
            "request: method=GET path=/a"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn the_shared_tier_is_asked_in_a_span() {
    let listener = Listener::default();
    let origin = Origin::counting();
    let network = Network::new();
    let [a, b] = network.nodes(&origin).await;
    let _guard = listener.listen(LevelFilter::DEBUG);
    a.get("/a").await;
    a.settle().await;
    let mut closed = listener.closed();
    closed.sort_unstable();
    assert_eq!(
        closed,
        [
            "request > collapse > lookup: found=miss",
            "request > collapse: among=nodes ended=fetch",
            "request > lookup: found=miss",
            "request > origin: outcome=answered status=200",
            "request: method=GET path=/a outcome=miss status=200",
            "store: after=request body=whole",
        ]
    );
    b.get("/a").await;
    b.settle().await;
    assert_eq!(
        listener.closed(),
        [
            "request > lookup: found=hit",
            "request: method=GET path=/a outcome=hit status=200",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn no_span_and_no_event_has_a_query_or_the_value_of_a_field() {
    let listener = Listener::default();
    let _guard = listener.listen(LevelFilter::TRACE);
    let origin = Origin::new(|request| {
        let response = Response::builder()
            .header("cache-control", "max-age=1, stale-while-revalidate=9")
            .header("etag", "\"secret\"")
            .header("location", "/secret")
            .header("x-answer", "secret");
        match request.uri().path() {
            "/broken" => response.status(503),
            "/private" => response.header("set-cookie", "id=secret"),
            _ => response,
        }
        .body(Full::from("secret"))
        .unwrap()
    });
    let network = Network::new();
    let [node] = network.nodes(&origin).await;
    for path in ["/a", "/broken", "/private"] {
        for method in [Method::GET, Method::HEAD, Method::POST, Method::PUT] {
            for name in [
                "authorization",
                "cookie",
                "x-any",
                "if-none-match",
                "range",
                "x-original-url",
            ] {
                let path = format!("{path}?token=secret");
                let mut asked = get_with(&path, name, "secret=secret");
                *asked.method_mut() = method.clone();
                node.send(asked).await;
                node.send(request(method.clone(), &path)).await;
                tokio::time::advance(Duration::from_secs(2)).await;
            }
        }
    }
    node.settle().await;
    let said = mem::take(&mut *listener.said.lock().unwrap());
    assert!(listener.closed().len() > 100);
    assert!(
        said.contains("path=/private") && said.contains("key="),
        "{said}"
    );
    assert!(!said.contains("secret"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn nobody_gets_a_span_who_listens_to_warnings_only() {
    let listener = Listener::default();
    let _guard = listener.listen(LevelFilter::INFO);
    let node = alone(&Origin::counting());
    node.get("/a").instrument(info_span!("server")).await;
    node.get("/a").await;
    node.settle().await;
    assert_eq!(listener.closed(), ["server:"]);
}
