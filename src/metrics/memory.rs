//! The metrics of the memory tier.

use metrics::{Counter, Gauge, Unit, counter, describe_counter, describe_gauge, gauge};

use super::{part::GaugePart, readable::ReadableCounter};

const EVICTIONS: &str = "cachewarp_evictions_total";
const ENTRIES: &str = "cachewarp_entries";
const MEMORY_BYTES: &str = "cachewarp_memory_bytes";
const MEMORY_CAPACITY: &str = "cachewarp_memory_capacity_bytes";

/// The metrics of one memory tier, whichever caches use it.
#[derive(Debug)]
pub(crate) struct MemoryMetrics {
    pub(crate) evicted_expired: Counter,
    pub(crate) evicted_size: ReadableCounter,
    bytes: GaugePart,
    entries: GaugePart,
    /// Never read: it counts for as long as the tier is there.
    _capacity: GaugePart,
}

impl MemoryMetrics {
    pub(crate) fn register(capacity: u64) -> Self {
        describe_counter!(
            EVICTIONS,
            Unit::Count,
            "Resources that the memory tier removed by itself, by cause"
        );
        describe_gauge!(
            ENTRIES,
            Unit::Count,
            "Resources in the memory tier, as of its last maintenance"
        );
        describe_gauge!(
            MEMORY_BYTES,
            Unit::Bytes,
            "Bytes held by the memory tier, as of its last maintenance"
        );
        describe_gauge!(
            MEMORY_CAPACITY,
            Unit::Bytes,
            "Bytes that the memory tier may hold"
        );
        let evicted = |cause: &'static str| counter!(EVICTIONS, "cause" => cause);
        let part = |gauge: Gauge| GaugePart::new(gauge);
        let whole = part(gauge!(MEMORY_CAPACITY));
        whole.set(capacity);
        Self {
            evicted_expired: evicted("expired"),
            evicted_size: ReadableCounter::new(evicted("size")),
            bytes: part(gauge!(MEMORY_BYTES)),
            entries: part(gauge!(ENTRIES)),
            _capacity: whole,
        }
    }

    /// Reports what the tier holds.
    pub(crate) fn holds(&self, entries: u64, bytes: u64) {
        self.entries.set(entries);
        self.bytes.set(bytes);
    }
}
