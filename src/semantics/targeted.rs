//! Targeted Cache-Control fields: directives for certain caches only (RFC 9213).

use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderName};
use sfv::{BareItem, Dictionary, Item, ListEntry, Parser};

use crate::semantics::cache_control::{Delta, ResponseDirectives, Scope, StaleWindow};
use crate::semantics::list::{MAX_DELTA, joined, members, trim_ows};
use crate::semantics::rules::{CacheKind, DuplicatePolicy, Rules};

/// Fields from before RFC 9213 that tell certain caches what `Cache-Control` tells all.
const SURROGATE_FIELDS: [&str; 2] = ["edge-control", "surrogate-control"];

/// The directives that apply to a response, and the field they come from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct EffectiveDirectives {
    pub(crate) directives: ResponseDirectives,
    pub(crate) source: DirectiveSource,
    pub(crate) others: OtherFields,
}

/// Which field the directives come from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum DirectiveSource {
    /// `Cache-Control`, together with `Expires`.
    CacheControl,
    /// A targeted field. This cache ignores `Cache-Control` and `Expires`.
    Targeted,
}

/// What the fields say that this cache does not obey: those for other caches, and `Cache-Control`
/// if a targeted field takes its place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum OtherFields {
    /// None of them objects to a lifetime.
    Open,
    /// One of them forbids to store the response, or to use it unvalidated, or cannot be read. What
    /// the origin states for this cache counts nevertheless. But if it states no lifetime, nobody
    /// else may give one.
    Forbid,
}

impl EffectiveDirectives {
    /// Whether somebody else than the origin may give this response a lifetime.
    pub(crate) fn leave_lifetime_open(&self) -> bool {
        !self.directives.malformed && self.others == OtherFields::Open
    }
}

/// The directives that apply to this response (RFC 9213 §2.2): those of the first field in the list
/// of targets that is present, valid and not empty; otherwise those of `Cache-Control`.
///
/// Invalid fields that come first in the list permit nothing, but what they restrict applies too.
pub(crate) fn effective(headers: &HeaderMap, rules: &Rules) -> EffectiveDirectives {
    let mut invalid = ResponseDirectives::default();
    let mut governing = None;
    for name in &rules.targeted_cache_control {
        match parse(headers, name) {
            Field::Silent => {}
            Field::Invalid(restrictions) => invalid.restrict(restrictions),
            Field::Valid(directives) => {
                governing = Some((name, directives));
                break;
            }
        }
    }
    let (name, mut directives, source) = match governing {
        Some((name, directives)) => (name, directives, DirectiveSource::Targeted),
        None => (
            &CACHE_CONTROL,
            ResponseDirectives::parse(headers, rules.duplicate_directives),
            DirectiveSource::CacheControl,
        ),
    };
    directives.restrict(invalid);
    if rules.kind == CacheKind::Private {
        directives = directives.for_private_cache();
    }
    EffectiveDirectives {
        directives,
        source,
        others: others(headers, name, rules.duplicate_directives),
    }
}

/// What all fields about caching say but for the `governing` one.
fn others(headers: &HeaderMap, governing: &HeaderName, duplicates: DuplicatePolicy) -> OtherFields {
    let forbidden = headers
        .keys()
        .filter(|name| *name != governing)
        .any(|name| match name.as_str() {
            "cache-control" => ResponseDirectives::parse(headers, duplicates).forbid_lifetime(),
            // `0` turns the caches off that know this field (nginx).
            "x-accel-expires" => headers.get_all(name).iter().any(|value| value == "0"),
            other if other.ends_with("-cache-control") || SURROGATE_FIELDS.contains(&other) => {
                match parse(headers, name) {
                    Field::Silent => false,
                    Field::Invalid(_) => true,
                    Field::Valid(directives) => directives.forbid_lifetime(),
                }
            }
            _ => false,
        });
    if forbidden {
        OtherFields::Forbid
    } else {
        OtherFields::Open
    }
}

/// What a targeted field says.
#[derive(Debug)]
enum Field {
    /// It is absent or empty.
    Silent,
    /// It is not a Dictionary, or has a value of the wrong type for a known directive. These
    /// directives are in it nevertheless, by the grammar of `Cache-Control`. What they restrict,
    /// they restrict as a whole.
    Invalid(ResponseDirectives),
    Valid(ResponseDirectives),
}

/// The directives of one targeted field, which is a Dictionary (RFC 9213 §2.1, RFC 9651 §3.2).
///
/// If a directive occurs twice the last one counts, as in any Dictionary, but one that restricts the
/// cache restricts it as a whole then: `private, private="x-a"`. Parameters mean nothing (RFC 9213 §2.1),
/// but one with the name of a restriction is that restriction: `public; no-store`.
fn parse(headers: &HeaderMap, name: &HeaderName) -> Field {
    let Some(field) = joined(headers.get_all(name)) else {
        return Field::Silent;
    };
    if let Ok(dictionary) = Parser::new(&field).parse::<Dictionary>() {
        if dictionary.is_empty() {
            return Field::Silent;
        }
        if let Some(mut directives) = directives(&dictionary) {
            let is_repeated = |directive: &str| {
                let lines = headers.get_all(name).iter();
                let named = members(lines).filter(|member| key(member) == directive.as_bytes());
                named.count() > 1
            };
            if directives.private.is_some() && is_repeated("private") {
                directives.private = Some(Scope::Whole);
            }
            if directives.no_cache.is_some() && is_repeated("no-cache") {
                directives.no_cache = Some(Scope::Whole);
            }
            return Field::Valid(directives);
        }
    }
    let mut found = ResponseDirectives::in_lines(headers.get_all(name), DuplicatePolicy::default());
    found.malformed = true;
    for scope in [&mut found.no_cache, &mut found.private] {
        *scope = scope.take().map(|_| Scope::Whole);
    }
    Field::Invalid(found)
}

/// The directives of a Dictionary. `None` if a known one has a value of the wrong type.
fn directives(dictionary: &Dictionary) -> Option<ResponseDirectives> {
    let mut found = ResponseDirectives::default();
    for (key, value) in dictionary {
        match key.as_str() {
            "immutable" => found.immutable = flag(value)?,
            "max-age" => found.max_age = Some(Delta::Seconds(seconds(value)?)),
            "must-revalidate" => found.must_revalidate = flag(value)?,
            "must-understand" => found.must_understand = flag(value)?,
            "no-cache" => found.no_cache = Some(scope(value)?),
            "no-store" => found.no_store = flag(value)?,
            "private" => found.private = Some(scope(value)?),
            "proxy-revalidate" => found.proxy_revalidate = flag(value)?,
            "public" => found.public = flag(value)?,
            "s-maxage" => found.s_maxage = Some(Delta::Seconds(seconds(value)?)),
            "stale-if-error" => found.stale_if_error = Some(window(value)?),
            "stale-while-revalidate" => found.stale_while_revalidate = Some(window(value)?),
            // `*no-store` is a key too.
            other => found.restrict_by_words(other.as_bytes()),
        }
    }
    for parameter in dictionary.values().flat_map(parameters) {
        found.restrict_by_words(parameter.as_bytes());
    }
    Some(found)
}

/// The key of a member as it is written.
fn key(member: &[u8]) -> &[u8] {
    let end = |byte: &u8| matches!(byte, b'=' | b';');
    trim_ows(member.split(end).next().unwrap_or(member))
}

/// The names of the parameters of a member.
fn parameters(value: &ListEntry) -> impl Iterator<Item = &str> {
    let parameters = match value {
        ListEntry::Item(item) => &item.params,
        ListEntry::InnerList(list) => &list.params,
    };
    parameters.keys().map(|key| key.as_str())
}

/// A directive without an argument: only Boolean true is valid.
fn flag(value: &ListEntry) -> Option<bool> {
    match bare(value)? {
        BareItem::Boolean(true) => Some(true),
        _ => None,
    }
}

/// A number of seconds: a non-negative Integer, limited like any delta-seconds.
fn seconds(value: &ListEntry) -> Option<u32> {
    let seconds = u64::try_from(i64::from(bare(value)?.as_integer()?)).ok()?;
    Some(u32::try_from(seconds).map_or(MAX_DELTA, |seconds| seconds.min(MAX_DELTA)))
}

/// A stale window: a number of seconds, or Boolean true.
fn window(value: &ListEntry) -> Option<StaleWindow> {
    match bare(value)? {
        BareItem::Boolean(true) => Some(StaleWindow::OfOperator),
        _ => seconds(value).map(StaleWindow::Seconds),
    }
}

/// The scope of `no-cache` or `private`: Boolean true, or field names in a String or in an Inner
/// List of Strings.
fn scope(value: &ListEntry) -> Option<Scope> {
    match value {
        ListEntry::Item(item) => match &item.bare_item {
            BareItem::Boolean(true) => Some(Scope::Whole),
            BareItem::String(names) => Some(Scope::of_fields(members([names.as_str()]))),
            _ => None,
        },
        ListEntry::InnerList(list) => {
            let names: Option<Vec<_>> = list.items.iter().map(field_name).collect();
            Some(Scope::of_fields(names?))
        }
    }
}

fn field_name(item: &Item) -> Option<&[u8]> {
    Some(item.bare_item.as_string()?.as_str().as_bytes())
}

fn bare(value: &ListEntry) -> Option<&BareItem> {
    match value {
        ListEntry::Item(item) => Some(&item.bare_item),
        ListEntry::InnerList(_) => None,
    }
}

#[cfg(test)]
mod tests;
