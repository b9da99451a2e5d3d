//! The bytes that a cache holds, as the allocator counts them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod purges;
mod remote;
mod stalled;
#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod support;

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use cachewarp::{CacheLayer, Memory};
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::{
    sync::{Mutex, watch},
    time::timeout,
};
use tower::{Layer, ServiceExt, service_fn};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

const MIB: usize = 1 << 20;

/// The counts are of the whole process, so tests take turns.
static TURN: Mutex<()> = Mutex::const_new(());

fn live() -> usize {
    let stats = ALLOCATOR.stats();
    stats
        .bytes_allocated
        .saturating_sub(stats.bytes_deallocated)
}

/// Resident bytes of this process, where the system tells.
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: usize = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// The most bytes seen.
#[derive(Clone, Default)]
struct Peak(Arc<AtomicUsize>);

impl Peak {
    fn look(&self) {
        self.0.fetch_max(live(), Ordering::Relaxed);
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::get(path).body(Empty::new()).unwrap()
}

/// A body made as it is asked for, in frames of memory of their own. After its first frame it
/// waits until `go`.
struct Made {
    left: usize,
    first: First,
    go: Pin<Box<dyn Future<Output = ()> + Send>>,
    peak: Peak,
}

#[derive(PartialEq)]
enum First {
    Unsent,
    Sent,
    Seen,
}

impl Made {
    const BYTES: &[u8] = &[b'.'; Self::FRAME];
    const FRAME: usize = 64 * 1024;

    fn new(size: usize, peak: &Peak, go: impl Future<Output = ()> + Send + 'static) -> Self {
        Self {
            left: size,
            first: First::Unsent,
            go: Box::pin(go),
            peak: peak.clone(),
        }
    }
}

impl Body for Made {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.peak.look();
        if self.left == 0 {
            return Poll::Ready(None);
        }
        match self.first {
            First::Unsent => self.first = First::Sent,
            First::Sent => {
                std::task::ready!(self.go.as_mut().poll(cx));
                self.first = First::Seen;
            }
            First::Seen => {}
        }
        let size = self.left.min(Self::FRAME);
        self.left -= size;
        Poll::Ready(Some(Ok(Frame::data(Self::BYTES[..size].to_vec().into()))))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_readers_of_one_large_body_hold_it_once() {
    const SIZE: usize = 64 * MIB;
    const READERS: usize = 100;
    const SLOW: usize = 10;
    let _turn = TURN.lock().await;
    let (peak, calls) = (Peak::default(), Arc::new(AtomicUsize::new(0)));
    let began = Arc::new(watch::Sender::new(0_usize));
    let ended = Arc::new(watch::Sender::new(0_usize));
    let origin = service_fn({
        let (peak, calls, began) = (peak.clone(), Arc::clone(&calls), Arc::clone(&began));
        move |_: Request<Empty<Bytes>>| {
            calls.fetch_add(1, Ordering::SeqCst);
            // The rest is sent once every reader has seen its first byte.
            let mut began = began.subscribe();
            let all_began = async move {
                began.wait_for(|readers| *readers >= READERS).await.unwrap();
            };
            let body = Made::new(SIZE, &peak, all_began);
            let response = Response::builder().header("cache-control", "max-age=600");
            std::future::ready(Ok::<_, Infallible>(response.body(body).unwrap()))
        }
    });
    let cache = CacheLayer::builder()
        .memory(Memory::with_capacity(256 * MIB as u64))
        .max_entry_bytes(SIZE as u64)
        .build()
        .unwrap()
        .layer(origin);
    let (live_before, resident_before) = (live(), resident());
    let readers: Vec<_> = (0..READERS)
        .map(|reader| {
            let (cache, peak) = (cache.clone(), peak.clone());
            let (began, ended) = (Arc::clone(&began), Arc::clone(&ended));
            tokio::spawn(async move {
                let mut body = cache.oneshot(get("/")).await.unwrap().into_body();
                let mut read = 0;
                while let Some(frame) = body.frame().await {
                    let data = frame.unwrap().into_data().unwrap();
                    assert!(data == Made::BYTES[..data.len()]);
                    if read == 0 {
                        began.send_modify(|readers| *readers += 1);
                    }
                    read += data.len();
                    if reader < SLOW && read <= data.len() {
                        // These go on when the others are done.
                        let mut ended = ended.subscribe();
                        ended.wait_for(|it| *it >= READERS - SLOW).await.unwrap();
                    }
                    peak.look();
                }
                ended.send_modify(|readers| *readers += 1);
                read
            })
        })
        .collect();
    for reader in readers {
        let read = timeout(Duration::from_secs(300), reader).await;
        assert_eq!(read.expect("no reader hangs").unwrap(), SIZE);
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    let grown = peak.get() - live_before;
    println!("{} MiB of heap at the most", grown / MIB);
    assert!(grown >= SIZE, "the body is held, or this measures nothing");
    assert!(grown < 2 * SIZE, "{grown} bytes for a body of {SIZE}");
    if let (Some(before), Some(after)) = (resident_before, resident()) {
        let grown = after.saturating_sub(before);
        println!("{} MiB resident", grown / MIB);
        assert!(grown < 2 * SIZE, "{grown} bytes for a body of {SIZE}");
    }
}

#[tokio::test]
async fn inserts_beyond_the_capacity_never_hold_much_more_than_it() {
    const SIZE: usize = 8 * MIB;
    let _turn = TURN.lock().await;
    let peak = Peak::default();
    let before = live();
    let layer = CacheLayer::new(Memory::with_capacity(64 * MIB as u64));
    let cache = layer.layer(service_fn({
        let peak = peak.clone();
        move |_: Request<Empty<Bytes>>| {
            let body = Made::new(SIZE, &peak, std::future::ready(()));
            let response = Response::builder().header("cache-control", "max-age=600");
            std::future::ready(Ok::<_, Infallible>(response.body(body).unwrap()))
        }
    }));
    for n in 0..400 {
        let mut body = cache.clone().oneshot(get(&format!("/{n}"))).await.unwrap();
        let mut read = 0;
        while let Some(frame) = body.body_mut().frame().await {
            read += frame.unwrap().into_data().unwrap().len();
        }
        assert_eq!(read, SIZE);
        peak.look();
    }
    let grown = peak.get() - before;
    println!("{} MiB at the most", grown / MIB);
    assert!(
        grown > 48 * MIB,
        "nothing was kept, so this measured nothing"
    );
    assert!(grown < 160 * MIB, "{grown} bytes");
    assert!(layer.handle().stats().memory_bytes <= 64 * MIB as u64);
}

#[tokio::test]
async fn small_entries_weigh_what_they_hold() {
    const ENTRIES: usize = 100_000;
    let _turn = TURN.lock().await;
    let cache = CacheLayer::new(Memory::with_capacity(512 * MIB as u64));
    let service = cache.layer(service_fn(|request: Request<Empty<Bytes>>| {
        let mut body = request.uri().path().as_bytes().to_vec();
        body.resize(200, b'.');
        let response = Response::builder()
            .header("cache-control", "public, max-age=600")
            .header("content-type", "application/json")
            .header("etag", format!("\"{}\"", request.uri().path()))
            .header("last-modified", "Tue, 15 Nov 1994 12:45:26 GMT")
            .header("server", "a server")
            .header("x-request-id", "0123456789abcdef");
        let response = response.body(Full::new(Bytes::from(body))).unwrap();
        std::future::ready(Ok::<_, Infallible>(response))
    }));
    // What the first request makes for all, and what every cache has, is not of the entries.
    let fetch = async |n: usize| {
        let request = get(&format!("/item/{n:08}"));
        let answer = service.clone().oneshot(request).await.unwrap();
        answer.into_body().collect().await.unwrap();
    };
    fetch(0).await;
    let before = live();
    for n in 1..=ENTRIES {
        fetch(n).await;
    }
    cache.handle().drain(Duration::from_secs(60)).await;
    let stats = cache.handle().stats();
    let (held, weighed) = (live() - before, stats.memory_bytes as usize);
    println!(
        "{} entries: {} B each by weight, {} B held",
        stats.entries,
        weighed / ENTRIES,
        held / ENTRIES
    );
    assert!(stats.entries as usize >= ENTRIES - 1_000, "{stats:?}");
    assert!(
        weighed.abs_diff(held) * 100 <= held * 15,
        "{weighed} bytes by weight, {held} held"
    );
}
