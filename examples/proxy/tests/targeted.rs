//! Targeted fields (RFC 9213) through the proxy, in the form of the public caching suite: a response,
//! and whether it answers the next request.

use std::collections::HashMap;

use super::support::{Origin, Proxy, Reply, before, ok, status};

/// What becomes of the second request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Cached,
    NotCached,
}
use Next::{Cached, NotCached};

const OLD: &str = "Wed, 01 Jan 2020 00:00:00 GMT";
const LATER: &str = "Wed, 01 Jan 2070 00:00:00 GMT";

/// A name, the fields of the response, and whether it answers the next request. `CDN:` stands for the
/// name of the field.
const TESTS: &str = r#"
# Lifetimes and Age.
max-age | CDN: max-age=3600 | cached
max-age-max | CDN: max-age=2147483648 | cached
max-age-max-plus | CDN: max-age=99999999999 | cached
max-age-age | CDN: max-age=3600 | Age: 7200 | not cached
max-age-younger | CDN: max-age=7200 | Age: 3600 | cached
max-age-0 | CDN: max-age=0 | not cached
max-age-negative | CDN: max-age=-60 | not cached
s-maxage | CDN: s-maxage=3600 | cached
s-maxage-first | CDN: max-age=0, s-maxage=3600 | cached
s-maxage-0 | CDN: max-age=3600, s-maxage=0 | not cached
# Before Cache-Control and Expires.
long-short-cc | CDN: max-age=3600 | Cache-Control: max-age=1 | Age: 9 | cached
short-long-cc | CDN: max-age=1 | Cache-Control: max-age=3600 | Age: 9 | not cached
long-s-maxage-0 | CDN: max-age=3600 | Cache-Control: s-maxage=0 | cached
past-expires | CDN: max-age=3600 | Expires: OLD | cached
invalid-expires | CDN: max-age=3600 | Expires: 0 | cached
0-future-expires | CDN: max-age=0 | Expires: LATER | not cached
unknown-future-expires | CDN: foo | Expires: LATER | not cached
pragma | CDN: max-age=3600 | Pragma: no-cache | cached
# What forbids.
private | CDN: private | Cache-Control: max-age=3600 | Expires: LATER | not cached
no-cache | CDN: no-cache | Cache-Control: max-age=3600 | Expires: LATER | not cached
no-store | CDN: no-store | Cache-Control: max-age=3600 | Expires: LATER | not cached
no-store-max-age | CDN: no-store, max-age=3600 | not cached
private-max-age | CDN: private, max-age=3600 | not cached
no-cache-max-age | CDN: max-age=3600, no-cache | not cached
fresh-cc-no-store | CDN: max-age=3600 | Cache-Control: no-store | cached
fresh-cc-private | CDN: max-age=3600 | Cache-Control: private | cached
fresh-cc-no-cache | CDN: max-age=3600 | Cache-Control: no-cache | cached
# What it understands of the status: 299 is unknown to it.
understood | CDN: must-understand, no-store, max-age=3600 | cached
not-understood/299 | CDN: must-understand, max-age=3600 | not cached
unknown-status/299 | CDN: max-age=3600 | cached
# Stale answers.
stale | CDN: max-age=1, stale-while-revalidate=3600 | Age: 9 | cached
stale-cc | CDN: max-age=1 | Cache-Control: stale-while-revalidate=3600 | Age: 9 | not cached
stale-must-revalidate | CDN: max-age=1, must-revalidate, stale-while-revalidate=60 | Age: 9 | not cached
# Unknown and empty members.
unknown | CDN: foobar, max-age=3600 | cached
unknown-value | CDN: foo="a, no-store", max-age=3600 | cached
unknown-list | CDN: foo=(a b), max-age=3600 | cached
parameters | CDN: max-age=3600;foo=1 | cached
empty | CDN: | Cache-Control: max-age=3600 | cached
empty-no-store | CDN: | Cache-Control: no-store | not cached
two-lines | CDN: max-age=3600 | CDN: no-store | not cached
two-lines-empty | CDN: | CDN: max-age=3600 | not cached
repeated-last | CDN: max-age=0, max-age=3600 | cached
repeated-first | CDN: max-age=3600, max-age=0 | not cached
# What is no Dictionary, or of a wrong type, is ignored as a whole.
invalid | CDN: max-age=3600, &&&& | Cache-Control: no-store | not cached
invalid-cc | CDN: max-age=0, &&&& | Cache-Control: max-age=3600 | cached
invalid-alone | CDN: max-age=3600, &&&& | not cached
space-before-equals | CDN: max-age =3600 | not cached
space-after-equals | CDN: max-age= 3600 | not cached
upper-case | CDN: MaX-aGe=3600 | not cached
trailing-comma | CDN: max-age=3600, | not cached
semicolons | CDN: public; max-age=3600 | not cached
quoted | CDN: max-age="3600" | Cache-Control: no-store | not cached
decimal | CDN: max-age=3600.0 | not cached
decimal-cc | CDN: max-age=0.5 | Cache-Control: max-age=3600 | cached
no-value | CDN: max-age | not cached
token | CDN: max-age=a | not cached
too-many-digits | CDN: max-age=9999999999999999 | not cached
# But what it forbids, it forbids, although it cannot be read.
invalid-no-store | CDN: no-store, &&&& | Cache-Control: max-age=3600 | not cached
upper-case-private | CDN: Private | Cache-Control: max-age=3600 | not cached
# What is for other caches.
other | CDN: max-age=3600 | Other-Cache-Control: no-store | cached
other-alone | Other-Cache-Control: max-age=3600 | not cached
surrogate | CDN: max-age=3600 | Surrogate-Control: no-store | cached
"#;

/// The rows of the table.
fn tests() -> impl Iterator<Item = (&'static str, Vec<&'static str>, Next)> {
    let rows = TESTS
        .lines()
        .filter(|row| !row.is_empty() && !row.starts_with('#'));
    rows.map(|row| {
        let mut cells: Vec<&str> = row.split(" | ").collect();
        let expected = match cells.pop() {
            Some("cached") => Cached,
            Some("not cached") => NotCached,
            _ => panic!("no expectation: {row}"),
        };
        (cells.remove(0), cells, expected)
    })
}

/// An origin that answers with the fields of the test that the path names.
async fn origin(name: &'static str) -> Origin {
    let tests: HashMap<String, Vec<&str>> = tests()
        .map(|(test, fields, _)| (format!("/{test}"), fields))
        .collect();
    Origin::start(move |head| {
        let path = head.split(' ').nth(1).unwrap_or_default();
        let lines = tests.get(path).map(Vec::as_slice).unwrap_or_default();
        let fields: String = lines
            .iter()
            .map(|line| line.replace("CDN:", &format!("{name}:")) + "\r\n")
            .collect();
        let fields = fields.replace("OLD", OLD).replace("LATER", LATER);
        match path.rsplit_once('/') {
            Some((_, "299")) => status(299, &fields),
            _ => ok(&fields, "x"),
        }
    })
    .await
}

async fn second(proxy: &Proxy, path: &str) -> Reply {
    proxy.get(path, "").await;
    proxy.get(path, "").await
}

fn next(reply: &Reply) -> Next {
    match reply.field("x-cache") {
        Some("HIT" | "STALE") => Cached,
        _ => NotCached,
    }
}

#[tokio::test]
async fn the_literal_profile_obeys_the_field_for_content_delivery_networks() {
    let origin = origin("CDN-Cache-Control").await;
    let proxy = Proxy::start(origin.address, &["--profile", "rfc-literal"]).await;
    let mut wrong = Vec::new();
    for (test, fields, expected) in tests() {
        let reply = second(&proxy, &format!("/{test}")).await;
        if next(&reply) != expected {
            wrong.push(format!(
                "{test} {fields:?}: not {expected:?}\n{}",
                reply.head
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[tokio::test]
async fn a_hit_tells_the_lifetime_and_the_age_and_has_the_field() {
    let fields = "CDN-Cache-Control: max-age=3600\r\nCache-Control: max-age=60\r\nAge: 100\r\n";
    let origin = Origin::start(move |_| ok(fields, "x")).await;
    let proxy = Proxy::start(origin.address, &["--profile", "rfc-literal"]).await;
    let reply = second(&proxy, "/").await;
    assert_eq!(next(&reply), Cached);
    let age: u64 = reply.field("age").unwrap().parse().unwrap();
    assert!((100..130).contains(&age), "{age}");
    let ttl = reply
        .field("cache-status")
        .unwrap()
        .split("ttl=")
        .nth(1)
        .unwrap();
    let ttl: u64 = ttl.split(';').next().unwrap().parse().unwrap();
    assert!((3470..=3500).contains(&ttl), "{ttl}");
    // Caches behind this one may obey them.
    assert_eq!(reply.field("cdn-cache-control"), Some("max-age=3600"));
    assert_eq!(reply.field("cache-control"), Some("max-age=60"));
}

#[tokio::test]
async fn what_it_says_of_fields_and_credentials_counts() {
    for (fields, request, expected, has_field) in [
        (
            "CDN-Cache-Control: max-age=3600, private=\"x-a\"\r\n",
            "",
            Cached,
            false,
        ),
        (
            "CDN-Cache-Control: max-age=3600, private=x-a\r\n",
            "",
            NotCached,
            true,
        ),
        (
            "CDN-Cache-Control: max-age=3600\r\nCache-Control: private=\"x-a\"\r\n",
            "",
            Cached,
            true,
        ),
        (
            "CDN-Cache-Control: max-age=3600\r\n",
            "Authorization: a b\r\n",
            NotCached,
            true,
        ),
        (
            "CDN-Cache-Control: max-age=3600, public\r\n",
            "Authorization: a b\r\n",
            Cached,
            true,
        ),
        (
            "CDN-Cache-Control: s-maxage=3600\r\n",
            "Authorization: a b\r\n",
            Cached,
            true,
        ),
        (
            "CDN-Cache-Control: max-age=3600\r\nCache-Control: public\r\n",
            "Authorization: a b\r\n",
            NotCached,
            true,
        ),
    ] {
        let origin = Origin::start(move |_| ok(&format!("{fields}X-A: 1\r\n"), "x")).await;
        let proxy = Proxy::start(origin.address, &["--profile", "rfc-literal"]).await;
        proxy.get("/", request).await;
        let reply = proxy.get("/", request).await;
        assert_eq!(next(&reply), expected, "{fields} {request}: {}", reply.head);
        assert_eq!(
            reply.field("x-a").is_some(),
            has_field,
            "{fields}: {}",
            reply.head
        );
    }
}

#[tokio::test]
async fn the_names_are_those_of_the_flag_in_its_order() {
    let short = "Cache-Control: max-age=1\r\nAge: 9\r\n";
    let cdn = "CDN-Cache-Control: max-age=3600\r\n";
    let edge = "Edge-Cache-Control: max-age=3600\r\n";
    let edge_0 = "Edge-Cache-Control: max-age=0\r\n";
    let literal = &["--profile", "rfc-literal"][..];
    let flag = "--targeted-cache-control";
    for (flags, variable, fields, expected) in [
        (&[][..], "", &[short, cdn][..], NotCached),
        (literal, "", &[short, cdn], Cached),
        (literal, "", &[short, edge], NotCached),
        (&[flag, "cdn-cache-control"], "", &[short, cdn], Cached),
        (
            &[flag, "Edge-Cache-Control, CDN-Cache-Control"],
            "",
            &[short, cdn],
            Cached,
        ),
        (
            &[flag, "Edge-Cache-Control,CDN-Cache-Control"],
            "",
            &[short, cdn, edge_0],
            NotCached,
        ),
        (
            &[flag, "CDN-Cache-Control,Edge-Cache-Control"],
            "",
            &[short, cdn, edge_0],
            Cached,
        ),
        (
            &[flag, "Edge-Cache-Control", flag, "CDN-Cache-Control"],
            "",
            &[short, cdn],
            Cached,
        ),
        (
            &["--profile", "rfc-literal", flag, "none"],
            "",
            &[short, cdn],
            NotCached,
        ),
        (
            &["--profile", "rfc-literal", flag, "Edge-Cache-Control"],
            "",
            &[short, cdn],
            NotCached,
        ),
        (
            &[],
            "Edge-Cache-Control, CDN-Cache-Control",
            &[short, cdn],
            Cached,
        ),
        (literal, "none", &[short, cdn], NotCached),
        (
            &[flag, "none"],
            "CDN-Cache-Control",
            &[short, cdn],
            NotCached,
        ),
    ] {
        let fields = fields.concat();
        let said = fields.clone();
        let origin = Origin::start(move |_| ok(&said, "x")).await;
        let mut command = before(origin.address, flags);
        command.env("CACHEWARP_TARGETED_CACHE_CONTROL", variable);
        let proxy = Proxy::spawn(command).await;
        let reply = second(&proxy, "/").await;
        assert_eq!(
            next(&reply),
            expected,
            "{flags:?} {variable} {fields}: {}",
            reply.head
        );
    }
}
