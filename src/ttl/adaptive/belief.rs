//! The belief about how fast a representation changes: a distribution over the rates, for each of a
//! few paces at which the rate itself may change.

use super::grid::{CHANGES, PerRate, RATES, dot, lost, mean_survival, sum};

/// How many paces there are.
pub(super) const PACES: usize = 5;

/// How often per second the rate is drawn again: never, and from once in 4 hours to once in 4 minutes.
pub(super) const REDRAWS: [f32; PACES] =
    [0.0, 1.0 / 14_400.0, 1.0 / 3600.0, 1.0 / 900.0, 1.0 / 225.0];

/// One number for each pace.
pub(super) type PerPace = [f32; PACES];

/// Whether the representation changed in an interval.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum IntervalResult {
    Changed,
    Unchanged,
}

/// How probable each rate is, at one pace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Belief {
    pub(super) rates: PerRate,
    redraw: f32,
}

/// An observed interval, with the numbers that all beliefs need.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interval {
    seconds: f32,
    seen: IntervalResult,
    lost: PerRate,
    mean: PerRate,
}

impl Interval {
    pub(super) fn new(seconds: f32, seen: IntervalResult) -> Self {
        let lost = lost(seconds);
        Self {
            seconds,
            seen,
            lost,
            mean: mean_survival(seconds, &lost),
        }
    }
}

impl Belief {
    /// The belief before any observation.
    pub(super) fn new(prior: &PerRate, pace: usize) -> Self {
        Self {
            rates: *prior,
            redraw: REDRAWS[pace],
        }
    }

    /// Updates the belief with one more interval, and returns how probable that interval was.
    ///
    /// At the end of the interval the rate is still the same, or was drawn again from the prior within
    /// it. In the second case, the first draw is computed and further draws are approximated.
    pub(super) fn observe(&mut self, interval: &Interval, prior: &PerRate) -> f32 {
        if self.redraw > 0.0 {
            self.observe_drawn(interval, prior);
        } else {
            let likely = match interval.seen {
                IntervalResult::Changed => interval.lost,
                IntervalResult::Unchanged => interval.lost.map(|lost| 1.0 - lost),
            };
            self.rates
                .iter_mut()
                .zip(&likely)
                .for_each(|(rate, likely)| *rate *= likely);
        }
        let total = sum(&self.rates);
        if total > f32::MIN_POSITIVE {
            let scale = total.recip();
            self.rates.iter_mut().for_each(|rate| *rate *= scale);
        } else {
            // No rate that was possible explains the interval: start over.
            self.rates = *prior;
        }
        total
    }

    fn observe_drawn(&mut self, interval: &Interval, prior: &PerRate) {
        let kept = (-self.redraw * interval.seconds).exp();
        let survived = dot(&self.rates, &interval.mean);
        let mut unchanged = [0.0; RATES];
        for at in 0..RATES {
            let same = kept * (1.0 - interval.lost[at]);
            // No change within the interval, neither before the draw nor after it.
            let drawn = prior[at] * self.redraw * (1.0 - same) / (CHANGES[at] + self.redraw);
            unchanged[at] = self.rates[at] * same + survived * drawn;
        }
        match interval.seen {
            IntervalResult::Unchanged => self.rates = unchanged,
            IntervalResult::Changed => {
                for at in 0..RATES {
                    let all = self.rates[at] * kept + prior[at] * (1.0 - kept);
                    self.rates[at] = (all - unchanged[at]).max(0.0);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prior() -> PerRate {
        let mut prior = [0.0; RATES];
        (prior[0], prior[12], prior[20]) = (0.5, 0.3, 0.2);
        prior
    }

    fn after(pace: usize, seen: &[(f32, IntervalResult)]) -> (Belief, f32) {
        let prior = prior();
        let mut belief = Belief::new(&prior, pace);
        let mut likely = 1.0;
        for (seconds, seen) in seen {
            likely *= belief.observe(&Interval::new(*seconds, *seen), &prior);
        }
        (belief, likely)
    }

    #[test]
    fn without_a_redraw_the_update_is_bayes_rule() {
        let (belief, likely) = after(
            0,
            &[
                (9.0, IntervalResult::Changed),
                (30.0, IntervalResult::Unchanged),
            ],
        );
        let joint = |at: usize| {
            let (rate, before) = (f64::from(CHANGES[at]), f64::from(prior()[at]));
            before * -(-rate * 9.0).exp_m1() * (-rate * 30.0).exp()
        };
        let total = joint(12) + joint(20);
        assert!((f64::from(likely) - total).abs() < 1e-6, "{likely} {total}");
        assert!(belief.rates[0] == 0.0);
        assert!((f64::from(belief.rates[20]) - joint(20) / total).abs() < 1e-4);
    }

    #[test]
    fn the_two_results_have_a_total_probability_of_one() {
        for pace in 0..PACES {
            for seconds in [0.0, 0.5, 30.0, 1000.0, 1e6] {
                let (_, changed) = after(pace, &[(seconds, IntervalResult::Changed)]);
                let (_, unchanged) = after(pace, &[(seconds, IntervalResult::Unchanged)]);
                let total = changed + unchanged;
                assert!((total - 1.0).abs() < 1e-3, "{pace} {seconds}: {total}");
            }
        }
    }

    #[test]
    fn beliefs_fade_only_where_rates_are_drawn_again() {
        let burst = [(1.0, IntervalResult::Changed); 10];
        let quiet = [burst.as_slice(), &[(120.0, IntervalResult::Unchanged)]].concat();
        for (pace, fast) in [(0, 0.99..1.01), (4, 0.0..0.05)] {
            let (during, _) = after(pace, &burst);
            assert!(during.rates[20] > 0.9, "{during:?}");
            let (later, _) = after(pace, &quiet);
            assert!(fast.contains(&later.rates[20]), "{later:?}");
        }
        // It changed once, so its rate is not zero, unless the rate was drawn again.
        assert!(after(0, &quiet).0.rates[0] == 0.0);
        assert!(after(4, &quiet).0.rates[0] > 0.3);
    }

    #[test]
    fn impossible_observations_leave_a_valid_belief() {
        let (belief, likely) = after(
            0,
            &[
                (0.0, IntervalResult::Changed),
                (1e18, IntervalResult::Unchanged),
            ],
        );
        assert!(belief.rates.iter().all(|rate| rate.is_finite()));
        assert!(
            (belief.rates.iter().sum::<f32>() - 1.0).abs() < 1e-5,
            "{likely}"
        );
    }
}
