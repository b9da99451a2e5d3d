//! The result of one exchange with the origin.

use std::{sync::Arc, time::Duration};

use http::Response;
use tokio::sync::OwnedSemaphorePermit;

use super::lifetime::Undecided;
use crate::{
    body::CacheBody,
    entry::Lesson,
    state::flights::{Arriving, Flown},
};

/// How an exchange ended: the client's answer, what others may have of it, and a body that is to
/// be recorded.
pub(crate) struct Exchanged<B, E> {
    pub(crate) answer: Result<Response<CacheBody<B>>, E>,
    pub(crate) flown: Flown,
    pub(crate) recording: Option<Recording<B>>,
}

/// A body to be driven to its end and stored.
pub(crate) struct Recording<B> {
    pub(crate) arriving: Arc<Arriving>,
    pub(crate) body: B,
    /// How long the origin took for the head.
    pub(crate) cost: Duration,
    /// What it shows to a policy that learns.
    pub(crate) lesson: Option<Lesson>,
    /// Held until it ends, if no flight holds one for it.
    pub(crate) permit: Option<OwnedSemaphorePermit>,
    /// What is left to ask that policy once the body is there.
    pub(crate) undecided: Option<Box<Undecided>>,
}

/// Where the permit comes from that every fill needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Permit {
    /// The flight has it.
    OfFlight,
    /// It is taken once there is a body to record.
    Own,
}
