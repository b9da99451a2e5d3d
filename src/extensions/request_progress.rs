//! A request extension: how far the request came.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use http::Extensions;

/// A request extension by which a service says how far a request came that got no response, and
/// whether it has sent it twice.
///
/// The cache puts it on every request that it sends to the service on its own account, and on every
/// request with an unsafe method, such as POST (RFC 9110 §9.2.1); with a circuit breaker, on all
/// others too. If an unsafe request fails, or its client disconnects, the cache cannot see whether the
/// origin carried it out. So it assumes
/// that: what is stored for the URL is validated before it is used again, or served in place of an
/// error. A service that knows better says so before it fails, or before its future is dropped:
///
/// - [`not_sent`](Self::not_sent): the origin got nothing, for example because no connection could be
///   made. Nothing changes in the cache.
/// - [`incomplete`](Self::incomplete): the origin got a part of the request only, because the client
///   did not send all of its content. Nothing changes in the cache.
/// - [`sent`](Self::sent): the origin may have all of the request.
///
/// A request that nothing is said of counts as sent. What is said only grows, from `not_sent` to
/// `sent`, as one request may be sent several times: the furthest counts. A response says more than
/// this extension, which counts only if there is none.
///
/// A service whose error is not that of a connection says so with [`path_failed`](Self::path_failed):
/// the origin took too long for this request, or what it answered was no HTTP. A circuit breaker
/// under the cache counts such an error like 502 or 504: once in ten seconds for each path, so that
/// one slow page does not speak for the site.
///
/// A service that could not even try, because it had no connection to spare or has no resources left,
/// says so with [`not_tried`](Self::not_tried). That says nothing about the origin, so a circuit breaker
/// under the cache does not count it.
///
/// A service that sends a request again by itself, after its connection broke, says so with
/// [`repeated`](Self::repeated). If the second attempt fails too, the cache does not repeat the request
/// for those who wait for the same response: an origin that fails gets two calls, and no more.
///
/// ```
/// use cachewarp::RequestProgress;
/// # use http::Request;
/// # fn connect() -> Result<(), std::io::Error> { Ok(()) }
///
/// fn send(request: Request<()>) -> Result<(), std::io::Error> {
///     let progress = request.extensions().get::<RequestProgress>().cloned();
///     if let Some(progress) = &progress {
///         progress.not_sent();
///     }
///     let connection = connect()?;
///     if let Some(progress) = &progress {
///         progress.sent();
///     }
///     Ok(connection)
/// }
/// # send(Request::new(())).unwrap();
/// ```
#[derive(Clone, Debug, Default)]
pub struct RequestProgress(Arc<AtomicU8>);

const NOT_SENT: u8 = 1;
const INCOMPLETE: u8 = 2;
const SENT: u8 = 3;

/// The bits that say how far the request came.
const PROGRESS: u8 = 0b11;
const REPEATED: u8 = 0b100;
const PATH_FAILED: u8 = 0b1000;
const NOT_TRIED: u8 = 0b1_0000;

/// Whose trouble the error of a call is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Blame {
    /// The client did not send all of its content.
    Client,
    /// The service's own: the origin was not asked.
    Service,
    /// The origin's, whatever it is asked for.
    Origin,
    /// That of the path that was asked for.
    Path,
}

impl RequestProgress {
    /// Nothing of the request has been sent.
    pub fn not_sent(&self) {
        self.at_least(NOT_SENT);
    }

    /// The client has not sent all of its content yet, so the origin has a part of the request at
    /// most.
    pub fn incomplete(&self) {
        self.at_least(INCOMPLETE);
    }

    /// All of the request may have been sent.
    pub fn sent(&self) {
        self.at_least(SENT);
    }

    /// The request is sent for the second time.
    pub fn repeated(&self) {
        self.0.fetch_or(REPEATED, Ordering::AcqRel);
    }

    /// The origin was reached, and took too long for this request or answered it with no HTTP.
    pub fn path_failed(&self) {
        self.0.fetch_or(PATH_FAILED, Ordering::AcqRel);
    }

    /// Nothing of the request has been sent, for want of something that the origin has no part in.
    pub fn not_tried(&self) {
        self.not_sent();
        self.0.fetch_or(NOT_TRIED, Ordering::AcqRel);
    }

    /// The one on a request, which another layer may have put there.
    pub(crate) fn of(extensions: &mut Extensions) -> Self {
        extensions.get_or_insert_default::<Self>().clone()
    }

    /// Whether the origin may have carried out the request.
    pub(crate) fn may_be_done(&self) -> bool {
        let said = self.0.load(Ordering::Acquire) & PROGRESS;
        !matches!(said, NOT_SENT | INCOMPLETE)
    }

    /// Whether the service has sent the request twice.
    pub(crate) fn is_repeated(&self) -> bool {
        self.0.load(Ordering::Acquire) & REPEATED != 0
    }

    /// Whose trouble an error of the call is, as far as the service has said. `None` if it has said
    /// nothing.
    pub(crate) fn blame(&self) -> Option<Blame> {
        let said = self.0.load(Ordering::Acquire);
        if said & NOT_TRIED != 0 {
            return Some(Blame::Service);
        }
        if said & PATH_FAILED != 0 {
            return Some(Blame::Path);
        }
        match said & PROGRESS {
            NOT_SENT | SENT => Some(Blame::Origin),
            INCOMPLETE => Some(Blame::Client),
            _ => None,
        }
    }

    fn at_least(&self, progress: u8) {
        // The largest in the lower bits; the others stay. `Some`, so this cannot fail.
        let _ = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |said| {
                Some(said & !PROGRESS | (said & PROGRESS).max(progress))
            });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Says = fn(&RequestProgress);

    #[test]
    fn the_furthest_that_was_said_counts() {
        let (not_sent, incomplete, sent): (Says, Says, Says) = (
            RequestProgress::not_sent,
            RequestProgress::incomplete,
            RequestProgress::sent,
        );
        let cases: &[(&[Says], bool)] = &[
            (&[], true),
            (&[not_sent], false),
            (&[incomplete], false),
            (&[not_sent, incomplete], false),
            (&[incomplete, not_sent], false),
            (&[sent], true),
            (&[not_sent, incomplete, sent], true),
            (&[sent, not_sent], true),
            (&[sent, incomplete], true),
            (&[RequestProgress::not_tried], false),
            (&[sent, RequestProgress::not_tried], true),
        ];
        for (index, (said, expected)) in cases.iter().enumerate() {
            let progress = RequestProgress::default();
            let copy = progress.clone();
            for say in *said {
                say(&copy);
            }
            assert_eq!(progress.may_be_done(), *expected, "case {index}");
            assert!(!progress.is_repeated());
            copy.repeated();
            assert_eq!(progress.may_be_done(), *expected, "case {index}");
            assert!(progress.is_repeated());
        }
    }

    #[test]
    fn an_error_is_the_trouble_of_whom_the_service_says() {
        let (not_sent, incomplete, sent): (Says, Says, Says) = (
            RequestProgress::not_sent,
            RequestProgress::incomplete,
            RequestProgress::sent,
        );
        let path_failed: Says = RequestProgress::path_failed;
        let not_tried: Says = RequestProgress::not_tried;
        let cases: &[(&[Says], Option<Blame>)] = &[
            (&[], None),
            (&[not_sent], Some(Blame::Origin)),
            (&[not_sent, incomplete], Some(Blame::Client)),
            (&[not_sent, incomplete, sent], Some(Blame::Origin)),
            (&[path_failed], Some(Blame::Path)),
            (&[sent, path_failed], Some(Blame::Path)),
            (&[path_failed, sent], Some(Blame::Path)),
            (&[not_tried], Some(Blame::Service)),
            (&[sent, not_tried], Some(Blame::Service)),
        ];
        for (index, (said, expected)) in cases.iter().enumerate() {
            let progress = RequestProgress::default();
            for say in *said {
                say(&progress);
            }
            assert_eq!(progress.blame(), *expected, "case {index}");
            // That it was sent twice is no one's fault.
            progress.repeated();
            assert_eq!(progress.blame(), *expected, "case {index}");
        }
    }
}
