//! What settings may be, and the refusal of what they may not.

use std::time::Duration;

use cachewarp::{
    ConfigError,
    breaker::{BreakerConfig, BreakerConfigBuilder},
};

const ZERO: Duration = Duration::ZERO;
const ENDLESS: Duration = Duration::MAX;
const HOUR: Duration = Duration::from_secs(3600);

type Change = fn(BreakerConfigBuilder) -> BreakerConfigBuilder;

#[test]
fn every_bad_value_is_refused_by_name() {
    let cases: &[(&str, &str, Change)] = &[
        ("count_window", "0", |it| it.count_window(0)),
        ("count_window", "100001", |it| it.count_window(100_001)),
        ("time_window", "0ns", |it| it.time_window(ZERO)),
        ("time_window", "999µs", |it| {
            it.time_window(Duration::from_micros(999))
        }),
        ("time_window", "18446744073709551615.999999999s", |it| {
            it.time_window(ENDLESS)
        }),
        ("buckets", "0", |it| it.time_window(HOUR).buckets(0)),
        ("buckets", "1001", |it| it.buckets(1001).time_window(HOUR)),
        ("minimum_calls", "0", |it| it.minimum_calls(0)),
        ("minimum_calls", "101", |it| it.minimum_calls(101)),
        ("minimum_calls", "20", |it| it.count_window(19)),
        ("failure_rate", "0", |it| it.failure_rate(0.0)),
        ("failure_rate", "-0.5", |it| it.failure_rate(-0.5)),
        ("failure_rate", "1.01", |it| it.failure_rate(1.01)),
        ("failure_rate", "NaN", |it| it.failure_rate(f64::NAN)),
        ("slow_rate", "0", |it| it.slow_rate(0.0)),
        ("slow_rate", "inf", |it| it.slow_rate(f64::INFINITY)),
        ("slow_call", "0ns", |it| it.slow_call(ZERO)),
        ("slow_call", "18446744073709551615.999999999s", |it| {
            it.slow_call(ENDLESS)
        }),
        ("consecutive_failures", "0", |it| it.consecutive_failures(0)),
        ("half_open_permits", "0", |it| it.half_open_permits(0)),
        ("half_open_permits", "1001", |it| it.half_open_permits(1001)),
        ("half_open_successes", "0", |it| it.half_open_successes(0)),
        ("half_open_successes", "1001", |it| {
            it.half_open_successes(1001)
        }),
        ("probe_timeout", "0ns", |it| it.probe_timeout(ZERO)),
        ("open_for", "0ns", |it| it.open_for(ZERO)),
        ("open_for", "61s", |it| it.open_for(Duration::from_secs(61))),
        ("open_at_most", "0ns", |it| it.open_at_most(ZERO)),
        ("open_for", "5s", |it| {
            it.open_at_most(Duration::from_secs(4))
        }),
        ("open_growth", "0.9", |it| it.open_growth(0.9)),
        ("open_growth", "101", |it| it.open_growth(101.0)),
        ("open_growth", "NaN", |it| it.open_growth(f64::NAN)),
        ("open_jitter", "-0.1", |it| it.open_jitter(-0.1)),
        ("open_jitter", "1.1", |it| it.open_jitter(1.1)),
        ("max_keys", "0", |it| it.max_keys(0)),
        ("max_keys", "65537", |it| it.max_keys(65_537)),
    ];
    for (expected, given, change) in cases {
        match change(BreakerConfig::builder()).build() {
            Err(ConfigError::OutOfRange { setting, value, .. }) => {
                assert_eq!((setting, &*value), (*expected, *given));
            }
            other => panic!("{expected} {given}: {other:?}"),
        }
    }
}

#[test]
fn every_setting_takes_its_extremes() {
    let cases: &[Change] = &[
        |it| it,
        |it| it.count_window(1).minimum_calls(1),
        |it| it.count_window(100_000).minimum_calls(100_000),
        |it| it.time_window(Duration::from_millis(1)).buckets(1000),
        |it| it.time_window(Duration::from_secs(1 << 31)).buckets(1),
        |it| it.time_window(HOUR).minimum_calls(u32::MAX),
        |it| it.failure_rate(1.0).slow_rate(1.0),
        |it| it.slow_call(Duration::from_nanos(1)),
        |it| it.slow_call(None).consecutive_failures(None),
        |it| it.half_open_permits(1000).half_open_successes(1000),
        |it| it.half_open_permits(1).half_open_successes(1),
        |it| it.open_for(HOUR).open_at_most(HOUR),
        |it| it.open_growth(1.0).open_jitter(0.0),
        |it| it.open_growth(100.0).open_jitter(1.0),
        |it| it.max_keys(1),
        |it| it.max_keys(65_536),
    ];
    for (index, change) in cases.iter().enumerate() {
        let built = change(BreakerConfig::builder()).build();
        assert!(built.is_ok(), "{index}: {built:?}");
    }
    let defaults = BreakerConfig::builder().build().unwrap();
    assert_eq!(defaults, BreakerConfig::default());
}

#[test]
fn the_order_of_settings_does_not_matter() {
    let one = BreakerConfig::builder()
        .time_window(HOUR)
        .buckets(7)
        .build();
    let other = BreakerConfig::builder()
        .buckets(7)
        .time_window(HOUR)
        .build();
    assert_eq!(one, other);
}
