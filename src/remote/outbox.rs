//! What this node sends to the shared tier: responses it stored, responses that are gone, and
//! invalidations. Always behind the response to the client, never before it.

use std::{
    pin::pin,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{
    sync::OwnedSemaphorePermit,
    time::{sleep, timeout},
};

use super::{
    invalidations::{Added, KEEP_TOMBSTONE, MAX_PENDING, PendingInvalidation},
    lease::Lease,
    location::RemoteKey,
    names::Name,
    read::ObservedVersion,
    remote::Remote,
    selecting::SelectingHeaders,
    store::{ConditionalPut, PutOutcome},
    write::{ATTEMPTS, PendingWrite},
};
use crate::{
    clock::Clock,
    codec::{Compression, Stamp, Value, encode},
    entry::Entry,
    error::StoreError,
    executor::Tasks,
    semantics::rules::LanguageOrder,
};

/// How long to wait for the notification of an own write.
const OWN_NOTIFICATION: Duration = Duration::from_secs(1);

/// How often, and how long each time, a write waits for a pending invalidation of its resource: one
/// second in total.
const INVALIDATION_WAITS: usize = 50;
const INVALIDATION_WAIT: Duration = Duration::from_millis(20);

/// By how much a response is kept less long than a tombstone, which covers the time of its fetch.
const MARGIN: Duration = Duration::from_secs(60 * 60);

/// The pause before invalidations that could not be sent are tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// The longest time that a response is kept in the shared tier. A tombstone that it is compared
/// with must outlive it.
pub(crate) const LONGEST_KEEP: Duration = KEEP_TOMBSTONE.saturating_sub(MARGIN);

// === Responses ===

impl Remote {
    /// Gives a response that was stored in memory, as `entry`, to the other nodes. What is `held`
    /// is released as soon as they have it.
    pub(crate) async fn publish(
        &self,
        pending: PendingWrite,
        order: LanguageOrder,
        clock: &dyn Clock,
        held: (Option<Arc<Lease>>, OwnedSemaphorePermit),
        entry: &Weak<Entry>,
    ) {
        let (key, request) = (pending.key.clone(), pending.request.clone());
        let subscription = self.subscribe(&key);
        let mut own_notification = pin!(subscription.changed());
        own_notification.as_mut().enable();
        self.invalidation_sent(key.resource()).await;
        let written = self.write(pending, order, clock).await;
        drop(held);
        match written {
            Ok(PutOutcome::Stored) => self.metrics().writes.increment(1),
            Ok(PutOutcome::VersionChanged | PutOutcome::EpochChanged) => {
                self.metrics().writes_dropped.increment(1);
                return;
            }
            Err(error) => {
                self.metrics().errors.increment(1);
                self.metrics().writes_dropped.increment(1);
                tracing::debug!(%error, "a response was not written to the shared tier");
                return;
            }
        }
        // This node is notified of its own write like every other. Before a request uses the entry,
        // see that nothing else changed. Nothing is to be done if it is no longer in memory.
        if self.tracker.is_connected()
            && timeout(OWN_NOTIFICATION, own_notification).await.is_ok()
            && let Some(entry) = entry.upgrade()
            && let Some(version) = entry.remote_version()
        {
            let snapshot = self.tracker.snapshot(version.slots());
            let mut request = SelectingHeaders::new(&request, order);
            if let Ok(true) = self.still_has(&key, version, &mut request).await {
                version.validated_at(snapshot);
            }
        }
    }

    /// Removes what the other nodes have for a key, as the origin has it no longer. Anything that
    /// replaced the observed version in the meantime stays, except for variants, which are removed
    /// together with their list.
    pub(crate) async fn withdraw(
        &self,
        key: &RemoteKey,
        observed: ObservedVersion,
        variant: Option<u64>,
    ) {
        let main = self.main_name(key);
        let removed = self.replace_with_tombstone(&main, observed.main, variant);
        if let Err(error) = removed.await {
            self.metrics().errors.increment(1);
            tracing::debug!(%error, "a response was not removed from the shared tier");
        }
    }

    /// Replaces the observed value with a tombstone. The stamp that was observed of a variant is
    /// its own, not that of its list, so the list's is read first.
    async fn replace_with_tombstone(
        &self,
        main: &str,
        observed: Stamp,
        variant: Option<u64>,
    ) -> Result<(), StoreError> {
        let tombstone = Stamp {
            epoch: observed.epoch,
            version: self.nonce(),
        };
        let mut expected = observed;
        for _ in 0..ATTEMPTS {
            if variant.is_some() {
                match self.store.peek(main).await? {
                    Some(stored) if stored.epoch == observed.epoch => expected = stored,
                    Some(_) | None => return Ok(()),
                }
            }
            let put = ConditionalPut {
                name: main,
                expected,
                value: encode(&Value::Tombstone, tombstone, Compression::Off),
                keep: KEEP_TOMBSTONE,
                companion: None,
            };
            let outcome = self.store.put_if(put).await?;
            if outcome != PutOutcome::VersionChanged || variant.is_none() {
                return Ok(());
            }
        }
        Ok(())
    }
}

// === Invalidations ===

impl Remote {
    /// Tells the other nodes, in the background, that what is stored for a resource is invalid.
    /// From now on this node uses nothing of it that is in the shared tier.
    pub(crate) fn invalidate(self: &Arc<Self>, key: &RemoteKey, tasks: &Tasks) {
        let invalidation = PendingInvalidation {
            name: key.resource(),
            epoch: self.nonce(),
        };
        match self.invalidations.add(invalidation) {
            Added::AlreadySending => {}
            Added::QueueFull => {
                self.metrics().invalidations_lost.increment(1);
                tracing::warn!("invalidation not propagated: queue full ({MAX_PENDING})");
            }
            Added::StartSending => {
                // A request may be dropped where no runtime is entered.
                tasks.spawn(&self.executor(), send(Sender(Arc::downgrade(self))));
            }
        }
    }

    /// The epoch that a pending invalidation of the resource begins. What the shared tier has until
    /// it is sent must not be used.
    pub(crate) fn pending_epoch(&self, key: &RemoteKey) -> Option<u64> {
        self.invalidations.epoch_of(key.resource())
    }

    /// Waits for a while until a pending invalidation of the resource is sent. If it came after a
    /// response that is written now, it would invalidate that too.
    async fn invalidation_sent(&self, resource: Name) {
        for _ in 0..INVALIDATION_WAITS {
            if self.invalidations.epoch_of(resource).is_none() {
                return;
            }
            sleep(INVALIDATION_WAIT).await;
        }
    }

    async fn put_tombstones(&self, invalidation: PendingInvalidation) -> Result<(), StoreError> {
        let PendingInvalidation { name, epoch } = invalidation;
        let stamp = Stamp {
            epoch,
            version: epoch,
        };
        let value = encode(&Value::Tombstone, stamp, Compression::Off);
        let namespace = &self.limits().namespace;
        let (main, for_partitions) = (name.main(namespace), name.tombstone(namespace));
        let store = &self.store;
        store
            .put(&for_partitions, value.clone(), KEEP_TOMBSTONE)
            .await?;
        store.put(&main, value, KEEP_TOMBSTONE).await
    }
}

/// The task that sends invalidations. When it ends, however it does, another one may start.
struct Sender(Weak<Remote>);

impl Drop for Sender {
    fn drop(&mut self) {
        if let Some(remote) = self.0.upgrade() {
            remote.invalidations.sending_ended();
        }
    }
}

/// Sends all pending invalidations, for as long as the cache exists.
async fn send(sender: Sender) {
    let mut failed = 0;
    while let Some(remote) = sender.0.upgrade()
        && let Some(invalidation) = remote.invalidations.next()
    {
        match remote.put_tombstones(invalidation).await {
            Ok(()) => remote.invalidations.sent(invalidation),
            Err(error) => {
                remote.metrics().errors.increment(1);
                tracing::debug!(%error, "an invalidation was not sent yet");
                failed += 1;
                // Pause once each of the others was tried as well.
                if failed >= remote.invalidations.len() {
                    failed = 0;
                    drop(remote);
                    sleep(RETRY_PAUSE).await;
                }
            }
        }
    }
}
