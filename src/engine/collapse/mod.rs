//! Request collapsing: concurrent requests for one response share one origin call.

mod abandon;
pub(crate) mod collapse;
mod direct;
mod first_byte;
mod join;
pub(crate) mod refresh;
mod reply;
mod share;
mod wait;

pub use self::join::GoesAlone;
