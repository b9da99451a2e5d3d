//! When an opening is over, and for whom; and the chance in how long it takes.

use std::time::Duration;

use crate::extensions::Priority;

/// The longest head start of background requests.
const MAX_HEAD_START: Duration = Duration::from_secs(1);

/// When an opening is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// From when requests nobody waits for may probe.
    background: Duration,
    /// From when any may.
    foreground: Duration,
}

impl Times {
    pub(crate) fn new(now: Duration, open_for: Duration) -> Self {
        let head_start = (open_for / 10).min(MAX_HEAD_START);
        let foreground = now.saturating_add(open_for);
        Self {
            background: foreground.saturating_sub(head_start),
            foreground,
        }
    }

    pub(crate) fn of(&self, priority: Priority) -> Duration {
        match priority {
            Priority::Background => self.background,
            Priority::Foreground => self.foreground,
        }
    }
}

/// Even chances between 0 and 1, from a seed (splitmix64).
#[derive(Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        // The 53 bits that a float holds.
        (bits >> 11) as f64 / (1_u64 << 53) as f64
    }
}
