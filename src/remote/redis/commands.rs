//! The commands of Redis behind each operation of the shared tier.

use std::{future::ready, slice, time::Duration};

use bytes::Bytes;
use fred::{
    clients::{Client, WithOptions},
    error::{Error as FredError, ErrorKind},
    interfaces::{ClientLike, KeysInterface},
    types::{ClusterHash, CustomCommand, Expiration, SetOptions, Value},
};
use futures_util::future::join_all;
use tokio::runtime::Handle;

use super::{
    client::Redis,
    execute::Purpose,
    scripts::{EPOCH_CHANGED, STORED, VERSION_CHANGED, run},
    tracking::Tracking,
};
use crate::{
    codec::{Stamp, stamp},
    remote::{
        log::{LogReply, LogRequest},
        store::{
            ConditionalPut, Invalidation, PutOutcome, RemoteFuture, RemoteLimits, RemoteStore,
            Watch, WatchHandler,
        },
    },
};

/// Where the stamp of a value ends.
const STAMP_END: usize = 20;

/// The longest expiry, a hundred years in milliseconds. A much longer one overflows on the server.
const MAX_KEEP: u64 = 100 * 365 * 24 * 3_600 * 1_000;

impl RemoteStore for Redis {
    fn limits(&self) -> &RemoteLimits {
        &self.connections.limits
    }

    fn is_available(&self) -> bool {
        self.connections.is_available()
    }

    fn runtime(&self) -> &Handle {
        &self.connections.runtime
    }

    fn get<'a>(&'a self, name: &'a str) -> RemoteFuture<'a, Option<Bytes>> {
        let most = self.most_read();
        self.connections
            .execute(Purpose::Read, [name], async move |client| {
                let answer = client.getrange(name, 0, most).await;
                self.taken(&client, name, answer).await
            })
    }

    fn get_two<'a>(
        &'a self,
        first: &'a str,
        second: &'a str,
    ) -> RemoteFuture<'a, (Option<Bytes>, Option<Bytes>)> {
        let most = self.most_read();
        self.connections
            .execute(Purpose::Read, [first, second], async move |client| {
                let options = client.options().clone();
                let pipeline = client.pipeline().with_options(&options);
                let (): () = pipeline.getrange(first, 0, most).await?;
                let (): () = pipeline.getrange(second, 0, most).await?;
                let mut answers = pipeline.try_all().await.into_iter();
                let (Some(one), Some(two)) = (answers.next(), answers.next()) else {
                    return Err(FredError::new(ErrorKind::Protocol, "an answer is missing"));
                };
                let one = self.taken(&client, first, one).await?;
                Ok((one, self.taken(&client, second, two).await?))
            })
    }

    fn peek<'a>(&'a self, name: &'a str) -> RemoteFuture<'a, Option<Stamp>> {
        self.connections
            .execute(Purpose::Read, [name], async move |client| {
                match client.getrange::<Bytes, _>(name, 0, STAMP_END - 1).await {
                    Err(error) if is_other_type(&error) => Ok(None),
                    answer => Ok(stamp(&answer?)),
                }
            })
    }

    fn head<'a>(&'a self, name: &'a str) -> RemoteFuture<'a, Option<Bytes>> {
        self.connections
            .execute(Purpose::Write, [name], async move |client| {
                match client.getrange(name, 0, STAMP_END - 1).await {
                    Err(error) if is_other_type(&error) => Ok(None),
                    answer => answer.map(Some),
                }
            })
    }

    fn put_if<'a>(&'a self, put: ConditionalPut<'a>) -> RemoteFuture<'a, PutOutcome> {
        let mut bytes = put.value.len();
        let mut keys = vec![put.name.to_owned()];
        let mut arguments: Vec<Value> = vec![
            number(put.expected.epoch),
            number(put.expected.version),
            Value::Bytes(put.value),
            milliseconds(put.keep).into(),
        ];
        if let Some((name, value, keep)) = put.companion {
            bytes += value.len();
            keys.push(name);
            arguments.push(Value::Bytes(value));
            arguments.push(milliseconds(keep).into());
        }
        let script = &self.connections.scripts.put_if;
        self.connections
            .write(bytes, put.name, async move |client| {
                match run(&client, script, keys, arguments).await? {
                    STORED => Ok(PutOutcome::Stored),
                    VERSION_CHANGED => Ok(PutOutcome::VersionChanged),
                    EPOCH_CHANGED => Ok(PutOutcome::EpochChanged),
                    other => {
                        let details = format!("the script answered {other}");
                        Err(FredError::new(ErrorKind::Protocol, details))
                    }
                }
            })
    }

    fn put<'a>(&'a self, name: &'a str, value: Bytes, keep: Duration) -> RemoteFuture<'a, ()> {
        let script = &self.connections.scripts.put;
        let bytes = value.len();
        let arguments = vec![Value::Bytes(value), milliseconds(keep).into()];
        self.connections.write(bytes, name, async move |client| {
            let _stored: i64 = run(&client, script, vec![name.to_owned()], arguments).await?;
            Ok(())
        })
    }

    fn invalidate<'a>(
        &'a self,
        invalidations: &'a [Invalidation],
        at_least: Duration,
    ) -> RemoteFuture<'a, Vec<bool>> {
        let [first, rest @ ..] = invalidations else {
            return Box::pin(ready(Ok(Vec::new())));
        };
        if rest.is_empty() || self.connections.is_one_server() {
            return self.invalidate_as_one(first, invalidations, at_least);
        }
        // A script has the keys of one hash slot. All are on their way at once.
        Box::pin(async move {
            let each = invalidations
                .iter()
                .map(|one| self.invalidate_as_one(one, slice::from_ref(one), at_least));
            let done = join_all(each).await;
            Ok(done.iter().map(Result::is_ok).collect())
        })
    }

    fn delete_if<'a>(&'a self, name: &'a str, value: &'a Bytes) -> RemoteFuture<'a, ()> {
        let script = &self.connections.scripts.delete_if;
        let arguments = vec![Value::Bytes(value.clone())];
        self.connections
            .write(value.len(), name, async move |client| {
                let _deleted: i64 = run(&client, script, vec![name.to_owned()], arguments).await?;
                Ok(())
            })
    }

    fn acquire<'a>(
        &'a self,
        name: &'a str,
        token: &'a [u8],
        lease: Duration,
    ) -> RemoteFuture<'a, bool> {
        let expiry = Some(Expiration::PX(milliseconds(lease)));
        // A request waits for this, so it has the timeout of a read.
        self.connections
            .execute(Purpose::Read, [name], async move |client| {
                let options = Some(SetOptions::NX);
                // A refusal is nil, which neither `bool` nor `()` tells from success.
                let answer: Option<String> =
                    client.set(name, token, expiry, options, false).await?;
                Ok(answer.is_some())
            })
    }

    fn extend<'a>(
        &'a self,
        name: &'a str,
        token: &'a [u8],
        lease: Duration,
    ) -> RemoteFuture<'a, bool> {
        let script = &self.connections.scripts.extend;
        self.connections
            .execute(Purpose::Write, [name], async move |client| {
                let arguments = vec![bytes(token), milliseconds(lease).into()];
                let extended: i64 = run(&client, script, vec![name.to_owned()], arguments).await?;
                Ok(extended == 1)
            })
    }

    fn release<'a>(&'a self, name: &'a str, token: &'a [u8]) -> RemoteFuture<'a, bool> {
        let script = &self.connections.scripts.delete_if;
        self.connections
            .execute(Purpose::Write, [name], async move |client| {
                let arguments = vec![bytes(token)];
                let deleted: i64 = run(&client, script, vec![name.to_owned()], arguments).await?;
                Ok(deleted == 1)
            })
    }

    fn touch<'a>(&'a self, names: &'a [String]) -> RemoteFuture<'a, ()> {
        Box::pin(async move {
            let mut ended = Ok(());
            for names in self.connections.by_section(names) {
                let Some(first) = names.first() else {
                    continue;
                };
                // No request waits for this, so it has the timeout of a write.
                let touching = self
                    .connections
                    .execute(Purpose::Write, [*first], async |client| {
                        touch(&client, &names).await
                    });
                ended = ended.and(touching.await);
            }
            ended
        })
    }

    fn sync_log<'a>(&'a self, request: LogRequest<'a>) -> RemoteFuture<'a, LogReply> {
        self.synced_log(request)
    }

    fn watch(&self, prefix: String, on_event: WatchHandler) -> Box<dyn Watch> {
        let _runtime = self.connections.runtime.enter();
        let config = self.connections.config.clone();
        Box::new(Tracking::start(config, prefix, on_event))
    }
}

/// Touches values on one server. One that does not allow the command, or does not know it, is left
/// alone: this is worth no alarm.
async fn touch(client: &WithOptions<Client>, names: &[&str]) -> Result<(), FredError> {
    let command = CustomCommand::new_static("TOUCH", ClusterHash::FirstKey, false);
    let touched: Result<Value, FredError> = if client.is_clustered() {
        // The names are on one server, but not in one hash slot, which is what the command takes.
        let options = client.options().clone();
        let pipeline = client.pipeline().with_options(&options);
        for name in names {
            let (): () = pipeline.custom(command.clone(), vec![*name]).await?;
        }
        pipeline.last().await
    } else {
        client.custom(command, names.to_vec()).await
    };
    match touched {
        Err(error) if is_not_allowed(&error) => Ok(()),
        answer => answer.map(drop),
    }
}

impl Redis {
    /// How many bytes of a value are read at most, and one more: twice what this node writes, as
    /// other nodes may have been given other settings already.
    fn most_read(&self) -> usize {
        2 * self.connections.limits.max_value_bytes
    }

    /// What is taken of what was read of a value. What is longer than [that](Self::most_read), or of
    /// another type, no node has stored: it is deleted, or it would be read in vain again and again.
    async fn taken(
        &self,
        client: &WithOptions<Client>,
        name: &str,
        answer: Result<Bytes, FredError>,
    ) -> Result<Option<Bytes>, FredError> {
        match answer {
            // There is nothing, or nothing in it.
            Ok(value) if value.is_empty() => Ok(None),
            Ok(value) if value.len() <= self.most_read() => Ok(Some(value)),
            Ok(_) => {
                tracing::warn!(name, "a value in the shared tier is too large");
                let script = &self.connections.scripts.delete_longer;
                let arguments = vec![i64::try_from(self.most_read()).unwrap_or(i64::MAX).into()];
                let _deleted: i64 = run(client, script, vec![name.to_owned()], arguments).await?;
                Ok(None)
            }
            Err(error) if is_other_type(&error) => {
                let _deleted: i64 = client.unlink(name).await?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Carries out invalidations by one script, which all of them are for one server.
    fn invalidate_as_one<'a>(
        &'a self,
        first: &'a Invalidation,
        all: &'a [Invalidation],
        at_least: Duration,
    ) -> RemoteFuture<'a, Vec<bool>> {
        let script = &self.connections.scripts.invalidate;
        // Not as a write of values: invalidations do not wait for room among those, and are bounded
        // by who sends them.
        self.connections
            .execute(Purpose::Write, [&*first.main], async move |client| {
                let mut keys = Vec::with_capacity(3 * all.len());
                let mut arguments = vec![milliseconds(at_least).into()];
                for one in all {
                    let (notice, tombstone) = match &one.unanswered {
                        Some(it) => (&it.notice, it.tombstone.clone()),
                        None => (&one.partitions, Bytes::new()),
                    };
                    keys.extend([&one.main, &one.partitions, notice].map(String::clone));
                    arguments.extend([one.tombstone.clone(), tombstone].map(Value::Bytes));
                }
                let _done: i64 = run(&client, script, keys, arguments).await?;
                Ok(vec![true; all.len()])
            })
    }
}

fn number(number: u64) -> Value {
    bytes(&number.to_be_bytes())
}

fn bytes(bytes: &[u8]) -> Value {
    Value::Bytes(Bytes::copy_from_slice(bytes))
}

/// Whether the name holds a Redis type other than a string, which no node stores.
fn is_other_type(error: &FredError) -> bool {
    error.details().starts_with("WRONGTYPE")
}

/// Whether the user may not send this command, or the server has none of its name.
fn is_not_allowed(error: &FredError) -> bool {
    let details = error.details();
    details.starts_with("NOPERM") || details.contains("unknown command")
}

/// At least one, as the server requires.
fn milliseconds(keep: Duration) -> i64 {
    let keep = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
    keep.clamp(1, MAX_KEEP).cast_signed()
}

#[cfg(test)]
mod tests;
