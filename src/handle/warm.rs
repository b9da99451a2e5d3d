//! Warming: requests sent through a service before anybody waits for their answers.

use std::pin::pin;

use futures_util::{StreamExt, stream};
use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use tower::{Service, ServiceExt};

use super::CacheHandle;
use crate::outcome::{CacheOutcome, Storing};

/// How far warming has come: how many requests ended in which way.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Warmed {
    /// Requests that are done: the sum of the others.
    pub done: usize,
    /// Responses that were fetched or confirmed, and that the cache set out to store, whether for
    /// this request or for another that it waited with. One whose body proves too large is counted
    /// here, and is not kept.
    pub stored: usize,
    /// Answered by what was stored already.
    pub hits: usize,
    /// Responses that are not stored: see the
    /// [`CacheOutcome`] of such a request for the reason.
    pub refused: usize,
    /// Errors of the service, responses whose body broke, and answers that the cache made itself.
    pub failed: usize,
}

/// What one request came to.
enum Ending {
    Failed,
    Hit,
    Refused,
    Stored,
}

impl Warmed {
    fn count(&mut self, ending: &Ending) {
        self.done += 1;
        match ending {
            Ending::Failed => self.failed += 1,
            Ending::Hit => self.hits += 1,
            Ending::Refused => self.refused += 1,
            Ending::Stored => self.stored += 1,
        }
    }
}

impl CacheHandle {
    /// Sends `requests` through `service`, at most `concurrency` at a time (at least one), reads
    /// the answers to their ends, and tells `progress` after each. Returns the final count.
    ///
    /// `service` is whatever has this cache in it: a [`CacheService`](crate::CacheService), or a
    /// router with the layer. The requests take the road of any other, so what may not be stored
    /// is not, and requests for the same resource are one fetch. What varies is warmed by requests
    /// with the selecting header fields of the clients to come.
    ///
    /// ```
    /// # async fn warm<S>(handle: cachewarp::CacheHandle, service: S)
    /// # where
    /// #     S: tower::Service<http::Request<String>, Response = http::Response<String>> + Clone,
    /// # {
    /// let paths = ["/", "/news"].map(|path| format!("http://shop.example{path}"));
    /// let requests = paths.map(|url| http::Request::get(url).body(String::new()).unwrap());
    /// let warmed = handle
    ///     .warm(service, requests, 8, |so_far| println!("{} done", so_far.done))
    ///     .await;
    /// println!("{} of {} stored", warmed.stored, warmed.done);
    /// # }
    /// ```
    pub async fn warm<S, Q, B>(
        &self,
        service: S,
        requests: impl IntoIterator<Item = Request<Q>>,
        concurrency: usize,
        mut progress: impl FnMut(&Warmed),
    ) -> Warmed
    where
        S: Service<Request<Q>, Response = Response<B>> + Clone,
        B: Body,
    {
        let asking = stream::iter(requests).map(|request| ask(service.clone(), request));
        let mut endings = pin!(asking.buffer_unordered(concurrency.max(1)));
        let mut warmed = Warmed::default();
        while let Some(ending) = endings.next().await {
            warmed.count(&ending);
            progress(&warmed);
        }
        warmed
    }
}

/// Asks, and reads the answer to its end, by when it is stored if it can be.
async fn ask<S, Q, B>(service: S, request: Request<Q>) -> Ending
where
    S: Service<Request<Q>, Response = Response<B>>,
    B: Body,
{
    let Ok(response) = service.oneshot(request).await else {
        return Ending::Failed;
    };
    let outcome = response.extensions().get().cloned();
    let mut body = pin!(response.into_body());
    while let Some(frame) = body.frame().await {
        if frame.is_err() {
            return Ending::Failed;
        }
    }
    match outcome {
        Some(CacheOutcome::Hit { .. } | CacheOutcome::Stale { .. }) => Ending::Hit,
        Some(
            CacheOutcome::Collapsed { .. }
            | CacheOutcome::Fetched {
                storing: Storing::Begun { .. },
                ..
            }
            | CacheOutcome::Revalidated { .. },
        ) => Ending::Stored,
        Some(
            CacheOutcome::Fetched {
                storing: Storing::Failure,
                ..
            }
            | CacheOutcome::Generated(_),
        ) => Ending::Failed,
        Some(
            CacheOutcome::Bypassed(_)
            | CacheOutcome::Fetched { .. }
            | CacheOutcome::Forwarded
            | CacheOutcome::Tunnelled,
        )
        | None => Ending::Refused,
    }
}
