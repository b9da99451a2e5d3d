//! A Redis that hangs, and one that is gone: what requests notice, and what is true afterwards.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use http::{Method, StatusCode};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    lateness::{Lateness, Tickers},
    nodes::{Node, are_connected, connected, eventually, get_with, request},
    origin::{Origin, version},
    support::redis::{Server, standalone},
};

const CLIENTS: usize = 64;
const WARM: u64 = 200;

/// The time that Redis has for a read, after which a request goes on without it.
const READ_TIMEOUT: Duration = Duration::from_millis(50);

/// How much longer than that a request may take, in addition to delays of the machine.
const BY_RIGHT: Duration = Duration::from_millis(20);

/// What few requests may take longer, however late the machine makes things.
const SLACK: Duration = Duration::from_millis(100);

/// How soon nodes share again once Redis answers, in addition to delays of the machine.
const BACK: Duration = Duration::from_secs(1);

/// One request: when it began, and how long it took.
#[derive(Clone, Copy, Debug)]
struct Took {
    began: Instant,
    time: Duration,
}

impl Took {
    /// Whether it took this long, and not because the machine was busy.
    fn is_beyond(&self, most: Duration, late: &Lateness) -> bool {
        let end = self.began + self.time;
        self.time >= most && self.time >= most + late.held_up(self.began, end)
    }
}

/// Clients that ask two nodes for warm keys, and for a cold one now and then, until stopped.
struct Load {
    clients: JoinSet<Vec<Took>>,
    stop: Arc<AtomicBool>,
}

impl Load {
    fn begin(nodes: &[Node; 2]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let cold = Arc::new(AtomicU64::new(0));
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let node = nodes[client % 2].clone();
            let (stop, cold) = (Arc::clone(&stop), Arc::clone(&cold));
            clients.spawn(async move {
                let mut all = Vec::new();
                let mut key = client as u64;
                while !stop.load(Ordering::SeqCst) {
                    key = key.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let path = if (key >> 40).is_multiple_of(8) {
                        format!("/cold/{}", cold.fetch_add(1, Ordering::SeqCst))
                    } else {
                        format!("/warm/{}", (key >> 33) % WARM)
                    };
                    let began = Instant::now();
                    let seen = node.get(&path).await;
                    let time = began.elapsed();
                    assert_eq!(seen.status, StatusCode::OK, "{path}");
                    all.push(Took { began, time });
                    sleep(Duration::from_millis(20)).await;
                }
                all
            });
        }
        Self { clients, stop }
    }

    async fn end(mut self) -> Vec<Took> {
        self.stop.store(true, Ordering::SeqCst);
        let mut all = Vec::new();
        while let Some(client) = self.clients.join_next().await {
            all.append(&mut client.unwrap());
        }
        all
    }
}

async fn warm_nodes(origin: &Origin, redis: &Server) -> [Node; 2] {
    let nodes = connected(origin, redis).await;
    for node in &nodes {
        for key in 0..WARM {
            node.get(&format!("/warm/{key}")).await;
        }
        node.settle().await;
    }
    nodes
}

/// Whether what the first node fetches is found by the second, within a moment.
async fn is_shared(nodes: &[Node; 2]) -> bool {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let path = format!("/shared/{}", COUNT.fetch_add(1, Ordering::SeqCst));
    nodes[0].get(&path).await;
    nodes[1].finds(&path).await
}

/// Of the requests that began in this time: the slowest, how many took as long as Redis has for a
/// read, how many took longer than they may, and how many they are.
#[derive(Debug)]
struct Figures {
    slowest: Duration,
    waited: usize,
    late: usize,
    all: usize,
}

impl Figures {
    fn of(all: &[Took], from: Instant, to: Instant) -> Self {
        let within = all.iter().filter(|it| it.began >= from && it.began < to);
        let times: Vec<Duration> = within.map(|it| it.time).collect();
        let beyond = |most| times.iter().filter(|it| **it >= most).count();
        Self {
            slowest: times.iter().max().copied().unwrap_or_default(),
            waited: beyond(READ_TIMEOUT),
            late: beyond(READ_TIMEOUT + SLACK),
            all: times.len(),
        }
    }
}

/// Of thousands, so many may be late because the processor had other things to do.
const LATE: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_hangs_costs_the_first_their_timeout_and_nobody_else_anything() {
    const HANGS: Duration = Duration::from_secs(10);
    let redis = standalone();
    let origin = Origin::counting();
    let nodes = warm_nodes(&origin, &redis).await;
    let tickers = Tickers::begin();
    let began = Instant::now();
    let load = Load::begin(&nodes);
    sleep(Duration::from_secs(2)).await;
    redis.pause();
    let paused = Instant::now();
    sleep(HANGS).await;
    redis.resume();
    let resumed = Instant::now();
    let back = eventually("the nodes share again", async || is_shared(&nodes).await).await;
    are_connected(&nodes).await;
    let connected = resumed.elapsed();
    let all = load.end().await;
    let late = tickers.end().await;
    let second = Duration::from_secs(1);
    let eve = paused - Duration::from_millis(250);
    let before = Figures::of(&all, began, eve);
    let first = Figures::of(&all, eve, paused + second);
    let later = Figures::of(&all, paused + second, resumed);
    let machine = late.worst(eve, resumed);
    let machine_then = late.held_up(resumed, resumed + back);
    println!("before: {before:?}\nin the first second: {first:?}\nlater: {later:?}");
    println!("shared again after {back:?}, connected again after {connected:?}");
    println!("timers were late by up to {machine:?}, then for {machine_then:?} until it was back");
    // Timers do not show that a thread holds itself up, and with that the tasks that it runs.
    let unseen = if machine < BY_RIGHT { 0 } else { LATE };
    let beyond = |from, most| {
        let within = all
            .iter()
            .filter(|it| it.began >= from && it.began < resumed);
        within.filter(|it| it.is_beyond(most, &late)).count()
    };
    assert!(
        beyond(eve, READ_TIMEOUT + BY_RIGHT) <= unseen,
        "{first:?} {later:?}"
    );
    // Nobody waits for what is known not to answer.
    assert!(beyond(paused + second, READ_TIMEOUT) <= unseen, "{later:?}");
    assert!(back <= BACK + machine_then, "back after {back:?}");
    // And in any case:
    assert!(first.late <= LATE, "{first:?}");
    assert!(later.late <= LATE, "{later:?}");
    assert!(first.slowest.max(later.slowest) < second);
    assert!(later.waited <= 2 * LATE, "{later:?}");
    assert!(back < Duration::from_secs(2), "back after {back:?}");
    let path = "/after";
    let old = nodes[0].get(path).await.body;
    nodes[0].settle().await;
    assert_eq!(nodes[1].get(path).await.body, old);
    let new = nodes[0]
        .send(get_with(path, "cache-control", "no-cache"))
        .await
        .body;
    eventually("replaced on the other node", async || {
        nodes[1].get(path).await.body == new
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_gone_costs_nothing_and_what_memory_held_is_asked_for_anew_when_it_is_back()
{
    let mut redis = standalone();
    let origin = Origin::counting();
    let nodes = warm_nodes(&origin, &redis).await;
    let kept = nodes[0].get("/kept").await.body;
    nodes[0].settle().await;
    assert_eq!(nodes[1].get("/kept").await.body, kept);
    let load = Load::begin(&nodes);
    sleep(Duration::from_secs(1)).await;
    redis.kill();
    let killed = Instant::now();
    sleep(Duration::from_secs(3)).await;
    assert_eq!(origin.calls_of("/kept"), 1);
    let served = nodes[0].get("/kept").await;
    assert!(served.is_hit() && served.body == kept, "{served:?}");
    let called = origin.calls_of("/kept");
    let down = Instant::now();
    redis.restart();
    let restarted = Instant::now();
    let back = eventually("the nodes share again", async || is_shared(&nodes).await).await;
    are_connected(&nodes).await;
    let connected = restarted.elapsed();
    let all = load.end().await;
    let gone = Figures::of(&all, killed, down);
    println!("while it was gone: {gone:?}");
    println!("shared again after {back:?}, connected again after {connected:?}");
    assert!(gone.late <= LATE, "{gone:?}");
    assert!(gone.slowest < Duration::from_secs(1), "{gone:?}");
    assert!(gone.all > 1_000, "too few to tell: {gone:?}");
    assert!(back < Duration::from_secs(2), "back after {back:?}");
    // Changes in the meantime were not notified, so memory alone is no proof any more.
    assert_eq!(origin.calls_of("/kept"), called);
    let asked_anew = nodes[0].get("/kept").await;
    assert_eq!(origin.calls_of("/kept"), called + 1, "{asked_anew:?}");
    nodes[0].settle().await;
    let shared = nodes[1].get("/kept").await;
    assert_eq!(shared.body, asked_anew.body);
    assert_eq!(origin.calls_of("/kept"), called + 1);
    assert!(version(&shared.body) > version(&kept));
    // From here on changes are notified.
    nodes[1].send(request(Method::POST, "/kept")).await;
    eventually("invalidated on the other node", async || {
        nodes[0].get("/kept").await.body != shared.body
    })
    .await;
}

/// A fetch begins with a lease, which takes a write. It may take no longer than a read.
#[tokio::test]
async fn a_redis_that_takes_no_writes_for_a_while_costs_no_more_than_a_read() {
    const LOOKS: usize = 5;
    let redis = standalone();
    let origin = Origin::counting();
    let mut times = Vec::new();
    for index in 0..LOOKS {
        // One that does not know yet.
        let node = Node::new(&origin, &redis).await;
        node.is_connected().await;
        assert!(redis.command(&["client", "pause", "2000", "write"]).is_ok());
        let began = Instant::now();
        let path = format!("/{index}");
        assert_eq!(node.get(&path).await.status, StatusCode::OK);
        times.push(began.elapsed());
        assert!(redis.command(&["client", "unpause"]).is_ok());
    }
    println!("{times:?}");
    let fastest = times.iter().min().unwrap();
    assert!(*fastest < READ_TIMEOUT + SLACK, "{times:?}");
}
