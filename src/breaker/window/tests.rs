//! The window gives the same counts as a list of all calls from which old ones are filtered out.

use proptest::prelude::*;

use super::*;

const FAILURE: WindowCall = WindowCall::Failure(Pace::Normal);
const SUCCESS: WindowCall = WindowCall::Other(Pace::Normal);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn tally<'w>(calls: impl IntoIterator<Item = &'w WindowCall>) -> Tally {
    let mut tally = Tally::default();
    for call in calls {
        tally.add((*call).into());
    }
    tally
}

fn call() -> impl Strategy<Value = WindowCall> {
    prop_oneof![
        Just(FAILURE),
        Just(SUCCESS),
        Just(WindowCall::Failure(Pace::Slow)),
        Just(WindowCall::Other(Pace::Slow)),
    ]
}

proptest! {
    #[test]
    fn the_last_calls_count_and_no_others(
        size in 1_u32..40,
        calls in prop::collection::vec(call(), 0..200),
    ) {
        let mut window = Window::new(Extent::Calls(size));
        for (index, call) in calls.iter().enumerate() {
            window.push(*call, Duration::ZERO);
            let past = &calls[..=index];
            let first = past.len().saturating_sub(size as usize);
            prop_assert_eq!(window.tally(Duration::ZERO), tally(&past[first..]));
        }
    }

    #[test]
    fn the_last_span_counts_and_nothing_older(
        width in 1_u64..20,
        buckets in 1_u32..12,
        calls in prop::collection::vec((0_u64..60, call()), 0..200),
    ) {
        let span = width * u64::from(buckets);
        let mut window = Window::new(Extent::Time { span: ms(span), buckets });
        let (mut now, mut past) = (0, Vec::new());
        for (later, call) in calls {
            now += later;
            window.push(call, ms(now));
            past.push((now, call));
            let whole = past.iter().filter(|(at, _)| at / width + u64::from(buckets) > now / width);
            let seen = window.tally(ms(now));
            prop_assert_eq!(seen, tally(whole.map(|(_, call)| call)));
            let within = |reach: u64| {
                tally(past.iter().filter(|(at, _)| now - at < reach).map(|(_, call)| call))
            };
            prop_assert!(seen.calls <= within(span).calls, "older than the span");
            prop_assert!(seen.calls >= within(span - width + 1).calls, "too little");
        }
    }
}

#[test]
fn calls_before_the_window_do_not_count() {
    let mut window = Window::new(Extent::Calls(100));
    for _ in 0..5000 {
        window.push(SUCCESS, Duration::ZERO);
    }
    for failures in 1..=100 {
        window.push(FAILURE, Duration::ZERO);
        assert_eq!(window.tally(Duration::ZERO).failures, failures);
        assert_eq!(window.tally(Duration::ZERO).calls, 100);
    }
}

#[test]
fn time_alone_empties_a_window_over_time() {
    let (span, buckets) = (ms(1000), 10);
    let mut window = Window::new(Extent::Time { span, buckets });
    window.push(FAILURE, ms(0));
    window.push(SUCCESS, ms(950));
    assert_eq!(window.tally(ms(999)).calls, 2);
    assert_eq!(window.tally(ms(1000)).calls, 1);
    assert_eq!(window.tally(ms(1899)).calls, 1);
    assert_eq!(window.tally(ms(1900)), Tally::default());
    assert_eq!(window.tally(Duration::MAX), Tally::default());
}

#[test]
fn an_earlier_time_counts_as_the_latest_one() {
    let (span, buckets) = (ms(100), 10);
    let mut window = Window::new(Extent::Time { span, buckets });
    window.push(FAILURE, ms(1000));
    window.push(FAILURE, ms(0));
    assert_eq!(window.tally(ms(0)).failures, 2);
    assert_eq!(window.tally(ms(1089)).failures, 2);
    assert_eq!(window.tally(ms(1100)).failures, 0);
}

#[test]
fn an_empty_window_has_rates_of_zero() {
    assert_eq!(Tally::default().failure_rate(), 0.0);
    assert_eq!(Tally::default().slow_rate(), 0.0);
}
