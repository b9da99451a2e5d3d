//! Real Redis Clusters of a test's own.
#![allow(
    dead_code,
    reason = "every test program that includes this uses a part of it"
)]

use super::redis::{Reply, Server, Wire, standalone_with, until};

/// How many hash slots there are.
const SLOTS: usize = 16_384;

/// What makes a server a node, and lets it notice soon that another one is gone.
const NODE: [&str; 8] = [
    "--cluster-enabled",
    "yes",
    "--cluster-config-file",
    "nodes.conf",
    "--cluster-node-timeout",
    "1500",
    "--repl-diskless-sync-delay",
    "0",
];

/// Masters that share the slots evenly, each with as many replicas.
pub(crate) fn cluster(masters: usize, replicas: usize) -> Cluster {
    let count = masters * (replicas + 1);
    let nodes: Vec<Server> = (0..count).map(|_| standalone_with(&NODE)).collect();
    for (index, node) in nodes.iter().enumerate() {
        assert_ok(
            node,
            &["cluster", "set-config-epoch", &(index + 1).to_string()],
        );
    }
    for (index, node) in nodes.iter().take(masters).enumerate() {
        let slots = SLOTS * index / masters..SLOTS * (index + 1) / masters;
        let slots: Vec<String> = slots.map(|slot| slot.to_string()).collect();
        let mut command = vec!["cluster", "addslots"];
        command.extend(slots.iter().map(String::as_str));
        assert_ok(node, &command);
    }
    for node in &nodes[1..] {
        let port = node.port().to_string();
        assert_ok(&nodes[0], &["cluster", "meet", "127.0.0.1", &port]);
    }
    let known = format!("cluster_known_nodes:{count}\r");
    until("every node knows every other", || {
        nodes.iter().all(|node| info(node).contains(&known))
    });
    for (index, node) in nodes.iter().enumerate().skip(masters) {
        let master = nodes[index % masters].command(&["cluster", "myid"]).text();
        // Refused until the node knows the role of the master.
        until("a replica has its master", || {
            let reply = node.command(&["cluster", "replicate", &master]);
            reply == Reply::Simple("OK".to_owned())
        });
    }
    let cluster = Cluster { nodes };
    until("the cluster works", || {
        let mut of_masters = cluster.nodes.iter().skip(masters);
        let works = |node: &Server| info(node).contains("cluster_state:ok");
        of_masters.all(is_replica) && cluster.nodes.iter().all(works)
    });
    until("the replicas follow", || {
        let follows = |node: &Server| {
            let info = node.command(&["info", "replication"]).text();
            info.contains("role:master") || info.contains("master_link_status:up")
        };
        cluster.nodes.iter().all(follows)
    });
    cluster
}

/// Nodes of a Cluster. Dropping it ends them.
pub(crate) struct Cluster {
    nodes: Vec<Server>,
}

impl Cluster {
    /// A URL that names every node.
    pub(crate) fn url(&self) -> String {
        let first = self.nodes[0].port();
        let others = self.nodes[1..].iter().map(Server::port);
        let others: Vec<String> = others
            .map(|port| format!("node=127.0.0.1:{port}"))
            .collect();
        format!("redis-cluster://127.0.0.1:{first}?{}", others.join("&"))
    }

    /// Every node: first the masters of the beginning, then their replicas, which follow them in
    /// the same order.
    pub(crate) fn nodes(&mut self) -> &mut [Server] {
        &mut self.nodes
    }

    /// Adds a master without slots.
    pub(crate) fn join(&mut self) {
        let node = standalone_with(&NODE);
        let port = self.nodes[0].port().to_string();
        assert_ok(&node, &["cluster", "meet", "127.0.0.1", &port]);
        self.nodes.push(node);
        let known = format!("cluster_known_nodes:{}\r", self.nodes.len());
        until("every node knows the new one", || {
            self.nodes.iter().all(|node| info(node).contains(&known))
        });
    }

    /// Moves the slot of a key, which holds nothing, to a node.
    pub(crate) fn hand_over(&self, key: &str, to: usize) {
        let to = &self.nodes[to];
        let Reply::Integer(slot) = to.command(&["cluster", "keyslot", key]) else {
            panic!("no slot");
        };
        let (slot, id) = (slot.to_string(), to.command(&["cluster", "myid"]).text());
        let others = || self.nodes.iter().filter(|node| node.port() != to.port());
        let gives = |node: &&Server| {
            let command = ["cluster", "setslot", &slot, "migrating", &id];
            node.command(&command) == Reply::Simple("OK".to_owned())
        };
        let from = others().find(gives).expect("a node serves the slot");
        let from = from.command(&["cluster", "myid"]).text();
        // Who imports a slot takes it under an epoch of its own, which the others believe.
        assert_ok(to, &["cluster", "setslot", &slot, "importing", &from]);
        for node in std::iter::once(to).chain(others()) {
            assert_ok(node, &["cluster", "setslot", &slot, "node", &id]);
        }
    }

    /// Sends a command to the node that serves its key, as soon as there is one.
    #[track_caller]
    pub(crate) fn command(&self, arguments: &[&str]) -> Reply {
        let mut at = 0;
        let mut answer = None;
        until("a node serves the key", || {
            let asked = Wire::connect(self.nodes[at].address());
            match asked.and_then(|mut wire| wire.try_command(arguments)) {
                Ok(Reply::Error(error)) if error.starts_with("MOVED ") => {
                    let of_error = |node: &Server| error.ends_with(&format!(":{}", node.port()));
                    at = self
                        .nodes
                        .iter()
                        .position(of_error)
                        .expect("a node of ours");
                }
                Ok(Reply::Error(error)) if error.starts_with("CLUSTERDOWN") => {}
                Ok(reply) => answer = Some(reply),
                // Gone, and others may still believe in it.
                Err(_) => at = (at + 1) % self.nodes.len(),
            }
            answer.is_some()
        });
        answer.expect("the wait ended with one")
    }
}

fn is_replica(node: &Server) -> bool {
    let nodes = node.command(&["cluster", "nodes"]).text();
    let own = nodes.lines().find(|line| line.contains("myself"));
    own.is_some_and(|own| own.contains("slave"))
}

fn info(node: &Server) -> String {
    node.command(&["cluster", "info"]).text()
}

#[track_caller]
fn assert_ok(node: &Server, command: &[&str]) {
    let reply = node.command(command);
    assert_eq!(reply, Reply::Simple("OK".to_owned()), "{:?}", &command[..2]);
}
