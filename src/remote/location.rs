//! Where the response to a request is kept.

use bytes::Bytes;

use super::names::Name;
use crate::key::{Dimensions, RequestKey};

/// A key, its name, and whose partition it is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) name: Name,
    pub(super) key: Bytes,
    /// The name of the resource, if the key holds more than that: an invalidation of the resource
    /// cannot find all its partitions, so each is compared with the resource's fence when read.
    pub(super) partition_of: Option<Name>,
}

impl Place {
    pub(super) fn of(key: &RequestKey) -> Self {
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

    /// The name that invalidations of the resource are told under.
    pub(super) fn resource(&self) -> Name {
        self.partition_of.unwrap_or(self.name)
    }
}
