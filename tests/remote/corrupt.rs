//! Values in Redis that no node wrote: each is a miss, and is gone after it was read.

use std::collections::HashMap;

use futures_util::future::join_all;
use http::{Method, StatusCode};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

use crate::{
    nodes::{Node, get_with, request},
    origin::{Origin, fresh},
    support::redis::{Reply, Server, standalone},
};

const PATHS: usize = 4_000;
const VALUES: usize = 100_000;

/// What the body of every answer to `path` is.
fn body(path: &str) -> String {
    format!("what the origin has at {path}")
}

fn origin() -> Origin {
    Origin::new(|request| {
        let path = request.uri().path();
        let mut response = fresh(body(path));
        if path.starts_with("/vary") {
            let vary = "accept-language".parse().unwrap();
            response.headers_mut().insert("vary", vary);
        }
        response
    })
}

fn path_of(index: usize) -> String {
    match index % 10 {
        0 => format!("/vary/{index}"),
        _ => format!("/plain/{index}"),
    }
}

/// The path that the key in a value ends with.
fn path_in(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    let at = text.find("/plain/").or_else(|| text.find("/vary/"));
    let path = &text[at.expect("a key of ours")..];
    let number = path[1..].find('/').expect("a path of ours") + 2;
    let digits = path[number..].find(|it: char| !it.is_ascii_digit());
    path[..digits.map_or(path.len(), |digits| number + digits)].to_owned()
}

/// All that is in Redis under the nodes' names, but for leases and the masters' own keys.
fn kept(redis: &Server) -> HashMap<Vec<u8>, Vec<u8>> {
    let mut wire = redis.wire();
    let Reply::Array(names) = wire.command(&["keys", "cachewarp:v1:{*"]) else {
        panic!("no list of names");
    };
    let mut kept = HashMap::new();
    for name in names {
        let Reply::Bulk(name) = name else {
            panic!("no name: {name:?}");
        };
        if let Reply::Bulk(value) = wire.command(&[b"get".as_slice(), &name]) {
            kept.insert(name, value);
        }
    }
    kept
}

/// Numbers that look random, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// What no node wrote, made of what one did.
fn spoiled(value: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = value.to_vec();
    match numbers.below(4) {
        0 => {
            let length = numbers.below(600);
            bytes = (0..length).map(|_| numbers.next() as u8).collect();
        }
        1 => bytes.truncate(numbers.below(value.len())),
        2 => {
            // As every value begins, with noise behind that.
            let beginning = value.len().min(4);
            bytes.truncate(beginning);
            let length = numbers.below(600);
            bytes.extend((0..length).map(|_| numbers.next() as u8));
        }
        _ => {
            for _ in 0..=numbers.below(3) {
                let bit = numbers.below(bytes.len() * 8);
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }
    // An empty one is as good as none.
    if bytes == value || bytes.is_empty() {
        bytes.push(0);
    }
    bytes
}

/// A node that reads every value, and is notified of changes.
async fn reader(origin: &Origin, redis: &Server) -> Node {
    let node = Node::patient(origin, redis).await;
    node.is_connected().await;
    node
}

/// What was counted since the last look.
fn counted(snapshotter: &Snapshotter, name: &str) -> u64 {
    let metrics = snapshotter.snapshot().into_vec().into_iter();
    metrics
        .filter(|(key, ..)| key.key().name() == name)
        .map(|(.., value)| match value {
            DebugValue::Counter(count) => count,
            other => panic!("no counter: {other:?}"),
        })
        .sum()
}

#[tokio::test]
async fn what_does_not_decode_is_a_miss_and_is_deleted() {
    let redis = standalone();
    let origin = origin();
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    // For this thread, on which everything here runs.
    let _guard = metrics::set_default_local_recorder(&recorder);
    let node = reader(&origin, &redis).await;
    let mut paths: HashMap<Vec<u8>, String> = HashMap::new();
    let mut valid: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for some in (0..PATHS).map(path_of).collect::<Vec<_>>().chunks(50) {
        let fetched = some.iter().map(|path| async {
            let asked = get_with(path, "accept-language", "en");
            assert_eq!(node.send(asked).await.body, body(path));
        });
        join_all(fetched).await;
    }
    node.settle().await;
    // Which name is whose: the whole key is in the value.
    for (name, value) in kept(&redis) {
        paths.insert(name.clone(), path_in(&value));
        valid.push((name, value));
    }
    assert!(valid.len() > PATHS, "records and their variants");
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let (mut written, calls) = (0_u64, origin.calls());
    let (mut round, mut stored_again) = (0, 0);
    while written < VALUES as u64 {
        round += 1;
        // One that holds nothing in memory, so that every value is read.
        let node = reader(&origin, &redis).await;
        // The variant under a spoiled record would not be read, so one of the two is.
        let spoil: Vec<_> = valid
            .iter()
            .filter(|(name, _)| match name.ends_with(b"}") {
                true => !paths[name].starts_with("/vary") || round % 2 == 0,
                false => round % 2 == 1,
            })
            .collect();
        for some in spoil.chunks(250) {
            let mut command = vec![b"mset".to_vec()];
            for (name, value) in some {
                command.extend([name.clone(), spoiled(value, &mut numbers)]);
            }
            assert!(redis.command(&command).is_ok());
        }
        let numbers = &mut numbers;
        for some in spoil.chunks(50) {
            let asked = some.iter().map(|(name, _)| {
                let path = &paths[name];
                // Some are stored again; the others only look.
                let method = match numbers.below(7) {
                    0 | 1 => Method::GET,
                    _ => Method::HEAD,
                };
                stored_again += u64::from(method == Method::GET);
                let mut asked = request(method.clone(), path);
                let headers = asked.headers_mut();
                headers.insert("accept-language", "en".parse().unwrap());
                let node = &node;
                async move {
                    let seen = node.send(asked).await;
                    assert_eq!(seen.status, StatusCode::OK);
                    assert!(!seen.is_hit(), "{path}: {seen:?}");
                    if method == Method::GET {
                        assert_eq!(seen.body, body(path));
                    }
                }
            });
            join_all(asked).await;
        }
        node.settle().await;
        written += spoil.len() as u64;
        // Each was read: some more than once, before it was deleted.
        let undecodable = counted(&snapshotter, "cachewarp_remote_undecodable_total");
        assert!(undecodable >= spoil.len() as u64, "{undecodable}");
        // Records lead to variants, so those that were deleted must be there again.
        let mut command = vec![b"mset".to_vec()];
        for (name, value) in valid
            .iter()
            .filter(|(name, _)| paths[name].starts_with("/vary"))
        {
            command.extend([name.clone(), value.clone()]);
        }
        assert!(redis.command(&command).is_ok());
    }
    println!(
        "{written} values that no node wrote, {stored_again} of them stored again, {} calls",
        origin.calls() - calls
    );
    assert_eq!(origin.calls() as u64, calls as u64 + written);
    assert!(stored_again >= written / 4, "{stored_again} of {written}");
    // What is there now is what nodes wrote.
    let fresh = Node::new(&origin, &redis).await;
    let before = origin.calls();
    for (name, _) in kept(&redis) {
        let seen = fresh
            .send(get_with(&paths[&name], "accept-language", "en"))
            .await;
        assert_eq!(seen.body, body(&paths[&name]));
    }
    fresh.settle().await;
    assert_eq!(origin.calls(), before);
    let undecodable = counted(&snapshotter, "cachewarp_remote_undecodable_total");
    assert_eq!(undecodable, 0);
}

#[tokio::test]
async fn a_value_of_another_key_is_never_served() {
    let redis = standalone();
    let origin = origin();
    let node = Node::patient(&origin, &redis).await;
    let mut values: Vec<(String, Vec<u8>, Vec<u8>)> = Vec::new();
    for index in 1..10 {
        let path = format!("/plain/{index}");
        node.get(&path).await;
        node.settle().await;
        let known: Vec<_> = values.iter().map(|(_, name, _)| name.clone()).collect();
        let (name, value) = kept(&redis)
            .into_iter()
            .find(|(name, _)| !known.contains(name))
            .expect("it is stored");
        values.push((path, name, value));
    }
    for (index, (path, name, _)) in values.iter().enumerate() {
        let (_, _, other) = &values[(index + 1) % values.len()];
        assert!(redis.command(&[b"set".as_slice(), name, other]).is_ok());
        let cold = Node::patient(&origin, &redis).await;
        let seen = cold.get(path).await;
        assert!(!seen.is_hit(), "{seen:?}");
        assert_eq!(seen.body, body(path));
        cold.settle().await;
        // It was replaced.
        let seen = Node::patient(&origin, &redis).await.get(path).await;
        assert!(seen.is_hit(), "{seen:?}");
        assert_eq!(seen.body, body(path));
    }
}

#[tokio::test]
async fn a_key_of_another_type_costs_no_answer_and_is_replaced() {
    let redis = standalone();
    let origin = origin();
    let node = Node::patient(&origin, &redis).await;
    node.get("/plain/1").await;
    node.settle().await;
    let (name, _) = kept(&redis).into_iter().next().expect("it is stored");
    redis.command(&[b"del".as_slice(), &name]);
    redis.command(&[b"rpush".as_slice(), &name, b"a list"]);
    for _ in 0..3 {
        let cold = Node::patient(&origin, &redis).await;
        let seen = cold.get("/plain/1").await;
        assert_eq!((seen.status, seen.body), (StatusCode::OK, body("/plain/1")));
        cold.settle().await;
    }
    let seen = Node::patient(&origin, &redis).await.get("/plain/1").await;
    assert!(seen.is_hit(), "still not shared: {seen:?}");
}

/// The bytes that the server has sent so far.
fn sent(redis: &Server) -> u64 {
    let stats = redis.command(&["INFO", "stats"]).text();
    let line = stats
        .lines()
        .find_map(|line| line.strip_prefix("total_net_output_bytes:"));
    line.unwrap().parse().unwrap()
}

/// The names of what is stored for `path`: a response, or a list of variants and a variant.
fn names_of(redis: &Server, path: &str) -> Vec<Vec<u8>> {
    let own = kept(redis)
        .into_iter()
        .filter(|(_, value)| path_in(value) == path);
    own.map(|(name, _)| name).collect()
}

#[tokio::test]
async fn what_is_larger_than_any_node_writes_is_not_read_to_its_end_and_is_deleted() {
    const LARGE: usize = 100 << 20;
    let redis = standalone();
    let origin = origin();
    let node = Node::patient(&origin, &redis).await;
    for path in ["/plain/1", "/vary/2"] {
        let asked = || get_with(path, "accept-language", "en");
        node.send(asked()).await;
        node.settle().await;
        for name in names_of(&redis, path) {
            for length in [LARGE, 0] {
                let mut value = kept(&redis)[&name].clone();
                value.resize(length, 0);
                let set = [b"set".as_slice(), &name, &value];
                assert!(redis.command(&set).is_ok());
                let before = sent(&redis);
                let cold = Node::patient(&origin, &redis).await;
                let seen = cold.send(asked()).await;
                assert!(!seen.is_hit(), "{path}: {seen:?}");
                assert_eq!(seen.body, body(path));
                cold.settle().await;
                // Twice what a node writes, twice.
                let read = sent(&redis) - before;
                assert!(read < 33 << 20, "{read} bytes");
                let other = Node::patient(&origin, &redis).await;
                let seen = other.send(asked()).await;
                assert!(seen.is_hit(), "it is not stored again: {seen:?}");
            }
        }
    }
}
