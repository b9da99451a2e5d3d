//! The extension that the parts use.

pub(crate) use priority::Priority;

#[path = "../../src/extensions/priority.rs"]
mod priority;
