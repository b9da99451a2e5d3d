//! How the client that started a fetch gets its answer from the task that runs it.

use std::{any::Any, panic::resume_unwind, time::Duration};

use http::Response;
use tokio::sync::oneshot;

use crate::{
    body::CacheBody,
    engine::{
        context::RequestContext,
        deadline::{Deadline, DeadlinePassed},
        respond,
        stale::{self, WithinSoftTimeout},
    },
    outcome::{Generated, StaleReason},
    state::cache::Cache,
};

/// How long after its deadline a client still waits for its task: a call that began with the request
/// ends at the same moment, and the task says best how.
const GRACE: Duration = Duration::from_millis(5);

/// How the task of a fetch ended, for the client that started it.
pub(super) enum LeaderReply<B, E> {
    Answer(Result<Response<CacheBody<B>>, E>),
    Panicked(Box<dyn Any + Send>),
}

/// Waits for the task's reply. If it takes longer than the soft timeout or than until the client's
/// deadline, and `fallback` has a stored response that may be served stale, that is the answer.
pub(super) async fn reply<B, E>(
    cache: &Cache,
    fallback: Option<&RequestContext>,
    deadline: Deadline,
    mut answer: oneshot::Receiver<LeaderReply<B, E>>,
) -> Result<Response<CacheBody<B>>, E> {
    let deadline = deadline.plus(GRACE);
    let answered = match fallback {
        Some(context) => {
            let answer = stale::within_soft_timeout(cache, context, &mut answer);
            match deadline.limit(answer).await {
                Ok(WithinSoftTimeout::Answered(answered)) => Ok(answered),
                Ok(WithinSoftTimeout::Stale(stale)) => return Ok(stale),
                Err(passed) => Err(passed),
            }
        }
        None => deadline.limit(answer).await,
    };
    let answered = match answered {
        Ok(answered) => answered,
        // The task goes on, for those who came later.
        Err(DeadlinePassed) => {
            let reason = StaleReason::IfError(None);
            let stale = match fallback {
                Some(context) => stale::best_available(cache, context, reason).await,
                None => None,
            };
            let timeout = || respond::generated(cache, Generated::OriginTimeout);
            return Ok(stale.unwrap_or_else(timeout));
        }
    };
    match answered {
        Ok(LeaderReply::Answer(answer)) => answer,
        Ok(LeaderReply::Panicked(panic)) => resume_unwind(panic),
        // The executor dropped the task.
        Err(_) => Ok(respond::generated(cache, Generated::no_result())),
    }
}
