//! Whether the masters notify of changes, and which events follow from what was seen of them. Pure.

use std::collections::HashMap;

use bytes::Bytes;

use super::masters::{Arming, Survey};
use crate::remote::store::WatchEvent;

/// Whether changes are notified, and what was seen of the masters last. Begins disconnected.
#[derive(Debug, Default)]
pub(super) struct TrackingStatus {
    notified: Notified,
    /// The value that each master's own key had when it was read last.
    own_keys: HashMap<String, Bytes>,
    topology: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Notified {
    Yes,
    #[default]
    No,
}

impl TrackingStatus {
    /// A notification may have been missed. Returns the event to report, if there is one.
    pub(super) fn disconnected(&mut self) -> Option<WatchEvent> {
        let before = std::mem::take(&mut self.notified);
        (before == Notified::Yes).then_some(WatchEvent::Disconnected)
    }

    /// Every master has answered. Returns the events to report, in order.
    pub(super) fn surveyed(&mut self, survey: Survey) -> [Option<WatchEvent>; 2] {
        let mut lost = None;
        let renewed = survey.masters.iter().any(|master| {
            let known = |(name, value): &(String, Bytes)| self.own_keys.get(name) == Some(value);
            // A key that could not be read proves nothing.
            let same = master.own_key.as_ref().is_none_or(known);
            master.arming == Arming::New || !same
        });
        if renewed {
            lost = self.disconnected();
        }
        // Forgets the names of masters that are gone.
        let mut before = std::mem::take(&mut self.own_keys);
        self.own_keys = survey
            .masters
            .into_iter()
            .filter_map(|master| master.own_key.or_else(|| before.remove_entry(&master.name)))
            .collect();
        self.topology = survey.topology;
        let connected = (self.notified == Notified::No).then_some(WatchEvent::Connected);
        self.notified = Notified::Yes;
        [lost, connected]
    }

    /// The topology of the Cluster when it was seen last.
    pub(super) fn topology(&self) -> Option<String> {
        self.topology.clone()
    }
}
