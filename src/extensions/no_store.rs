//! A response extension: the response must not be stored.

/// A response extension that forbids to store the response, whatever its header fields say.
///
/// Use it when a service knows something that the header fields do not say: that the body may be
/// incomplete, or that the response is for one client only. On a 304, or on the answer to a HEAD, it
/// leaves the stored response as it is.
///
/// ```
/// # use http::Response;
/// let mut response = Response::new("for your eyes only");
/// response.extensions_mut().insert(cachewarp::NoStore);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct NoStore;
