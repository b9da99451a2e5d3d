//! When the selected entry must be validated with the origin, because of what other nodes did or may
//! have done.

use crate::{
    engine::context::RequestContext,
    entry::{Entry, RemoteVersion},
    remote::{Remote, RemoteValue, convert},
    semantics::decide::Validity,
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

/// The shared tier has this for the selected entry, in this epoch. If that is another epoch than the
/// entry's, or a tombstone, the entry was invalidated, unless it is certain that there was nothing but
/// writes without an answer.
pub(super) fn compare_epochs(
    cache: &Cache,
    remote: &Remote,
    context: &RequestContext,
    epoch: u64,
    found: &RemoteValue,
) {
    let selected = context.selected.as_ref();
    let Some((entry, version)) = selected.and_then(|entry| Some((entry, entry.remote_version()?)))
    else {
        return;
    };
    let own = version.stamp().epoch;
    match *found {
        RemoteValue::Tombstone {
            unanswered_since: Some(since),
        } if since == own && own != 0
            || since == 0
                && (version.is_unanswered_in(epoch)
                    || is_certain(cache, remote, entry, version)) =>
        {
            version.unanswered_in(epoch);
        }
        RemoteValue::Tombstone { .. } => version.invalidate(),
        RemoteValue::Entry { .. } | RemoteValue::Missing | RemoteValue::OtherVariants(_) => {
            if epoch != 0 && epoch != own && !version.is_unanswered_in(epoch) {
                version.invalidate();
            }
        }
    }
}

/// Whether this node would know of an invalidation since the entry arrived, and knows of none.
fn is_certain(cache: &Cache, remote: &Remote, entry: &Entry, version: &RemoteVersion) -> bool {
    let (arrived, now) = (entry.arrival().monotonic, cache.shared.clock.monotonic());
    let tracker = &remote.tracker;
    tracker.has_noticed_all(version) && !tracker.may_be_invalidated(version.slots(), arrived, now)
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
        // Of a write without an answer nothing is left that says what else there was.
        let is_valid = context.request.validity(cache, entry) == Validity::Valid;
        if remote.tracker.may_be_invalidated(slots, arrived, now)
            || is_valid && remote.tracker.may_be_unanswered(slots, arrived)
        {
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
