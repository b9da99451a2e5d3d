//! Which stored variant answers a request, and which ones a new variant replaces.

use http::HeaderMap;

use super::{Variant, inherit, select, survivors};
use crate::semantics::rules::LanguageOrder;
use crate::semantics::testing::{Lines, head};
use crate::semantics::vary::{Seed, Selecting, Vary, effective};

const SEED: Seed = Seed(7);

/// A stored variant, known by its label.
#[derive(Debug)]
struct Stored {
    label: char,
    selecting: Selecting,
    date: i64,
    response_time: i64,
}

impl Variant for Stored {
    fn selecting(&self) -> &Selecting {
        &self.selecting
    }

    fn date(&self) -> i64 {
        self.date
    }

    fn response_time(&self) -> i64 {
        self.response_time
    }
}

fn vary(list: &'static str) -> Vary {
    effective(&HeaderMap::new(), &head(&[("vary", list)]))
}

/// A variant with the `Vary` `list`, stored for `request`, received at the time of its `Date`.
fn stored(label: char, list: &'static str, request: Lines<'_>, date: i64) -> Stored {
    Stored {
        label,
        selecting: Selecting::record(
            vary(list).names().unwrap(),
            &head(request),
            SEED,
            LanguageOrder::Keep,
        ),
        date,
        response_time: date,
    }
}

fn selected(variants: &[Stored], request: Lines<'_>) -> Option<char> {
    select(variants, &head(request), SEED, LanguageOrder::Keep).map(|variant| variant.label)
}

fn surviving(variants: &[Stored], request: Lines<'_>) -> String {
    survivors(variants, &head(request), SEED, LanguageOrder::Keep)
        .map(|variant| variant.label)
        .collect()
}

#[test]
fn nothing_stored_answers_nothing() {
    assert_eq!(selected(&[], &[]), None);
}

#[test]
fn a_single_variant_answers_the_requests_it_matches() {
    let variants = [stored('a', "x-v", &[("x-v", "1")], 10)];
    assert_eq!(selected(&variants, &[("x-v", "1")]), Some('a'));
    assert_eq!(selected(&variants, &[("x-v", "2")]), None);
    assert_eq!(selected(&variants, &[]), None);
}

#[test]
fn each_request_gets_its_own_variant() {
    let variants = [
        stored('a', "x-v", &[("x-v", "1")], 10),
        stored('b', "x-v", &[("x-v", "2")], 20),
        stored('c', "x-v", &[], 30),
    ];
    assert_eq!(selected(&variants, &[("x-v", "1")]), Some('a'));
    assert_eq!(selected(&variants, &[("x-v", "2")]), Some('b'));
    assert_eq!(selected(&variants, &[]), Some('c'));
    assert_eq!(selected(&variants, &[("x-v", "3")]), None);
}

#[test]
fn a_value_is_compared_with_every_variant_in_its_normal_form() {
    let variants = [
        stored('a', "accept-encoding", &[("accept-encoding", "br")], 30),
        stored(
            'b',
            "accept-encoding",
            &[("accept-encoding", "br, gzip")],
            20,
        ),
        stored('c', "accept-encoding", &[("accept-encoding", "gzip")], 10),
    ];
    assert_eq!(
        selected(&variants, &[("accept-encoding", "gzip,br")]),
        Some('b')
    );
    assert_eq!(
        selected(&variants, &[("accept-encoding", "GZIP")]),
        Some('c')
    );
}

#[test]
fn variants_of_one_key_are_tested_each_by_its_own_vary() {
    let variants = [
        stored('a', "x-a", &[("x-a", "1")], 10),
        stored('b', "x-a, x-b", &[("x-a", "2"), ("x-b", "2")], 20),
        stored('c', "x-c", &[("x-c", "3")], 5),
    ];
    assert_eq!(
        selected(&variants, &[("x-a", "1"), ("x-b", "9")]),
        Some('a')
    );
    assert_eq!(
        selected(&variants, &[("x-a", "2"), ("x-b", "2")]),
        Some('b')
    );
    assert_eq!(selected(&variants, &[("x-a", "2"), ("x-b", "3")]), None);
    assert_eq!(selected(&variants, &[("x-c", "3")]), Some('c'));
    // Two match: the more recent one answers.
    assert_eq!(
        selected(&variants, &[("x-a", "1"), ("x-c", "3")]),
        Some('a')
    );
}

#[test]
fn the_most_recent_match_answers() {
    // Date and response time of `a`, of `b`, and the one that answers.
    let cases = [
        ((10, 10), (20, 20), 'b'),
        ((20, 20), (10, 10), 'a'),
        // Received later, but generated earlier.
        ((10, 30), (20, 20), 'b'),
        // Generated in the same second.
        ((10, 12), (10, 11), 'a'),
        ((10, 11), (10, 12), 'b'),
        // A date in the future counts as the time of arrival.
        ((9999, 10), (20, 20), 'b'),
        ((9999, 20), (20, 20), 'b'),
        ((9999, 21), (20, 20), 'a'),
    ];
    for (a, b, expected) in cases {
        let variants = [('a', a), ('b', b)].map(|(label, (date, response_time))| Stored {
            label,
            selecting: Selecting::default(),
            date,
            response_time,
        });
        assert_eq!(selected(&variants, &[]), Some(expected), "{a:?} {b:?}");
    }
}

#[test]
fn a_new_response_replaces_what_its_request_would_have_been_given() {
    let variants = [
        stored('a', "x-a", &[("x-a", "1")], 10),
        stored('b', "x-a", &[("x-a", "2")], 20),
        stored('c', "x-b", &[("x-b", "1")], 30),
        stored('d', "", &[], 40),
    ];
    // The variant without `Vary` goes every time.
    let cases: &[(Lines<'_>, &str)] = &[
        (&[("x-a", "1")], "bc"),
        (&[("x-a", "3")], "abc"),
        (&[("x-a", "2"), ("x-b", "1")], "a"),
        (&[], "abc"),
    ];
    for (request, expected) in cases {
        assert_eq!(surviving(&variants, request), *expected, "{request:?}");
    }
}

#[test]
fn a_response_that_varies_on_more_replaces_the_one_that_varied_on_less() {
    let one = stored('a', "x-a", &[("x-a", "1")], 10);
    assert_eq!(surviving(&[one], &[("x-a", "1"), ("x-b", "2")]), "");

    let two = [stored('b', "x-a, x-b", &[("x-a", "1"), ("x-b", "2")], 20)];
    assert_eq!(selected(&two, &[("x-a", "1"), ("x-b", "2")]), Some('b'));
    assert_eq!(selected(&two, &[("x-a", "1"), ("x-b", "3")]), None);
}

#[test]
fn a_response_without_vary_inherits_the_most_recent_one() {
    let variants = [
        stored('a', "x-a", &[("x-a", "1")], 10),
        stored('b', "x-b, x-c", &[("x-b", "1")], 30),
        stored('c', "x-c", &[("x-c", "1")], 20),
        stored('d', "", &[], 40),
    ];
    let [first, ..] = &variants;
    let cases = [
        (vary(""), &variants[..], vary("x-b, x-c")),
        (vary(""), std::slice::from_ref(first), vary("x-a")),
        (vary(""), &variants[3..], Vary::Absent),
        (vary(""), &[], Vary::Absent),
        (vary("x-z"), &variants[..], vary("x-z")),
        (vary("*"), &variants[..], Vary::Any),
    ];
    for (own, stored, expected) in cases {
        assert_eq!(inherit(own.clone(), stored), expected, "{own:?}");
    }
}
