//! What one client connection sees: admission, the cache, and a response to everything.

use std::{convert::Infallible, net::IpAddr, sync::Arc};

use bytes::Bytes;
use cachewarp::{CacheBody, CacheLayer, CacheOutcome, Caller};
use http::{Request, Response};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use tower::Service;
use tower_layer::Layer;

use crate::{
    admit::{self, ForOneClient, KnownHost, Route},
    answer::{self, Asked, Signature},
    body::{RequestBody, begun},
    client::{
        Client,
        sending::{self, Sending},
    },
    failure::Failure,
    log::access::{self, Line, Logged, Maker},
    origin::Origin,
    upstream::{Policy, Upstream, arriving::Arriving},
};

/// From the cache, from the origin past the cache, or our own.
pub(crate) type EdgeBody = Either<CacheBody<Arriving>, Either<Arriving, Full<Bytes>>>;

/// Serves one client connection; all of them share the cache.
#[derive(Debug)]
pub(crate) struct Edge {
    cached: <CacheLayer as Layer<Upstream>>::Service,
    /// Bounds the calls that this connection causes and then leaves behind.
    caller: Caller,
    upstream: Upstream,
    known_host: KnownHost,
    pub(crate) client: Arc<Client>,
}

impl Edge {
    pub(crate) fn new(
        cache: &CacheLayer,
        origin: Arc<Origin>,
        policy: Arc<Policy>,
        address: IpAddr,
        client: Arc<Client>,
    ) -> Self {
        let upstream = Upstream {
            origin,
            policy,
            client: address,
        };
        Self {
            cached: cache.layer(upstream.clone()),
            caller: Caller::new(),
            upstream,
            known_host: KnownHost::default(),
            client,
        }
    }

    /// Answers a request, whatever becomes of it.
    pub(crate) async fn serve(
        self: Arc<Self>,
        mut request: Request<Incoming>,
    ) -> Result<Response<Sending>, Infallible> {
        let mut under_way = sending::Request::begin(self, request.version());
        let edge = under_way.edge();
        if edge.client.has_abandoned() {
            // Boxed, as it is rare and would make every request's future larger.
            Box::pin(edge.client.may_start()).await;
        }
        under_way.start();
        let edge = under_way.edge();
        let mut line =
            access::is_heard().then(|| Line::begin(&mut request, edge.upstream.policy.log));
        let response = edge.respond(request.map(RequestBody::from_client)).await;
        if let Some(line) = &mut line {
            let maker = match response.body() {
                Either::Left(_) => Maker::Cache,
                Either::Right(Either::Left(_)) => Maker::Origin,
                Either::Right(Either::Right(_)) => Maker::Proxy,
            };
            line.answered(&response, maker, &edge.signature().name);
        }
        Ok(response.map(|body| under_way.answer(Logged::new(body, line))))
    }

    async fn respond(&self, request: Request<RequestBody>) -> Response<EdgeBody> {
        let asked = Asked::by(&request);
        match self.fetch(request).await {
            Ok(response) if response.status().is_server_error() => self.explained(response, &asked),
            Ok(response) => response,
            Err(failure) => own(answer::failed(self.signature(), &asked, &failure)),
        }
    }

    /// Gives a body to an error that the cache generated; one of the origin's stays as it is.
    #[cold]
    fn explained(&self, mut response: Response<EdgeBody>, asked: &Asked) -> Response<EdgeBody> {
        let outcome = response.extensions_mut().remove::<CacheOutcome>();
        let mut response = match &outcome {
            Some(CacheOutcome::Generated(why)) => {
                own(answer::generated(self.signature(), asked, why))
            }
            _ => response,
        };
        if let Some(outcome) = outcome {
            response.extensions_mut().insert(outcome);
        }
        response
    }

    fn signature(&self) -> &Signature {
        &self.upstream.policy.signature
    }

    /// What every request passes, from a client or from warming: admission, the cache, the origin.
    pub(crate) async fn fetch(
        &self,
        mut request: Request<RequestBody>,
    ) -> Result<Response<EdgeBody>, Failure> {
        let rules = &self.upstream.policy.rules;
        let default_host = self.upstream.origin.host();
        let route = match admit::admit(&mut request, rules, default_host, &self.known_host) {
            Ok(route) => route,
            Err(refusal) => return Ok(own(answer::refused(self.signature(), &request, refusal))),
        };
        if begun::is_open(request.method(), request.headers(), request.body()) {
            let limit = self.upstream.policy.client_timeout;
            // Boxed, as it is rare and would make every request's future larger.
            Box::pin(begun::settle(request.body_mut(), limit)).await?;
        }
        match route {
            // The cache is always ready, and so is the service behind it.
            Route::Cache | Route::Unstored => {
                if route == Route::Unstored {
                    request.extensions_mut().insert(ForOneClient);
                }
                request.extensions_mut().insert(self.caller.clone());
                let response = self.cached.clone().call(request).await;
                response.map(|response| response.map(Either::Left))
            }
            Route::Origin(why) => {
                let response = self.upstream.clone().call(request).await;
                response.map(|mut response| {
                    answer::passed(&mut response, self.signature(), why.detail());
                    response.map(|body| Either::Right(Either::Left(body)))
                })
            }
        }
    }
}

fn own(response: Response<Full<Bytes>>) -> Response<EdgeBody> {
    response.map(|body| Either::Right(Either::Right(body)))
}
