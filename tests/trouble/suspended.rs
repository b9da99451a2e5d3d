//! A machine that was suspended: its wall clock has moved on, its monotonic clock has not. What was
//! stored before is as old as the wall clock says. A wall clock that is merely set, forward or back,
//! makes nothing younger, and nothing stale for ever.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use cachewarp::{
    BreakerConfig, CacheBuilder, CacheLayer, CacheOutcome,
    breaker::BreakerState,
    clock::{Clock, ManualClock},
};
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty, Full};
use tower::{Layer, ServiceExt, service_fn};

use crate::origin::{Cache, Mood, Origin, ask, cache, get};

const HOUR: i64 = 3600;

/// What happens to the clocks, or is asked of the cache.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// Both clocks move by so many seconds.
    Passes(u64),
    /// The wall clock alone moves, as by a suspension or when somebody sets it.
    Wall(i64),
    /// The answer is a hit of this age.
    Hit(u64),
    /// The origin is asked.
    Forwarded,
}

use Then::{Forwarded, Hit, Passes, Wall};

fn on(
    clock: &ManualClock,
    origin: &Origin,
    set: impl FnOnce(CacheBuilder) -> CacheBuilder,
) -> (CacheLayer, Cache) {
    let clock = clock.clone();
    cache(origin, move |it| set(it.clock(clock)))
}

/// The `Age` of the answer to `/`, if it came from the store.
async fn age(cache: &Cache) -> Option<u64> {
    let answer = cache.clone().oneshot(get("/")).await.unwrap();
    let outcome: &CacheOutcome = answer.extensions().get().unwrap();
    let hit = matches!(outcome, CacheOutcome::Hit { .. });
    let age = answer.headers().get(header::AGE);
    let age = age.map_or(0, |it| it.to_str().unwrap().parse().unwrap());
    answer.into_body().collect().await.unwrap();
    hit.then_some(age)
}

/// Stores a response that is fresh for so many seconds, and then goes through the steps.
async fn play(max_age: &'static str, steps: &[Then]) {
    let clock = ManualClock::at(1_700_000_000);
    let origin = Origin::new(max_age);
    let (layer, cache) = on(&clock, &origin, |it| it);
    assert_eq!(age(&cache).await, None, "nothing is stored yet");
    for (index, step) in steps.iter().enumerate() {
        let place = format!("step {index} of {max_age}: {steps:?}");
        match *step {
            Passes(seconds) => clock.advance(Duration::from_secs(seconds)),
            Wall(seconds) => clock.step_wall(seconds),
            Hit(expected) => assert_eq!(age(&cache).await, Some(expected), "{place}"),
            Forwarded => assert_eq!(age(&cache).await, None, "{place}"),
        }
        assert_eq!(layer.handle().drain(Duration::from_secs(60)).await, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_stored_before_is_as_old_as_the_wall_clock_says() {
    for steps in [
        // An hour in one second.
        &[Wall(HOUR), Passes(1), Hit(3601)][..],
        // Not even a moment of monotonic time.
        &[Wall(HOUR), Hit(3600)],
        &[Passes(60), Hit(60), Wall(HOUR), Hit(3660), Hit(3660)],
        // Suspended again and again.
        &[Wall(HOUR), Hit(3600), Wall(HOUR), Passes(1), Hit(7201)],
        // The second time is all that is too much.
        &[Wall(HOUR), Hit(3600), Wall(2 * HOUR), Forwarded, Hit(0)],
        &[Wall(30), Hit(30), Wall(-HOUR), Wall(HOUR), Hit(30)],
        // Set back by as much as it was suspended for, in two steps.
        &[Passes(5), Wall(-HOUR), Hit(5), Wall(HOUR), Hit(3605)],
    ] {
        play("max-age=10000", steps).await;
    }
    for steps in [
        &[Wall(HOUR), Forwarded][..],
        &[Wall(HOUR), Passes(1), Forwarded],
        &[Passes(59), Hit(59), Wall(2), Forwarded],
        &[Hit(0), Wall(365 * 24 * HOUR), Forwarded],
        // The stored clock was an hour ahead, and was corrected before the machine was suspended.
        &[Wall(-HOUR), Hit(0), Wall(HOUR), Forwarded],
    ] {
        play("max-age=60", steps).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_is_set_makes_nothing_younger() {
    for steps in [
        &[Passes(10), Wall(-HOUR), Hit(10), Passes(50), Forwarded][..],
        &[Passes(10), Wall(HOUR), Wall(-HOUR), Hit(10)],
        // Set forward by mistake, noticed, and corrected.
        &[Wall(40), Hit(40), Wall(-40), Hit(40), Passes(20), Forwarded],
        &[
            Wall(HOUR),
            Forwarded,
            Wall(-HOUR),
            Hit(0),
            Passes(1),
            Hit(1),
        ],
        &[
            Wall(-50 * 365 * 24 * HOUR),
            Passes(59),
            Hit(59),
            Passes(1),
            Forwarded,
        ],
    ] {
        play("max-age=60", steps).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_is_set_forward_does_not_make_everything_stale_for_ever() {
    for steps in [
        &[
            Wall(HOUR),
            Forwarded,
            Hit(0),
            Passes(59),
            Hit(59),
            Passes(1),
            Forwarded,
        ][..],
        &[Wall(HOUR), Forwarded, Wall(-HOUR), Passes(59), Hit(59)],
        &[Wall(100 * 365 * 24 * HOUR), Forwarded, Passes(30), Hit(30)],
        // A second is within what clocks of whole seconds differ by.
        &[Wall(1), Hit(0), Passes(1), Hit(1)],
    ] {
        play("max-age=60", steps).await;
    }
}

/// A wall clock of the test's own, in milliseconds, and a monotonic one.
#[derive(Clone, Debug, Default)]
struct Two(Arc<Mutex<(i64, u64)>>);

impl Clock for Two {
    fn wall(&self) -> i64 {
        self.wall_millis() / 1000
    }

    fn wall_millis(&self) -> i64 {
        1_700_000_000_000 + self.0.lock().unwrap().0
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.lock().unwrap().1)
    }
}

/// A wall clock that runs faster or slower than the other is not followed in each of its steps, but
/// never by more than a second.
#[tokio::test(start_paused = true)]
async fn many_small_steps_count_like_a_large_one() {
    for (wall_step, monotonic_step, steps, expected) in [
        (100, 0, 100, 9..=10),
        (999, 0, 10, 9..=10),
        (1_010, 1_000, 1_000, 1_009..=1_010),
        // Behind: the monotonic clock decides.
        (990, 1_000, 1_000, 1_000..=1_000),
        (0, 1_000, 10, 10..=10),
        (1_000, 1_000, 1_000, 1_000..=1_000),
    ] {
        let clock = Two::default();
        let origin = Origin::new("max-age=10000");
        let set = clock.clone();
        let (_layer, cache) = cache(&origin, move |it| it.clock(set));
        assert_eq!(age(&cache).await, None);
        let mut last = 0;
        for _ in 0..steps {
            {
                let mut times = clock.0.lock().unwrap();
                times.0 += wall_step;
                times.1 += monotonic_step;
            }
            let now = age(&cache).await.unwrap();
            assert!(now >= last, "{last} and then {now}");
            last = now;
        }
        assert!(expected.contains(&last), "{wall_step}: {last}");
    }
}

#[tokio::test(start_paused = true)]
async fn stale_windows_end_while_the_machine_is_suspended() {
    let clock = ManualClock::at(1_700_000_000);
    let origin = Origin::new("max-age=60, stale-if-error=600");
    let (_layer, cache) = on(&clock, &origin, |it| it);
    ask(&cache, "/").await.unwrap();
    origin.becomes(Mood::Unavailable);
    clock.step_wall(120);
    let within = ask(&cache, "/").await.unwrap();
    assert!(
        matches!(within.outcome, CacheOutcome::Stale { .. }),
        "{within:?}"
    );
    clock.step_wall(HOUR);
    let after = ask(&cache, "/").await.unwrap();
    assert_eq!(after.status, StatusCode::SERVICE_UNAVAILABLE, "{after:?}");
}

/// After a failure the origin is left alone for `refresh_pause`: by the same clock.
#[tokio::test(start_paused = true)]
async fn a_pause_ends_while_the_machine_is_suspended() {
    let clock = ManualClock::at(1_700_000_000);
    let origin = Origin::new("max-age=1, stale-if-error=86400");
    let pause = Duration::from_secs(60);
    let (_layer, cache) = on(&clock, &origin, |it| it.refresh_pause(pause));
    ask(&cache, "/").await.unwrap();
    origin.becomes(Mood::Unavailable);
    clock.advance(Duration::from_secs(5));
    for expected in [2, 2] {
        ask(&cache, "/").await.unwrap();
        assert_eq!(origin.calls("/").len(), expected);
    }
    clock.step_wall(HOUR);
    ask(&cache, "/").await.unwrap();
    assert_eq!(origin.calls("/").len(), 3);
}

/// The open time passes by the same clock.
#[tokio::test(start_paused = true)]
async fn an_open_circuit_admits_probes_after_a_suspension() {
    let clock = ManualClock::at(1_700_000_000);
    let origin = Origin::new("no-store");
    let breaker = BreakerConfig::builder()
        .consecutive_failures(3)
        .open_for(Duration::from_secs(30))
        .build()
        .unwrap();
    let (layer, cache) = on(&clock, &origin, |it| it.breaker(breaker));
    let handle = layer.breaker_handle().unwrap();
    origin.becomes(Mood::Gone);
    for path in ["/a", "/b", "/c"] {
        ask(&cache, path).await.unwrap_err();
    }
    assert_eq!(handle.state(""), BreakerState::Open);
    origin.becomes(Mood::Well);
    let refused = ask(&cache, "/d").await.unwrap();
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    clock.step_wall(HOUR);
    for path in ["/d", "/e", "/f"] {
        assert_eq!(ask(&cache, path).await.unwrap().status, StatusCode::OK);
    }
    assert_eq!(handle.state(""), BreakerState::Closed);
}

/// While the response was under way: its age on arrival has the whole delay (RFC 9111 §4.2.3),
/// whatever the wall clock says.
#[tokio::test(start_paused = true)]
async fn what_happens_to_the_clocks_during_a_fetch_makes_it_no_younger() {
    for (steps, expected) in [
        (&[Wall(HOUR)][..], 3600),
        (&[Passes(30)], 30),
        (&[Passes(30), Wall(-HOUR)], 30),
        (&[Wall(-HOUR), Passes(30)], 30),
        (&[Passes(5), Wall(HOUR), Passes(5)], 3610),
    ] {
        let clock = ManualClock::at(1_700_000_000);
        let (during, moving) = (Arc::new(Mutex::new(steps.to_vec())), clock.clone());
        let layer = CacheLayer::builder().clock(clock).build().unwrap();
        let cache = layer.layer(service_fn(move |_: Request<Empty<Bytes>>| {
            for step in during.lock().unwrap().drain(..) {
                match step {
                    Passes(seconds) => moving.advance(Duration::from_secs(seconds)),
                    Wall(seconds) => moving.step_wall(seconds),
                    Hit(_) | Forwarded => unreachable!("nothing is asked of the cache meanwhile"),
                }
            }
            let response = Response::builder().header(header::CACHE_CONTROL, "max-age=10000");
            let response = response.body(Full::<Bytes>::default()).unwrap();
            async { Ok::<_, Infallible>(response) }
        }));
        let mut ages = Vec::new();
        for _ in 0..2 {
            let answer = cache.clone().oneshot(get("/")).await.unwrap();
            ages.push(answer.headers().get(header::AGE).cloned());
            answer.into_body().collect().await.unwrap();
        }
        assert_eq!(
            ages[1].as_ref().unwrap(),
            &expected.to_string(),
            "{steps:?}"
        );
    }
}
