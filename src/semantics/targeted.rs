//! Targeted Cache-Control fields: directives for certain caches only (RFC 9213).

use http::{HeaderMap, HeaderName};
use sfv::{BareItem, Dictionary, Item, ListEntry, Parser};

use crate::semantics::cache_control::{Delta, ResponseDirectives, Scope};
use crate::semantics::list::{MAX_DELTA, joined, members};
use crate::semantics::rules::Rules;

/// The directives that apply to a response, and the field they come from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct EffectiveDirectives {
    pub(crate) directives: ResponseDirectives,
    pub(crate) source: DirectiveSource,
}

/// Which field the directives come from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum DirectiveSource {
    /// `Cache-Control`, together with `Expires`.
    CacheControl,
    /// A targeted field. This cache ignores `Cache-Control` and `Expires`.
    Targeted,
}

/// The directives that apply to this response (RFC 9213 §2.2): those of the first field in the list
/// of targets that is present, valid and not empty; otherwise those of `Cache-Control`.
pub(crate) fn effective(headers: &HeaderMap, rules: &Rules) -> EffectiveDirectives {
    let targeted = rules
        .targeted_cache_control
        .iter()
        .find_map(|name| parse(headers, name));
    match targeted {
        Some(directives) => EffectiveDirectives {
            directives,
            source: DirectiveSource::Targeted,
        },
        None => EffectiveDirectives {
            directives: ResponseDirectives::parse(headers, rules.duplicate_directives),
            source: DirectiveSource::CacheControl,
        },
    }
}

/// The directives of one targeted field, which is a Dictionary (RFC 9213 §2.1, RFC 9651 §3.2).
/// `None` if it is absent, empty, not a Dictionary, or has a value of the wrong type for a known
/// directive.
///
/// If a directive occurs twice the last one counts, as in any Dictionary.
fn parse(headers: &HeaderMap, name: &HeaderName) -> Option<ResponseDirectives> {
    let field = joined(headers.get_all(name))?;
    let dictionary: Dictionary = Parser::new(&field).parse().ok()?;
    if dictionary.is_empty() {
        return None;
    }
    let mut found = ResponseDirectives::default();
    for (key, value) in &dictionary {
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
            "stale-if-error" => found.stale_if_error = Some(seconds(value)?),
            "stale-while-revalidate" => found.stale_while_revalidate = Some(seconds(value)?),
            _ => {}
        }
    }
    Some(found)
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
