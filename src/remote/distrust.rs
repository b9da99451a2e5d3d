//! Distrust of everything that was stored until a moment: what nodes are told when invalidations
//! were given up, because too many were pending.
//!
//! Nobody knows any more what those concerned, so everything that arrived from the origin before
//! that moment may be invalid, in the shared tier and in the memory of every node. The moment is
//! stored under one name. A node asks for it whenever it may have changed: after a notification of
//! that name, when notifications begin, and while there are none once a second. If the tier does not
//! answer that, and there was no notification of that name, the node goes on with what it knows for a
//! second: on Cluster one server has the name, and others have what a request needs. From then on it uses nothing older without
//! validation by the origin, and writes nothing to the tier whose fetch began before it learnt of
//! the moment.
//!
//! The moment lies in the future by [`MARGIN`], as clocks of nodes differ, and as a node may still
//! write something old while the notification is on its way. So the shared tier is of no use for
//! that long.
//!
//! This costs every node its whole cache, and the origin the fetches that follow. Invalidations are
//! given up only while the tier takes fewer than there are, for which it has to be slow or away,
//! and a node tells the others at most once a second ([`PAUSE`]).

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{names::everything, store::RemoteStore};
use crate::{clock::Clock, error::StoreError};

/// By how much the clocks of nodes may differ.
const MARGIN: Duration = Duration::from_secs(5);

/// How long a node waits before it tells the others again, and for how long it relies on what it
/// knows while it is not notified.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// What is distrusted, as far as this node knows.
#[derive(Debug)]
pub(super) struct Distrust {
    /// How often it may have changed.
    notices: AtomicU64,
    /// How many of those had come when it last had changed for certain.
    changed: AtomicU64,
    /// How many of those had come before the tier was last asked.
    answered: AtomicU64,
    /// When the tier last did not answer, like `asked_ms`.
    failed_ms: AtomicU64,
    /// When it was that, in milliseconds of monotonic time. Zero is for never.
    asked_ms: AtomicU64,
    /// What arrived until then is distrusted, in milliseconds since the Unix epoch.
    until_ms: AtomicI64,
}

/// A question to the tier under way: how many notices had come before it.
#[derive(Clone, Copy, Debug)]
struct Question {
    notices: u64,
    asked_ms: u64,
}

impl Distrust {
    /// Nothing is known yet.
    pub(super) fn new() -> Self {
        Self {
            // Nobody goes on with nothing.
            notices: AtomicU64::new(1),
            changed: AtomicU64::new(1),
            failed_ms: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            asked_ms: AtomicU64::new(0),
            until_ms: AtomicI64::new(i64::MIN),
        }
    }

    /// It may have changed unnoticed.
    pub(super) fn may_have_changed(&self) {
        self.notices.fetch_add(1, Ordering::SeqCst);
    }

    /// It has changed.
    pub(super) fn has_changed(&self) {
        let notices = self.notices.fetch_add(1, Ordering::SeqCst) + 1;
        self.changed.fetch_max(notices, Ordering::SeqCst);
    }

    /// Asks the tier, if what it has may have changed. `is_notified` is whether a change is noticed.
    pub(super) async fn learn(
        &self,
        store: &dyn RemoteStore,
        clock: &dyn Clock,
        is_notified: bool,
    ) -> Result<(), StoreError> {
        let Some(question) = self.question(is_notified, clock.monotonic()) else {
            return Ok(());
        };
        let name = everything(&store.limits().namespace);
        let found = match store.peek(&name).await {
            Ok(found) => found,
            Err(error) if self.must_be_learnt() => return Err(error),
            Err(error) => {
                tracing::debug!(%error, "what to distrust was not learnt yet");
                self.failed_ms
                    .fetch_max(question.asked_ms, Ordering::SeqCst);
                return Ok(());
            }
        };
        let until = found.map(|at| i64::try_from(at.epoch).unwrap_or(i64::MAX));
        self.answered(question, until, clock.wall_millis());
        Ok(())
    }

    /// Whether all is known. `is_notified` is whether a change is noticed.
    pub(super) fn is_known(&self, is_notified: bool, now: Duration) -> bool {
        let is_answered =
            self.answered.load(Ordering::SeqCst) == self.notices.load(Ordering::SeqCst);
        is_answered && (is_notified || is_recent(&self.asked_ms, now))
    }

    /// What to ask the tier now.
    fn question(&self, is_notified: bool, now: Duration) -> Option<Question> {
        let question = Question {
            notices: self.notices.load(Ordering::SeqCst),
            asked_ms: milliseconds(now),
        };
        let is_needed = if self.is_known(is_notified, now) {
            false
        } else {
            self.must_be_learnt() || !is_recent(&self.failed_ms, now)
        };
        is_needed.then_some(question)
    }

    /// Whether nothing may be used before the tier has answered.
    fn must_be_learnt(&self) -> bool {
        self.answered.load(Ordering::SeqCst) < self.changed.load(Ordering::SeqCst)
    }

    /// The tier was asked, and has this moment. It does not go back, and is never far in the
    /// future, whatever the tier has.
    fn answered(&self, question: Question, until_ms: Option<i64>, wall_ms: i64) {
        if let Some(until_ms) = until_ms {
            self.until(until_ms.min(from(wall_ms)));
        }
        let Question { notices, asked_ms } = question;
        self.asked_ms.fetch_max(asked_ms, Ordering::SeqCst);
        self.answered.fetch_max(notices, Ordering::SeqCst);
    }

    /// From now on everything that arrived until this moment is distrusted.
    pub(super) fn until(&self, until_ms: i64) {
        self.until_ms.fetch_max(until_ms, Ordering::SeqCst);
    }

    /// The moment that this node knows.
    pub(super) fn moment(&self) -> i64 {
        self.until_ms.load(Ordering::SeqCst)
    }

    /// Whether what arrived at this time, in milliseconds since the Unix epoch, is distrusted.
    pub(super) fn covers(&self, arrived_ms: i64) -> bool {
        arrived_ms <= self.moment()
    }
}

/// From one on: zero is for never.
fn milliseconds(time: Duration) -> u64 {
    let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    time.saturating_add(1)
}

fn is_recent(last: &AtomicU64, now: Duration) -> bool {
    let last = last.load(Ordering::SeqCst);
    let since = milliseconds(now).saturating_sub(last);
    last != 0 && u128::from(since) < PAUSE.as_millis()
}

/// Asks the tier in the background, so that no request has to wait for it, as a rule.
pub(super) fn learn_soon(
    distrust: &Arc<Distrust>,
    store: &Arc<dyn RemoteStore>,
    clock: &Arc<dyn Clock>,
) {
    let (distrust, clock) = (Arc::clone(distrust), Arc::clone(clock));
    let asked = Arc::clone(store);
    store.runtime().spawn(async move {
        if let Err(error) = distrust.learn(&*asked, &*clock, true).await {
            tracing::debug!(%error, "what to distrust was not learnt yet");
        }
    });
}

/// Until when to distrust from now on, by this wall time.
pub(super) fn from(wall_ms: i64) -> i64 {
    let margin = i64::try_from(MARGIN.as_millis()).unwrap_or(i64::MAX);
    wall_ms.saturating_add(margin)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    #[test]
    fn the_tier_is_asked_when_it_may_have_changed() {
        let distrust = Distrust::new();
        let ask = |is_notified, now| distrust.question(is_notified, now);
        let first = ask(true, NOW).expect("nothing is known");
        distrust.may_have_changed();
        distrust.answered(first, None, 0);
        let second = ask(true, NOW).expect("there was a notice after the question");
        distrust.answered(second, None, 0);
        assert!(ask(true, NOW).is_none());
        assert!(ask(true, NOW + 100 * PAUSE).is_none(), "it is notified");
        assert!(ask(false, NOW).is_none(), "it was asked just now");
        assert!(ask(false, NOW + PAUSE).is_some(), "it is not notified");
        distrust.answered(first, None, 0);
        assert!(ask(true, NOW).is_none(), "a late answer");
        for notice in [Distrust::may_have_changed, Distrust::has_changed] {
            notice(&distrust);
            assert!(!distrust.is_known(true, NOW));
            distrust.answered(ask(true, NOW).unwrap(), None, 0);
            assert!(distrust.is_known(true, NOW));
        }
    }

    #[test]
    fn without_an_answer_a_node_goes_on_unless_it_has_changed() {
        let distrust = Distrust::new();
        let fail = |now| {
            let question = distrust.question(true, now);
            question.inspect(|it| distrust.failed_ms.store(it.asked_ms, Ordering::SeqCst))
        };
        let must = || distrust.must_be_learnt();
        assert!(fail(NOW).is_some() && must(), "nothing is known");
        assert!(fail(NOW).is_some() && must(), "so it is asked again");
        distrust.answered(fail(NOW).unwrap(), None, 0);
        distrust.may_have_changed();
        let later = NOW + PAUSE;
        assert!(fail(later).is_some() && !must());
        assert!(fail(later).is_none(), "not again at once");
        assert!(!distrust.is_known(true, later));
        assert!(fail(later + PAUSE).is_some() && !must());
        distrust.has_changed();
        for _ in 0..2 {
            assert!(fail(later + PAUSE).is_some() && must());
        }
    }

    #[test]
    fn the_moment_does_not_go_back_and_is_not_far_in_the_future() {
        let distrust = Distrust::new();
        assert!(!distrust.covers(i64::MIN + 1));
        let question = || distrust.question(false, NOW + PAUSE).unwrap();
        for (what, told, now, expected) in [
            ("the first", Some(20_000), 18_000, 20_000),
            ("an earlier one", Some(10_000), 18_000, 20_000),
            ("none, as it was evicted", None, 18_000, 20_000),
            (
                "one of a node whose clock is ahead",
                Some(30_000),
                18_000,
                23_000,
            ),
            ("one that makes no sense", Some(i64::MAX), 19_000, 24_000),
        ] {
            distrust.answered(question(), told, now);
            assert_eq!(distrust.moment(), expected, "{what}");
            assert!(distrust.covers(expected), "{what}");
            assert!(!distrust.covers(expected + 1), "{what}");
            distrust.may_have_changed();
        }
    }
}
