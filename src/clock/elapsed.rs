//! The time that has passed, with what a monotonic clock misses while the machine is suspended.

use std::{
    any::Any,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{Clock, SystemClock};

/// By how many milliseconds the two times of a clock may differ from before without a meaning: a
/// wall clock of whole seconds moves in steps of one.
const TOLERANCE: u64 = 1000;

/// Two readings of a clock that are less apart than this were taken at one moment.
const AT_ONCE: Duration = Duration::from_millis(10);

/// A clock whose [`monotonic`](Clock::monotonic) time follows the larger of two movements: that of
/// the monotonic clock it is made of, and that of the wall clock.
///
/// Most monotonic clocks stand still while the machine is suspended, and none counts while a
/// hypervisor stops the whole guest. The wall clock is corrected afterwards. So when the wall clock
/// gains more than a second, this has passed. An administrator, or NTP, may set the wall clock
/// forward by mistake. Nobody can tell the two apart, and then what was stored before is taken for
/// older than it is, which costs a fetch. What is stored afterwards has its right age. When the wall
/// clock is set back, nothing happens but that later gains are measured from there: this time never
/// goes back.
#[derive(Debug)]
pub(crate) struct ElapsedClock {
    source: Source,
    /// How far wall time was ahead of monotonic time when that last changed, in milliseconds.
    lead: AtomicI64,
    /// What is added to the monotonic time of the source, in milliseconds. It only grows, and it is
    /// stored before the lead that it belongs to.
    missed: AtomicU64,
    /// The tick in which the wall clock was last read.
    checked: AtomicU64,
    /// The lead from which gains are measured, by the machine's own clock. Who holds it may change
    /// the other fields.
    reference: Mutex<i64>,
}

#[derive(Debug)]
enum Source {
    /// The default, known by its type. Under paused time its monotonic time is not the machine's.
    System(SystemClock),
    Custom(Arc<dyn Clock>),
}

impl ElapsedClock {
    pub(crate) fn new(clock: impl Clock) -> Self {
        let source = match (&clock as &dyn Any).downcast_ref() {
            Some(system) => Source::System(*system),
            None => Source::Custom(Arc::new(clock)),
        };
        Self {
            lead: AtomicI64::new(source.lead()),
            missed: AtomicU64::new(0),
            checked: AtomicU64::new(u64::MAX),
            reference: Mutex::new(source.machine_lead()),
            source,
        }
    }

    fn check(&self, now: Duration) {
        let known = self.lead.load(Ordering::Acquire);
        let lead = ahead(self.source.clock().wall_millis(), now);
        if lead.saturating_sub(known).unsigned_abs() > TOLERANCE {
            self.settle();
        }
    }

    /// Notes by how much the wall clock has gained on the other.
    #[cold]
    fn settle(&self) {
        let reference = self.reference.lock();
        let mut reference = reference.unwrap_or_else(PoisonError::into_inner);
        let lead = self.source.machine_lead();
        let gained = lead.saturating_sub(*reference);
        if gained.unsigned_abs() > TOLERANCE {
            *reference = lead;
            let missed = self.missed.load(Ordering::Relaxed);
            let missed = missed.saturating_add(u64::try_from(gained).unwrap_or(0));
            self.missed.store(missed, Ordering::Relaxed);
        }
        self.lead.store(self.source.lead(), Ordering::Release);
    }

    fn with_missed(&self, now: Duration) -> Duration {
        match self.missed.load(Ordering::Relaxed) {
            0 => now,
            missed => now.saturating_add(Duration::from_millis(missed)),
        }
    }
}

impl Clock for ElapsedClock {
    fn wall(&self) -> i64 {
        self.source.clock().wall()
    }

    fn wall_millis(&self) -> i64 {
        self.source.clock().wall_millis()
    }

    fn monotonic(&self) -> Duration {
        let now = match &self.source {
            Source::System(clock) => {
                let now = clock.monotonic();
                let tick = tick(now);
                if self.checked.load(Ordering::Acquire) != tick {
                    self.check(now);
                    self.checked.store(tick, Ordering::Release);
                }
                now
            }
            Source::Custom(clock) => {
                let now = clock.monotonic();
                self.check(now);
                now
            }
        };
        self.with_missed(now)
    }
}

/// About a millisecond. Reading the wall clock once in each is enough for the machine's own clocks:
/// before a suspension and after it, monotonic time goes on for longer than that without programs.
/// And it costs a busy cache nothing.
fn tick(now: Duration) -> u64 {
    now.as_secs() << 10 | u64::from(now.subsec_nanos() >> 20)
}

impl Source {
    fn clock(&self) -> &dyn Clock {
        match self {
            Self::System(clock) => clock,
            Self::Custom(clock) => &**clock,
        }
    }

    /// How far wall time is ahead of monotonic time, in milliseconds.
    fn lead(&self) -> i64 {
        self.lead_of(|| self.clock().monotonic())
    }

    /// The same with the machine's own monotonic time: what a test pauses is no suspension.
    fn machine_lead(&self) -> i64 {
        match self {
            Self::System(clock) => self.lead_of(|| clock.machine()),
            Self::Custom(_) => self.lead(),
        }
    }

    /// Reads both times again if the thread stood still between them. After three tries they are
    /// what they are: the lead is too large then, never too small.
    fn lead_of(&self, monotonic: impl Fn() -> Duration) -> i64 {
        let mut before = monotonic();
        let mut wall = self.clock().wall_millis();
        for _ in 0..2 {
            let after = monotonic();
            if after.saturating_sub(before) < AT_ONCE {
                break;
            }
            (before, wall) = (after, self.clock().wall_millis());
        }
        ahead(wall, before)
    }
}

fn ahead(wall: i64, monotonic: Duration) -> i64 {
    let monotonic = i64::try_from(monotonic.as_millis()).unwrap_or(i64::MAX);
    wall.saturating_sub(monotonic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[tokio::test(start_paused = true)]
    async fn paused_time_is_no_suspension() {
        tokio::time::advance(Duration::from_secs(5)).await;
        let clock = ElapsedClock::new(SystemClock::new());
        for hours in 1..=3 {
            tokio::time::advance(Duration::from_secs(3600)).await;
            assert_eq!(clock.monotonic(), Duration::from_secs(hours * 3600));
        }
    }

    /// The machine's wall clock gains on a clock that a test pauses: a settlement finds no gain on
    /// the machine's own.
    #[tokio::test(start_paused = true)]
    async fn a_settlement_measures_by_the_machines_own_clock() {
        let clock = ElapsedClock::new(SystemClock::new());
        clock.lead.fetch_sub(3_600_000, Ordering::Relaxed);
        assert_eq!(clock.monotonic(), Duration::ZERO);
        assert!(clock.lead.load(Ordering::Relaxed) > 1_600_000_000_000);
        // But what the wall clock gains on that one has passed.
        *clock.reference.lock().unwrap() -= 3_600_000;
        clock.lead.fetch_sub(3_600_000, Ordering::Relaxed);
        tokio::time::advance(Duration::from_secs(1)).await;
        let elapsed = clock.monotonic();
        assert!(
            elapsed.abs_diff(Duration::from_secs(3601)) < Duration::from_millis(900),
            "{elapsed:?}"
        );
    }

    #[test]
    fn it_follows_the_larger_movement_and_never_goes_back() {
        // What the wall clock does, what the other does, and what has passed then.
        let cases = [
            (0, 2, 2),
            (3, 0, 5),
            (1, 1, 6),
            (3600, 0, 3606),
            (-3600, 0, 3606),
            (-3600, 5, 3611),
            (3600, 5, 7211),
            (10, 10, 7221),
            (i64::MAX / 4000, 0, 7221 + i64::MAX / 4000),
        ];
        let inner = ManualClock::at(1_700_000_000);
        let clock = ElapsedClock::new(inner.clone());
        for (wall, monotonic, passed) in cases {
            inner.advance(Duration::from_secs(monotonic));
            inner.step_wall(wall - monotonic.cast_signed());
            let passed = Duration::from_secs(passed.unsigned_abs());
            assert_eq!(clock.monotonic(), passed, "{wall} {monotonic}");
            assert_eq!(clock.wall(), inner.wall());
        }
    }

    #[test]
    fn threads_that_see_a_suspension_at_once_count_it_once() {
        let inner = ManualClock::at(1_700_000_000);
        let clock = ElapsedClock::new(inner.clone());
        for hour in 1..=200 {
            inner.step_wall(3600);
            let barrier = std::sync::Barrier::new(4);
            std::thread::scope(|threads| {
                for _ in 0..4 {
                    threads.spawn(|| {
                        barrier.wait();
                        assert_eq!(clock.monotonic(), Duration::from_secs(hour * 3600));
                    });
                }
            });
        }
    }
}
