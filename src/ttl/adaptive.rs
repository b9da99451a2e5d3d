//! The policy that learns: lifetimes from how often a key changes and how often it is asked for.
//!
//! One decision goes from top to bottom: `learner` takes what is known of the kind from `prior`,
//! `estimate` adds the key's history to it as `belief`, `weigh` finds the cheapest lifetime at the
//! `price` that the budget has come to. Only `learner` holds state that is shared.

mod belief;
mod estimate;
mod grid;
mod learner;
mod price;
mod prior;
mod settings;
mod weigh;

pub use self::{learner::AdaptiveTtl, settings::AdaptiveTtlBuilder};
