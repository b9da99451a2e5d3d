//! Decides whether a response may be stored, and without which fields (RFC 9111 §3).

mod prospect;
mod reason;
mod status;

use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use smallvec::SmallVec;

pub use prospect::Prospect;
pub use reason::NotStored;
pub(crate) use reason::Side;
use status::{StatusClass, blames_form, class, is_understood};

use crate::semantics::cache_control::{RequestDirectives, Scope};
use crate::semantics::classify::{Facts, Requester};
use crate::semantics::fields::{self, Length};
use crate::semantics::freshness::{Freshness, LifetimeSource, Reuse, is_heuristically_cacheable};
use crate::semantics::hop::{self, ConnectionOptions};
use crate::semantics::list;
use crate::semantics::rules::{
    ErrorStatusPolicy, OverrideOrigin, Rules, SetCookiePolicy, StrayContentRange, VaryCredentials,
};
use crate::semantics::targeted::EffectiveDirectives;
use crate::semantics::validate;
use crate::semantics::vary::Vary;

/// The largest head that is stored, in bytes of all names and values.
const MAX_HEAD: usize = 64 << 10;

/// The most field lines that a stored head may have.
const MAX_LINES: usize = 1024;

/// A request that was forwarded, and the final response to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange<'a> {
    pub(crate) method: &'a Method,
    /// The request's fields, as received.
    pub(crate) facts: &'a Facts,
    pub(crate) request_directives: &'a RequestDirectives,
    pub(crate) status: StatusCode,
    /// The response's fields, as received.
    pub(crate) response: &'a HeaderMap,
    pub(crate) effective: &'a EffectiveDirectives,
    pub(crate) freshness: &'a Freshness,
    /// Including the fields that the response varies on without naming them.
    pub(crate) vary: &'a Vary,
}

/// What to do with a response.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Storable {
    /// Store it without these fields, and without the hop-by-hop fields ([`hop::strip`]).
    Store(Omitted),
    /// Deliver it and do not store it.
    Refuse(NotStored),
}

/// The fields that the stored copy does not contain.
pub(crate) type Omitted = SmallVec<[HeaderName; 2]>;

/// What a policy may do to the lifetime of a response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum DefaultLifetime {
    /// Give one.
    Allowed,
    /// Shorten the stated one, if it is asked to.
    Refused,
    /// Replace the stated one by a shorter one.
    Lowering,
    /// Give none, but only because of the request: the same response to another request might.
    Withheld(NotStored),
}

/// Whether the stored response is fresh when a newer response arrives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Timeliness {
    Fresh,
    /// Or invalidated.
    Stale,
}

/// What happens to a stored response when a newer response arrives and is not stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Predecessor {
    /// It is removed: the newer response replaces it.
    Drop,
    /// It stays: the newer response says nothing about what other requests would get.
    Keep,
}

/// Decides whether a response may be stored.
///
/// Reasons that lie in the response are checked first. So a reason that lies in the request
/// ([`NotStored::side`]) means that the response itself is storable.
pub(crate) fn storable(exchange: &Exchange<'_>, rules: &Rules) -> Storable {
    let omitted = omitted(exchange, rules);
    let refusal = refused_by_status(exchange, rules)
        .or_else(|| refused_by_directives(exchange))
        .or_else(|| not_cacheable(exchange, rules))
        .or_else(|| refused_by_vary(exchange.vary, rules))
        .or_else(|| refused_by_fields(exchange, &omitted, rules))
        .or_else(|| not_reusable(exchange))
        .or_else(|| refused_by_request(exchange));
    match refusal {
        Some(reason) => Storable::Refuse(reason),
        None => Storable::Store(omitted),
    }
}

/// Decides what a policy may do to the lifetime of a response.
///
/// What the response states takes precedence, unless the operator overrides its lifetime, also in
/// fields for other caches, and so does what nobody can read: a malformed directive. A response that
/// may be meant for one user gets no default: not one that sets a cookie, nor one to a request with
/// credentials or a cookie, unless it is marked `public`.
pub(crate) fn default_lifetime(exchange: &Exchange<'_>, rules: &Rules) -> DefaultLifetime {
    let directives = &exchange.effective.directives;
    let facts = exchange.facts;
    let stated = exchange.freshness.is_explicit();
    let replaced = stated && rules.override_origin == OverrideOrigin::Lifetimes;
    let restricted = !exchange.effective.leave_lifetime_open()
        || directives.no_store
        || directives.no_cache.is_some()
        || directives.private.is_some();
    let cookie = exchange.response.contains_key(header::SET_COOKIE);
    let has_ground = match class(exchange.status) {
        StatusClass::Ordinary => {
            replaced || directives.public || is_heuristically_cacheable(exchange.status)
        }
        StatusClass::Error | StatusClass::Never => false,
    } && !blames_form(exchange.status);
    let one_user = if directives.public {
        None
    } else if facts.any_credential() {
        Some(NotStored::Authorization)
    } else if facts.counted_cookie() {
        Some(NotStored::Cookie)
    } else {
        None
    };
    match one_user {
        _ if !has_ground || restricted || cookie => {
            if replaced {
                DefaultLifetime::Lowering
            } else {
                DefaultLifetime::Refused
            }
        }
        Some(_) if replaced => DefaultLifetime::Lowering,
        _ if stated && !replaced => DefaultLifetime::Refused,
        Some(reason) => DefaultLifetime::Withheld(reason),
        None => DefaultLifetime::Allowed,
    }
}

/// Decides what a response that is not stored does to the stored one (RFC 9111 §4.3.3).
///
/// One client's exchange must not take away what the others have. So only the response to a plain
/// request can remove the stored one, and only if it says what everybody would get now. While the
/// stored one is fresh, it takes more: a success, a redirection, or a status that says that the
/// resource is gone. A stale one also goes when the resource is no longer open to everybody.
pub(crate) fn predecessor(
    status: StatusCode,
    requester: Requester,
    stored: Timeliness,
) -> Predecessor {
    let replaces = match stored {
        Timeliness::Fresh => match status.as_u16() {
            206 | 304 => false,
            200..=399 | 404 | 410 | 451 => true,
            _ => false,
        },
        Timeliness::Stale => match status.as_u16() {
            200..=599 => !concerns_form(status) && !status.is_server_error(),
            _ => false,
        },
    };
    if replaces && requester == Requester::Plain {
        Predecessor::Drop
    } else {
        Predecessor::Keep
    }
}

/// Whether a status answers the form of one request: its conditions, range, content, fields, or
/// moment. It says nothing about the response to a request of another form (RFC 9110 §13 to §15,
/// RFC 6585).
pub(crate) fn concerns_form(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        206 | 304 | 400 | 406 | 408 | 412..=417 | 421 | 425 | 426 | 428 | 429 | 431
    )
}

fn refused_by_status(exchange: &Exchange<'_>, rules: &Rules) -> Option<NotStored> {
    if *exchange.method != Method::GET {
        return Some(NotStored::Method);
    }
    match class(exchange.status) {
        StatusClass::Never => Some(NotStored::Status),
        _ if blames_form(exchange.status) && rules.error_statuses != ErrorStatusPolicy::Literal => {
            Some(NotStored::Status)
        }
        StatusClass::Error if rules.error_statuses == ErrorStatusPolicy::Refuse => {
            Some(NotStored::ErrorStatus)
        }
        StatusClass::Error | StatusClass::Ordinary => None,
    }
}

fn refused_by_directives(exchange: &Exchange<'_>) -> Option<NotStored> {
    let directives = &exchange.effective.directives;
    if directives.must_understand && !is_understood(exchange.status) {
        return Some(NotStored::NotUnderstood);
    }
    // `must-understand` replaces `no-store` (RFC 9111 §5.2.2.3), where it is clear what is meant.
    let replaced = directives.must_understand && !directives.malformed;
    if directives.no_store && !replaced {
        return Some(NotStored::NoStore);
    }
    matches!(directives.private, Some(Scope::Whole)).then_some(NotStored::Private)
}

/// Refuses a response that nothing makes cacheable (RFC 9111 §3): neither its directives, nor a
/// policy that may do so, nor, unless it is an error, its status.
fn not_cacheable(exchange: &Exchange<'_>, rules: &Rules) -> Option<NotStored> {
    let stated = exchange.freshness.is_explicit();
    let given = exchange.freshness.source == LifetimeSource::Policy;
    let public = exchange.effective.directives.public;
    match class(exchange.status) {
        StatusClass::Error => {
            let ground = stated || public && rules.error_statuses == ErrorStatusPolicy::Literal;
            (!ground || exchange.freshness.lifetime == 0).then_some(NotStored::ErrorStatus)
        }
        StatusClass::Never | StatusClass::Ordinary => {
            let ground = stated || given || public || is_heuristically_cacheable(exchange.status);
            (!ground).then_some(NotStored::NoGround)
        }
    }
}

fn refused_by_vary(vary: &Vary, rules: &Rules) -> Option<NotStored> {
    let Some(names) = vary.names() else {
        return Some(NotStored::VaryAny);
    };
    if names.len() > rules.max_vary_names {
        return Some(NotStored::VaryTooLong);
    }
    let credentials = names
        .iter()
        .any(|name| matches!(*name, header::AUTHORIZATION | header::COOKIE));
    (credentials && rules.vary_credentials == VaryCredentials::Refuse)
        .then_some(NotStored::VaryCredentials)
}

fn refused_by_fields(
    exchange: &Exchange<'_>,
    omitted: &[HeaderName],
    rules: &Rules,
) -> Option<NotStored> {
    let response = exchange.response;
    if rules.set_cookie == SetCookiePolicy::Refuse
        && cookie_fields().any(|name| response.contains_key(&name) && !omitted.contains(&name))
    {
        return Some(NotStored::SetCookie);
    }
    // The fields that `Connection` names are not stored. Without these, the copy would mean
    // something else.
    if hop::response_connection_options(response) == ConnectionOptions::Abusive {
        return Some(NotStored::ConnectionOptions);
    }
    // The field has a meaning only on 206 and 416 (RFC 9110 §14.4), which were refused before.
    if response.contains_key(header::CONTENT_RANGE)
        && rules.stray_content_range == StrayContentRange::Refuse
    {
        return Some(NotStored::ContentRange);
    }
    if response
        .get_all(header::CONTENT_TYPE)
        .iter()
        .any(|value| is_stream(value.as_bytes()))
    {
        return Some(NotStored::Stream);
    }
    match fields::content_length(response) {
        Length::Invalid => return Some(NotStored::Framing),
        // Both fields together are a sign of request smuggling (RFC 9112 §6.3).
        Length::Exactly(_) if response.contains_key(header::TRANSFER_ENCODING) => {
            return Some(NotStored::Framing);
        }
        Length::Exactly(length) if length > rules.max_body => return Some(NotStored::BodyTooLarge),
        Length::Absent | Length::Exactly(_) => {}
    }
    (head_len(response) > MAX_HEAD || response.len() > MAX_LINES).then_some(NotStored::HeadTooLarge)
}

/// Refuses a response that could never be reused: it needs validation and has no validator (RFC
/// 9111 §3).
fn not_reusable(exchange: &Exchange<'_>) -> Option<NotStored> {
    let freshness = exchange.freshness;
    let fresh = freshness.reuse != Reuse::Validate && freshness.ttl(freshness.initial_age) > 0;
    let is_open = |window: Option<u32>| window.is_some_and(|seconds| seconds > 0);
    let usable = fresh
        || is_open(freshness.stale_while_revalidate)
        || is_open(freshness.stale_if_error)
        || validate::has_validator(exchange.response);
    if usable {
        return None;
    }
    Some(if freshness.reuse == Reuse::Validate {
        NotStored::NoCache
    } else if freshness.is_explicit() || freshness.lifetime > 0 {
        NotStored::Expired
    } else {
        NotStored::NoLifetime
    })
}

fn refused_by_request(exchange: &Exchange<'_>) -> Option<NotStored> {
    let directives = &exchange.effective.directives;
    if exchange.request_directives.no_store {
        return Some(NotStored::RequestNoStore);
    }
    // Each of these directives permits a shared cache to reuse the response (RFC 9111 §3.5).
    let shared = directives.public || directives.s_maxage.is_some() || directives.must_revalidate;
    if exchange.facts.credentials() && !shared {
        return Some(NotStored::Authorization);
    }
    // Without any statement about caching, the origin may not have considered that the response
    // depends on who asks.
    if exchange.freshness.is_explicit() || directives.public || exchange.facts.is_plain() {
        return None;
    }
    if exchange.facts.any_credential() && !shared {
        return Some(NotStored::Authorization);
    }
    exchange.facts.counted_cookie().then_some(NotStored::Cookie)
}

/// The fields that the stored copy does not contain: those that `no-cache` or `private` name (RFC
/// 9111 §5.2.2.4, §5.2.2.7), and cookies if the settings say so.
fn omitted(exchange: &Exchange<'_>, rules: &Rules) -> Omitted {
    let directives = &exchange.effective.directives;
    let mut omitted: Omitted = [&directives.no_cache, &directives.private]
        .into_iter()
        .filter_map(|scope| match scope {
            Some(Scope::Fields(names)) => Some(names.iter().cloned()),
            Some(Scope::Whole) | None => None,
        })
        .flatten()
        .collect();
    if rules.set_cookie == SetCookiePolicy::Strip {
        omitted.extend(cookie_fields());
    }
    omitted.retain(|name| exchange.response.contains_key(&*name));
    omitted
}

fn cookie_fields() -> impl Iterator<Item = HeaderName> {
    [header::SET_COOKIE, HeaderName::from_static("set-cookie2")].into_iter()
}

/// Whether content of this type never ends, is sent in parts as events occur, or has its status in
/// the trailers.
fn is_stream(content_type: &[u8]) -> bool {
    let essence = content_type.split(|byte| *byte == b';').next();
    let essence = list::trim_ows(essence.unwrap_or_default());
    let grpc = essence
        .get(..b"application/grpc".len())
        .is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"application/grpc"));
    grpc || [
        "multipart/mixed",
        "multipart/x-mixed-replace",
        "text/event-stream",
    ]
    .iter()
    .any(|stream| essence.eq_ignore_ascii_case(stream.as_bytes()))
}

fn head_len(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum()
}

#[cfg(test)]
mod tests;
