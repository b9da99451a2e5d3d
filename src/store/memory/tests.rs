//! Expired resources are removed, others stay, and the expiry schedule lists exactly the stored
//! keys.

use std::time::Duration;

use http::Uri;

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
