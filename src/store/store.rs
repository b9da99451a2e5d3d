//! The trait of a store, its atomic updates, and the futures that it returns.

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

/// A store of resources by key.
pub(crate) trait Store: Debug + Send + Sync + 'static {
    /// The resource stored under `key`.
    fn get(&self, key: KeyRef<'_>) -> StoreFuture<Option<Resource>>;

    /// Updates the resource stored under `key` atomically: between the read that `update` gets and
    /// the write that it asks for, no other update of this key happens.
    fn update(&self, key: Key, update: UpdateFn) -> StoreFuture<()>;
}

/// Decides how to update one resource. The argument is the stored resource, if there is one.
pub(crate) type UpdateFn = Box<dyn FnOnce(Option<&Resource>) -> Update + Send>;

/// What an [`UpdateFn`] decided.
#[derive(Debug)]
pub(crate) enum Update {
    /// Leave the store as it is.
    Keep,
    /// Remove the stored resource.
    Remove,
    /// Store this resource in place of the stored one.
    Replace(Resource),
}

/// The result of a store operation: available at once from memory, later from elsewhere.
pub(crate) enum StoreFuture<T> {
    /// The result, until it has been taken.
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
