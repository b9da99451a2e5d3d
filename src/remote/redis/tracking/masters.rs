//! Asks every master whether it notifies of changes over the connection in use, and makes it do so.
//!
//! Redis notifies of a `FLUSHALL` and a `FLUSHDB` by a push of their own, which fred drops.
//! Therefore every master holds one small key that never expires, its own key. The value is a
//! random number, written by whichever node finds the key absent. Another value than before means
//! that the keyspace was emptied in between. On a Cluster the name has a hash tag of a slot that
//! the master serves, so reading it also finds out a master that no longer serves the slot: the
//! server answers `MOVED`, and the client asks for the new topology.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use bytes::Bytes;
use fred::{
    clients::{Client, WithOptions},
    error::{Error, ErrorKind},
    interfaces::{ClientInterface, ClientLike, ClusterInterface, KeysInterface},
    types::{
        Expiration, SetOptions, Value,
        config::{Options, Server},
    },
    util::redis_keyslot,
};
use futures_util::future::try_join_all;
use tokio::{time::timeout, try_join};

/// How long the client may take to connect, in parts: a part that began too late to see the client
/// announce its state ends soon.
const CONNECT: Duration = Duration::from_millis(50);
const CONNECT_PARTS: u32 = 15;

/// How long the client may take to get a new topology.
const SYNC: Duration = Duration::from_millis(2_000);

/// How many hash tags are tried to find one for each master.
const TAGS: u32 = 4_096;

/// The lines of `CLUSTER INFO` that change when a slot changes its master.
const TOPOLOGY: [&str; 4] = [
    "cluster_current_epoch:",
    "cluster_known_nodes:",
    "cluster_size:",
    "cluster_slots_assigned:",
];

/// The answers of the masters.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) masters: Vec<Master>,
    /// The topology of the Cluster as each of them sees it; `None` without a Cluster.
    pub(super) topology: Option<String>,
}

#[derive(Debug)]
pub(super) struct Master {
    pub(super) arming: Arming,
    /// The name of its own key; empty if it has none.
    pub(super) name: String,
    /// The name and value of its own key, if it could be read.
    pub(super) own_key: Option<(String, Bytes)>,
}

/// Since when a connection gets notifications.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Arming {
    /// Since now.
    New,
    /// Since before this question.
    Kept,
}

/// Asks every master, and makes those notify that do not yet.
///
/// # Errors
///
/// The first failure of any master. An own key that cannot be read is no failure.
pub(super) async fn survey(
    client: Client,
    prefix: String,
    known: Option<String>,
) -> Result<Survey, Error> {
    connected(&client).await?;
    let answers = targets(&client, &prefix)?
        .into_iter()
        .map(|(server, name)| ask(&client, &prefix, server, name));
    let (masters, topologies): (Vec<_>, Vec<_>) = try_join_all(answers).await?.into_iter().unzip();
    let topology: Option<String> = topologies.into_iter().collect();
    if known.is_some() && topology != known {
        // The client then reports masters that came or went, and the survey begins again.
        let synced = timeout(SYNC, client.sync_cluster()).await;
        synced.map_err(|_| Error::new(ErrorKind::Timeout, "no topology"))??;
    }
    Ok(Survey { masters, topology })
}

async fn connected(client: &Client) -> Result<(), Error> {
    for _ in 0..CONNECT_PARTS {
        if let Ok(Ok(())) = timeout(CONNECT, client.wait_for_connect()).await {
            return Ok(());
        }
    }
    Err(Error::new(ErrorKind::IO, "not connected"))
}

/// Every master with the name of its own key. Without a Cluster there is one, which is not named.
fn targets(client: &Client, prefix: &str) -> Result<Vec<(Option<Server>, String)>, Error> {
    if !client.is_clustered() {
        return Ok(vec![(None, own_key(prefix, 0))]);
    }
    let (state, masters) = (client.cached_cluster_state(), masters_of(client));
    let Some(state) = state.filter(|_| !masters.is_empty()) else {
        return Err(Error::new(ErrorKind::Cluster, "no masters are known"));
    };
    let mut names: HashMap<&Server, String> = HashMap::with_capacity(masters.len());
    for tag in 0..TAGS {
        if names.len() == masters.len() {
            break;
        }
        let name = own_key(prefix, tag);
        if let Some(server) = state.get_server(redis_keyslot(name.as_bytes())) {
            names.entry(server).or_insert(name);
        }
    }
    let named = |server: Server| {
        let name = names.remove(&server).unwrap_or_default();
        (Some(server), name)
    };
    Ok(masters.into_iter().map(named).collect())
}

/// The known masters of a Cluster.
pub(super) fn masters_of(client: &Client) -> Vec<Server> {
    let state = client.cached_cluster_state();
    state.map_or_else(Vec::new, |state| state.unique_primary_nodes())
}

/// The name of a master's own key.
fn own_key(prefix: &str, tag: u32) -> String {
    format!("{prefix}tracking:{{{tag}}}:alive")
}

/// Whether a key is a master's own.
pub(super) fn is_own(prefix: &str, key: &[u8]) -> bool {
    let rest = key.strip_prefix(prefix.as_bytes());
    rest.is_some_and(|rest| rest.starts_with(b"tracking:{") && rest.ends_with(b"}:alive"))
}

async fn ask(
    client: &Client,
    prefix: &str,
    server: Option<Server>,
    name: String,
) -> Result<(Master, Option<String>), Error> {
    let clustered = server.is_some();
    let there = client.with_options(&Options {
        cluster_node: server,
        // Otherwise commands would pile up while there is no connection.
        fail_fast: true,
        ..Options::default()
    });
    let topology = async {
        Ok(match clustered {
            true => Some(topology(&there).await?),
            false => None,
        })
    };
    // All at once, so that a silent server is found out by the first of them.
    let value = async { Ok(read_own_key(client, &name).await) };
    let (arming, topology, value) = try_join!(arm(&there, prefix), topology, value)?;
    let own_key = value.map(|value| (name.clone(), value));
    let master = Master {
        arming,
        name,
        own_key,
    };
    Ok((master, topology))
}

/// Makes a master notify over this connection, unless it does already.
async fn arm(there: &WithOptions<Client>, prefix: &str) -> Result<Arming, Error> {
    let info: Value = there.client_trackinginfo().await?;
    if notifies(info, prefix) {
        return Ok(Arming::Kept);
    }
    // In broadcasting mode, but not of what this connection itself writes (NOLOOP).
    let _: Value = there
        .client_tracking("on", None, prefix.to_owned(), true, false, false, true)
        .await?;
    Ok(Arming::New)
}

/// Whether `CLIENT TRACKINGINFO` says that changes below the prefix are notified.
fn notifies(info: Value, prefix: &str) -> bool {
    let Ok(info) = info.into_map() else {
        return false;
    };
    let mut info = info.inner();
    let mut has = |field: &'static str, item: &str| {
        let items = info.remove(&field.into()).unwrap_or(Value::Null);
        items
            .into_array()
            .iter()
            .any(|one| one.as_bytes() == Some(item.as_bytes()))
    };
    has("flags", "bcast") && has("prefixes", prefix)
}

async fn topology(there: &WithOptions<Client>) -> Result<String, Error> {
    let info: String = there.cluster_info().await?;
    let lines = info.lines();
    let kept = lines.filter(|line| TOPOLOGY.iter().any(|field| line.starts_with(field)));
    Ok(kept.collect::<Vec<_>>().join(" "))
}

/// Reads a master's own key, and writes it first if there is none. That may fail: the server may be
/// full, or a replica.
async fn read_own_key(client: &Client, name: &str) -> Option<Bytes> {
    if name.is_empty() {
        return None;
    }
    // Routed by its slot, not to its server, so that a slot that moved is found out.
    let anywhere = client.with_options(&Options {
        fail_fast: true,
        ..Options::default()
    });
    let read = async || anywhere.get::<Option<Bytes>, _>(name).await.ok();
    let mut value = read().await?;
    if value.is_none() {
        let number = RandomState::new().hash_one(name);
        let wrote: Result<Value, Error> = anywhere
            .set(
                name,
                format!("{number:016x}"),
                None::<Expiration>,
                Some(SetOptions::NX),
                false,
            )
            .await;
        wrote.ok()?;
        value = read().await?;
    }
    // Copied, because a slice would keep the whole read buffer alive.
    value.map(|value| Bytes::copy_from_slice(&value))
}
