//! The matrix: every rule of HTTP caching that this crate follows, as rows of requests and answers.
//!
//! Rows are numbered, and each is one test: `cargo test --test matrix row_042` plays one of them.
//! They run through a real [`CacheLayer`](cachewarp::CacheLayer) over a scripted origin, by a clock
//! that moves when told to. [`case`] shows how a row reads.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod age;
mod bodies;
mod case;
mod collapse;
mod conditional;
mod date;
mod freshness;
mod invalidation;
mod keys;
mod later;
mod origin;
mod parsing;
mod range;
mod reply;
mod request;
mod security;
mod site;
mod stale;
mod status;
mod step;
mod storing;
mod targeted;
mod validation;
mod verdict;
mod verify;

use std::collections::BTreeMap;

/// Rows that have no test here, and why.
const EXCEPTIONS: [(&str, &str); 3] = [
    ("132", "partial responses are not stored yet"),
    ("133", "partial responses are not stored yet"),
    (
        "172",
        "needs a store that fails: tested beside the layer, in src/layer/tests.rs. Stored bodies \
         are in memory as a whole, so reading one cannot fail midway",
    ),
];

/// Rows of which one half is tested here, and what the other half waits for.
const HALVES: [(&str, &str); 13] = [
    (
        "158",
        "cache groups: a write that names a group invalidates it",
    ),
    (
        "159",
        "cache groups: the groups of an invalidated response go with it, and cascade no further",
    ),
    ("160", "cache groups: the purge of a group"),
    ("161", "No-Vary-Search: parameters that do not count"),
    ("162", "No-Vary-Search: parameters that count alone"),
    ("163", "No-Vary-Search: parameters in any order"),
    (
        "164",
        "No-Vary-Search: invalid fields told from one that is not read at all",
    ),
    (
        "176",
        "interim responses pass no layer, and hyper's HTTP/1 server sends none: what is tested is \
         that nothing of one is stored or merged",
    ),
    ("178", "gRPC methods opted in: hits with their trailers"),
    ("179", "gRPC methods opted in: what of them is not stored"),
    (
        "180",
        "GraphQL by POST opted in: queries stored unless they have errors, batches passed on",
    ),
    ("181", "POST opted in: its answer stored for GET"),
    ("182", "QUERY opted in: hits for the same content"),
];

/// Where the rows are.
const SOURCES: [&str; 17] = [
    include_str!("age.rs"),
    include_str!("bodies.rs"),
    include_str!("collapse.rs"),
    include_str!("conditional.rs"),
    include_str!("freshness.rs"),
    include_str!("invalidation.rs"),
    include_str!("keys.rs"),
    include_str!("later.rs"),
    include_str!("parsing.rs"),
    include_str!("range.rs"),
    include_str!("request.rs"),
    include_str!("security.rs"),
    include_str!("stale.rs"),
    include_str!("status.rs"),
    include_str!("storing.rs"),
    include_str!("targeted.rs"),
    include_str!("validation.rs"),
];

#[test]
fn every_row_is_here_exactly_once() {
    let mut rows: BTreeMap<String, usize> = BTreeMap::new();
    for line in SOURCES.iter().flat_map(|source| source.lines()) {
        let Some(rest) = line.strip_prefix("async fn row_") else {
            continue;
        };
        let number = rest.split('_').next().unwrap_or(rest);
        *rows
            .entry(number.trim_start_matches('0').to_owned())
            .or_default() += 1;
    }
    for (number, rest) in HALVES {
        assert!(
            rows.contains_key(number),
            "row {number} has no first half: {rest}"
        );
    }
    for (number, reason) in EXCEPTIONS {
        assert!(
            !rows.contains_key(number),
            "row {number} is an exception: {reason}"
        );
        rows.insert(number.to_owned(), 1);
    }
    let expected = (1..=187).map(|row: u32| row.to_string());
    let expected: BTreeMap<String, usize> = expected
        .chain(["88b".to_owned()])
        .map(|row| (row, 1))
        .collect();
    assert_eq!(rows, expected);
}
