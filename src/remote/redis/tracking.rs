//! The tracking connection, over which the server notifies this node of every change of a key below
//! a prefix (RESP3 client tracking in broadcasting mode, Redis 6.2 or later).
//!
//! It is a client of its own, driven by one task. The task is connected once every master has been
//! asked, and notifies over the connection that is in use now. It is disconnected at the first sign
//! that a notification may have been missed: a connection closed, a master came or went, a question
//! was not answered, more notifications came than could be received, a keyspace was emptied.
//!
//! On a server with access control the user needs the commands `CLIENT TRACKING` and
//! `TRACKINGINFO`, `GET` and `SET` below the prefix, and on a Cluster `CLUSTER INFO` and `SLOTS`.
//!
//! Its limits: a `FLUSHALL`, or a failover that loses writes without closing a connection, is
//! noticed with the next question (within a second), not at once. Under Sentinel a master that was
//! replaced is trusted until it is demoted or gone. While a slot of a Cluster migrates, changes on
//! its new master are notified from the end of the migration on.

mod masters;
mod settings;
mod signals;
mod status;

use std::{
    fmt,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use fred::{
    clients::Client,
    interfaces::ClientLike,
    types::{ConnectHandle, Key, client::Invalidation, config::Config},
};
use futures_util::future::{Fuse, FusedFuture, FutureExt};
use tokio::{
    select,
    task::JoinHandle,
    time::{MissedTickBehavior, interval, sleep},
};

use self::{
    masters::{Survey, is_own, masters_of, survey},
    settings::client,
    signals::{Signal, Signals, changes_of},
    status::TrackingStatus,
};
use crate::remote::store::{Watch, WatchEvent, WatchHandler};

/// How often every master is asked whether it still notifies. The client closes a connection that
/// leaves a question unanswered for [`ANSWER`](settings::ANSWER), but only if nothing else is
/// written in that time, so this is well above it.
const ASK: Duration = Duration::from_millis(1_000);

/// After this many questions in a row that did not end connected, the client is replaced by a new
/// one.
const PATIENCE: u32 = 15;

/// The pause before a new client.
const PAUSE: Duration = Duration::from_millis(500);

/// The tracking connections to all masters. Dropping it closes them.
pub(super) struct Tracking {
    armed: Arc<AtomicBool>,
    driver: JoinHandle<()>,
}

impl Tracking {
    /// Starts a client and the task that drives it, on the current tokio runtime. Returns at once.
    /// A server that cannot be reached is tried again until it can be.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub(super) fn start(config: Config, prefix: String, on_event: WatchHandler) -> Self {
        Self::with_patience(PATIENCE, config, prefix, on_event)
    }

    fn with_patience(
        patience: u32,
        config: Config,
        prefix: String,
        on_event: WatchHandler,
    ) -> Self {
        let armed = Arc::new(AtomicBool::new(false));
        let driver = Driver {
            armed: Arc::clone(&armed),
            config,
            on_event,
            patience,
            prefix,
            status: TrackingStatus::default(),
            warned: false,
        };
        Self {
            armed,
            driver: tokio::spawn(driver.run()),
        }
    }

    /// Whether changes are notified at this moment.
    fn armed(&self) -> bool {
        self.armed.load(Ordering::Acquire)
    }
}

impl Watch for Tracking {}

impl Drop for Tracking {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl fmt::Debug for Tracking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracking")
            .field("armed", &self.armed())
            .finish_non_exhaustive()
    }
}

/// The state of the task.
struct Driver {
    armed: Arc<AtomicBool>,
    config: Config,
    on_event: WatchHandler,
    /// See [`PATIENCE`].
    patience: u32,
    prefix: String,
    status: TrackingStatus,
    /// Whether the current disconnection was logged.
    warned: bool,
}

impl Driver {
    async fn run(mut self) {
        let mut masters = Vec::new();
        loop {
            let client = client(self.config.clone(), masters);
            self.session(&client).await;
            self.disconnect("the client ended");
            masters = masters_of(&client);
            drop(client);
            sleep(PAUSE).await;
        }
    }

    /// Drives one client, until it ends or has failed to connect for too long.
    async fn session(&mut self, client: &Client) {
        let (mut signals, mut changes) = (Signals::of(client), changes_of(client));
        let mut router = Router(client.connect());
        let mut asking = pin!(Fuse::terminated());
        let mut ticks = interval(ASK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut patience = self.patience;
        loop {
            // Signs of a loss come first: they invalidate a question that was asked before them.
            // Changes come last, because there may always be one more.
            let signal = select! {
                biased;
                _ = &mut router.0 => return,
                signal = signals.next() => signal,
                answer = &mut asking => {
                    match answer {
                        Ok(survey) => self.surveyed(survey),
                        Err(error) => self.unanswered(&error),
                    }
                    continue;
                }
                _ = ticks.tick(), if asking.is_terminated() => {
                    if self.armed.load(Ordering::Relaxed) {
                        patience = self.patience;
                    } else if patience == 0 {
                        self.warn("the masters do not notify");
                        return;
                    } else {
                        patience -= 1;
                    }
                    let known = self.status.topology();
                    asking.set(survey(client.clone(), self.prefix.clone(), known).fuse());
                    continue;
                }
                change = changes.recv() => match change {
                    Ok(change) => {
                        if self.changed(change) == OwnKeys::Changed {
                            ticks.reset_immediately();
                        }
                        continue;
                    }
                    Err(missed) => Signal::of_missed(&missed),
                },
            };
            match signal {
                Signal::Disconnected => self.disconnect("a connection closed"),
                Signal::Doubtful(why) => {
                    self.disconnect(why);
                    ticks.reset_immediately();
                }
                Signal::Ended => return,
            }
            asking.set(Fuse::terminated());
        }
    }

    /// Reports what changed, except for the masters' own keys.
    fn changed(&self, change: Invalidation) -> OwnKeys {
        let mut own = OwnKeys::Unchanged;
        for key in change.keys.into_iter().map(Key::into_bytes) {
            if is_own(&self.prefix, &key) {
                own = OwnKeys::Changed;
            } else {
                self.report(WatchEvent::Changed(key));
            }
        }
        own
    }

    fn surveyed(&mut self, survey: Survey) {
        for event in self.status.surveyed(survey).into_iter().flatten() {
            match event {
                WatchEvent::Disconnected => {
                    self.warn("a keyspace was emptied, or a connection replaced");
                }
                WatchEvent::Connected | WatchEvent::Changed(_) => {
                    self.warned = false;
                    tracing::info!("Redis notifies of changes");
                }
            }
            self.report(event);
        }
    }

    fn unanswered(&mut self, error: &fred::error::Error) {
        tracing::debug!(%error, "a Redis master did not answer");
        self.disconnect("a master did not answer");
    }

    fn disconnect(&mut self, why: &'static str) {
        if let Some(event) = self.status.disconnected() {
            self.warn(why);
            self.report(event);
        }
    }

    fn warn(&mut self, why: &'static str) {
        if !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(why, "Redis does not notify of changes");
        }
    }

    fn report(&self, event: WatchEvent) {
        // Not armed before the connection is reported, nor while its loss is.
        let armed = match event {
            WatchEvent::Connected => true,
            WatchEvent::Changed(_) => return (self.on_event)(event),
            WatchEvent::Disconnected => {
                self.armed.store(false, Ordering::Release);
                false
            }
        };
        (self.on_event)(event);
        self.armed.store(armed, Ordering::Release);
    }
}

/// Whether one of the masters' own keys changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum OwnKeys {
    Changed,
    Unchanged,
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Also when the event handler panicked.
        self.armed.store(false, Ordering::Release);
    }
}

/// The task of the client, which ends with the session.
struct Router(ConnectHandle);

impl Drop for Router {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests;
