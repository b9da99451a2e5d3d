//! The tracking connection against real servers, and its status by itself.

use std::{
    collections::HashSet,
    sync::{Arc, Condvar, Mutex},
};

use bytes::Bytes;
use fred::types::config::Config;
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::{Instant, timeout},
};

use super::{
    masters::{Arming, Master, Survey},
    *,
};
use crate::remote::redis::support::{
    cluster::{Cluster, cluster},
    redis::{Reply, Server, not_started, standalone, standalone_with, until},
    sentinels::sentinels,
};

const PREFIX: &str = "cachewarp:";

/// Long enough for whatever a test does not bound by itself.
const LONG: Duration = Duration::from_secs(15);

/// A tracking connection and the events that it reported, each with its time.
struct Watched {
    events: UnboundedReceiver<(Instant, WatchEvent)>,
    tracking: Tracking,
}

impl Watched {
    fn by(url: &str) -> Self {
        let (sender, events) = unbounded_channel();
        let config = Config::from_url(url).unwrap();
        let tracking = Tracking::start(
            config,
            PREFIX.to_owned(),
            Box::new(move |event| _ = sender.send((Instant::now(), event))),
        );
        Self { events, tracking }
    }

    async fn armed_by(url: &str) -> Self {
        let mut watched = Self::by(url);
        watched.until(&WatchEvent::Connected, LONG).await;
        // It is armed only after the event was handled.
        until("it is armed", || watched.tracking.armed());
        watched
    }

    /// Waits for an event, and returns those before it.
    #[track_caller]
    fn until(
        &mut self,
        event: &WatchEvent,
        within: Duration,
    ) -> impl Future<Output = Vec<WatchEvent>> {
        let caller = std::panic::Location::caller();
        async move {
            let mut before = Vec::new();
            let waited = timeout(within, async {
                loop {
                    let (_, reported) = self.events.recv().await.unwrap();
                    if reported == *event {
                        return;
                    }
                    before.push(reported);
                }
            });
            let came = waited.await;
            assert!(came.is_ok(), "{caller}: no {event:?}, but {before:?}");
            before
        }
    }

    /// Waits until each of these keys is reported as changed, and asserts that nothing else is
    /// reported.
    async fn all_changed(&mut self, keys: impl IntoIterator<Item = String>) {
        assert_eq!(self.try_all_changed(keys).await, None);
    }

    /// The first event that is not a change, if it comes before each of these keys is reported.
    async fn try_all_changed(
        &mut self,
        keys: impl IntoIterator<Item = String>,
    ) -> Option<WatchEvent> {
        let mut keys: HashSet<Bytes> = keys.into_iter().map(Bytes::from).collect();
        while !keys.is_empty() {
            let event = timeout(LONG, self.events.recv()).await;
            let event = event.unwrap_or_else(|_| panic!("{} are not reported", keys.len()));
            match event.unwrap().1 {
                WatchEvent::Changed(key) => _ = keys.remove(&key),
                other => return Some(other),
            }
        }
        None
    }

    /// Asserts that changes of 300 keys are reported, on whichever server of a Cluster they are.
    /// While the servers still learn of a new topology, that may take more than one attempt.
    async fn all_of_cluster_changed(&mut self, servers: &Cluster) {
        for attempt in 0..5 {
            let keys = || (300 * attempt..300 * (attempt + 1)).map(key);
            for key in keys() {
                let reply = servers.command(&["SET", &key, "v"]);
                assert_eq!(reply, ok());
            }
            match self.try_all_changed(keys()).await {
                None => return,
                Some(WatchEvent::Disconnected) => {
                    _ = self.until(&WatchEvent::Connected, LONG).await;
                }
                Some(other) => panic!("{other:?}"),
            }
        }
        panic!("it disconnects time and again");
    }
}

fn ok() -> Reply {
    Reply::Simple("OK".to_owned())
}

fn key(number: usize) -> String {
    format!("{PREFIX}{number}")
}

fn changed(key: &str) -> WatchEvent {
    WatchEvent::Changed(Bytes::copy_from_slice(key.as_bytes()))
}

fn set(server: &Server, key: &str) {
    let reply = server.command(&["SET", key, "v"]);
    assert_eq!(reply, ok());
}

// === One server ===

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_foreign_change_is_reported_at_once() {
    // On a machine that does other work at the same time, a measurement may be of that.
    let mut measured = Vec::new();
    for _ in 0..3 {
        let late = a_thousand_changes().await;
        if late < Duration::from_millis(50) {
            return;
        }
        measured.push(late);
    }
    panic!("p99 {measured:?}");
}

/// Asserts that each change is reported. Returns the p99 of the delay.
async fn a_thousand_changes() -> Duration {
    let server = standalone();
    let mut watched = Watched::armed_by(&server.url()).await;
    let writer = std::thread::spawn(move || {
        let mut wire = server.wire();
        let command = |number: usize| match number % 4 {
            0 | 1 => ["SET", "v"],
            2 => ["EXPIRE", "100"],
            _ => ["DEL", ""],
        };
        let write = |number: usize| {
            let [name, argument] = command(number);
            // A key that is expired or deleted was set before.
            let key = key(number - number % 4 / 2 * 2);
            let arguments = [name, &key, argument];
            let count = 2 + usize::from(!argument.is_empty());
            let start = Instant::now();
            let reply = wire.command(&arguments[..count]);
            assert!(
                !matches!(reply, Reply::Error(_) | Reply::Integer(0)),
                "{arguments:?}"
            );
            (start, key)
        };
        let written: Vec<_> = (0..1_000).map(write).collect();
        (server, written)
    });
    let (server, written) = writer.join().unwrap();
    let mut late = Vec::new();
    for (start, key) in &written {
        let (at, event) = timeout(LONG, watched.events.recv()).await.unwrap().unwrap();
        assert_eq!(event, changed(key));
        late.push(at - *start);
    }
    late.sort();
    drop(server);
    late[989]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_outside_the_prefix_are_not_reported() {
    let server = standalone();
    let mut watched = Watched::armed_by(&server.url()).await;
    for key in ["cachewarp", "cache:1", "other", "x-cachewarp:1"] {
        set(&server, key);
    }
    set(&server, &key(1));
    assert_eq!(watched.until(&changed(&key(1)), LONG).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expiry_and_eviction_are_reported() {
    let server = standalone_with(&["--hz", "100"]);
    let mut watched = Watched::armed_by(&server.url()).await;
    _ = server.command(&["SET", &key(1), "v", "PX", "50"]);
    watched.until(&changed(&key(1)), LONG).await;
    assert_eq!(watched.until(&changed(&key(1)), LONG).await, []);
    set(&server, &key(2));
    watched.until(&changed(&key(2)), LONG).await;
    _ = server.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-random"]);
    _ = server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    watched.until(&changed(&key(2)), LONG).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_restarts_is_disconnected_and_connected_again() {
    let mut server = standalone();
    let mut watched = Watched::armed_by(&server.url()).await;
    server.kill();
    watched
        .until(&WatchEvent::Disconnected, Duration::from_secs(1))
        .await;
    assert!(!watched.tracking.armed());
    server.restart();
    let since = watched
        .until(&WatchEvent::Connected, Duration::from_secs(3))
        .await;
    assert_eq!(since, []);
    set(&server, &key(1));
    watched.all_changed([key(1)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_is_disconnected_and_connected_again() {
    let server = standalone();
    let mut watched = Watched::armed_by(&server.url()).await;
    let start = Instant::now();
    server.pause();
    watched
        .until(&WatchEvent::Disconnected, Duration::from_secs(2))
        .await;
    tokio::time::sleep_until(start + Duration::from_secs(3)).await;
    assert!(!watched.tracking.armed());
    server.resume();
    let since = watched
        .until(&WatchEvent::Connected, Duration::from_secs(2))
        .await;
    assert_eq!(since, []);
    set(&server, &key(1));
    watched.all_changed([key(1)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_connection_is_disconnected_and_connected_again() {
    let server = standalone();
    let mut watched = Watched::armed_by(&server.url()).await;
    for round in 0..3 {
        let killed = server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        assert_eq!(killed, Reply::Integer(1));
        watched
            .until(&WatchEvent::Disconnected, Duration::from_secs(1))
            .await;
        watched
            .until(&WatchEvent::Connected, Duration::from_secs(2))
            .await;
        set(&server, &key(round));
        watched.all_changed([key(round)]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_keyspace_counts_as_a_lost_connection() {
    let server = standalone();
    let mut watched = Watched::armed_by(&server.url()).await;
    for (round, command) in ["FLUSHALL", "FLUSHDB"].into_iter().enumerate() {
        assert_eq!(server.command(&[command]), ok());
        watched
            .until(&WatchEvent::Disconnected, Duration::from_secs(2))
            .await;
        watched
            .until(&WatchEvent::Connected, Duration::from_secs(1))
            .await;
        set(&server, &key(round));
        watched.all_changed([key(round)]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyspace_emptied_and_marked_by_another_node_counts_as_a_lost_connection_too() {
    let server = standalone();
    let mut first = Watched::armed_by(&server.url()).await;
    let mut second = Watched::armed_by(&server.url()).await;
    _ = server.command(&["FLUSHALL"]);
    for watched in [&mut first, &mut second] {
        watched
            .until(&WatchEvent::Disconnected, Duration::from_secs(2))
            .await;
        watched
            .until(&WatchEvent::Connected, Duration::from_secs(1))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_reported_while_nothing_happens() {
    let server = standalone();
    let mut watched = Watched::armed_by(&server.url()).await;
    // Another node that comes changes nothing.
    let _other = Watched::armed_by(&server.url()).await;
    let idle = timeout(ASK * 3, watched.events.recv()).await;
    assert!(idle.is_err(), "{idle:?}");
    assert!(watched.tracking.armed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_notifies_without_a_key_of_its_own() {
    let server = standalone_with(&["--maxmemory", "1", "--maxmemory-policy", "noeviction"]);
    let mut watched = Watched::armed_by(&server.url()).await;
    _ = server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    // The key that it gets now may be younger than a flush.
    watched
        .until(&WatchEvent::Disconnected, Duration::from_secs(2))
        .await;
    watched
        .until(&WatchEvent::Connected, Duration::from_secs(1))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_starts_later_is_connected() {
    let mut server = not_started(&[]);
    let mut watched = Watched::by(&server.url());
    assert!(!watched.tracking.armed());
    server.restart();
    assert_eq!(
        watched
            .until(&WatchEvent::Connected, Duration::from_secs(3))
            .await,
        []
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refuses_the_password_is_tried_again() {
    let server = standalone_with(&["--requirepass", "right"]);
    let mut watched = Watched::by(&server.url());
    let refused = timeout(Duration::from_millis(1_500), watched.events.recv()).await;
    assert!(refused.is_err(), "{refused:?}");
    let mut wire = server.wire();
    _ = wire.command(&["AUTH", "right"]);
    _ = wire.command(&["CONFIG", "SET", "requirepass", ""]);
    assert_eq!(
        watched
            .until(&WatchEvent::Connected, Duration::from_secs(3))
            .await,
        []
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn these_permissions_are_enough() {
    let server = standalone();
    let rules = "on >secret -@all ~cachewarp:* +client|tracking +client|trackinginfo +get +set";
    let mut command = vec!["ACL", "SETUSER", "node"];
    command.extend(rules.split(' '));
    assert_eq!(server.command(&command), ok());
    let url = format!("redis://node:secret@{}", server.address());
    let mut watched = Watched::armed_by(&url).await;
    set(&server, &key(1));
    watched.all_changed([key(1)]).await;
    _ = server.command(&["FLUSHALL"]);
    watched
        .until(&WatchEvent::Disconnected, Duration::from_secs(2))
        .await;
    watched
        .until(&WatchEvent::Connected, Duration::from_secs(1))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_cannot_connect_is_replaced() {
    let server = standalone();
    let allow = |rule| assert_eq!(server.command(&["ACL", "SETUSER", "default", rule]), ok());
    allow("-client|tracking");
    let config = Config::from_url(&server.url()).unwrap();
    let (sender, mut events) = unbounded_channel();
    let on_event = Box::new(move |event| _ = sender.send(event));
    let _tracking = Tracking::with_patience(2, config, PREFIX.to_owned(), on_event);
    // By the number that the server gives every connection.
    let connections = || {
        let list = server.command(&["CLIENT", "LIST", "TYPE", "normal"]).text();
        let ids = list
            .lines()
            .filter(|line| line.contains("cmd=client|tracking"));
        let ids = ids.filter_map(|line| line.split(' ').next().map(str::to_owned));
        ids.collect::<HashSet<_>>()
    };
    let mut seen = HashSet::new();
    until("there are three clients, one after the other", || {
        seen.extend(connections());
        seen.len() == 3
    });
    assert!(events.is_empty());
    allow("+client|tracking");
    assert_eq!(
        timeout(LONG, events.recv()).await.unwrap(),
        Some(WatchEvent::Connected)
    );
}

/// Blocks the event handler until it is opened.
#[derive(Default)]
struct HandlerGate(Mutex<bool>, Condvar);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn more_changes_than_can_wait_count_as_a_lost_connection() {
    let server = standalone();
    let gate = Arc::new(HandlerGate::default());
    let (sender, mut events) = unbounded_channel();
    let config = Config::from_url(&server.url()).unwrap();
    let waits = Arc::clone(&gate);
    let on_event = Box::new(move |event| {
        if matches!(event, WatchEvent::Changed(_)) {
            let open = waits.0.lock().unwrap();
            drop(waits.1.wait_while(open, |open| !*open).unwrap());
        }
        _ = sender.send(event);
    });
    let tracking = Tracking::start(config, PREFIX.to_owned(), on_event);
    assert_eq!(events.recv().await, Some(WatchEvent::Connected));
    let server = tokio::task::spawn_blocking(move || {
        let mut wire = server.wire();
        for number in 0..3_000 {
            _ = wire.command(&["SET", &key(number), "v"]);
        }
        server
    });
    let server = server.await.unwrap();
    // The client receives in a task of its own, even while the handler is blocked.
    until("it is armed", || tracking.armed());
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    let mut reported = HashSet::new();
    let mut order = Vec::new();
    while order.len() < 2 {
        match timeout(LONG, events.recv()).await.unwrap().unwrap() {
            WatchEvent::Changed(key) => _ = reported.insert(key),
            other => order.push(other),
        }
    }
    assert_eq!(order, [WatchEvent::Disconnected, WatchEvent::Connected]);
    set(&server, &key(5_000));
    while !reported.contains(key(5_000).as_bytes()) {
        match timeout(LONG, events.recv()).await.unwrap().unwrap() {
            WatchEvent::Changed(key) => _ = reported.insert(key),
            other => panic!("{other:?}"),
        }
    }
    assert!(reported.len() < 3_001, "nothing was lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_after_the_end() {
    let server = standalone();
    let connections = || {
        let list = server.command(&["CLIENT", "LIST", "TYPE", "normal"]).text();
        list.lines().count()
    };
    let alone = connections();
    let held = Arc::new(());
    let weak = Arc::downgrade(&held);
    let (sender, mut events) = unbounded_channel();
    let config = Config::from_url(&server.url()).unwrap();
    let on_event = Box::new(move |event| {
        _ = &held;
        _ = sender.send(event);
    });
    let tracking = Tracking::start(config, PREFIX.to_owned(), on_event);
    assert_eq!(events.recv().await, Some(WatchEvent::Connected));
    assert_eq!(connections(), alone + 1);
    let armed = Arc::clone(&tracking.armed);
    drop(tracking);
    until("the task ends", || weak.strong_count() == 0);
    until("the connection closes", || connections() == alone);
    assert!(!armed.load(Ordering::Acquire));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_panics_disarms() {
    let server = standalone();
    let (sender, mut events) = unbounded_channel();
    let config = Config::from_url(&server.url()).unwrap();
    let on_event = Box::new(move |event| {
        assert!(!matches!(event, WatchEvent::Changed(_)), "on purpose");
        _ = sender.send(event);
    });
    let tracking = Tracking::start(config, PREFIX.to_owned(), on_event);
    assert_eq!(events.recv().await, Some(WatchEvent::Connected));
    until("it is armed", || tracking.armed());
    set(&server, &key(1));
    assert_eq!(timeout(LONG, events.recv()).await, Ok(None));
    until("it is not armed", || !tracking.armed());
}

// === A Cluster ===

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_master_of_a_cluster_notifies() {
    let mut servers = cluster(3, 0);
    let mut watched = Watched::armed_by(&servers.url()).await;
    for number in 0..300 {
        _ = servers.command(&["SET", &key(number), "v"]);
    }
    watched.all_changed((0..300).map(key)).await;
    for master in 0..3 {
        _ = servers.nodes()[master].command(&["FLUSHALL"]);
        watched
            .until(&WatchEvent::Disconnected, Duration::from_secs(2))
            .await;
        watched
            .until(&WatchEvent::Connected, Duration::from_secs(1))
            .await;
    }
    let idle = timeout(ASK * 3, watched.events.recv()).await;
    assert!(idle.is_err(), "{idle:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_successor_of_a_master_that_died_notifies() {
    let mut servers = cluster(3, 1);
    let mut watched = Watched::armed_by(&servers.url()).await;
    servers.nodes()[0].kill();
    watched
        .until(&WatchEvent::Disconnected, Duration::from_secs(1))
        .await;
    watched
        .until(&WatchEvent::Connected, Duration::from_secs(10))
        .await;
    watched.all_of_cluster_changed(&servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_successor_of_a_master_that_hangs_notifies() {
    let mut servers = cluster(3, 1);
    let mut watched = Watched::armed_by(&servers.url()).await;
    servers.nodes()[0].pause();
    watched
        .until(&WatchEvent::Disconnected, Duration::from_secs(2))
        .await;
    watched
        .until(&WatchEvent::Connected, Duration::from_secs(10))
        .await;
    servers.nodes()[0].kill();
    watched.all_of_cluster_changed(&servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_successor_of_a_master_that_stepped_down_notifies() {
    let mut servers = cluster(3, 1);
    let mut watched = Watched::armed_by(&servers.url()).await;
    let successor = &servers.nodes()[3];
    let mut looks = 0;
    until("the replica takes over", || {
        // A master that is too slow to agree is left alone, until it is asked anew.
        if looks % 1_000 == 0 {
            assert_eq!(successor.command(&["CLUSTER", "FAILOVER"]), ok());
        }
        looks += 1;
        let role = successor.command(&["INFO", "replication"]).text();
        role.contains("role:master")
    });
    watched
        .until(&WatchEvent::Disconnected, Duration::from_secs(5))
        .await;
    watched
        .until(&WatchEvent::Connected, Duration::from_secs(5))
        .await;
    watched.all_of_cluster_changed(&servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_joins_notifies() {
    let mut servers = cluster(3, 0);
    let mut watched = Watched::armed_by(&servers.url()).await;
    servers.join();
    servers.hand_over(&key(7), 3);
    watched
        .until(&WatchEvent::Disconnected, Duration::from_secs(5))
        .await;
    watched
        .until(&WatchEvent::Connected, Duration::from_secs(5))
        .await;
    watched.all_of_cluster_changed(&servers).await;
    let kept = servers.nodes()[3].command(&["EXISTS", &key(7)]);
    assert_eq!(kept, Reply::Integer(1), "nothing was kept there");
}

// === Sentinel ===

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_successor_that_sentinels_choose_notifies() {
    let mut servers = sentinels(1);
    let mut watched = Watched::armed_by(&servers.url()).await;
    set(&servers.servers()[0], &key(1));
    watched.all_changed([key(1)]).await;
    servers.servers()[0].kill();
    watched
        .until(&WatchEvent::Disconnected, Duration::from_secs(1))
        .await;
    watched
        .until(&WatchEvent::Connected, Duration::from_secs(10))
        .await;
    set(&servers.servers()[1], &key(2));
    watched.all_changed([key(2)]).await;
}

// === Status ===

fn surveyed(masters: &[(Arming, &str, Option<&str>)]) -> Survey {
    let master = |&(arming, name, value): &(Arming, &str, Option<&str>)| Master {
        arming,
        name: name.to_owned(),
        own_key: value.map(|it| (name.to_owned(), Bytes::copy_from_slice(it.as_bytes()))),
    };
    Survey {
        masters: masters.iter().map(master).collect(),
        topology: None,
    }
}

#[test]
fn the_events_follow_from_what_was_seen() {
    use Arming::{Kept, New};
    const NEWS: [Option<WatchEvent>; 2] = [None, Some(WatchEvent::Connected)];
    const AGAIN: [Option<WatchEvent>; 2] =
        [Some(WatchEvent::Disconnected), Some(WatchEvent::Connected)];
    const NOTHING: [Option<WatchEvent>; 2] = [None, None];
    let mut status = TrackingStatus::default();
    assert_eq!(
        status.disconnected(),
        None,
        "disconnected from the beginning"
    );
    let mut see = |masters: &[_], events| {
        assert_eq!(status.surveyed(surveyed(masters)), events, "{masters:?}");
    };
    see(&[(New, "a", Some("1")), (New, "b", Some("2"))], NEWS);
    see(&[(Kept, "a", Some("1")), (Kept, "b", Some("2"))], NOTHING);
    // A key that cannot be read keeps its last known value.
    see(&[(Kept, "a", Some("1")), (Kept, "b", None)], NOTHING);
    see(&[(Kept, "a", Some("1")), (Kept, "b", Some("2"))], NOTHING);
    // A connection that did not notify, a key that changed, and one that is new.
    see(&[(Kept, "a", Some("1")), (New, "b", Some("2"))], AGAIN);
    see(&[(Kept, "a", Some("3")), (Kept, "b", Some("2"))], AGAIN);
    see(&[(Kept, "a", Some("3")), (Kept, "c", Some("2"))], AGAIN);
    see(&[(Kept, "a", Some("3")), (Kept, "c", Some("2"))], NOTHING);
    assert_eq!(status.disconnected(), Some(WatchEvent::Disconnected));
    assert_eq!(status.disconnected(), None, "reported once");
    let kept = surveyed(&[(Kept, "a", Some("3")), (Kept, "c", Some("2"))]);
    assert_eq!(status.surveyed(kept), NEWS);
}

#[test]
fn the_masters_own_keys_are_recognised() {
    for own in [
        "cachewarp:tracking:{0}:alive",
        "cachewarp:tracking:{4095}:alive",
    ] {
        assert!(is_own(PREFIX, own.as_bytes()), "{own}");
    }
    let others = [
        "tracking:{0}:alive",
        "cachewarp:{0}:alive",
        "cachewarp:tracking:{0}:alive2",
    ];
    for other in others {
        assert!(!is_own(PREFIX, other.as_bytes()), "{other}");
    }
}
