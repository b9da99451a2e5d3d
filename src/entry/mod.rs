//! A stored response: plain data, packed.

mod entry;
mod history;
mod names;
mod parts;
mod rendered;
#[cfg(test)]
pub(crate) mod tests;

#[cfg(any(test, feature = "redis"))]
pub(crate) use self::parts::Terms;
pub(crate) use self::{
    entry::Entry,
    history::Lesson,
    names::Shapes,
    parts::{Arrival, Head, Segments},
    rendered::HotHeads,
};
