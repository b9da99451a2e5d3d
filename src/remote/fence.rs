//! What an invalidation leaves in the shared tier, for how long, and why that is enough.
//!
//! An invalidation replaces whatever is stored under the name of a resource with a tombstone, whose
//! epoch is new. A response that is written in place of something older finds another epoch there,
//! and is refused. So the tombstone has to be there for as long as such a response can come:
//!
//! - A response may be written only within [`FILL_LIMIT`] of the moment at which its node asked the
//!   tier what it replaces. The node that writes checks that, right before each attempt, by a clock
//!   that counts suspension. A slower response stays in the memory of its node.
//! - A tombstone lives for [`FENCE`], which is longer by what a write may take on its way, so it
//!   outlives every response whose fetch began before it.
//!
//! Both are constants rather than made of `origin_timeout` and `fill_timeout`: the tombstone of one
//! node has to outlive the fetches of all others, whose settings it does not know. So nodes with
//! different settings are safe with each other, and a node with longer timeouts only shares less.
//!
//! If there was a response, the tombstone also lives for as long as that would have. Until then
//! other nodes may have copies in memory, which they compare with what is stored, and the tombstone
//! tells them that theirs was invalidated rather than evicted. Without a response there, the fence
//! is all that remains: a flood of writes to URLs that nobody stored leaves one small value each
//! for some minutes. A copy in memory may still outlive it: the value was evicted, or had never
//! been written. The notification of the invalidation is counted for those (`coherence`).
//!
//! A write that was sent and got no answer leaves a tombstone too. Its version is the epoch that it
//! ended, if that is certain, where the version of any other tombstone is the epoch that it begins,
//! or a number that no epoch has ([`unanswered_since`]). What is left of the epoch that ended has not
//! been invalidated since, and may still be served in place of an error. Another such write passes
//! that epoch on. Zero is the epoch of what was never invalidated, and of what is not there: then the
//! notifications have to show that no invalidation came between.
//!
//! The value that the partitions of a resource are compared with needs no such care, and is
//! deleted: a node that finds none begins an epoch that nothing stored has.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    clock::Clock,
    codec::{Compression, Stamp, Value, encode},
};

/// For how long after it asked the shared tier a node may write a response there. Much longer than
/// `origin_timeout` and `fill_timeout` together, by their defaults.
pub(super) const FILL_LIMIT: Duration = Duration::from_secs(5 * 60);

/// The shortest time that a tombstone is kept. What it has beyond [`FILL_LIMIT`] covers a command
/// on its way, and clocks that do not run at the same speed.
pub(super) const FENCE: Duration = Duration::from_secs(6 * 60);

/// How long a value is kept that holds an epoch and was not put there by an invalidation: longer
/// than any response.
pub(super) const KEEP_TOMBSTONE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The longest time that a response is kept in the shared tier. A value with the epoch that it is
/// compared with outlives it, by more than its fetch may take.
pub(crate) const LONGEST_KEEP: Duration = KEEP_TOMBSTONE.saturating_sub(Duration::from_secs(3600));

/// A tombstone. An invalidation begins an epoch, which is its version too.
pub(super) fn tombstone(epoch: u64, version: u64) -> Bytes {
    let stamp = Stamp { epoch, version };
    encode(&Value::Tombstone, stamp, Compression::Off)
}

/// The epoch that ended with this tombstone, if only a write without an answer ended it.
pub(super) fn unanswered_since(tombstone: Stamp) -> Option<u64> {
    (tombstone.version != tombstone.epoch).then_some(tombstone.version)
}

/// The moment before the shared tier was asked what a response will replace there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Asked {
    at: Duration,
    /// What this node distrusted at that moment: see `distrust`.
    distrusted: i64,
}

impl Asked {
    pub(super) fn now(clock: &dyn Clock, distrusted: i64) -> Self {
        Self {
            at: clock.monotonic(),
            distrusted,
        }
    }

    /// Whether what was fetched since may be written to the shared tier at this moment, by a node
    /// that distrusts this.
    pub(super) fn may_write(self, clock: &dyn Clock, distrusted: i64) -> bool {
        let age = clock.monotonic().saturating_sub(self.at);
        age < FILL_LIMIT && distrusted == self.distrusted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::{ElapsedClock, ManualClock},
        codec::{Body, decode, since, stamp},
    };

    #[test]
    fn a_response_may_be_written_for_a_limited_time() {
        const LIMIT: i64 = FILL_LIMIT.as_secs().cast_signed();
        const SECOND: Duration = Duration::from_secs(1);
        // How far both clocks move, and then the wall clock alone.
        for (what, both, wall, may) in [
            ("at once", Duration::ZERO, 0, true),
            ("in time", FILL_LIMIT - SECOND, 0, true),
            ("too late", FILL_LIMIT, 0, false),
            ("the machine was suspended", SECOND, LIMIT, false),
            ("the wall clock stood still", FILL_LIMIT, -LIMIT, false),
            ("the wall clock was set back", SECOND, -86_400, true),
            ("too late, and it was set back", FILL_LIMIT, -86_400, false),
        ] {
            let time = ManualClock::at(1_700_000_000);
            // The clock of a cache.
            let clock = ElapsedClock::new(time.clone());
            let asked = Asked::now(&clock, 7);
            time.advance(both);
            time.step_wall(wall);
            assert_eq!(asked.may_write(&clock, 7), may, "{what}");
            assert!(!asked.may_write(&clock, 8), "distrusted since: {what}");
        }
    }

    #[test]
    fn a_tombstone_says_which_epoch_it_ended_without_an_invalidation() {
        for (epoch, version, expected) in [(7, 7, None), (7, 5, Some(5)), (7, 0, Some(0))] {
            let tombstone = tombstone(epoch, version);
            let read = stamp(&tombstone).unwrap();
            assert_eq!(unanswered_since(read), expected);
            // A node that does not know of it takes it for a plain one.
            let decoded = decode(&tombstone, Body::LeftOut);
            assert_eq!(decoded, Ok((Value::Tombstone, read)));
            // The next write that gets no answer passes it on.
            assert_eq!(since(&tombstone), Some(version));
        }
    }

    #[test]
    fn a_fence_outlives_every_response_that_may_be_written() {
        assert!(FENCE >= FILL_LIMIT + Duration::from_secs(60));
    }
}
