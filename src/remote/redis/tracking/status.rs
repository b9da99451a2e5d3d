//! Whether changes are told, and what is to be said about it: pure, by what was seen.

use std::collections::HashMap;

use bytes::Bytes;

use super::masters::{Connection, Survey};

/// What the tracking connection tells.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Notice {
    /// Every master tells changes (again): what changes from here on is told.
    Armed,
    /// The key changed, was deleted, expired or was evicted. It is the whole Redis key, as a slice
    /// of what was read from the connection: copy it to keep it.
    Changed(Bytes),
    /// Anything may have changed since [`Armed`](Self::Armed), and changes may go untold until the
    /// next one.
    Lost,
}

/// What has been told, and what was seen last. Nothing is told at first: that is being lost.
#[derive(Debug, Default)]
pub(super) struct Standing {
    told: Told,
    /// What each master's own key held when it was seen last.
    lives: HashMap<String, Bytes>,
    topology: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Told {
    Armed,
    #[default]
    Lost,
}

impl Standing {
    /// A change may have gone untold.
    pub(super) fn lose(&mut self) -> Option<Notice> {
        let before = std::mem::take(&mut self.told);
        (before == Told::Armed).then_some(Notice::Lost)
    }

    /// Every master has answered. What is to be told, in order.
    pub(super) fn surveyed(&mut self, survey: Survey) -> [Option<Notice>; 2] {
        let mut lost = None;
        let renewed = survey.masters.iter().any(|master| {
            let known = |(name, life): &(String, Bytes)| self.lives.get(name) == Some(life);
            // A key that could not be read says nothing.
            let same = master.life.as_ref().is_none_or(known);
            master.connection == Connection::Armed || !same
        });
        if renewed {
            lost = self.lose();
        }
        // Names of masters that are gone go with them.
        let mut lives = std::mem::take(&mut self.lives);
        self.lives = survey
            .masters
            .into_iter()
            .filter_map(|master| master.life.or_else(|| lives.remove_entry(&master.name)))
            .collect();
        self.topology = survey.topology;
        let armed = (self.told == Told::Lost).then_some(Notice::Armed);
        self.told = Told::Armed;
        [lost, armed]
    }

    /// What the Cluster looked like when it was seen last.
    pub(super) fn topology(&self) -> Option<String> {
        self.topology.clone()
    }
}
