//! What threads share, from shuttle: in the place of `src/breaker/sync.rs`.

pub(super) use shuttle::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};
pub(super) use std::sync::PoisonError;
