//! A server in memory, for tests: it behaves like Redis as far as time and order are concerned, and
//! injects faults.
//!
//! Its time is tokio's, so under paused time every expiry, timeout and delay is exact. All nodes
//! share one [`InMemoryServer`]; each has an [`InMemory`] of its own, whose watch and faults are
//! its own too. The cases of `conformance` hold for it and for Redis alike.

#![cfg(test)]

mod log;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    runtime::Handle,
    sync::{
        mpsc::{UnboundedSender, unbounded_channel},
        watch,
    },
    task::{JoinHandle, yield_now},
    time::{Instant, sleep, sleep_until, timeout},
};

use self::log::Log;
use super::{
    log::{LogReply, LogRequest, NotReplicated},
    store::{
        ConditionalPut, Invalidation, PutOutcome, RemoteFuture, RemoteLimits, RemoteStore, Watch,
        WatchEvent, WatchHandler,
    },
};
use crate::{
    codec::{Stamp, since, stamp},
    error::StoreError,
};

/// How long a node waits for an answer: as long as the client of Redis does by default.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_millis(50);
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_millis(250);

/// Where the stamp is in a value.
const STAMP: std::ops::Range<usize> = 4..20;

/// The longest expiry, as with Redis.
const MAX_KEEP: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

/// The server that all nodes share.
#[derive(Clone)]
pub(crate) struct InMemoryServer {
    runtime: Handle,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    stored: HashMap<String, Stored>,
    logs: HashMap<String, Log>,
    /// Tells the server from others that took its place.
    identity: u64,
    replicas: u32,
    watchers: Vec<Watcher>,
    writes: u64,
    operations: usize,
    /// The names of the values that were touched, in order.
    touched: Vec<String>,
}

struct Stored {
    value: Bytes,
    expires: Instant,
    /// Tells a value from others under the same name.
    write: u64,
}

struct Watcher {
    id: u64,
    prefix: String,
    node: Arc<NodeState>,
    events: UnboundedSender<(Instant, WatchEvent)>,
}

impl Watcher {
    fn send(&self, event: WatchEvent) {
        let due = Instant::now() + *self.node.delay.borrow();
        // The watch may be ending.
        let _ = self.events.send((due, event));
    }
}

/// What a node's operations come to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    None,
    /// They fail at once: there is no connection.
    Unavailable,
    /// They are not answered until this fault ends, and fail if that takes longer than the timeout.
    Hang,
    /// They are carried out at once, but their answers are lost.
    LoseAnswers,
    /// They are carried out and answered this much later.
    Slow(Duration),
}

/// The state of one node's connection.
struct NodeState {
    connected: AtomicBool,
    /// How much later events are received than they happen.
    delay: watch::Sender<Duration>,
    fault: watch::Sender<Fault>,
}

/// The server, as one node reaches it.
#[derive(Clone)]
pub(crate) struct InMemory {
    limits: Arc<RemoteLimits>,
    node: Arc<NodeState>,
    server: InMemoryServer,
}

// === The server ===

impl InMemoryServer {
    pub(crate) fn new() -> Self {
        Self {
            runtime: Handle::current(),
            state: Arc::default(),
        }
    }

    /// The connection of one more node. Its limits are those that Redis has by default, but for the
    /// pending invalidations, of which tests would take long to make as many.
    pub(crate) fn node(&self) -> InMemory {
        self.node_with(RemoteLimits {
            namespace: "cachewarp".to_owned(),
            max_value_bytes: 8 << 20,
            compression_threshold: Some(1 << 10),
            read_timeout: Duration::from_millis(50),
            purge_replicas: 0,
            max_pending: 4_096,
        })
    }

    pub(crate) fn node_with(&self, limits: RemoteLimits) -> InMemory {
        InMemory {
            limits: Arc::new(limits),
            node: Arc::new(NodeState {
                connected: AtomicBool::new(true),
                delay: watch::Sender::new(Duration::ZERO),
                fault: watch::Sender::new(Fault::None),
            }),
            server: self.clone(),
        }
    }

    /// The names of all that is stored.
    pub(crate) fn names(&self) -> Vec<String> {
        let state = self.state();
        let now = Instant::now();
        let live = state.stored.iter().filter(|(_, it)| it.expires > now);
        live.map(|(name, _)| name.clone()).collect()
    }

    /// What is stored under a name.
    pub(crate) fn value(&self, name: &str) -> Option<Bytes> {
        self.state().value(name)
    }

    /// In how long a value expires.
    pub(crate) fn expires_in(&self, name: &str) -> Option<Duration> {
        let state = self.state();
        let stored = state.live(name)?;
        Some(stored.expires - Instant::now())
    }

    /// How many operations nodes have begun so far.
    pub(crate) fn operations(&self) -> usize {
        self.state().operations
    }

    /// The names of the values that were touched since the last look, in order.
    pub(crate) fn touched(&self) -> Vec<String> {
        std::mem::take(&mut self.state().touched)
    }

    /// Stores a value by hand.
    pub(crate) fn set(&self, name: &str, value: Bytes, keep: Duration) {
        self.store(&mut self.state(), name, value, keep);
    }

    /// Deletes everything without a notification, like a `FLUSHALL` before the tracking connection
    /// has noticed it.
    pub(crate) fn clear(&self) {
        let mut state = self.state();
        state.stored.clear();
        state.logs.clear();
    }

    /// Removes all that expires, as a server may that has to evict something. A log does not expire.
    pub(crate) fn evict_responses(&self) {
        let mut state = self.state();
        state.stored.clear();
    }

    /// Removes a log, as a server does that has to evict something.
    pub(crate) fn evict(&self, name: &str) {
        let mut state = self.state();
        if state.logs.remove(name).is_some() {
            state.changed(name);
        }
    }

    /// Copies a log. Copied back it is as a replica has it that has not received what followed.
    pub(crate) fn copy_log(&self, from: &str, to: &str) {
        let mut state = self.state();
        let log = state.logs[from].clone();
        state.logs.insert(to.to_owned(), log);
        state.changed(to);
    }

    /// From here on this is another server, with the same content.
    pub(crate) fn take_over(&self) {
        self.state().identity += 1;
    }

    /// How many replicas acknowledge what is appended to a log: at first, none.
    pub(crate) fn replicate(&self, replicas: u32) {
        self.state().replicas = replicas;
    }

    fn store(&self, state: &mut State, name: &str, value: Bytes, keep: Duration) {
        let expires = Instant::now() + keep.clamp(Duration::from_millis(1), MAX_KEEP);
        state.writes += 1;
        let write = state.writes;
        let stored = Stored {
            value,
            expires,
            write,
        };
        state.stored.insert(name.to_owned(), stored);
        state.logs.remove(name);
        state.changed(name);
        // Removes it when it expires, unless it was replaced by then.
        let (state, name) = (Arc::downgrade(&self.state), name.to_owned());
        self.runtime.spawn(async move {
            sleep_until(expires).await;
            if let Some(state) = state.upgrade() {
                let mut state = state.lock().unwrap();
                if state.stored.get(&name).is_some_and(|it| it.write == write) {
                    state.remove(&name);
                }
            }
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    fn live(&self, name: &str) -> Option<&Stored> {
        let stored = self.stored.get(name)?;
        (stored.expires > Instant::now()).then_some(stored)
    }

    fn value(&self, name: &str) -> Option<Bytes> {
        self.live(name).map(|it| it.value.clone())
    }

    fn holds(&self, name: &str, value: &[u8]) -> bool {
        self.live(name).is_some_and(|it| it.value == value)
    }

    fn sync_log(&mut self, request: &LogRequest<'_>) -> Result<LogReply, NotReplicated> {
        let is_other = self.stored.remove(request.name).is_some();
        let new = || Log::new(request.new_id, self.identity);
        let found = self.logs.remove(request.name);
        let is_new = found.is_none();
        let mut log = found.unwrap_or_else(new);
        let (reply, changed) = log.sync(request, self.identity);
        self.logs.insert(request.name.to_owned(), log);
        if is_new || is_other || changed {
            self.changed(request.name);
        }
        if reply.appended.is_some() && self.replicas < request.replicas {
            return Err(NotReplicated {
                wanted: request.replicas,
                acknowledged: self.replicas,
            });
        }
        Ok(reply)
    }

    fn remove(&mut self, name: &str) {
        if self.stored.remove(name).is_some() {
            self.changed(name);
        }
    }

    fn changed(&self, name: &str) {
        for watcher in &self.watchers {
            let is_connected = watcher.node.connected.load(Ordering::SeqCst);
            if is_connected && name.starts_with(&watcher.prefix) {
                let name = Bytes::copy_from_slice(name.as_bytes());
                watcher.send(WatchEvent::Changed(name));
            }
        }
    }
}

impl fmt::Debug for InMemoryServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InMemoryServer")
    }
}

// === A node ===

impl InMemory {
    /// From here on operations of this node come to this.
    pub(crate) fn fail(&self, fault: Fault) {
        self.node.fault.send_replace(fault);
    }

    /// From here on this node receives events this much later than they happen.
    pub(crate) fn delay_events(&self, delay: Duration) {
        self.node.delay.send_replace(delay);
    }

    /// Interrupts the watch of this node: it misses what changes until
    /// [`reconnect`](Self::reconnect).
    pub(crate) fn disconnect(&self) {
        self.node.connected.store(false, Ordering::SeqCst);
        self.report(&WatchEvent::Disconnected);
    }

    pub(crate) fn reconnect(&self) {
        self.node.connected.store(true, Ordering::SeqCst);
        self.report(&WatchEvent::Connected);
    }

    fn report(&self, event: &WatchEvent) {
        let state = self.server.state();
        let is_own = |watcher: &&Watcher| Arc::ptr_eq(&watcher.node, &self.node);
        let own = state.watchers.iter().filter(is_own);
        own.for_each(|watcher| watcher.send(event.clone()));
    }

    /// Carries an operation out, as one step and as far as the fault allows.
    fn operate<'a, T: Send + 'a>(
        &'a self,
        most: Duration,
        operation: impl FnOnce(&InMemoryServer, &mut State) -> T + Send + 'a,
    ) -> RemoteFuture<'a, T> {
        self.server.state().operations += 1;
        let operation = move || operation(&self.server, &mut self.server.state());
        Box::pin(async move {
            let mut faults = self.node.fault.subscribe();
            let fault = *faults.borrow_and_update();
            match fault {
                // A server is never so quick that the answer is there at once.
                Fault::None => yield_now().await,
                Fault::Unavailable => return Err(StoreError::new("no connection")),
                Fault::Hang => {
                    let ends = faults.wait_for(|fault| *fault != Fault::Hang);
                    let ended = timeout(most, ends).await;
                    ended.map_err(StoreError::new)?.map_err(StoreError::new)?;
                }
                Fault::LoseAnswers => {
                    operation();
                    sleep(most).await;
                    return Err(StoreError::new("no answer"));
                }
                Fault::Slow(delay) if delay < most => sleep(delay).await,
                Fault::Slow(_) => {
                    sleep(most).await;
                    return Err(StoreError::new("no answer in time"));
                }
            }
            Ok(operation())
        })
    }

    fn read<'a, T: Send + 'a>(
        &'a self,
        operation: impl FnOnce(&State) -> T + Send + 'a,
    ) -> RemoteFuture<'a, T> {
        self.operate(READ_TIMEOUT, |_, state| operation(state))
    }

    fn write<'a, T: Send + 'a>(
        &'a self,
        bytes: usize,
        operation: impl FnOnce(&InMemoryServer, &mut State) -> T + Send + 'a,
    ) -> RemoteFuture<'a, T> {
        if bytes > self.limits.max_value_bytes {
            let error = format!("{bytes} bytes are more than `max_value_bytes`");
            return Box::pin(async { Err(StoreError::new(error)) });
        }
        self.operate(WRITE_TIMEOUT, operation)
    }
}

impl RemoteStore for InMemory {
    fn limits(&self) -> &RemoteLimits {
        &self.limits
    }

    fn is_available(&self) -> bool {
        *self.node.fault.borrow() != Fault::Unavailable
    }

    fn runtime(&self) -> &Handle {
        &self.server.runtime
    }

    fn get<'a>(&'a self, name: &'a str) -> RemoteFuture<'a, Option<Bytes>> {
        self.read(move |state| state.value(name))
    }

    fn get_two<'a>(
        &'a self,
        first: &'a str,
        second: &'a str,
    ) -> RemoteFuture<'a, (Option<Bytes>, Option<Bytes>)> {
        self.read(move |state| (state.value(first), state.value(second)))
    }

    fn peek<'a>(&'a self, name: &'a str) -> RemoteFuture<'a, Option<Stamp>> {
        self.read(move |state| stamp(&state.value(name)?))
    }

    fn head<'a>(&'a self, name: &'a str) -> RemoteFuture<'a, Option<Bytes>> {
        self.operate(WRITE_TIMEOUT, move |_, state| {
            let value = state.value(name).unwrap_or_default();
            Some(value.slice(..value.len().min(STAMP.end)))
        })
    }

    fn put_if<'a>(&'a self, put: ConditionalPut<'a>) -> RemoteFuture<'a, PutOutcome> {
        let companion = put.companion.as_ref().map_or(0, |(_, it, _)| it.len());
        let bytes = put.value.len() + companion;
        self.write(bytes, move |server, state| {
            let found = state.value(put.name);
            // Like the script: whatever has no stamp counts as nothing.
            let found = found.and_then(|it| it.get(STAMP).map(Bytes::copy_from_slice));
            let found = found.unwrap_or_else(|| Bytes::from_static(&[0; 16]));
            let (epoch, version) = found.split_at(8);
            if epoch != put.expected.epoch.to_be_bytes() {
                return PutOutcome::EpochChanged;
            }
            if version != put.expected.version.to_be_bytes() {
                return PutOutcome::VersionChanged;
            }
            if let Some((name, value, keep)) = put.companion {
                server.store(state, &name, value, keep);
            }
            server.store(state, put.name, put.value, put.keep);
            PutOutcome::Stored
        })
    }

    fn put<'a>(&'a self, name: &'a str, value: Bytes, keep: Duration) -> RemoteFuture<'a, ()> {
        self.write(value.len(), move |server, state| {
            server.store(state, name, value, keep);
        })
    }

    fn invalidate<'a>(
        &'a self,
        invalidations: &'a [Invalidation],
        at_least: Duration,
    ) -> RemoteFuture<'a, Vec<bool>> {
        if invalidations.is_empty() {
            return Box::pin(async { Ok(Vec::new()) });
        }
        self.operate(WRITE_TIMEOUT, move |server, state| {
            for invalidation in invalidations {
                let Invalidation {
                    main, partitions, ..
                } = invalidation;
                let ends = since(&state.value(main).unwrap_or_default());
                let unanswered = invalidation.unanswered.as_ref();
                let unanswered = unanswered.filter(|it| {
                    ends.is_some() && ends == stamp(&it.tombstone).map(|at| at.version)
                });
                let (notice, tombstone) = unanswered
                    .map_or((partitions, &invalidation.tombstone), |it| {
                        (&it.notice, &it.tombstone)
                    });
                let now = Instant::now();
                let left = state.live(main).map(|stored| stored.expires - now);
                let keep = left.unwrap_or_default().max(at_least);
                server.store(state, main, tombstone.clone(), keep);
                if notice != partitions {
                    state.remove(partitions);
                }
                state.stored.remove(notice);
                state.changed(notice);
            }
            vec![true; invalidations.len()]
        })
    }

    fn delete_if<'a>(&'a self, name: &'a str, value: &'a Bytes) -> RemoteFuture<'a, ()> {
        self.write(value.len(), move |_, state| {
            if state.holds(name, value) {
                state.remove(name);
            }
        })
    }

    fn acquire<'a>(
        &'a self,
        name: &'a str,
        token: &'a [u8],
        lease: Duration,
    ) -> RemoteFuture<'a, bool> {
        self.operate(READ_TIMEOUT, move |server, state| {
            let is_free = state.live(name).is_none();
            if is_free {
                server.store(state, name, Bytes::copy_from_slice(token), lease);
            }
            is_free
        })
    }

    fn extend<'a>(
        &'a self,
        name: &'a str,
        token: &'a [u8],
        lease: Duration,
    ) -> RemoteFuture<'a, bool> {
        self.operate(WRITE_TIMEOUT, move |server, state| {
            let holds = state.holds(name, token);
            if holds {
                server.store(state, name, Bytes::copy_from_slice(token), lease);
            }
            holds
        })
    }

    fn release<'a>(&'a self, name: &'a str, token: &'a [u8]) -> RemoteFuture<'a, bool> {
        self.operate(WRITE_TIMEOUT, move |_, state| {
            let holds = state.holds(name, token);
            if holds {
                state.remove(name);
            }
            holds
        })
    }

    fn touch<'a>(&'a self, names: &'a [String]) -> RemoteFuture<'a, ()> {
        self.operate(WRITE_TIMEOUT, move |_, state| {
            let live = names.iter().filter(|name| state.live(name).is_some());
            let live: Vec<_> = live.cloned().collect();
            state.touched.extend(live);
        })
    }

    fn sync_log<'a>(&'a self, request: LogRequest<'a>) -> RemoteFuture<'a, LogReply> {
        let most = if request.urgent {
            READ_TIMEOUT
        } else {
            WRITE_TIMEOUT
        };
        let synced = self.operate(most, move |_, state| state.sync_log(&request));
        Box::pin(async move { synced.await?.map_err(StoreError::new) })
    }

    fn watch(&self, prefix: String, on_event: WatchHandler) -> Box<dyn Watch> {
        let (events, mut received) = unbounded_channel();
        let task = self.server.runtime.spawn(async move {
            while let Some((due, event)) = received.recv().await {
                sleep_until(due).await;
                on_event(event);
            }
        });
        let mut state = self.server.state();
        state.writes += 1;
        let watcher = Watcher {
            id: state.writes,
            prefix,
            node: Arc::clone(&self.node),
            events,
        };
        if self.node.connected.load(Ordering::SeqCst) {
            watcher.send(WatchEvent::Connected);
        }
        let id = watcher.id;
        state.watchers.push(watcher);
        drop(state);
        let server = self.server.clone();
        Box::new(InMemoryWatch { id, server, task })
    }
}

impl fmt::Debug for InMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InMemory")
            .field("fault", &*self.node.fault.borrow())
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct InMemoryWatch {
    id: u64,
    server: InMemoryServer,
    task: JoinHandle<()>,
}

impl Watch for InMemoryWatch {}

impl Drop for InMemoryWatch {
    fn drop(&mut self) {
        self.task.abort();
        self.server.state().watchers.retain(|it| it.id != self.id);
    }
}
