//! Settings in, refusals out.

use std::time::Duration;

use crate::error::{ConfigError, Span, in_range};

use super::rules::{Extent, Rules};

/// The longest span a setting may have, 68 years.
const MAX_SPAN: Duration = Duration::from_secs(1 << 31);

/// The settings of a circuit breaker: when it opens, for how long, and what closes it again.
///
/// `BreakerConfig::default()` has those that [`BreakerConfigBuilder`] documents.
///
/// ```
/// use cachewarp::breaker::BreakerConfig;
/// use std::time::Duration;
///
/// let breaker = BreakerConfig::builder()
///     .failure_rate(0.25)
///     .slow_call(Duration::from_secs(2))
///     .open_for(Duration::from_secs(10))
///     .build()?;
/// # Ok::<(), cachewarp::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BreakerConfig {
    pub(super) rules: Rules,
}

impl BreakerConfig {
    /// Starts from the defaults.
    pub fn builder() -> BreakerConfigBuilder {
        BreakerConfigBuilder::default()
    }
}

/// Settings of a [`BreakerConfig`] on their way there.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct BreakerConfigBuilder {
    rules: Rules,
    /// For the window over time, whichever is set first.
    buckets: Option<u32>,
}

impl BreakerConfigBuilder {
    // === When it opens ===

    /// Judges the last `calls` calls, however long ago they were. Each call pushes out the oldest.
    /// Defaults to this, with 100 calls. From 1 to 100,000.
    pub fn count_window(mut self, calls: u32) -> Self {
        self.rules.window = Extent::Calls(calls);
        self
    }

    /// Judges the calls that ended within the last `span` instead: none that is older, and at least
    /// all that are younger by one bucket ([`buckets`](Self::buckets)). From 1 ms to 2^31 seconds.
    pub fn time_window(mut self, span: Duration) -> Self {
        let buckets = 0;
        self.rules.window = Extent::Time { span, buckets };
        self
    }

    /// How many steps a window over time slides in. Defaults to 10. From 1 to 1,000.
    pub fn buckets(mut self, buckets: u32) -> Self {
        self.buckets = Some(buckets);
        self
    }

    /// The share of failures in the window from which on the circuit opens.
    /// Defaults to 0.5. Above 0, at most 1.
    pub fn failure_rate(mut self, rate: f64) -> Self {
        self.rules.failure_rate = rate;
        self
    }

    /// From how long on a call is slow. Without it none is, which is the default: how long is too
    /// long, only you know. Above 0.
    ///
    /// A call is judged when it ends. A call that is dropped before its end counts as slow if it
    /// took that long, and else not at all.
    pub fn slow_call(mut self, slow: impl Into<Option<Duration>>) -> Self {
        self.rules.slow_call = slow.into();
        self
    }

    /// The share of slow calls in the window from which on the circuit opens.
    /// Defaults to 0.5. Above 0, at most 1.
    pub fn slow_rate(mut self, rate: f64) -> Self {
        self.rules.slow_rate = rate;
        self
    }

    /// The calls that have to be in the window before any share of them is judged.
    /// Defaults to 20. At least 1, at most the calls of a [`count_window`](Self::count_window).
    pub fn minimum_calls(mut self, calls: u32) -> Self {
        self.rules.minimum_calls = calls;
        self
    }

    /// How many failures in a row open the circuit, whatever the window holds: what trips it where
    /// calls are few. `None` turns this off. Defaults to 7; a service that fails one call in ten
    /// fails seven in a row once in ten million calls. At least 1.
    pub fn consecutive_failures(mut self, failures: impl Into<Option<u32>>) -> Self {
        self.rules.consecutive_failures = failures.into();
        self
    }

    // === For how long ===

    /// How long the circuit stays open the first time. Defaults to 5 seconds. Above 0, and at most
    /// [`open_at_most`](Self::open_at_most).
    pub fn open_for(mut self, span: Duration) -> Self {
        self.rules.open_for = span;
        self
    }

    /// By what the open time grows each time that probes fail and the circuit opens again.
    /// Defaults to 2. From 1 to 100.
    pub fn open_growth(mut self, factor: f64) -> Self {
        self.rules.open_growth = factor;
        self
    }

    /// The longest that the open time grows to. Defaults to 60 seconds.
    pub fn open_at_most(mut self, span: Duration) -> Self {
        self.rules.open_at_most = span;
        self
    }

    /// The share of each open time that chance may take off, so that many nodes do not probe at the
    /// same moment: with 0.1, five seconds are between 4.5 and 5. Defaults to 0.1. From 0 to 1.
    pub fn open_jitter(mut self, share: f64) -> Self {
        self.rules.open_jitter = share;
        self
    }

    // === What closes it ===

    /// How many probes are in flight at once while the circuit is half-open.
    /// Defaults to 3. From 1 to 1,000.
    pub fn half_open_permits(mut self, probes: u32) -> Self {
        self.rules.half_open_permits = probes;
        self
    }

    /// How many probes have to succeed before the circuit closes. One that fails opens it again,
    /// as does one that is slow. Defaults to 3. From 1 to 1,000.
    pub fn half_open_successes(mut self, probes: u32) -> Self {
        self.rules.half_open_successes = probes;
        self
    }

    /// After how long a probe that has no outcome counts as failed, and its permit as free, so that
    /// a call that hangs does not keep the circuit half-open. Make it longer than any healthy call
    /// takes. Defaults to 60 seconds. Above 0.
    pub fn probe_timeout(mut self, span: Duration) -> Self {
        self.rules.probe_timeout = span;
        self
    }

    // === Keys ===

    /// How many keys have a circuit of their own. At the bound, a new key takes the place of the
    /// one that was not asked for the longest, among those that are closed; if none is, among those
    /// that opened by themselves; else among all. Defaults to 1,024. From 1 to 65,536.
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.rules.max_keys = keys;
        self
    }

    /// Checks everything.
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`] with the setting and the value, for whatever lies outside what
    /// the setting says it allows.
    pub fn build(mut self) -> Result<BreakerConfig, ConfigError> {
        if let Extent::Time { buckets, .. } = &mut self.rules.window {
            *buckets = self.buckets.unwrap_or(10);
        }
        check(&self.rules)?;
        Ok(BreakerConfig { rules: self.rules })
    }
}

fn check(rules: &Rules) -> Result<(), ConfigError> {
    let most_calls = match rules.window {
        Extent::Calls(calls) => {
            let allowed = "between 1 and 100,000 calls";
            in_range("count_window", &calls, 1..=100_000, allowed)?;
            calls
        }
        Extent::Time { span, buckets } => {
            in_range(
                "time_window",
                &Span(span),
                Span(Duration::from_millis(1))..=Span(MAX_SPAN),
                "between 1 ms and 2^31 seconds",
            )?;
            in_range("buckets", &buckets, 1..=1000, "between 1 and 1,000")?;
            u32::MAX
        }
    };
    in_range(
        "minimum_calls",
        &rules.minimum_calls,
        1..=most_calls,
        "at least 1 and at most the calls of the window",
    )?;
    for (setting, rate) in [
        ("failure_rate", rules.failure_rate),
        ("slow_rate", rules.slow_rate),
    ] {
        in_range(
            setting,
            &rate,
            f64::MIN_POSITIVE..=1.0,
            "above 0 and at most 1",
        )?;
    }
    if let Some(failures) = rules.consecutive_failures {
        in_range("consecutive_failures", &failures, 1.., "at least 1")?;
    }
    for (setting, probes) in [
        ("half_open_permits", rules.half_open_permits),
        ("half_open_successes", rules.half_open_successes),
    ] {
        in_range(setting, &probes, 1..=1000, "between 1 and 1,000")?;
    }
    for (setting, span) in [
        ("slow_call", rules.slow_call.unwrap_or(MAX_SPAN)),
        ("probe_timeout", rules.probe_timeout),
        ("open_at_most", rules.open_at_most),
    ] {
        in_range(
            setting,
            &Span(span),
            Span(Duration::from_nanos(1))..=Span(MAX_SPAN),
            "above zero and at most 2^31 seconds",
        )?;
    }
    in_range(
        "open_for",
        &Span(rules.open_for),
        Span(Duration::from_nanos(1))..=Span(rules.open_at_most),
        "above zero and at most `open_at_most`",
    )?;
    let factor = &rules.open_growth;
    in_range("open_growth", factor, 1.0..=100.0, "between 1 and 100")?;
    in_range(
        "open_jitter",
        &rules.open_jitter,
        0.0..=1.0,
        "between 0 and 1",
    )?;
    let keys = &rules.max_keys;
    in_range("max_keys", keys, 1..=65_536, "between 1 and 65,536")
}
