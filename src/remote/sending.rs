//! Sends invalidations to the shared tier, in the background: in batches, those of stored resources
//! first, and if there are too many, the word to distrust everything instead.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::time::sleep;

use super::{
    distrust,
    fence::{Asked, FENCE, KEEP_TOMBSTONE, tombstone},
    invalidations::{Known, Lane, Pending, PendingInvalidation, SendingTask},
    location::RemoteKey,
    names::{Name, everything},
    remote::Remote,
    store::{Invalidation, Unanswered},
};
use crate::{codec::since, error::StoreError, executor::Tasks, semantics::decide::Validity};

/// How often, and how long each time, a write waits for a pending invalidation of its resource: one
/// second in total.
const WAITS: usize = 50;
const WAIT: Duration = Duration::from_millis(20);

/// The pause before what could not be sent is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

impl Remote {
    /// Tells the other nodes, in the background, that what is stored for a resource is invalid, or
    /// that a write to it got no answer. From now on this node uses nothing of it that is in the
    /// shared tier. `known` is whether this node has anything of it in memory.
    pub(crate) fn invalidate(
        self: &Arc<Self>,
        key: &RemoteKey,
        validity: Validity,
        known: Known,
        tasks: &Tasks,
    ) {
        let name = key.resource();
        let known = if self.known.contains(name) {
            Known::Stored
        } else {
            known
        };
        let invalidation = PendingInvalidation {
            name,
            epoch: self.nonce(),
            validity,
        };
        let start = self.invalidations.add(invalidation, known);
        self.start(start, tasks);
    }

    /// What is pending of the resource. What the shared tier has until that is sent must not be
    /// used.
    pub(crate) fn pending(&self, key: &RemoteKey) -> Pending {
        self.invalidations.of(key.resource())
    }

    /// The tier has, or will have, something under a key.
    pub(crate) fn remember_stored(&self, key: &RemoteKey) {
        self.known.insert(key.resource());
    }

    /// Waits for a while until a pending invalidation of the resource is sent. If it came after a
    /// response that is written now, it would invalidate that too.
    pub(super) async fn invalidation_sent(&self, resource: Name) {
        for _ in 0..WAITS {
            match self.invalidations.of(resource) {
                Pending::Epoch(..) => sleep(WAIT).await,
                Pending::Nothing | Pending::Everything => return,
            }
        }
    }

    fn start(self: &Arc<Self>, start: Option<SendingTask>, tasks: &Tasks) {
        let Some(start) = start else {
            return;
        };
        let sender = Sender {
            remote: Arc::downgrade(self),
            tasks: tasks.clone(),
            start,
        };
        // A request may be dropped where no runtime is entered.
        tasks.spawn(&self.executor(), async move {
            match start {
                SendingTask::Sending(lane) => send(&sender, lane).await,
                SendingTask::Distrusting => tell(&sender).await,
            }
        });
    }
}

/// What is done with a pending invalidation.
enum Message {
    Send(Invalidation),
    /// The tier has it already: only the answer was lost.
    Known,
    /// The tier did not say what it would replace.
    Later,
}

impl Message {
    fn to_send(&self) -> Option<Invalidation> {
        match self {
            Self::Send(invalidation) => Some(invalidation.clone()),
            Self::Known | Self::Later => None,
        }
    }
}

/// A task that sends. When it ends, however it does, another one may start.
struct Sender {
    remote: Weak<Remote>,
    tasks: Tasks,
    start: SendingTask,
}

impl Drop for Sender {
    fn drop(&mut self) {
        if let Some(remote) = self.remote.upgrade() {
            match self.start {
                SendingTask::Sending(lane) => remote.invalidations.sending_ended(lane),
                SendingTask::Distrusting => remote.invalidations.telling_ended(),
            }
        }
    }
}

/// Sends the invalidations of a lane, for as long as the cache exists.
async fn send(sender: &Sender, lane: Lane) {
    let mut failed = 0;
    while let Some(remote) = sender.remote.upgrade() {
        let batch = remote.invalidations.next(lane);
        if batch.is_empty() {
            return;
        }
        let done = remote.send_batch(&batch).await;
        for (invalidation, is_done) in batch.into_iter().zip(done) {
            let start = if is_done {
                remote.invalidations.sent(invalidation)
            } else {
                failed += 1;
                remote.invalidations.failed(invalidation)
            };
            remote.start(start, &sender.tasks);
        }
        // Those of the other lanes leave them at their first failure. Pause here once each was
        // tried.
        if matches!(lane, Lane::StoredAgain | Lane::UnknownAgain)
            && failed > 0
            && failed >= remote.invalidations.len(lane)
        {
            failed = 0;
            drop(remote);
            sleep(RETRY_PAUSE).await;
        }
    }
}

/// Tells the other nodes to distrust everything, for as long as that is due.
async fn tell(sender: &Sender) {
    while let Some(remote) = sender.remote.upgrade()
        && remote.invalidations.next_distrust()
    {
        let pause = match remote.distrust_everything().await {
            Ok(()) => {
                remote.invalidations.distrust_told();
                distrust::PAUSE
            }
            Err(error) => {
                remote.metrics().errors.increment(1);
                tracing::debug!(%error, "the other nodes could not be told to distrust everything");
                RETRY_PAUSE
            }
        };
        drop(remote);
        sleep(pause).await;
    }
}

impl Remote {
    /// Sends a batch. Returns for each whether it was sent.
    async fn send_batch(&self, batch: &[PendingInvalidation]) -> Vec<bool> {
        let messages = join_all(batch.iter().map(|it| self.message(*it))).await;
        let to_send: Vec<_> = messages.iter().filter_map(Message::to_send).collect();
        let sent = match self.store.invalidate(&to_send, FENCE).await {
            Ok(sent) => sent,
            Err(error) => {
                self.not_sent(&error);
                vec![false; to_send.len()]
            }
        };
        let mut sent = sent.into_iter();
        let is_sent = |message: &Message| match message {
            Message::Send(_) => sent.next().unwrap_or(false),
            Message::Known => true,
            Message::Later => false,
        };
        messages.iter().map(is_sent).collect()
    }

    /// What is sent of an invalidation.
    ///
    /// A write that got no answer ends the epoch that the tier has now, if that is known: of what is
    /// left of it, nothing has been invalidated.
    async fn message(&self, pending: PendingInvalidation) -> Message {
        let PendingInvalidation {
            name,
            epoch,
            validity,
        } = pending;
        let namespace = &self.limits().namespace;
        let main = name.main(namespace);
        let since = match validity {
            Validity::Unanswered => match self.store.head(&main).await {
                Ok(head) => head.and_then(|head| since(&head)),
                Err(error) => {
                    self.not_sent(&error);
                    return Message::Later;
                }
            },
            Validity::Valid | Validity::Invalidated => None,
        };
        if since == Some(epoch) {
            return Message::Known;
        }
        Message::Send(Invalidation {
            main,
            partitions: name.tombstone(namespace),
            tombstone: tombstone(epoch, epoch),
            unanswered: since.map(|since| Unanswered {
                notice: name.unanswered(namespace),
                tombstone: tombstone(epoch, since),
            }),
        })
    }

    fn not_sent(&self, error: &StoreError) {
        self.metrics().errors.increment(1);
        tracing::debug!(%error, "invalidations were not sent yet");
    }

    /// Tells the other nodes to distrust everything that was stored until now.
    async fn distrust_everything(&self) -> Result<(), StoreError> {
        let until = distrust::from(self.clock.wall_millis());
        let value = tombstone(u64::try_from(until).unwrap_or(0), self.nonce());
        let name = everything(&self.limits().namespace);
        self.store.put(&name, value, KEEP_TOMBSTONE).await?;
        self.distrust.until(until);
        self.metrics().distrusts.increment(1);
        let most = self.limits().max_pending;
        tracing::warn!(
            "more than {most} invalidations were waiting for the shared tier: all nodes \
             distrust what was stored until now"
        );
        Ok(())
    }

    // === What others tell ===

    /// Learns what the other nodes told this one to distrust, if that may have changed.
    pub(crate) async fn learn_distrust(&self) -> Result<(), StoreError> {
        let (store, clock) = (&*self.store, &*self.clock);
        let is_notified = self.tracker.is_connected();
        self.distrust.learn(store, clock, is_notified).await
    }

    /// Whether what arrived at this time, in milliseconds since the Unix epoch, is trusted, as far
    /// as this node has learnt.
    pub(crate) fn is_trusted(&self, arrived_ms: i64) -> bool {
        !self.distrust.covers(arrived_ms)
    }

    /// Whether what this node distrusts is up to date.
    pub(super) fn knows_distrust(&self) -> bool {
        let is_notified = self.tracker.is_connected();
        self.distrust.is_known(is_notified, self.clock.monotonic())
    }

    /// The moment before the tier is asked what a response will replace.
    pub(crate) fn asked(&self) -> Asked {
        Asked::now(&*self.clock, self.distrust.moment())
    }
}
