//! What purges do to stored responses, by the times of both.

use std::time::Duration;

use http::HeaderMap;

use super::*;
use crate::{
    key::KeyParts,
    purge::tags::{TagLimits, Tags},
};

const KEY: KeyParts<'static> = KeyParts {
    namespace: b"n",
    scheme: b"http",
    host: b"a.test",
    path_and_query: b"/items/7?page=2",
    dimensions: b"",
};

const NOTHING: EntrySubjects<'static> = EntrySubjects {
    key: KEY,
    tags: None,
};

fn table() -> PurgeTable {
    PurgeTable::new(1 << 20)
}

fn tag(name: &str) -> Subject {
    Subject::tag(b"n", name.as_bytes())
}

fn tags(names: &[&str]) -> Tags {
    let names = names.iter().map(|name| name.as_bytes());
    Tags::of(&HeaderMap::new(), names, KEY, TagLimits::default())
        .unwrap()
        .unwrap()
}

fn standing(table: &PurgeTable, memo: &Memo, subjects: EntrySubjects<'_>) -> Standing {
    table.compare(memo, || subjects)
}

#[test]
fn every_kind_of_subject_purges_what_it_names() {
    let tagged = tags(&["item:7", "items"]);
    let subjects = EntrySubjects {
        key: KEY,
        tags: Some(&tagged),
    };
    let host = Some(&b"a.test"[..]);
    for (subject, expected) in [
        (Subject::everything(), Standing::Purged),
        (Subject::namespace(b"n"), Standing::Purged),
        (Subject::namespace(b"m"), Standing::Usable),
        (Subject::host(b"n", b"a.test"), Standing::Purged),
        (Subject::host(b"n", b"b.test"), Standing::Usable),
        (Subject::path(b"n", host, b"/items/7"), Standing::Purged),
        (Subject::path(b"n", None, b"/items/7"), Standing::Purged),
        (Subject::path(b"m", None, b"/items/7"), Standing::Usable),
        (Subject::path(b"n", None, b"/items"), Standing::Usable),
        (Subject::below(b"n", None, b"/items/"), Standing::Purged),
        (Subject::below(b"n", None, b"/item/"), Standing::Usable),
        (
            Subject::resource(b"n", None, b"/items/7?page=2"),
            Standing::Purged,
        ),
        (Subject::resource(b"n", None, b"/items/7"), Standing::Usable),
        (tag("item:7"), Standing::Purged),
        (tag("item:8"), Standing::Usable),
        (tag("Item:7"), Standing::Usable),
    ] {
        let table = table();
        let memo = Memo::born(table.now());
        table.purge(&[subject], Mode::Hard, Duration::ZERO);
        assert_eq!(standing(&table, &memo, subjects), expected, "{subject:?}");
        let later = Memo::born(table.now());
        assert_eq!(standing(&table, &later, subjects), Standing::Usable);
    }
}

#[test]
fn what_was_purged_stays_purged_however_often_it_is_asked_for() {
    let table = table();
    let memo = Memo::born(table.now());
    table.purge(
        &[Subject::host(b"n", b"a.test")],
        Mode::Hard,
        Duration::ZERO,
    );
    for _ in 0..3 {
        assert_eq!(standing(&table, &memo, NOTHING), Standing::Purged);
        table.purge(&[tag("other")], Mode::Hard, Duration::ZERO);
    }
}

#[test]
fn a_weaker_purge_neither_replaces_a_stronger_one_nor_is_forgotten() {
    let subject = [Subject::host(b"n", b"a.test")];
    let table = table();
    let memo = Memo::born(table.now());
    table.purge(&subject, Mode::Hard, Duration::ZERO);
    let between = Memo::born(table.now());
    table.purge(&subject, Mode::Soft, Duration::from_secs(5));
    table.purge(&subject, Mode::Validate, Duration::from_secs(6));
    assert_eq!(standing(&table, &memo, NOTHING), Standing::Purged);
    assert_eq!(standing(&table, &between, NOTHING), Standing::Usable);
    assert_eq!(between.stale_for(Duration::from_secs(8)), Some(3));
    assert!(between.must_validate());
    table.purge(&[tag("other")], Mode::Hard, Duration::from_secs(7));
    assert_eq!(standing(&table, &between, NOTHING), Standing::Usable);
    assert!(between.must_validate(), "found before, and still known");
}

#[test]
fn all_purges_have_times_of_their_own() {
    let table = table();
    let now = Duration::from_millis(40);
    let first = table.purge(&[tag("a")], Mode::Hard, now);
    let second = table.purge(&[tag("b")], Mode::Hard, now);
    assert_eq!((first, second), (PurgeTime(40), PurgeTime(41)));
    assert_eq!(table.tick(Duration::ZERO), PurgeTime(42));
    assert_eq!(table.now(), PurgeTime(42));
}

#[test]
fn what_does_not_fit_purges_too_much_and_never_too_little() {
    // One set: the eighth record pushes the first one out.
    let table = PurgeTable::new(1);
    table.keeps_for(Duration::from_secs(3600));
    let now = Duration::from_secs(1);
    let tagged = tags(&["t0"]);
    let subjects = EntrySubjects {
        key: KEY,
        tags: Some(&tagged),
    };
    let memo = Memo::born(table.now());
    let asked_for = Memo::born(table.now());
    for n in 0..7 {
        table.purge(&[tag(&format!("t{n}"))], Mode::Hard, now);
    }
    let other = tags(&["other"]);
    let of_other = EntrySubjects {
        key: KEY,
        tags: Some(&other),
    };
    assert_eq!(standing(&table, &asked_for, of_other), Standing::Usable);
    let cold = Memo::born(PurgeTime(0));
    table.purge(&[tag("t7")], Mode::Hard, now);
    assert_eq!(standing(&table, &memo, subjects), Standing::Purged);
    assert_eq!(standing(&table, &asked_for, of_other), Standing::Usable);
    assert_eq!(
        standing(&table, &cold, of_other),
        Standing::Purged,
        "by the floor"
    );
}

#[test]
fn a_record_older_than_every_stored_response_raises_no_floor() {
    let table = PurgeTable::new(1);
    table.keeps_for(Duration::from_secs(10));
    for n in 0..7 {
        table.purge(&[tag(&n.to_string())], Mode::Hard, Duration::from_secs(1));
    }
    let other = tags(&["other"]);
    let subjects = EntrySubjects {
        key: KEY,
        tags: Some(&other),
    };
    let stored = Memo::born(PurgeTime(9_000));
    table.purge(&[tag("7")], Mode::Hard, Duration::from_secs(20));
    assert_eq!(standing(&table, &stored, subjects), Standing::Usable);
}

#[test]
fn a_response_that_was_on_its_way_for_longer_than_any_is_stored_is_purged_too() {
    let tagged = tags(&["0"]);
    let subjects = EntrySubjects {
        key: KEY,
        tags: Some(&tagged),
    };
    for life in [0, 10] {
        let table = PurgeTable::new(1);
        table.keeps_for(Duration::from_secs(life));
        let (fetched, asked_first) = (Memo::born(PurgeTime(0)), table.now());
        for n in 0..7 {
            table.purge(&[tag(&n.to_string())], Mode::Hard, Duration::from_secs(1));
        }
        table.purge(&[tag("7")], Mode::Hard, Duration::from_secs(20));
        table.keeps_for(Duration::from_secs(3600));
        assert_eq!(standing(&table, &fetched, subjects), Standing::Purged);
        assert!(table.is_purged_since(asked_first, &subjects));
    }
}

#[test]
fn requests_that_share_a_fetch_ask_whether_it_is_older_than_a_purge() {
    let table = table();
    let began = table.now();
    assert!(!table.is_purged_since(began, &NOTHING));
    table.purge(
        &[Subject::host(b"n", b"a.test")],
        Mode::Soft,
        Duration::ZERO,
    );
    assert!(table.is_purged_since(began, &NOTHING));
    assert!(!table.is_purged_since(table.now(), &NOTHING));
}

mod against_a_plain_list {
    //! The table beside a list of all purges: it may purge more, if sets overflow, and never less.

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Purge(u8, Mode),
        Store(u8),
        Ask(u8),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let mode = prop_oneof![Just(Mode::Soft), Just(Mode::Validate), Just(Mode::Hard)];
        let step = prop_oneof![
            (0..12_u8, mode).prop_map(|(tag, mode)| Step::Purge(tag, mode)),
            (0..12_u8).prop_map(Step::Store),
            (0..12_u8).prop_map(Step::Ask),
        ];
        prop::collection::vec(step, 1..80)
    }

    fn run(table: &PurgeTable, steps: Vec<Step>, exact: bool) {
        table.keeps_for(Duration::from_secs(3600));
        let tagged: Vec<Tags> = (0..12).map(|n| tags(&[&format!("t{n}")])).collect();
        let mut purges: Vec<(u8, Mode, PurgeTime)> = Vec::new();
        let mut stored: [Option<(PurgeTime, Memo)>; 12] = Default::default();
        for step in steps {
            match step {
                Step::Purge(n, mode) => {
                    let time = table.purge(&[tag(&format!("t{n}"))], mode, Duration::ZERO);
                    purges.push((n, mode, time));
                }
                Step::Store(n) => {
                    let now = table.now();
                    stored[usize::from(n)] = Some((now, Memo::born(now)));
                }
                Step::Ask(n) => {
                    let Some((born, memo)) = &stored[usize::from(n)] else {
                        continue;
                    };
                    let subjects = EntrySubjects {
                        key: KEY,
                        tags: Some(&tagged[usize::from(n)]),
                    };
                    let found = standing(table, memo, subjects);
                    let is_purged = |with: Mode| {
                        purges
                            .iter()
                            .any(|(tag, mode, time)| *tag == n && *mode == with && time > born)
                    };
                    if is_purged(Mode::Hard) {
                        assert_eq!(found, Standing::Purged);
                    } else if found == Standing::Purged {
                        assert!(!exact, "nothing was pushed out");
                    } else {
                        let soft = memo.stale_for(Duration::ZERO).is_some();
                        assert_eq!(soft, is_purged(Mode::Soft));
                        assert_eq!(memo.must_validate(), is_purged(Mode::Validate));
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn a_large_table_is_exact(steps in steps()) {
            run(&PurgeTable::new(1 << 20), steps, true);
        }

        #[test]
        fn a_table_that_overflows_purges_no_less(steps in steps()) {
            run(&PurgeTable::new(1), steps, false);
        }
    }
}
