//! The trade-off of calls against stale answers, and what the bars ask of it.

use crate::world::Mix;

/// What came of one run: the share of stale answers, and the origin calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    pub(crate) share: f64,
    pub(crate) calls: f64,
}

/// Runs of one policy, from few stale answers to many.
#[derive(Clone, Debug)]
pub(crate) struct Curve(Vec<Point>);

impl Curve {
    pub(crate) fn new(mut points: Vec<Point>) -> Self {
        points.sort_by(|a, b| a.share.total_cmp(&b.share));
        Self(points)
    }

    /// The calls at this share of stale answers, between two runs log-linear in both. `None`
    /// beyond the runs: nothing is extrapolated.
    pub(crate) fn calls_at(&self, share: f64) -> Option<f64> {
        let after = self.0.partition_point(|point| point.share < share);
        let to = self.0.get(after)?;
        if to.share == share {
            return Some(to.calls);
        }
        let from = self.0.get(after.checked_sub(1)?)?;
        let log = |share: f64| share.max(1e-7).ln();
        let part = (log(share) - log(from.share)) / (log(to.share) - log(from.share));
        Some((from.calls.ln() + part * (to.calls.ln() - from.calls.ln())).exp())
    }
}

/// What is asked at the stale share of one fixed lifetime.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Check {
    /// Seconds.
    pub(crate) fixed: u64,
    pub(crate) share: f64,
    pub(crate) fixed_calls: f64,
    /// `None` if no budget of the sweep comes to so many or so few stale answers.
    pub(crate) adaptive: Option<f64>,
    pub(crate) oracle: Option<f64>,
}

impl Check {
    /// Calls of the policy that learns over those of the fixed lifetime.
    pub(crate) fn ratio(&self) -> Option<f64> {
        Some(self.adaptive? / self.fixed_calls)
    }

    /// The part of the calls that the oracle saves that the policy that learns saves too.
    pub(crate) fn saved(&self) -> Option<f64> {
        Some((self.fixed_calls - self.adaptive?) / (self.fixed_calls - self.oracle?))
    }

    /// What the bar of the mix is about: the ratio or the part that is saved.
    pub(crate) fn figure(&self, mix: Mix) -> Option<f64> {
        match mix {
            Mix::Even | Mix::Bursts => self.ratio(),
            Mix::Types | Mix::Wide => self.saved(),
        }
    }

    pub(crate) fn holds(mix: Mix, figure: f64) -> bool {
        match mix {
            Mix::Even => figure <= 1.05,
            Mix::Bursts => figure < 1.0,
            Mix::Types | Mix::Wide => figure >= 0.5,
        }
    }

    /// The bar in words.
    pub(crate) fn bar(mix: Mix) -> &'static str {
        match mix {
            Mix::Even => "calls / calls of the fixed TTL <= 1.05",
            Mix::Bursts => "calls / calls of the fixed TTL < 1",
            Mix::Types | Mix::Wide => "share of what the oracle saves >= 0.5",
        }
    }

    /// The one of two figures that is further from holding.
    pub(crate) fn worse(mix: Mix, one: f64, other: f64) -> f64 {
        match mix {
            Mix::Even | Mix::Bursts => one.max(other),
            Mix::Types | Mix::Wide => one.min(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_interpolated_and_never_extrapolated() {
        let point = |share, calls| Point { share, calls };
        let curve = Curve::new(vec![point(0.1, 100.0), point(0.001, 10_000.0)]);
        assert_eq!(curve.calls_at(0.1), Some(100.0));
        let middle = curve.calls_at(0.01).expect("it is between the two");
        assert!((middle - 1000.0).abs() < 1e-6, "{middle}");
        assert_eq!(curve.calls_at(0.2), None);
        assert_eq!(curve.calls_at(0.0001), None);
    }

    #[test]
    fn what_is_saved_is_measured_by_the_oracle() {
        let check = Check {
            fixed: 1,
            share: 0.1,
            fixed_calls: 1000.0,
            adaptive: Some(400.0),
            oracle: Some(200.0),
        };
        assert_eq!(check.figure(Mix::Wide), Some(0.75));
        assert_eq!(check.figure(Mix::Even), Some(0.4));
        assert!(Check::holds(Mix::Wide, 0.5) && !Check::holds(Mix::Types, 0.49));
        assert!(Check::holds(Mix::Even, 1.05) && !Check::holds(Mix::Bursts, 1.0));
    }
}
