//! The list of a resource's variants: which one a request selects, and what the list becomes with a
//! new one.

use bytes::Bytes;

use super::{accept::is_ahead, selecting::SelectingHeaders};
use crate::codec::{Selector, VariantList, VariantRecord};

/// The most variants in one list.
const MAX_VARIANTS: usize = 64;

/// The id of the variant that a request selects: the most recent of those that match.
pub(super) fn select(list: &VariantList, request: &mut SelectingHeaders<'_>) -> Option<u64> {
    let matching = list
        .variants
        .iter()
        .filter(|variant| request.matches(&variant.selecting));
    matching
        .max_by_key(|variant| recency(variant))
        .map(|it| it.id)
}

/// The names of the selecting header fields of the most recent variant.
pub(super) fn newest_selecting_names(list: &VariantList) -> Vec<Bytes> {
    let newest = list.variants.iter().max_by_key(|variant| recency(variant));
    let selectors = newest.map_or(&[][..], |variant| &variant.selecting);
    selectors
        .iter()
        .map(|selector| selector.name.clone())
        .collect()
}

/// Adds a variant to its siblings. Siblings that the request of the new one selects are replaced by
/// it, those that have expired or are from the future are dropped, and of the others the most recent
/// stay.
pub(super) fn insert(
    siblings: Vec<VariantRecord>,
    new: VariantRecord,
    request: &mut SelectingHeaders<'_>,
    now_ms: i64,
) -> Vec<VariantRecord> {
    let mut kept: Vec<VariantRecord> = siblings
        .into_iter()
        .filter(|sibling| {
            sibling.id != new.id
                && sibling.until_ms > now_ms
                && !is_ahead(sibling.arrived_ms, now_ms)
                && !request.matches(&sibling.selecting)
        })
        .collect();
    kept.sort_by_key(recency);
    let most = MAX_VARIANTS - 1;
    kept.drain(..kept.len().saturating_sub(most));
    kept.push(new);
    kept
}

/// A copy in memory of its own. As it was read, a list keeps the whole read buffer of the
/// connection alive.
pub(super) fn copied(list: &VariantList) -> VariantList {
    let copied = |bytes: &Bytes| Bytes::copy_from_slice(bytes);
    let selector = |selector: &Selector| Selector {
        name: copied(&selector.name),
        value: selector.value,
    };
    let variant = |variant: &VariantRecord| VariantRecord {
        selecting: variant.selecting.iter().map(selector).collect(),
        ..*variant
    };
    VariantList {
        key: copied(&list.key),
        variants: list.variants.iter().map(variant).collect(),
    }
}

/// About how many bytes a list holds in memory.
pub(super) fn weight(list: &VariantList) -> u32 {
    let bytes: usize = list
        .variants
        .iter()
        .map(|variant| 96 + variant.selecting.len() * 96)
        .sum();
    u32::try_from(256 + list.key.len() + bytes).unwrap_or(u32::MAX)
}

/// Orders by `Date`, then by arrival (RFC 9111 §4.1). A `Date` in the future counts as the time of
/// arrival.
fn recency(variant: &VariantRecord) -> (i64, i64) {
    let arrived = variant.arrived_ms.div_euclid(1000);
    (variant.date.min(arrived), variant.arrived_ms)
}
