//! How the window slides: against a list of everything, from which the old is left out.

use proptest::prelude::*;

use super::*;

const FAILURE: Weight = Weight::Failure(Pace::Normal);
const SUCCESS: Weight = Weight::Other(Pace::Normal);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn tally<'w>(weights: impl IntoIterator<Item = &'w Weight>) -> Tally {
    let mut tally = Tally::default();
    for weight in weights {
        tally.add((*weight).into());
    }
    tally
}

fn weight() -> impl Strategy<Value = Weight> {
    prop_oneof![
        Just(FAILURE),
        Just(SUCCESS),
        Just(Weight::Failure(Pace::Slow)),
        Just(Weight::Other(Pace::Slow)),
    ]
}

proptest! {
    #[test]
    fn the_last_calls_count_and_no_others(
        size in 1_u32..40,
        calls in prop::collection::vec(weight(), 0..200),
    ) {
        let mut window = Window::new(Extent::Calls(size));
        for (index, weight) in calls.iter().enumerate() {
            window.push(*weight, Duration::ZERO);
            let past = &calls[..=index];
            let first = past.len().saturating_sub(size as usize);
            prop_assert_eq!(window.tally(Duration::ZERO), tally(&past[first..]));
        }
    }

    #[test]
    fn the_last_span_counts_and_nothing_older(
        width in 1_u64..20,
        buckets in 1_u32..12,
        calls in prop::collection::vec((0_u64..60, weight()), 0..200),
    ) {
        let span = width * u64::from(buckets);
        let mut window = Window::new(Extent::Time { span: ms(span), buckets });
        let (mut now, mut past) = (0, Vec::new());
        for (later, weight) in calls {
            now += later;
            window.push(weight, ms(now));
            past.push((now, weight));
            let whole = past.iter().filter(|(at, _)| at / width + u64::from(buckets) > now / width);
            let seen = window.tally(ms(now));
            prop_assert_eq!(seen, tally(whole.map(|(_, weight)| weight)));
            let within = |reach: u64| {
                tally(past.iter().filter(|(at, _)| now - at < reach).map(|(_, weight)| weight))
            };
            prop_assert!(seen.calls <= within(span).calls, "older than the span");
            prop_assert!(seen.calls >= within(span - width + 1).calls, "too little");
        }
    }
}

#[test]
fn what_came_before_the_last_calls_weighs_nothing() {
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
fn a_time_from_before_the_last_one_counts_as_the_last() {
    let (span, buckets) = (ms(100), 10);
    let mut window = Window::new(Extent::Time { span, buckets });
    window.push(FAILURE, ms(1000));
    window.push(FAILURE, ms(0));
    assert_eq!(window.tally(ms(0)).failures, 2);
    assert_eq!(window.tally(ms(1089)).failures, 2);
    assert_eq!(window.tally(ms(1100)).failures, 0);
}

#[test]
fn a_window_over_no_calls_fails_nowhere() {
    assert_eq!(Tally::default().failure_rate(), 0.0);
    assert_eq!(Tally::default().slow_rate(), 0.0);
}
