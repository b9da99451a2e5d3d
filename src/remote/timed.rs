//! Measures how long each operation of a server takes, whoever asks for it.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use tokio::runtime::Handle;

use super::{
    log::{LogReply, LogRequest},
    store::{
        ConditionalPut, Invalidation, PutOutcome, RemoteFuture, RemoteLimits, RemoteStore, Watch,
        WatchHandler,
    },
};
use crate::{
    clock::Clock,
    codec::Stamp,
    metrics::{RemoteDurations, RemoteOperation},
};

/// A server whose operations are timed. Those before the first request are not: metrics are
/// registered then.
#[derive(Debug)]
pub(super) struct TimedStore {
    store: Arc<dyn RemoteStore>,
    clock: Arc<dyn Clock>,
    durations: Arc<OnceLock<RemoteDurations>>,
}

impl TimedStore {
    pub(super) fn new(
        store: Arc<dyn RemoteStore>,
        clock: Arc<dyn Clock>,
        durations: Arc<OnceLock<RemoteDurations>>,
    ) -> Self {
        Self {
            store,
            clock,
            durations,
        }
    }

    /// Times an operation to its end, whatever that is. One that is dropped has none.
    fn time<'a, T: 'a>(
        &'a self,
        operation: RemoteOperation,
        carried_out: RemoteFuture<'a, T>,
    ) -> RemoteFuture<'a, T> {
        let Some(durations) = self.durations.get() else {
            return carried_out;
        };
        Box::pin(async move {
            let began = self.clock.monotonic();
            let answer = carried_out.await;
            let took = self.clock.monotonic().saturating_sub(began);
            durations.record(operation, took);
            answer
        })
    }
}

impl RemoteStore for TimedStore {
    fn limits(&self) -> &RemoteLimits {
        self.store.limits()
    }

    fn is_available(&self) -> bool {
        self.store.is_available()
    }

    fn runtime(&self) -> &Handle {
        self.store.runtime()
    }

    fn get<'a>(&'a self, name: &'a str) -> RemoteFuture<'a, Option<Bytes>> {
        self.time(RemoteOperation::Get, self.store.get(name))
    }

    fn get_two<'a>(
        &'a self,
        first: &'a str,
        second: &'a str,
    ) -> RemoteFuture<'a, (Option<Bytes>, Option<Bytes>)> {
        self.time(RemoteOperation::GetTwo, self.store.get_two(first, second))
    }

    fn peek<'a>(&'a self, name: &'a str) -> RemoteFuture<'a, Option<Stamp>> {
        self.time(RemoteOperation::Peek, self.store.peek(name))
    }

    fn head<'a>(&'a self, name: &'a str) -> RemoteFuture<'a, Option<Bytes>> {
        self.time(RemoteOperation::Head, self.store.head(name))
    }

    fn put_if<'a>(&'a self, put: ConditionalPut<'a>) -> RemoteFuture<'a, PutOutcome> {
        self.time(RemoteOperation::PutIf, self.store.put_if(put))
    }

    fn put<'a>(&'a self, name: &'a str, value: Bytes, keep: Duration) -> RemoteFuture<'a, ()> {
        self.time(RemoteOperation::Put, self.store.put(name, value, keep))
    }

    fn invalidate<'a>(
        &'a self,
        invalidations: &'a [Invalidation],
        at_least: Duration,
    ) -> RemoteFuture<'a, Vec<bool>> {
        let invalidated = self.store.invalidate(invalidations, at_least);
        self.time(RemoteOperation::Invalidate, invalidated)
    }

    fn delete_if<'a>(&'a self, name: &'a str, value: &'a Bytes) -> RemoteFuture<'a, ()> {
        self.time(RemoteOperation::DeleteIf, self.store.delete_if(name, value))
    }

    fn acquire<'a>(
        &'a self,
        name: &'a str,
        token: &'a [u8],
        lease: Duration,
    ) -> RemoteFuture<'a, bool> {
        let acquired = self.store.acquire(name, token, lease);
        self.time(RemoteOperation::Acquire, acquired)
    }

    fn extend<'a>(
        &'a self,
        name: &'a str,
        token: &'a [u8],
        lease: Duration,
    ) -> RemoteFuture<'a, bool> {
        let extended = self.store.extend(name, token, lease);
        self.time(RemoteOperation::Extend, extended)
    }

    fn release<'a>(&'a self, name: &'a str, token: &'a [u8]) -> RemoteFuture<'a, bool> {
        self.time(RemoteOperation::Release, self.store.release(name, token))
    }

    fn touch<'a>(&'a self, names: &'a [String]) -> RemoteFuture<'a, ()> {
        self.time(RemoteOperation::Touch, self.store.touch(names))
    }

    fn sync_log<'a>(&'a self, request: LogRequest<'a>) -> RemoteFuture<'a, LogReply> {
        self.time(RemoteOperation::SyncLog, self.store.sync_log(request))
    }

    fn watch(&self, prefix: String, on_event: WatchHandler) -> Box<dyn Watch> {
        self.store.watch(prefix, on_event)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use metrics_util::debugging::{DebugValue, DebuggingRecorder};

    use super::*;
    use crate::{
        clock::SystemClock,
        remote::in_memory::{Fault, InMemoryServer},
    };

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn each_operation_is_timed_under_its_own_name() {
        let recorder = DebuggingRecorder::new();
        let _guard = metrics::set_default_local_recorder(&recorder);
        let node = InMemoryServer::new().node();
        node.fail(Fault::Slow(Duration::from_millis(20)));
        let durations = Arc::<OnceLock<RemoteDurations>>::default();
        let clock = Arc::new(SystemClock::new());
        let store = TimedStore::new(Arc::new(node), clock, Arc::clone(&durations));
        // Before the first request.
        store.get("a").await.unwrap();
        durations.get_or_init(RemoteDurations::register);

        let value = Bytes::from_static(b"value");
        let put = ConditionalPut {
            name: "a",
            expected: Stamp::default(),
            value: value.clone(),
            keep: SECOND,
            companion: None,
        };
        let invalidation = Invalidation {
            main: "a".to_owned(),
            partitions: "p".to_owned(),
            tombstone: value.clone(),
            unanswered: None,
        };
        let log = LogRequest {
            name: "log",
            position: None,
            append: &[],
            new_id: 1,
            new_token: 1,
            keep: 1,
            urgent: false,
            replicas: 0,
        };
        store.acquire("l", b"token", SECOND).await.unwrap();
        store.delete_if("a", &value).await.unwrap();
        store.extend("l", b"token", SECOND).await.unwrap();
        store.get("a").await.unwrap();
        store.get("a").await.unwrap();
        store.get_two("a", "b").await.unwrap();
        store.head("a").await.unwrap();
        store.invalidate(&[invalidation], SECOND).await.unwrap();
        store.peek("a").await.unwrap();
        store.put("a", value.clone(), SECOND).await.unwrap();
        store.put_if(put).await.unwrap();
        store.release("l", b"token").await.unwrap();
        store.sync_log(log).await.unwrap();
        store.touch(&["a".to_owned()]).await.unwrap();
        // It has no end.
        drop(store.get("a"));

        let snapshot = recorder.snapshotter().snapshot().into_vec();
        let timed = snapshot.into_iter().map(|(key, _, _, value)| {
            let key = key.key();
            assert!(key.name().ends_with("remote_duration_seconds"));
            let operation = key.labels().map(|it| it.value().to_owned()).collect();
            let DebugValue::Histogram(times) = value else {
                panic!("{operation} is no histogram");
            };
            (operation, times.iter().map(|it| it.into_inner()).collect())
        });
        let timed: BTreeMap<String, Vec<f64>> = timed.collect();
        let operations = [
            "acquire",
            "delete-if",
            "extend",
            "get",
            "get-two",
            "head",
            "invalidate",
            "peek",
            "put",
            "put-if",
            "release",
            "sync-log",
            "touch",
        ];
        let expected = operations.map(|operation| {
            let times = if operation == "get" { 2 } else { 1 };
            (operation.to_owned(), vec![0.02; times])
        });
        assert_eq!(timed, BTreeMap::from(expected));
    }

    #[tokio::test(start_paused = true)]
    async fn an_operation_that_fails_is_timed_too() {
        let recorder = DebuggingRecorder::new();
        let _guard = metrics::set_default_local_recorder(&recorder);
        let node = InMemoryServer::new().node();
        node.fail(Fault::Hang);
        let durations = Arc::new(OnceLock::from(RemoteDurations::register()));
        let store = TimedStore::new(Arc::new(node), Arc::new(SystemClock::new()), durations);
        store.get("a").await.unwrap_err();
        let snapshot = recorder.snapshotter().snapshot().into_vec();
        let times = snapshot
            .into_iter()
            .filter_map(|(_, _, _, value)| match value {
                DebugValue::Histogram(times) => times.first().map(|it| it.into_inner()),
                DebugValue::Counter(_) | DebugValue::Gauge(_) => None,
            });
        assert_eq!(times.collect::<Vec<_>>(), [0.05]);
    }
}
