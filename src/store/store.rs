//! The one trait for every tier, and the changes and futures it speaks in.

use std::{
    fmt::Debug,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use super::resource::Resource;
use crate::{
    error::StoreError,
    key::{Key, KeyRef},
};

/// A tier: resources by key.
pub(crate) trait Store: Debug + Send + Sync + 'static {
    /// The resource stored under `key`.
    fn get(&self, key: KeyRef<'_>) -> StoreFuture<Option<Resource>>;

    /// Changes what is stored under `key` atomically: no other change comes between what `change`
    /// is shown and what it leaves.
    fn update(&self, key: Key, change: Change) -> StoreFuture<()>;
}

/// A change to one resource, shown what is stored.
pub(crate) type Change = Box<dyn FnOnce(Option<&Resource>) -> Update + Send>;

/// What a [`Change`] leaves behind.
#[derive(Debug)]
pub(crate) enum Update {
    Keep,
    Remove,
    Replace(Resource),
}

/// A store's answer: at once from memory, later from elsewhere.
pub(crate) enum StoreFuture<T> {
    Ready(Option<Result<T, StoreError>>),
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the memory tier is always ready")
    )]
    Pending(Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>),
}

impl<T> StoreFuture<T> {
    pub(crate) fn ready(value: T) -> Self {
        Self::Ready(Some(Ok(value)))
    }
}

impl<T: Unpin> Future for StoreFuture<T> {
    type Output = Result<T, StoreError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Ready(value) => value.take().map_or(Poll::Pending, Poll::Ready),
            Self::Pending(future) => future.as_mut().poll(cx),
        }
    }
}
