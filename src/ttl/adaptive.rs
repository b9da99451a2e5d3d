//! The adaptive policy: lifetimes from how often a key changes and how often it is requested.
//!
//! A decision takes these steps: `learner` gets the prior of the response's kind from `prior`,
//! `estimate` updates it with the key's history to a `belief` about its rate of change, and `weigh`
//! finds the lifetime with the lowest cost at the current `price` of a stale answer. Only `learner`
//! holds shared state.

mod belief;
mod estimate;
mod grid;
mod learner;
mod price;
mod prior;
mod settings;
mod weigh;

pub use self::{learner::AdaptiveTtl, settings::AdaptiveTtlBuilder};
