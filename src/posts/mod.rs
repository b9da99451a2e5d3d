//! Request bodies that the cache reads: POST requests that the operator declares to be reads.

mod body;
mod posted;
mod read;
mod settings;

pub use body::ReadBody;
pub(crate) use posted::Posted;
pub(crate) use read::Reading;
pub(crate) use settings::{PostReads, RequestBodies};
