//! One call of the origin: how long it may take, and what stands in when it fails.

use std::{sync::Arc, time::Duration};

use http::{Request, Response};
use http_body::Body;
use tokio::time::{error::Elapsed, timeout};
use tower::ServiceExt;

use crate::{
    asked::Asked,
    assess::{self, Moments},
    body::CacheBody,
    breaker::Verdict,
    entry::Entry,
    fetch::{Errand, Exchanged},
    flown::{Failure, Flown},
    layer::Cache,
    respond,
    semantics::{decide::Outcome, freshness::Times, select},
    serve::{Next, Served, look, serve},
    service::CacheableService,
    status::{CacheOutcome, Generated, StaleReason, Storing},
    store::Resource,
};

/// A call of the inner service that brought no response.
pub(crate) enum NoResponse<E> {
    Error(E),
    /// It was not made: the breaker is open, for so long.
    Open(Duration),
    Timeout,
}

impl Cache {
    /// Calls this instance of the inner service once it is ready, if the breaker lets it.
    pub(crate) async fn exchange<S, Q>(
        &self,
        inner: S,
        request: Request<Q>,
    ) -> Result<(Response<S::Body>, Moments), NoResponse<S::Error>>
    where
        S: CacheableService<Q>,
        Q: Body + Default + Send + 'static,
    {
        let Self { shared, config } = self;
        let priority = request.extensions().get().copied().unwrap_or_default();
        let forwarded = shared.clock.wall();
        let began = shared.clock.monotonic();
        let call = async {
            shared.metrics().origin_calls.increment(1);
            timeout(config.origin_timeout, inner.oneshot(request)).await
        };
        let answer = match &config.breaker {
            None => call.await,
            Some(breaker) => match breaker.call(priority, call, judge).await {
                Ok(answer) => answer,
                Err(retry_after) => return Err(NoResponse::Open(retry_after)),
            },
        };
        let arrived = shared.clock.monotonic();
        let moments = Moments {
            times: Times {
                request: forwarded,
                response: shared.clock.wall(),
            },
            arrived,
            cost: arrived.saturating_sub(began),
        };
        match answer {
            Ok(Ok(mut response)) => {
                assess::ensure_date(response.headers_mut(), moments.times.response);
                Ok((response, moments))
            }
            Ok(Err(error)) => Err(NoResponse::Error(error)),
            Err(_) => Err(NoResponse::Timeout),
        }
    }

    /// Without a response: stale if that is allowed, else the error.
    pub(crate) fn failed<B, E>(&self, errand: &Errand, failure: NoResponse<E>) -> Exchanged<B, E> {
        let failed = match &failure {
            NoResponse::Error(_) => Failure::Error,
            NoResponse::Open(retry_after) => Failure::Open(whole_seconds(*retry_after)),
            NoResponse::Timeout => Failure::Timeout,
        };
        if !matches!(failed, Failure::Open(_)) {
            self.shared.metrics().origin_failures.increment(1);
        }
        let answer = match (self.instead(errand, failed), failure) {
            (Some(stale), _) => Ok(stale),
            (None, NoResponse::Error(error)) => Err(error),
            (None, NoResponse::Open(_)) => Ok(respond::generated(self, failed.for_waiters())),
            (None, NoResponse::Timeout) => Ok(respond::generated(self, Generated::OriginTimeout)),
        };
        Exchanged {
            answer,
            flown: Flown::Failed(failed),
            recording: None,
        }
    }

    /// The stored response in place of a failure, if that is allowed. Then the origin is left alone
    /// for a while.
    fn instead<B>(&self, errand: &Errand, failure: Failure) -> Option<Response<CacheBody<B>>> {
        let stale = self.stale(errand, failure.into())?;
        self.pause_after(failure, errand);
        Some(stale)
    }

    /// For a while after the origin failed, nobody asks it for this key who may have what is stored
    /// instead. The breaker has its own times.
    pub(crate) fn pause_after(&self, failure: Failure, errand: &Errand) {
        if matches!(failure, Failure::Open(_)) {
            return;
        }
        let Cache { shared, config } = self;
        let now = shared.clock.monotonic();
        if let Some(entry) = &errand.selected {
            let hash = errand.asked.pause_hash(entry);
            shared.paused.set(hash, now, config.refresh_pause);
        }
    }

    /// The stored response that the request selected, if it may stand in for what the origin fails
    /// to give (RFC 5861 §4), and nothing invalidated it since.
    pub(crate) fn stale<B>(
        &self,
        errand: &Errand,
        reason: StaleReason,
    ) -> Option<Response<CacheBody<B>>> {
        let entry = errand.selected.as_ref()?;
        let stands = errand.asked.generation(self) == errand.generation;
        stands.then(|| self.stale_entry(&errand.asked, entry, reason))?
    }

    /// The same for one who waited, for whom there may be something else in memory by now: that is
    /// more recent than what was there when it came.
    pub(crate) async fn stand_in<B>(
        &self,
        errand: &Errand,
        reason: StaleReason,
    ) -> Option<Response<CacheBody<B>>> {
        let asked = &errand.asked;
        let stored = self.shared.store.get(asked.key.as_ref()).await.ok()?;
        let now = self.shared.clock.monotonic();
        let order = self.config.rules.language_order;
        let (request, seed) = (&asked.parts.headers, self.shared.seed());
        let variants = stored.as_ref().map_or(&[][..], Resource::variants);
        let Some(entry) = select::select(variants, request, seed, order) else {
            return self.stale(errand, reason);
        };
        if let Next::Serve(entry, Served::Fresh) = look(self, asked, stored.as_ref(), now) {
            return Some(serve(self, asked, entry, now, Served::Fresh));
        }
        self.stale_entry(asked, entry, reason)
    }

    fn stale_entry<B>(
        &self,
        asked: &Asked,
        entry: &Arc<Entry>,
        reason: StaleReason,
    ) -> Option<Response<CacheBody<B>>> {
        let now = self.shared.clock.monotonic();
        if !asked.takes_instead(self, entry, now) {
            return None;
        }
        let ttl = entry.freshness().ttl(entry.age(now));
        let label = CacheOutcome::Stale { reason, ttl }.into();
        Some(respond::from_entry(self, asked, entry, now, label))
    }

    /// 500, 502, 503 or 504: stale if that is allowed, else passed on.
    pub(crate) fn error_status<B: Body, E>(
        &self,
        errand: &Errand,
        response: Response<B>,
    ) -> Exchanged<B, E> {
        let failed = Failure::Status(response.status());
        self.shared.metrics().origin_failures.increment(1);
        let answer = self
            .instead(errand, failed)
            .unwrap_or_else(|| self.pass_on(errand, Storing::Failure, response));
        Exchanged {
            answer: Ok(answer),
            flown: Flown::Failed(failed),
            recording: None,
        }
    }
}

/// What the end of a call says of the origin.
fn judge<B, E>(answer: &Result<Result<Response<B>, E>, Elapsed>) -> Verdict {
    match answer {
        Ok(Ok(response)) if Outcome::of(response.status()) == Outcome::Answer => Verdict::Success,
        Ok(Ok(_) | Err(_)) | Err(_) => Verdict::Failure,
    }
}

/// As `Retry-After` has it: rounded up, and one at least.
fn whole_seconds(span: Duration) -> u32 {
    let seconds = span.as_secs() + u64::from(span.subsec_nanos() > 0);
    u32::try_from(seconds.max(1)).unwrap_or(u32::MAX)
}
