//! The settings of the policy that learns.

use std::time::Duration;

use super::{grid::SECONDS, learner::AdaptiveTtl};
use crate::error::{ConfigError, Span, in_range};

/// Settings of [`AdaptiveTtl`], from [`AdaptiveTtl::builder`].
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct AdaptiveTtlBuilder {
    pub(super) budget: f64,
    pub(super) floor: Duration,
    pub(super) ceiling: Duration,
    pub(super) explicit: Explicit,
}

/// What becomes of a lifetime that a response states.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Explicit {
    Keep,
    Shorten,
}

impl AdaptiveTtlBuilder {
    pub(super) const fn new() -> Self {
        Self {
            budget: 0.02,
            floor: Duration::from_secs(1),
            ceiling: Duration::from_secs(3600),
            explicit: Explicit::Keep,
        }
    }

    /// The share of all answers, fresh ones and those that led to a fetch included, that may be
    /// stale in truth: no longer what the origin has. From 0.0001 to 0.95. Defaults to 0.02.
    ///
    /// It is met on the whole, not for each key. What it costs to be within it is looked for where
    /// it is least, so keys that hardly change stay well below, and keys that always change may be
    /// above. What the [floor](Self::floor) makes stale does not count.
    pub const fn budget(mut self, share: f64) -> Self {
        self.budget = share;
        self
    }

    /// The shortest lifetime, in whole seconds. Defaults to 1 s.
    ///
    /// With `Duration::ZERO`, what changes too fast for the budget is validated on each request.
    /// That is for responses with a validator only; others still get a second at least, since what
    /// is not stored cannot be learnt of.
    pub const fn floor(mut self, floor: Duration) -> Self {
        self.floor = floor;
        self
    }

    /// The longest lifetime, in whole seconds, up to a day. Defaults to 1 h.
    pub const fn ceiling(mut self, ceiling: Duration) -> Self {
        self.ceiling = ceiling;
        self
    }

    /// Whether responses that state a lifetime get a shorter one where that is what was learnt,
    /// never a longer one. Defaults to `false`.
    pub const fn shorten_explicit(mut self, shorten: bool) -> Self {
        self.explicit = if shorten {
            Explicit::Shorten
        } else {
            Explicit::Keep
        };
        self
    }

    /// The policy with these settings.
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`] when the budget is not from 0.0001 to 0.95, when the ceiling is
    /// not from 1 s to a day, or when the floor is above the ceiling.
    pub fn build(self) -> Result<AdaptiveTtl, ConfigError> {
        let longest = Duration::from_secs(86_400);
        in_range("budget", &self.budget, 0.0001..=0.95, "from 0.0001 to 0.95")?;
        in_range(
            "ceiling",
            &Span(self.ceiling),
            Span(Duration::from_secs(1))..=Span(longest),
            "from 1 s to a day",
        )?;
        in_range(
            "floor",
            &Span(self.floor),
            ..=Span(self.ceiling),
            "no longer than the ceiling",
        )?;
        Ok(AdaptiveTtl::with(self))
    }
}

// The longest that may be asked for is within the grid.
const _: () = assert!(SECONDS[SECONDS.len() - 1] >= 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_range_is_refused_by_name() {
        let secs = Duration::from_secs;
        let built = AdaptiveTtl::builder;
        let cases = [
            (built(), None),
            (built().floor(Duration::ZERO).ceiling(secs(86_400)), None),
            (built().budget(0.0), Some("budget")),
            (built().budget(1.0), Some("budget")),
            (built().budget(f64::NAN), Some("budget")),
            (built().ceiling(secs(86_401)), Some("ceiling")),
            (built().ceiling(Duration::ZERO), Some("ceiling")),
            (built().floor(secs(61)).ceiling(secs(60)), Some("floor")),
        ];
        for (builder, refused) in cases {
            let found = match builder.build() {
                Ok(_) => None,
                Err(ConfigError::OutOfRange { setting, .. }) => Some(setting),
                Err(other) => panic!("{other}"),
            };
            assert_eq!(found, refused, "{builder:?}");
        }
    }
}
