//! How long a client may be silent: before its first request, within a head, between requests.
//!
//! Each request starts such a wait, and nearly every wait ends at once. A timer for each would be a
//! cost on every hit, so waits are only looked at now and then: one timer for each
//! connection wakes it, and whatever waits there sees for itself whether it has waited too long.

use std::{
    pin::{Pin, pin},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use hyper::rt::{Sleep, Timer};
use tokio::time;

/// Silence is noticed this much too late at most.
const MAX_TICK: Duration = Duration::from_secs(5);
const TICKS_PER_LIMIT: u32 = 4;

/// A timer for hyper whose sleeps end in time but wake no task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unhurried;

impl Timer for Unhurried {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Until(deadline))
    }

    fn now(&self) -> Instant {
        time::Instant::now().into_std()
    }
}

struct Until(Instant);

impl Future for Until {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if Unhurried.now() < self.0 {
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

impl Sleep for Until {}

/// Runs a connection, and looks after it now and then. hyper waits for the first bytes without a
/// limit of its own, so a connection that has not `begun` within `limit` is dropped: then this
/// returns `None`.
pub(crate) async fn watch<C: Future>(
    connection: C,
    limit: Duration,
    begun: impl Fn() -> bool,
) -> Option<C::Output> {
    let mut connection = pin!(connection);
    let opened = time::Instant::now();
    let tick = (limit / TICKS_PER_LIMIT).min(MAX_TICK);
    let mut ticks = time::interval_at(opened + tick, tick);
    ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            output = &mut connection => return Some(output),
            now = ticks.tick() => {
                if now >= opened + limit && !begun() {
                    return None;
                }
                // The next round polls the connection, and with it the sleeps above.
            }
        }
    }
}
