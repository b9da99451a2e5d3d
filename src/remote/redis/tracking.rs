//! The connection by which this node learns what other nodes changed: Redis tells every change of
//! a key below a prefix (RESP3 client tracking in broadcasting mode, Redis 6.2 or later).
//!
//! One client of its own, and one task that drives it. The task goes from lost to armed when every
//! master has been asked and tells changes over the connection that is in use now, and back to
//! lost on the first sign that a change may have gone untold: a connection that closed, a master
//! that came or went, a question that was not answered, more changes than could be received, a
//! keyspace that was emptied.
//!
//! A server with access control has to allow its user `CLIENT TRACKING` and `TRACKINGINFO`, `GET`
//! and `SET` below the prefix, and on a Cluster `CLUSTER INFO` and `SLOTS`.
//!
//! What it does not see: a `FLUSHALL`, or a failover that loses writes without closing a
//! connection, is noticed with the next question (within a second), not at once; under Sentinel, a
//! master that was replaced is believed until it is demoted or gone; and while a slot of a Cluster
//! migrates, changes on its new master are told from the end of the migration on.

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
    status::Standing,
};

pub(crate) use self::status::Notice;

/// How often every master is asked whether it still tells changes. The client closes a connection
/// that leaves a question open for a while only if nothing else is written meanwhile, so this is
/// well above that while.
const ASK: Duration = Duration::from_millis(1_000);

/// After so many questions in a row that did not end in being armed, the client is made anew.
const PATIENCE: u32 = 15;

/// The pause before a client is made anew.
const PAUSE: Duration = Duration::from_millis(500);

/// The connection to all masters that tells what changes. Dropping it closes it.
pub(crate) struct Tracking {
    armed: Arc<AtomicBool>,
    driver: JoinHandle<()>,
}

impl Tracking {
    /// Starts a client of its own and the task that drives it, on the current tokio runtime. It
    /// never waits, and a server that cannot be reached is tried until it can be.
    ///
    /// `notices` is called by that one task, in order. It should be quick: while it runs, nothing
    /// else is received.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub(crate) fn start(
        config: Config,
        prefix: String,
        notices: impl Fn(Notice) + Send + Sync + 'static,
    ) -> Self {
        Self::with_patience(PATIENCE, config, prefix, Box::new(notices))
    }

    fn with_patience(patience: u32, config: Config, prefix: String, notices: Notices) -> Self {
        let armed = Arc::new(AtomicBool::new(false));
        let driver = Driver {
            armed: Arc::clone(&armed),
            config,
            notices,
            patience,
            prefix,
            standing: Standing::default(),
            warned: false,
        };
        Self {
            armed,
            driver: tokio::spawn(driver.run()),
        }
    }

    /// Whether changes are being told at this moment.
    pub(crate) fn armed(&self) -> bool {
        self.armed.load(Ordering::Acquire)
    }
}

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

/// Who is told.
type Notices = Box<dyn Fn(Notice) + Send + Sync>;

/// What the task owns.
struct Driver {
    armed: Arc<AtomicBool>,
    config: Config,
    notices: Notices,
    /// How many questions a client is of no use for until it is made anew.
    patience: u32,
    prefix: String,
    standing: Standing,
    /// Whether it was logged that changes are not told, since they were told last.
    warned: bool,
}

impl Driver {
    async fn run(mut self) {
        let mut masters = Vec::new();
        loop {
            let client = client(self.config.clone(), masters);
            self.session(&client).await;
            self.lose("the client ended");
            masters = masters_of(&client);
            drop(client);
            sleep(PAUSE).await;
        }
    }

    /// Drives one client, until it ended or has been of no use for too long.
    async fn session(&mut self, client: &Client) {
        let (mut signals, mut changes) = (Signals::of(client), changes_of(client));
        let mut router = Router(client.connect());
        let mut asking = pin!(Fuse::terminated());
        let mut ticks = interval(ASK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut patience = self.patience;
        loop {
            // Signs of loss come first: what was asked before them has no worth after them.
            // Changes come last, since there may always be one more.
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
                        self.warn("the masters could not be made to tell them");
                        return;
                    } else {
                        patience -= 1;
                    }
                    let known = self.standing.topology();
                    asking.set(survey(client.clone(), self.prefix.clone(), known).fuse());
                    continue;
                }
                told = changes.recv() => match told {
                    Ok(told) => {
                        if self.changed(told) == Own::Changed {
                            ticks.reset_immediately();
                        }
                        continue;
                    }
                    Err(missed) => Signal::of_missed(&missed),
                },
            };
            match signal {
                Signal::Disconnected => self.lose("a connection closed"),
                Signal::Doubtful(why) => {
                    self.lose(why);
                    ticks.reset_immediately();
                }
                Signal::Ended => return,
            }
            asking.set(Fuse::terminated());
        }
    }

    /// Tells what changed, except for the masters' own keys.
    fn changed(&self, told: Invalidation) -> Own {
        let mut own = Own::Same;
        for key in told.keys.into_iter().map(Key::into_bytes) {
            if is_own(&self.prefix, &key) {
                own = Own::Changed;
            } else {
                self.tell(Notice::Changed(key));
            }
        }
        own
    }

    fn surveyed(&mut self, survey: Survey) {
        for notice in self.standing.surveyed(survey).into_iter().flatten() {
            match notice {
                Notice::Lost => self.warn("a keyspace was emptied, or a connection replaced"),
                _ => {
                    self.warned = false;
                    tracing::info!("changes in Redis are told");
                }
            }
            self.tell(notice);
        }
    }

    fn unanswered(&mut self, error: &fred::error::Error) {
        tracing::debug!(%error, "a Redis master did not answer");
        self.lose("a master did not answer");
    }

    fn lose(&mut self, why: &'static str) {
        if let Some(notice) = self.standing.lose() {
            self.warn(why);
            self.tell(notice);
        }
    }

    fn warn(&mut self, why: &'static str) {
        if !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(why, "changes in Redis are not told");
        }
    }

    fn tell(&self, notice: Notice) {
        // Never armed before that is told, nor after its loss is.
        let armed = match notice {
            Notice::Armed => true,
            Notice::Changed(_) => return (self.notices)(notice),
            Notice::Lost => {
                self.armed.store(false, Ordering::Release);
                false
            }
        };
        (self.notices)(notice);
        self.armed.store(armed, Ordering::Release);
    }
}

/// What became of the masters' own keys.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Own {
    Changed,
    Same,
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Also if what is called with the notices panicked.
        self.armed.store(false, Ordering::Release);
    }
}

/// The client's own task, which ends with the session.
struct Router(ConnectHandle);

impl Drop for Router {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests;
