//! When the selected entry must be validated with the origin, because of what other nodes did or may
//! have done.

use crate::{
    engine::context::RequestContext,
    remote::{Remote, convert},
    state::cache::Cache,
};

/// The selected entry was invalidated by another node: it may be validated with the origin, but not
/// served before that.
pub(super) fn invalidate_selected(context: &RequestContext) {
    let selected = context.selected.as_ref();
    if let Some(version) = selected.and_then(|entry| entry.remote_version()) {
        version.invalidate();
    }
}

/// The shared tier has nothing of the selected entry. That was evicted, or else invalidated too long
/// ago for a tombstone to be left.
pub(super) fn invalidate_if_unknown(cache: &Cache, remote: &Remote, context: &RequestContext) {
    let selected = context.selected.as_ref();
    if let Some(entry) = selected
        && let Some(version) = entry.remote_version()
    {
        let (arrived, now) = (entry.arrival().monotonic, cache.shared.clock.monotonic());
        let slots = version.slots();
        if remote.tracker.may_be_invalidated(slots, arrived, now) {
            version.invalidate();
        }
    }
}

/// Whether the selected entry may be used, if it is still current.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Selected {
    Trusted,
    /// Invalidations that may concern it were given up. It must be validated with the origin.
    Distrusted,
}

pub(super) fn distrust_selected(
    cache: &Cache,
    remote: &Remote,
    context: &RequestContext,
) -> Selected {
    let selected = context.selected.as_ref();
    match selected.and_then(|entry| Some((entry, entry.remote_version()?))) {
        Some((entry, version))
            if !remote.is_trusted(convert::arrived_ms(entry, &*cache.shared.clock)) =>
        {
            version.invalidate();
            Selected::Distrusted
        }
        Some(_) | None => Selected::Trusted,
    }
}
