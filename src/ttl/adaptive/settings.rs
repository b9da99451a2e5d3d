//! The settings of the adaptive policy, and its constructors.

use std::time::Duration;

use super::{
    grid::SECONDS,
    learner::{AdaptiveTtl, Explicit},
};
use crate::error::{ConfigError, DisplayDuration, in_range};

/// Settings of [`AdaptiveTtl`], from [`AdaptiveTtl::builder`].
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct AdaptiveTtlBuilder {
    budget: f64,
    floor: Duration,
    ceiling: Duration,
    explicit: Explicit,
}

impl AdaptiveTtl {
    /// Starts from the defaults: a budget of 2 %, lifetimes from one second to one hour.
    pub const fn builder() -> AdaptiveTtlBuilder {
        AdaptiveTtlBuilder::new()
    }
}

impl Default for AdaptiveTtl {
    fn default() -> Self {
        AdaptiveTtlBuilder::new().policy()
    }
}

impl AdaptiveTtlBuilder {
    const fn new() -> Self {
        Self {
            budget: 0.02,
            floor: Duration::from_secs(1),
            ceiling: Duration::from_secs(3600),
            explicit: Explicit::Keep,
        }
    }

    /// The share of all answers, hits and misses alike, that may differ from what the origin has at
    /// that moment. From 0.0001 to 0.95. Defaults to 0.02.
    ///
    /// It applies to all keys together, not to each. The policy makes origin calls where they avoid the
    /// most stale answers, so keys that hardly change stay far below the budget, and keys that change
    /// all the time may exceed it. Answers that are stale because of the [floor](Self::floor) do not
    /// count.
    pub const fn budget(mut self, share: f64) -> Self {
        self.budget = share;
        self
    }

    /// The shortest lifetime, in whole seconds. Defaults to 1 s.
    ///
    /// With `Duration::ZERO`, a key that changes too fast for the budget is validated on each request.
    /// This needs a validator. A response without one still gets one second: with a lifetime of zero it
    /// would not be stored, and nothing could be learnt of it.
    pub const fn floor(mut self, floor: Duration) -> Self {
        self.floor = floor;
        self
    }

    /// The longest lifetime, in whole seconds, up to a day. Defaults to 1 h.
    pub const fn ceiling(mut self, ceiling: Duration) -> Self {
        self.ceiling = ceiling;
        self
    }

    /// Whether the policy may shorten a lifetime that a response states. It never extends one.
    /// Defaults to `false`.
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
            &DisplayDuration(self.ceiling),
            DisplayDuration(Duration::from_secs(1))..=DisplayDuration(longest),
            "from 1 s to a day",
        )?;
        in_range(
            "floor",
            &DisplayDuration(self.floor),
            ..=DisplayDuration(self.ceiling),
            "no longer than the ceiling",
        )?;
        Ok(self.policy())
    }

    fn policy(self) -> AdaptiveTtl {
        let seconds = |span: Duration| u32::try_from(span.as_secs()).unwrap_or(u32::MAX);
        let bounds = (seconds(self.floor), seconds(self.ceiling));
        AdaptiveTtl::new(self.budget as f32, bounds, self.explicit)
    }
}

// The longest ceiling is within the grid.
const _: () = assert!(SECONDS[SECONDS.len() - 1] >= 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_are_refused_by_name() {
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
