//! What a small object costs in memory, in total: the resident set of a process that stores many.
//!
//! `cargo bench --bench memory` stores 500,000 objects of 200 bytes and eight header fields, each
//! asked for through the layer by two threads at once, and divides what the process grew by.
//! Every kind of object has a process to itself. It fails if one of them takes more than
//! [`BAR`] bytes an object, once stored and after two hits of each, or if the cache does not hold
//! every one of them.

use std::{
    convert::Infallible,
    env,
    process::{Command, ExitCode},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use cachewarp::{CacheLayer, CacheOutcome, Memory, clock::ManualClock};
use http::{
    HeaderName, HeaderValue, Request, Response,
    header::{
        ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_TYPE, DATE, ETAG, HOST,
        LAST_MODIFIED, SERVER, VARY,
    },
};
use http_body_util::{BodyExt, Full};
use tokio::runtime::{Builder, Runtime};
use tower::{Layer, Service, service_fn};

/// Bytes an object may take: what Varnish takes for one like these.
const BAR: usize = 1_274;

const OBJECTS: usize = 500_000;

/// Bytes in every response body.
const BODY: usize = 200;

/// Bytes of the memory tier: room for all of it, and more.
const CAPACITY: u64 = 2 << 30;

/// Requests under way at once.
const TASKS: usize = 8;

/// Hits of each object in a row, often enough for the heads that are kept ready. Those have a fixed
/// share of the capacity, so what they come to an object depends on how many objects there are: the
/// figure is printed, and not held against the bar.
const MANY: usize = 6;

/// The second that all of it happens in, as [`NOW_DATE`] and as Unix time.
const NOW: i64 = 784_111_777;
const NOW_DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// Tells the child process which objects to store.
const KIND: &str = "CACHEWARP_BENCH_OBJECTS";

/// What tells the objects apart, beside their path.
#[derive(Clone, Copy)]
enum Kind {
    /// One response to a URL.
    Plain,
    /// `Vary: Accept-Encoding`.
    Varied,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Plain, Self::Varied];

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Varied => "varied",
        }
    }

    fn eighth_field(self) -> (HeaderName, &'static str) {
        match self {
            Self::Plain => (CONTENT_LANGUAGE, "en"),
            Self::Varied => (VARY, "accept-encoding"),
        }
    }

    /// An object as an origin sends it: each has an entity tag, a request id and a body of its own.
    fn object(self, path: &str, serial: usize) -> Response<Full<Bytes>> {
        let body: Vec<u8> = path.bytes().cycle().take(BODY).collect();
        let (name, value) = self.eighth_field();
        Response::builder()
            .header(CONTENT_TYPE, "application/json; charset=utf-8")
            .header(CACHE_CONTROL, "public, max-age=3600")
            .header(ETAG, format!("\"{serial:032x}\""))
            .header(LAST_MODIFIED, "Fri, 21 Oct 1994 07:28:00 GMT")
            .header(DATE, NOW_DATE)
            .header(SERVER, "nginx/1.27.0")
            .header(
                "x-request-id",
                format!("{serial:08x}-0000-4000-8000-{serial:012x}"),
            )
            .header(name, value)
            .body(Full::from(body))
            .expect("the head is made of valid parts")
    }
}

/// Asks for one object and reads the answer to its end.
async fn ask<S, B>(service: &mut S, index: usize) -> CacheOutcome
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible>,
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let request = Request::get(format!("http://shop.example/catalogue/items/{index:07}"))
        .header(HOST, HeaderValue::from_static("shop.example"))
        .header(ACCEPT_ENCODING, HeaderValue::from_static("gzip, br"))
        .body(Full::default())
        .expect("the head is made of valid parts");
    let Ok(response) = service.call(request).await;
    let outcome = response.extensions().get().cloned();
    let body = response.into_body().collect().await;
    let read = body.expect("a body that ends").to_bytes().len();
    assert_eq!(read, BODY);
    outcome.expect("the layer says how it answered")
}

/// Asks for one object in `every`, `times` times in a row; returns how many answers were hits.
fn visit<S, B>(runtime: &Runtime, service: &S, every: usize, times: usize) -> usize
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send,
    B::Error: std::fmt::Debug + Send,
{
    let tasks = (0..TASKS).map(|first| {
        let mut service = service.clone();
        runtime.spawn(async move {
            let mut hits = 0;
            for index in (first * every..OBJECTS).step_by(TASKS * every) {
                for _ in 0..times {
                    let outcome = ask(&mut service, index).await;
                    hits += usize::from(matches!(outcome, CacheOutcome::Hit { .. }));
                }
            }
            hits
        })
    });
    let tasks: Vec<_> = tasks.collect();
    tasks
        .into_iter()
        .map(|task| runtime.block_on(task).expect("no request panics"))
        .sum()
}

/// Resident bytes of this process.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("the figures of a process");
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|kib| kib.parse::<usize>().ok());
    kib.expect("a figure in kB") * 1024
}

/// Stores the objects and prints what each takes.
fn weigh(kind: Kind) -> ExitCode {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime of two threads");
    let serials = Arc::new(AtomicUsize::new(0));
    let calls = Arc::clone(&serials);
    let origin = service_fn(move |request: Request<Full<Bytes>>| {
        let serial = serials.fetch_add(1, Ordering::Relaxed);
        let object = kind.object(request.uri().path(), serial);
        async { Ok::<_, Infallible>(object) }
    });
    let layer = CacheLayer::builder()
        .memory(Memory::with_capacity(CAPACITY))
        // The clock stands still: all hits come within one second, the most that ready heads ask.
        .clock(ManualClock::at(NOW))
        .build()
        .expect("settings in range");
    let service = layer.layer(origin);

    let before = resident();
    let each = |now: usize| now.saturating_sub(before) / OBJECTS;
    assert_eq!(visit(&runtime, &service, 1, 1), 0, "hits of a cold cache");
    let handle = layer.handle();
    let under_way = runtime.block_on(handle.drain(Duration::from_secs(60)));
    assert_eq!(under_way, 0, "fills under way");
    // A thousand hits bring maintenance with them, so that the figures are of now.
    let sample = visit(&runtime, &service, OBJECTS / 1_000, 1);
    assert_eq!(sample, 1_000, "hits of a sample");
    let stats = handle.stats();
    assert_eq!(stats.entries, OBJECTS as u64, "objects in memory");
    let accounted = stats.memory_bytes / stats.entries;
    let stored = each(resident());

    assert_eq!(visit(&runtime, &service, 1, 2), 2 * OBJECTS, "hits");
    let hit_twice = each(resident());

    assert_eq!(visit(&runtime, &service, 1, MANY), MANY * OBJECTS, "hits");
    let with_ready_heads = each(resident());
    assert_eq!(handle.stats().entries, OBJECTS as u64, "objects in memory");
    assert_eq!(calls.load(Ordering::Relaxed), OBJECTS, "origin calls");

    println!(
        "{}: {stored} B an object, {hit_twice} B after two hits of each, {with_ready_heads} B with \
         ready heads; {accounted} B by the cache's own account; the bar is {BAR} B",
        kind.name()
    );
    if stored.max(hit_twice) > BAR {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn main() -> ExitCode {
    let own_kind = env::var(KIND).ok();
    if let Some(kind) = own_kind.and_then(|name| Kind::ALL.into_iter().find(|k| k.name() == name)) {
        return weigh(kind);
    }
    let program = env::current_exe().expect("the path of this program");
    let mut code = ExitCode::SUCCESS;
    for kind in Kind::ALL {
        let status = Command::new(&program).env(KIND, kind.name()).status();
        if !status.expect("a process of its own").success() {
            code = ExitCode::FAILURE;
        }
    }
    code
}
