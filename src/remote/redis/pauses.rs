//! When not to ask a server that has stopped answering. Pure: the time is an argument.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// For how long a server that did not answer in time is left alone.
pub(super) const PAUSE: Duration = Duration::from_millis(500);

/// How many parts of a Cluster's key space are paused on their own. Each holds 64 of the 16,384
/// hash slots.
pub(super) const SECTIONS: usize = 256;

/// A breaker per section of the key space.
///
/// After a timeout a section is paused. Once the pause is over somebody is to see whether the server
/// answers again, no more than once each pause, while all callers are still refused: a server that
/// hangs costs nobody anything more.
#[derive(Debug)]
pub(super) struct Breaker {
    /// When the pause of each section ends, in microseconds; 0 while it is not paused.
    until: Box<[AtomicU64]>,
}

/// What a caller is to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Admission {
    /// Ask the server.
    Ask,
    /// Do without it, and see to it that somebody asks it.
    Probe,
    /// Do without it.
    Refuse,
}

impl Breaker {
    pub(super) fn new(sections: usize) -> Self {
        Self {
            until: (0..sections).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    pub(super) fn sections(&self) -> usize {
        self.until.len()
    }

    /// What to do about a command for this section. A [`Admission::Probe`] must end in one of the
    /// methods below; one that never does is replaced by another after the pause.
    pub(super) fn admit(&self, section: usize, now: Duration) -> Admission {
        let Some(until) = self.until.get(section) else {
            return Admission::Ask;
        };
        let end = until.load(Ordering::Relaxed);
        if end == 0 {
            return Admission::Ask;
        }
        if micros(now) < end {
            return Admission::Refuse;
        }
        let next = micros(now + PAUSE);
        match until.compare_exchange(end, next, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => Admission::Probe,
            Err(_) => Admission::Refuse,
        }
    }

    /// Whether [`admit`](Self::admit) would refuse.
    pub(super) fn refuses(&self, section: usize, now: Duration) -> bool {
        self.until
            .get(section)
            .is_some_and(|until| micros(now) < until.load(Ordering::Relaxed))
    }

    /// The server answered, be it with an error.
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

    /// There is no connection, which costs no time to find out: the next caller may try again.
    pub(super) fn unconnected(&self, section: usize, now: Duration) {
        if let Some(until) = self.until.get(section)
            && until.load(Ordering::Relaxed) != 0
        {
            until.store(micros(now), Ordering::Relaxed);
        }
    }
}

/// Never 0, which says that there is no pause.
fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(7);
    const LATER: Duration = Duration::from_millis(7_500);

    #[test]
    fn a_server_that_answers_is_asked() {
        let breaker = Breaker::new(1);
        assert_eq!(breaker.admit(0, Duration::ZERO), Admission::Ask);
        breaker.answered(0);
        breaker.unconnected(0, NOW);
        assert_eq!(breaker.admit(0, NOW), Admission::Ask);
        assert!(!breaker.refuses(0, NOW));
    }

    #[test]
    fn a_timeout_pauses_then_one_caller_probes() {
        let breaker = Breaker::new(1);
        breaker.timed_out(0, NOW);
        assert!(breaker.refuses(0, NOW));
        let just_before = LATER - Duration::from_micros(1);
        assert_eq!(breaker.admit(0, just_before), Admission::Refuse);
        assert!(!breaker.refuses(0, LATER));
        assert_eq!(breaker.admit(0, LATER), Admission::Probe);
        assert_eq!(breaker.admit(0, LATER), Admission::Refuse);
        // A probe that nobody ended is replaced.
        assert_eq!(breaker.admit(0, LATER + PAUSE), Admission::Probe);
    }

    #[test]
    fn a_probe_decides() {
        type End = fn(&Breaker);
        let cases: [(&str, End, [Admission; 2]); 3] = [
            (
                "answered",
                |breaker| breaker.answered(0),
                [Admission::Ask, Admission::Ask],
            ),
            (
                "timed out",
                |breaker| breaker.timed_out(0, LATER),
                [Admission::Refuse, Admission::Refuse],
            ),
            (
                "unconnected",
                |breaker| breaker.unconnected(0, LATER),
                [Admission::Probe, Admission::Refuse],
            ),
        ];
        for (name, end, expected) in cases {
            let breaker = Breaker::new(1);
            breaker.timed_out(0, NOW);
            assert_eq!(breaker.admit(0, LATER), Admission::Probe);
            end(&breaker);
            let seen = [breaker.admit(0, LATER), breaker.admit(0, LATER)];
            assert_eq!(seen, expected, "{name}");
        }
    }

    #[test]
    fn sections_are_paused_alone() {
        let breaker = Breaker::new(3);
        breaker.timed_out(1, NOW);
        let seen: Vec<_> = (0..3).map(|section| breaker.admit(section, NOW)).collect();
        assert_eq!(seen, [Admission::Ask, Admission::Refuse, Admission::Ask]);
    }
}
