//! The client that tracks: its timeouts, its reconnecting, its channels.

use std::time::Duration;

use fred::{
    clients::Client,
    types::{
        RespVersion,
        config::{
            ClusterDiscoveryPolicy, Config, ConnectionConfig, PerformanceConfig, ReconnectPolicy,
            Server, ServerConfig, TcpConfig, UnresponsiveConfig,
        },
    },
};

/// How long a master has to answer, to be connected to, and to set a connection up.
pub(super) const ANSWER: Duration = Duration::from_millis(500);

/// How often connections are looked at for an answer that is overdue.
const LOOK: Duration = Duration::from_millis(200);

/// How many messages, each of which may name several keys, wait to be received at most. More are
/// a loss like that of the connection.
const WAITING: usize = 1024;

/// Delays between attempts to connect, in milliseconds: doubling from the first to the second.
const RECONNECT: (u32, u32) = (50, 500);

/// A client that is not connected yet, and knows these masters of a Cluster from before.
pub(super) fn client(mut config: Config, masters: Vec<Server>) -> Client {
    // Changes are pushed on the connection itself, which RESP2 has no room for.
    config.version = RespVersion::RESP3;
    // Not to fail is to try again.
    config.fail_fast = false;
    if let ServerConfig::Clustered { hosts, policy } = &mut config.server {
        // The nodes that were named at the start may be gone when a master has to be found.
        *policy = ClusterDiscoveryPolicy::UseCache;
        hosts.extend(masters);
    }
    let performance = PerformanceConfig {
        broadcast_channel_capacity: WAITING,
        default_command_timeout: ANSWER,
        ..PerformanceConfig::default()
    };
    let connection = ConnectionConfig {
        connection_timeout: ANSWER,
        internal_command_timeout: ANSWER,
        max_command_attempts: 1,
        max_redirections: 2,
        tcp: TcpConfig {
            nodelay: Some(true),
            ..TcpConfig::default()
        },
        unresponsive: UnresponsiveConfig {
            max_timeout: Some(ANSWER),
            interval: LOOK,
        },
        ..ConnectionConfig::default()
    };
    let policy = ReconnectPolicy::new_exponential(0, RECONNECT.0, RECONNECT.1, 2);
    Client::new(config, Some(performance), Some(connection), Some(policy))
}
