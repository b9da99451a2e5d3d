//! The events that the client reports about its connections: several channels as one.

use fred::{
    clients::Client,
    error::Error,
    interfaces::{EventInterface, TrackingInterface},
    types::{ClusterStateChange, client::Invalidation, config::Server},
};
use tokio::{
    select,
    sync::broadcast::{Receiver, error::RecvError},
};

/// An event, by what to do about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Signal {
    /// Notifications are missed, and no master can be asked before there is a connection again.
    Disconnected,
    /// Notifications may have been missed, and the masters can be asked.
    Doubtful(&'static str),
    /// The client ended.
    Ended,
}

pub(super) struct Signals {
    connections: Receiver<Server>,
    errors: Receiver<(Error, Option<Server>)>,
    topologies: Receiver<Vec<ClusterStateChange>>,
}

impl Signals {
    /// The events of a client that is not connected yet, so that none is missed.
    pub(super) fn of(client: &Client) -> Self {
        Self {
            connections: client.reconnect_rx(),
            errors: client.error_rx(),
            topologies: client.cluster_change_rx(),
        }
    }

    /// The next signal. None is lost when this is dropped.
    pub(super) async fn next(&mut self) -> Signal {
        loop {
            // A closed connection is reported before the one that replaces it.
            let signal = select! {
                biased;
                error = self.errors.recv() => match error {
                    Ok(_) => Signal::Disconnected,
                    Err(missed) => Signal::of_missed(&missed),
                },
                topology = self.topologies.recv() => match topology {
                    Ok(changes) if changes.iter().all(is_rebalance) => continue,
                    Ok(_) => Signal::Doubtful("masters came or went"),
                    Err(missed) => Signal::of_missed(&missed),
                },
                connection = self.connections.recv() => match connection {
                    Ok(_) => Signal::Doubtful("there is a new connection"),
                    Err(missed) => Signal::of_missed(&missed),
                },
            };
            return signal;
        }
    }
}

impl Signal {
    pub(super) fn of_missed(missed: &RecvError) -> Self {
        match missed {
            RecvError::Closed => Self::Ended,
            RecvError::Lagged(_) => Self::Doubtful("more notifications came than were received"),
        }
    }
}

/// The notifications of a client that is not connected yet.
pub(super) fn changes_of(client: &Client) -> Receiver<Invalidation> {
    client.invalidation_rx()
}

/// Whether slots only moved between known masters, each of which notifies of its own slots.
fn is_rebalance(change: &ClusterStateChange) -> bool {
    matches!(change, ClusterStateChange::Rebalance)
}
