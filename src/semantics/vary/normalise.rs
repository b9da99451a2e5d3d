//! Brings values of selecting header fields that mean the same into the same form (RFC 9111 §4.1).

use http::header::{ACCEPT, ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE, COOKIE};
use http::{HeaderMap, HeaderName};
use smallvec::SmallVec;

use crate::semantics::list::{is_token, members, trim_ows};
use crate::semantics::rules::LanguageOrder;

/// Long enough for what browsers send, so that normalising stays off the heap.
pub(super) type Normalised = SmallVec<[u8; 256]>;

type NormalMember = SmallVec<[u8; 32]>;

/// All lines of the field as one value in its normal form.
///
/// Only fields known to be lists of preferences lose letter case, spacing, spelling of weights and,
/// where it means nothing, order. In any other value these may carry meaning: its lines are joined
/// and that is all. The same goes for a preference list that does not follow its grammar.
pub(super) fn normalise(
    name: &HeaderName,
    request: &HeaderMap,
    order: LanguageOrder,
) -> Normalised {
    let value = join(name, request);
    let preferences = match preference_order(name, order) {
        Some(order) => preferences(&value, order),
        None => None,
    };
    preferences.unwrap_or(value)
}

/// One value from several lines: `, ` between them (RFC 9110 §5.3), `; ` between lines of
/// cookies (RFC 9113 §8.2.3).
fn join(name: &HeaderName, request: &HeaderMap) -> Normalised {
    let separator = if name == COOKIE { b"; " } else { b", " };
    let mut value = Normalised::new();
    for (index, line) in request.get_all(name).iter().enumerate() {
        if index > 0 {
            value.extend_from_slice(separator);
        }
        value.extend_from_slice(trim_ows(line.as_bytes()));
    }
    // An empty last line leaves the space of a separator behind.
    value.truncate(trim_ows(&value).len());
    value
}

/// Whether the order of members may tell values apart.
#[derive(Clone, Copy)]
enum MemberOrder {
    Significant,
    Irrelevant,
}

/// `None` for a field that is not a list of preferences.
///
/// Weights alone rank codings (RFC 9110 §12.5.3). Origins that see equal weights in the other
/// fields often take the first member.
fn preference_order(name: &HeaderName, languages: LanguageOrder) -> Option<MemberOrder> {
    if name == ACCEPT_ENCODING {
        Some(MemberOrder::Irrelevant)
    } else if name == ACCEPT_LANGUAGE {
        Some(match languages {
            LanguageOrder::Keep => MemberOrder::Significant,
            LanguageOrder::Sort => MemberOrder::Irrelevant,
        })
    } else if name == ACCEPT || name == ACCEPT_CHARSET {
        Some(MemberOrder::Significant)
    } else {
        None
    }
}

/// `None` when a member does not follow the grammar. Quoted strings, which only `Accept` allows
/// and next to nobody sends, count as such.
fn preferences(value: &[u8], order: MemberOrder) -> Option<Normalised> {
    let mut members = members([value])
        .map(preference)
        .collect::<Option<SmallVec<[NormalMember; 8]>>>()?;
    if let MemberOrder::Irrelevant = order {
        // Stable: what a repeated range means is up to the origin.
        members.sort_by(|a, b| range(a).cmp(range(b)));
    }
    let mut list = Normalised::new();
    for (index, member) in members.iter().enumerate() {
        if index > 0 {
            list.push(b',');
        }
        list.extend_from_slice(member);
    }
    Some(list)
}

/// A media range, charset, coding or language range, then parameters, among them the weight
/// (RFC 9110 §12.4.2 and §12.5).
fn preference(member: &[u8]) -> Option<NormalMember> {
    let mut parts = member.split(|&byte| byte == b';').map(trim_ows);
    let range: NormalMember = parts.next()?.iter().map(u8::to_ascii_lowercase).collect();
    if !range.split(|&byte| byte == b'/').all(is_token) {
        return None;
    }
    let mut normal = NormalMember::from_slice(current_coding(&range));
    for parameter in parts.filter(|part| !part.is_empty()) {
        let equals = parameter.iter().position(|&byte| byte == b'=')?;
        let (name, value) = (&parameter[..equals], &parameter[equals + 1..]);
        if !is_token(name) || !is_token(value) {
            return None;
        }
        let value = match name {
            b"q" | b"Q" => match weight(value)? {
                b"1" => continue,
                weight => weight,
            },
            _ => value,
        };
        normal.push(b';');
        normal.extend(name.iter().map(u8::to_ascii_lowercase));
        normal.push(b'=');
        normal.extend_from_slice(value);
    }
    Some(normal)
}

/// The part of a normalised member that says what is preferred.
fn range(member: &[u8]) -> &[u8] {
    member
        .split(|&byte| byte == b';')
        .next()
        .unwrap_or_default()
}

/// The current name of a coding that has an old one too (RFC 9110 §8.4.1).
fn current_coding(range: &[u8]) -> &[u8] {
    match range {
        b"x-compress" => b"compress",
        b"x-gzip" => b"gzip",
        range => range,
    }
}

/// A weight without trailing zeros, `None` unless it follows the grammar (RFC 9110 §12.4.2).
fn weight(value: &[u8]) -> Option<&[u8]> {
    let (whole, decimals) = match value {
        [whole] => (whole, [].as_slice()),
        [whole, b'.', decimals @ ..] if decimals.len() <= 3 => (whole, decimals),
        _ => return None,
    };
    let valid = match whole {
        b'0' => decimals.iter().all(u8::is_ascii_digit),
        b'1' => decimals.iter().all(|&digit| digit == b'0'),
        _ => false,
    };
    let significant = decimals.iter().rposition(|&digit| digit != b'0');
    valid.then(|| match significant {
        Some(last) => &value[..=last + 2],
        None => &value[..1],
    })
}
