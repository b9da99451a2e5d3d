//! What threads share here. The models put another in the place of this file, to try schedules.

pub(super) use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU32, AtomicU64, Ordering},
};
