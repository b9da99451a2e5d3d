//! For how long responses are fresh, and how old they are on arrival.

use std::time::Duration;

use http::{HeaderName, StatusCode};

use super::{Freshness, LifetimeSource, Reuse, Times};
use crate::semantics::date;
use crate::semantics::list::MAX_DELTA;
use crate::semantics::rules::{AgePolicy, DuplicatePolicy, Heuristics, Rules, SMaxagePolicy};
use crate::semantics::targeted;
use crate::semantics::testing::head_of;

/// When every response arrives, 1 January 2026, with a `Date` that says so unless the case has one.
const NOW: i64 = 1_767_225_600;

const DAY: i64 = 86_400;

const TARGET: HeaderName = HeaderName::from_static("cdn-cache-control");

fn field(name: &str, time: i64) -> String {
    format!("{name}: {}", date::format(time).to_str().unwrap())
}

fn freshness_with(status: u16, lines: &[&str], rules: &Rules) -> Freshness {
    let mut response = head_of(lines);
    response.entry("date").or_insert_with(|| date::format(NOW));
    Freshness::of(
        StatusCode::from_u16(status).unwrap(),
        &response,
        &targeted::effective(&response, rules),
        Times {
            request: NOW,
            response: NOW,
        },
        rules,
    )
}

fn freshness(lines: &[&str]) -> Freshness {
    freshness_with(200, lines, &Rules::default())
}

fn with_heuristics() -> Rules {
    Rules {
        heuristics: Some(Heuristics::default()),
        ..Rules::default()
    }
}

// === Lifetime ===

#[test]
fn the_first_source_that_is_present_decides() {
    let in_an_hour = field("Expires", NOW + 3600);
    let an_hour_ago = field("Expires", NOW - 3600);
    let cases: &[(&[&str], u32, LifetimeSource)] = &[
        (&[], 0, LifetimeSource::None),
        (&["Cache-Control: public"], 0, LifetimeSource::None),
        (&["Cache-Control: max-age=60"], 60, LifetimeSource::MaxAge),
        (&["Cache-Control: max-age=0"], 0, LifetimeSource::MaxAge),
        (&["Cache-Control: s-maxage=60"], 60, LifetimeSource::SMaxage),
        (
            &["Cache-Control: max-age=1, s-maxage=600"],
            600,
            LifetimeSource::SMaxage,
        ),
        (
            &["Cache-Control: max-age=600, s-maxage=1"],
            1,
            LifetimeSource::SMaxage,
        ),
        (
            &["Cache-Control: max-age=600, s-maxage=x"],
            0,
            LifetimeSource::SMaxage,
        ),
        (&[&in_an_hour], 3600, LifetimeSource::Expires),
        (&[&an_hour_ago], 0, LifetimeSource::Expires),
        // `Expires` changes nothing beside a directive, in either direction.
        (
            &["Cache-Control: max-age=600", &an_hour_ago],
            600,
            LifetimeSource::MaxAge,
        ),
        (
            &["Cache-Control: max-age=600", "Expires: 0"],
            600,
            LifetimeSource::MaxAge,
        ),
        (
            &["Cache-Control: max-age=0", &in_an_hour],
            0,
            LifetimeSource::MaxAge,
        ),
        (
            &["Cache-Control: max-age", &in_an_hour],
            0,
            LifetimeSource::MaxAge,
        ),
        (
            &["Cache-Control: max-age=-60", &in_an_hour],
            0,
            LifetimeSource::MaxAge,
        ),
        // `immutable` gives no lifetime, and takes none.
        (&["Cache-Control: immutable"], 0, LifetimeSource::None),
        (
            &["Cache-Control: max-age=60, immutable"],
            60,
            LifetimeSource::MaxAge,
        ),
    ];
    for (lines, lifetime, origin) in cases {
        let found = freshness(lines);
        assert_eq!(
            (found.lifetime, found.source),
            (*lifetime, *origin),
            "{lines:?}"
        );
    }
}

#[test]
fn an_invalid_value_is_a_lifetime_of_zero() {
    for expires in ["0", "-1", "", "never", "Thu, 18 Aug 2050 02:01:18 UTC"] {
        let found = freshness(&[&format!("Expires: {expires}")]);
        assert_eq!(
            (found.lifetime, found.source),
            (0, LifetimeSource::Expires),
            "{expires:?}"
        );
        assert!(found.is_explicit(), "{expires:?}");
    }
    let contradictory = ["Cache-Control: max-age=60", "Cache-Control: max-age=600"];
    assert_eq!(freshness(&contradictory).lifetime, 0);
    let first = Rules {
        duplicate_directives: DuplicatePolicy::First,
        ..Rules::default()
    };
    assert_eq!(freshness_with(200, &contradictory, &first).lifetime, 60);
}

#[test]
fn expires_counts_from_date() {
    let (date, expires) = (field("Date", NOW - 50), field("Expires", NOW + 50));
    assert_eq!(freshness(&[&date, &expires]).lifetime, 100);
    // Without a usable `Date`, from arrival.
    assert_eq!(freshness(&["Date: yesterday", &expires]).lifetime, 50);
}

#[test]
fn lifetimes_end_at_two_to_the_31() {
    let distant = field("Expires", NOW + 10_000 * DAY * 365);
    for line in ["Cache-Control: max-age=99999999999999999999", &distant] {
        assert_eq!(freshness(&[line]).lifetime, MAX_DELTA, "{line}");
    }
}

#[test]
fn a_targeted_field_replaces_cache_control_and_expires() {
    let rules = Rules {
        targeted_cache_control: vec![TARGET],
        ..Rules::default()
    };
    let past = field("Expires", NOW - 1);
    let future = field("Expires", NOW + 600);
    let cases: &[(&[&str], u32, LifetimeSource)] = &[
        (
            &["CDN-Cache-Control: max-age=600", "Cache-Control: no-cache"],
            600,
            LifetimeSource::MaxAge,
        ),
        (
            &["CDN-Cache-Control: max-age=600", &past],
            600,
            LifetimeSource::MaxAge,
        ),
        (
            &[
                "CDN-Cache-Control: none",
                "Cache-Control: max-age=600",
                &future,
            ],
            0,
            LifetimeSource::None,
        ),
        (
            &["CDN-Cache-Control: max-age=\"600\"", &future],
            600,
            LifetimeSource::Expires,
        ),
    ];
    for (lines, lifetime, origin) in cases {
        let found = freshness_with(200, lines, &rules);
        assert_eq!(
            (found.lifetime, found.source),
            (*lifetime, *origin),
            "{lines:?}"
        );
        assert_eq!(found.reuse, Reuse::AsRequested, "{lines:?}");
    }
}

#[test]
fn heuristics_apply_only_without_a_stated_lifetime_and_if_the_status_allows() {
    let modified = field("Last-Modified", NOW - 1000);
    let long_ago = field("Last-Modified", NOW - 100 * DAY);
    let tomorrow = field("Last-Modified", NOW + DAY);
    let cases: &[(u16, &[&str], u32)] = &[
        (200, &[&modified], 100),
        (404, &[&modified], 100),
        (501, &[&modified], 100),
        (200, &[&long_ago], 86_400),
        (200, &[&tomorrow], 0),
        (200, &[], 0),
        (200, &["Last-Modified: once"], 0),
        // `public` makes any status heuristically cacheable.
        (302, &[&modified], 0),
        (403, &[&modified], 0),
        (302, &["Cache-Control: public", &modified], 100),
        (200, &["Cache-Control: public"], 7),
        // What is said counts, even if it makes no sense.
        (200, &["Cache-Control: max-age=abc", &long_ago], 0),
        (200, &["Expires: 0", &long_ago], 0),
    ];
    let rules = Rules {
        heuristics: Some(Heuristics::default().with_public(Duration::from_millis(7_900))),
        ..Rules::default()
    };
    for (status, lines, lifetime) in cases {
        let found = freshness_with(*status, lines, &rules);
        assert_eq!(found.lifetime, *lifetime, "{status} {lines:?}");
        assert_eq!(
            found.source == LifetimeSource::Heuristic,
            *lifetime > 0,
            "{status} {lines:?}"
        );
        assert_eq!(
            freshness_with(*status, lines, &Rules::default()).lifetime,
            0
        );
    }
}

// === Age ===

#[test]
fn the_age_on_arrival_is_the_larger_of_the_age_field_and_the_time_since_date() {
    let two_hours_ago = field("Date", NOW - 7200);
    let in_an_hour = field("Date", NOW + 3600);
    let cases: &[(&[&str], u32, u32)] = &[
        // Lines, conservative, by the `Age` field only.
        (&[], 0, 0),
        (&["Age: 50"], 50, 50),
        (&["Age: 7200, 0"], 7200, 7200),
        (&["Age: 0, 7200"], 0, 0),
        (&["Age: -7200"], 0, 0),
        (&["Age: 99999999999"], MAX_DELTA, MAX_DELTA),
        (&[&two_hours_ago], 7200, 0),
        (&[&two_hours_ago, "Age: 50"], 7200, 50),
        (&[&two_hours_ago, "Age: 9000"], 9000, 9000),
        (&[&in_an_hour], 0, 0),
        (&["Date: yesterday"], 0, 0),
    ];
    let by_field = Rules {
        age_policy: AgePolicy::AgeFieldOnly,
        ..Rules::default()
    };
    for (lines, conservative, field_only) in cases {
        assert_eq!(freshness(lines).initial_age, *conservative, "{lines:?}");
        let found = freshness_with(200, lines, &by_field);
        assert_eq!(found.initial_age, *field_only, "{lines:?}");
    }
}

#[test]
fn the_duration_of_the_exchange_counts_as_age() {
    let initial_age = |lines: &[&str], request: i64, response: i64| {
        let response_head = head_of(lines);
        let rules = Rules::default();
        let effective = targeted::effective(&response_head, &rules);
        let times = Times { request, response };
        Freshness::of(StatusCode::OK, &response_head, &effective, times, &rules).initial_age
    };
    assert_eq!(initial_age(&[], NOW - 5, NOW), 5);
    assert_eq!(initial_age(&["Age: 30"], NOW - 5, NOW), 35);
    // A clock that was set back in between never makes a response younger.
    assert_eq!(initial_age(&["Age: 30"], NOW + 100, NOW), 30);
    assert_eq!(initial_age(&[], i64::MIN, i64::MAX), MAX_DELTA);
}

#[test]
fn a_response_is_fresh_while_its_lifetime_exceeds_its_age() {
    let found = freshness(&["Cache-Control: max-age=60", "Age: 50"]);
    assert_eq!((found.age(9), found.ttl(found.age(9))), (59, 1));
    assert_eq!((found.age(10), found.ttl(found.age(10))), (60, 0));
    assert_eq!((found.age(22), found.ttl(found.age(22))), (72, -12));
    assert_eq!(found.age(u32::MAX), MAX_DELTA);
    assert_eq!(freshness(&["Age: 99999999999"]).age(u32::MAX), MAX_DELTA);
}

// === Reuse ===

#[test]
fn directives_limit_reuse_and_close_the_stale_windows() {
    let both = "stale-while-revalidate=30, stale-if-error=300";
    let (open, closed) = ((Some(30), Some(300)), (None, None));
    let cases = [
        ("max-age=60", Reuse::AsRequested, open),
        ("max-age=60, no-cache", Reuse::Validate, closed),
        ("s-maxage=60, no-cache", Reuse::Validate, closed),
        ("max-age=60, no-cache=\"x-a\"", Reuse::AsRequested, open),
        ("max-age=60, must-revalidate", Reuse::WhileFresh, closed),
        ("max-age=60, proxy-revalidate", Reuse::WhileFresh, closed),
        ("s-maxage=60", Reuse::WithinWindows, open),
        ("s-maxage=x", Reuse::WithinWindows, open),
        ("s-maxage=60, must-revalidate", Reuse::WhileFresh, closed),
        // Without explicit freshness the windows have nothing to follow.
        ("public", Reuse::AsRequested, closed),
    ];
    for (directives, reuse, windows) in cases {
        let found = freshness(&[&format!("Cache-Control: {directives}, {both}")]);
        assert_eq!(found.reuse, reuse, "{directives}");
        let found = (found.stale_while_revalidate, found.stale_if_error);
        assert_eq!(found, windows, "{directives}");
    }
}

#[test]
fn s_maxage_rules_out_stale_answers_but_for_windows_beside_it() {
    let strict = Rules {
        s_maxage: SMaxagePolicy::Strict,
        ..Rules::default()
    };
    let cases = [
        ("s-maxage=60", Reuse::WhileFresh),
        (
            "s-maxage=60, stale-while-revalidate=30",
            Reuse::WithinWindows,
        ),
        ("s-maxage=60, stale-if-error=30", Reuse::WithinWindows),
        ("s-maxage=60, stale-if-error=soon", Reuse::WhileFresh),
        ("s-maxage=60, stale-if-error", Reuse::WithinWindows),
    ];
    for (directives, reuse) in cases {
        let line = format!("Cache-Control: {directives}");
        assert_eq!(freshness(&[&line]).reuse, reuse, "{directives}");
        let literal = freshness_with(200, &[&line], &strict);
        assert_eq!(literal.reuse, Reuse::WhileFresh, "{directives}");
        assert_eq!(literal.stale_while_revalidate, None, "{directives}");
        assert_eq!(literal.stale_if_error, None, "{directives}");
    }
}

#[test]
fn default_windows_apply_to_responses_that_state_none() {
    let rules = Rules {
        stale_while_revalidate: Some(10),
        stale_if_error: Some(100),
        ..with_heuristics()
    };
    let modified = field("Last-Modified", NOW - 1000);
    let cases: &[(&[&str], Option<u32>, Option<u32>)] = &[
        (&["Cache-Control: max-age=60"], Some(10), Some(100)),
        (
            &["Cache-Control: max-age=60, stale-if-error=0"],
            Some(10),
            Some(0),
        ),
        (
            &["Cache-Control: max-age=60, stale-while-revalidate=30"],
            Some(30),
            Some(100),
        ),
        // They follow a lifetime.
        (&["Cache-Control: max-age=0"], None, None),
        // They soften nothing that the response insists on.
        (&["Cache-Control: max-age=60, must-revalidate"], None, None),
        (&["Cache-Control: max-age=60, no-cache"], None, None),
        (&["Cache-Control: s-maxage=60"], None, None),
        (
            &["Cache-Control: s-maxage=60, stale-if-error=5"],
            None,
            Some(5),
        ),
        // Except where it opens a window beside `s-maxage`, and says nothing of its length.
        (
            &["Cache-Control: s-maxage=60, stale-while-revalidate"],
            Some(10),
            None,
        ),
        (
            &["Cache-Control: stale-if-error, s-maxage=60"],
            None,
            Some(100),
        ),
        (
            &["Cache-Control: s-maxage=60, STALE-while-revalidate, stale-if-error=5"],
            Some(10),
            Some(5),
        ),
        (
            &["Cache-Control: max-age=60, stale-while-revalidate"],
            Some(10),
            Some(100),
        ),
        (
            &["Cache-Control: s-maxage=0, stale-while-revalidate"],
            None,
            None,
        ),
        (
            &["Cache-Control: s-maxage=60, stale-while-revalidate, must-revalidate"],
            None,
            None,
        ),
        (
            &["Cache-Control: s-maxage=60, stale-while-revalidate;"],
            None,
            None,
        ),
        (
            &["Cache-Control: s-maxage=60, stale-while-revalidate="],
            None,
            None,
        ),
        (
            &["Cache-Control: s-maxage=60, stale-while-revalidate, stale-while-revalidate=5"],
            None,
            None,
        ),
        // They do not extend a guess.
        (&[&modified], None, None),
        (&[], None, None),
    ];
    for (lines, stale_while_revalidate, stale_if_error) in cases {
        let found = freshness_with(200, lines, &rules);
        assert_eq!(
            (found.stale_while_revalidate, found.stale_if_error),
            (*stale_while_revalidate, *stale_if_error),
            "{lines:?}"
        );
    }
}

#[test]
fn a_policy_gives_a_lifetime_but_never_overrules_a_restriction() {
    let given = freshness(&[]).with_policy(300, Some(10), Some(100), &Rules::default());
    assert_eq!(
        (given.lifetime, given.source),
        (300, LifetimeSource::Policy)
    );
    assert_eq!(
        (given.stale_while_revalidate, given.stale_if_error),
        (Some(10), Some(100))
    );
    assert!(!given.is_explicit());
    assert_eq!(
        freshness(&[])
            .with_policy(u32::MAX, None, None, &Rules::default())
            .lifetime,
        MAX_DELTA
    );
    for restriction in ["no-cache", "must-revalidate", "proxy-revalidate"] {
        let own = freshness(&[&format!("Cache-Control: {restriction}")]);
        let given = own.with_policy(300, Some(10), Some(100), &Rules::default());
        assert_eq!(
            (given.lifetime, given.reuse),
            (300, own.reuse),
            "{restriction}"
        );
        assert_eq!(given.stale_while_revalidate, None, "{restriction}");
        assert_eq!(given.stale_if_error, None, "{restriction}");
    }
    let explicit =
        freshness(&["Cache-Control: max-age=60"]).with_policy(30, None, None, &Rules::default());
    assert_eq!(
        (explicit.lifetime, explicit.source),
        (30, LifetimeSource::MaxAge)
    );
    let longer =
        freshness(&["Cache-Control: max-age=60"]).with_policy(300, None, None, &Rules::default());
    assert_eq!(
        (longer.lifetime, longer.source),
        (300, LifetimeSource::Policy)
    );
    // The windows of the response, of the policy, and of the response alone beside `s-maxage`.
    for (directives, windows, expected) in [
        (
            "max-age=60, stale-if-error=5",
            (None, None),
            (None, Some(5)),
        ),
        (
            "max-age=60, stale-if-error=5",
            (Some(7), Some(8)),
            (Some(7), Some(8)),
        ),
        ("s-maxage=60", (Some(7), Some(8)), (None, None)),
        (
            "s-maxage=60, stale-if-error=5",
            (Some(7), Some(8)),
            (None, Some(5)),
        ),
        (
            "max-age=60, stale-if-error=5, must-revalidate",
            (Some(7), Some(8)),
            (None, None),
        ),
    ] {
        let own = freshness(&[&format!("Cache-Control: {directives}")]);
        let given = own.with_policy(300, windows.0, windows.1, &Rules::default());
        let found = (given.stale_while_revalidate, given.stale_if_error);
        assert_eq!(found, expected, "{directives} {windows:?}");
    }
}

#[test]
fn default_windows_apply_if_a_policy_gives_only_a_lifetime() {
    let rules = Rules {
        stale_while_revalidate: Some(10),
        stale_if_error: Some(100),
        ..Rules::default()
    };
    let cases = [
        (300, None, (Some(10), Some(100))),
        (300, Some(5), (Some(5), Some(100))),
        (0, None, (None, None)),
        (0, Some(5), (Some(5), None)),
    ];
    for (lifetime, window, expected) in cases {
        let given = freshness(&[]).with_policy(lifetime, window, None, &rules);
        assert_eq!(
            (given.stale_while_revalidate, given.stale_if_error),
            expected,
            "{lifetime} {window:?}"
        );
    }
}

#[test]
fn a_response_whose_lifetime_a_policy_reduces_to_zero_has_no_stale_windows() {
    let rules = Rules {
        stale_if_error: Some(100),
        ..Rules::default()
    };
    let lines = ["Cache-Control: max-age=60, stale-while-revalidate=10"];
    let own = freshness_with(200, &lines, &rules);
    let cases = [
        (90, (60, Some(10), Some(100))),
        (60, (60, Some(10), Some(100))),
        (1, (1, Some(10), Some(100))),
        (0, (0, None, None)),
    ];
    for (most, expected) in cases {
        let left = own.at_most(most);
        assert_eq!(
            (
                left.lifetime,
                left.stale_while_revalidate,
                left.stale_if_error
            ),
            expected,
            "{most}"
        );
    }
    // The origin said so itself, and opened a window in the same breath.
    let none = ["Cache-Control: max-age=0, stale-while-revalidate=10"];
    let none = freshness(&none);
    assert_eq!(none.at_most(0), none);
}

#[test]
fn freshness_is_small_enough_to_be_stored_with_every_entry() {
    assert!(size_of::<Freshness>() <= 32);
}
