//! What the status alone says about storing a response.

use http::StatusCode;

/// Whether the status allows storing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum StatusClass {
    /// Only if the response states a lifetime: a short failure should not be served for long.
    Error,
    /// Never: the response is interim, incomplete, or concerns only this request.
    Never,
    Ordinary,
}

/// RFC 6585 forbids storing 428, 429, 431 and 511. A status outside 200 to 599 is interim or
/// invalid (RFC 9110 §15). 206 and 304 are incomplete responses (RFC 9111 §3.3, §4.3.3). The others
/// that are never stored concern the way in which this request was made.
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

/// Whether the status blames the form of the request: its syntax, or the length of its URI. Another
/// client's request for the same resource may have caused none of that.
pub(super) fn blames_form(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_REQUEST | StatusCode::URI_TOO_LONG)
}

/// Whether this cache understands the caching requirements of this status (RFC 9111 §5.2.2.3).
pub(super) fn is_understood(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200 | 203 | 204 | 300..=303 | 307 | 308 | 404 | 405 | 410 | 414 | 451 | 501
    )
}
