//! [`CacheHandle::purge`].

use super::CacheHandle;
use crate::purge::{PurgeError, PurgeRequest, Purged};

impl CacheHandle {
    /// Ends what is stored: see [`Purge`](crate::Purge) for what can be named, and how it ends.
    ///
    /// When this returns the purge is in force on this node: no request that begins from then on gets
    /// what was fetched before. That holds for memory, for the shared tier, for requests that share a
    /// fetch, for refreshes in the background and for answers in place of errors. With a shared tier it is
    /// recorded there too, for at most 250 ms; the other nodes apply it as soon as they hear of it, or
    /// before they use what they have.
    ///
    /// ```
    /// # async fn purge(handle: cachewarp::CacheHandle) -> Result<(), cachewarp::PurgeError> {
    /// use cachewarp::Purge;
    ///
    /// let purged = handle
    ///     .purge(Purge::url("/items/7").tag("item:7").prefix("/items").soft())
    ///     .await?;
    /// println!("{} subjects, told: {:?}", purged.subjects, purged.shared);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`PurgeError::Invalid`] if something that is named is malformed: nothing is purged then.
    /// [`PurgeError::Pending`] if the shared tier did not answer: it is in force here, and the others are
    /// told as soon as it does.
    pub async fn purge(&self, purge: PurgeRequest) -> Result<Purged, PurgeError> {
        self.cache.purge(&purge).await
    }
}
