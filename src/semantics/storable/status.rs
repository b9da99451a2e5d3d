//! What a status alone says about storing.

use http::StatusCode;

/// How far a status on its own allows storing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum StatusClass {
    /// Only if the response itself states a lifetime: one bad moment should not last.
    Error,
    /// Never: interim, incomplete, or an answer to nothing but this one request.
    Never,
    Ordinary,
}

/// RFC 6585 forbids storing 428, 429, 431 and 511. A status outside 200 to 599 is interim or
/// invalid (RFC 9110 §15). 206 and 304 are parts of a response (RFC 9111 §3.3, §4.3.3); the
/// remaining ones answer how this request was made.
pub(super) fn class(status: StatusCode) -> StatusClass {
    match status.as_u16() {
        206
        | 304
        | 401
        | 407
        | 408
        | 411
        | 412
        | 413
        | 415..=417
        | 421
        | 425
        | 426
        | 428
        | 429
        | 431
        | 511 => StatusClass::Never,
        400 | 403 | 409 | 422 => StatusClass::Error,
        200..=499 | 501 => StatusClass::Ordinary,
        500..=599 => StatusClass::Error,
        _ => StatusClass::Never,
    }
}

/// Whether this cache knows what it means to reuse a response with this status
/// (RFC 9111 §5.2.2.3).
pub(super) fn is_understood(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200 | 203 | 204 | 300..=303 | 307 | 308 | 404 | 405 | 410 | 414 | 451 | 501
    )
}
