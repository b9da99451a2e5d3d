//! Asking every master whether it tells changes over the connection in use, and making it do so.
//!
//! Redis tells a `FLUSHALL` and a `FLUSHDB` by a push of their own, which fred drops. So every
//! master holds one small key that never expires: its value is a random number, written by
//! whichever node found the key absent, and another value than before means that the keyspace was
//! emptied in between. On a Cluster the name carries a hash tag of a slot that the master serves.
//! Reading it also finds a master that no longer serves the slot: the server answers `MOVED`, on
//! which the client asks for the new topology.

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

/// How long the client may take to be connected, in parts so that a state that it announces at the
/// wrong moment is seen soon.
const CONNECT: Duration = Duration::from_millis(50);
const CONNECT_PARTS: u32 = 15;

/// How long the client may take to learn a new topology.
const SYNC: Duration = Duration::from_millis(2_000);

/// How many hash tags are tried to find one for every master.
const TAGS: u32 = 4_096;

/// The lines of `CLUSTER INFO` that change when a slot changes its master.
const TOPOLOGY: [&str; 4] = [
    "cluster_current_epoch:",
    "cluster_known_nodes:",
    "cluster_size:",
    "cluster_slots_assigned:",
];

/// What the masters answered.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) masters: Vec<Master>,
    /// What the Cluster looks like to each of them; none without a Cluster.
    pub(super) topology: Option<String>,
}

#[derive(Debug)]
pub(super) struct Master {
    pub(super) connection: Connection,
    /// The name of its own key; empty if it has none.
    pub(super) name: String,
    /// Its own key and what it holds, if it could be read.
    pub(super) life: Option<(String, Bytes)>,
}

/// What was found of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Connection {
    /// Changes were not told over it. They are now.
    Armed,
    /// Changes are told over it, as they were.
    Kept,
}

/// Asks every master, and arms those that do not tell changes yet.
///
/// # Errors
///
/// The first failure of any master to tell changes. That a key cannot be read is none.
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
        // Announces masters that came or went, on which all of this begins again.
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

/// Every master with the name of its own key. Without a Cluster there is one, by no name.
fn targets(client: &Client, prefix: &str) -> Result<Vec<(Option<Server>, String)>, Error> {
    if !client.is_clustered() {
        return Ok(vec![(None, own(prefix, 0))]);
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
        let name = own(prefix, tag);
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

/// The masters of a Cluster, as far as they are known.
pub(super) fn masters_of(client: &Client) -> Vec<Server> {
    let state = client.cached_cluster_state();
    state.map_or_else(Vec::new, |state| state.unique_primary_nodes())
}

/// The name of the key that a master holds to be recognised by.
fn own(prefix: &str, tag: u32) -> String {
    format!("{prefix}tracking:{{{tag}}}:alive")
}

/// Whether a key is one that masters hold to be recognised by.
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
        // What waits for a connection would add up while there is none.
        fail_fast: true,
        ..Options::default()
    });
    let topology = async {
        Ok(match clustered {
            true => Some(topology(&there).await?),
            false => None,
        })
    };
    // At once, so that a server that is silent is found out by the first of them.
    let life = async { Ok(life(client, &name).await) };
    let (connection, topology, life) = try_join!(arm(&there, prefix), topology, life)?;
    let life = life.map(|life| (name.clone(), life));
    let master = Master {
        connection,
        name,
        life,
    };
    Ok((master, topology))
}

async fn arm(there: &WithOptions<Client>, prefix: &str) -> Result<Connection, Error> {
    let told: Value = there.client_trackinginfo().await?;
    if tells(told, prefix) {
        return Ok(Connection::Kept);
    }
    // Not for what this connection itself writes.
    let _: Value = there
        .client_tracking("on", None, prefix.to_owned(), true, false, false, true)
        .await?;
    Ok(Connection::Armed)
}

/// Whether the answer to `CLIENT TRACKINGINFO` says that changes below the prefix are told.
fn tells(info: Value, prefix: &str) -> bool {
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

/// What the key holds, after writing it if there is none. It cannot always be: the server may be
/// full, or a replica.
async fn life(client: &Client, name: &str) -> Option<Bytes> {
    if name.is_empty() {
        return None;
    }
    // By its slot rather than by its server, so that a slot that moved is found out.
    let anywhere = client.with_options(&Options {
        fail_fast: true,
        ..Options::default()
    });
    let read = async || anywhere.get::<Option<Bytes>, _>(name).await.ok();
    let mut life = read().await?;
    if life.is_none() {
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
        life = read().await?;
    }
    // As a copy, since a slice would keep all that was read with it.
    life.map(|life| Bytes::copy_from_slice(&life))
}
