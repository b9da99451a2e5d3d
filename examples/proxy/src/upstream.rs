//! The service behind the cache: one request to the origin and what becomes of it.

pub(crate) mod arriving;
pub(crate) mod attempts;
pub(crate) mod naming;
pub(crate) mod response;
pub(crate) mod writeback;

use std::{
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use cachewarp::{NoStore, RequestProgress};
use http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version,
    header::{CONNECTION, EXPECT, HOST, UPGRADE},
};
use hyper::upgrade::OnUpgrade;
use tokio::time::{Instant, sleep, timeout};
use tower::Service;

use crate::{
    admit::{ForOneClient, Rules},
    answer::Signature,
    body::{Hold, RequestBody, Turn, Watch, replay::Keep},
    failure::{Failure, Kind},
    log::{
        access::{OriginTime, Queries},
        seldom,
    },
    origin::{Continue, Needs, Origin},
    tunnel,
    upstream::{
        arriving::Arriving,
        naming::{HostPolicy, Naming},
    },
};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What every request to the origin is sent with.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) signature: Signature,
    pub(crate) log: Queries,
    pub(crate) rules: Rules,
    pub(crate) naming: Naming,
    pub(crate) origin_timeout: Duration,
    /// How long a client may be silent within its content.
    pub(crate) client_timeout: Duration,
    /// How long both ends of a tunnel may be silent.
    pub(crate) tunnel_timeout: Duration,
}

/// Forwards requests of one client connection to the origin. Clones share its connections.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    pub(crate) origin: Arc<Origin>,
    pub(crate) policy: Arc<Policy>,
    pub(crate) client: IpAddr,
}

impl Service<Request<RequestBody>> for Upstream {
    type Response = Response<Arriving>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Arriving>, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        Box::pin(self.clone().forward(request))
    }
}

impl Upstream {
    async fn forward(
        self,
        mut request: Request<RequestBody>,
    ) -> Result<Response<Arriving>, Failure> {
        let path = request.uri().path().to_owned();
        let client = self.take_upgrade(&mut request);
        let progress = request.extensions_mut().remove::<RequestProgress>();
        let timed = request.extensions_mut().remove::<OriginTime>();
        let timed = timed.map(|time| (time, Instant::now()));
        let for_one = request.extensions_mut().remove::<ForOneClient>();
        // The server's extensions mean nothing to the client's side of hyper.
        *request.extensions_mut() = Extensions::new();
        let host = request.headers().get(HOST).cloned();
        self.sign(&mut request);

        let needs = match client {
            Some(_) => Needs::Upgrade,
            None => Needs::Nothing,
        };
        // The cache may have put a condition on the request, or taken one off.
        let conditional = response::is_conditional(request.headers());
        let response = self.send(request, needs, progress.clone()).await;
        if let Some((time, since)) = timed {
            time.add(since.elapsed());
        }
        let response = response
            .and_then(|response| response::check_condition(conditional, response))
            .and_then(|response| response::check_switch(client.is_some(), response));
        if let (Err(failure), Some(progress)) = (&response, progress) {
            if failure.is_of_path() {
                progress.path_failed();
            }
            if failure.is_own() {
                progress.not_tried();
            }
        }
        let mut response = response.inspect_err(|failure| seldom::tell(&path, failure))?;
        response::strip(&mut response);
        if for_one.is_some() {
            response.extensions_mut().insert(NoStore);
        }
        self.policy.naming.settle(host.as_ref(), &mut response);
        if let Some(client) = client
            && response.status() == StatusCode::SWITCHING_PROTOCOLS
        {
            // Only now do bytes flow past HTTP: the origin has agreed, and hyper hands the client's
            // side over once this 101 has been written to it.
            tunnel::open(client, &mut response, self.policy.tunnel_timeout);
        }
        Ok(response)
    }

    /// The client's side of a tunnel, if the request wants one and the origin can grant it.
    fn take_upgrade(&self, request: &mut Request<RequestBody>) -> Option<OnUpgrade> {
        if !request.headers().contains_key(UPGRADE) {
            return None;
        }
        let on_upgrade = request.extensions_mut().remove::<OnUpgrade>();
        if on_upgrade.is_none() || !self.origin.can_upgrade() {
            request.headers_mut().remove(UPGRADE);
            request.headers_mut().remove(CONNECTION);
            return None;
        }
        on_upgrade
    }

    /// Adds the fields that tell an origin which client and which proxy a request comes from.
    fn sign(&self, request: &mut Request<RequestBody>) {
        let received = request.version();
        let headers = request.headers_mut();
        // What is there already comes from a proxy that is trusted: admission removes all others.
        if let Some(host) = headers.get(HOST).cloned() {
            headers.entry(X_FORWARDED_HOST).or_insert(host);
        }
        let scheme = HeaderValue::from_static("http");
        headers.entry(X_FORWARDED_PROTO).or_insert(scheme);
        append_client(headers, self.client);
        if self.policy.naming.policy == HostPolicy::Rewrite {
            headers.insert(HOST, self.origin.host().clone());
        }
        self.policy.rules.identity.sign(headers, received);
    }

    /// Sends a request and waits for the head of its response, but not for ever.
    async fn send(
        &self,
        mut request: Request<RequestBody>,
        needs: Needs,
        progress: Option<RequestProgress>,
    ) -> Result<Response<Arriving>, Failure> {
        let limit = self.policy.origin_timeout;
        let keep = attempts::keep(&self.origin, request.method());
        let watch = watch_body(&mut request, keep, progress.clone());
        let response = attempts::send(&self.origin, request, needs, progress.as_ref());
        let Some(watch) = watch else {
            let response = timeout(limit, response).await;
            let response = response.unwrap_or_else(|_| Err(Kind::ResponseTimeout.into()));
            if let (Err(failure), Some(progress)) = (&response, &progress)
                && failure.is_not_sent()
            {
                progress.not_sent();
            }
            return response;
        };
        // Until the origin takes the first of the content.
        if let Some(progress) = &progress {
            progress.not_sent();
        }
        // A slow upload is no slow origin: the clock starts again with every piece of it, and
        // while the next one is the client's to send, it is the client's clock.
        let deadline = sleep(limit);
        tokio::pin!(response, deadline);
        loop {
            tokio::select! {
                biased;
                response = &mut response => return response.map_err(|failure| match watch.turn() {
                    Turn::Nobody => failure.of_content(),
                    Turn::Client | Turn::Origin => failure,
                }),
                turn = watch.moved() => {
                    let limit = match turn {
                        Turn::Client => self.policy.client_timeout,
                        Turn::Origin => limit,
                        Turn::Nobody => return Err(Kind::ContentBroken.into()),
                    };
                    deadline.as_mut().reset(Instant::now() + limit);
                }
                () = &mut deadline => {
                    return Err(match watch.turn() {
                        Turn::Client => Kind::ContentTimeout,
                        Turn::Origin => Kind::ResponseTimeout,
                        Turn::Nobody => Kind::ContentBroken,
                    }
                    .into());
                }
            }
        }
    }
}

/// Watches the body, and holds it back while the client waits for a 100 (Continue) that is the
/// origin's to give (RFC 9110 section 10.1.1).
///
/// That 100 is the only interim response that reaches the client. hyper's server has no way to
/// send others, such as 103 (Early Hints), so those end here.
fn watch_body(
    request: &mut Request<RequestBody>,
    keep: Keep,
    progress: Option<RequestProgress>,
) -> Option<Watch> {
    let expects = request
        .headers()
        .get(EXPECT)
        .is_some_and(|expect| expect.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let hold = if expects && request.version() == Version::HTTP_11 {
        Hold::UntilContinue
    } else {
        Hold::Nothing
    };
    let watch = request.body_mut().watch(hold, keep, progress);
    match &watch {
        Some(watch) if hold == Hold::UntilContinue => {
            request.extensions_mut().insert(Continue(watch.clone()));
        }
        _ => {
            request.headers_mut().remove(EXPECT);
        }
    }
    watch
}

/// Adds the client's address behind those of the proxies it came through.
fn append_client(headers: &mut HeaderMap, client: IpAddr) {
    let mut addresses = Vec::new();
    for line in headers.get_all(X_FORWARDED_FOR) {
        addresses.extend_from_slice(line.as_bytes());
        addresses.extend_from_slice(b", ");
    }
    addresses.extend_from_slice(client.to_canonical().to_string().as_bytes());
    let value = HeaderValue::from_maybe_shared(bytes::Bytes::from(addresses))
        .expect("field values joined by commas are a field value");
    headers.insert(X_FORWARDED_FOR, value);
}
