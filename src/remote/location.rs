//! Where the response to a request is in the shared tier.

use bytes::Bytes;

use super::names::Name;
use crate::key::{Dimensions, RequestKey};

/// A cache key as the shared tier uses it.
#[derive(Clone, Debug)]
pub(crate) struct RemoteKey {
    pub(super) name: Name,
    /// The whole cache key, which every value carries.
    pub(super) key: Bytes,
    /// The name of the resource, if the key has further dimensions than that. An invalidation of
    /// the resource cannot find all its partitions, so a partition is compared with the resource's
    /// tombstone whenever it is read.
    pub(super) partition_of: Option<Name>,
}

impl RemoteKey {
    pub(crate) fn of(key: &RequestKey) -> Self {
        let bytes = key.as_bytes();
        Self {
            name: Name::of(bytes),
            key: Bytes::copy_from_slice(bytes),
            partition_of: match key.dimensions() {
                Dimensions::Plain => None,
                Dimensions::Extended => Some(Name::of(key.resource_bytes())),
            },
        }
    }

    /// The name of the resource, under which invalidations of it are known.
    pub(super) fn resource(&self) -> Name {
        self.partition_of.unwrap_or(self.name)
    }

    /// Whether the key has further dimensions than the resource.
    pub(crate) fn is_partition(&self) -> bool {
        self.partition_of.is_some()
    }

    /// The whole cache key.
    pub(crate) fn cache_key(&self) -> Bytes {
        self.key.clone()
    }
}
