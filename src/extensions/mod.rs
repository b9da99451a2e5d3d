//! Extensions between the cache and the services around it: the priority of a request, who sends it,
//! how far it came, a response that must not be stored, and a body whose end is not certain.

mod body_end;
mod cache_tags;
mod caller;
mod no_store;
mod priority;
mod request_progress;

pub(crate) use self::request_progress::Blame;
pub use self::{
    body_end::BodyEnd, cache_tags::CacheTags, caller::Caller, no_store::NoStore,
    priority::Priority, request_progress::RequestProgress,
};
