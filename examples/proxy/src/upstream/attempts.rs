//! Sends a request, and sends it again where that does no harm.

use cachewarp::RequestProgress;
use http::{HeaderMap, Method, Request, Response, Uri, Version};
use http_body::Body;
use tokio::time::Instant;

use crate::{
    body::{Again, RequestBody, replay::Keep},
    failure::{Failure, Repeat},
    origin::{Needs, Origin, connect::Attempt},
    upstream::arriving::Arriving,
};

/// How often one request is sent, if its connection was dead or the origin refused it.
const MOST: u32 = 3;

/// Whether content is to be kept for another attempt.
pub(crate) fn keep(origin: &Origin, method: &Method) -> Keep {
    if method.is_idempotent() || origin.may_refuse() {
        Keep::Small
    } else {
        Keep::Nothing
    }
}

/// Sends a request. An idempotent one is sent once more if the origin closed a connection that an
/// earlier request had used and gave no response (RFC 9110 section 9.2.2). Any is sent again if the
/// origin has refused it, as it has done nothing about it then (RFC 9113 section 8.7).
pub(crate) async fn send(
    origin: &Origin,
    request: Request<RequestBody>,
    needs: Needs,
    progress: Option<&RequestProgress>,
) -> Result<Response<Arriving>, Failure> {
    let idempotent = request.method().is_idempotent();
    let repeatable = needs == Needs::Nothing && (idempotent || origin.may_refuse());
    let spare = repeatable.then(|| Spare::of(&request));
    let mut attempt = Attempt::Any;
    let mut request = request;
    let mut left = MOST - 1;
    loop {
        let failure = match origin.send(request, attempt, needs).await {
            Ok(response) => return Ok(response),
            Err(failure) => failure,
        };
        let repeat = failure.repeat();
        attempt = match (repeat, attempt) {
            (Repeat::Any, _) if left > 0 => Attempt::Any,
            (Repeat::IfIdempotent, Attempt::Any) if idempotent && left > 0 => {
                let since = Instant::now();
                Attempt::Fresh { since }
            }
            _ => return Err(failure),
        };
        left -= 1;
        request = match spare.as_ref().and_then(Spare::request) {
            Some(request) => request,
            None => return Err(failure),
        };
        tracing::debug!(%failure, "once more on another connection");
        if let Some(progress) = progress {
            if repeat == Repeat::IfIdempotent && request.body().is_end_stream() {
                // Whatever becomes of the next attempt. Content says by itself how far it came.
                progress.sent();
            }
            progress.repeated();
        }
    }
}

/// What is needed to send a request again.
struct Spare {
    method: Method,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
    body: Again,
}

impl Spare {
    fn of(request: &Request<RequestBody>) -> Self {
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            headers: request.headers().clone(),
            body: request.body().again(),
        }
    }

    fn request(&self) -> Option<Request<RequestBody>> {
        let mut request = Request::new(self.body.body()?);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = self.version;
        *request.headers_mut() = self.headers.clone();
        Some(request)
    }
}
