//! Reads from the shared tier: what it has for a request, and whether it still has a known version.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join;

use super::{
    accept::{Acceptance, Accepted, Refusal},
    fence::{Asked, KEEP_TOMBSTONE, unanswered_since},
    location::RemoteKey,
    remote::Remote,
    selecting::SelectingHeaders,
    variants,
};
use crate::{
    codec::{
        Body, Compression, DecodeError, EntryRecord, Stamp, Value, VariantList, announced_size,
        decode, encode, stamp,
    },
    entry::{RemoteVersion, Snapshot},
    error::StoreError,
};

/// From this many bytes on a value is encoded and decoded by a thread that may block, as
/// compression takes milliseconds. The body counts as it is before or after compression, whichever
/// is larger.
pub(super) const LARGE: usize = 128 << 10;

/// Which version of a key the shared tier had when it was asked. A later write replaces that one
/// only.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ObservedVersion {
    /// The stamp of what is stored under the main name.
    pub(super) main: Stamp,
    /// The epoch of the resource. Every invalidation begins another.
    pub(crate) epoch: u64,
    /// Taken before the shared tier was asked.
    pub(crate) snapshot: Snapshot,
    /// The moment of that.
    pub(super) asked: Asked,
}

impl ObservedVersion {
    /// What the shared tier will have once a pending invalidation is there. After a write without an
    /// answer it may have another version, and who writes in its place has to look.
    pub(crate) fn invalidated(epoch: u64, snapshot: Snapshot, asked: Asked) -> Self {
        Self {
            main: Stamp {
                epoch,
                version: epoch,
            },
            epoch,
            snapshot,
            asked,
        }
    }

    /// This version, which the shared tier still has.
    pub(crate) fn of(version: &RemoteVersion, snapshot: Snapshot, asked: Asked) -> Self {
        Self {
            main: version.stamp(),
            epoch: version.stamp().epoch,
            snapshot,
            asked,
        }
    }

    /// Whether there was nothing.
    pub(crate) fn is_missing(self) -> bool {
        self.main == Stamp::default()
    }
}

/// What the shared tier has for a request.
#[derive(Debug)]
pub(crate) enum RemoteValue {
    /// The response that the request selects.
    Entry { record: EntryRecord, stamp: Stamp },
    /// A tombstone: the resource was invalidated, or a write to it got no answer, and nothing was
    /// stored since.
    Tombstone {
        /// The epoch that ended, if only writes without an answer ended it.
        unanswered_since: Option<u64>,
    },
    /// Nothing.
    Missing,
    /// Variants, none of which the request selects: the names of the selecting header fields of the
    /// most recent one.
    OtherVariants(Vec<Bytes>),
}

/// An answer of the shared tier.
#[derive(Debug)]
pub(crate) struct RemoteRead {
    pub(crate) value: RemoteValue,
    pub(crate) observed: ObservedVersion,
}

impl Remote {
    /// Reads what is stored for a request with these selecting header fields, and used if it is
    /// accepted. `snapshot` and `asked` were taken just now.
    pub(crate) async fn read(
        &self,
        key: &RemoteKey,
        request: &mut SelectingHeaders<'_>,
        acceptance: &Acceptance<'_>,
        snapshot: Snapshot,
        asked: Asked,
    ) -> Result<RemoteRead, StoreError> {
        let main = self.main_name(key);
        let (first, epoch, read_ahead) = match key.partition_of {
            Some(resource) => {
                let tombstone = self.tombstone_name(resource);
                let (first, found) = self.store.get_two(&main, &tombstone).await?;
                match found.and_then(|found| stamp(&found)) {
                    Some(at) => (first, Some(at.epoch), None),
                    // There may have been one that was evicted, so nothing older is used.
                    None => (None, Some(self.begin_epoch(&tombstone).await?), None),
                }
            }
            None => match self.remembered_variant(key, request) {
                Some(id) => {
                    let variant = self.variant_name(key, id);
                    let (first, second) = self.store.get_two(&main, &variant).await?;
                    (first, None, second.map(|bytes| (id, bytes)))
                }
                None => (self.store.get(&main).await?, None, None),
            },
        };
        let taken = match &first {
            Some(bytes) => self.take(key, None, &main, bytes, acceptance).await,
            None => Taken::Nothing,
        };
        let (value, at) = match taken {
            Taken::Value(value, at) => (Some(value), at),
            Taken::ForOthers(at) => (None, at),
            Taken::Nothing => (None, Stamp::default()),
        };
        let observed = ObservedVersion {
            main: at,
            epoch: epoch.unwrap_or(at.epoch),
            snapshot,
            asked,
        };
        let value = match value {
            Some(Value::Tombstone) => RemoteValue::Tombstone {
                unanswered_since: unanswered_since(at),
            },
            Some(Value::Entry(record)) if at.epoch == observed.epoch => {
                RemoteValue::Entry { record, stamp: at }
            }
            Some(Value::Variants(list)) => {
                let epoch = observed.epoch;
                self.read_variant(key, &list, read_ahead, epoch, request, acceptance)
                    .await?
            }
            Some(Value::Entry(_)) | None => RemoteValue::Missing,
        };
        Ok(RemoteRead { value, observed })
    }

    /// Reads the variant that the request selects.
    async fn read_variant(
        &self,
        key: &RemoteKey,
        list: &VariantList,
        read_ahead: Option<(u64, Bytes)>,
        epoch: u64,
        request: &mut SelectingHeaders<'_>,
        acceptance: &Acceptance<'_>,
    ) -> Result<RemoteValue, StoreError> {
        let list = Arc::new(variants::copied(list));
        self.lists.insert(key.name, Arc::clone(&list));
        let others = || RemoteValue::OtherVariants(variants::newest_selecting_names(&list));
        let Some(id) = variants::select(&list, request) else {
            return Ok(others());
        };
        let name = self.variant_name(key, id);
        let bytes = match read_ahead {
            Some((ahead, bytes)) if ahead == id => Some(bytes),
            _ => self.store.get(&name).await?,
        };
        let Some(bytes) = bytes else {
            return Ok(others());
        };
        Ok(
            match self.take(key, Some(id), &name, &bytes, acceptance).await {
                Taken::Value(Value::Entry(record), at)
                    if at.epoch == epoch && request.matches(&record.selecting) =>
                {
                    RemoteValue::Entry { record, stamp: at }
                }
                Taken::Value(..) | Taken::ForOthers(_) | Taken::Nothing => others(),
            },
        )
    }

    /// The variant that the request selected when the list was last read.
    fn remembered_variant(
        &self,
        key: &RemoteKey,
        request: &mut SelectingHeaders<'_>,
    ) -> Option<u64> {
        let list = self.lists.get(&key.name)?;
        (list.key == key.key)
            .then(|| variants::select(&list, request))
            .flatten()
    }

    /// Begins the first epoch of a resource. If several nodes do that at once, the first one
    /// decides.
    async fn begin_epoch(&self, tombstone: &str) -> Result<u64, StoreError> {
        let epoch = self.nonce();
        let first = Stamp {
            epoch,
            version: epoch,
        };
        let value = encode(&Value::Tombstone, first, Compression::Off);
        if self
            .store
            .acquire(tombstone, &value, KEEP_TOMBSTONE)
            .await?
        {
            return Ok(epoch);
        }
        let found = self.store.peek(tombstone).await?;
        Ok(found.map_or(epoch, |at| at.epoch))
    }

    /// Whether the shared tier still has `version` for such a request. Reads no body.
    pub(crate) async fn still_has(
        &self,
        key: &RemoteKey,
        version: &RemoteVersion,
        request: &mut SelectingHeaders<'_>,
    ) -> Result<bool, StoreError> {
        let main = self.main_name(key);
        let same = |found: Option<Stamp>| found == Some(version.stamp());
        if let Some(resource) = key.partition_of {
            let found = self.store.peek(&self.tombstone_name(resource)).await?;
            if found.is_none_or(|at| at.epoch != version.stamp().epoch) {
                return Ok(false);
            }
        }
        let Some(id) = version.variant() else {
            return Ok(same(self.store.peek(&main).await?));
        };
        let variant = self.variant_name(key, id);
        let (list, found) = join(self.store.get(&main), self.store.peek(&variant)).await;
        let list = match list? {
            Some(bytes) => self.decoded(&bytes, Body::LeftOut).await,
            None => None,
        };
        let is_selected = match list {
            Some(Ok((Value::Variants(list), _))) if list.key == key.key => {
                variants::select(&list, request) == Some(id)
            }
            Some(_) | None => false,
        };
        Ok(is_selected && same(found?))
    }

    /// Decodes a value that was read for `key` under the name of `variant`, and takes of it what is
    /// accepted. What no node wrote is deleted.
    async fn take(
        &self,
        key: &RemoteKey,
        variant: Option<u64>,
        name: &str,
        bytes: &Bytes,
        acceptance: &Acceptance<'_>,
    ) -> Taken {
        let body = Body::AtMost(acceptance.rules.max_body);
        let (mut value, at) = match self.decoded(bytes, body).await {
            Some(Ok(decoded)) => decoded,
            Some(Err(error)) => return self.undecodable(name, bytes, error),
            None => return Taken::Nothing,
        };
        match acceptance.judge(key, variant, &mut value) {
            Ok(Accepted::Whole) => Taken::Value(value, at),
            Ok(Accepted::Cleaned) => {
                self.metrics().refused_fields.increment(1);
                tracing::warn!(
                    name,
                    "a value in the shared tier has fields that no node stores"
                );
                Taken::Value(value, at)
            }
            Err(Refusal::Ahead) => {
                self.metrics().refused_ahead.increment(1);
                tracing::debug!(name, "a value in the shared tier is from the future");
                Taken::ForOthers(at)
            }
            Err(Refusal::Forged(forgery)) => {
                self.metrics().refused_forged.increment(1);
                tracing::warn!(name, ?forgery, "a value in the shared tier is of no node");
                self.delete(name, bytes);
                Taken::Nothing
            }
        }
    }

    /// What is taken of a value that does not decode: one that no node wrote is deleted.
    fn undecodable(&self, name: &str, bytes: &Bytes, error: DecodeError) -> Taken {
        match error {
            DecodeError::Compression => {
                self.metrics().refused_compressed.increment(1);
                tracing::debug!(name, "a value in the shared tier is compressed");
                stamp(bytes).map_or(Taken::Nothing, Taken::ForOthers)
            }
            error => {
                self.delete_undecodable(name, bytes, &error);
                Taken::Nothing
            }
        }
    }

    /// Decodes a value without its body. One that does not decode is deleted.
    pub(super) async fn decode_or_delete(
        &self,
        name: &str,
        bytes: &Bytes,
    ) -> Option<(Value, Stamp)> {
        match self.decoded(bytes, Body::LeftOut).await? {
            Ok(decoded) => Some(decoded),
            Err(error) => {
                self.delete_undecodable(name, bytes, &error);
                None
            }
        }
    }

    /// Decodes a value, a large one on a thread that may block. `None` if that thread ended early,
    /// which it does when the runtime shuts down.
    async fn decoded(
        &self,
        bytes: &Bytes,
        body: Body,
    ) -> Option<Result<(Value, Stamp), DecodeError>> {
        if decodes_quickly(bytes, body) {
            return Some(decode(bytes, body));
        }
        let bytes = bytes.clone();
        let decoding = move || decode(&bytes, body);
        self.store.runtime().spawn_blocking(decoding).await.ok()
    }

    fn delete_undecodable(&self, name: &str, bytes: &Bytes, error: &DecodeError) {
        self.metrics().undecodable.increment(1);
        tracing::warn!(name, %error, "a value in the shared tier does not decode");
        self.delete(name, bytes);
    }

    /// Deletes a value in the background, unless it was replaced.
    fn delete(&self, name: &str, bytes: &Bytes) {
        let (store, name) = (Arc::clone(&self.store), name.to_owned());
        let bytes = bytes.clone();
        self.store.runtime().spawn(async move {
            if let Err(error) = store.delete_if(&name, &bytes).await {
                tracing::debug!(name, %error, "the value was not deleted");
            }
        });
    }
}

/// Whether a value takes so little time to decode that any thread may do it.
fn decodes_quickly(bytes: &[u8], body: Body) -> bool {
    let body = match body {
        Body::AtMost(_) => announced_size(bytes),
        Body::LeftOut => 0,
    };
    bytes.len() < LARGE && body < LARGE as u64
}

/// What was taken of a value that was read.
#[derive(Debug)]
enum Taken {
    Value(Value, Stamp),
    /// Nothing. Another node may use it: it stays until this node replaces it.
    ForOthers(Stamp),
    Nothing,
}

#[cfg(test)]
mod tests;
