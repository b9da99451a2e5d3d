//! What this node sends to the shared tier: responses it stored, and that responses are gone.
//! Always behind the response to the client, never before it.

use std::{
    pin::pin,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use super::{
    fence::KEEP_TOMBSTONE,
    lease::Lease,
    location::RemoteKey,
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
    semantics::rules::LanguageOrder,
};

/// How long to wait for the notification of an own write.
const OWN_NOTIFICATION: Duration = Duration::from_secs(1);

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
        let arrived_ms = pending.record.arrived_ms;
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
            if let Ok(true) = self.still_has(&key, version, &mut request).await
                && self.knows_distrust()
                && self.is_trusted(arrived_ms)
            {
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
