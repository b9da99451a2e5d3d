//! Real servers under real Redis Sentinels of a test's own.
#![allow(
    dead_code,
    reason = "every test program that includes this uses a part of it"
)]

use std::fs;

use super::redis::{CONFIG, Reply, Server, not_started, standalone, standalone_with, until};

/// What the sentinels call the servers that they watch.
const NAME: &str = "main";

/// A master with one replica, watched by this many sentinels.
pub(crate) fn sentinels(count: usize) -> Sentinels {
    let master = standalone();
    let port = master.port().to_string();
    let replica = standalone_with(&["--replicaof", "127.0.0.1", &port]);
    let quorum = count / 2 + 1;
    let sentinels: Vec<Server> = (0..count)
        .map(|_| {
            let mut sentinel = not_started(&["--sentinel"]);
            let config = format!(
                "sentinel monitor {NAME} 127.0.0.1 {port} {quorum}\n\
                 sentinel down-after-milliseconds {NAME} 500\n\
                 sentinel failover-timeout {NAME} 2000\n"
            );
            fs::write(sentinel.folder().join(CONFIG), config).expect("a file can be written");
            sentinel.restart();
            sentinel
        })
        .collect();
    until("the replica follows", || {
        let info = replica.command(&["info", "replication"]).text();
        info.contains("master_link_status:up")
    });
    let others = (count - 1).to_string();
    until("the sentinels know everyone", || {
        sentinels.iter().all(|sentinel| {
            let seen = seen(sentinel);
            let is = |name: &str, value: &str| seen.windows(2).any(|pair| pair == [name, value]);
            is("num-slaves", "1") && is("num-other-sentinels", &others)
        })
    });
    Sentinels {
        sentinels,
        servers: [master, replica],
    }
}

/// Servers and their sentinels. Dropping it ends them.
pub(crate) struct Sentinels {
    sentinels: Vec<Server>,
    servers: [Server; 2],
}

impl Sentinels {
    /// A URL that names every sentinel.
    pub(crate) fn url(&self) -> String {
        let first = self.sentinels[0].port();
        let others = self.sentinels[1..].iter().map(Server::port);
        let others: String = others
            .map(|port| format!("&node=127.0.0.1:{port}"))
            .collect();
        format!("redis-sentinel://127.0.0.1:{first}?sentinelServiceName={NAME}{others}")
    }

    /// Has the sentinels make the other server the master, as an operator would. Returns once they
    /// have begun.
    pub(crate) fn fail_over(&self) {
        until("the sentinels begin", || {
            let command = ["sentinel", "failover", NAME];
            self.sentinels[0].command(&command).is_ok()
        });
    }

    /// The servers: the one that began as the master, then the one that began as its replica.
    pub(crate) fn servers(&mut self) -> &mut [Server; 2] {
        &mut self.servers
    }
}

/// What a sentinel knows of the master: names, each followed by its value.
fn seen(sentinel: &Server) -> Vec<String> {
    match sentinel.command(&["sentinel", "master", NAME]) {
        Reply::Array(fields) => fields.iter().map(Reply::text).collect(),
        other => panic!("not a list: {other:?}"),
    }
}
