//! Validating a stored response with the origin, and updating it from what comes back (RFC 9111
//! §4.3).

use http::header::{
    AGE, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE, SET_COOKIE, WARNING,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::semantics::fields::Length;
use crate::semantics::rules::{HeadUpdates, Rules, SetCookiePolicy};
use crate::semantics::{date, etag, fields, hop};

/// Whether a request to the origin asks about a stored response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Validator {
    /// It does: a 304 refers to the stored response.
    Sent,
    /// It does not, for the stored response has no usable validator: the request is a plain one.
    None,
}

/// Turns a client's request into one that validates `stored`: the client's conditions and range
/// give way to the stored validators, sent as they were received (RFC 9111 §4.3.1).
pub(crate) fn conditional_request(
    request: &mut HeaderMap,
    stored: &HeaderMap,
    now: i64,
) -> Validator {
    strip(request);
    if has_entity_tag(stored)
        && let Some(tag) = stored.get(ETAG)
    {
        request.insert(IF_NONE_MATCH, tag.clone());
    }
    if fields::last_modified(stored, now).is_some()
        && let Some(modified) = stored.get(LAST_MODIFIED)
    {
        request.insert(IF_MODIFIED_SINCE, modified.clone());
    }
    if has_validator(stored) {
        Validator::Sent
    } else {
        Validator::None
    }
}

/// Removes the client's conditions and range, so that the answer is a full response. `Range` and
/// `If-Range` only make sense together (RFC 9110 §13.1.5): neither is ever left behind.
pub(crate) fn strip(request: &mut HeaderMap) {
    for name in [IF_NONE_MATCH, IF_MODIFIED_SINCE, RANGE, IF_RANGE] {
        request.remove(name);
    }
}

/// Whether a response can be validated: it has one valid entity tag or one valid modification date.
pub(crate) fn has_validator(response: &HeaderMap) -> bool {
    // The time only chooses the century of a two-digit year. Any time does.
    let any_time = 0;
    has_entity_tag(response) || fields::last_modified(response, any_time).is_some()
}

fn has_entity_tag(stored: &HeaderMap) -> bool {
    etag::of(stored).is_some()
}

/// Whether a 304 is about the stored response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Confirmation {
    /// It is: update the stored response from it.
    Accept,
    /// It is about another representation: update nothing.
    Reject,
}

/// Judges a 304 by the strongest validator in it (RFC 9111 §4.3.4).
///
/// One without any can only be about the response that was validated: a request asks about one.
pub(crate) fn accepts(stored: &HeaderMap, not_modified: &HeaderMap, now: i64) -> Confirmation {
    let same = if let Some(tag) = etag::of(not_modified) {
        etag::of(stored).is_some_and(|current| {
            if tag.weak {
                tag.weak_eq(current)
            } else {
                tag.strong_eq(current)
            }
        })
    } else if let Some(modified) = fields::last_modified(not_modified, now) {
        fields::last_modified(stored, now) == Some(modified)
    } else {
        true
    };
    if same {
        Confirmation::Accept
    } else {
        Confirmation::Reject
    }
}

/// Updates a stored head from a 304, or from the answer to a HEAD, received at `response_time`
/// (RFC 9111 §3.2): fields in the update replace those of the same name, all lines of them, and
/// the others stay.
///
/// Left as they are: what belongs to the connection, and what describes stored bytes that the
/// update does not bring. Cookies go to the client that asked and no further, unless cookies are
/// stored at all.
pub(crate) fn merge(stored: &mut HeaderMap, update: &HeaderMap, response_time: i64, rules: &Rules) {
    let mut update = update.clone();
    hop::strip(&mut update);
    for name in [CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE] {
        update.remove(name);
    }
    update.remove("content-digest");
    update.remove("content-md5");
    if rules.set_cookie != SetCookiePolicy::Store {
        update.remove(SET_COOKIE);
        update.remove("set-cookie2");
    }

    // The stored age and warnings were about the exchange that is now superseded.
    stored.remove(AGE);
    drop_warnings(stored);
    if fields::date(&update, response_time).is_none() {
        update.insert(DATE, date::format(response_time));
    }
    for name in update.keys() {
        stored.remove(name);
        for value in update.get_all(name) {
            stored.append(name, value.clone());
        }
    }
}

/// What the answer to a forwarded HEAD does to the stored response to GET (RFC 9111 §4.3.5).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum HeadUpdate {
    /// It describes the stored response: update it with [`merge`].
    Update,
    /// It describes another one: validate the stored response before its next use.
    Invalidate,
    /// It says nothing about the stored response, or is not to be listened to.
    Keep,
}

/// Compares the answer to a HEAD with the stored response to the same request: its validators and
/// length, as far as it has them, must be the stored ones. An answer with none of them agrees with
/// everything. Only a 200 describes what a GET would be answered with.
pub(crate) fn head_update(
    stored: &HeaderMap,
    stored_length: u64,
    status: StatusCode,
    head: &HeaderMap,
    updates: HeadUpdates,
) -> HeadUpdate {
    if status != StatusCode::OK {
        return HeadUpdate::Keep;
    }
    let same_length = match fields::content_length(head) {
        Length::Absent => true,
        Length::Exactly(length) => length == stored_length,
        Length::Invalid => false,
    };
    let agrees = same_length
        && [ETAG, LAST_MODIFIED]
            .iter()
            .all(|name| repeats(head, stored, name));
    match updates {
        HeadUpdates::Off => HeadUpdate::Keep,
        HeadUpdates::Full | HeadUpdates::InvalidateOnly if !agrees => HeadUpdate::Invalidate,
        HeadUpdates::Full => HeadUpdate::Update,
        HeadUpdates::InvalidateOnly => HeadUpdate::Keep,
    }
}

/// Whether `head` has no field of this name, or just the stored one.
fn repeats(head: &HeaderMap, stored: &HeaderMap, name: &HeaderName) -> bool {
    !head.contains_key(name) || head.get_all(name).iter().eq(stored.get_all(name))
}

/// Drops warnings about the exchange a response came from, codes 1xx (RFC 7234 §4.3.4; RFC 9111
/// §5.5 made the field obsolete). Those about the representation stay.
fn drop_warnings(stored: &mut HeaderMap) {
    let lasting: Vec<HeaderValue> = stored
        .get_all(WARNING)
        .iter()
        .filter(|warning| !warning.as_bytes().starts_with(b"1"))
        .cloned()
        .collect();
    stored.remove(WARNING);
    for warning in lasting {
        stored.append(WARNING, warning);
    }
}

#[cfg(test)]
mod tests;
