//! A stored response, packed into as little memory as possible.

mod account;
mod body;
mod entry;
mod extras;
mod history;
mod mark;
mod names;
mod parts;
mod render;
mod rendered;
mod slices;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use self::{
    account::{Account, Grant, Held, Holder, Whose},
    body::BodyReader,
    entry::Entry,
    history::HistoryUpdate,
    mark::{RemoteVersion, Slots, Snapshot},
    names::NameInterner,
    parts::{Arrival, Head, HeadMeta, Segments},
    rendered::RenderedHeads,
    slices::Slices,
};
