//! Clients that ask for large responses and stop reading: what all of them together hold.

use std::{convert::Infallible, env, fmt, process::Command, time::Duration};

use bytes::Bytes;
use cachewarp::{CacheBody, CacheLayer, Memory};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use tower::{Layer, ServiceExt, service_fn};

use crate::{MIB, Made, Peak, TURN, get, live};

/// The capacity of the memory tier.
const CAPACITY: usize = 64 * MIB;

const CLIENTS: usize = 60;
const SIZE: usize = 16 * MIB;

/// What all of it may hold: the memory tier, the process, and a window for each client.
const BAR: usize = 96 * MIB;

/// The process whose resident set is measured is a child with this in its environment.
const CHILD: &str = "CACHEWARP_STALLED_READERS";

/// How the clients come.
#[derive(Clone, Copy, Debug)]
enum Come {
    /// Each when the one before has begun to read, and its body had the time to arrive.
    OneByOne,
    AllAtOnce,
    /// One by one, for what is in memory already, which the next ones push out.
    ForHits,
}

/// What the heads say of the length of the bodies.
#[derive(Clone, Copy, Debug)]
enum Length {
    Declared,
    Unknown,
}

struct Case {
    come: Come,
    length: Length,
    /// Bytes of each body.
    size: usize,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { come, length, size } = self;
        write!(f, "{come:?}, {length:?}, {} MiB each", size / MIB)
    }
}

type Answer = Response<CacheBody<Made>>;

/// Reads the first frame and stops.
async fn begin<S>(cache: S, path: String) -> Answer
where
    S: tower::Service<Request<Empty<Bytes>>, Response = Answer, Error = Infallible>,
{
    let mut answer = cache.oneshot(get(&path)).await.unwrap();
    answer.frame().await.unwrap().unwrap();
    answer
}

/// Reads the rest, and keeps nothing of it.
async fn read(answer: Answer) -> usize {
    let mut body = answer.into_body();
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        read += frame.unwrap().into_data().unwrap().len();
    }
    read
}

/// Lets the clients of a case stand still, and returns what is held by then, and at the most.
async fn stalled(case: &Case, clients: usize, peak: &Peak) -> usize {
    let &Case { come, length, size } = case;
    let layer = CacheLayer::new(Memory::with_capacity(CAPACITY as u64));
    let origin = service_fn({
        let peak = peak.clone();
        move |_: Request<Empty<Bytes>>| {
            let mut response = Response::builder().header("cache-control", "max-age=600");
            if let Length::Declared = length {
                response = response.header("content-length", size);
            }
            let body = Made::new(size, &peak, std::future::ready(()));
            std::future::ready(Ok::<_, Infallible>(response.body(body).unwrap()))
        }
    });
    let cache = layer.layer(origin);
    let mut held = Vec::new();
    let mut begun = Vec::new();
    for n in 0..clients {
        let path = format!("/{n}");
        match come {
            Come::AllAtOnce => begun.push(tokio::spawn(begin(cache.clone(), path))),
            Come::OneByOne => held.push(begin(cache.clone(), path).await),
            Come::ForHits => {
                let whole = cache.clone().oneshot(get(&path)).await.unwrap();
                assert_eq!(read(whole).await, size);
                held.push(begin(cache.clone(), path).await);
            }
        }
        // What can arrive has arrived.
        while !matches!(come, Come::AllAtOnce) && layer.handle().stats().tasks > held.len() {
            tokio::task::yield_now().await;
        }
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        peak.look();
    }
    for request in begun {
        held.push(request.await.unwrap());
    }
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    peak.look();
    let account = layer.handle().stats().fill_bytes;
    assert!(account <= CAPACITY as u64, "{account} in the account");
    // Nobody is refused: who reads on gets all of it.
    assert_eq!(read(held.pop().unwrap()).await, size - Made::FRAME);
    peak.look();
    peak.get()
}

/// Waits until what is gone has been given back to the allocator, which the memory tier puts off.
async fn let_go() -> usize {
    let mut last = usize::MAX;
    while live() < last {
        last = live();
        for n in 0..16 {
            let layer = CacheLayer::new(Memory::with_capacity(MIB as u64));
            let origin = service_fn(|_: Request<Empty<Bytes>>| {
                let body = Made::new(MIB / 8, &Peak::default(), std::future::ready(()));
                let response = Response::builder().header("cache-control", "max-age=600");
                std::future::ready(Ok::<_, Infallible>(response.body(body).unwrap()))
            });
            let cache = layer.layer(origin);
            let answer = cache.oneshot(get(&format!("/{n}"))).await.unwrap();
            assert_eq!(read(answer).await, MIB / 8);
        }
    }
    last
}

/// The short form: the same at a smaller scale, as the allocator counts it.
#[tokio::test]
async fn readers_that_stand_still_hold_the_memory_tier_and_a_window_each() {
    const FEW: usize = 24;
    let _turn = TURN.lock().await;
    for come in [Come::OneByOne, Come::AllAtOnce, Come::ForHits] {
        for length in [Length::Declared, Length::Unknown] {
            for size in [SIZE, 10 * MIB, 20 * MIB] {
                let case = Case { come, length, size };
                let before = let_go().await;
                let peak = Peak::default();
                let grown = stalled(&case, FEW, &peak).await - before;
                println!("{case}: {} MiB at the most", grown / MIB);
                let never_kept = matches!(length, Length::Declared) && size > SIZE;
                assert!(never_kept || grown > 16 * MIB, "{case}: nothing was kept");
                let windows = FEW * 256 * 1024;
                assert!(grown < CAPACITY + SIZE + windows, "{case}: {grown} bytes");
            }
        }
    }
}

/// The most that this process was resident with, where the system tells.
fn most_resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: usize = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// The child of the test below: it prints the most that it was resident with.
#[tokio::test]
#[ignore = "runs as the child of sixty_clients_that_stop_reading"]
async fn resident_with_sixty_clients() {
    if env::var_os(CHILD).is_none() {
        return;
    }
    let case = Case {
        come: Come::OneByOne,
        length: Length::Declared,
        size: SIZE,
    };
    stalled(&case, CLIENTS, &Peak::default()).await;
    // What was allocated and given back counts too: it was there at one moment.
    println!("resident={}", most_resident().unwrap_or_default());
}

/// 60 clients of 60 bodies of 16 MiB that stop reading, over 64 MiB of memory: all of the process.
#[tokio::test]
async fn sixty_clients_that_stop_reading() {
    let _turn = TURN.lock().await;
    if most_resident().is_none() {
        println!("this system does not tell what is resident");
        return;
    }
    let child = Command::new(env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture"])
        .arg("stalled::resident_with_sixty_clients")
        .env(CHILD, "1")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&child.stdout);
    let resident = printed
        .lines()
        .find_map(|line| line.split("resident=").nth(1)?.trim().parse::<usize>().ok())
        .unwrap_or_else(|| panic!("{printed} {}", String::from_utf8_lossy(&child.stderr)));
    println!("{} MiB resident at the most", resident / MIB);
    assert!(resident > CAPACITY / 2, "nothing was kept");
    assert!(resident <= BAR, "{resident} bytes");
}

/// Who stands still too long makes room for others, whose responses are stored again.
#[tokio::test(start_paused = true)]
async fn after_a_while_those_that_stand_still_make_room() {
    let _turn = TURN.lock().await;
    let layer = CacheLayer::new(Memory::with_capacity(CAPACITY as u64));
    let peak = Peak::default();
    let before = live();
    let origin = service_fn({
        let peak = peak.clone();
        move |_: Request<Empty<Bytes>>| {
            let response = Response::builder().header("cache-control", "max-age=600");
            let body = Made::new(SIZE, &peak, std::future::ready(()));
            std::future::ready(Ok::<_, Infallible>(response.body(body).unwrap()))
        }
    });
    let cache = layer.layer(origin);
    let mut held = Vec::new();
    for n in 0..40 {
        held.push(begin(cache.clone(), format!("/{n}")).await);
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        tokio::time::advance(Duration::from_secs(11)).await;
        peak.look();
    }
    let cut = held.len();
    let mut errors = 0;
    for answer in held {
        errors += usize::from(answer.collect().await.is_err());
    }
    assert!((30..cut).contains(&errors), "{errors} of {cut}");
    let grown = peak.get() - before;
    assert!(grown < CAPACITY + 2 * SIZE, "{grown} bytes");
}
