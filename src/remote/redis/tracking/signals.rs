//! What a client says by itself of its connections: its several channels as one.

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

/// What happened, by what is to be done about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Signal {
    /// Changes go untold, and there is nobody to ask before there is a connection again.
    Disconnected,
    /// Changes may have gone untold, and the masters can be asked.
    Doubtful(&'static str),
    /// Nothing more will happen.
    Ended,
}

pub(super) struct Signals {
    connections: Receiver<Server>,
    errors: Receiver<(Error, Option<Server>)>,
    topologies: Receiver<Vec<ClusterStateChange>>,
}

impl Signals {
    /// Of a client that has not been connected yet, so that nothing is missed.
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
            // A connection that closed is told before the one that takes its place is.
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
            RecvError::Lagged(_) => Self::Doubtful("more was told than was received"),
        }
    }
}

/// The changes that a client is told, of one that has not been connected yet.
pub(super) fn changes_of(client: &Client) -> Receiver<Invalidation> {
    client.invalidation_rx()
}

/// Slots that moved between masters which are all known: each of them tells its own.
fn is_rebalance(change: &ClusterStateChange) -> bool {
    matches!(change, ClusterStateChange::Rebalance)
}
