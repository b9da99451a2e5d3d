//! What the test sees, and what it does not take for a breach. A case is a line: a tree of files,
//! each as `path| code`, with `##` between them and `\n` for a new line. The code begins in line 2.

use std::collections::BTreeMap;

use crate::breaches;

/// After `=>` stands what is said of it.
const BREACHES: &str = r###"
// Floors: up, across, through faces, imports, macros and methods.
key.rs| use crate::fill::{\nA, F}; ## fill.rs| struct F; => src/key.rs:3: uses fill.rs, not below it: F
key.rs| fn f() { super::fill::g(1) } ## fill.rs| fn g() {} => not below it: g
key.rs| use crate::fill; type T = Vec<fill::F>; ## fill.rs| struct F; => uses fill.rs
key.rs| fn f() { select! { a = crate::fill::f() => {} } } ## fill.rs| fn f() {} => uses fill.rs
key.rs| use crate::F as G; ## lib.rs| pub use self::fill::F; ## fill.rs| p! { pub struct F { a: u8 } } => uses fill.rs
key.rs| use crate::fill::F; ## fill/mod.rs| mod a; pub use self::a::F; ## fill/a.rs| struct F; => uses fill/a.rs
key.rs| #[cfg(feature = "x")] use crate::fill::F; ## fill.rs| struct F; => uses fill.rs
handle.rs| use crate::service::f; ## service.rs| fn f() {} => uses service.rs
semantics/a.rs| use crate::clock::C; ## clock.rs| struct C; => uses clock.rs
state/b.rs| use super::a::A; fn f(a: A) { a.e(1) } ## state/a.rs| struct A; ## state/mod.rs| ## engine.rs| use crate::state::a::A; impl A { fn e() {} } => uses engine.rs, not below it: e()
store/a.rs| use crate::semantics::f; ## semantics.rs| fn f() {} => src/store/a.rs:2: uses semantics.rs, which it does without: f
nowhere.rs| => has no floor
// Circles, by names and by methods.
key/a.rs| use super::b::B; struct A; ## key/b.rs| use super::a::A; struct B; => a circle of 2 files:\n    key/a.rs -> key/b.rs: B\n    key/b.rs -> key/a.rs: A
key.rs| mod b; use self::b::B; struct A; ## key/b.rs| use super::A; struct B; => a circle of 2
key.rs| mod b; pub use self::b::B; struct A(B); ## key/b.rs| use super::A; struct B; => a circle of 2
key/a.rs| use super::c::C; impl C { fn a(&self) { self.b() } } ## key/b.rs| use super::c::C; impl C { fn b(self) { x.y.a(1) } } ## key/c.rs| struct C; => a circle of 2
key/a.rs| use super::c::C; impl<S: Fn() -> S> T<S> for C { fn new() { Self::b() } } fn g() {} ## key/b.rs| use super::{a::g, c::C}; impl C { fn b() { g() } } ## key/c.rs| struct C; => a circle of 2
// What else no file does, or only some.
key.rs| use super::*; ## lib.rs| => `super::*`
key.rs| use crate::{clock::*}; ## clock.rs| => `crate::clock::*`
key.rs| use crate::nothing::X; => `crate::nothing::X`
key/mod.rs| mod b; struct C; => more than a face
key/mod.rs| impl C {} => more than a face
key.rs| struct A; ## clock.rs| enum A {} => `A` means several things: clock.rs, key.rs
flight.rs| use http::HeaderMap; => uses http
semantics/a.rs| fn f(b: impl ::http_body::Body) {} => uses http_body
key.rs| fn f() { x\n    .unwrap() } => src/key.rs:3: unwraps
key.rs| fn f() { assert!(x.map(Option::unwrap)) } => unwraps
key.rs| use std::time; fn f() { time::Instant::now() } => asks for the time, with `std::time::Instant::now`
fill.rs| fn f() { SystemTime::now() } => asks for the time
fill.rs| use std::time::Instant; fn f() { Instant::now() } => asks for the time
key.rs| use tokio::time::Instant; fn f() { Instant::now() } => asks for the time
// What is only for tests ends where its braces do.
key.rs| #[cfg(test)]\nmod tests { fn f() { '}' } }\nfn f() { x.unwrap() } => src/key.rs:4: unwraps
key.rs| #[cfg(test)] use a::{b, c}; fn f<'a>(x: &'a X) { x.unwrap() } => unwraps
"###;

const FINE: &str = r###"
fill.rs| use crate::{key::{self, K}, error}; fn f() { error::f() } ## key.rs| struct K; ## error.rs| fn f() {}
lib.rs| mod key; pub use self::key::K; ## key.rs| struct K;
// A face is looked through, and re-exports of children are a face's business.
key.rs| mod b; pub use self::b::B; struct A; ## key/b.rs| use super::A; struct B;
key/mod.rs| mod a; mod b; pub(crate) use self::{a::A, b::B}; ## key/a.rs| use super::B; struct A; ## key/b.rs| struct B;
key.rs| mod a; pub use self::a::a; ## key/a.rs| fn a() {}
// Comments, texts, attributes, fields, lifetimes, other crates.
key.rs| // crate::fill::F\n/* x.unwrap() /* */ */ /// [`F`](crate::fill::F)\nconst A: &str = r#"x.unwrap(), "crate::fill::F""#; ## fill.rs| struct F;
key.rs| #[expect(clippy::unwrap, reason = "x")] fn f<'fill>() { x.fill.F; 'x'; '\''; } ## fill.rs| struct F;
flight.rs| use tokio::sync::watch; fn f() { x.http; http }
breaker/mod.rs| mod http; mod a; ## breaker/http.rs| use http::X; ## breaker/a.rs| use ::http::{header::{self}, Y};
key.rs| use serde; use http; use serde::{de::{self}, ser as s}; fn f() { serde::a(); de::b(); s::c(); http::d() }
// A method of several types tells nothing, nor does one of a type that the file cannot hold.
key/a.rs| use super::c::C; impl C { fn new() {} } fn g() {} ## key/b.rs| use super::{a::g, c::C}; impl X { fn new() { x.new() } } ## key/c.rs| struct C; fn f() { x.new() }
key/a.rs| use super::c::C; impl C { fn swap() {} } ## key/b.rs| fn f() { x.swap() } ## key/c.rs| use super::b::f; struct C;
// What is only for tests.
key.rs| /// It.\n#[cfg(test)]\n#[allow(a)]\npub(crate) fn f<A, B>() { x.unwrap() } struct A { #[cfg(test)] f: crate::fill::F, b: u8 } ## fill.rs| struct F;
key.rs| #[cfg(test)]\nmod tests; ## key/tests.rs| use super::*; fn f() { x.unwrap() }
key.rs| fn f() -> impl Fn() { x.unwrap_or(1); x.unwrap_or_default() }
// The time.
clock.rs| use std::time::SystemTime; fn f() { SystemTime::now() }
fill/record.rs| use tokio::time::Instant; fn f() { Instant::now() }
key.rs| use std::time::{Duration, Instant}; fn f(now: Instant) {}
"###;

fn cases(lines: &str) -> impl Iterator<Item = (String, Vec<String>)> {
    let lines = lines
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("//"));
    lines.map(|line| {
        let line = line.replace("\\n", "\n");
        let (tree, expected) = line.rsplit_once(" => ").unwrap_or((&line, ""));
        let files = tree.split("##").map(|file| {
            let (path, code) = file.split_once('|').unwrap_or_default();
            (path.trim().to_owned(), format!("//! What for.\n{code}"))
        });
        (expected.to_owned(), breaches(&files.collect()))
    })
}

#[test]
fn every_breach_is_seen() {
    for (expected, seen) in cases(BREACHES) {
        let found = seen.iter().any(|breach| breach.contains(&expected));
        assert!(found, "{expected}: {seen:#?}");
    }
    let late = BTreeMap::from([("key.rs".to_owned(), "// no\n//! late".to_owned())]);
    assert_eq!(breaches(&late), ["src/key.rs:1: does not begin with `//!`"]);
    let many = (0..23).map(|file| (format!("{file}.rs"), "//!".to_owned()));
    assert!(breaches(&many.collect())[0].contains("src/ has 23 files"));
}

#[test]
fn nothing_else_is_taken_for_a_breach() {
    for (index, (_, seen)) in cases(FINE).enumerate() {
        assert!(seen.is_empty(), "case {index}: {seen:#?}");
    }
}
