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
/// request with an unsafe method, such as POST (RFC 9110 §9.2.1). If a request of that kind fails, or
/// its client disconnects, the cache cannot see whether the origin carried it out. So it assumes
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

    /// Whether an error of the call is the origin's, as far as the service has said how far the
    /// request got. `None` if it has not.
    pub(crate) fn blames_origin(&self) -> Option<bool> {
        match self.0.load(Ordering::Acquire) {
            NOT_SENT | SENT => Some(true),
            INCOMPLETE => Some(false),
            _ => None,
        }
    }

    fn at_least(&self, progress: u8) {
        // The largest in the lower bits; the other bit stays. `Some`, so this cannot fail.
        let _ = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |said| {
                Some(said & REPEATED | (said & PROGRESS).max(progress))
            });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_furthest_that_was_said_counts() {
        type Says = fn(&RequestProgress);
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
}
