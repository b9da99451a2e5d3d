//! What the shared tier asks of a server that nodes share: the one trait that a client for a kind
//! of server implements.
//!
//! A name is a whole key on the server. The caller makes names and begins them with the namespace.
//! A value begins with its kind and a stamp (its epoch and version). Conditional writes compare the
//! stamp, and invalidations tell a tombstone by its kind; the rest means nothing to the server.
//!
//! Every operation ends in bounded time. An error means that the server did not answer, or refused;
//! the operation may still have been carried out.

use std::{fmt::Debug, future::Future, pin::Pin, time::Duration};

use bytes::Bytes;
use tokio::runtime::Handle;

use super::log::{LogReply, LogRequest};
use crate::{codec::Stamp, error::StoreError};

/// A server that nodes share, as one node reaches it.
pub(crate) trait RemoteStore: Debug + Send + Sync + 'static {
    /// The settings that the rest of the tier has to know.
    fn limits(&self) -> &RemoteLimits;

    /// Whether an operation can succeed at this moment, as far as that is known without asking:
    /// there is a connection, and the server is not being left alone after a timeout.
    fn is_available(&self) -> bool;

    /// The runtime for work in the background, which may begin where no runtime is entered.
    fn runtime(&self) -> &Handle;

    /// Reads a value. It may be a slice of the connection's buffer: copy it to keep it.
    fn get<'a>(&'a self, name: &'a str) -> RemoteFuture<'a, Option<Bytes>>;

    /// Reads two values in one round trip.
    fn get_two<'a>(
        &'a self,
        first: &'a str,
        second: &'a str,
    ) -> RemoteFuture<'a, (Option<Bytes>, Option<Bytes>)>;

    /// Reads only the stamp of a value. `None` if there is no value, or what is there has no stamp.
    fn peek<'a>(&'a self, name: &'a str) -> RemoteFuture<'a, Option<Stamp>>;

    /// Reads only the kind and the stamp of a value, as they are stored: nothing if there is no
    /// value, and `None` if it is of a type that no node stores. It takes as long as a write may, as
    /// one follows.
    fn head<'a>(&'a self, name: &'a str) -> RemoteFuture<'a, Option<Bytes>>;

    /// Stores a value if the stored one still has the expected stamp, as one step.
    fn put_if<'a>(&'a self, put: ConditionalPut<'a>) -> RemoteFuture<'a, PutOutcome>;

    /// Stores a value, whatever is stored now. It expires after `keep`.
    fn put<'a>(&'a self, name: &'a str, value: Bytes, keep: Duration) -> RemoteFuture<'a, ()>;

    /// Carries out invalidations, each as one step: `main` becomes the tombstone, which expires when
    /// the value there would have, but not before `at_least`, and `partitions` is deleted. The
    /// change of both names is notified, whether there were values or not.
    ///
    /// One that is [`Unanswered`] is carried out as such if the epoch that it ends is still the one
    /// there: then its own name is notified in place of `partitions`.
    ///
    /// Returns for each whether it was carried out.
    fn invalidate<'a>(
        &'a self,
        invalidations: &'a [Invalidation],
        at_least: Duration,
    ) -> RemoteFuture<'a, Vec<bool>>;

    /// Deletes a value if it is still exactly this one.
    fn delete_if<'a>(&'a self, name: &'a str, value: &'a Bytes) -> RemoteFuture<'a, ()>;

    /// Stores a value if there is none, for a limited time. `false` if there is one. A request
    /// waits for it, so it takes no longer than a read may.
    fn acquire<'a>(
        &'a self,
        name: &'a str,
        token: &'a [u8],
        lease: Duration,
    ) -> RemoteFuture<'a, bool>;

    /// Prolongs what was [acquired](Self::acquire): it expires after `lease` from now. `false` if
    /// the token is no longer stored.
    fn extend<'a>(
        &'a self,
        name: &'a str,
        token: &'a [u8],
        lease: Duration,
    ) -> RemoteFuture<'a, bool>;

    /// Deletes what was [acquired](Self::acquire). `false` if the token is no longer stored.
    fn release<'a>(&'a self, name: &'a str, token: &'a [u8]) -> RemoteFuture<'a, bool>;

    /// Marks values as used, so that a server which has to evict something keeps them. It changes
    /// nothing, and nobody is notified. There may be no value under a name.
    fn touch<'a>(&'a self, names: &'a [String]) -> RemoteFuture<'a, ()>;

    /// Appends purges to the log of the namespace, and reads what follows the position of this node,
    /// as one step. If the position is not in the log, or the server has been replaced by another,
    /// the log gets a new id. Whatever else is stored under the name is replaced by a new log. Nobody
    /// is notified unless the log changes.
    ///
    /// If too few replicas have what was appended, that is an error, and it stays appended. To append
    /// it again does no harm.
    fn sync_log<'a>(&'a self, request: LogRequest<'a>) -> RemoteFuture<'a, LogReply>;

    /// Watches all names that begin with `prefix`, until the watch is dropped. Returns at once, and
    /// connects in the background for as long as it takes.
    ///
    /// A node is notified of its own writes like of those by others. `on_event` is called by one
    /// task, in order. It must be quick: while it runs no other event is received.
    fn watch(&self, prefix: String, on_event: WatchHandler) -> Box<dyn Watch>;
}

/// The result of an operation, once the server has answered.
pub(crate) type RemoteFuture<'a, T> =
    Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Settings of a [`RemoteStore`].
#[derive(Clone, Debug)]
pub(crate) struct RemoteLimits {
    /// What every name begins with.
    pub(crate) namespace: String,
    /// The largest value that is stored.
    pub(crate) max_value_bytes: usize,
    /// From which size on a body is compressed; `None` for never.
    pub(crate) compression_threshold: Option<usize>,
    /// How long a request waits for a read.
    pub(crate) read_timeout: Duration,
    /// How many replicas must have a purge before it counts as recorded.
    pub(crate) purge_replicas: u32,
    /// How many invalidations may wait to be sent at once.
    pub(crate) max_pending: usize,
}

/// A value to store in place of one that was read.
#[derive(Debug)]
pub(crate) struct ConditionalPut<'a> {
    pub(crate) name: &'a str,
    /// The stamp of the value that was read, zero for none.
    pub(crate) expected: Stamp,
    pub(crate) value: Bytes,
    /// After how long it expires.
    pub(crate) keep: Duration,
    /// Another value to store with it if the condition holds, under its own name and for its own
    /// time. Both names must have the same hash tag.
    pub(crate) companion: Option<(String, Bytes, Duration)>,
}

/// An invalidation of one resource. Both names must have the same hash tag.
#[derive(Clone, Debug)]
pub(crate) struct Invalidation {
    /// The name of its response.
    pub(crate) main: String,
    /// The name of the epoch of its partitions.
    pub(crate) partitions: String,
    pub(crate) tombstone: Bytes,
    pub(crate) unanswered: Option<Unanswered>,
}

/// What else becomes of an [`Invalidation`] if it comes from a write that got no answer.
#[derive(Clone, Debug)]
pub(crate) struct Unanswered {
    /// The name that is notified. It has the same hash tag.
    pub(crate) notice: String,
    /// Its version is the epoch that it ends.
    pub(crate) tombstone: Bytes,
}

/// How a [`ConditionalPut`] ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum PutOutcome {
    /// The value is stored, and its companion with it.
    Stored,
    /// Nothing is stored: the version there is not the expected one.
    VersionChanged,
    /// Nothing is stored: the epoch there is not the expected one, so the resource was invalidated.
    EpochChanged,
}

/// Receives the events of a watch.
pub(crate) type WatchHandler = Box<dyn Fn(WatchEvent) + Send + Sync>;

/// What a watch notices.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum WatchEvent {
    /// Every change is notified from here on.
    Connected,
    /// A value changed, was deleted, expired or was evicted. This is its whole name, which may be a
    /// slice of the connection's buffer: copy it to keep it.
    Changed(Bytes),
    /// Changes may have been missed since [`Connected`](Self::Connected), and may be missed until
    /// the next one.
    Disconnected,
}

/// A watch under way. Dropping it ends it.
pub(crate) trait Watch: Debug + Send + Sync {}
