//! Pages whose bodies carry a version, and the log of their purges as Redis has it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use cachewarp::{Purge, Purged, PurgedShared};
use http::{Method, Response, StatusCode};
use http_body_util::Full;

use crate::{
    nodes::{Node, eventually},
    origin::Origin,
    support::redis::{Reply, Server},
};

/// Pages with one version, a tag, a group, and a validator that never changes.
pub(super) struct Pages {
    version: Arc<AtomicU64>,
    pub(super) origin: Origin,
}

impl Pages {
    /// Fresh for an hour, and those below `/brief` for a second.
    pub(super) fn new() -> Self {
        let version = Arc::new(AtomicU64::new(1));
        let now = Arc::clone(&version);
        let origin = Origin::new(move |request| {
            let version = format!("{:012}", now.load(Ordering::SeqCst));
            let control = if request.uri().path().starts_with("/brief") {
                "max-age=1, stale-while-revalidate=600, stale-if-error=600"
            } else {
                "max-age=3600, stale-if-error=3600"
            };
            let response = Response::builder()
                .header("cache-control", control)
                .header("cache-tag", "page")
                .header("cache-groups", "\"g\"")
                .header("x-version", &version)
                .header("etag", "\"same\"");
            let is_known = request.headers().contains_key("if-none-match");
            let (status, body) = match *request.method() {
                _ if is_known => (StatusCode::NOT_MODIFIED, String::new()),
                Method::HEAD => (StatusCode::OK, String::new()),
                _ => (StatusCode::OK, version.clone()),
            };
            let body = Full::new(body.into());
            response.status(status).body(body).unwrap()
        });
        Self { version, origin }
    }

    /// Raises the version, and returns it.
    pub(super) fn publish(&self) -> u64 {
        self.version.fetch_add(1, Ordering::SeqCst) + 1
    }
}

/// The version that a node answers with.
pub(super) async fn version(node: &Node, path: &str) -> u64 {
    let seen = node.get(path).await;
    assert_eq!(seen.status, StatusCode::OK, "{seen:?}");
    seen.body.parse().unwrap()
}

/// Purges all pages, and returns the number in the log.
pub(super) async fn purge(node: &Node) -> u64 {
    told(&node.layer.handle().purge(Purge::tag("page")).await.unwrap())
}

pub(super) fn told(purged: &Purged) -> u64 {
    assert!(purged.here.in_force);
    match purged.shared {
        PurgedShared::Told { seq, .. } => seq,
        other => panic!("not told: {other:?}"),
    }
}

/// Both nodes have version 1 of these pages, the second one from the first.
pub(super) async fn warm(nodes: [&Node; 2], paths: &[&str]) {
    for path in paths {
        assert_eq!(version(nodes[0], path).await, 1);
        nodes[0].settle().await;
        assert!(nodes[1].finds(path).await);
        assert_eq!(version(nodes[1], path).await, 1);
    }
}

/// Waits until a node answers with a version that is as new.
pub(super) async fn is_seen(node: &Node, path: &str, least: u64) {
    eventually("the purge is in force on the other node", async || {
        version(node, path).await >= least
    })
    .await;
}

/// The log of purges in Redis.
pub(super) const LOG: &[u8] = b"cachewarp:v1:purges";

/// The members of the log and their scores.
pub(super) fn members(redis: &Server) -> Vec<(Vec<u8>, f64)> {
    let command = [b"ZRANGE".as_slice(), LOG, b"0", b"-1", b"WITHSCORES"];
    let Reply::Array(members) = redis.command(&command) else {
        panic!("no list of members");
    };
    let pairs = members.chunks_exact(2).map(|pair| {
        let [Reply::Bulk(member), score] = pair else {
            panic!("no member and score: {pair:?}");
        };
        (member.clone(), score.text().parse().unwrap())
    });
    pairs.collect()
}

/// The rows of the log and their numbers.
pub(super) fn rows(redis: &Server) -> Vec<(Vec<u8>, u64)> {
    let rows = members(redis).into_iter();
    rows.filter(|(member, _)| member[0] == b'R')
        .map(|(member, score)| (member, score as u64))
        .collect()
}

/// The id of the log.
pub(super) fn id(redis: &Server) -> Vec<u8> {
    let members = members(redis);
    let id = members.iter().find(|(member, _)| member[0] == b'I');
    id.expect("the log has an id").0[1..9].to_vec()
}

/// Adds a member to the log.
pub(super) fn add(redis: &Server, score: u64, member: &[u8]) {
    let score = score.to_string();
    let command = [b"ZADD".as_slice(), LOG, score.as_bytes(), member];
    assert_eq!(redis.command(&command), Reply::Integer(1));
}
