//! The bytes of bodies that clients are given, by where they come from.

use std::sync::Arc;

use metrics::{Counter, Unit, counter, describe_counter};

use crate::outcome::{CacheOutcome, Tier};

const SENT_BYTES: &str = "cachewarp_sent_bytes_total";

/// Where the bytes of bodies are counted.
#[derive(Debug)]
pub(crate) struct SentBytes {
    pub(crate) memory: Counter,
    remote: Counter,
    collapsed: Arc<Counter>,
    origin: Arc<Counter>,
}

impl SentBytes {
    pub(super) fn register() -> Self {
        describe_counter!(
            SENT_BYTES,
            Unit::Bytes,
            "Bytes of bodies that clients were given, by where they came from"
        );
        let from = |source: &'static str| counter!(SENT_BYTES, "from" => source);
        Self {
            memory: from("memory"),
            remote: from("remote"),
            collapsed: Arc::new(from("collapsed")),
            origin: Arc::new(from("origin")),
        }
    }

    /// For a body that is stored.
    pub(crate) fn stored(&self, outcome: &CacheOutcome) -> &Counter {
        match outcome.tier() {
            Some(Tier::Remote) => &self.remote,
            Some(Tier::Memory) | None => &self.memory,
        }
    }

    /// For a body that arrives while it is read. The body keeps it, so it is shared.
    pub(crate) fn arriving(&self, outcome: &CacheOutcome) -> &Arc<Counter> {
        match outcome {
            CacheOutcome::Collapsed { .. } => &self.collapsed,
            _ => &self.origin,
        }
    }
}
