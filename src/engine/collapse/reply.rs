//! How the client that started a fetch gets its answer from the task that runs it.

use std::{any::Any, panic::resume_unwind};

use http::{Response, StatusCode};
use tokio::sync::oneshot;

use crate::{
    body::CacheBody,
    engine::{
        context::RequestContext,
        respond,
        stale::{self, WithinSoftTimeout},
    },
    outcome::Generated,
    state::cache::Cache,
};

/// How the task of a fetch ended, for the client that started it.
pub(super) enum LeaderReply<B, E> {
    Answer(Result<Response<CacheBody<B>>, E>),
    Panicked(Box<dyn Any + Send>),
}

/// Waits for the task's reply. If it takes longer than the soft timeout and `fallback` has a stored
/// response that may be served stale, that is the answer.
pub(super) async fn reply<B, E>(
    cache: &Cache,
    fallback: Option<&RequestContext>,
    mut answer: oneshot::Receiver<LeaderReply<B, E>>,
) -> Result<Response<CacheBody<B>>, E> {
    let answered = match fallback {
        Some(context) => match stale::within_soft_timeout(cache, context, &mut answer).await {
            WithinSoftTimeout::Answered(answered) => answered,
            WithinSoftTimeout::Stale(stale) => return Ok(stale),
        },
        None => answer.await,
    };
    match answered {
        Ok(LeaderReply::Answer(answer)) => answer,
        Ok(LeaderReply::Panicked(panic)) => resume_unwind(panic),
        // The executor dropped the task.
        Err(_) => {
            let failed = Generated::FlightFailed(StatusCode::BAD_GATEWAY);
            Ok(respond::generated(cache, failed))
        }
    }
}
