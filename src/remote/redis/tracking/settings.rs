//! The settings of the tracking client: its timeouts, reconnecting and channels.

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

/// How long a master may take to answer a command, and how long connecting to it may take.
pub(super) const ANSWER: Duration = Duration::from_millis(500);

/// How often connections are checked for an overdue answer.
const LOOK: Duration = Duration::from_millis(200);

/// The most notifications, each of which may name several keys, that may wait to be received. One
/// more counts as a lost connection.
const WAITING: usize = 1024;

/// The pauses between attempts to connect, in milliseconds: doubling from the first to the second.
const RECONNECT: (u32, u32) = (50, 500);

/// A client that is not connected yet. `masters` are the last known masters of a Cluster.
pub(super) fn client(mut config: Config, masters: Vec<Server>) -> Client {
    // Notifications come on the connection itself, which RESP2 does not support.
    config.version = RespVersion::RESP3;
    // Without failing fast the client tries again.
    config.fail_fast = false;
    if let ServerConfig::Clustered { hosts, policy } = &mut config.server {
        // The nodes of the URL may be gone by the time a master has to be found.
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
