//! What a breaker is told about the calls: how one ended, and what to answer where it is refused.

use std::{sync::Arc, time::Duration};

/// What the end of a call says about the service.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// It works.
    Success,
    /// It does not.
    Failure,
    /// Nothing: the call is not counted. If it was a probe, another may take its place.
    Ignored,
}

/// Judges how calls end. Implemented for closures.
pub trait Classify<Res, E>: Send + Sync + 'static {
    /// What `outcome` says of the service, and that it `took` so long from the call on. Whether
    /// that is slow is a [setting](crate::breaker::BreakerConfigBuilder::slow_call) and not asked
    /// here.
    fn classify(&self, outcome: &Result<Res, E>, took: Duration) -> Verdict;
}

impl<Res, E, F> Classify<Res, E> for F
where
    F: Fn(&Result<Res, E>, Duration) -> Verdict + Send + Sync + 'static,
{
    fn classify(&self, outcome: &Result<Res, E>, took: Duration) -> Verdict {
        self(outcome, took)
    }
}

/// Answers calls that are refused. Implemented for closures.
pub trait OnOpen<Res, E>: Send + Sync + 'static {
    /// What the caller gets.
    ///
    /// # Errors
    ///
    /// Whatever the service's callers should take for an error.
    fn on_open(&self, refused: BreakerOpen) -> Result<Res, E>;
}

impl<Res, E, F> OnOpen<Res, E> for F
where
    F: Fn(BreakerOpen) -> Result<Res, E> + Send + Sync + 'static,
{
    fn on_open(&self, refused: BreakerOpen) -> Result<Res, E> {
        self(refused)
    }
}

/// A call was refused because the breaker is open. Also an extension of the response that answers
/// such a call over HTTP.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct BreakerOpen {
    /// The key of the circuit; empty for the one that calls without a key share.
    pub key: Arc<str>,
    /// After which another try may pass. Zero: as soon as a probe under way has ended.
    pub retry_after: Duration,
}
