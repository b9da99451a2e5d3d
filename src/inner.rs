//! What a wrapped service has to be.

use http::{Request, Response};
use http_body::Body;
use tower::Service;

use crate::error::BoxError;

/// What a [`CacheLayer`](crate::CacheLayer) can be put over: implemented for every service of
/// `http` requests that meets the [bounds](crate::CacheLayer#bounds).
pub trait CacheableService<Q>:
    Service<
        Request<Q>,
        Response = Response<<Self as CacheableService<Q>>::Body>,
        Future: Send + 'static,
        Error: Send + 'static,
    > + Clone
    + Send
    + 'static
{
    /// The body of its responses.
    type Body: Body<Error: Into<BoxError>> + Send + 'static;
}

impl<S, Q, B> CacheableService<Q> for S
where
    S: Service<Request<Q>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Body = B;
}
