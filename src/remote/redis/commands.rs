//! The commands: reading, writing what has not changed, and what nodes agree on.
//!
//! Names are whole keys; who makes them begins them with the namespace. What is read is a slice of
//! the connection's buffer, so whoever keeps it copies it.

use std::time::Duration;

use bytes::Bytes;
use fred::{
    clients::{Client, WithOptions},
    error::Error as FredError,
    interfaces::{ClientLike, KeysInterface, LuaInterface},
    types::{Expiration, FromValue, SetOptions, Value, scripts::Script},
};

use super::{
    ask::Purpose,
    client::Redis,
    scripts::{CHANGED, FENCED, STORED},
};
use crate::error::StoreError;

/// Where the stamp of a value ends.
const STAMP_END: usize = 20;

/// Beyond this an expiry overflows on the server.
const MAX_KEEP: u64 = 100 * 365 * 24 * 3_600 * 1_000;

/// A value to store in place of one that was looked at.
#[derive(Debug)]
pub(crate) struct Put<'a> {
    pub(crate) name: &'a str,
    /// The epoch of what was there; 0 for nothing.
    pub(crate) epoch: u64,
    /// The version of what was there; 0 for nothing.
    pub(crate) version: u64,
    pub(crate) value: Bytes,
    pub(crate) keep: Duration,
    /// What to store with it under another name, which must have the same hash tag.
    pub(crate) beside: Option<(String, Bytes, Duration)>,
}

/// How a [`Put`] ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Placed {
    /// The value is stored, with what is beside it.
    Stored,
    /// Nothing is: another version is there.
    Changed,
    /// Nothing is: another epoch began.
    Fenced,
}

impl Redis {
    /// What every name begins with.
    pub(crate) fn namespace(&self) -> &str {
        &self.inner.settings.namespace
    }

    /// The largest value that is stored.
    pub(crate) fn max_value_bytes(&self) -> usize {
        self.inner.settings.max_value_bytes
    }

    /// From which size on a body is compressed, if ever.
    pub(crate) fn compression_threshold(&self) -> Option<usize> {
        self.inner.settings.compression_threshold
    }

    pub(crate) async fn get(&self, name: &str) -> Result<Option<Bytes>, StoreError> {
        self.inner
            .ask(Purpose::Read, &[name], async |client| {
                match client.get(name).await {
                    Err(error) if is_other_type(&error) => {
                        let _deleted: i64 = client.unlink(name).await?;
                        Ok(None)
                    }
                    answer => answer,
                }
            })
            .await
    }

    /// Reads the first bytes of a value, which say which it is: all that scripts compare.
    pub(crate) async fn peek(&self, name: &str) -> Result<Option<Bytes>, StoreError> {
        let beginning: Bytes = self
            .inner
            .ask(Purpose::Read, &[name], async |client| {
                match client.getrange(name, 0, STAMP_END - 1).await {
                    Err(error) if is_other_type(&error) => Ok(Bytes::new()),
                    answer => answer,
                }
            })
            .await?;
        Ok(Some(beginning).filter(|bytes| !bytes.is_empty()))
    }

    /// Reads two values in one round trip.
    pub(crate) async fn get_two(
        &self,
        first: &str,
        second: &str,
    ) -> Result<(Option<Bytes>, Option<Bytes>), StoreError> {
        let together = self.inner.together(first, second);
        self.inner
            .ask(Purpose::Read, &[first, second], async |client| {
                if together {
                    return client.mget(vec![first, second]).await;
                }
                // The one way over several servers of a Cluster.
                let options = client.options().clone();
                let pipeline = client.pipeline().with_options(&options);
                let (): () = pipeline.get(first).await?;
                let (): () = pipeline.get(second).await?;
                pipeline.all().await
            })
            .await
    }

    /// Stores a value if what is there now still has this epoch and version, as one step.
    pub(crate) async fn put(&self, put: Put<'_>) -> Result<Placed, StoreError> {
        let mut bytes = put.value.len();
        let mut keys = vec![put.name.to_owned()];
        let mut arguments: Vec<Value> = vec![
            stamp(put.epoch),
            stamp(put.version),
            Value::Bytes(put.value),
            milliseconds(put.keep).into(),
        ];
        if let Some((name, value, keep)) = put.beside {
            bytes += value.len();
            keys.push(name);
            arguments.push(Value::Bytes(value));
            arguments.push(milliseconds(keep).into());
        }
        let script = &self.inner.scripts.put;
        let answer = self
            .inner
            .write(bytes, &[put.name], async |client| {
                run(&client, script, keys, arguments).await
            })
            .await?;
        match answer {
            STORED => Ok(Placed::Stored),
            CHANGED => Ok(Placed::Changed),
            FENCED => Ok(Placed::Fenced),
            other => Err(StoreError::new(format!("the script answered {other}"))),
        }
    }

    /// Stores a value whatever is there.
    pub(crate) async fn fence(
        &self,
        name: &str,
        value: Bytes,
        keep: Duration,
    ) -> Result<(), StoreError> {
        let script = &self.inner.scripts.replace;
        let bytes = value.len();
        let arguments = vec![Value::Bytes(value), milliseconds(keep).into()];
        let _replaced: i64 = self
            .inner
            .write(bytes, &[name], async |client| {
                run(&client, script, vec![name.to_owned()], arguments).await
            })
            .await?;
        Ok(())
    }

    /// Deletes a value, unless another one is there by now.
    pub(crate) async fn discard(&self, name: &str, value: &Bytes) -> Result<(), StoreError> {
        let script = &self.inner.scripts.discard;
        let arguments = vec![Value::Bytes(value.clone())];
        let _deleted: i64 = self
            .inner
            .write(value.len(), &[name], async |client| {
                run(&client, script, vec![name.to_owned()], arguments).await
            })
            .await?;
        Ok(())
    }

    /// Takes a lease, unless it is taken. A request waits for it, so it has the time of a read.
    pub(crate) async fn acquire(
        &self,
        name: &str,
        token: &[u8],
        lease: Duration,
    ) -> Result<bool, StoreError> {
        let expiry = Some(Expiration::PX(milliseconds(lease)));
        // Refused is nil, which neither `bool` nor `()` tells from an answer.
        let answer: Option<String> = self
            .inner
            .ask(Purpose::Read, &[name], async |client| {
                let options = Some(SetOptions::NX);
                client.set(name, token, expiry, options, false).await
            })
            .await?;
        Ok(answer.is_some())
    }

    /// Holds on to a lease; `false` when it is not held by this token any more.
    pub(crate) async fn extend(
        &self,
        name: &str,
        token: &[u8],
        lease: Duration,
    ) -> Result<bool, StoreError> {
        let script = &self.inner.scripts.extend;
        let token = Value::Bytes(Bytes::copy_from_slice(token));
        let arguments = vec![token, milliseconds(lease).into()];
        let extended: i64 = self
            .inner
            .ask(Purpose::Write, &[name], async |client| {
                run(&client, script, vec![name.to_owned()], arguments).await
            })
            .await?;
        Ok(extended == 1)
    }

    /// Gives a lease back; `false` when it is not held by this token any more.
    pub(crate) async fn release(&self, name: &str, token: &[u8]) -> Result<bool, StoreError> {
        let script = &self.inner.scripts.release;
        let arguments = vec![Value::Bytes(Bytes::copy_from_slice(token))];
        let deleted: i64 = self
            .inner
            .ask(Purpose::Write, &[name], async |client| {
                run(&client, script, vec![name.to_owned()], arguments).await
            })
            .await?;
        Ok(deleted == 1)
    }
}

/// Runs a script by its hash, and by its text where the server does not know it (any more). fred's
/// own way would load it on every server of a Cluster, and fail when one is gone.
async fn run<R: FromValue>(
    client: &WithOptions<Client>,
    script: &Script,
    keys: Vec<String>,
    arguments: Vec<Value>,
) -> Result<R, FredError> {
    let hash = script.sha1().clone();
    match client.evalsha(hash, keys.clone(), arguments.clone()).await {
        Err(error) if error.details().starts_with("NOSCRIPT") => {
            let text = script.lua().cloned().unwrap_or_default();
            client.eval(text, keys, arguments).await
        }
        answer => answer,
    }
}

fn stamp(number: u64) -> Value {
    Value::Bytes(Bytes::copy_from_slice(&number.to_be_bytes()))
}

/// Whether something is kept there that is no value of ours: whoever put it there, it is no use.
fn is_other_type(error: &FredError) -> bool {
    error.details().starts_with("WRONGTYPE")
}

/// At least one, as the server asks for.
fn milliseconds(keep: Duration) -> i64 {
    let keep = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
    keep.clamp(1, MAX_KEEP).cast_signed()
}

#[cfg(test)]
mod tests;
