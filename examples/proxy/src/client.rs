//! What is known of one client connection: its requests under way, whether it takes what is sent,
//! and the requests that it has abandoned.
//!
//! The connection's tasks note it, and `patience` looks at it now and then. A hit costs a few
//! counters and no look at a clock.

pub(crate) mod abandoned;
pub(crate) mod clients;
pub(crate) mod patience;
pub(crate) mod places;
pub(crate) mod refusing;
pub(crate) mod sending;
pub(crate) mod socket;
pub(crate) mod streams;

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use http::Version;
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

use crate::client::abandoned::{Abandoned, HEALING};

/// Requests of one HTTP/2 connection at a time. Those that it has abandoned count as well, until
/// `abandoned` has forgotten them.
pub(crate) const MAX_STREAMS: u32 = 128;

/// Only the thread of its worker writes here: connections and streams run on one current-thread
/// runtime. So a count is a load and a store, which cost less than an atomic addition.
#[derive(Debug)]
pub(crate) struct Client {
    opened: Instant,
    /// Requests so far, and pieces of responses over HTTP/2 that h2 keeps no more. Over HTTP/1, reads
    /// as well: there, a client says nothing else.
    moves: AtomicU64,
    /// Requests whose responses have not been handed over to the end.
    under_way: AtomicU32,
    /// Pieces of responses over HTTP/2 that h2 keeps, as the window of their stream is too small.
    /// They may outlast their requests.
    unsent: AtomicU32,
    /// Requests that may not start yet.
    held: AtomicU32,
    is_http1: AtomicBool,
    /// When the socket last began to take no bytes, in milliseconds since `opened` and never 0;
    /// 0 while it takes them.
    refuses_since: AtomicU64,
    /// When it last ended to take none.
    refused_until: AtomicU64,
    /// What `moves` and the time were when somebody last saw that it had done something.
    looked_moves: AtomicU64,
    looked: AtomicU64,
    has_abandoned: AtomicBool,
    abandoned: Mutex<Abandoned>,
    order: AtomicU8,
    ordered: Notify,
}

/// A new connection may take so long to ask something before it counts as one that has nothing to do:
/// its request is on the way.
pub(crate) const ARRIVAL: Duration = Duration::from_secs(1);

/// What the connection is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Answer what has begun, and end.
    Finish = 1,
    /// End now, or soon if the end of a response is still on its way.
    Leave = 2,
}

/// A connection at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// A number that grows with what the client does.
    pub(crate) moves: u64,
    pub(crate) under_way: u32,
    /// Since when the socket takes no bytes although there are some.
    pub(crate) refuses_since: Option<Instant>,
}

/// A connection that has nothing to do. The one that may go first is the smallest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Idle {
    /// It has yet to take the end of a response.
    ending: bool,
    /// It had something to do since it was last looked at.
    lately: bool,
    since: Instant,
    pub(crate) moves: u64,
}

impl Client {
    pub(crate) fn new() -> Self {
        Self::opened_at(Instant::now())
    }

    pub(crate) fn opened_at(opened: Instant) -> Self {
        Self {
            opened,
            moves: AtomicU64::new(0),
            under_way: AtomicU32::new(0),
            unsent: AtomicU32::new(0),
            held: AtomicU32::new(0),
            is_http1: AtomicBool::new(false),
            refuses_since: AtomicU64::new(0),
            refused_until: AtomicU64::new(0),
            looked_moves: AtomicU64::new(0),
            looked: AtomicU64::new(0),
            has_abandoned: AtomicBool::new(false),
            abandoned: Mutex::new(Abandoned::none(opened)),
            order: AtomicU8::new(0),
            ordered: Notify::new(),
        }
    }

    pub(crate) fn opened(&self) -> Instant {
        self.opened
    }

    pub(crate) fn seen(&self) -> Seen {
        let since = self.refuses_since.load(Relaxed);
        Seen {
            moves: self.moves.load(Relaxed),
            under_way: self.under_way.load(Relaxed),
            refuses_since: (since > 0).then(|| self.opened + Duration::from_millis(since)),
        }
    }

    /// Somebody looks at it and sees that it has work, or had some since the last time.
    pub(crate) fn looked_at(&self) {
        self.looked_moves.store(self.moves.load(Relaxed), Relaxed);
        self.looked.store(self.now(), Relaxed);
    }

    /// Whether it has a request under way, or bytes of a response that the socket does not take yet.
    pub(crate) fn is_busy(&self) -> bool {
        self.under_way.load(Relaxed) > 0 || self.refuses_since.load(Relaxed) > 0
    }

    /// Whether h2 keeps the end of a response until the client widens its window.
    pub(crate) fn is_ending(&self) -> bool {
        self.unsent.load(Relaxed) > 0
    }

    /// Since when it has nothing to do; `None` if it has, or is about to leave.
    pub(crate) fn idle(&self) -> Option<Idle> {
        if self.is_busy() || self.order.load(Relaxed) != 0 {
            return None;
        }
        let moves = self.moves.load(Relaxed);
        if moves == 0 && self.opened.elapsed() < ARRIVAL {
            return None;
        }
        Some(Idle {
            ending: self.is_ending(),
            lately: moves != self.looked_moves.load(Relaxed),
            since: self.opened + Duration::from_millis(self.looked.load(Relaxed)),
            moves,
        })
    }

    pub(crate) fn request_begins(&self, version: Version) {
        self.moves_on();
        self.under_way
            .store(self.under_way.load(Relaxed) + 1, Relaxed);
        if version != Version::HTTP_2 {
            self.is_http1.store(true, Relaxed);
        }
    }

    fn moves_on(&self) {
        let moves = self.moves.load(Relaxed).wrapping_add(1);
        self.moves.store(moves, Relaxed);
    }

    pub(crate) fn request_ends(&self) {
        let left = self.under_way.load(Relaxed).saturating_sub(1);
        self.under_way.store(left, Relaxed);
    }

    /// h2 gets a piece of a response.
    pub(crate) fn piece_begins(&self) {
        self.unsent.store(self.unsent.load(Relaxed) + 1, Relaxed);
    }

    /// It has written the piece, or the stream was reset.
    pub(crate) fn piece_ends(&self) {
        self.moves_on();
        let left = self.unsent.load(Relaxed).saturating_sub(1);
        self.unsent.store(left, Relaxed);
    }

    /// A request has started and the client does not want it any more.
    pub(crate) fn abandons(&self) {
        self.has_abandoned.store(true, Relaxed);
        self.abandoned().add(Instant::now());
    }

    /// Whether any abandoned request is still remembered, so that the next one has to ask.
    pub(crate) fn has_abandoned(&self) -> bool {
        self.has_abandoned.load(Relaxed)
    }

    /// Waits until a request that has begun may start: until those under way and those abandoned
    /// are fewer than the limit. The latter are forgotten with time, so this ends.
    pub(crate) async fn may_start(&self) {
        let _held = Held::new(&self.held);
        while !self.has_room() {
            sleep(HEALING).await;
        }
    }

    fn has_room(&self) -> bool {
        let abandoned = self.abandoned().count(Instant::now());
        if abandoned == 0 {
            self.has_abandoned.store(false, Relaxed);
        }
        let under_way = self.under_way.load(Relaxed);
        under_way.saturating_sub(self.held.load(Relaxed)) + abandoned < MAX_STREAMS
    }

    fn abandoned(&self) -> std::sync::MutexGuard<'_, Abandoned> {
        self.abandoned
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes have come. Before the first request nothing tells HTTP/1 from HTTP/2, where pings and
    /// settings come as well.
    pub(crate) fn reads(&self) {
        if self.is_http1.load(Relaxed) {
            self.moves_on();
        }
    }

    /// The socket takes no bytes now.
    pub(crate) fn refuses(&self) {
        if self.refuses_since.load(Relaxed) == 0 {
            self.refuses_since.store(self.now(), Relaxed);
        }
    }

    /// The socket took some.
    pub(crate) fn takes(&self) {
        if self.refuses_since.load(Relaxed) != 0 {
            self.refuses_since.store(0, Relaxed);
            self.refused_until.store(self.now(), Relaxed);
        }
    }

    /// The last moment at which the socket took no bytes.
    pub(crate) fn refused_until(&self) -> Instant {
        let until = if self.refuses_since.load(Relaxed) == 0 {
            self.refused_until.load(Relaxed)
        } else {
            self.now()
        };
        self.opened + Duration::from_millis(until)
    }

    /// A moment of the fields above.
    fn now(&self) -> u64 {
        let passed = self.opened.elapsed().as_millis();
        u64::try_from(passed).unwrap_or(u64::MAX).max(1)
    }

    pub(crate) fn order(&self, order: Order) {
        self.order.fetch_max(order as u8, Relaxed);
        self.ordered.notify_one();
    }

    /// Completes with each new order.
    pub(crate) async fn ordered(&self) -> Order {
        loop {
            self.ordered.notified().await;
            match self.order.load(Relaxed) {
                0 => {}
                1 => return Order::Finish,
                _ => return Order::Leave,
            }
        }
    }
}

/// Counts a request as held, for as long as somebody waits for it.
struct Held<'c>(&'c AtomicU32);

impl<'c> Held<'c> {
    fn new(held: &'c AtomicU32) -> Self {
        held.fetch_add(1, Relaxed);
        Self(held)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
