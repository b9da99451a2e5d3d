//! The two policies of a breaker: how it judges a call, and how it answers a refused one.

use std::{sync::Arc, time::Duration};

/// What the outcome of a call says about the service.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// The service works.
    Success,
    /// The service failed.
    Failure,
    /// What was asked for failed; other parts of the service may work. It is a failure, and if the
    /// breaker tells the [parts](super::Target::part) of the service apart, one that counts at most
    /// once in ten seconds for each part.
    PartFailure,
    /// Something inside the service went wrong, which the service answered in good order, as HTTP
    /// does with 500. A success, because the service answers; with
    /// [`count_500`](super::BreakerConfigBuilder::count_500), the same as
    /// [`PartFailure`](Self::PartFailure).
    InternalError,
    /// Nothing: the call is not counted. If it was a probe, its permit is free for another.
    Ignored,
}

/// Judges the outcomes of calls. Implemented for closures.
pub trait Classify<Res, E>: Send + Sync + 'static {
    /// Judges one `outcome`. `took` is the time from the call to its outcome. Whether a call was
    /// slow is not decided here but by a
    /// [setting](crate::breaker::BreakerConfigBuilder::slow_call).
    fn classify(&self, outcome: &Result<Res, E>, took: Duration) -> Verdict;

    /// Whether the breaker tells the [parts](super::Target::part) of the service apart.
    /// Defaults to [`Granularity::Service`].
    fn granularity(&self) -> Granularity {
        Granularity::Service
    }
}

/// Whether a breaker tells the parts of a service apart: what its calls ask for, over HTTP its paths.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Granularity {
    /// It does: what one part does again and again does not speak for the others. See
    /// [what counts](crate::breaker#what-counts).
    Part,
    /// It does not: each call speaks for the service.
    #[default]
    Service,
}

impl<Res, E, F> Classify<Res, E> for F
where
    F: Fn(&Result<Res, E>, Duration) -> Verdict + Send + Sync + 'static,
{
    fn classify(&self, outcome: &Result<Res, E>, took: Duration) -> Verdict {
        self(outcome, took)
    }
}

/// Answers refused calls. Implemented for closures.
pub trait OnOpen<Res, E>: Send + Sync + 'static {
    /// The answer that the caller gets.
    ///
    /// # Errors
    ///
    /// An error, if this is how the callers should learn of the refusal.
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

/// A call was refused because the breaker is open. Over HTTP, the response to such a call has it as
/// an extension.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct BreakerOpen {
    /// The key of the circuit: empty for the circuit of calls without a key.
    pub key: Arc<str>,
    /// How long to wait until a call may pass. Zero: until a probe in flight has ended.
    pub retry_after: Duration,
}

/// How one service judges its calls, and how it answers those that are refused.
#[derive(Debug)]
pub(super) struct Policies<C, O> {
    pub(super) classify: C,
    pub(super) on_open: O,
}
