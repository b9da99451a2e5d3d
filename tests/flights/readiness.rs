//! The inner service's readiness: the instance that is polled ready is the one that is called, and a hit polls none.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use cachewarp::CacheService;
use tower::{
    Layer, Service, ServiceExt, buffer::Buffer, limit::ConcurrencyLimit, load_shed::LoadShed,
};

use crate::support::{
    Answer, Asked, BoxError, Cached, Count, Origin, fresh, get, is_hit, layer, request, settle,
    soon, text,
};

/// An origin whose answers under `/slow` come when the gate opens.
fn slow_origin(gate: &Count) -> Origin {
    let is_slow = |_, request: &Asked| request.uri().path().starts_with("/slow");
    Origin::held_if(is_slow, gate, 1, |_, request| {
        Ok(fresh(request.uri().path().to_owned()))
    })
}

/// Warms `/warm`, holds the service with a miss of `/slow/1`, queues a miss of `/slow/2` behind
/// it, and asks for hits meanwhile.
async fn hits_beside_a_held_miss<S>(inner: S, gate: &Count) -> Vec<Result<Answered, BoxError>>
where
    S: Service<Asked, Response = Answer, Error = BoxError> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let cache: CacheService<S> = layer().layer(inner);
    let warm = soon(cache.clone().oneshot(get("/warm"))).await.unwrap();
    text(warm).await;
    let misses: Vec<_> = ["/slow/1", "/slow/2", "/slow/3"]
        .map(|path| tokio::spawn(cache.clone().oneshot(get(path))))
        .into();
    settle().await;
    for _ in 0..100 {
        let hit = soon(cache.clone().oneshot(get("/warm"))).await.unwrap();
        assert!(is_hit(&hit));
        assert_eq!(text(hit).await, "/warm");
    }
    assert_eq!(
        gate.get(),
        0,
        "the hits were served while the miss was held"
    );
    gate.add();
    let mut answers = Vec::new();
    for miss in misses {
        answers.push(match soon(miss).await.unwrap() {
            Ok(answer) => Ok(Answered(text(answer).await)),
            Err(error) => Err(error),
        });
    }
    answers
}

struct Answered(bytes::Bytes);

fn bodies(answers: Vec<Result<Answered, BoxError>>) -> Vec<bytes::Bytes> {
    answers.into_iter().map(|it| it.unwrap().0).collect()
}

#[tokio::test]
async fn a_hit_waits_for_no_permit_of_a_concurrency_limit() {
    let gate = Count::new();
    let inner = ConcurrencyLimit::new(slow_origin(&gate), 1);
    let answers = hits_beside_a_held_miss(inner, &gate).await;
    assert_eq!(bodies(answers), ["/slow/1", "/slow/2", "/slow/3"]);
}

#[tokio::test]
async fn a_hit_waits_for_no_place_in_a_buffer() {
    let gate = Count::new();
    let inner = Buffer::new(ConcurrencyLimit::new(slow_origin(&gate), 1), 1);
    let answers = hits_beside_a_held_miss(inner, &gate).await;
    assert_eq!(bodies(answers), ["/slow/1", "/slow/2", "/slow/3"]);
}

#[tokio::test]
async fn a_hit_is_served_while_misses_are_shed() {
    let gate = Count::new();
    let inner = LoadShed::new(ConcurrencyLimit::new(slow_origin(&gate), 1));
    let answers = hits_beside_a_held_miss(inner, &gate).await;
    let mut answers = answers.into_iter();
    assert_eq!(answers.next().unwrap().unwrap().0, "/slow/1");
    for shed in answers {
        let error = shed.err().expect("there is one place only");
        assert!(error.is::<tower::load_shed::error::Overloaded>());
    }
}

/// `tower_test`'s mock panics when a clone is called that was not polled ready.
#[tokio::test]
async fn the_instance_that_was_polled_ready_is_the_one_called() {
    let (mock, mut handle) = tower_test::mock::pair::<Asked, Answer>();
    let cache = layer().layer(mock);
    handle.allow(0);
    let miss = tokio::spawn(cache.clone().oneshot(get("/")));
    settle().await;
    assert!(!miss.is_finished(), "the inner service is not ready yet");
    handle.allow(1);
    let (request, answer) = soon(handle.next_request()).await.unwrap();
    assert_eq!(request.uri(), "/");
    answer.send_response(fresh("once"));
    let answer: Cached = soon(miss).await.unwrap().unwrap();
    assert_eq!(text(answer).await, "once");
    // A hit needs no readiness, of which there is none.
    handle.allow(0);
    let hit: Cached = soon(cache.clone().oneshot(get("/"))).await.unwrap();
    assert!(is_hit(&hit));
    let post = tokio::spawn(cache.clone().oneshot(request_post()));
    settle().await;
    assert!(!post.is_finished());
    handle.allow(1);
    let (_, answer) = soon(handle.next_request()).await.unwrap();
    answer.send_response(fresh("posted"));
    assert_eq!(text(soon(post).await.unwrap().unwrap()).await, "posted");
}

fn request_post() -> Asked {
    request(http::Method::POST, "/other")
}

#[tokio::test]
async fn an_error_of_readiness_is_an_error_of_the_origin() {
    let (mock, mut handle) = tower_test::mock::pair::<Asked, Answer>();
    let cache = layer().layer(mock);
    handle.send_error("not today");
    let result: Result<Cached, _> = soon(cache.oneshot(get("/"))).await;
    assert_eq!(result.err().unwrap().to_string(), "not today");
}

/// Counts what is done to it, and to its clones.
#[derive(Default)]
struct Watched {
    readied: bool,
    touched: Arc<AtomicUsize>,
}

impl Clone for Watched {
    fn clone(&self) -> Self {
        self.touched.fetch_add(1, Ordering::SeqCst);
        Self {
            readied: false,
            touched: Arc::clone(&self.touched),
        }
    }
}

impl Service<Asked> for Watched {
    type Response = Answer;
    type Error = BoxError;
    type Future = std::future::Ready<Result<Answer, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.touched.fetch_add(1, Ordering::SeqCst);
        self.readied = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Asked) -> Self::Future {
        assert!(
            std::mem::take(&mut self.readied),
            "called without readiness"
        );
        self.touched.fetch_add(1, Ordering::SeqCst);
        std::future::ready(Ok(fresh("watched")))
    }
}

#[tokio::test]
async fn a_hit_does_not_touch_the_inner_service() {
    let inner = Watched::default();
    let touched = Arc::clone(&inner.touched);
    let mut cache = layer().layer(inner);
    let miss: Cached = soon(cache.ready().await.unwrap().call(get("/")))
        .await
        .unwrap();
    text(miss).await;
    let before = touched.load(Ordering::SeqCst);
    assert!(before > 0);
    for _ in 0..100 {
        let hit: Cached = soon(cache.ready().await.unwrap().call(get("/")))
            .await
            .unwrap();
        assert!(is_hit(&hit));
    }
    assert_eq!(touched.load(Ordering::SeqCst), before);
}
