//! The engine that proves the other: the same requests through a real `CacheLayer`, one after the
//! other, over an origin that changes as the world says, in paused time.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use cachewarp::{CacheLayer, Fetched, Lifetime, Memory, TtlPolicy, clock::Clock};
use http::{Request, Response, StatusCode, Uri, header::IF_NONE_MATCH};
use http_body_util::{BodyExt, Empty, Full};
use tokio::{runtime::Builder, time::Instant};
use tower::{Layer as _, Service, service_fn};

use crate::{
    engine::{Engine, Origin, Tally},
    world::{Ask, World},
};

/// Room for all keys: nothing is evicted.
const MEMORY: u64 = 256 << 20;

/// Where the wall clock stands when a world begins.
const BEGINNING: i64 = 1_700_000_000;

/// A cache in memory, all its settings at their defaults but for the policy, in front of an origin.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) origin: Origin,
}

impl Engine for Layer {
    fn run(&self, world: &World, policy: &Arc<dyn TtlPolicy>) -> Tally {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build();
        runtime
            .expect("it needs nothing of the system")
            .block_on(run(world, self.origin, Arc::clone(policy)))
    }
}

async fn run(world: &World, says: Origin, policy: Arc<dyn TtlPolicy>) -> Tally {
    let began = Instant::now();
    let calls = Arc::new(AtomicU64::new(0));
    let origin = {
        let calls = Arc::clone(&calls);
        let keys: Arc<[_]> = world.keys.as_slice().into();
        service_fn(move |request: Request<Empty<Bytes>>| {
            calls.fetch_add(1, Ordering::Relaxed);
            let now = began.elapsed().as_secs_f64();
            let key: &crate::world::Key = &keys[key_of(request.uri())];
            let answer = answer(key.version(now), key.content_type, says, &request);
            async move { Ok::<_, Infallible>(answer) }
        })
    };
    let layer = CacheLayer::builder()
        .memory(Memory::with_capacity(MEMORY))
        .ttl(Handed(policy))
        .clock(Simulated(began))
        .build();
    let mut service = layer.expect("the settings are in range").layer(origin);
    let uris: Vec<Uri> = (0..world.keys.len())
        .map(|key| format!("http://localhost/{key}").parse().expect("a number"))
        .collect();
    let mut tally = Tally::default();
    for Ask { at, key } in &world.asks {
        let due = Duration::from_secs_f64(*at);
        // Time that passed otherwise would be time that a request waited for something.
        let left = due.checked_sub(began.elapsed()).expect("nothing waits");
        tokio::time::advance(left).await;
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = uris[*key as usize].clone();
        let before = calls.load(Ordering::Relaxed);
        let Ok(response) = service.call(request).await;
        let body = response.into_body().collect().await;
        let body = body.expect("the origin's bodies do not fail").to_bytes();
        if *at < world.size.warm_up {
            continue;
        }
        let now = world.keys[*key as usize].version(began.elapsed().as_secs_f64());
        tally.answers += 1;
        tally.calls += calls.load(Ordering::Relaxed) - before;
        tally.stale += u64::from(body != now.to_string());
    }
    tally
}

/// The origin's answer: the version, and nothing that is about caching but its tag.
fn answer<B>(
    version: usize,
    content_type: &str,
    origin: Origin,
    request: &Request<B>,
) -> Response<Full<Bytes>> {
    let response = Response::builder().header("content-type", content_type);
    let body = Bytes::from(version.to_string());
    let response = match origin {
        Origin::Bare => response.body(body.into()),
        Origin::Tagged => {
            let tag = format!("\"{version}\"");
            let asked = request.headers().get(IF_NONE_MATCH);
            let response = response.header("etag", &tag);
            if asked.is_some_and(|asked| asked == tag.as_str()) {
                response
                    .status(StatusCode::NOT_MODIFIED)
                    .body(Full::default())
            } else {
                response.body(body.into())
            }
        }
    };
    response.expect("the fields are tokens")
}

fn key_of(uri: &Uri) -> usize {
    let number = uri.path().strip_prefix('/').and_then(|it| it.parse().ok());
    number.expect("the path is a number")
}

/// A policy that is kept elsewhere.
struct Handed(Arc<dyn TtlPolicy>);

impl TtlPolicy for Handed {
    fn lifetime(&self, fetched: &Fetched<'_>) -> Option<Lifetime> {
        self.0.lifetime(fetched)
    }

    fn shorten(&self, fetched: &Fetched<'_>, explicit: Duration) -> Option<Duration> {
        self.0.shorten(fetched, explicit)
    }

    fn learns(&self) -> bool {
        self.0.learns()
    }
}

/// Both clocks follow tokio's time: the wall clock of the machine would let a fetch seem to take a
/// second now and then, and no two runs would be the same.
#[derive(Debug)]
struct Simulated(Instant);

impl Clock for Simulated {
    fn wall(&self) -> i64 {
        BEGINNING + i64::try_from(self.0.elapsed().as_secs()).unwrap_or(i64::MAX - BEGINNING)
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}
