//! The parts of a service, over HTTP the paths of an origin: one of them that fails again and again
//! does not speak for the others.

use std::time::Duration;

use super::terms::Part;

/// A failure of a part says all that its failures say within this time.
const SPEAKS_FOR: Duration = Duration::from_secs(10);

/// How many parts are remembered. When more fail at once, it is not one of them.
const MOST: usize = 32;

/// How many parts have to fail before failures in a row open the circuit.
const NEEDED: usize = 3;

/// The parts that failed last.
#[derive(Debug, Default)]
pub(crate) struct FailedParts {
    parts: Vec<FailedPart>,
}

#[derive(Debug)]
struct FailedPart {
    part: Part,
    /// From when on a failure counts again.
    counts_from: Duration,
    /// From when on a call may be a probe.
    probes_from: Duration,
}

/// Whether a failure says something that is not known yet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Novelty {
    New,
    Repeated,
}

impl FailedParts {
    /// Notes that a part failed.
    pub(crate) fn note(&mut self, part: Part, now: Duration) -> Novelty {
        let known = self.known(part);
        if now < known.counts_from {
            return Novelty::Repeated;
        }
        known.counts_from = now.saturating_add(SPEAKS_FOR);
        Novelty::New
    }

    /// Notes that a probe of a part opened the circuit until `open_until`. Others probe before it
    /// then.
    pub(crate) fn blame(&mut self, part: Part, open_until: Duration) {
        self.known(part).probes_from = open_until.saturating_add(SPEAKS_FOR);
    }

    /// From when on a call of a part may be a probe.
    pub(crate) fn probes_from(&self, part: Option<Part>) -> Duration {
        let known = self.parts.iter().find(|it| Some(it.part) == part);
        known.map_or(Duration::ZERO, |it| it.probes_from)
    }

    pub(crate) fn clear(&mut self) {
        self.parts.clear();
    }

    /// What is known of a part. A part that is not known takes the place of the oldest one.
    fn known(&mut self, part: Part) -> &mut FailedPart {
        let index = match self.parts.iter().position(|it| it.part == part) {
            Some(index) => index,
            None => self.place(part),
        };
        &mut self.parts[index]
    }

    fn place(&mut self, part: Part) -> usize {
        let new = FailedPart {
            part,
            counts_from: Duration::ZERO,
            probes_from: Duration::ZERO,
        };
        let oldest = self.parts.iter().enumerate();
        let oldest = oldest.min_by_key(|(_, it)| it.counts_from.max(it.probes_from));
        match oldest {
            Some((index, _)) if self.parts.len() >= MOST => {
                self.parts[index] = new;
                index
            }
            _ => {
                self.parts.push(new);
                self.parts.len() - 1
            }
        }
    }
}

/// The failures since the last success.
#[derive(Debug, Default)]
pub(crate) struct FailuresInARow {
    count: u32,
    /// Parts that failed among them, each once.
    parts: [Option<Part>; NEEDED],
    /// Whether a call failed that belongs to no part.
    without_part: bool,
}

impl FailuresInARow {
    pub(crate) fn push(&mut self, part: Option<Part>) {
        self.count = self.count.saturating_add(1);
        match part {
            None => self.without_part = true,
            Some(_) if self.parts.contains(&part) => {}
            Some(_) => {
                if let Some(free) = self.parts.iter_mut().find(|it| it.is_none()) {
                    *free = part;
                }
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// How many they are, if they are `limit` or more and speak for the service as a whole.
    pub(crate) fn reached(&self, limit: u32) -> Option<u32> {
        let parts = self.parts.iter().flatten().count();
        let needed = usize::try_from(limit).map_or(NEEDED, |limit| limit.min(NEEDED));
        (self.count >= limit && (self.without_part || parts >= needed)).then_some(self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Part = Part(1);

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_part_counts_once_in_ten_seconds_from_when_it_counted() {
        let mut parts = FailedParts::default();
        let new = [0, 3, 9, 10, 11, 19, 20, 31].map(|at| parts.note(A, secs(at)) == Novelty::New);
        assert_eq!(new, [true, false, false, true, false, false, true, true]);
        assert_eq!(parts.note(Part(2), secs(31)), Novelty::New);
        parts.clear();
        assert_eq!(parts.note(A, secs(32)), Novelty::New);
    }

    #[test]
    fn the_number_of_parts_is_bounded_and_the_oldest_goes() {
        let mut parts = FailedParts::default();
        for part in 0..10_000 {
            let now = Duration::from_millis(part);
            assert_eq!(parts.note(Part(part), now), Novelty::New);
        }
        assert_eq!(parts.parts.len(), MOST);
        let now = secs(10);
        assert_eq!(parts.note(Part(9_999), now), Novelty::Repeated);
        assert_eq!(
            parts.note(Part(9_999 - MOST as u64 + 1), now),
            Novelty::Repeated
        );
        assert_eq!(parts.note(Part(9_999 - MOST as u64), now), Novelty::New);
    }

    #[test]
    fn who_opened_the_circuit_does_not_probe_first() {
        let mut parts = FailedParts::default();
        parts.blame(A, secs(100));
        assert_eq!(parts.probes_from(Some(A)), secs(110));
        assert_eq!(parts.probes_from(Some(Part(2))), Duration::ZERO);
        assert_eq!(parts.probes_from(None), Duration::ZERO);
    }

    #[test]
    fn failures_in_a_row_need_three_parts_or_none() {
        let cases: [(&[u64], u32, bool); 8] = [
            (&[1, 1, 1, 1, 1, 1, 1], 7, false),
            (&[1, 2, 1, 2, 1, 2, 1], 7, false),
            (&[1, 2, 1, 2, 1, 2, 3], 7, true),
            (&[1, 2, 3, 4, 5, 6], 7, false),
            (&[1, 2, 3, 4, 5, 6, 7], 7, true),
            // No more parts than failures are asked for.
            (&[1], 1, true),
            (&[1, 1], 2, false),
            (&[1, 2], 2, true),
        ];
        for (failures, limit, reached) in cases {
            let mut row = FailuresInARow::default();
            for part in failures {
                row.push(Some(Part(*part)));
            }
            assert_eq!(row.reached(limit).is_some(), reached, "{failures:?}");
            row.push(None);
            let enough = failures.len() + 1 >= limit as usize;
            assert_eq!(row.reached(limit).is_some(), enough, "{failures:?}");
            row.clear();
            assert_eq!(row.reached(1), None);
        }
    }
}
