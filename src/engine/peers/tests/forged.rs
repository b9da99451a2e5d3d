//! Values in the shared tier that no node wrote, though they decode: what a node answers then, and
//! what becomes of them.

use std::time::Duration;

use bytes::Bytes;
use cachewarp::CacheBuilder;
use http::{Method, StatusCode};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tokio::{runtime::Builder, task::yield_now, time::sleep};

use super::{
    network::Network,
    node::{Node, Seen, get_with, request},
    origin::Origin,
};
use crate::{
    codec::{self, Body, Compression, EntryRecord, Stamp, Value},
    remote::SelectingHeaders,
};

const HOUR: Duration = Duration::from_secs(3_600);

fn decoded(bytes: &Bytes) -> (Value, Stamp) {
    codec::decode(bytes, Body::AtMost(u64::MAX)).unwrap()
}

/// A shared tier that holds the response of one node to `/a`, changed.
struct Forged {
    network: Network,
    origin: Origin,
    name: String,
    value: Bytes,
}

impl Forged {
    async fn new(change: impl FnOnce(&mut EntryRecord)) -> Self {
        Self::encoded(|mut record, stamp| {
            change(&mut record);
            codec::encode(&Value::Entry(record), stamp, Compression::AtLeast(0))
        })
        .await
    }

    async fn encoded(forge: impl FnOnce(EntryRecord, Stamp) -> Bytes) -> Self {
        let network = Network::new();
        let origin = Origin::counting();
        let [writer] = network.nodes(&origin).await;
        writer.get("/a").await;
        writer.settle().await;
        let names = network.server.names();
        let [name] = &names[..] else {
            panic!("not one value: {names:?}");
        };
        let stored = network.server.value(name).unwrap();
        let (Value::Entry(record), stamp) = decoded(&stored) else {
            panic!("another kind");
        };
        let value = forge(record, stamp);
        network.server.set(name, value.clone(), HOUR);
        Self {
            name: name.clone(),
            value,
            network,
            origin,
        }
    }

    async fn node(&self) -> Node {
        let [node] = self.network.nodes(&self.origin).await;
        node
    }

    /// What a node answers that has nothing in memory, and may not ask the origin.
    async fn found(&self) -> Seen {
        let asked = get_with("/a", "cache-control", "only-if-cached");
        self.node().await.send(asked).await
    }

    /// Whether the value is still there, once everything is done.
    async fn is_kept(&self) -> bool {
        for _ in 0..10 {
            yield_now().await;
        }
        self.network.server.value(&self.name).as_ref() == Some(&self.value)
    }

    /// Asserts that the value is not used, and that it is replaced by what the origin has.
    async fn is_replaced(&self, what: &str) {
        let node = self.node().await;
        let seen = node.get("/a").await;
        assert!(!seen.is_hit(), "{what}: {seen:?}");
        assert_eq!(
            (seen.status, &*seen.body),
            (StatusCode::OK, "/a 1"),
            "{what}"
        );
        node.settle().await;
        let seen = self.node().await.get("/a").await;
        assert!(seen.is_hit(), "{what}: {seen:?}");
        assert_eq!(seen.body, "/a 1", "{what}");
    }
}

fn fields(record: &mut EntryRecord, more: &[(&str, &str)]) {
    let own: Vec<(Vec<u8>, Vec<u8>)> = record
        .headers
        .iter()
        .map(|(name, value)| (name.to_vec(), value.to_vec()))
        .collect();
    let more = more
        .iter()
        .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
    record.headers = own.into_iter().chain(more).collect();
}

type Change = fn(&mut EntryRecord);

const FORGED: &[(&str, Change)] = &[
    ("an interim status", |it| it.status = 101),
    ("a part", |it| it.status = 206),
    ("a 304", |it| it.status = 304),
    ("a 401", |it| it.status = 401),
    ("no status", |it| it.status = 999),
    ("less than a status", |it| it.status = 7),
    ("a body where there is none", |it| it.status = 204),
    ("another key", |it| {
        it.key = Bytes::from_static(b"https://b.example/");
    }),
    ("a private response", |it| {
        fields(it, &[("cache-control", "private")]);
    }),
    ("Vary: *", |it| fields(it, &[("vary", "*")])),
    ("a variant as the only response", |it| {
        fields(it, &[("vary", "cookie")]);
    }),
    ("selectors that are not looked at", |it| {
        let request = get_with("/a", "accept-language", "xx").into_parts().0;
        let order = Default::default();
        let mut selecting = SelectingHeaders::new(&request.headers, order);
        it.selecting = selecting.selectors([&http::header::ACCEPT_LANGUAGE]);
    }),
    ("a field with a line end", |it| {
        fields(it, &[("x", "a\r\nset-cookie: b=1")]);
    }),
    ("a name that is none", |it| {
        fields(it, &[(":status", "200")]);
    }),
    ("more lines than a head has", |it| {
        fields(it, &[("x", "1"); 1_025]);
    }),
    ("more lines than a map can hold", |it| {
        let names: Vec<String> = (0..24_573).map(|at| format!("x-{at}")).collect();
        let lines: Vec<_> = names.iter().map(|name| (&**name, "1")).collect();
        fields(it, &lines);
    }),
    ("a head that is too long", |it| {
        let long = "a".repeat(65 << 10);
        fields(it, &[("x", &long)]);
    }),
    ("a body that is too large", |it| {
        it.body = vec![vec![0; (16 << 20) + 1].into()];
    }),
    ("Connection with a field that means something", |it| {
        fields(it, &[("connection", "cache-control")]);
    }),
    ("codes that stand for nothing", |it| it.reuse = 9),
];

#[tokio::test(start_paused = true)]
async fn what_no_node_writes_is_a_miss_and_is_deleted() {
    for (what, change) in FORGED {
        let forged = Forged::new(change).await;
        let seen = forged.found().await;
        assert_eq!(seen.status, StatusCode::GATEWAY_TIMEOUT, "{what}: {seen:?}");
        assert!(!forged.is_kept().await, "{what}");
        Forged::new(change).await.is_replaced(what).await;
    }
}

/// The size that the head announces is a lie, in either direction.
#[tokio::test(start_paused = true)]
async fn a_bomb_whose_announced_size_lies_is_a_miss_and_is_deleted() {
    for announced in [
        1_u64,
        1_000,
        (4 << 20) - 1,
        (4 << 20) + 1,
        1 << 40,
        u64::MAX,
    ] {
        let forged = Forged::encoded(|mut record, stamp| {
            record.body = vec![vec![0; 4 << 20].into()];
            let value = codec::encode(&Value::Entry(record), stamp, Compression::AtLeast(0));
            assert!(value.len() < 8 << 10);
            let mut bytes = value.to_vec();
            let size = (4_u64 << 20).to_be_bytes();
            let at = bytes.windows(8).position(|it| *it == size).unwrap();
            bytes[at..at + 8].copy_from_slice(&announced.to_be_bytes());
            let checksum = xxhash_rust::xxh3::xxh3_64(&[&bytes[..20], &bytes[28..]].concat());
            bytes[20..28].copy_from_slice(&checksum.to_be_bytes());
            bytes.into()
        });
        let forged = forged.await;
        let seen = forged.found().await;
        assert_eq!(seen.status, StatusCode::GATEWAY_TIMEOUT, "{announced}");
        assert!(!forged.is_kept().await, "{announced}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_never_stored_does_not_reach_the_client() {
    let hidden = [
        "set-cookie",
        "connection",
        "x-secret",
        "transfer-encoding",
        "trailer",
        "upgrade",
    ];
    let forged = Forged::new(|it| {
        fields(
            it,
            &[
                ("set-cookie", "a=1"),
                ("connection", "x-secret"),
                ("x-secret", "1"),
                ("transfer-encoding", "chunked"),
                ("trailer", "x"),
                ("upgrade", "h2c"),
                ("x-kept", "1"),
            ],
        );
    });
    let seen = forged.await.found().await;
    assert!(seen.is_hit(), "{seen:?}");
    assert_eq!(seen.headers.get("x-kept").unwrap(), "1");
    for name in hidden {
        assert_eq!(seen.headers.get(name), None, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_forged_length_does_not_reach_the_client() {
    for stated in [
        &["3"][..],
        &["300"],
        &["4", "4"],
        &["3", "4"],
        &["-1"],
        &["x"],
        &["4, 4"],
    ] {
        let fields: Vec<_> = stated.iter().map(|it| ("content-length", *it)).collect();
        let forged = Forged::new(|it| self::fields(it, &fields)).await;
        for method in [Method::GET, Method::HEAD] {
            let node = forged.node().await;
            let mut asked = request(method, "/a");
            let only_if_cached = "only-if-cached".parse().unwrap();
            asked.headers_mut().insert("cache-control", only_if_cached);
            let seen = node.send(asked).await;
            assert!(seen.is_hit(), "{stated:?}: {seen:?}");
            let lengths: Vec<_> = seen.headers.get_all("content-length").iter().collect();
            assert_eq!(lengths, ["4"], "{stated:?}");
        }
    }
}

/// Of two clocks that are apart either may be wrong, so the value stays until a node replaces it.
#[tokio::test(start_paused = true)]
async fn what_is_from_the_future_is_a_miss_and_stays() {
    let ahead = |milliseconds: i64| Forged::new(move |it| it.arrived_ms += milliseconds);
    for milliseconds in [0, 1, 4_000, 5_000] {
        let seen = ahead(milliseconds).await.found().await;
        assert!(seen.is_hit(), "{milliseconds}: {seen:?}");
        assert_eq!(seen.age, Some(0));
    }
    for milliseconds in [5_100, 60_000, 1 << 40, i64::MAX - 1_800_000_000_000] {
        let forged = ahead(milliseconds).await;
        let seen = forged.found().await;
        assert_eq!(seen.status, StatusCode::GATEWAY_TIMEOUT, "{milliseconds}");
        assert!(forged.is_kept().await, "{milliseconds}");
        forged.is_replaced("from the future").await;
    }
}

/// A variant that is from the future, and a list that says so of it, are replaced too.
#[tokio::test(start_paused = true)]
async fn a_variant_from_the_future_is_replaced() {
    let network = Network::new();
    let origin = Origin::new(|_| {
        let mut response = super::origin::fresh("text".to_owned());
        let vary = "accept-language".parse().unwrap();
        response.headers_mut().insert("vary", vary);
        response
    });
    let [writer] = network.nodes(&origin).await;
    let ask = || get_with("/a", "accept-language", "en");
    writer.send(ask()).await;
    writer.settle().await;
    for name in network.server.names() {
        let (mut value, stamp) = decoded(&network.server.value(&name).unwrap());
        match &mut value {
            Value::Entry(record) => record.arrived_ms += 60_000,
            Value::Variants(list) => list.variants[0].arrived_ms += 60_000,
            Value::Tombstone => panic!("nothing was invalidated"),
        }
        let value = codec::encode(&value, stamp, Compression::Off);
        network.server.set(&name, value, HOUR);
    }
    for is_hit in [false, true] {
        let [node] = network.nodes(&origin).await;
        let seen = node.send(ask()).await;
        assert_eq!(seen.is_hit(), is_hit, "{seen:?}");
        node.settle().await;
    }
    assert_eq!(origin.calls(), 2);
}

/// The longer a fetch took, the earlier a response is refreshed, but none takes longer than the
/// origin may.
#[tokio::test(start_paused = true)]
async fn a_forged_cost_refreshes_nothing_early() {
    for cost in [0, 900, 3_600_000, u32::MAX] {
        let forged = Forged::new(|it| it.cost_ms = cost).await;
        let set = |it: CacheBuilder| it.early_refresh(1.0).origin_timeout(Duration::from_secs(1));
        let [node] = forged.network.nodes_with(&forged.origin, set).await;
        // More than half of the hour is over.
        sleep(Duration::from_secs(2_000)).await;
        let calls = forged.origin.calls();
        for _ in 0..100 {
            assert!(node.get("/a").await.is_hit(), "{cost}");
        }
        node.settle().await;
        assert_eq!(forged.origin.calls(), calls, "{cost}");
    }
}

#[test]
fn each_is_counted_by_its_reason() {
    let cases: [(&str, Change); 3] = [
        ("ahead", |it| it.arrived_ms += 60_000),
        ("fields", |it| fields(it, &[("set-cookie", "a=1")])),
        ("forged", |it| it.status = 206),
    ];
    for (because, change) in cases {
        let recorder = DebuggingRecorder::new();
        metrics::with_local_recorder(&recorder, || {
            let mut runtime = Builder::new_current_thread();
            let runtime = runtime.enable_all().start_paused(true).build().unwrap();
            runtime.block_on(async { Forged::new(change).await.found().await });
        });
        let counted = recorder.snapshotter().snapshot().into_vec();
        let refused: Vec<_> = counted
            .into_iter()
            .filter(|(key, ..)| key.key().name().ends_with("_remote_refused_total"))
            .filter(|(.., value)| *value != DebugValue::Counter(0))
            .map(|(key, .., value)| {
                let because = key.key().labels().next().unwrap().value().to_owned();
                (because, value)
            })
            .collect();
        assert_eq!(refused, [(because.to_owned(), DebugValue::Counter(1))]);
    }
}
