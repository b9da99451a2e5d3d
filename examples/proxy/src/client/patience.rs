//! How long a client may be silent, and how long it may read nothing.
//!
//! Each request starts such a wait, and nearly every wait ends at once. A timer for each would be a
//! cost on every hit, so waits are only looked at now and then: one timer for each
//! connection wakes it, and whatever waits there sees for itself whether it has waited too long.
//!
//! | wait | who ends it |
//! |-|-|
//! | before the first request, and between requests over HTTP/2 | `Watch`, here |
//! | within a head and between requests over HTTP/1 | hyper, with the timer here |
//! | within the content of a request | `upstream`; `Watch` once that has been answered |
//! | for the socket to take bytes | `Watch`, here |
//! | for the window of an HTTP/2 stream | `streams`; `Watch` for the last piece, which h2 keeps |

use std::{
    error::Error,
    future::pending,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::FutureExt;
use hyper::rt::{Sleep, Timer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::{
    task::yield_now,
    time::{self, Instant},
};

use crate::client::{Client, Order, Seen};

/// Silence is noticed this much too late at most.
const MAX_TICK: Duration = Duration::from_secs(5);
const MIN_TICK: Duration = Duration::from_millis(1);
const TICKS_PER_LIMIT: u32 = 4;

/// How long a connection that another one needs the place of may take to send the end of a response.
const FAREWELL: Duration = Duration::from_secs(1);

/// A timer for hyper whose sleeps end in time but wake no task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unhurried;

impl Timer for Unhurried {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Until(deadline))
    }

    fn now(&self) -> std::time::Instant {
        Instant::now().into_std()
    }
}

struct Until(std::time::Instant);

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

/// How often a connection with this limit is looked at.
fn tick(limit: Duration) -> Duration {
    (limit / TICKS_PER_LIMIT).clamp(MIN_TICK, MAX_TICK)
}

/// Why a connection is over.
#[derive(Debug)]
pub(crate) enum End<E> {
    /// It came to its end itself.
    Own(Result<(), E>),
    /// The client was silent for too long.
    Silent,
    /// The client took nothing for too long.
    Unread,
    /// Another one needs its place.
    Replaced,
}

impl End<Box<dyn Error + Send + Sync>> {
    pub(crate) fn error(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        match self {
            Self::Own(Err(error)) => Some(&**error),
            Self::Own(Ok(())) | Self::Silent | Self::Unread | Self::Replaced => None,
        }
    }
}

/// Runs a connection, and looks after it now and then.
pub(crate) async fn watch<C: GracefulConnection>(
    connection: C,
    client: &Client,
    limit: Duration,
) -> End<C::Error> {
    let mut connection = pin!(connection);
    let tick = tick(limit);
    let mut watch = Watch::new(client.opened(), limit);
    let mut ticks = time::interval_at(client.opened() + tick, tick);
    ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    let mut leaves_at = None;
    loop {
        let next = tokio::select! {
            biased;
            output = &mut connection => return End::Own(output),
            order = client.ordered() => match order {
                Order::Finish => Next::Finish,
                Order::Leave => {
                    // What has come by now is read first: the order was given before.
                    yield_now().await;
                    if let Some(output) = connection.as_mut().now_or_never() {
                        return End::Own(output);
                    }
                    if client.is_busy() {
                        Next::Finish
                    } else if client.is_ending() {
                        leaves_at = Some(Instant::now() + FAREWELL);
                        Next::Finish
                    } else {
                        Next::Leave
                    }
                }
            },
            () = sleep_until(leaves_at) => {
                leaves_at = None;
                // A request that came before the client had heard is answered.
                if client.is_busy() { Next::Stay } else { Next::Leave }
            },
            now = ticks.tick() => {
                let next = watch.look(now, client.seen());
                if watch.idle_since == now {
                    client.looked_at();
                }
                next
            }
        };
        match next {
            // The next round polls the connection, and with it the sleeps above.
            Next::Stay => {}
            Next::Finish => connection.as_mut().graceful_shutdown(),
            Next::Leave => {
                // What can be said of it is said, but nobody waits for an answer.
                connection.as_mut().graceful_shutdown();
                let _ = connection.as_mut().now_or_never();
                return End::Replaced;
            }
            Next::DropSilent => return End::Silent,
            Next::DropUnread => return End::Unread,
        }
    }
}

/// Never completes if there is no such moment.
async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => time::sleep_until(moment).await,
        None => pending().await,
    }
}

/// What a connection does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Stay,
    /// It answers what has begun, says that it will take no more, and ends.
    Finish,
    Leave,
    DropSilent,
    DropUnread,
}

/// Judges a connection by what is seen of it, at times that lie a tick apart.
#[derive(Debug)]
struct Watch {
    limit: Duration,
    moves: u64,
    /// Since when it has had nothing to do.
    idle_since: Instant,
    /// When it was told to finish.
    finishing: Option<Instant>,
}

impl Watch {
    fn new(opened: Instant, limit: Duration) -> Self {
        Self {
            limit,
            moves: 0,
            idle_since: opened,
            finishing: None,
        }
    }

    fn look(&mut self, now: Instant, seen: Seen) -> Next {
        let passed = |since: Instant| now.saturating_duration_since(since);
        if seen
            .refuses_since
            .is_some_and(|since| passed(since) >= self.limit)
        {
            return Next::DropUnread;
        }
        // What the socket has yet to take is the end of a response: the clock above is for that.
        let writes = seen.refuses_since.is_some();
        if seen.under_way > 0 || writes || seen.moves != self.moves {
            self.moves = seen.moves;
            self.idle_since = now;
            self.finishing = None;
        }
        if passed(self.idle_since) < self.limit {
            return Next::Stay;
        }
        match self.finishing {
            None => {
                self.finishing = Some(now);
                Next::Finish
            }
            // A client that is there has answered by now.
            Some(since) if passed(since) >= tick(self.limit) => Next::DropSilent,
            Some(_) => Next::Stay,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(4);

    /// What follows from what is seen at each second.
    fn judged(seen: &[(u64, Seen)]) -> Vec<Next> {
        let opened = Instant::now();
        let mut watch = Watch::new(opened, LIMIT);
        seen.iter()
            .map(|&(second, seen)| watch.look(opened + Duration::from_secs(second), seen))
            .collect()
    }

    fn seen(moves: u64, under_way: u32) -> Seen {
        Seen {
            moves,
            under_way,
            refuses_since: None,
        }
    }

    #[test]
    fn a_connection_is_looked_at_now_and_then_whatever_the_limit() {
        for (limit, expected) in [
            (Duration::from_nanos(1), Duration::from_millis(1)),
            (Duration::from_secs(1), Duration::from_millis(250)),
            (Duration::from_secs(86_400), Duration::from_secs(5)),
        ] {
            assert_eq!(tick(limit), expected, "{limit:?}");
        }
    }

    #[test]
    fn a_connection_without_a_request_is_told_and_then_dropped() {
        let none = seen(0, 0);
        assert_eq!(
            judged(&[(3, none), (4, none), (5, none)]),
            [Next::Stay, Next::Finish, Next::DropSilent]
        );
    }

    #[test]
    fn an_idle_connection_is_told_and_a_request_starts_its_time_again() {
        let (busy, idle) = (seen(1, 1), seen(1, 0));
        assert_eq!(
            judged(&[
                (1, busy),
                (9, busy),
                (10, idle),
                (12, idle),
                (13, idle),
                // One more came and went before it heard.
                (14, seen(2, 0)),
                (17, seen(2, 0)),
                (18, seen(2, 0)),
                (19, seen(2, 0)),
            ]),
            [
                Next::Stay,
                Next::Stay,
                Next::Stay,
                Next::Stay,
                Next::Finish,
                Next::Stay,
                Next::Stay,
                Next::Finish,
                Next::DropSilent,
            ]
        );
    }

    #[test]
    fn the_end_of_a_response_may_take_long_if_some_of_it_is_taken() {
        let opened = Instant::now();
        let mut watch = Watch::new(opened, LIMIT);
        let after = |seconds| opened + Duration::from_secs(seconds);
        for second in 1..20 {
            let ending = Seen {
                refuses_since: Some(after(second - 1)),
                ..seen(1, 0)
            };
            assert_eq!(watch.look(after(second), ending), Next::Stay, "{second}");
        }
        assert_eq!(watch.look(after(22), seen(1, 0)), Next::Stay);
        assert_eq!(watch.look(after(23), seen(1, 0)), Next::Finish);
    }

    #[test]
    fn a_socket_that_takes_nothing_is_dropped_whatever_is_under_way() {
        let opened = Instant::now();
        let mut watch = Watch::new(opened, LIMIT);
        let after = |seconds| opened + Duration::from_secs(seconds);
        let full = |since| Seen {
            refuses_since: Some(after(since)),
            ..seen(1, 1)
        };
        assert_eq!(watch.look(after(4), full(1)), Next::Stay);
        assert_eq!(watch.look(after(8), full(5)), Next::Stay);
        assert_eq!(watch.look(after(9), full(5)), Next::DropUnread);
    }
}
