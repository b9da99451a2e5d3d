//! Expired resources are removed, others stay, and the expiry schedule lists exactly the stored
//! keys. The metrics of the tier.

use std::{collections::BTreeMap, time::Duration};

use http::Uri;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

use super::Memory;
use crate::{
    entry::tests::kept_for,
    key::{KeyTarget, RequestKey},
    store::{
        resource::Resource,
        store::{Store, StoreFuture, Update},
    },
};

fn key(path: &str) -> RequestKey {
    let uri: Uri = path.parse().unwrap();
    RequestKey::of(KeyTarget::new("", &uri, "http", b"a.test"), 1)
}

fn put(memory: &Memory, path: &str, keep: Duration) {
    let resource = Resource::One(kept_for(keep));
    let update = Box::new(move |_: Option<&Resource>| Update::Replace(resource));
    let StoreFuture::Ready(_) = memory.update(key(path).to_key(), update) else {
        panic!("the memory tier is always ready");
    };
}

fn holds(memory: &Memory, path: &str) -> bool {
    let found = memory.get(key(path).as_ref());
    matches!(found, StoreFuture::Ready(Some(Ok(Some(_)))))
}

#[tokio::test(start_paused = true)]
async fn an_insert_removes_expired_resources_only() {
    let memory = Memory::with_capacity(1 << 20);
    put(&memory, "/short", Duration::from_secs(60));
    put(&memory, "/long", Duration::from_secs(600));
    put(&memory, "/renewed", Duration::from_secs(60));
    put(&memory, "/renewed", Duration::from_secs(600));
    tokio::time::advance(Duration::from_secs(59)).await;
    put(&memory, "/other", Duration::from_secs(600));
    assert!(holds(&memory, "/short"));
    tokio::time::advance(Duration::from_secs(61)).await;
    put(&memory, "/other", Duration::from_secs(600));
    assert!(!holds(&memory, "/short"));
    assert!(holds(&memory, "/long") && holds(&memory, "/renewed"));
    assert_eq!(memory.expiry.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn evicted_and_removed_resources_leave_the_expiry_schedule() {
    let memory = Memory::with_capacity(64 << 10);
    for index in 0..2_000 {
        put(&memory, &format!("/{index}"), Duration::from_secs(index));
    }
    put(&memory, "/gone", Duration::from_secs(60));
    let remove = Box::new(|_: Option<&Resource>| Update::Remove);
    drop(memory.update(key("/gone").to_key(), remove));
    memory.cache.run_pending_tasks();
    let held = memory.cache.iter().count();
    assert!(held > 10 && held < 200, "{held}");
    assert_eq!(memory.expiry.len(), held);
}

/// The counters and gauges of the memory tier that are not zero, by name and label.
fn figures(snapshotter: &Snapshotter) -> BTreeMap<String, f64> {
    let snapshot = snapshotter.snapshot().into_vec();
    let figures = snapshot.into_iter().map(|(key, _, _, value)| {
        let labels = key
            .key()
            .labels()
            .map(|label| format!("/{}", label.value()));
        let (_, name) = key.key().name().split_once('_').unwrap();
        let name = format!("{name}{}", labels.collect::<String>());
        match value {
            DebugValue::Counter(count) => (name, count as f64),
            DebugValue::Gauge(value) => (name, value.into_inner()),
            DebugValue::Histogram(_) => panic!("{name} is a histogram"),
        }
    });
    figures.filter(|(_, value)| *value != 0.0).collect()
}

#[tokio::test(start_paused = true)]
async fn evictions_count_by_cause_and_what_was_removed_otherwise_does_not() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let memory = Memory::with_capacity(64 << 10);
    memory.register_metrics();
    let evicted = || {
        let figures = figures(&snapshotter);
        let count = |cause| figures.get(&format!("evictions_total/{cause}")).copied();
        (count("size"), count("expired"))
    };
    put(&memory, "/replaced", Duration::from_secs(60));
    put(&memory, "/replaced", Duration::from_secs(60));
    put(&memory, "/removed", Duration::from_secs(60));
    let remove = Box::new(|_: Option<&Resource>| Update::Remove);
    let StoreFuture::Ready(_) = memory.update(key("/removed").to_key(), remove) else {
        panic!("the memory tier is always ready");
    };
    memory.settle();
    assert_eq!(evicted(), (None, None));

    tokio::time::advance(Duration::from_secs(121)).await;
    put(&memory, "/other", Duration::from_secs(600));
    memory.settle();
    assert_eq!(evicted(), (None, Some(1.0)));

    for index in 0..1_000 {
        put(&memory, &format!("/{index}"), Duration::from_secs(600));
    }
    memory.settle();
    let left = memory.entry_count();
    assert!(left < 500, "{left}");
    assert_eq!(evicted(), (Some((1_001 - left) as f64), None));
}

#[test]
fn the_gauges_are_the_sum_of_all_memory_tiers_that_are_there() {
    let recorder = DebuggingRecorder::new();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let (one, two) = (
        Memory::with_capacity(1 << 20),
        Memory::with_capacity(2 << 20),
    );
    let clone = two.clone();
    for memory in [&one, &two, &clone] {
        memory.register_metrics();
    }
    for (memory, path) in [(&one, "/a"), (&two, "/a"), (&two, "/b")] {
        put(memory, path, Duration::from_secs(60));
        memory.settle();
        memory.report();
    }
    clone.report();
    let gone = Memory::with_capacity(4 << 20);
    gone.register_metrics();
    put(&gone, "/a", Duration::from_secs(60));
    gone.settle();
    gone.report();
    drop(gone);
    let bytes = one.weighed_size() + two.weighed_size();
    // A look at them resets them, so there is one.
    let expected = [
        ("entries", 3.0),
        ("memory_bytes", bytes as f64),
        ("memory_capacity_bytes", f64::from(3 << 20)),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value));
    assert_eq!(figures(&recorder.snapshotter()), BTreeMap::from(expected));
}
