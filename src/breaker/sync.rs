//! What threads share here. The models put another in the place of this file, to try schedules.

pub(super) use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};
