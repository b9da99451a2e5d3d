//! The table of what was purged, and the purge clock.
//!
//! The table has sets of one cache line each: seven records, and a floor. A record is a fingerprint of
//! a subject, a mode, and the time of the latest such purge. When a set is full, its oldest record
//! goes, and the floor rises to the time of it: from then on whatever belongs to this set and is older
//! counts as purged. That costs a fetch, and only for what nobody asked for meanwhile, because what is
//! asked for is compared with the table each time the clock has moved.
//!
//! Nothing is locked to read. A purge holds a lock from taking its time to publishing it. Without that,
//! one purge could take the time 5, another could take 6 and publish it, a fetch could begin at 6, and
//! only then would the first one write its record: a response that is older than the first purge would
//! count as younger.

use std::time::Duration;

use super::{
    answers::EntrySubjects,
    memo::{Memo, PurgeTime},
    subject::{Mark, Subject, SubjectKind},
    sync::{AtomicU64, Mutex, Ordering, PoisonError},
};

/// How many records a set has. With the floor they fill a cache line.
const RECORDS: usize = 7;

/// How a purge ends what is stored. The later ones are stronger.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub(crate) enum Mode {
    /// It is stale from now on. Stale windows count from here.
    Soft = 1,
    /// It must be validated before any use (RFC 9111 section 4.4).
    Validate = 2,
    /// It is never used again, for nothing.
    Hard = 3,
}

impl Mode {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Soft => "soft",
            Self::Validate => "validate",
            Self::Hard => "hard",
        }
    }

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        [Self::Soft, Self::Validate, Self::Hard]
            .into_iter()
            .find(|mode| *mode as u8 == number)
    }
}

/// What the purges until now have made of a stored response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Standing {
    /// It may be used, as far as its [`Memo`] and its freshness allow.
    Usable,
    /// It is purged, and must not be used in any way.
    Purged,
}

/// Fingerprint, mode and time in one word: 18 bits, 2 bits, and 44 bits of milliseconds. Zero is no
/// record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Record(u64);

impl Record {
    const TIME: u32 = 20;
    const FINGERPRINT: u32 = 46;

    fn new(mark: Mark, mode: Mode, time: PurgeTime) -> Self {
        Self(time.0 << Self::TIME | u64::from(mode as u8) << 18 | mark.0 >> Self::FINGERPRINT)
    }

    fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn time(self) -> PurgeTime {
        PurgeTime(self.0 >> Self::TIME)
    }

    fn mode(self) -> Option<Mode> {
        Mode::from_number((self.0 >> 18 & 3) as u8)
    }

    fn is_of(self, mark: Mark) -> bool {
        !self.is_empty() && self.0 & 0x3_ffff == mark.0 >> Self::FINGERPRINT
    }

    /// Whether a purge of this subject in this mode is recorded here.
    fn is_same(self, other: Self) -> bool {
        !self.is_empty() && (self.0 ^ other.0) & 0xf_ffff == 0
    }
}

#[derive(Debug)]
#[repr(align(64))]
struct Set {
    records: [AtomicU64; RECORDS],
    /// Whatever belongs here and is not younger counts as purged.
    floor: AtomicU64,
}

/// The table of what was purged.
#[derive(Debug)]
pub(crate) struct PurgeTable {
    clock: AtomicU64,
    /// The time of the latest purge of each kind of subject. So the subjects of a response are computed
    /// only if there is something to find.
    newest: [AtomicU64; SubjectKind::COUNT],
    sets: Box<[Set]>,
    /// The time of the latest hard purge, and that of the latest hard purge of everything.
    hard: AtomicU64,
    hard_everything: AtomicU64,
    /// How many milliseconds a response is kept at most. Older records go without raising a floor.
    longest_life: AtomicU64,
    /// The time of the latest record that went so. A response whose fetch began before, and that was
    /// never stored, may be on its way still.
    forgotten: AtomicU64,
    writing: Mutex<()>,
}

impl PurgeTable {
    /// A table of about this many bytes, a power of two of cache lines.
    pub(crate) fn new(bytes: usize) -> Self {
        let sets = (bytes / size_of::<Set>()).max(1).next_power_of_two();
        let zero = || AtomicU64::new(0);
        let set = |_| Set {
            records: std::array::from_fn(|_| zero()),
            floor: zero(),
        };
        Self {
            clock: zero(),
            newest: std::array::from_fn(|_| zero()),
            sets: (0..sets).map(set).collect(),
            hard: zero(),
            hard_everything: zero(),
            longest_life: zero(),
            forgotten: zero(),
            writing: Mutex::new(()),
        }
    }

    /// The time of the latest purge that is in force.
    #[inline]
    pub(crate) fn now(&self) -> PurgeTime {
        PurgeTime(self.clock.load(Ordering::Acquire))
    }

    /// The time of the latest hard purge, and that of the latest hard purge of everything: until then
    /// there may be something to wipe.
    pub(crate) fn last_hard(&self) -> (PurgeTime, PurgeTime) {
        let load = |time: &AtomicU64| PurgeTime(time.load(Ordering::Acquire));
        (load(&self.hard), load(&self.hard_everything))
    }

    /// A response may be kept for this long.
    pub(crate) fn keeps_for(&self, span: Duration) {
        let span = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        // Almost always another response is kept for as long.
        if self.longest_life.load(Ordering::Relaxed) < span {
            self.longest_life.fetch_max(span, Ordering::Relaxed);
        }
    }

    /// Purges these subjects, all at one time, which is returned. `now` is the monotonic time. When this
    /// returns the purge is in force.
    pub(crate) fn purge(&self, subjects: &[Subject], mode: Mode, now: Duration) -> PurgeTime {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let time = self.next_time(now);
        self.record(subjects, mode, time, now);
        self.publish(time);
        time
    }

    /// Advances the clock without a purge, so that what begins from now on can be told from what began
    /// before.
    pub(crate) fn tick(&self, now: Duration) -> PurgeTime {
        self.purge(&[], Mode::Soft, now)
    }

    /// A time that no purge had yet. Only for who holds the lock.
    pub(super) fn next_time(&self, now: Duration) -> PurgeTime {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let last = self.clock.load(Ordering::Acquire);
        // Far below 2^44, which is five hundred years.
        PurgeTime(now.max(last + 1))
    }

    /// Writes the records of a purge. Only for who holds the lock.
    pub(super) fn record(&self, subjects: &[Subject], mode: Mode, time: PurgeTime, now: Duration) {
        let life = self.longest_life.load(Ordering::Relaxed);
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let too_old = match life {
            // Nothing has been stored yet.
            0 => PurgeTime(0),
            life => PurgeTime(now.saturating_sub(life)),
        };
        for subject in subjects {
            if mode == Mode::Hard {
                self.hard.fetch_max(time.0, Ordering::AcqRel);
                if subject.kind() == SubjectKind::Everything {
                    self.hard_everything.fetch_max(time.0, Ordering::AcqRel);
                }
            }
            self.newest[subject.kind().index()].fetch_max(time.0, Ordering::AcqRel);
            let mark = subject.mark();
            let record = Record::new(mark, mode, time);
            self.set(mark).write(record, too_old, &self.forgotten);
        }
    }

    /// Puts every purge in force that was recorded until this time.
    pub(super) fn publish(&self, time: PurgeTime) {
        self.clock.store(time.0, Ordering::Release);
    }

    /// Compares a stored response with the purges since the last time, and remembers what is found.
    #[inline]
    pub(crate) fn compare<'a>(
        &self,
        memo: &Memo,
        subjects: impl FnOnce() -> EntrySubjects<'a>,
    ) -> Standing {
        let now = self.now();
        if now <= memo.seen() {
            return Standing::Usable;
        }
        self.look_up(memo, now, &subjects())
    }

    #[cold]
    #[inline(never)]
    fn look_up(&self, memo: &Memo, now: PurgeTime, subjects: &EntrySubjects<'_>) -> Standing {
        let since = memo.seen();
        let mut standing = Standing::Usable;
        for kind in SubjectKind::ALL {
            if self.newest[kind.index()].load(Ordering::Acquire) <= since.0 {
                continue;
            }
            subjects.of_kind(kind, |mark| {
                if self.set(mark).compare(mark, since, memo) == Standing::Purged {
                    standing = Standing::Purged;
                }
            });
        }
        // After the records, as the floors are. What is stored has been compared since.
        if self.forgotten.load(Ordering::Acquire) > since.0 {
            standing = Standing::Purged;
        }
        if standing == Standing::Usable {
            memo.compared_until(now);
        }
        standing
    }

    /// Whether any of these subjects was purged after this time, in any mode.
    pub(crate) fn is_purged_since(&self, since: PurgeTime, subjects: &EntrySubjects<'_>) -> bool {
        if self.now() <= since {
            return false;
        }
        let memo = Memo::born(since);
        self.look_up(&memo, self.now(), subjects) == Standing::Purged || memo.has_found()
    }

    fn set(&self, mark: Mark) -> &Set {
        // The remainder is below the length, and fits in a `usize`.
        &self.sets[(mark.0 % self.sets.len() as u64) as usize]
    }
}

impl Set {
    fn write(&self, record: Record, too_old: PurgeTime, forgotten: &AtomicU64) {
        let load = |slot: &AtomicU64| Record(slot.load(Ordering::Acquire));
        let same = self.records.iter().find(|slot| load(slot).is_same(record));
        let slot = same.or_else(|| {
            let oldest = self.records.iter().min_by_key(|slot| load(slot).time())?;
            let gone = load(oldest);
            if !gone.is_empty() {
                let kept = gone.time() > too_old;
                let floor = if kept { &self.floor } else { forgotten };
                // Before the record is overwritten: who misses the one finds the other.
                floor.fetch_max(gone.time().0, Ordering::AcqRel);
            }
            Some(oldest)
        });
        if let Some(slot) = slot {
            slot.store(record.0, Ordering::Release);
        }
    }

    /// What the records of a subject after `since` make of a response. Validation and staleness go into
    /// its memo.
    fn compare(&self, mark: Mark, since: PurgeTime, memo: &Memo) -> Standing {
        let mut standing = Standing::Usable;
        for slot in &self.records {
            let record = Record(slot.load(Ordering::Acquire));
            if !record.is_of(mark) || record.time() <= since {
                continue;
            }
            match record.mode() {
                Some(Mode::Soft) => memo.make_stale(record.time()),
                Some(Mode::Validate) => memo.demand_validation(),
                Some(Mode::Hard) | None => standing = Standing::Purged,
            }
        }
        // After the records: one that was overwritten has raised the floor before.
        if self.floor.load(Ordering::Acquire) > since.0 {
            standing = Standing::Purged;
        }
        standing
    }
}

#[cfg(test)]
// Where it is from the models too, which include this file.
#[path = "table/tests.rs"]
mod tests;
