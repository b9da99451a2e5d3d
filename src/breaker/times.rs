//! From when on an open circuit admits probes.

use std::time::Duration;

use crate::extensions::Priority;

/// Background requests may probe at most this much earlier than others.
const MAX_HEAD_START: Duration = Duration::from_secs(1);

/// From when on requests may probe, by their priority.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProbeTimes {
    background: Duration,
    foreground: Duration,
}

impl ProbeTimes {
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
