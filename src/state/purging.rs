//! Carries out purges: in force here first, then recorded for the other nodes. What was purged is wiped
//! from memory afterwards, at leisure.

use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use http::Uri;
use tokio::{
    runtime::Handle,
    time::{sleep, timeout},
};
use tracing::Instrument;

use super::cache::{Cache, Shared};
use crate::{
    entry::Entry,
    executor::Executor,
    key::{Key, KeyParts, KeyTarget, RequestKey, without_default_port},
    purge::{
        Mode, Names, PurgeError, PurgeRequest, PurgeTime, Purged, PurgedHere, PurgedShared,
        Standing, Subject,
    },
    remote::{PurgeLog, Queued, TELL_WITHIN, Urgency},
    spans,
    store::{Resource, StoreFuture, Update},
};

/// How long a hard purge waits before what it purged is wiped, so that one walk through memory serves
/// many purges.
const WIPE_AFTER: Duration = Duration::from_secs(1);

/// How many resources are looked at before others get a turn, and for how long then. At some 200 ns each
/// this takes a fortieth of a core.
const WIPE_STEP: usize = 256;
const WIPE_REST: Duration = Duration::from_millis(2);

/// How often the log of purges is read although nothing tells of a change: while changes are notified,
/// and while they are not.
const SURVEY: Duration = Duration::from_secs(5);
const BLIND_SURVEY: Duration = Duration::from_secs(1);

/// How long the log is left alone at least.
const SHORTEST_REST: Duration = Duration::from_millis(20);

impl Cache {
    /// Carries out a purge. When this returns it is in force on this node.
    ///
    /// # Errors
    ///
    /// If the request is invalid, or the shared tier did not record the purge in time.
    pub(crate) async fn purge(&self, request: &PurgeRequest) -> Result<Purged, PurgeError> {
        let subjects = request.subjects(&self.purge_names())?;
        let variants = request
            .single_url()
            .and_then(|url| self.stored_variants(url));
        let span = spans::purge(subjects.len(), request.mode().as_str());
        let (time, queued) = span.in_scope(|| self.purge_here(&subjects, request.mode()));
        let shared = match (&self.shared.remote, queued) {
            (Some(remote), Some(queued)) => {
                let telling = tell(&remote.purges, queued);
                telling.instrument(span.clone()).await
            }
            (Some(_), None) | (None, _) => PurgedShared::None,
        };
        span.record("shared", shared.as_str());
        let purged = Purged {
            id: time.millis(),
            subjects: request.len(),
            soft: request.mode() == Mode::Soft,
            here: PurgedHere {
                in_force: true,
                variants,
            },
            shared,
        };
        match shared {
            PurgedShared::Pending => Err(PurgeError::Pending(purged)),
            PurgedShared::None | PurgedShared::Told { .. } => Ok(purged),
        }
    }

    /// Invalidates the cache groups that the response to an unsafe request for this resource names: what
    /// belongs to them is validated before it is used again (RFC 9875 section 3). The other nodes are told
    /// in the background.
    pub(crate) fn invalidate_groups(&self, resource: &RequestKey, groups: &[String]) {
        let Some(key) = KeyParts::parse(resource.as_bytes()) else {
            return;
        };
        let subjects: Vec<_> = groups
            .iter()
            .map(|group| Subject::group(key.namespace, key.scheme, key.host, group.as_bytes()))
            .collect();
        if subjects.is_empty() {
            return;
        }
        self.purge_here(&subjects, Mode::Validate);
        if let Some(remote) = &self.shared.remote {
            remote.purges.changed().notify_one();
        }
    }

    /// Purges these subjects in this process. Returns the time, and the place among what the other nodes
    /// are told.
    fn purge_here(&self, subjects: &[Subject], mode: Mode) -> (PurgeTime, Option<Queued>) {
        let shared = &self.shared;
        let (time, queued) = match &shared.remote {
            None => {
                let now = shared.clock.monotonic();
                (shared.purges.purge(subjects, mode, now), None)
            }
            Some(remote) => {
                let (time, queued) = remote.purges.purge(subjects, mode);
                (time, Some(queued))
            }
        };
        let counts = &shared.metrics().purges;
        for subject in subjects {
            counts.count(subject.kind() as u8, mode as u8);
        }
        tracing::debug!(subjects = subjects.len(), ?mode, "purged");
        shared.wipe(&*self.config.executor);
        (time, queued)
    }

    /// How this layer names what it stores.
    pub(crate) fn purge_names(&self) -> Names<'_> {
        Names {
            namespace: &self.config.namespace,
            query: self.config.query.as_ref(),
        }
    }

    /// How many stored responses memory has for a URL with a host, by its plain key.
    fn stored_variants(&self, url: &str) -> Option<u64> {
        let config = &self.config;
        let uri: Uri = url.parse().ok()?;
        let own = without_default_port(uri.authority()?.as_str().as_bytes(), uri.scheme_str()?);
        let mut count = 0;
        for scheme in ["http", "https"] {
            let target = KeyTarget {
                scheme,
                ..KeyTarget::new(&config.namespace, &uri, scheme, own)
            };
            let key = RequestKey::of(
                target.normalised_by(config.query.as_ref()),
                self.shared.seed,
            );
            if let StoreFuture::Ready(Some(Ok(Some(stored)))) = self.shared.store.get(key.as_ref())
            {
                let usable = stored.variants().iter();
                let usable = usable
                    .filter(|entry| self.shared.purged(key.as_bytes(), entry) == Standing::Usable);
                count += usable.count() as u64;
            }
        }
        Some(count)
    }
}

/// Wipes what was purged from memory, in a task that ends with the cache.
fn wipe_soon(shared: Weak<Shared>, executor: &dyn Executor) {
    let mut walking = Walking(Some(shared));
    executor.execute(Box::pin(async move {
        let mut is_due = true;
        while is_due && let Some(shared) = &walking.0 {
            sleep(WIPE_AFTER).await;
            is_due = wipe(shared).await.unwrap_or(false);
        }
        walking.ended();
    }));
}

/// A walk through memory that is waiting or in progress. If its runtime ends first, the next purge begins
/// another one.
struct Walking(Option<Weak<Shared>>);

impl Walking {
    /// Nothing is due any more, or the cache is gone.
    fn ended(&mut self) {
        self.0 = None;
    }
}

impl Drop for Walking {
    fn drop(&mut self) {
        if let Some(shared) = self.0.as_ref().and_then(Weak::upgrade) {
            shared.wiping.running.store(false, Ordering::Release);
        }
    }
}

/// One walk through memory. Returns whether another one is due, or `None` if the cache is gone.
async fn wipe(shared: &Weak<Shared>) -> Option<bool> {
    let memory = {
        let shared = shared.upgrade()?;
        shared.wiping.due.store(false, Ordering::Release);
        shared.memory.clone()
    };
    let mut stored = memory.iter();
    loop {
        let looked_at = {
            let shared = shared.upgrade()?;
            let step = stored.by_ref().take(WIPE_STEP);
            step.map(|(key, resource)| shared.remove_purged(&key, &resource))
                .count()
        };
        if looked_at < WIPE_STEP {
            break;
        }
        sleep(WIPE_REST).await;
    }
    let wiping = &shared.upgrade()?.wiping;
    wiping.running.store(false, Ordering::Release);
    // A purge that this walk may have missed, and that saw it running.
    Some(wiping.due.load(Ordering::Acquire) && !wiping.running.swap(true, Ordering::AcqRel))
}

/// Waits until the log has a purge, for a limited time.
async fn tell(log: &PurgeLog, queued: Queued) -> PurgedShared {
    let _unless_told = Unless { log, queued };
    let appended = timeout(TELL_WITHIN, log.append(queued)).await;
    if let Ok(Err(error)) = &appended {
        tracing::debug!(%error, "a purge is pending");
    }
    match log.told(queued) {
        Some(seq) => PurgedShared::Told { seq },
        None => PurgedShared::Pending,
    }
}

/// Has a purge appended in the background if its caller goes on without that, or has gone away.
struct Unless<'a> {
    log: &'a PurgeLog,
    queued: Queued,
}

impl Drop for Unless<'_> {
    fn drop(&mut self) {
        if self.log.told(self.queued).is_none() {
            self.log.changed().notify_one();
        }
    }
}

impl Shared {
    /// Follows the log of purges for as long as the cache lives, and appends to it what is pending.
    pub(crate) fn follow_purges(self: &Arc<Self>) {
        let Some(remote) = &self.remote else {
            return;
        };
        let (shared, changed) = (Arc::downgrade(self), Arc::clone(remote.purges.changed()));
        remote.executor().execute(Box::pin(async move {
            let mut rest = Duration::ZERO;
            loop {
                // Told or not, it looks.
                let _ = timeout(rest, changed.notified()).await;
                let Some(shared) = shared.upgrade() else {
                    return;
                };
                let Some(remote) = &shared.remote else {
                    return;
                };
                if let Err(error) = remote.purges.sync(Urgency::Background).await {
                    tracing::debug!(%error, "the log of purges was not read");
                    // It may have been told of a change just now.
                    remote.purges.may_have_missed();
                }
                shared.wipe(&remote.executor());
                let survey = if remote.is_notified() {
                    SURVEY
                } else {
                    BLIND_SURVEY
                };
                let appends = remote.purges.appends_in().unwrap_or(survey);
                rest = survey.min(appends.max(SHORTEST_REST));
            }
        }));
    }

    /// Tells the other nodes of the purges that are pending, unless the shared tier does not answer.
    pub(crate) async fn tell_pending(&self) {
        if let Some(remote) = &self.remote
            && let Err(error) = remote.purges.append_all().await
        {
            tracing::debug!(%error, "purges are pending");
        }
    }

    /// Frees the memory of what was purged since this was last called: at once if that is everything, else
    /// in the background.
    fn wipe(self: &Arc<Self>, executor: &dyn Executor) {
        let (hard, everything) = self.purges.last_hard();
        if self.wiping.is_new_everything(everything) {
            self.metrics()
                .purges
                .purged
                .increment(self.memory.entry_count());
            self.memory.clear();
        }
        if self.wiping.is_new(hard.max(everything)) && hard != everything {
            self.wiping.due.store(true, Ordering::Release);
            // A walk needs a runtime. Without one, what was purged goes when it is asked for.
            let can_walk = Handle::try_current().is_ok();
            if can_walk && !self.wiping.running.swap(true, Ordering::AcqRel) {
                wipe_soon(Arc::downgrade(self), executor);
            }
        }
    }

    /// Removes what was purged of one resource.
    fn remove_purged(self: &Arc<Self>, key: &Key, resource: &Resource) {
        let variants = resource.variants().iter();
        let is_purged = |entry: &Arc<Entry>| self.purged(key.as_bytes(), entry) == Standing::Purged;
        if !variants.clone().any(is_purged) {
            return;
        }
        let shared = Arc::clone(self);
        let own = key.clone();
        let change = Box::new(move |stored: Option<&Resource>| {
            let Some(stored) = stored else {
                return Update::Keep;
            };
            let is_usable =
                |entry: &&Arc<Entry>| shared.purged(own.as_bytes(), entry) == Standing::Usable;
            let usable: Vec<_> = stored
                .variants()
                .iter()
                .filter(is_usable)
                .cloned()
                .collect();
            let purged = stored.variants().len() - usable.len();
            if purged == 0 {
                return Update::Keep;
            }
            shared.metrics().purges.purged.increment(purged as u64);
            Resource::new(usable, usize::MAX, usize::MAX).map_or(Update::Remove, Update::Replace)
        });
        // Memory is always ready; another store would be asked again with the next walk.
        drop(self.store.update(key.clone(), change));
    }
}
