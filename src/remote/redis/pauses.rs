//! Pauses: for how long a server that stopped answering is left alone. Pure: the time is an
//! argument.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// How long a server that did not answer in time is left alone.
pub(super) const PAUSE: Duration = Duration::from_millis(500);

/// How many sections of a Cluster's key space are paused independently. Each has 64 of the 16,384
/// hash slots.
pub(super) const SECTIONS: usize = 256;

/// A pause for each section of the key space.
///
/// After a timeout a section is paused. When the pause is over, one probe asks whether the server
/// answers again, and not more than one for each pause. All callers are refused until it has
/// succeeded, so after the first timeout a server that hangs delays no request.
#[derive(Debug)]
pub(super) struct Pauses {
    /// When the pause of each section ends, in microseconds; 0 while it is not paused.
    until: Box<[AtomicU64]>,
}

/// What to do about a command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum PauseCheck {
    /// Send it.
    Send,
    /// Refuse it, and probe the server in the background.
    Probe,
    /// Refuse it.
    Refuse,
}

impl Pauses {
    pub(super) fn new(sections: usize) -> Self {
        Self {
            until: (0..sections).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    pub(super) fn sections(&self) -> usize {
        self.until.len()
    }

    /// What to do about a command for this section. The end of a probe must be reported to one of
    /// the methods below. One that is never reported is replaced by another after the pause.
    pub(super) fn check(&self, section: usize, now: Duration) -> PauseCheck {
        let Some(until) = self.until.get(section) else {
            return PauseCheck::Send;
        };
        let end = until.load(Ordering::Relaxed);
        if end == 0 {
            return PauseCheck::Send;
        }
        if micros(now) < end {
            return PauseCheck::Refuse;
        }
        let next = micros(now + PAUSE);
        match until.compare_exchange(end, next, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => PauseCheck::Probe,
            Err(_) => PauseCheck::Refuse,
        }
    }

    /// Whether the section is paused.
    pub(super) fn refuses(&self, section: usize, now: Duration) -> bool {
        self.until
            .get(section)
            .is_some_and(|until| micros(now) < until.load(Ordering::Relaxed))
    }

    /// The server answered, even if with an error.
    pub(super) fn answered(&self, section: usize) {
        if let Some(until) = self.until.get(section)
            && until.load(Ordering::Relaxed) != 0
        {
            until.store(0, Ordering::Relaxed);
        }
    }

    /// Nothing answered in time.
    pub(super) fn timed_out(&self, section: usize, now: Duration) {
        if let Some(until) = self.until.get(section) {
            until.store(micros(now + PAUSE), Ordering::Relaxed);
        }
    }

    /// There is no connection. It takes no time to find that out, so the next caller may try again.
    pub(super) fn unconnected(&self, section: usize, now: Duration) {
        if let Some(until) = self.until.get(section)
            && until.load(Ordering::Relaxed) != 0
        {
            until.store(micros(now), Ordering::Relaxed);
        }
    }
}

/// Never 0, which stands for no pause.
fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(7);
    const LATER: Duration = Duration::from_millis(7_500);

    #[test]
    fn a_server_that_answers_is_not_paused() {
        let pauses = Pauses::new(1);
        assert_eq!(pauses.check(0, Duration::ZERO), PauseCheck::Send);
        pauses.answered(0);
        pauses.unconnected(0, NOW);
        assert_eq!(pauses.check(0, NOW), PauseCheck::Send);
        assert!(!pauses.refuses(0, NOW));
    }

    #[test]
    fn a_timeout_pauses_then_one_caller_probes() {
        let pauses = Pauses::new(1);
        pauses.timed_out(0, NOW);
        assert!(pauses.refuses(0, NOW));
        let just_before = LATER - Duration::from_micros(1);
        assert_eq!(pauses.check(0, just_before), PauseCheck::Refuse);
        assert!(!pauses.refuses(0, LATER));
        assert_eq!(pauses.check(0, LATER), PauseCheck::Probe);
        assert_eq!(pauses.check(0, LATER), PauseCheck::Refuse);
        // A probe whose end was never reported is replaced.
        assert_eq!(pauses.check(0, LATER + PAUSE), PauseCheck::Probe);
    }

    #[test]
    fn a_probe_decides() {
        type End = fn(&Pauses);
        let cases: [(&str, End, [PauseCheck; 2]); 3] = [
            (
                "answered",
                |pauses| pauses.answered(0),
                [PauseCheck::Send, PauseCheck::Send],
            ),
            (
                "timed out",
                |pauses| pauses.timed_out(0, LATER),
                [PauseCheck::Refuse, PauseCheck::Refuse],
            ),
            (
                "unconnected",
                |pauses| pauses.unconnected(0, LATER),
                [PauseCheck::Probe, PauseCheck::Refuse],
            ),
        ];
        for (name, end, expected) in cases {
            let pauses = Pauses::new(1);
            pauses.timed_out(0, NOW);
            assert_eq!(pauses.check(0, LATER), PauseCheck::Probe);
            end(&pauses);
            let seen = [pauses.check(0, LATER), pauses.check(0, LATER)];
            assert_eq!(seen, expected, "{name}");
        }
    }

    #[test]
    fn sections_are_paused_independently() {
        let pauses = Pauses::new(3);
        pauses.timed_out(1, NOW);
        let seen: Vec<_> = (0..3).map(|section| pauses.check(section, NOW)).collect();
        assert_eq!(
            seen,
            [PauseCheck::Send, PauseCheck::Refuse, PauseCheck::Send]
        );
    }
}
