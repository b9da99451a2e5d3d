//! How late a busy machine makes things, so that a test may ask for what is right on an idle one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{task::JoinSet, time::sleep};

/// More than there are threads, so that each of them has some to run.
const TICKERS: usize = 8;

/// From one look to the next. The clock of timers ticks as often, so they fire up to as much late.
const TICK: Duration = Duration::from_millis(1);

/// Tasks that wait for timers, and note how late they go on.
pub(crate) struct Tickers {
    tasks: JoinSet<Vec<Late>>,
    stop: Arc<AtomicBool>,
}

/// A timer that fired, and how late that was.
#[derive(Clone, Copy, Debug)]
struct Late {
    at: Instant,
    by: Duration,
}

impl Tickers {
    pub(crate) fn begin() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for _ in 0..TICKERS {
            let stop = Arc::clone(&stop);
            tasks.spawn(async move {
                let mut all = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    let began = Instant::now();
                    sleep(TICK).await;
                    let at = Instant::now();
                    let by = (at - began).saturating_sub(2 * TICK);
                    if !by.is_zero() {
                        all.push(Late { at, by });
                    }
                }
                all
            });
        }
        Self { tasks, stop }
    }

    pub(crate) async fn end(self) -> Lateness {
        self.stop.store(true, Ordering::SeqCst);
        Lateness(self.tasks.join_all().await)
    }
}

/// What was late while [`Tickers`] ran, for each of them.
pub(crate) struct Lateness(Vec<Vec<Late>>);

impl Lateness {
    /// By how much the latest timer was late of those that were to fire in this time.
    pub(crate) fn worst(&self, from: Instant, to: Instant) -> Duration {
        let within = |late: &&Late| late.at >= from && late.at - late.by <= to;
        let late = self.0.iter().flatten().filter(within).map(|late| late.by);
        late.max().unwrap_or_default()
    }

    /// For how long of this time timers were late: what takes several steps may be held up at each
    /// of them.
    pub(crate) fn held_up(&self, from: Instant, to: Instant) -> Duration {
        let within = |late: &Late| {
            let since = from.max(late.at - late.by);
            to.min(late.at).saturating_duration_since(since)
        };
        let each = self.0.iter().map(|ticker| ticker.iter().map(within).sum());
        each.max().unwrap_or_default()
    }
}

#[tokio::test]
async fn what_holds_the_thread_up_makes_timers_late() {
    const HELD_UP: Duration = Duration::from_millis(50);
    let began = Instant::now();
    let tickers = Tickers::begin();
    sleep(2 * TICK).await;
    let from = Instant::now();
    std::thread::sleep(HELD_UP);
    let to = Instant::now();
    sleep(2 * TICK).await;
    let late = tickers.end().await;
    let worst = late.worst(from, to);
    assert!(worst >= HELD_UP - 3 * TICK, "{worst:?}");
    assert_eq!(late.worst(began, began), Duration::ZERO);
    let all = late.held_up(from, to);
    assert!(all >= HELD_UP - 3 * TICK && all <= to - from, "{all:?}");
    let half = late.held_up(from + HELD_UP / 2, to);
    assert!(half <= to - from - HELD_UP / 2, "{half:?}");
    assert_eq!(late.held_up(began - HELD_UP, began), Duration::ZERO);
}
