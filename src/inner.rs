//! The bounds on a service that the cache wraps.

use http::{Request, Response};
use http_body::Body;
use tower::Service;

use crate::error::BoxError;

/// A service that a [`CacheLayer`](crate::CacheLayer) can wrap. Implemented for every service of
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
    /// The type of the response bodies.
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
