//! The settings of a circuit breaker, and their checks.

use std::time::Duration;

use crate::error::{ConfigError, DisplayDuration, MAX_SPAN, check_span, in_range};

use super::rules::{CircuitRules, Extent, InternalErrors};

/// The settings of a circuit breaker: when it opens, how long it stays open, and what closes it.
///
/// `BreakerConfig::default()` has the defaults that [`BreakerConfigBuilder`] documents.
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
    pub(super) rules: CircuitRules,
}

impl BreakerConfig {
    /// Starts from the defaults.
    pub fn builder() -> BreakerConfigBuilder {
        BreakerConfigBuilder::default()
    }
}

/// Collects the settings of a [`BreakerConfig`].
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct BreakerConfigBuilder {
    rules: CircuitRules,
    /// Kept apart, so that `buckets` and `time_window` may be called in either order.
    buckets: Option<u32>,
}

impl BreakerConfigBuilder {
    // === When it opens ===

    /// Judges the last `calls` calls, however long ago they ended. Each new call replaces the
    /// oldest. This is the default, with 100 calls. From 1 to 100,000.
    pub fn count_window(mut self, calls: u32) -> Self {
        self.rules.window = Extent::Calls(calls);
        self
    }

    /// Judges the calls that ended within the last `span` instead. The window moves in steps of one
    /// bucket ([`buckets`](Self::buckets)), so the calls of up to one bucket at its end may be
    /// missing. From 1 ms to 2^31 seconds.
    pub fn time_window(mut self, span: Duration) -> Self {
        let buckets = 0;
        self.rules.window = Extent::Time { span, buckets };
        self
    }

    /// Into how many buckets a window over time is divided. Defaults to 10. From 1 to 1,000.
    pub fn buckets(mut self, buckets: u32) -> Self {
        self.buckets = Some(buckets);
        self
    }

    /// The circuit opens when this share of the calls in the window failed, or more.
    /// Defaults to 0.5. Above 0, at most 1.
    pub fn failure_rate(mut self, rate: f64) -> Self {
        self.rules.failure_rate = rate;
        self
    }

    /// A call that takes this long, or longer, is slow. Defaults to `None`, so that no call is
    /// slow: only you know how long is too long. Above 0.
    ///
    /// A call is judged when it ends. A call that is dropped before its end counts as slow if it
    /// took that long by then; otherwise it does not count.
    pub fn slow_call(mut self, slow: impl Into<Option<Duration>>) -> Self {
        self.rules.slow_call = slow.into();
        self
    }

    /// The circuit opens when this share of the calls in the window was slow, or more.
    /// Defaults to 0.5. Above 0, at most 1.
    pub fn slow_rate(mut self, rate: f64) -> Self {
        self.rules.slow_rate = rate;
        self
    }

    /// With fewer calls than this in the window, the two shares do not open the circuit.
    /// Defaults to 20. At least 1, at most the calls of a [`count_window`](Self::count_window).
    pub fn minimum_calls(mut self, calls: u32) -> Self {
        self.rules.minimum_calls = calls;
        self
    }

    /// How many failures in a row open the circuit, whatever the window holds. This is the rule for
    /// services with few calls. `None` turns it off. Defaults to 7: a service that fails one call
    /// in ten fails seven in a row once in ten million calls. At least 1.
    ///
    /// Where [parts](crate::breaker::Target::part) are told apart, as over HTTP, the failures have to
    /// be of at least three of them; of as many as failures, if you ask for one or two.
    pub fn consecutive_failures(mut self, failures: impl Into<Option<u32>>) -> Self {
        self.rules.consecutive_failures = failures.into();
        self
    }

    /// Counts internal errors, over HTTP the status 500, as failures of what was asked for: like 502,
    /// 503 and 504. By default they are successes, because one page with a fault says nothing about
    /// the others, and the service answers.
    pub fn count_500(mut self) -> Self {
        self.rules.internal_errors = InternalErrors::Fail;
        self
    }

    // === How long it stays open ===

    /// How long the circuit stays open the first time. Defaults to 5 seconds. Above 0, and at most
    /// [`open_at_most`](Self::open_at_most).
    pub fn open_for(mut self, span: Duration) -> Self {
        self.rules.open_for = span;
        self
    }

    /// The factor by which the open time grows each time that a probe fails and the circuit opens
    /// again. Defaults to 2. From 1 to 100.
    pub fn open_growth(mut self, factor: f64) -> Self {
        self.rules.open_growth = factor;
        self
    }

    /// The longest open time. Defaults to 60 seconds. Above 0.
    pub fn open_at_most(mut self, span: Duration) -> Self {
        self.rules.open_at_most = span;
        self
    }

    /// Shortens each open time by a random share of up to this, so that many nodes do not probe at
    /// the same moment: with 0.1, an open time of five seconds becomes 4.5 to 5. Defaults to 0.1.
    /// From 0 to 1.
    pub fn open_jitter(mut self, share: f64) -> Self {
        self.rules.open_jitter = share;
        self
    }

    // === What closes it ===

    /// How many probes may be in flight at once while the circuit is half-open.
    /// Defaults to 3. From 1 to 1,000.
    pub fn half_open_permits(mut self, probes: u32) -> Self {
        self.rules.half_open_permits = probes;
        self
    }

    /// How many probes have to succeed before the circuit closes. A probe that fails, or is slow,
    /// opens it again. Defaults to 3. From 1 to 1,000.
    pub fn half_open_successes(mut self, probes: u32) -> Self {
        self.rules.half_open_successes = probes;
        self
    }

    /// A probe without an outcome counts as failed after this time, and its permit is free again,
    /// so that a call that hangs does not keep the circuit half-open. Choose it longer than any
    /// healthy call takes. Defaults to 60 seconds. Above 0.
    pub fn probe_timeout(mut self, span: Duration) -> Self {
        self.rules.probe_timeout = span;
        self
    }

    // === Keys ===

    /// How many keys may have a circuit of their own. When there are too many, a new key replaces
    /// the least recently used one: a closed circuit if there is one, otherwise one that opened by
    /// itself, otherwise one that an operator has set. Defaults to 1,024. From 1 to 65,536.
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.rules.max_keys = keys;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`], with the setting and the value, if a value is outside the range
    /// that its setting documents.
    pub fn build(mut self) -> Result<BreakerConfig, ConfigError> {
        if let Extent::Time { buckets, .. } = &mut self.rules.window {
            *buckets = self.buckets.unwrap_or(10);
        }
        check(&self.rules)?;
        Ok(BreakerConfig { rules: self.rules })
    }
}

fn check(rules: &CircuitRules) -> Result<(), ConfigError> {
    let most_calls = match rules.window {
        Extent::Calls(calls) => {
            let allowed = "between 1 and 100,000 calls";
            in_range("count_window", &calls, 1..=100_000, allowed)?;
            calls
        }
        Extent::Time { span, buckets } => {
            in_range(
                "time_window",
                &DisplayDuration(span),
                DisplayDuration(Duration::from_millis(1))..=DisplayDuration(MAX_SPAN),
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
        check_span(setting, span)?;
    }
    in_range(
        "open_for",
        &DisplayDuration(rules.open_for),
        DisplayDuration(Duration::from_nanos(1))..=DisplayDuration(rules.open_at_most),
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
