//! The rates of change and the lifetimes that the policy considers, and what can be computed about
//! every pair of them in advance.

/// How many rates there are.
pub(super) const RATES: usize = 24;

/// How many lifetimes there are.
pub(super) const LIFETIMES: usize = 42;

/// The slowest rate above zero: a change in 49 days.
const SLOWEST: f32 = 1.0 / (1 << (RATES - 2)) as f32;

/// Changes per second. The first rate is zero. Each other rate is twice the one before, up to one per
/// second.
pub(super) const CHANGES: [f32; RATES] = {
    let mut rates = [0.0; RATES];
    let mut rate = SLOWEST;
    let mut at = 1;
    while at < RATES {
        rates[at] = rate;
        rate *= 2.0;
        at += 1;
    }
    rates
};

/// Lifetimes in seconds: every second up to 8, then four for each doubling up to 32, then two.
pub(super) const SECONDS: [u32; LIFETIMES] = {
    let mut lifetimes = [0; LIFETIMES];
    let mut at = 1;
    while at < LIFETIMES {
        let before: u32 = lifetimes[at - 1];
        lifetimes[at] = before
            + match before {
                0..8 => 1,
                8..32 => (1 << before.ilog2()) / 4,
                _ => (1 << before.ilog2()) / 2,
            };
        at += 1;
    }
    lifetimes
};

/// One number for each rate.
pub(super) type PerRate = [f32; RATES];

/// The interval between one lifetime and the next longer one.
#[derive(Debug)]
pub(super) struct GridStep {
    /// The length of the interval.
    pub(super) seconds: f32,
    /// For each rate, the probability of no change within the interval.
    pub(super) survival: PerRate,
    /// For each rate, the mean over the interval of the probability that nothing has changed yet.
    pub(super) mean: PerRate,
}

/// The intervals between all lifetimes.
pub(super) fn steps() -> Vec<GridStep> {
    SECONDS
        .windows(2)
        .map(|pair| {
            let seconds = (pair[1] - pair[0]) as f32;
            let lost = lost(seconds);
            GridStep {
                seconds,
                survival: lost.map(|lost| 1.0 - lost),
                mean: mean_survival(seconds, &lost),
            }
        })
        .collect()
}

/// For each rate, the probability of at least one change within this many seconds.
///
/// One exponential is enough: doubling the rate squares the probability of no change.
pub(super) fn lost(seconds: f32) -> PerRate {
    let mut all = [0.0; RATES];
    let mut lost = -(-SLOWEST * seconds).exp_m1();
    for each in all.iter_mut().skip(1) {
        *each = lost;
        lost *= 2.0 - lost;
    }
    all
}

/// For each rate, the mean over this many seconds of the probability that nothing has changed yet.
pub(super) fn mean_survival(seconds: f32, lost: &PerRate) -> PerRate {
    let mut mean = [1.0; RATES];
    for ((mean, lost), rate) in mean.iter_mut().zip(lost).zip(&CHANGES).skip(1) {
        let expected = rate * seconds;
        if expected > 1e-6 {
            *mean = lost / expected;
        }
    }
    mean
}

/// The sum of the products, in an order that lets the processor compute eight at a time.
pub(super) fn dot(one: &PerRate, other: &PerRate) -> f32 {
    let mut lanes = [0.0; 8];
    for (one, other) in one.chunks_exact(8).zip(other.chunks_exact(8)) {
        for ((lane, one), other) in lanes.iter_mut().zip(one).zip(other) {
            *lane += one * other;
        }
    }
    lanes.iter().sum()
}

pub(super) fn sum(all: &PerRate) -> f32 {
    let mut lanes = [0.0; 8];
    for chunk in all.chunks_exact(8) {
        for (lane, each) in lanes.iter_mut().zip(chunk) {
            *lane += each;
        }
    }
    lanes.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grids_cover_the_range_of_the_settings() {
        assert!((CHANGES[RATES - 1] - 1.0).abs() < f32::EPSILON);
        let slowest = CHANGES[1].recip();
        assert!(slowest > 48.0 * 86_400.0, "{slowest}");
        assert_eq!(SECONDS[..12], [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14]);
        assert!(SECONDS[LIFETIMES - 1] > 86_400);
        for pair in SECONDS[8..].windows(2) {
            assert!(pair[1] * 2 <= pair[0] * 3, "{pair:?}");
        }
    }

    #[test]
    fn doubling_gives_the_exponentials() {
        for seconds in [0.01, 1.0, 33.0, 3600.0, 1e6] {
            let lost = lost(seconds);
            let mean = mean_survival(seconds, &lost);
            for ((rate, lost), mean) in CHANGES.iter().zip(lost).zip(mean) {
                let exact = -(-f64::from(rate * seconds)).exp_m1();
                assert!((f64::from(lost) - exact).abs() < 1e-5, "{rate} {seconds}");
                let exact = if *rate == 0.0 {
                    1.0
                } else {
                    exact / f64::from(rate * seconds)
                };
                assert!((f64::from(mean) - exact).abs() < 1e-4, "{rate} {seconds}");
            }
        }
    }
}
