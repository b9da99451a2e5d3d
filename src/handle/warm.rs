//! Warming: requests that fill the cache before clients send them.

use std::pin::pin;

use futures_util::{StreamExt, stream};
use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use tower::{Service, ServiceExt};

use super::CacheHandle;
use crate::outcome::{CacheOutcome, Storing};

/// How many warming requests have ended, and how. See [`CacheHandle::warm`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Warmed {
    /// All requests that have ended: the sum of the other fields.
    pub done: usize,
    /// Responses that the cache fetched or validated, and began to store, for this request or for a
    /// concurrent one that it waited for. A response whose body proves too large counts here too,
    /// although it is not stored in the end.
    pub stored: usize,
    /// Requests that were answered with a stored response.
    pub hits: usize,
    /// Responses that the cache does not store. The [`CacheOutcome`] in their extensions says why.
    pub refused: usize,
    /// Errors of the service, responses whose body failed, and responses that the cache generated
    /// itself.
    pub failed: usize,
}

/// How one warming request ended.
enum WarmResult {
    Failed,
    Hit,
    Refused,
    Stored,
}

impl Warmed {
    fn count(&mut self, result: &WarmResult) {
        self.done += 1;
        match result {
            WarmResult::Failed => self.failed += 1,
            WarmResult::Hit => self.hits += 1,
            WarmResult::Refused => self.refused += 1,
            WarmResult::Stored => self.stored += 1,
        }
    }
}

impl CacheHandle {
    /// Sends `requests` through `service` and reads each response to its end. At most `concurrency`
    /// requests run at a time (zero counts as one). Calls `progress` after each request, and
    /// returns the final counts.
    ///
    /// `service` is any service that contains this cache: a [`CacheService`](crate::CacheService),
    /// or a router with the layer. The cache treats warming requests like all others, so it stores
    /// only what may be stored, and fetches a resource once for concurrent requests. The host is a part
    /// of the key, so the requests must have the one that clients use. To warm the variants of a
    /// resource, send requests with the selecting header fields that clients will send.
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
        let calls = stream::iter(requests).map(|request| send(service.clone(), request));
        let mut results = pin!(calls.buffer_unordered(concurrency.max(1)));
        let mut warmed = Warmed::default();
        while let Some(result) = results.next().await {
            warmed.count(&result);
            progress(&warmed);
        }
        warmed
    }
}

/// Sends a request, and reads the response to its end. By then the response is stored if it may be.
async fn send<S, Q, B>(service: S, request: Request<Q>) -> WarmResult
where
    S: Service<Request<Q>, Response = Response<B>>,
    B: Body,
{
    let Ok(response) = service.oneshot(request).await else {
        return WarmResult::Failed;
    };
    let outcome = response.extensions().get().cloned();
    let mut body = pin!(response.into_body());
    while let Some(frame) = body.frame().await {
        if frame.is_err() {
            return WarmResult::Failed;
        }
    }
    match outcome {
        Some(CacheOutcome::Hit { .. } | CacheOutcome::Stale { .. }) => WarmResult::Hit,
        Some(
            CacheOutcome::Collapsed { .. }
            | CacheOutcome::Fetched {
                storing: Storing::Begun { .. },
                ..
            }
            | CacheOutcome::Revalidated { .. },
        ) => WarmResult::Stored,
        Some(
            CacheOutcome::Fetched {
                storing: Storing::Failure,
                ..
            }
            | CacheOutcome::Generated(_),
        ) => WarmResult::Failed,
        Some(
            CacheOutcome::Bypassed(_)
            | CacheOutcome::Disabled
            | CacheOutcome::Fetched { .. }
            | CacheOutcome::Forwarded
            | CacheOutcome::Tunnelled,
        )
        | None => WarmResult::Refused,
    }
}
