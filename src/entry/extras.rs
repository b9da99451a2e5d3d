//! What few entries have: a version in the shared tier, a history, tags. An entry without them pays for
//! one pointer.

use std::sync::Arc;

use super::{history::ChangeHistory, mark::RemoteVersion, parts::Head};
use crate::purge::Tags;

/// The parts of an entry that few entries have.
#[derive(Debug, Default)]
pub(super) struct Extras(Option<Box<ExtraParts>>);

#[derive(Debug, Default)]
struct ExtraParts {
    /// In a cache with a shared tier.
    remote_version: Option<RemoteVersion>,
    /// For a lifetime policy that learns.
    history: Option<Box<ChangeHistory>>,
    tags: Option<Arc<Tags>>,
}

impl Extras {
    pub(super) fn of(tags: Option<Arc<Tags>>) -> Self {
        Self::default().with(tags, |parts, tags| parts.tags = tags)
    }

    pub(super) fn with_remote_version(self, version: Option<RemoteVersion>) -> Self {
        self.with(version, |parts, version| parts.remote_version = version)
    }

    pub(super) fn with_history(self, history: Option<ChangeHistory>) -> Self {
        let history = history.map(Box::new);
        self.with(history, |parts, history| parts.history = history)
    }

    /// The same history with the tags of another head. The version is that of the other response.
    pub(super) fn with_tags_of(&self, head: &Head) -> Self {
        Self::of(head.meta.tags.clone()).with_history(self.history().cloned())
    }

    /// Sets one part. There is no box as long as there is nothing to put into it.
    fn with<T>(mut self, part: Option<T>, set: impl FnOnce(&mut ExtraParts, Option<T>)) -> Self {
        if part.is_some() || self.0.is_some() {
            set(self.0.get_or_insert_default(), part);
        }
        self
    }

    #[inline]
    pub(super) fn remote_version(&self) -> Option<&RemoteVersion> {
        self.0.as_ref()?.remote_version.as_ref()
    }

    #[inline]
    pub(super) fn history(&self) -> Option<&ChangeHistory> {
        self.0.as_ref()?.history.as_deref()
    }

    #[inline]
    pub(super) fn tags(&self) -> Option<&Arc<Tags>> {
        self.0.as_ref()?.tags.as_ref()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        /// The two counters of an `Arc`, and one word of the allocator.
        const SHARED: usize = 24;
        let Some(parts) = &self.0 else {
            return 0;
        };
        let history = parts.history.as_ref();
        let history = history.map_or(0, |_| size_of::<ChangeHistory>() + SHARED);
        let tags = parts.tags.as_ref();
        let tags = tags.map_or(0, |tags| size_of::<Tags>() + SHARED + tags.heap_bytes());
        size_of::<ExtraParts>() + SHARED + history + tags
    }
}
