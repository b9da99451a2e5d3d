//! Where POST requests are reads, and how the bodies of requests are made.

use std::{
    any::Any,
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use http_body::Body;
use tokio::sync::Semaphore;

use super::{
    body::ReadBody,
    read::{self, Reading},
};
use crate::{error::BoxError, util::pattern::Patterns};

/// The declarations of [`post_as_read`](crate::CacheBuilder::post_as_read).
#[derive(Clone)]
pub(crate) struct PostReads {
    rules: Vec<(Patterns, u64)>,
    /// A [`RequestBodies`] of the type of the requests' bodies.
    bodies: Option<Arc<dyn Any + Send + Sync>>,
    mismatch_reported: Arc<AtomicBool>,
}

impl PostReads {
    pub(crate) fn new() -> Self {
        #[cfg(feature = "axum")]
        let bodies: Option<Arc<dyn Any + Send + Sync>> =
            Some(Arc::new(RequestBodies::new(axum::body::Body::new)));
        #[cfg(not(feature = "axum"))]
        let bodies = None;
        Self::of(bodies)
    }

    /// No path yet, and bodies that are made like this.
    pub(crate) fn of(bodies: Option<Arc<dyn Any + Send + Sync>>) -> Self {
        Self {
            rules: Vec::new(),
            bodies,
            mismatch_reported: Arc::default(),
        }
    }

    pub(crate) fn add(&mut self, path: Patterns, limit: u64) {
        self.rules.push((path, limit));
    }

    pub(crate) fn set_bodies<Q: 'static>(&mut self, bodies: RequestBodies<Q>) {
        self.bodies = Some(Arc::new(bodies));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether it is known how to make the bodies of requests, of whatever type.
    pub(crate) fn makes_bodies(&self) -> bool {
        self.bodies.is_some()
    }

    /// The largest body that is read of a POST to this path. `None` if it is no read.
    pub(crate) fn limit(&self, path: &str) -> Option<u64> {
        let rules = self.rules.iter();
        let limits = rules.filter(|(pattern, _)| pattern.matches(path.as_bytes()));
        limits.map(|(_, limit)| *limit).max()
    }

    /// How bodies of type `Q` are made. `None` if the setting is about another type.
    pub(crate) fn bodies<Q: 'static>(&self) -> Option<&RequestBodies<Q>> {
        let bodies = self.bodies.as_ref()?.downcast_ref();
        if bodies.is_none() && !self.mismatch_reported.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                requests = std::any::type_name::<Q>(),
                "`request_bodies` makes bodies of another type: POST requests are not read"
            );
        }
        bodies
    }
}

impl fmt::Debug for PostReads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.rules).finish()
    }
}

type ReadFuture<Q> = Pin<Box<dyn Future<Output = Reading<Q>> + Send>>;

/// Reads bodies of type `Q`, and makes them again.
pub(crate) struct RequestBodies<Q> {
    read: Box<dyn Fn(Q, u64, Arc<Semaphore>) -> ReadFuture<Q> + Send + Sync>,
    whole: Box<dyn Fn(Bytes) -> Q + Send + Sync>,
}

impl<Q: Send + 'static> RequestBodies<Q> {
    pub(crate) fn new<F>(make: F) -> Self
    where
        Q: Body<Data: Send, Error: Into<BoxError>>,
        F: Fn(ReadBody<Q>) -> Q + Send + Sync + 'static,
    {
        let make = Arc::new(make);
        let whole = Arc::clone(&make);
        Self {
            read: Box::new(move |body, limit, account| {
                let make = Arc::clone(&make);
                Box::pin(async move {
                    match read::read(body, limit, account).await {
                        Ok(posted) => Reading::Whole(posted),
                        Err(unread) => Reading::Unread(make(unread)),
                    }
                })
            }),
            whole: Box::new(move |bytes| whole(ReadBody::whole(bytes))),
        }
    }

    pub(crate) async fn read(&self, body: Q, limit: u64, account: Arc<Semaphore>) -> Reading<Q> {
        (self.read)(body, limit, account).await
    }

    /// A body of these bytes.
    pub(crate) fn whole(&self, bytes: Bytes) -> Q {
        (self.whole)(bytes)
    }
}
