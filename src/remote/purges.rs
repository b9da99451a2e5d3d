//! Purges across nodes: this node's copy of the log in the shared tier.
//!
//! Every purge is a row of one log in the shared tier. A node appends its own purges, and applies all
//! rows to its table ([`PurgeTable`]) in their order, each at a time of its own clock. A response in the
//! shared tier carries the number of the last row that its node had applied when its fetch began. To
//! another node it is as old as the moment at which that one applied the same row ([`AppliedRows`]), and
//! is compared with the table like an entry of memory.
//!
//! While a purge of this node could not be appended, nobody else knows of it. So responses from the
//! shared tier then count as older than that purge.
//!
//! A node that does not know of all that it missed uses neither memory nor the shared tier before it has
//! asked. If the log was lost, nobody knows what it said last: everything in memory counts as purged then,
//! and everything in the shared tier carries the id of another log. That costs fetches.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Mutex as AsyncMutex, Notify},
    time::timeout,
};

use super::{
    log::{Continuity, LogPosition, LogReply, LogRequest, LogRow},
    names::purges,
    store::RemoteStore,
};
use crate::{
    clock::Clock,
    codec::Applied,
    error::StoreError,
    metrics::PurgeLogMetrics,
    purge::{Mode, PurgeTable, PurgeTime, Subject},
    util::random::Random,
};

/// How many numbers the log goes back, and how many of them a node remembers.
const KEEP: u64 = 16_384;

/// How many rows may wait to be appended. With more, everything is purged in their place.
const MOST_PENDING: usize = 16_384;

/// How long after a failure what is pending is appended again. Each failure doubles it, up to the longer
/// one; a new connection ends it.
const RETRY: Duration = Duration::from_millis(200);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// How many rows are appended at once.
const BATCH: usize = 1_024;

/// What this node knows of the log of purges.
#[derive(Debug)]
pub(crate) struct PurgeLog {
    table: Arc<PurgeTable>,
    clock: Arc<dyn Clock>,
    store: Arc<dyn RemoteStore>,
    name: String,
    random: Random,
    metrics: OnceLock<PurgeLogMetrics>,
    /// Wakes who follows the log: it may have changed, or something is to be appended.
    changed: Arc<Notify>,
    state: Mutex<State>,
    /// Held while the shared tier is asked, so that rows are applied in their order.
    asking: AsyncMutex<()>,
    /// How often notifications may have been missed.
    missed: AtomicU64,
    /// How many of those had been before the log was last read. All, if nothing is missing.
    caught_up: AtomicU64,
    /// How often the log was read.
    reads: AtomicU64,
    /// How often it was asked for, and how often a request did without it.
    attempts: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// Up to where the log is applied.
    position: Option<LogPosition>,
    applied: AppliedRows,
    /// Purges of this node that the log does not have yet, the oldest first.
    pending: VecDeque<PendingRow>,
    /// How many purges of this node there were, and how many of them the log has.
    begun: u64,
    appended: u64,
    /// The number of the last one that the log has.
    last_seq: u64,
    /// When the background appends what is pending again, and how long it waited for that.
    append_again_at: Duration,
    pause: Duration,
}

/// A purge that the log does not have yet.
#[derive(Clone, Copy, Debug)]
struct PendingRow {
    /// How many there were before it.
    number: u64,
    row: LogRow,
    /// When it came into force here.
    time: PurgeTime,
}

/// When this node applied which row: the latest rows, in ascending order of both.
#[derive(Debug, Default)]
struct AppliedRows(VecDeque<(u64, PurgeTime)>);

impl AppliedRows {
    /// Begins anew: everything up to this row counts as applied now.
    fn begin(&mut self, seq: u64, time: PurgeTime) {
        self.0.clear();
        self.0.push_back((seq, time));
    }

    fn push(&mut self, seq: u64, time: PurgeTime) {
        if self.0.len() as u64 > KEEP {
            self.0.pop_front();
        }
        self.0.push_back((seq, time));
    }

    /// When the last row up to this one was applied. `None` if that is too long ago.
    fn time_of(&self, seq: u64) -> Option<PurgeTime> {
        let after = self.0.partition_point(|(row, _)| *row <= seq);
        after.checked_sub(1).map(|at| self.0[at].1)
    }

    /// The last row that was applied at this time.
    fn seq_at(&self, time: PurgeTime) -> Option<u64> {
        let after = self.0.partition_point(|(_, at)| *at <= time);
        after.checked_sub(1).map(|at| self.0[at].0)
    }
}

impl PurgeLog {
    pub(super) fn new(
        store: Arc<dyn RemoteStore>,
        clock: Arc<dyn Clock>,
        table: Arc<PurgeTable>,
    ) -> Self {
        Self {
            name: purges(&store.limits().namespace),
            table,
            clock,
            store,
            random: Random::new(),
            metrics: OnceLock::new(),
            changed: Arc::new(Notify::new()),
            state: Mutex::default(),
            asking: AsyncMutex::new(()),
            // Nothing has been read yet.
            missed: AtomicU64::new(1),
            caught_up: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            attempts: AtomicU64::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes who follows the log: it may have changed, or something is to be appended.
    pub(crate) fn changed(&self) -> &Arc<Notify> {
        &self.changed
    }

    /// Whether no row can have been missed without this node knowing.
    #[inline]
    pub(crate) fn is_caught_up(&self) -> bool {
        self.caught_up.load(Ordering::Acquire) == self.missed.load(Ordering::Acquire)
    }

    /// Rows may be missed from here on, or have been until here.
    pub(crate) fn may_have_missed(&self) {
        self.missed.fetch_add(1, Ordering::AcqRel);
    }

    /// Purges these subjects here, which is in force when this returns, and puts them into the queue of what
    /// is to be appended. Returns the time, and the place in the queue.
    ///
    /// Both is one step: a row that is applied in between would get a later time than this purge, and what
    /// other nodes stored after that row would count as younger.
    pub(crate) fn purge(&self, subjects: &[Subject], mode: Mode) -> (PurgeTime, Queued) {
        let mut state = self.state();
        let now = self.clock.monotonic();
        let time = self.table.purge(subjects, mode, now);
        if state.pending.len() + subjects.len() > MOST_PENDING {
            // The log has not been there for long. One row stands for all.
            tracing::warn!("too many purges are pending: everything is purged on the other nodes");
            let first = state.pending.front().map_or(time, |first| first.time);
            state.pending.clear();
            state.add(Subject::everything(), Mode::Hard, first);
        } else {
            for subject in subjects {
                state.add(*subject, mode, time);
            }
        }
        self.metrics().are_pending(state.pending.len());
        (time, Queued(state.begun))
    }

    fn metrics(&self) -> &PurgeLogMetrics {
        self.metrics.get_or_init(PurgeLogMetrics::register)
    }

    /// How many purges of this node the shared tier does not have yet.
    pub(crate) fn pending(&self) -> usize {
        self.state().pending.len()
    }

    /// The number in the log, once the log has everything up to this place in the queue.
    pub(crate) fn told(&self, queued: Queued) -> Option<u64> {
        let state = self.state();
        (state.appended >= queued.0).then_some(state.last_seq)
    }

    /// Reads what the log has, unless somebody else does since this was called. Appends what is pending.
    pub(crate) async fn sync(&self, urgency: Urgency) -> Result<(), StoreError> {
        let before = self.reads.load(Ordering::Acquire);
        let _asking = self.asking.lock().await;
        // One that began after this was called has read all that there was then, and appended it.
        if self.reads.load(Ordering::Acquire) > before + 1 {
            return Ok(());
        }
        self.ask(urgency).await
    }

    /// The same for a request, which waits no longer than for a read.
    pub(crate) async fn sync_in_time(&self) -> Result<(), StoreError> {
        let most = self.store.limits().read_timeout;
        match timeout(most, self.sync(Urgency::Request)).await {
            Ok(synced) => synced,
            // Somebody else asks, and may wait for longer.
            Err(elapsed) => {
                self.attempts.fetch_add(1, Ordering::AcqRel);
                Err(StoreError::new(elapsed))
            }
        }
    }

    /// The same until there is nothing left to append.
    pub(crate) async fn append(&self, queued: Queued) -> Result<(), StoreError> {
        while self.told(queued).is_none() {
            let _asking = self.asking.lock().await;
            if self.told(queued).is_none() {
                self.ask(Urgency::Purge).await?;
            }
        }
        Ok(())
    }

    /// The same for all that is pending at this moment.
    pub(crate) async fn append_all(&self) -> Result<(), StoreError> {
        let begun = self.state().begun;
        self.append(Queued(begun)).await
    }

    /// Appends what is pending and reads what the log has. If the rows were not recorded as they should be,
    /// what the log has is read all the same.
    async fn ask(&self, urgency: Urgency) -> Result<(), StoreError> {
        let pending: Vec<PendingRow> = match urgency {
            // It only has to know what was purged, and waits for no replica.
            Urgency::Request => Vec::new(),
            // An append that wants for replicas changes the log all the same, which is heard here too. It
            // must not be the reason for the next one.
            Urgency::Background if self.clock.monotonic() < self.state().append_again_at => {
                Vec::new()
            }
            Urgency::Background | Urgency::Purge => {
                let state = self.state();
                state.pending.iter().take(BATCH).copied().collect()
            }
        };
        let exchanged = self.exchange(urgency, &pending).await;
        if pending.is_empty() {
            return exchanged;
        }
        match exchanged {
            Ok(()) => {
                self.append_at_once();
                Ok(())
            }
            Err(error) => {
                let now = self.clock.monotonic();
                {
                    let mut state = self.state();
                    state.append_again_at = now + state.pause.max(RETRY);
                    state.pause = LONGEST_RETRY.min(state.pause.max(RETRY) * 2);
                }
                self.exchange(urgency, &[]).await?;
                match urgency {
                    Urgency::Purge => Err(error),
                    // All that the log has was read.
                    Urgency::Background | Urgency::Request => {
                        tracing::debug!(%error, "purges are pending");
                        Ok(())
                    }
                }
            }
        }
    }

    /// What failed before says nothing about the next append.
    pub(super) fn append_at_once(&self) {
        let mut state = self.state();
        state.append_again_at = Duration::ZERO;
        state.pause = Duration::ZERO;
    }

    /// In how long what is pending is appended again. `None` if nothing is.
    pub(crate) fn appends_in(&self) -> Option<Duration> {
        let state = self.state();
        let rest = state.append_again_at.saturating_sub(self.clock.monotonic());
        (!state.pending.is_empty()).then_some(rest)
    }

    async fn exchange(&self, urgency: Urgency, pending: &[PendingRow]) -> Result<(), StoreError> {
        let missed = self.missed.load(Ordering::Acquire);
        let position = self.state().position;
        let rows: Vec<LogRow> = pending.iter().map(|it| it.row).collect();
        let request = LogRequest {
            name: &self.name,
            position,
            append: &rows,
            new_id: self.random.next(),
            new_token: self.random.next(),
            keep: KEEP,
            urgent: urgency == Urgency::Request,
            replicas: self.store.limits().purge_replicas,
        };
        self.attempts.fetch_add(1, Ordering::AcqRel);
        let reply = self.store.sync_log(request).await?;
        self.apply(&reply, pending.last());
        // In this order: who finds it caught up finds the rows in the table.
        self.caught_up.fetch_max(missed, Ordering::AcqRel);
        self.reads.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// Applies what the log has beyond what was applied before. The pending rows up to `appended` are in
    /// it.
    fn apply(&self, reply: &LogReply, appended: Option<&PendingRow>) {
        let now = self.clock.monotonic();
        let mut state = self.state();
        let is_lost = match reply.continuity {
            Continuity::Continuous => false,
            // Before the first contact nothing can be missed, unless the log had been trimmed, or requests
            // did without it: what memory has by now may be older than what the log had lost.
            Continuity::First => reply.floor > 0 || self.attempts.load(Ordering::Acquire) > 1,
            Continuity::Replaced | Continuity::Gap => true,
        };
        if is_lost {
            let what = "the log of purges does not say what was purged last: memory is purged";
            match reply.continuity {
                // As a rule the shared tier was away until now, which has been said.
                Continuity::First => tracing::debug!("{what}"),
                continuity => tracing::warn!(?continuity, "{what}"),
            }
            self.table.purge(&[Subject::everything()], Mode::Hard, now);
        }
        if reply.continuity != Continuity::Continuous {
            state.applied.begin(reply.floor, self.table.tick(now));
        }
        for (seq, row) in &reply.rows {
            // A row of another version of this crate purges everything that it may mean.
            let (subject, mode) = match (
                Subject::from_number(row.subject),
                Mode::from_number(row.mode),
            ) {
                (Some(subject), Some(mode)) => (subject, mode),
                _ => (Subject::everything(), Mode::Hard),
            };
            let time = self.table.purge(&[subject], mode, now);
            state.applied.push(*seq, time);
        }
        state.position = Some(reply.head);
        if let (Some(last), Some(numbers)) = (appended, &reply.appended) {
            while state
                .pending
                .front()
                .is_some_and(|it| it.number <= last.number)
            {
                if let Some(row) = state.pending.pop_front() {
                    let begun = Duration::from_millis(row.time.millis());
                    self.metrics().recorded_after(now.saturating_sub(begun));
                }
            }
            self.metrics().are_pending(state.pending.len());
            state.appended = last.number + 1;
            state.last_seq = *numbers.end();
        }
    }

    /// When what another node stored counts as born here. `None` if it must not be used: it is of another
    /// log, from beyond the end of this one, or too old to know what was purged since.
    pub(crate) async fn born(&self, applied: Applied) -> Option<PurgeTime> {
        if self.is_behind(applied) {
            self.sync_in_time().await.ok()?;
        }
        let state = self.state();
        let position = state.position?;
        // What claims to know rows that the log never had would survive every purge until it has them.
        if position.id != applied.log || position.seq < applied.seq {
            return None;
        }
        let time = state.applied.time_of(applied.seq)?;
        Some(match state.pending.front() {
            // Nobody else knows of it, whatever else they know.
            Some(pending) => time.min(pending.time.before()),
            None => time,
        })
    }

    /// Whether a node that stored something had applied more than this one.
    fn is_behind(&self, applied: Applied) -> bool {
        let position = self.state().position;
        position.is_some_and(|it| it.id == applied.log && it.seq < applied.seq)
    }

    /// Where a response whose fetch began at this time stands in the log. `None` if the log was not known
    /// then: it must not be shared.
    pub(crate) fn applied_at(&self, born: PurgeTime) -> Option<Applied> {
        let state = self.state();
        Some(Applied {
            log: state.position?.id,
            seq: state.applied.seq_at(born)?,
        })
    }
}

/// Who waits for the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Urgency {
    /// A request, which goes on without the shared tier if this takes longer than a read may.
    Request,
    /// Somebody who purges.
    Purge,
    Background,
}

/// A place in the queue of purges to append.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Queued(u64);

impl Drop for PurgeLog {
    /// Ends the task that follows the log.
    fn drop(&mut self) {
        self.changed.notify_one();
    }
}

impl State {
    fn add(&mut self, subject: Subject, mode: Mode, time: PurgeTime) {
        let row = LogRow {
            mode: mode as u8,
            subject: subject.number(),
        };
        let number = self.begun;
        self.begun += 1;
        self.pending.push_back(PendingRow { number, row, time });
    }
}

/// How long a caller of a purge waits for the shared tier.
pub(crate) const TELL_WITHIN: Duration = Duration::from_millis(250);
