//! A stored response, packed into as little memory as possible.

mod entry;
mod history;
mod mark;
mod names;
mod parts;
mod rendered;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use self::{
    entry::Entry,
    history::HistoryUpdate,
    mark::{RemoteVersion, Slots, Snapshot},
    names::NameInterner,
    parts::{Arrival, Head, HeadMeta, Segments},
    rendered::RenderedHeads,
};
