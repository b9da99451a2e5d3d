//! A stored response, packed into as little memory as possible.

mod entry;
mod history;
mod names;
mod parts;
mod rendered;
#[cfg(test)]
pub(crate) mod tests;

#[cfg(any(test, feature = "redis"))]
pub(crate) use self::parts::HeadMeta;
pub(crate) use self::{
    entry::Entry,
    history::HistoryUpdate,
    names::NameInterner,
    parts::{Arrival, Head, Segments},
    rendered::RenderedHeads,
};
