//! The value stored under one key: the variants of a resource.

use std::{slice, sync::Arc, time::Duration};

use crate::entry::Entry;

/// The variants of a resource: at least one, usually exactly one.
#[derive(Clone, Debug)]
pub(crate) enum Resource {
    One(Arc<Entry>),
    Many(Arc<[Arc<Entry>]>),
}

impl Resource {
    /// A resource of these variants, which come oldest first. It keeps at most `max` of the newest,
    /// fewer if they exceed `max_bytes` together. The newest is kept whatever its size. `None` if
    /// there are no variants.
    pub(crate) fn new(mut variants: Vec<Arc<Entry>>, max: usize, max_bytes: usize) -> Option<Self> {
        let mut bytes = 0_usize;
        let kept = variants
            .iter()
            .rev()
            .take(max)
            .enumerate()
            .take_while(|(newer, entry)| {
                bytes = bytes.saturating_add(entry.heap_bytes());
                *newer == 0 || bytes <= max_bytes
            })
            .count();
        variants.drain(..variants.len() - kept);
        match variants.len() {
            0 | 1 => variants.pop().map(Self::One),
            _ => Some(Self::Many(variants.into())),
        }
    }

    /// The variants, oldest first.
    pub(crate) fn variants(&self) -> &[Arc<Entry>] {
        match self {
            Self::One(entry) => slice::from_ref(entry),
            Self::Many(entries) => entries,
        }
    }

    /// How long to keep the resource: as long as the variant to be kept longest.
    pub(crate) fn keep(&self) -> Duration {
        self.variants()
            .iter()
            .map(|entry| entry.keep())
            .max()
            .unwrap_or_default()
    }

    /// The bytes that the variants and the list of them hold on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        let list = match self {
            Self::One(_) => 0,
            Self::Many(entries) => size_of_val::<[Arc<Entry>]>(entries) + 16,
        };
        list + self
            .variants()
            .iter()
            .map(|entry| entry.heap_bytes())
            .sum::<usize>()
    }
}
