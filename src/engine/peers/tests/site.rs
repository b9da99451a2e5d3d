//! A site whose writes may get no answer, for the tests of what that means on many nodes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use cachewarp::{CacheBuilder, CacheOutcome};
use http::{Method, Response, StatusCode};
use http_body_util::Full;

use super::{
    network::Network,
    node::{Node, Seen, begin, get_with, request},
    origin::{Origin, status},
};

/// In which a notification is received.
pub(super) const NOTIFIED: Duration = Duration::from_millis(1);

/// After which what could not be sent has been sent again.
pub(super) const SENT_AGAIN: Duration = Duration::from_secs(2);

/// Pages that may be served for a day in place of an error, each version another one.
pub(super) struct Site {
    pub(super) network: Network,
    pub(super) origin: Origin,
    down: Arc<AtomicBool>,
    versions: Arc<AtomicU64>,
}

impl Site {
    pub(super) fn new() -> Self {
        let (down, versions) = (Arc::default(), Arc::new(AtomicU64::new(0)));
        let (is_down, version) = (Arc::clone(&down), Arc::clone(&versions));
        let is_down: Arc<AtomicBool> = is_down;
        let origin = Origin::new(move |request| {
            if is_down.load(Ordering::SeqCst) {
                return status(StatusCode::SERVICE_UNAVAILABLE);
            }
            if request.method() != Method::GET {
                return status(StatusCode::NO_CONTENT);
            }
            let version = version.fetch_add(1, Ordering::SeqCst);
            let directives = "max-age=3600, stale-while-revalidate=600, stale-if-error=86400";
            let response = Response::builder()
                .header("cache-control", directives)
                .header("etag", format!("\"{version}\""));
            let response = if request.uri().path().starts_with("/varies") {
                response.header("vary", "accept-language")
            } else {
                response
            };
            let body = format!("{} {version}", request.uri().path());
            response.body(Full::new(body.into())).unwrap()
        });
        Self {
            network: Network::new(),
            origin,
            down,
            versions,
        }
    }

    /// How many versions of pages there have been.
    pub(super) fn versions(&self) -> u64 {
        self.versions.load(Ordering::SeqCst)
    }

    pub(super) async fn nodes<const COUNT: usize>(&self) -> [Node; COUNT] {
        self.network.nodes_with(&self.origin, unpaused).await
    }

    /// Every node has the same version of a page, which is returned.
    pub(super) async fn stored(&self, nodes: &[&Node], path: &str) -> Seen {
        let fetched = nodes[0].get(path).await;
        nodes[0].settle().await;
        for node in nodes {
            let seen = node.get(path).await;
            assert!(seen.is_hit(), "{seen:?}");
            assert_eq!(seen.body, fetched.body);
            node.settle().await;
        }
        fetched
    }

    /// A write that the origin gets and does not answer.
    pub(super) async fn unanswered(&self, node: &Node, path: &str) {
        let calls = self.origin.calls();
        self.origin.close();
        let write = begin(node, request(Method::POST, path));
        self.origin.called(calls + 1).await;
        write.abort();
        assert!(write.await.unwrap_err().is_cancelled());
        self.origin.open();
    }

    pub(super) async fn answered(&self, node: &Node, path: &str) {
        let seen = node.send(request(Method::POST, path)).await;
        assert_eq!(seen.status, StatusCode::NO_CONTENT);
    }

    pub(super) fn is_down(&self, is_down: bool) {
        self.down.store(is_down, Ordering::SeqCst);
    }

    /// What a node answers while the origin is down. It asks the origin in any case.
    pub(super) async fn while_down(&self, node: &Node, path: &str, directives: &str) -> Seen {
        self.is_down(true);
        let calls = self.origin.calls_of(path);
        let seen = node.send(get_with(path, "cache-control", directives)).await;
        assert!(self.origin.calls_of(path) > calls, "{directives}: {seen:?}");
        self.is_down(false);
        seen
    }

    /// A node serves this in place of an error, and in no other way.
    pub(super) async fn serves_for_errors(
        &self,
        node: &Node,
        path: &str,
        stored: &Seen,
        what: &str,
    ) {
        for directives in ["", "max-stale"] {
            let seen = self.while_down(node, path, directives).await;
            assert!(
                matches!(seen.outcome, CacheOutcome::Stale { .. }),
                "{what}: {seen:?}"
            );
            assert_eq!(seen.body, stored.body, "{what}");
        }
    }

    pub(super) async fn serves_nothing(&self, node: &Node, path: &str, what: &str) {
        let seen = self.while_down(node, path, "").await;
        assert_eq!(
            seen.status,
            StatusCode::SERVICE_UNAVAILABLE,
            "{what}: {seen:?}"
        );
    }
}

/// No request is answered without the origin because one failed a moment ago.
pub(super) fn unpaused(builder: CacheBuilder) -> CacheBuilder {
    builder.refresh_pause(Duration::ZERO)
}
