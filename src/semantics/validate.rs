//! Validates a stored response with the origin, and updates it from the answer (RFC 9111 §4.3).

use http::header::{
    AGE, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE, SET_COOKIE, WARNING,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::semantics::fields::Length;
use crate::semantics::rules::{HeadUpdates, Rules, SetCookiePolicy};
use crate::semantics::{date, etag, fields, hop};

/// Whether a request to the origin validates a stored response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Validator {
    /// It does: a 304 is about the stored response.
    Sent,
    /// It does not: the stored response has no valid validator, so the request has no conditions.
    None,
}

/// Turns a client's request into one that validates `stored`: replaces the client's conditions and
/// range by the stored validators, exactly as they were received (RFC 9111 §4.3.1).
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

/// Removes the client's conditions and range, so that the origin sends a full response. `If-Range`
/// is removed together with `Range`: it means nothing without it (RFC 9110 §13.1.5).
pub(crate) fn strip(request: &mut HeaderMap) {
    for name in [IF_NONE_MATCH, IF_MODIFIED_SINCE, RANGE, IF_RANGE] {
        request.remove(name);
    }
}

/// Whether a response can be validated: it has one valid entity tag or one valid modification date.
pub(crate) fn has_validator(response: &HeaderMap) -> bool {
    // The time only chooses the century of a two-digit year: any time in this century will do.
    let this_century = 1_000_000_000;
    has_entity_tag(response) || fields::last_modified(response, this_century).is_some()
}

fn has_entity_tag(stored: &HeaderMap) -> bool {
    etag::of(stored).is_some()
}

/// Whether a 304 is about the stored response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Confirmation {
    /// It is: update the stored response.
    Accept,
    /// It is about another representation: do not update.
    Reject,
}

/// Compares a 304 with the stored response by the strongest validator in it (RFC 9111 §4.3.4).
///
/// A 304 without a validator is about the stored response: the request named only that one.
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
/// (RFC 9111 §3.2): a field in the update replaces all stored lines of the same name. Other stored
/// fields stay.
///
/// Fields about the connection are not updated, nor fields that describe the stored bytes, which
/// the update does not contain. Cookies are not updated either, unless cookies are stored at all.
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

    // The stored age and warnings described the previous exchange.
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

/// What the response to a forwarded HEAD does to the stored response to GET (RFC 9111 §4.3.5).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum HeadUpdate {
    /// It describes the stored response: update it with [`merge`].
    Update,
    /// It describes another response: validate the stored one before its next use.
    Invalidate,
    /// It says nothing about the stored response, or the settings ignore it.
    Keep,
}

/// Compares the response to a HEAD with the stored response. Each validator and the length, if it has
/// them, must be those of the stored response, and one validator must confirm it. Only a 200 describes
/// the response that a GET would get, and it confirms only a 200.
pub(crate) fn head_update(
    stored: &HeaderMap,
    stored_status: StatusCode,
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
        _ if !agrees => HeadUpdate::Invalidate,
        HeadUpdates::Literal => HeadUpdate::Update,
        HeadUpdates::Full if stored_status == status && has_confirmation(head, stored) => {
            HeadUpdate::Update
        }
        HeadUpdates::Full | HeadUpdates::InvalidateOnly => HeadUpdate::Keep,
    }
}

/// Whether `head`, which contradicts no validator, has the strongest one that the stored response
/// could be validated by.
fn has_confirmation(head: &HeaderMap, stored: &HeaderMap) -> bool {
    if has_entity_tag(stored) {
        head.contains_key(ETAG)
    } else {
        has_validator(stored) && head.contains_key(LAST_MODIFIED)
    }
}

/// Whether `head` has no field of this name, or exactly the stored lines.
fn repeats(head: &HeaderMap, stored: &HeaderMap, name: &HeaderName) -> bool {
    !head.contains_key(name) || head.get_all(name).iter().eq(stored.get_all(name))
}

/// Removes the warnings with codes 1xx, which describe the exchange (RFC 7234 §4.3.4; RFC 9111 §5.5
/// made the field obsolete). Warnings about the representation stay.
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
