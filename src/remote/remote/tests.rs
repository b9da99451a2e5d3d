//! What events of the watch lead to.

use super::*;
use crate::{
    clock::ManualClock,
    remote::{in_memory::InMemoryServer, log::LogRequest},
};

#[tokio::test(start_paused = true)]
async fn who_follows_the_log_is_woken_when_it_may_have_changed() {
    let server = InMemoryServer::new();
    let node = server.node();
    let clock = Arc::new(ManualClock::at(0));
    let remote = Remote::new(Arc::new(node.clone()), clock, Arc::new(PurgeTable::new(1)));
    let is_woken = async || {
        let woken = async { remote.purges.changed().notified().await };
        tokio::time::timeout(Duration::from_millis(1), woken)
            .await
            .is_ok()
    };
    assert!(is_woken().await, "connected");
    assert!(!is_woken().await, "once");
    let name = purges(&node.limits().namespace);
    node.put(&format!("{name}x"), "x".into(), Duration::from_secs(9))
        .await
        .unwrap();
    assert!(!is_woken().await, "another name");
    let request = LogRequest {
        name: &name,
        position: None,
        append: &[],
        new_id: 1,
        new_token: 1,
        keep: 1,
        urgent: false,
        replicas: 0,
    };
    node.sync_log(request).await.unwrap();
    assert!(is_woken().await, "changed");
    node.disconnect();
    assert!(!is_woken().await, "disconnected");
    node.reconnect();
    assert!(is_woken().await, "connected again");
}
