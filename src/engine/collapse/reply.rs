//! The reply of a task to the request that began it, and what that gets if it takes too long.

use std::{any::Any, panic::resume_unwind};

use http::{Response, StatusCode};
use tokio::sync::oneshot;

use crate::{
    body::CacheBody,
    engine::{
        context::Errand,
        respond,
        stale::{self, InTime},
    },
    outcome::Generated,
    state::cache::Cache,
};

/// How the task ended that asked the origin, for the request that began it.
pub(super) enum Led<B, E> {
    Answer(Result<Response<CacheBody<B>>, E>),
    Panicked(Box<dyn Any + Send>),
}

/// What a task replies, or the stored response if that takes too long and there is one to have
/// instead.
pub(super) async fn reply<B, E>(
    cache: &Cache,
    instead: Option<&Errand>,
    mut answer: oneshot::Receiver<Led<B, E>>,
) -> Result<Response<CacheBody<B>>, E> {
    let answered = match instead {
        Some(errand) => match stale::in_time(cache, errand, &mut answer).await {
            InTime::Answered(answered) => answered,
            InTime::Stale(stale) => return Ok(stale),
        },
        None => answer.await,
    };
    match answered {
        Ok(Led::Answer(answer)) => answer,
        Ok(Led::Panicked(panic)) => resume_unwind(panic),
        // The executor dropped the task.
        Err(_) => {
            let failed = Generated::FlightFailed(StatusCode::BAD_GATEWAY);
            Ok(respond::generated(cache, failed))
        }
    }
}
