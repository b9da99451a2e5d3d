//! What `Vary` says, and which requests count as the same for it.

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};
use proptest::sample::select;

use super::{Seed, Selecting, Vary, effective};
use crate::semantics::rules::LanguageOrder;

const SEED: Seed = Seed(7);

fn head(lines: &[(&str, &str)]) -> HeaderMap {
    lines
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            )
        })
        .collect()
}

fn names(names: &[&'static str]) -> Vary {
    Vary::Names(
        names
            .iter()
            .map(|name| HeaderName::from_static(name))
            .collect(),
    )
}

/// The selecting header field `name` of a request with these lines of it.
fn record(name: &'static str, lines: &[&str], order: LanguageOrder) -> Selecting {
    Selecting::record(
        &[HeaderName::from_static(name)],
        &request(name, lines),
        SEED,
        order,
    )
}

fn request(name: &str, lines: &[&str]) -> HeaderMap {
    let lines: Vec<_> = lines.iter().map(|line| (name, *line)).collect();
    head(&lines)
}

// === Vary ===

#[test]
fn vary_lists_field_names() {
    let cases: &[(&[&str], Vary)] = &[
        // Lines, and what they say together.
        (&[], Vary::Absent),
        (&[""], Vary::Absent),
        (&[" , ,\t"], Vary::Absent),
        (&["accept"], names(&["accept"])),
        (&["Accept"], names(&["accept"])),
        (&["x-b , x-a,,"], names(&["x-a", "x-b"])),
        (&["x-b", "x-a"], names(&["x-a", "x-b"])),
        (&["x-a, X-A", "x-a"], names(&["x-a"])),
        // The host is in every key.
        (&["Host"], Vary::Absent),
        (&["host, x-a"], names(&["x-a"])),
        // The wildcard wins wherever it stands.
        (&["*"], Vary::Any),
        (&["foo, *"], Vary::Any),
        (&["", "*"], Vary::Any),
        (&["foo", "*, bar"], Vary::Any),
        // What is no name may hide any name.
        (&["foo bar"], Vary::Any),
        (&["\"foo\""], Vary::Any),
        (&["foo, é"], Vary::Any),
        (&["foo;bar"], Vary::Any),
    ];
    for (lines, expected) in cases {
        assert_eq!(
            effective(&HeaderMap::new(), &request("vary", lines)),
            *expected,
            "{lines:?}"
        );
    }
}

#[test]
fn other_fields_show_what_a_response_varies_on() {
    type Lines<'a> = &'a [(&'a str, &'a str)];
    let origin: Lines<'_> = &[("origin", "https://o1.test")];
    let allowed = ("access-control-allow-origin", "https://o1.test");
    let cases: &[(Lines<'_>, Lines<'_>, Vary)] = &[
        // Request, response, what it varies on.
        (&[], &[], Vary::Absent),
        (origin, &[allowed], names(&["origin"])),
        (
            origin,
            &[allowed, ("vary", "x-a, Origin")],
            names(&["origin", "x-a"]),
        ),
        (
            origin,
            &[("access-control-allow-origin", "*")],
            Vary::Absent,
        ),
        (origin, &[], Vary::Absent),
        (&[], &[allowed], Vary::Absent),
        (
            &[],
            &[("content-encoding", "gzip")],
            names(&["accept-encoding"]),
        ),
        (
            origin,
            &[allowed, ("content-encoding", "br"), ("vary", "x-a")],
            names(&["accept-encoding", "origin", "x-a"]),
        ),
        (origin, &[allowed, ("vary", "*")], Vary::Any),
    ];
    for (request, response, expected) in cases {
        assert_eq!(
            effective(&head(request), &head(response)),
            *expected,
            "{request:?} {response:?}"
        );
    }
}

#[test]
fn no_list_of_names_stands_for_the_wildcard() {
    assert_eq!(Vary::Any.names(), None);
    assert_eq!(Vary::Absent.names(), Some([].as_slice()));
    let x_a = [HeaderName::from_static("x-a")];
    assert_eq!(names(&["x-a"]).names(), Some(x_a.as_slice()));
}

// === Selecting ===

/// Whether a request with the lines `presented` matches what one with `stored` selected.
#[track_caller]
fn check(name: &'static str, order: LanguageOrder, cases: &[(&[&str], &[&str], bool)]) {
    for (stored, presented, expected) in cases {
        let recorded = record(name, stored, order);
        let matches = recorded.matches(&request(name, presented), SEED, order);
        assert_eq!(matches, *expected, "{name}: {stored:?} for {presented:?}");
        let equal = recorded == record(name, presented, order);
        assert_eq!(equal, *expected, "{name}: {stored:?} == {presented:?}");
    }
}

#[test]
fn unknown_fields_match_by_their_combined_value() {
    let cases: &[(&[&str], &[&str], bool)] = &[
        (&["1"], &["1"], true),
        (&["1"], &["2"], false),
        // Absent and empty are different things.
        (&[], &[], true),
        (&[], &[""], false),
        (&[""], &[], false),
        (&[""], &[""], true),
        (&[""], &["1"], false),
        // Lines combine with a comma and a space.
        (&["1, 2"], &["1", "2"], true),
        (&["1, 2"], &["1,2"], false),
        (&["1", "2"], &["12"], false),
        (&["1", "2"], &["2", "1"], false),
        (&["1"], &["1", ""], false),
        (&["1,"], &["1", ""], true),
        // Space around the value is not part of it, space inside is. Case always is.
        (&["a b"], &[" a b\t"], true),
        (&["a b"], &["a  b"], false),
        (&["a"], &["A"], false),
        // Bytes beyond ASCII are values like any other.
        (&["é"], &["é"], true),
        (&["é"], &["e"], false),
    ];
    check("x-v", LanguageOrder::Keep, cases);
}

#[test]
fn cookie_lines_combine_with_a_semicolon() {
    let cases: &[(&[&str], &[&str], bool)] = &[
        (&["a=1; b=2"], &["a=1", "b=2"], true),
        (&["a=1, b=2"], &["a=1", "b=2"], false),
        (&["a=1; b=2"], &["b=2; a=1"], false),
    ];
    check("cookie", LanguageOrder::Keep, cases);
}

#[test]
fn codings_match_in_any_spelling_and_order() {
    let cases: &[(&[&str], &[&str], bool)] = &[
        (&["gzip, br"], &["br,gzip;q=1.0"], true),
        (&["gzip, br"], &["GZIP ,\tBr"], true),
        (&["gzip, br"], &["gzip", "br"], true),
        (&["gzip, br"], &["gzip,, br,"], true),
        (&["gzip"], &["x-gzip"], true),
        (&["compress;q=0.5"], &["X-Compress ; Q=0.50"], true),
        (&["gzip;q=0"], &["gzip;q=0.000"], true),
        (&["gzip;q=0.5"], &["gzip;q=0.500"], true),
        (&["*;q=0"], &["* ; q=0.0"], true),
        (&["gzip"], &["gzip;q=1"], true),
        (&["gzip"], &["gzip;q=1."], true),
        (&["gzip;q=0.5"], &["gzip;q=0.05"], false),
        (&["gzip"], &["gzip;q=0.999"], false),
        (&["gzip"], &["gzip;q=0"], false),
        (&["gzip"], &["gzip, br"], false),
        (&["gzip"], &["*"], false),
        // No coding at all, and no opinion.
        (&[""], &[" , "], true),
        (&[""], &[], false),
        // What a repeated coding means is up to the origin.
        (&["gzip, gzip;q=0"], &["gzip;q=0, gzip"], false),
        // Outside the grammar only the same bytes match.
        (&["gzip;q=2"], &["gzip;q=2"], true),
        (&["gzip;q=2"], &["gzip;q=2.0"], false),
        (&["gzip;q=1.5"], &["gzip"], false),
        (&["gzip;q=0.1234"], &["GZIP;q=0.1234"], false),
        (&["gzip;q=-1"], &["gzip"], false),
        (&["gzip;q"], &["gzip"], false),
        (&["gzip;q=\"1\""], &["gzip"], false),
        (&["gzip br"], &["gzip, br"], false),
    ];
    check("accept-encoding", LanguageOrder::Keep, cases);
}

#[test]
fn languages_match_in_any_spelling_but_keep_their_order() {
    let spelling: &[(&[&str], &[&str], bool)] = &[
        (&["en, de"], &["EN ,de"], true),
        (&["en-GB;q=0.80"], &["en-gb; q=0.8"], true),
        (&["en;q=1.000, *;q=0.1"], &["en,*;q=0.1"], true),
        (&["en"], &["en-gb"], false),
    ];
    check("accept-language", LanguageOrder::Keep, spelling);
    check("accept-language", LanguageOrder::Sort, spelling);

    let reordered: (&[&str], &[&str]) = (&["en, de;q=0.5"], &["de;q=0.5, en"]);
    let (stored, presented) = reordered;
    check(
        "accept-language",
        LanguageOrder::Keep,
        &[(stored, presented, false)],
    );
    check(
        "accept-language",
        LanguageOrder::Sort,
        &[(stored, presented, true)],
    );
}

#[test]
fn media_ranges_and_charsets_match_in_any_spelling_but_keep_their_order() {
    let media: &[(&[&str], &[&str], bool)] = &[
        (&["text/html, */*;q=0.8"], &["Text/HTML,*/* ; q=0.80"], true),
        (&["text/html;level=1"], &["text/html; Level=1;q=1.0"], true),
        (
            &["text/html, text/plain"],
            &["text/plain, text/html"],
            false,
        ),
        (&["text/html;v=a"], &["text/html;v=A"], false),
        (&["text/html;;q=0.5"], &["text/html;q=0.5"], true),
        (&["text/"], &["Text/"], false),
        // Quoted strings are compared as they are, commas inside being no separators.
        (&["a/b;v=\"x,y\""], &["a/b;v=\"x,y\""], true),
        (&["a/b;v=\"x,y\""], &["a/b;v=\"x, y\""], false),
        (&["a/b;v=\"x"], &["A/b;v=\"x"], false),
    ];
    check("accept", LanguageOrder::Sort, media);
    let charsets: &[(&[&str], &[&str], bool)] = &[
        (&["UTF-8"], &["utf-8;q=1"], true),
        (&["utf-8, latin1"], &["latin1, utf-8"], false),
    ];
    check("accept-charset", LanguageOrder::Sort, charsets);
}

#[test]
fn every_nominated_field_has_to_match() {
    let nominated = [
        HeaderName::from_static("x-a"),
        HeaderName::from_static("x-b"),
    ];
    let stored = head(&[("x-a", "1"), ("x-b", "2")]);
    let selecting = Selecting::record(&nominated, &stored, SEED, LanguageOrder::Keep);
    type Case<'a> = (&'a [(&'a str, &'a str)], bool);
    let cases: &[Case<'_>] = &[
        (&[("x-a", "1"), ("x-b", "2")], true),
        (&[("x-b", "2"), ("x-c", "3"), ("x-a", "1")], true),
        (&[("x-a", "1"), ("x-b", "3")], false),
        (&[("x-a", "2"), ("x-b", "1")], false),
        (&[("x-a", "1")], false),
        (&[], false),
    ];
    for (lines, expected) in cases {
        let matches = selecting.matches(&head(lines), SEED, LanguageOrder::Keep);
        assert_eq!(matches, *expected, "{lines:?}");
    }
}

#[test]
fn without_vary_every_request_matches() {
    let everything = Selecting::record(&[], &head(&[("x-a", "1")]), SEED, LanguageOrder::Keep);
    assert!(everything.is_empty());
    assert_eq!(everything, Selecting::default());
    for lines in [&[][..], &[("x-a", "1")], &[("x-a", "2"), ("cookie", "a=1")]] {
        assert!(everything.matches(&head(lines), SEED, LanguageOrder::Keep));
    }
}

#[test]
fn equality_and_digest_look_at_names_and_meaning() {
    let keep = LanguageOrder::Keep;
    let stored = record("accept-encoding", &["gzip, br"], keep);
    let respelled = record("accept-encoding", &["br,gzip"], keep);
    assert_eq!(stored, respelled);
    assert_eq!(stored.digest(), respelled.digest());

    let others = [
        record("accept-encoding", &["gzip"], keep),
        record("accept-encoding", &[""], keep),
        record("accept-encoding", &[], keep),
        record("accept-language", &["gzip, br"], keep),
        Selecting::default(),
    ];
    for other in &others {
        assert_ne!(stored, *other);
        assert_ne!(stored.digest(), other.digest());
    }
}

#[test]
fn nothing_matches_under_another_seed() {
    let stored = record("x-v", &["1"], LanguageOrder::Keep);
    let same = request("x-v", &["1"]);
    assert!(!stored.matches(&same, Seed(SEED.0 + 1), LanguageOrder::Keep));
}

#[test]
fn the_seed_stays_out_of_logs() {
    assert_eq!(format!("{SEED:?}"), "Seed");
}

fn order() -> impl Strategy<Value = LanguageOrder> {
    select(vec![LanguageOrder::Keep, LanguageOrder::Sort])
}

fn field() -> impl Strategy<Value = &'static str> {
    select(vec![
        "accept",
        "accept-charset",
        "accept-encoding",
        "accept-language",
        "cookie",
        "x-v",
    ])
}

/// Lines made of what these fields are made of, well formed or not.
fn lines() -> impl Strategy<Value = Vec<String>> {
    vec("[ab*/;=,.q01 \"]{0,12}|[!-~\u{e9}]{0,6}", 0..4)
}

proptest! {
    #[test]
    fn a_request_matches_what_it_selected(
        name in field(), lines in lines(), order in order(), seed in any::<u64>(),
    ) {
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let request = request(name, &lines);
        let nominated = [HeaderName::from_static(name)];
        let selecting = Selecting::record(&nominated, &request, Seed(seed), order);
        prop_assert!(selecting.matches(&request, Seed(seed), order));
    }

    #[test]
    fn matching_and_equality_agree(
        name in field(), stored in lines(), presented in lines(), order in order(),
    ) {
        let stored: Vec<_> = stored.iter().map(String::as_str).collect();
        let presented: Vec<_> = presented.iter().map(String::as_str).collect();
        let recorded = record(name, &stored, order);
        prop_assert_eq!(
            recorded.matches(&request(name, &presented), SEED, order),
            recorded == record(name, &presented, order)
        );
    }

    #[test]
    fn the_normal_form_is_its_own(name in field(), lines in lines(), order in order()) {
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let nominated = HeaderName::from_static(name);
        let once = super::normalise(&nominated, &request(name, &lines), order);
        let mut respelled = HeaderMap::new();
        respelled.insert(&nominated, HeaderValue::from_bytes(&once).unwrap());
        prop_assert_eq!(super::normalise(&nominated, &respelled, order), once);
    }
}
