//! Choosing among the stored variants of one key, and which of them a new one replaces (RFC 9111
//! §4 and §4.1).

use std::sync::Arc;

use http::HeaderMap;

use crate::semantics::rules::LanguageOrder;
use crate::semantics::vary::{PresentedFields, Seed, Selecting, Vary};

/// What selection needs to know about a stored response.
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

/// Selects the most recent of the stored variants that match `request`, each by its own `Vary`.
///
/// Its freshness plays no part: falling back to an older variant because that one is still fresh
/// would bring back what the origin has replaced.
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

/// The variants that stay when a new response to `request` is stored beside them.
///
/// Those that `request` matches go: the origin has just answered differently what they would have
/// answered. Among them are the variant with the same selecting header fields and, whatever the new
/// response varies on, one stored without `Vary`.
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

/// What a new response with the `Vary` `own` varies on, beside the stored variants of its key.
///
/// One without `Vary` inherits that of the most recent variant: origins forget the field on some
/// answers, and such a default answer must not be given to everyone (RFC 9111 §4.1).
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

/// Orders by `Date`, then by arrival. A `Date` in the future counts as the time of arrival, or one
/// response of an origin with a wrong clock would win for as long as it is stored.
fn recency(variant: &impl Variant) -> (i64, i64) {
    let arrival = variant.response_time();
    (variant.date().min(arrival), arrival)
}

#[cfg(test)]
mod tests;
