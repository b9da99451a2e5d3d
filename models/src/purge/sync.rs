//! What threads share, from shuttle: in the place of `src/purge/sync.rs`.

pub(super) use shuttle::sync::{
    Mutex,
    atomic::{AtomicU32, AtomicU64, Ordering},
};
pub(super) use std::sync::PoisonError;
