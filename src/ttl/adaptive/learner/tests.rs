//! The lifetimes that the adaptive policy gives: to single keys, to many keys, and within its bounds.

use http::{Request, Response, request};

use super::*;
use crate::ttl::history::{History, Observation};

const HTML: &[(&str, &str)] = &[("content-type", "text/html"), ("etag", "\"1\"")];

fn parts(headers: &[(&str, &str)]) -> (request::Parts, response::Parts) {
    let (request, ()) = Request::get("/").body(()).unwrap().into_parts();
    let builder = Response::builder();
    let builder = headers.iter().fold(builder, |builder, (name, value)| {
        builder.header(*name, *value)
    });
    (request, builder.body(()).unwrap().into_parts().0)
}

fn lifetime(policy: &AdaptiveTtl, headers: &[(&str, &str)], history: &History) -> u64 {
    let (request, response) = parts(headers);
    let fetched = Fetched::new(&request, &response).with_history(history);
    let lifetime = policy.lifetime(&fetched).unwrap();
    assert_eq!(lifetime.reason, LifetimeReason::Learned);
    assert_eq!(lifetime.fresh.subsec_nanos(), 0);
    lifetime.fresh.as_secs()
}

fn seen(history: History, seconds: f32, change: Change, requests: u32) -> History {
    history.observe(Observation {
        interval: Duration::from_secs_f32(seconds),
        change,
        requests,
        cost: Duration::from_millis(20),
    })
}

fn often(times: usize, seconds: f32, change: Change, requests: u32) -> History {
    (0..times).fold(History::new(), |history, _| {
        seen(history, seconds, change, requests)
    })
}

/// Requests a key once per `wait` seconds until it was fetched `fetches` times. `changed` says whether
/// it changed between two times in seconds. Returns all lifetimes.
fn live(
    policy: &AdaptiveTtl,
    wait: u32,
    fetches: u32,
    changed: impl Fn(u64, u64) -> bool,
) -> Vec<u64> {
    let mut history = History::new();
    let mut now = 0;
    let mut given = Vec::new();
    for _ in 0..fetches {
        let fresh = lifetime(policy, HTML, &history);
        given.push(fresh);
        let wait = u64::from(wait);
        // The first request after the response expired.
        let interval = (fresh / wait + 1) * wait;
        let change = if changed(now, now + interval) {
            Change::Changed
        } else {
            Change::Unchanged
        };
        now += interval;
        history = seen(history, interval as f32, change, (fresh / wait) as u32);
    }
    given
}

#[test]
fn a_key_that_always_changes_gets_the_floor_and_one_that_never_does_the_ceiling() {
    let policy = AdaptiveTtl::default();
    for wait in [1, 5, 30] {
        let given = live(&policy, wait, 60, |_, _| true);
        let settled = &given[30..];
        assert!(settled.iter().all(|fresh| *fresh <= 8), "{wait}: {given:?}");
    }
    let policy = AdaptiveTtl::default();
    let given = live(&policy, 5, 1000, |_, _| false);
    assert!(given.is_sorted(), "{given:?}");
    assert!(given.last() >= Some(&1800), "{given:?}");
}

#[test]
fn a_key_that_always_changes_is_not_given_up_for_all_that_never_do() {
    let policy = AdaptiveTtl::builder().budget(0.03).build().unwrap();
    let still = often(16, 600.0, Change::Unchanged, 600);
    let flips = often(16, 1.0, Change::Changed, 2);
    for _ in 0..3000 {
        lifetime(&policy, HTML, &still);
    }
    let [flips, still] = [flips, still].map(|history| lifetime(&policy, HTML, &history));
    assert!(flips <= 2 && still >= 300, "{flips} {still}");
}

#[test]
fn the_hotter_the_key_the_shorter_its_lifetime() {
    let policy = AdaptiveTtl::default();
    let changes = |requests| {
        (0..8).fold(History::new(), |history, _| {
            let history = seen(history, 60.0, Change::Unchanged, requests);
            seen(history, 60.0, Change::Changed, requests)
        })
    };
    let [cold, warm, hot] =
        [0, 60, 6000].map(|requests| lifetime(&policy, HTML, &changes(requests)));
    assert!(cold > warm && warm > hot, "{cold} {warm} {hot}");
}

#[test]
fn a_larger_budget_gives_a_longer_lifetime() {
    let history = (0..8).fold(History::new(), |history, _| {
        let history = seen(history, 60.0, Change::Unchanged, 60);
        seen(history, 60.0, Change::Changed, 60)
    });
    let settled = [0.001, 0.01, 0.1, 0.3].map(|budget| {
        let policy = AdaptiveTtl::builder().budget(budget).build().unwrap();
        (0..3000).map(|_| lifetime(&policy, HTML, &history)).last()
    });
    assert!(settled.is_sorted_by(|a, b| a < b), "{settled:?}");
}

#[test]
fn a_key_without_a_history_starts_with_the_prior_of_its_kind() {
    let policy = AdaptiveTtl::default();
    let image: &[(&str, &str)] = &[("content-type", "Image/PNG; x=y"), ("etag", "\"1\"")];
    let other: &[(&str, &str)] = &[("content-type", "image/png"), ("etag", "\"2\"")];
    for _ in 0..300 {
        lifetime(&policy, image, &often(9, 900.0, Change::Unchanged, 9));
        lifetime(&policy, HTML, &often(9, 3.0, Change::Changed, 9));
    }
    let cold = History::new();
    let (slow, fast) = (
        lifetime(&policy, other, &cold),
        lifetime(&policy, HTML, &cold),
    );
    assert!(slow >= 10 * fast.max(1), "{slow} {fast}");
}

#[test]
fn a_burst_shortens_the_lifetime_and_its_end_extends_it() {
    let policy = AdaptiveTtl::default();
    // Each key changes all the time for 5 minutes in each half hour.
    let bursts = |from: u64, to: u64| (from..to).any(|at| at % 1800 < 300);
    for _ in 0..20 {
        live(&policy, 2, 200, bursts);
    }
    let within = (0..6).fold(History::new(), |history, _| {
        let history = seen(history, 10.0, Change::Unchanged, 5);
        seen(history, 4.0, Change::Changed, 2)
    });
    let without = seen(within, 240.0, Change::Unchanged, 120);
    let again = seen(without, 4.0, Change::Changed, 2);
    let [within, without, again] =
        [within, without, again].map(|history| lifetime(&policy, HTML, &history));
    assert!(without >= 4 * within.max(1), "{within} {without}");
    assert!(again <= 2 * within.max(1), "{within} {again}");
}

#[test]
fn only_a_response_with_a_validator_gets_a_lifetime_of_zero() {
    let policy = AdaptiveTtl::builder()
        .budget(0.0001)
        .floor(Duration::ZERO)
        .build()
        .unwrap();
    let flips = often(16, 1.0, Change::Changed, 9);
    let bare: &[(&str, &str)] = &[("content-type", "text/html")];
    for _ in 0..500 {
        lifetime(&policy, HTML, &flips);
    }
    assert_eq!(lifetime(&policy, HTML, &flips), 0);
    // What a cache cannot send back to the origin is no validator.
    let unquoted: &[(&str, &str)] = &[("content-type", "text/html"), ("etag", "1")];
    let no_date: &[(&str, &str)] = &[("content-type", "text/html"), ("last-modified", "today")];
    for headers in [bare, unquoted, no_date] {
        assert_eq!(lifetime(&policy, headers, &flips), 1, "{headers:?}");
    }
}

#[test]
fn stale_answers_due_to_the_floor_do_not_shorten_other_lifetimes() {
    let still = often(16, 600.0, Change::Unchanged, 60);
    let flips = often(16, 1.0, Change::Changed, 99);
    let settled = |flips: Option<&History>| {
        let policy = AdaptiveTtl::default();
        for _ in 0..1500 {
            flips.map(|flips| lifetime(&policy, HTML, flips));
            lifetime(&policy, HTML, &still);
        }
        lifetime(&policy, HTML, &still)
    };
    let (alone, beside) = (settled(None), settled(Some(&flips)));
    assert!(beside * 4 >= alone, "{alone} {beside}");
}

#[test]
fn the_bounds_hold_for_any_history() {
    let secs = Duration::from_secs;
    let histories = [
        History::new(),
        often(1, 0.0, Change::Changed, 0),
        often(20, 0.0, Change::Unchanged, u32::MAX),
        often(20, 1e9, Change::Changed, 0),
        often(20, 1e18, Change::Unchanged, 0),
        seen(
            often(20, 1e9, Change::Unchanged, 0),
            1e-3,
            Change::Changed,
            0,
        ),
        often(3, 5.0, Change::Unknown, 2),
    ];
    // 11 and 13 are not among the lifetimes of the grid.
    for (floor, ceiling) in [(0, 1), (1, 86_400), (5, 5), (11, 11), (13, 13), (60, 120)] {
        let policy = AdaptiveTtl::builder()
            .floor(secs(floor))
            .ceiling(secs(ceiling));
        let policy = policy.build().unwrap();
        for _ in 0..50 {
            for history in &histories {
                let fresh = lifetime(&policy, HTML, history);
                assert!((floor..=ceiling).contains(&fresh), "{fresh} {history:?}");
            }
        }
        let learned = policy.learned();
        assert!(learned.price.now().is_finite());
        assert!(
            learned
                .priors
                .of(0)
                .rates()
                .iter()
                .all(|rate| rate.is_finite())
        );
    }
}

#[test]
fn a_stated_lifetime_is_shortened_only_on_request_and_never_extended() {
    let (request, response) = parts(HTML);
    let flips = often(16, 1.0, Change::Changed, 9);
    let fetched = Fetched::new(&request, &response).with_history(&flips);
    let hour = Duration::from_secs(3600);
    assert_eq!(AdaptiveTtl::default().shorten(&fetched, hour), None);
    let policy = AdaptiveTtl::builder()
        .shorten_explicit(true)
        .build()
        .unwrap();
    let shorter = policy.shorten(&fetched, hour).unwrap();
    assert!(shorter < Duration::from_secs(10), "{shorter:?}");
    assert_eq!(policy.shorten(&fetched, Duration::ZERO), None);
    assert!(policy.learns());
}
