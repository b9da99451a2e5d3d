//! A response body that is recorded while it streams: one recorder, any number of readers.
//!
//! Each segment is copied to its exact size when it arrives: a slice of the received buffer would
//! keep the whole read buffer of the connection in memory. Small segments are merged, so a body
//! that comes in many small frames is stored like one that comes at once. A reader keeps its
//! position in bytes, which merging does not change.
//!
//! While the body is kept whole, slow readers cost nothing: the store needs the bytes anyway. If
//! the body becomes too large to be stored, only a window of it is kept. Then the slowest reader
//! sets the pace. A reader that stalls while it holds others back is cut off. A single reader may
//! take as long as it likes, as it could without a cache.

mod limits;
mod reader;
mod record;
mod shared;
mod state;

pub use self::limits::OnAbandoned;
pub(crate) use self::{
    limits::Limits,
    reader::FillReader,
    record::Recorded,
    shared::{Beginning, Fill},
};
