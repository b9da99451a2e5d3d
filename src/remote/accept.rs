//! What is accepted from the shared tier: no more than from the origin.
//!
//! A value that decodes may still be one that no node wrote. Whoever can write to the server can
//! choose every field of it, and the checksum tells damage, not malice. So a response is judged by
//! the rules for responses of the origin before it becomes an entry of this process.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{CONTENT_LENGTH, SET_COOKIE},
};
use smallvec::SmallVec;

use super::{convert, location::RemoteKey, log::LAST_SEQ, selecting::variant_id};
use crate::{
    codec::{EntryRecord, Selector, Value, VariantList},
    semantics::{
        cache_control::RequestDirectives,
        classify::Facts,
        hop::{self, ConnectionOptions},
        rules::{Rules, SetCookiePolicy},
        storable::{Exchange, NotStored, Storable, storable},
        targeted,
        vary::{self, Vary},
    },
};

/// How far the clocks of nodes may be apart: 5 s, in milliseconds.
///
/// A response of a node whose clock is ahead arrived in the future of this one. Its age does not
/// grow until this clock is there too, so it is served for longer than its lifetime by as much as
/// the clocks are apart. Nodes that synchronise their clocks are a fraction of a second apart, and a
/// few seconds while they smooth out a leap second. More than that is a clock that is wrong.
const MAX_AHEAD: i64 = 5_000;

/// By what a value is judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acceptance<'a> {
    pub(crate) rules: &'a Rules,
    /// The time of this node, in milliseconds since the Unix epoch.
    pub(crate) now_ms: i64,
}

/// Why a value is not used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refusal {
    /// It is from the future. Of two clocks either may be wrong, so the value stays for others.
    Ahead,
    /// No node writes this.
    Forged(Forgery),
}

/// What no node writes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Forgery {
    /// A body with a status that has none.
    Body,
    /// A number that stands for nothing.
    Code,
    /// A field name or value that HTTP does not allow, or more fields than a head can have.
    Field,
    /// The value of another key.
    Key,
    /// Another kind of value than the name is for.
    Kind,
    /// A response that the origin would not have stored either.
    NotStored(NotStored),
    /// Selecting fields that are not those of the response, or not of the name it is stored under.
    Selecting,
}

/// What of a value is used.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Accepted {
    /// All of it.
    Whole,
    /// All but fields that are never stored, and a `Content-Length` that was wrong.
    Cleaned,
}

impl Acceptance<'_> {
    /// Judges a value that was stored for `key` under the name of `variant`, and removes what is
    /// never stored.
    pub(super) fn judge(
        &self,
        key: &RemoteKey,
        variant: Option<u64>,
        value: &mut Value,
    ) -> Result<Accepted, Refusal> {
        let accepted = match (value, variant) {
            (Value::Entry(record), _) if record.key != key.key => Err(Forgery::Key),
            (Value::Entry(record), _) if variant_id(&record.selecting) != variant => {
                Err(Forgery::Selecting)
            }
            (Value::Entry(record), _) if self.is_ahead(record.arrived_ms) => {
                return Err(Refusal::Ahead);
            }
            (Value::Entry(record), _) => self.clean(record),
            (Value::Variants(list), None) if list.key != key.key => Err(Forgery::Key),
            (Value::Variants(list), None) => self.check(list),
            (Value::Tombstone, None) => Ok(Accepted::Whole),
            (Value::Variants(_) | Value::Tombstone, Some(_)) => Err(Forgery::Kind),
        };
        accepted.map_err(Refusal::Forged)
    }

    /// Whether a response that arrived then is from the future.
    fn is_ahead(&self, arrived_ms: i64) -> bool {
        is_ahead(arrived_ms, self.now_ms)
    }

    fn check(&self, list: &VariantList) -> Result<Accepted, Forgery> {
        let is_own = |selecting: &[Selector], id| {
            variant_id(selecting) == Some(id) && selecting.len() <= self.rules.max_vary_names
        };
        let mut variants = list.variants.iter();
        if variants.all(|variant| is_own(&variant.selecting, variant.id)) {
            Ok(Accepted::Whole)
        } else {
            Err(Forgery::Selecting)
        }
    }

    /// Judges a response as if the origin had sent it.
    fn clean(&self, record: &mut EntryRecord) -> Result<Accepted, Forgery> {
        let status = StatusCode::from_u16(record.status).map_err(|_| Forgery::Code)?;
        let freshness = convert::freshness(record).ok_or(Forgery::Code)?;
        let applied = record.purgeable.as_ref().and_then(|it| it.applied);
        if applied.is_some_and(|it| it.seq > LAST_SEQ) {
            return Err(Forgery::Code);
        }
        let mut headers = headers(record).ok_or(Forgery::Field)?;
        let selecting = names(&record.selecting).ok_or(Forgery::Selecting)?;
        let body: u64 = record.body.iter().map(|part| part.len() as u64).sum();
        if body > self.rules.max_body {
            return Err(Forgery::NotStored(NotStored::BodyTooLarge));
        }
        if body > 0 && status == StatusCode::NO_CONTENT {
            return Err(Forgery::Body);
        }
        // Of a response that a node stored there is no such field left, so this says it again.
        if hop::response_connection_options(&headers) == ConnectionOptions::Abusive {
            return Err(Forgery::NotStored(NotStored::ConnectionOptions));
        }
        let lines = headers.len();
        hop::strip(&mut headers);
        if self.rules.set_cookie != SetCookiePolicy::Store {
            headers.remove(SET_COOKIE);
            headers.remove("set-cookie2");
        }
        let corrected = correct_length(&mut headers, status, body);
        let vary = covered(&headers, &selecting)?;
        let effective = targeted::effective(&headers, self.rules);
        let exchange = Exchange {
            method: &Method::GET,
            // What concerns the request was judged by the node that stored the response.
            facts: &Facts::default(),
            request_directives: &RequestDirectives::default(),
            status,
            response: &headers,
            effective: &effective,
            freshness: &freshness,
            vary: &vary,
        };
        match storable(&exchange, self.rules) {
            Storable::Refuse(reason) => return Err(Forgery::NotStored(reason)),
            Storable::Store(omitted) => {
                for name in omitted {
                    headers.remove(name);
                }
            }
        }
        if headers.len() == lines && corrected == Corrected::Nothing {
            return Ok(Accepted::Whole);
        }
        record.headers = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        Ok(Accepted::Cleaned)
    }
}

/// Whether a response that arrived at this time of another node is from the future of this one.
pub(super) fn is_ahead(arrived_ms: i64, now_ms: i64) -> bool {
    arrived_ms > now_ms.saturating_add(MAX_AHEAD)
}

/// The head of a response. `None` if HTTP does not allow it, or if it has too many lines.
fn headers(record: &EntryRecord) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in record.headers.iter() {
        let name = HeaderName::from_bytes(name).ok()?;
        let value = HeaderValue::from_bytes(value).ok()?;
        headers.try_append(name, value).ok()?;
    }
    Some(headers)
}

fn names(selecting: &[Selector]) -> Option<SmallVec<[HeaderName; 4]>> {
    let names = selecting.iter();
    names
        .map(|selector| HeaderName::from_bytes(&selector.name).ok())
        .collect()
}

#[derive(Eq, PartialEq)]
enum Corrected {
    Length,
    Nothing,
}

/// Makes `Content-Length`, if there is one, that of the body. A wrong one would end the response
/// too early or too late on the wire (RFC 9112 §6.3). A 204 has none (RFC 9110 §8.6).
fn correct_length(headers: &mut HeaderMap, status: StatusCode, body: u64) -> Corrected {
    let mut stated = headers.get_all(CONTENT_LENGTH).iter();
    let (first, more) = (stated.next(), stated.next());
    let right = HeaderValue::from(body);
    match first {
        None => return Corrected::Nothing,
        Some(length) if status != StatusCode::NO_CONTENT => {
            if more.is_none() && *length == right {
                return Corrected::Nothing;
            }
            headers.insert(CONTENT_LENGTH, right);
        }
        Some(_) => {
            headers.remove(CONTENT_LENGTH);
        }
    }
    Corrected::Length
}

/// The selecting fields, if what the response itself names is among them. Otherwise it would answer
/// requests that it does not match (RFC 9111 §4.1).
fn covered(headers: &HeaderMap, selecting: &[HeaderName]) -> Result<Vary, Forgery> {
    // Whether a response varies on `Origin` depends on the request that it was stored for.
    let own = vary::effective(&HeaderMap::new(), headers);
    let Some(named) = own.names() else {
        return Err(Forgery::NotStored(NotStored::VaryAny));
    };
    if named.iter().all(|name| selecting.contains(name)) {
        Ok(Vary::Absent.or_names(selecting))
    } else {
        Err(Forgery::Selecting)
    }
}

#[cfg(test)]
mod tests;
