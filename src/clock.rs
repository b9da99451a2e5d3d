//! Where time comes from, and a clock for tests. Nothing else here calls `SystemTime::now` and
//! `Instant::now`.

mod elapsed;

use std::{
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

pub(crate) use self::elapsed::ElapsedClock;

/// A source of wall time, for dates, and of monotonic time, for ages.
///
/// Ages follow the larger of the two movements (RFC 9111 §4.2.3). A wall clock that is set back makes
/// no stored response fresh again, because the monotonic clock goes on. A machine that was suspended
/// takes no response for younger than it is: its monotonic clock may have stood still, but its wall
/// clock has moved on. A wall clock that is set forward cannot be told from a suspension: what was
/// stored before is then taken for older than it is, and what is stored afterwards has its right age.
/// A movement of up to one second does not count.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Seconds since the Unix epoch.
    fn wall(&self) -> i64;

    /// Milliseconds since the Unix epoch. Nodes that share a tier compare these times.
    ///
    /// Defaults to [`wall`](Self::wall) in whole seconds.
    fn wall_millis(&self) -> i64 {
        self.wall().saturating_mul(1000)
    }

    /// The time since an arbitrary fixed point. It never goes back.
    fn monotonic(&self) -> Duration;
}

/// The clock of the machine. The default.
///
/// Its monotonic time is tokio's, so a test that pauses tokio's time also pauses this clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: tokio::time::Instant,
    /// The same moment by the machine's clock, which no test pauses.
    machine_start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            start: tokio::time::Instant::now(),
            machine_start: machine_now(),
        }
    }

    /// Monotonic time that no test pauses.
    fn machine(&self) -> Duration {
        machine_now().saturating_duration_since(self.machine_start)
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the only call: all other code asks the clock"
)]
fn machine_now() -> Instant {
    Instant::now()
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> i64 {
        self.wall_millis().div_euclid(1000)
    }

    fn wall_millis(&self) -> i64 {
        #[allow(
            clippy::disallowed_methods,
            reason = "the only call: all other code asks the clock"
        )]
        let now = SystemTime::now();
        match now.duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
        }
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A clock for tests. It only moves when a test moves it.
///
/// All clones share one time.
///
/// ```
/// use cachewarp::clock::{Clock, ManualClock};
/// use std::time::Duration;
///
/// let clock = ManualClock::at(1_700_000_000);
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.wall(), 1_700_000_060);
/// assert_eq!(clock.monotonic(), Duration::from_secs(60));
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock {
    wall: Arc<AtomicI64>,
    monotonic_ms: Arc<AtomicU64>,
}

impl ManualClock {
    /// A clock that shows `wall`, in seconds since the Unix epoch.
    #[must_use]
    pub fn at(wall: i64) -> Self {
        Self {
            wall: Arc::new(AtomicI64::new(wall)),
            monotonic_ms: Arc::new(AtomicU64::new(0)),
        }
    }

    /// Moves both times forward. The wall time moves in whole seconds.
    pub fn advance(&self, by: Duration) {
        let seconds = i64::try_from(by.as_secs()).unwrap_or(i64::MAX);
        let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.wall.fetch_add(seconds, Ordering::SeqCst);
        self.monotonic_ms.fetch_add(millis, Ordering::SeqCst);
    }

    /// Moves only the wall time, forward or back, as when an administrator sets the clock, or when the
    /// machine was suspended.
    pub fn step_wall(&self, seconds: i64) {
        self.wall.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn wall(&self) -> i64 {
        self.wall.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.monotonic_ms.load(Ordering::SeqCst))
    }
}
