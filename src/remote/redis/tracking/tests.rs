//! The tracking connection against real servers, and its standing by itself.

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
    masters::{Connection, Master, Survey},
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

/// A tracking connection and what it told, each with the time when it did.
struct Told {
    notices: UnboundedReceiver<(Instant, Notice)>,
    tracking: Tracking,
}

impl Told {
    fn by(url: &str) -> Self {
        let (sender, notices) = unbounded_channel();
        let config = Config::from_url(url).unwrap();
        let tracking = Tracking::start(config, PREFIX.to_owned(), move |notice| {
            _ = sender.send((Instant::now(), notice));
        });
        Self { notices, tracking }
    }

    async fn armed_by(url: &str) -> Self {
        let mut told = Self::by(url);
        told.until(&Notice::Armed, LONG).await;
        // It says so once whoever is told knows.
        until("it is armed", || told.tracking.armed());
        told
    }

    /// Waits for a notice, and returns the others before it.
    #[track_caller]
    fn until(&mut self, notice: &Notice, within: Duration) -> impl Future<Output = Vec<Notice>> {
        let caller = std::panic::Location::caller();
        async move {
            let mut before = Vec::new();
            let waited = timeout(within, async {
                loop {
                    let (_, told) = self.notices.recv().await.unwrap();
                    if told == *notice {
                        return;
                    }
                    before.push(told);
                }
            });
            let came = waited.await;
            assert!(came.is_ok(), "{caller}: no {notice:?}, but {before:?}");
            before
        }
    }

    /// Every key of these is told to have changed, and nothing is told but that keys changed.
    async fn all_changed(&mut self, keys: impl IntoIterator<Item = String>) {
        assert_eq!(self.try_all_changed(keys).await, None);
    }

    /// The first notice that does not say that a key changed, if it comes before every one of
    /// these keys is told.
    async fn try_all_changed(&mut self, keys: impl IntoIterator<Item = String>) -> Option<Notice> {
        let mut keys: HashSet<Bytes> = keys.into_iter().map(Bytes::from).collect();
        while !keys.is_empty() {
            let told = timeout(LONG, self.notices.recv()).await;
            let told = told.unwrap_or_else(|_| panic!("{} are untold", keys.len()));
            match told.unwrap().1 {
                Notice::Changed(key) => _ = keys.remove(&key),
                other => return Some(other),
            }
        }
        None
    }

    /// Every one of 300 keys of a Cluster is told, wherever it is kept. While the nodes still tell
    /// each other what became of them, that may take more than one attempt.
    async fn all_of_cluster_changed(&mut self, servers: &Cluster) {
        for attempt in 0..5 {
            let keys = || (300 * attempt..300 * (attempt + 1)).map(key);
            for key in keys() {
                let reply = servers.command(&["SET", &key, "v"]);
                assert_eq!(reply, ok());
            }
            match self.try_all_changed(keys()).await {
                None => return,
                Some(Notice::Lost) => _ = self.until(&Notice::Armed, LONG).await,
                Some(other) => panic!("{other:?}"),
            }
        }
        panic!("it is lost time and again");
    }
}

fn ok() -> Reply {
    Reply::Simple("OK".to_owned())
}

fn key(number: usize) -> String {
    format!("{PREFIX}{number}")
}

fn changed(key: &str) -> Notice {
    Notice::Changed(Bytes::copy_from_slice(key.as_bytes()))
}

fn set(server: &Server, key: &str) {
    let reply = server.command(&["SET", key, "v"]);
    assert_eq!(reply, ok());
}

// === One server ===

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_foreign_change_is_told_at_once() {
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

/// Sees that each of them is told. Returns how long that takes but for the slowest percent.
async fn a_thousand_changes() -> Duration {
    let server = standalone();
    let mut told = Told::armed_by(&server.url()).await;
    let writer = std::thread::spawn(move || {
        let mut wire = server.wire();
        let command = |number: usize| match number % 4 {
            0 | 1 => ["SET", "v"],
            2 => ["EXPIRE", "100"],
            _ => ["DEL", ""],
        };
        let write = |number: usize| {
            let [name, argument] = command(number);
            // What is expired and deleted was set before.
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
        let (at, notice) = timeout(LONG, told.notices.recv()).await.unwrap().unwrap();
        assert_eq!(notice, changed(key));
        late.push(at - *start);
    }
    late.sort();
    drop(server);
    late[989]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_outside_the_prefix_are_not_told() {
    let server = standalone();
    let mut told = Told::armed_by(&server.url()).await;
    for key in ["cachewarp", "cache:1", "other", "x-cachewarp:1"] {
        set(&server, key);
    }
    set(&server, &key(1));
    assert_eq!(told.until(&changed(&key(1)), LONG).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expiry_and_eviction_are_told() {
    let server = standalone_with(&["--hz", "100"]);
    let mut told = Told::armed_by(&server.url()).await;
    _ = server.command(&["SET", &key(1), "v", "PX", "50"]);
    told.until(&changed(&key(1)), LONG).await;
    assert_eq!(told.until(&changed(&key(1)), LONG).await, []);
    set(&server, &key(2));
    told.until(&changed(&key(2)), LONG).await;
    _ = server.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-random"]);
    _ = server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    told.until(&changed(&key(2)), LONG).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_restarts_is_lost_and_armed_again() {
    let mut server = standalone();
    let mut told = Told::armed_by(&server.url()).await;
    server.kill();
    told.until(&Notice::Lost, Duration::from_secs(1)).await;
    assert!(!told.tracking.armed());
    server.restart();
    let since = told.until(&Notice::Armed, Duration::from_secs(3)).await;
    assert_eq!(since, []);
    set(&server, &key(1));
    told.all_changed([key(1)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_is_lost_and_armed_again() {
    let server = standalone();
    let mut told = Told::armed_by(&server.url()).await;
    let start = Instant::now();
    server.pause();
    told.until(&Notice::Lost, Duration::from_secs(2)).await;
    tokio::time::sleep_until(start + Duration::from_secs(3)).await;
    assert!(!told.tracking.armed());
    server.resume();
    let since = told.until(&Notice::Armed, Duration::from_secs(2)).await;
    assert_eq!(since, []);
    set(&server, &key(1));
    told.all_changed([key(1)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_connection_is_lost_and_armed_again() {
    let server = standalone();
    let mut told = Told::armed_by(&server.url()).await;
    for round in 0..3 {
        let killed = server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        assert_eq!(killed, Reply::Integer(1));
        told.until(&Notice::Lost, Duration::from_secs(1)).await;
        told.until(&Notice::Armed, Duration::from_secs(2)).await;
        set(&server, &key(round));
        told.all_changed([key(round)]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_keyspace_is_lost_and_armed_again() {
    let server = standalone();
    let mut told = Told::armed_by(&server.url()).await;
    for (round, command) in ["FLUSHALL", "FLUSHDB"].into_iter().enumerate() {
        assert_eq!(server.command(&[command]), ok());
        told.until(&Notice::Lost, Duration::from_secs(2)).await;
        told.until(&Notice::Armed, Duration::from_secs(1)).await;
        set(&server, &key(round));
        told.all_changed([key(round)]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyspace_emptied_and_marked_by_another_node_is_lost_too() {
    let server = standalone();
    let mut first = Told::armed_by(&server.url()).await;
    let mut second = Told::armed_by(&server.url()).await;
    _ = server.command(&["FLUSHALL"]);
    for told in [&mut first, &mut second] {
        told.until(&Notice::Lost, Duration::from_secs(2)).await;
        told.until(&Notice::Armed, Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_nothing_happens() {
    let server = standalone();
    let mut told = Told::armed_by(&server.url()).await;
    // Another node that comes changes nothing.
    let _other = Told::armed_by(&server.url()).await;
    let idle = timeout(ASK * 3, told.notices.recv()).await;
    assert!(idle.is_err(), "{idle:?}");
    assert!(told.tracking.armed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_is_armed_without_a_key_of_its_own() {
    let server = standalone_with(&["--maxmemory", "1", "--maxmemory-policy", "noeviction"]);
    let mut told = Told::armed_by(&server.url()).await;
    _ = server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    // The key that it gets now may be younger than a flush.
    told.until(&Notice::Lost, Duration::from_secs(2)).await;
    told.until(&Notice::Armed, Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_later_is_armed() {
    let mut server = not_started(&[]);
    let mut told = Told::by(&server.url());
    assert!(!told.tracking.armed());
    server.restart();
    assert_eq!(told.until(&Notice::Armed, Duration::from_secs(3)).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refuses_the_password_is_tried_on() {
    let server = standalone_with(&["--requirepass", "right"]);
    let mut told = Told::by(&server.url());
    let refused = timeout(Duration::from_millis(1_500), told.notices.recv()).await;
    assert!(refused.is_err(), "{refused:?}");
    let mut wire = server.wire();
    _ = wire.command(&["AUTH", "right"]);
    _ = wire.command(&["CONFIG", "SET", "requirepass", ""]);
    assert_eq!(told.until(&Notice::Armed, Duration::from_secs(3)).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_may_do_no_more_than_this_is_enough() {
    let server = standalone();
    let rules = "on >secret -@all ~cachewarp:* +client|tracking +client|trackinginfo +get +set";
    let mut command = vec!["ACL", "SETUSER", "node"];
    command.extend(rules.split(' '));
    assert_eq!(server.command(&command), ok());
    let url = format!("redis://node:secret@{}", server.address());
    let mut told = Told::armed_by(&url).await;
    set(&server, &key(1));
    told.all_changed([key(1)]).await;
    _ = server.command(&["FLUSHALL"]);
    told.until(&Notice::Lost, Duration::from_secs(2)).await;
    told.until(&Notice::Armed, Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_no_use_is_made_anew() {
    let server = standalone();
    let allow = |rule| assert_eq!(server.command(&["ACL", "SETUSER", "default", rule]), ok());
    allow("-client|tracking");
    let config = Config::from_url(&server.url()).unwrap();
    let (sender, mut notices) = unbounded_channel();
    let notices_to = Box::new(move |notice| _ = sender.send(notice));
    let _tracking = Tracking::with_patience(2, config, PREFIX.to_owned(), notices_to);
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
    assert!(notices.is_empty());
    allow("+client|tracking");
    assert_eq!(
        timeout(LONG, notices.recv()).await.unwrap(),
        Some(Notice::Armed)
    );
}

/// Blocks whoever is told a change until it is opened.
#[derive(Default)]
struct Gate(Mutex<bool>, Condvar);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn more_changes_than_wait_are_a_loss() {
    let server = standalone();
    let gate = Arc::new(Gate::default());
    let (sender, mut notices) = unbounded_channel();
    let config = Config::from_url(&server.url()).unwrap();
    let tracking = Tracking::start(config, PREFIX.to_owned(), {
        let gate = Arc::clone(&gate);
        move |notice| {
            if matches!(notice, Notice::Changed(_)) {
                let open = gate.0.lock().unwrap();
                drop(gate.1.wait_while(open, |open| !*open).unwrap());
            }
            _ = sender.send(notice);
        }
    });
    assert_eq!(notices.recv().await, Some(Notice::Armed));
    let server = tokio::task::spawn_blocking(move || {
        let mut wire = server.wire();
        for number in 0..3_000 {
            _ = wire.command(&["SET", &key(number), "v"]);
        }
        server
    });
    let server = server.await.unwrap();
    // The client receives on its own, whatever becomes of what it received.
    until("it is armed", || tracking.armed());
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    let mut told = HashSet::new();
    let mut order = Vec::new();
    while order.len() < 2 {
        match timeout(LONG, notices.recv()).await.unwrap().unwrap() {
            Notice::Changed(key) => _ = told.insert(key),
            other => order.push(other),
        }
    }
    assert_eq!(order, [Notice::Lost, Notice::Armed]);
    set(&server, &key(5_000));
    while !told.contains(key(5_000).as_bytes()) {
        match timeout(LONG, notices.recv()).await.unwrap().unwrap() {
            Notice::Changed(key) => _ = told.insert(key),
            other => panic!("{other:?}"),
        }
    }
    assert!(told.len() < 3_001, "nothing was lost");
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
    let (sender, mut notices) = unbounded_channel();
    let config = Config::from_url(&server.url()).unwrap();
    let tracking = Tracking::start(config, PREFIX.to_owned(), move |notice| {
        _ = &held;
        _ = sender.send(notice);
    });
    assert_eq!(notices.recv().await, Some(Notice::Armed));
    assert_eq!(connections(), alone + 1);
    let armed = Arc::clone(&tracking.armed);
    drop(tracking);
    until("the task ends", || weak.strong_count() == 0);
    until("the connection closes", || connections() == alone);
    assert!(!armed.load(Ordering::Acquire));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_panics_when_told_is_not_armed() {
    let server = standalone();
    let (sender, mut notices) = unbounded_channel();
    let config = Config::from_url(&server.url()).unwrap();
    let tracking = Tracking::start(config, PREFIX.to_owned(), move |notice| {
        assert!(!matches!(notice, Notice::Changed(_)), "on purpose");
        _ = sender.send(notice);
    });
    assert_eq!(notices.recv().await, Some(Notice::Armed));
    until("it is armed", || tracking.armed());
    set(&server, &key(1));
    assert_eq!(timeout(LONG, notices.recv()).await, Ok(None));
    until("it is not armed", || !tracking.armed());
}

// === A Cluster ===

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_master_of_a_cluster_tells() {
    let mut servers = cluster(3, 0);
    let mut told = Told::armed_by(&servers.url()).await;
    for number in 0..300 {
        _ = servers.command(&["SET", &key(number), "v"]);
    }
    told.all_changed((0..300).map(key)).await;
    for master in 0..3 {
        _ = servers.nodes()[master].command(&["FLUSHALL"]);
        told.until(&Notice::Lost, Duration::from_secs(2)).await;
        told.until(&Notice::Armed, Duration::from_secs(1)).await;
    }
    let idle = timeout(ASK * 3, told.notices.recv()).await;
    assert!(idle.is_err(), "{idle:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_successor_of_a_master_that_died_tells() {
    let mut servers = cluster(3, 1);
    let mut told = Told::armed_by(&servers.url()).await;
    servers.nodes()[0].kill();
    told.until(&Notice::Lost, Duration::from_secs(1)).await;
    told.until(&Notice::Armed, Duration::from_secs(10)).await;
    told.all_of_cluster_changed(&servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_successor_of_a_master_that_hangs_tells() {
    let mut servers = cluster(3, 1);
    let mut told = Told::armed_by(&servers.url()).await;
    servers.nodes()[0].pause();
    told.until(&Notice::Lost, Duration::from_secs(2)).await;
    told.until(&Notice::Armed, Duration::from_secs(10)).await;
    servers.nodes()[0].kill();
    told.all_of_cluster_changed(&servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_successor_of_a_master_that_stepped_down_tells() {
    let mut servers = cluster(3, 1);
    let mut told = Told::armed_by(&servers.url()).await;
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
    told.until(&Notice::Lost, Duration::from_secs(5)).await;
    told.until(&Notice::Armed, Duration::from_secs(5)).await;
    told.all_of_cluster_changed(&servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_joins_tells() {
    let mut servers = cluster(3, 0);
    let mut told = Told::armed_by(&servers.url()).await;
    servers.join();
    servers.hand_over(&key(7), 3);
    told.until(&Notice::Lost, Duration::from_secs(5)).await;
    told.until(&Notice::Armed, Duration::from_secs(5)).await;
    told.all_of_cluster_changed(&servers).await;
    let kept = servers.nodes()[3].command(&["EXISTS", &key(7)]);
    assert_eq!(kept, Reply::Integer(1), "nothing was kept there");
}

// === Sentinel ===

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_successor_that_sentinels_choose_tells() {
    let mut servers = sentinels(1);
    let mut told = Told::armed_by(&servers.url()).await;
    set(&servers.servers()[0], &key(1));
    told.all_changed([key(1)]).await;
    servers.servers()[0].kill();
    told.until(&Notice::Lost, Duration::from_secs(1)).await;
    told.until(&Notice::Armed, Duration::from_secs(10)).await;
    set(&servers.servers()[1], &key(2));
    told.all_changed([key(2)]).await;
}

// === Standing ===

fn surveyed(masters: &[(Connection, &str, Option<&str>)]) -> Survey {
    let master = |&(connection, name, life): &(Connection, &str, Option<&str>)| Master {
        connection,
        name: name.to_owned(),
        life: life.map(|life| (name.to_owned(), Bytes::copy_from_slice(life.as_bytes()))),
    };
    Survey {
        masters: masters.iter().map(master).collect(),
        topology: None,
    }
}

#[test]
fn what_is_told_follows_from_what_was_seen() {
    use Connection::{Armed, Kept};
    const NEWS: [Option<Notice>; 2] = [None, Some(Notice::Armed)];
    const AGAIN: [Option<Notice>; 2] = [Some(Notice::Lost), Some(Notice::Armed)];
    const NOTHING: [Option<Notice>; 2] = [None, None];
    let mut standing = Standing::default();
    assert_eq!(standing.lose(), None, "lost from the beginning");
    let mut see = |masters: &[_], told| {
        assert_eq!(standing.surveyed(surveyed(masters)), told, "{masters:?}");
    };
    see(&[(Armed, "a", Some("1")), (Armed, "b", Some("2"))], NEWS);
    see(&[(Kept, "a", Some("1")), (Kept, "b", Some("2"))], NOTHING);
    // A key that cannot be read is known on.
    see(&[(Kept, "a", Some("1")), (Kept, "b", None)], NOTHING);
    see(&[(Kept, "a", Some("1")), (Kept, "b", Some("2"))], NOTHING);
    // A connection that told nothing, a key that changed, and one that was not there before.
    see(&[(Kept, "a", Some("1")), (Armed, "b", Some("2"))], AGAIN);
    see(&[(Kept, "a", Some("3")), (Kept, "b", Some("2"))], AGAIN);
    see(&[(Kept, "a", Some("3")), (Kept, "c", Some("2"))], AGAIN);
    see(&[(Kept, "a", Some("3")), (Kept, "c", Some("2"))], NOTHING);
    assert_eq!(standing.lose(), Some(Notice::Lost));
    assert_eq!(standing.lose(), None, "told once");
    let kept = surveyed(&[(Kept, "a", Some("3")), (Kept, "c", Some("2"))]);
    assert_eq!(standing.surveyed(kept), NEWS);
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
