//! Selects among the stored variants of a key, and decides which of them a new variant replaces
//! (RFC 9111 §4, §4.1).

use std::sync::Arc;

use http::HeaderMap;

use crate::semantics::rules::LanguageOrder;
use crate::semantics::vary::{PresentedFields, Seed, Selecting, Vary};

/// What the selection needs of a stored response.
pub(crate) trait Variant {
    /// The selecting header fields of the request it answered.
    fn selecting(&self) -> &Selecting;

    /// Its `Date`, in seconds since the Unix epoch.
    fn date(&self) -> i64;

    /// When it was received, in seconds since the Unix epoch.
    fn response_time(&self) -> i64;
}

impl<V: Variant> Variant for Arc<V> {
    fn selecting(&self) -> &Selecting {
        (**self).selecting()
    }

    fn date(&self) -> i64 {
        (**self).date()
    }

    fn response_time(&self) -> i64 {
        (**self).response_time()
    }
}

/// Selects the most recent of the stored variants that match `request`. Each is matched by its own
/// `Vary`.
///
/// Freshness does not matter: an older variant that is still fresh may be one that the origin has
/// replaced.
pub(crate) fn select<'a, V: Variant>(
    stored: &'a [V],
    request: &HeaderMap,
    seed: Seed,
    order: LanguageOrder,
) -> Option<&'a V> {
    if let Some(exact) = Selecting::exactly(stored, V::selecting, request, seed) {
        return Some(exact);
    }
    let mut presented = PresentedFields::new(request, seed, order);
    stored
        .iter()
        .filter(|variant| presented.selects(variant.selecting()))
        .max_by_key(|variant| recency(*variant))
}

/// The variants that stay when a new response to `request` is stored.
///
/// The variants that match `request` are replaced: the new response answers what they would have
/// answered. Among them are the variant with the same selecting header fields, and a variant
/// without `Vary`.
pub(crate) fn survivors<'a, V: Variant>(
    stored: &'a [V],
    request: &'a HeaderMap,
    seed: Seed,
    order: LanguageOrder,
) -> impl Iterator<Item = &'a V> {
    let mut presented = PresentedFields::new(request, seed, order);
    stored
        .iter()
        .filter(move |variant| !presented.selects(variant.selecting()))
}

/// The `Vary` of a new response that itself has `own`, among the stored variants of its key.
///
/// A response without `Vary` inherits that of the most recent variant. Many origins omit the field
/// on some responses, and such a response must not answer every request (RFC 9111 §4.1).
pub(crate) fn inherit<V: Variant>(own: Vary, stored: &[V]) -> Vary {
    if own != Vary::Absent {
        return own;
    }
    stored
        .iter()
        .filter(|variant| !variant.selecting().is_empty())
        .max_by_key(|variant| recency(*variant))
        .map_or(Vary::Absent, |variant| {
            Vary::Names(variant.selecting().names().cloned().collect())
        })
}

/// Orders by `Date`, then by arrival. A `Date` in the future counts as the time of arrival.
/// Otherwise a response from an origin with a wrong clock would be selected as long as it is
/// stored.
fn recency(variant: &impl Variant) -> (i64, i64) {
    let arrival = variant.response_time();
    (variant.date().min(arrival), arrival)
}

#[cfg(test)]
mod tests;
