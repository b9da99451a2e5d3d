//! The bounds on a service that the cache wraps.

mod routers;

pub(crate) use self::routers::{BlindTo, are_blind, blind_to};
use http::{Request, Response};
use http_body::Body;
use tower::Service;

use crate::error::BoxError;

/// The body of a request that a [`CacheService`](crate::CacheService) takes: any `Body` with a
/// default, which is the empty body. Implemented for all of them.
///
/// The cache makes requests of its own: it validates what is stored, and refreshes it in the
/// background. These have no content. hyper's `Incoming` has no default, so a server maps it before
/// the cache gets it:
///
/// ```
/// use bytes::Bytes;
/// use cachewarp::{CacheLayer, Memory};
/// use http::{Request, Response};
/// use http_body_util::{BodyExt, Full, combinators::BoxBody};
/// use hyper::body::Incoming;
/// # use std::convert::Infallible;
/// use tower::ServiceBuilder;
///
/// let service = ServiceBuilder::new()
///     .map_request(|request: Request<Incoming>| request.map(BodyExt::boxed))
///     .layer(CacheLayer::new(Memory::with_capacity(64 << 20)))
///     .service_fn(async |_: Request<BoxBody<Bytes, hyper::Error>>| {
///         Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
///     });
/// # let _ = service;
/// ```
///
/// Without that line the compiler says what to do:
///
/// ```compile_fail,E0277
/// # use bytes::Bytes;
/// # use cachewarp::{CacheLayer, Memory};
/// # use http::{Request, Response};
/// # use http_body_util::Full;
/// # use hyper::body::Incoming;
/// # use std::convert::Infallible;
/// # use tower::ServiceBuilder;
/// let service = ServiceBuilder::new()
///     .layer(CacheLayer::new(Memory::with_capacity(64 << 20)))
///     .service_fn(async |_: Request<Incoming>| {
///         Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
///     });
/// fn serve<S: tower::Service<Request<Incoming>>>(_: S) {}
/// serve(service);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the body of requests to a cache: it is no `Body` that is \
               `Default`, `Send` and `'static`",
    label = "the cache makes requests of its own, with an empty body",
    note = "hyper's `Incoming` has no default: box it before the cache gets the request, with \
            `.map_request(|request: http::Request<Incoming>| \
            request.map(http_body_util::BodyExt::boxed))`",
    note = "see the documentation of `cachewarp::RequestBody`"
)]
pub trait RequestBody: Body + Default + Send + 'static {}

#[diagnostic::do_not_recommend]
impl<Q> RequestBody for Q where Q: Body + Default + Send + 'static {}

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
