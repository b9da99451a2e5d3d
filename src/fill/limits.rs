//! The limits of one body while it is recorded.

use std::time::Duration;

/// The limits of one body.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// The largest body that is kept whole, in bytes.
    pub(crate) max_body: u64,
    /// How many bytes of a larger body are kept for its readers.
    pub(crate) window: u64,
    /// How long the recorder waits for the next bytes of a body that is fetched in order to be
    /// stored.
    pub(crate) idle: Duration,
    /// How long a reader may stall while it holds others back.
    pub(crate) reader_stall: Duration,
    /// How long a body may take to arrive once it has no reader.
    pub(crate) timeout: Duration,
    pub(crate) on_abandoned: OnAbandoned,
}

impl Limits {
    /// The same for a body that is fetched in order to be stored, with or without readers.
    pub(crate) fn without_discarding(&self) -> Self {
        Self {
            on_abandoned: OnAbandoned::Continue,
            ..self.clone()
        }
    }
}

/// What happens to a response that could be stored when its last reader is dropped.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum OnAbandoned {
    /// It is fetched to its end and stored, within the limits on size and time. The default.
    #[default]
    Continue,
    /// The origin's body is dropped and nothing is stored.
    Discard,
}
