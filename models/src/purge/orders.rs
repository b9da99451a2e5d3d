//! Purges beside fetches and lookups. A body carries the version that the origin had when it was
//! fetched. Whoever asks after a purge returned gets at least the version from before that purge.

use std::time::Duration;

use shuttle::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
};

use super::{
    answers::EntrySubjects,
    memo::Memo,
    subject::Subject,
    table::{Mode, PurgeTable, Standing},
};

/// Orders tried of each model.
const ORDERS: usize = 3000;

/// Longer than anything is stored here.
const LIFE: Duration = Duration::from_secs(3600);

/// How a subject is purged: by the table, or in a way that is wrong.
type Purging = fn(&Site, Subject);

type Thread = Box<dyn FnOnce() + Send>;

/// An origin, a table, and the one response that is stored.
struct Site {
    table: PurgeTable,
    /// What of the origin changes.
    version: AtomicU64,
    /// The version that requests have to see: that of the latest purge that returned.
    least: AtomicU64,
    stored: Mutex<Option<Arc<Stored>>>,
    subjects: Vec<Subject>,
    /// For ways that are wrong.
    lock: Mutex<()>,
}

struct Stored {
    memo: Memo,
    version: u64,
}

impl Site {
    /// The table has one set, so that records push each other out.
    fn new() -> Arc<Self> {
        let table = PurgeTable::new(1);
        table.keeps_for(LIFE);
        Arc::new(Self {
            table,
            version: AtomicU64::new(0),
            least: AtomicU64::new(0),
            stored: Mutex::new(None),
            subjects: vec![
                tag("a"),
                tag("b"),
                Subject::host(b"n", b"a.test"),
                Subject::everything(),
            ],
            lock: Mutex::new(()),
        })
    }

    /// What a thread does with the site.
    fn with(self: &Arc<Self>, act: fn(&Self)) -> Thread {
        let site = Arc::clone(self);
        Box::new(move || act(&site))
    }

    /// The origin changes, and then what names the change is purged.
    fn change(&self, subject: Subject, purging: Purging) {
        let version = self.version.fetch_add(1, SeqCst) + 1;
        purging(self, subject);
        self.least.fetch_max(version, SeqCst);
    }

    fn standing(&self, memo: &Memo) -> Standing {
        self.table.compare(memo, || EntrySubjects(&self.subjects))
    }

    /// A request without a lookup: it asks the origin, and stores what was not purged meanwhile.
    fn fetch(&self) {
        let memo = Memo::born(self.table.now());
        let version = self.version.load(SeqCst);
        let mut stored = self.stored.lock().expect("no panic");
        if self.standing(&memo) == Standing::Usable {
            *stored = Some(Arc::new(Stored { memo, version }));
        }
    }

    /// A request that wants what is stored.
    fn read(&self) {
        let least = self.least.load(SeqCst);
        let stored = self.stored.lock().expect("no panic").clone();
        if let Some(stored) = stored
            && self.standing(&stored.memo) == Standing::Usable
        {
            assert!(stored.version >= least, "an older version came back");
        }
    }
}

fn tag(name: &str) -> Subject {
    Subject::tag(b"n", name.as_bytes())
}

/// By the table.
fn purge(site: &Site, subject: Subject) {
    site.table.purge(&[subject], Mode::Hard, Duration::ZERO);
}

/// Nobody holds a lock: a later time may be published before the record of an earlier one is there.
fn without_lock(site: &Site, subject: Subject) {
    let time = site.table.next_time(Duration::ZERO);
    site.table
        .record(&[subject], Mode::Hard, time, Duration::ZERO);
    site.table.publish(time);
}

/// The time is taken before the lock.
fn time_outside_of_the_lock(site: &Site, subject: Subject) {
    let time = site.table.next_time(Duration::ZERO);
    let _writing = site.lock.lock().expect("no panic");
    site.table
        .record(&[subject], Mode::Hard, time, Duration::ZERO);
    site.table.publish(time);
}

/// The time is published before there is a record.
fn publishing_first(site: &Site, subject: Subject) {
    let _writing = site.lock.lock().expect("no panic");
    let time = site.table.next_time(Duration::ZERO);
    site.table.publish(time);
    site.table
        .record(&[subject], Mode::Hard, time, Duration::ZERO);
}

fn check(model: impl Fn() + Send + Sync + 'static) {
    let model = std::sync::Arc::new(model);
    let random = std::sync::Arc::clone(&model);
    shuttle::check_random(move || random(), ORDERS);
    shuttle::check_pct(move || model(), ORDERS, 3);
}

fn together(threads: Vec<Thread>) {
    let threads: Vec<_> = threads.into_iter().map(thread::spawn).collect();
    for thread in threads {
        thread.join().expect("no panic");
    }
}

/// Two changes, a purge that does not concern the response, and requests that fetch and read.
pub fn nothing_from_before_a_purge_is_used_after_it() {
    check(|| {
        let site = Site::new();
        site.fetch();
        let with = |act: fn(&Site)| site.with(act);
        together(vec![
            with(|site| site.change(tag("a"), purge)),
            with(|site| {
                purge(site, tag("other"));
                site.change(Subject::host(b"n", b"a.test"), purge);
            }),
            with(|site| (0..2).for_each(|_| site.fetch())),
            with(|site| {
                site.fetch();
                site.read();
            }),
            with(|site| (0..3).for_each(|_| site.read())),
        ]);
        site.read();
        site.fetch();
        let stored = site.stored.lock().expect("no panic").clone();
        let stored = stored.expect("what was fetched last is stored");
        assert_eq!(site.standing(&stored.memo), Standing::Usable);
        assert_eq!(stored.version, 2);
    });
}

/// Two purges at once, of which one concerns the response. Whoever looks meanwhile may find the other
/// one alone, and must not remember that it has seen both.
fn two_purges_and_a_reader(purging: Purging) {
    check(move || {
        let site = Site::new();
        site.fetch();
        let own = Arc::clone(&site);
        let other = Arc::clone(&site);
        together(vec![
            Box::new(move || own.change(tag("a"), purging)),
            Box::new(move || purging(&other, tag("other"))),
            site.with(|site| (0..2).for_each(|_| site.read())),
        ]);
        site.read();
    });
}

/// The order in which purges are published is that of their times.
pub fn purges_are_published_in_the_order_of_their_times() {
    two_purges_and_a_reader(purge);
}

/// The models find what is wrong: each of these ways fails in some order.
///
/// # Panics
///
/// Because the purges are wrong.
pub fn purges_without_a_lock() {
    two_purges_and_a_reader(without_lock);
}

/// The same for a time that is taken too early.
///
/// # Panics
///
/// Because the purges are wrong.
pub fn purges_with_a_time_from_outside_of_the_lock() {
    two_purges_and_a_reader(time_outside_of_the_lock);
}

/// The same for a time that is published too early.
///
/// # Panics
///
/// Because the purges are wrong.
pub fn purges_that_publish_first() {
    two_purges_and_a_reader(publishing_first);
}

/// Other purges push the record of the only one that counts out of its set, while requests look.
pub fn a_record_that_is_pushed_out_is_found_in_the_floor() {
    check(|| {
        let site = Site::new();
        // The next purge but one finds no empty record.
        for n in 0..6 {
            purge(&site, tag(&n.to_string()));
        }
        site.fetch();
        let with = |act: fn(&Site)| site.with(act);
        together(vec![
            with(|site| site.change(tag("b"), purge)),
            with(|site| {
                for n in 6..14 {
                    purge(site, tag(&n.to_string()));
                }
            }),
            with(|site| (0..3).for_each(|_| site.read())),
            with(|site| (0..2).for_each(|_| site.read())),
        ]);
        site.read();
    });
}

/// Several requests compare one response with purges that leave it stored, and others make copies of
/// it. Whoever looks after a purge returned knows of it, by the response or by a copy.
pub fn what_one_request_finds_no_other_one_forgets() {
    check(|| {
        let site = Site::new();
        let memo = Arc::new(Memo::born(site.table.now()));
        let validate = Arc::new(AtomicBool::new(false));
        let soft = Arc::new(AtomicBool::new(false));
        let purging = |name: &'static str, mode: Mode, done: &Arc<AtomicBool>| {
            let (site, done) = (Arc::clone(&site), Arc::clone(done));
            Box::new(move || {
                site.table.purge(&[tag(name)], mode, Duration::ZERO);
                done.store(true, SeqCst);
            }) as Thread
        };
        let look = {
            let (site, validate, soft) =
                (Arc::clone(&site), Arc::clone(&validate), Arc::clone(&soft));
            move |memo: &Memo| {
                let (validates, is_soft) = (validate.load(SeqCst), soft.load(SeqCst));
                assert_eq!(site.standing(memo), Standing::Usable);
                assert!(memo.must_validate() || !validates, "forgotten");
                assert!(
                    memo.stale_for(Duration::ZERO).is_some() || !is_soft,
                    "forgotten"
                );
            }
        };
        let looking = |copies: bool| {
            let (memo, look) = (Arc::clone(&memo), look.clone());
            Box::new(move || {
                look(&memo);
                if copies {
                    let copy = memo.copied();
                    look(&copy);
                    look(&copy.copied());
                }
                look(&memo);
            }) as Thread
        };
        together(vec![
            purging("a", Mode::Validate, &validate),
            purging("b", Mode::Soft, &soft),
            looking(false),
            looking(true),
        ]);
        look(&memo);
        look(&memo.copied());
    });
}

/// A copy is made while another request compares: it has what was found, or is compared again.
pub fn a_copy_that_is_made_meanwhile_knows_the_same() {
    check(|| {
        let site = Site::new();
        let memo = Arc::new(Memo::born(site.table.now()));
        site.table
            .purge(&[tag("a")], Mode::Validate, Duration::ZERO);
        let copying = {
            let (site, memo) = (Arc::clone(&site), Arc::clone(&memo));
            move || {
                let copy = memo.copied();
                assert_eq!(site.standing(&copy), Standing::Usable);
                assert!(copy.must_validate(), "forgotten");
            }
        };
        let comparing = Arc::clone(&site);
        together(vec![
            Box::new(move || assert_eq!(comparing.standing(&memo), Standing::Usable)),
            Box::new(copying),
        ]);
    });
}
