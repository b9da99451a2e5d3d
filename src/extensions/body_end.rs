//! [`BodyEnd`]: a service is not certain that a body which ended is whole.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// A response extension by which a service says, while it sends a body, that a clean end of it does
/// not mean that the body is whole.
///
/// An [`http_body::Body`] ends with `None`, and the cache takes this for the end of a whole body
/// (RFC 9111 §3.3) unless `Content-Length` says otherwise. Some transports end a body that was cut
/// off in the same way: HTTP/1.0 without `Content-Length` by closing the connection, an HTTP/2
/// client by a reset with `NO_ERROR`. A service that can tell puts a `BodyEnd` into the extensions
/// of its response and keeps a clone of it. It calls [`doubt`](Self::doubt) at any time before the
/// body returns `None`. Those who read the body get it as it came, and it is not stored: not by
/// this cache, nor by another one around it, as every response with that body has the extension.
///
/// A service that knows that the body is *not* whole ends it with an error instead. Then nothing is
/// stored either, and the readers get an error. A service that knows before the body begins that it
/// must not be stored sets [`NoStore`](crate::NoStore).
///
/// ```
/// # use http::Response;
/// use cachewarp::BodyEnd;
///
/// let end = BodyEnd::new();
/// let mut response = Response::new("all of it, or a part");
/// response.extensions_mut().insert(end.clone());
/// // Later, from within the body:
/// end.doubt();
/// ```
#[derive(Clone, Debug, Default)]
pub struct BodyEnd {
    doubtful: Arc<AtomicBool>,
}

impl BodyEnd {
    /// The end of a body, which is taken for certain until somebody doubts it. Clones are about the
    /// same body.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on, a clean end of the body does not mean that it is whole.
    pub fn doubt(&self) {
        self.doubtful.store(true, Ordering::Release);
    }

    /// Whether somebody doubts that a clean end means a whole body.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        self.doubtful.load(Ordering::Acquire)
    }
}
