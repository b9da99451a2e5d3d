//! The walls inside the crate: which module may use which, and what only one of them may do. A
//! `mod.rs` is a face: what is defined is below it, and is taken from there by its siblings.

use std::{
    fmt,
    fs::read_to_string,
    path::{Path, PathBuf},
};

/// What a part of the crate may not name. A name is a crate or, after `crate::`, a module.
struct Wall {
    /// The module that is walled in, with everything below it.
    module: &'static str,
    forbidden: &'static [&'static str],
}

const WALLS: &[Wall] = &[
    Wall {
        module: "semantics",
        forbidden: &["http_body", "http_body_util", "metrics", "moka", "tokio"],
    },
    Wall {
        module: "store",
        forbidden: &["crate::semantics"],
    },
    Wall {
        module: "flight",
        forbidden: &["crate::store", "http", "http_body", "http_body_util"],
    },
    Wall {
        module: "body",
        forbidden: &["crate::store"],
    },
    Wall {
        module: "fill",
        forbidden: &["crate::store"],
    },
    // What joins them is an origin's call, and the builder.
    Wall {
        module: "serve",
        forbidden: &["crate::breaker"],
    },
    Wall {
        module: "breaker",
        forbidden: &[
            "crate::fetch",
            "crate::fly",
            "crate::layer",
            "crate::origin",
            "crate::semantics",
            "crate::serve",
            "crate::store",
        ],
    },
    Wall {
        module: "ttl",
        forbidden: &[
            "crate::entry",
            "crate::layer",
            "crate::semantics",
            "crate::store",
            "tokio",
        ],
    },
];

/// A module that uses no other part of the crate at all.
const ISLAND: &str = "semantics";

/// What begins a definition, which no `mod.rs` has.
const DEFINING: [&str; 9] = [
    "const",
    "enum",
    "fn",
    "impl",
    "macro_rules",
    "static",
    "struct",
    "trait",
    "type",
];

/// The only file that may ask the system for the time.
const CLOCK: &str = "clock.rs";

/// The files that may ask tokio for it, to bound how long they wait.
const TOKIO_TIME: [&str; 3] = ["fill.rs", "fly/wait.rs", "remote/lease.rs"];

#[test]
fn every_wall_stands() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(files.len() > 40, "found only {} files", files.len());
    let mut breaches = Vec::new();
    for file in files {
        let text = read_to_string(&file).unwrap();
        let name = file.strip_prefix(&root).unwrap().to_str().unwrap();
        breaches.extend(inspect(name, &text));
    }
    let lines = breaches.iter().map(|breach| format!("\n{breach}"));
    assert!(breaches.is_empty(), "{}", lines.collect::<String>());
}

#[test]
fn every_breach_is_seen() {
    let cases: &[(&str, &str, &str)] = &[
        ("semantics/a.rs", "use crate::store::Memory;", "uses store"),
        (
            "semantics/a.rs",
            "use crate::{\nsemantics::b,\nclock::Clock};",
            ":4: uses clock",
        ),
        ("semantics/a.rs", "fn f() { crate::fill::g() }", "uses fill"),
        ("semantics/a.rs", "use super::super::key::Key;", "uses key"),
        (
            "semantics/a/b.rs",
            "use super::super::super::key;",
            "uses key",
        ),
        ("semantics/mod.rs", "use super::entry;", "uses entry"),
        ("semantics/a.rs", "use tokio::time::Instant;", "uses tokio"),
        ("semantics/a.rs", "use tokio;", "uses tokio"),
        (
            "semantics/a.rs",
            "fn f(b: impl http_body::Body) {}",
            "uses http_body",
        ),
        (
            "store/a.rs",
            "use crate::{key::Key, semantics::vary};",
            "uses semantics",
        ),
        ("flight.rs", "use http::HeaderMap;", "uses http"),
        ("flight.rs", "use crate::store::Store;", "uses store"),
        (
            "flight/a.rs",
            "type T = crate::store::Memory;",
            "uses store",
        ),
        ("body.rs", "use crate::{entry, store};", "uses store"),
        ("fill.rs", "use crate::store;", "uses store"),
        (
            "store/a.rs",
            "use super::{Change, b::C};",
            "takes `Change` from above",
        ),
        (
            "store/a.rs",
            "fn f(x: crate::store::Memory) {}",
            "takes `Memory` from above",
        ),
        (
            "a.rs",
            "use crate::CacheLayer;",
            "takes `CacheLayer` from above",
        ),
        ("a/b.rs", "use super::*;", "imports all of its parent"),
        (
            "a.rs",
            "use crate::{b::*, super::*};",
            "imports all of its parent",
        ),
        ("a/mod.rs", "mod b;\nstruct C;", ":3: is more than a face"),
        ("a/mod.rs", "pub(crate) fn f() {}", "is more than a face"),
        ("a.rs", "fn f() { x.unwrap(); }", "unwraps"),
        ("a.rs", "fn f() { x\n    .unwrap() }", ":3: unwraps"),
        ("a.rs", "fn f() { x.map(Option::unwrap) }", "unwraps"),
        ("a.rs", "fn f() { SystemTime::now(); }", "asks for the time"),
        (
            "a.rs",
            "fn f() { std::time::Instant::now(); }",
            "asks for the time",
        ),
        (
            "fly/wait.rs",
            "use std::time::{Duration, Instant};",
            "imports the system's time",
        ),
        ("fly/wait.rs", "use std::time;", "imports the system's time"),
        (
            "fly/wait.rs",
            "fn f() { std::time::Instant::now() }",
            "asks for the time",
        ),
        (
            "fly/wait.rs",
            "fn f() { SystemTime::now() }",
            "asks for the time",
        ),
        // What is only for tests ends where its braces do.
        (
            "a.rs",
            "#[cfg(test)]\nmod tests { fn f() { '}' } }\nfn f() { x.unwrap() }",
            ":4: unwraps",
        ),
        ("a.rs", "fn f() { \"\\\"\"; x.unwrap() }", "unwraps"),
        ("a.rs", "fn f<'a>(x: &'a X) { x.unwrap() }", "unwraps"),
        ("a.rs", "fn f() { r#\"\"# ; x.unwrap() }", "unwraps"),
    ];
    for (file, code, expected) in cases {
        let breaches = inspect(file, &format!("//! What for.\n{code}"));
        let seen: Vec<String> = breaches.iter().map(ToString::to_string).collect();
        assert!(
            seen.iter().any(|breach| breach.contains(expected)),
            "{file}: {code:?}: {seen:?}"
        );
        assert!(seen.iter().all(|b| b.starts_with(&format!("src/{file}:"))));
    }
    for text in ["", "use http;", "// no\n//! late"] {
        let breaches = inspect("a.rs", text);
        assert_eq!(breaches.len(), 1, "{text:?}");
        assert_eq!(
            breaches[0].to_string(),
            "src/a.rs:1: does not begin with `//!`"
        );
    }
}

#[test]
fn nothing_else_is_taken_for_a_breach() {
    let cases: &[(&str, &str)] = &[
        ("semantics/a.rs", "use crate::semantics::{store, clock};"),
        ("semantics/a.rs", "use super::{b, c::d};\nuse self::e::F;"),
        ("semantics/a/b.rs", "use super::super::c;"),
        (
            "semantics/a.rs",
            "use http::HeaderMap;\nuse smallvec::SmallVec;",
        ),
        (
            "semantics/a.rs",
            "// crate::store\n/* tokio::spawn /* x.unwrap() */ */",
        ),
        (
            "semantics/a.rs",
            "/// [`Memory`](crate::store::Memory)\nfn f() {}",
        ),
        ("semantics/a.rs", "const A: &str = \"use crate::store;\";"),
        (
            "semantics/a.rs",
            "const A: &str = r#\"x.unwrap(), \"tokio::x\"\"#;",
        ),
        ("semantics/a.rs", "fn f() { headers.store(tokio) }"),
        (
            "store/a.rs",
            "use super::b::{Change, Store};\nuse crate::key;",
        ),
        (
            "a/mod.rs",
            "mod b;\n/// A fn.\npub use self::b::C;\npub(crate) use self::b::f;",
        ),
        ("flight.rs", "use tokio::sync::watch;"),
        (
            "body.rs",
            "use crate::{entry::Segments, fill::FillReader};\nuse http_body::Body;",
        ),
        (
            "a.rs",
            "#[cfg(test)]\nmod tests { use super::*; fn f() { x.unwrap() } }",
        ),
        (
            "a.rs",
            "#[cfg(test)]\n#[allow(clippy::x)]\npub(crate) fn f() { x.unwrap() }",
        ),
        (
            "a.rs",
            "#[cfg(test)]\nuse crate::x::unwrap;\n#[cfg(test)]\nmod tests;",
        ),
        ("a/tests.rs", "use super::*;\nfn f() { x.unwrap() }"),
        ("a.rs", "fn f() { x.unwrap_or(1); x.unwrap_or_default() }"),
        (
            "clock.rs",
            "use std::time::SystemTime;\nfn f() { SystemTime::now() }",
        ),
        (
            "fly/wait.rs",
            "use tokio::time::Instant;\nfn f() { Instant::now() }",
        ),
        (
            "a.rs",
            "use std::time::{Duration, Instant};\nfn f(now: Instant) {}",
        ),
        (
            "a.rs",
            "const Q: char = '\"'; const R: char = '\\''; fn f<'a>() {}",
        ),
    ];
    for (file, code) in cases {
        let breaches = inspect(file, &format!("//! What for.\n{code}"));
        let seen: Vec<String> = breaches.iter().map(ToString::to_string).collect();
        assert!(seen.is_empty(), "{file}: {code:?}: {seen:?}");
    }
}

// === Inspecting ===

struct Breach {
    file: String,
    line: usize,
    what: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "src/{}:{}: {}", self.file, self.line, self.what)
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut paths: Vec<_> = folder
        .read_dir()
        .expect("the sources are here")
        .map(|entry| entry.expect("a folder can be read").path())
        .collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Everything wrong with a file, by its path below `src`.
fn inspect(file: &str, text: &str) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let mut report = |line, what: String| {
        breaches.push(Breach {
            file: file.to_owned(),
            line,
            what,
        });
    };
    if !text.starts_with("//!") {
        report(1, "does not begin with `//!`".to_owned());
    }
    let module = module_of(file);
    if module.last().is_some_and(|name| name == "tests") {
        return breaches;
    }
    let tokens = without_tests(tokens(text));
    for path in paths(&tokens) {
        let (line, names) = (path.line, path.names.join("::"));
        if names == "super::*" || names.ends_with("::super::*") {
            report(line, "imports all of its parent".to_owned());
        }
        let target = resolve(&module, &path.names);
        if let Some(taken) = from_above(&module, &target) {
            report(line, format!("takes `{taken}` from above, in `{names}`"));
        }
        if let Some(used) = forbidden(&module, &target) {
            report(line, format!("uses {used}, in `{names}`"));
        }
        if names.ends_with("::unwrap") {
            report(line, "unwraps".to_owned());
        }
        if file == CLOCK {
            continue;
        }
        let tokio_time = TOKIO_TIME.contains(&file);
        let asks = names.ends_with("SystemTime::now") || names.ends_with("Instant::now");
        let of_tokio = matches!(&*names, "Instant::now" | "tokio::time::Instant::now");
        if asks && !(tokio_time && of_tokio) {
            report(line, format!("asks for the time, with `{names}`"));
        }
        if tokio_time
            && target.starts_with(&["std".to_owned(), "time".to_owned()])
            && target.get(2).is_none_or(|name| name != "Duration")
        {
            report(line, format!("imports the system's time, with `{names}`"));
        }
    }
    for token in tokens.iter().filter(|_| file.ends_with("mod.rs")) {
        if DEFINING.contains(&&*token.text) {
            report(token.line, "is more than a face".to_owned());
        }
    }
    for (index, token) in tokens.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| &*tokens[before].text);
        if token.text == "unwrap" && before == Some(".") {
            report(token.line, "unwraps".to_owned());
        }
    }
    breaches
}

/// `store/memory.rs` is `store::memory`.
fn module_of(file: &str) -> Vec<String> {
    let path = file.trim_end_matches(".rs");
    let mut names: Vec<String> = path.split('/').map(str::to_owned).collect();
    if matches!(names.last().map(String::as_str), Some("lib" | "mod")) {
        names.pop();
    }
    names
}

/// The absolute form of a path that is used in a module.
fn resolve(module: &[String], names: &[String]) -> Vec<String> {
    let mut base: Vec<String> = module.to_vec();
    let mut rest = names;
    loop {
        match rest.first().map(String::as_str) {
            Some("super") => _ = base.pop(),
            Some("self") => {}
            _ if rest.len() == names.len() => return names.to_vec(),
            _ => break,
        }
        rest = &rest[1..];
    }
    let root = std::iter::once("crate".to_owned());
    root.chain(base).chain(rest.iter().cloned()).collect()
}

/// What a path takes from the module's own parent, where other modules are all it should find.
fn from_above<'t>(module: &[String], target: &'t [String]) -> Option<&'t str> {
    let (_, parent) = module.split_last()?;
    let (root, path) = target.split_first()?;
    let name = path.strip_prefix(parent)?.first()?;
    let is_item = name.starts_with(|first: char| first.is_uppercase());
    (root == "crate" && is_item).then_some(name)
}

/// What of a path is behind a wall, if anything.
fn forbidden<'t>(module: &[String], target: &'t [String]) -> Option<&'t str> {
    let here = module.first()?;
    let (first, second) = (target.first()?, target.get(1));
    if here == ISLAND
        && first == "crate"
        && let Some(used) = second
        && used != ISLAND
    {
        return Some(used);
    }
    let wall = WALLS.iter().find(|wall| wall.module == here)?;
    wall.forbidden.iter().find_map(
        |forbidden| match (forbidden.strip_prefix("crate::"), second) {
            (Some(module), Some(used)) => (first == "crate" && used == module).then_some(&**used),
            (Some(_), None) => None,
            (None, _) => (first == forbidden).then_some(&**first),
        },
    )
}

// === Reading ===

struct Token {
    line: usize,
    text: String,
}

struct Used {
    line: usize,
    names: Vec<String>,
}

/// Names, `::`, and everything else character by character; no comments, no literals.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let is_name = |char: char| char.is_alphanumeric() || char == '_';
    let (mut tokens, mut index, mut line) = (Vec::new(), 0, 1);
    while index < chars.len() {
        let start = index;
        let mut token = None;
        match at(index) {
            '/' if at(index + 1) == '/' => {
                while index < chars.len() && at(index) != '\n' {
                    index += 1;
                }
            }
            '/' if at(index + 1) == '*' => {
                let mut depth = 0;
                loop {
                    match (at(index), at(index + 1)) {
                        ('/', '*') => (depth, index) = (depth + 1, index + 2),
                        ('*', '/') => (depth, index) = (depth - 1, index + 2),
                        _ => index += 1,
                    }
                    if depth == 0 || index >= chars.len() {
                        break;
                    }
                }
            }
            '"' => index = end_of_string(&chars, index),
            // A character, unless it is a lifetime.
            '\'' if at(index + 1) == '\\' => {
                index += 3;
                while index < chars.len() && at(index) != '\'' {
                    index += 1;
                }
                index += 1;
            }
            '\'' if at(index + 2) == '\'' => index += 3,
            char if is_name(char) => {
                while is_name(at(index)) {
                    index += 1;
                }
                let name: String = chars[start..index].iter().collect();
                let hashes = (index..).take_while(|&index| at(index) == '#').count();
                if matches!(&*name, "r" | "br" | "cr") && at(index + hashes) == '"' {
                    let mut end = vec!['"'];
                    end.extend(std::iter::repeat_n('#', hashes));
                    index += hashes + 1;
                    while index < chars.len() && !chars[index..].starts_with(&end) {
                        index += 1;
                    }
                    index += end.len();
                } else {
                    token = Some(name);
                }
            }
            ':' if at(index + 1) == ':' => {
                index += 2;
                token = Some("::".to_owned());
            }
            char => {
                index += 1;
                token = (!char.is_whitespace()).then(|| char.to_string());
            }
        }
        if let Some(text) = token {
            tokens.push(Token { line, text });
        }
        let end = index.min(chars.len());
        line += chars[start..end].iter().filter(|c| **c == '\n').count();
    }
    tokens
}

fn end_of_string(chars: &[char], start: usize) -> usize {
    let mut index = start + 1;
    while index < chars.len() && chars[index] != '"' {
        index += if chars[index] == '\\' { 2 } else { 1 };
    }
    index + 1
}

/// Leaves out every item that is only compiled for tests.
fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    const ATTRIBUTE: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut rest = tokens.into_iter().peekable();
    while let Some(token) = rest.next() {
        kept.push(token);
        let tail = kept.len().saturating_sub(ATTRIBUTE.len());
        if !kept[tail..].iter().map(|token| &*token.text).eq(ATTRIBUTE) {
            continue;
        }
        kept.truncate(tail);
        // The item ends with its braces, or with a semicolon outside of any.
        let mut depth = 0_usize;
        for token in rest.by_ref() {
            match &*token.text {
                "{" | "[" | "(" => depth += 1,
                "]" | ")" => depth = depth.saturating_sub(1),
                "}" if depth <= 1 => break,
                "}" => depth -= 1,
                ";" if depth == 0 => break,
                _ => {}
            }
        }
    }
    kept
}

/// Every path of two names or more, and those of one name that a `use` imports.
fn paths(tokens: &[Token]) -> Vec<Used> {
    let text = |index: usize| tokens.get(index).map_or("", |token| &*token.text);
    let mut found = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        let imports = text(index) == "use";
        let begins = imports || text(index + 1) == "::" && text(index) != "::";
        if !begins {
            index += 1;
            continue;
        }
        index += usize::from(imports);
        // A path may begin with `::`, which changes nothing here.
        index += usize::from(text(index) == "::");
        index = tree(tokens, index, &[], &mut found).max(index + 1);
    }
    found
}

/// Reads one path, or a tree of them, after `prefix`; returns where it ends.
fn tree(tokens: &[Token], start: usize, prefix: &[String], found: &mut Vec<Used>) -> usize {
    let text = |index: usize| tokens.get(index).map_or("", |token| &*token.text);
    let mut names = prefix.to_vec();
    let mut index = start;
    loop {
        if text(index) == "{" {
            index += 1;
            while !matches!(text(index), "}" | "") {
                index = tree(tokens, index, &names, found);
                while !matches!(text(index), "," | "}" | "") {
                    index += 1;
                }
                index += usize::from(text(index) == ",");
            }
            return index + 1;
        }
        let is_name = text(index).starts_with(|c: char| c.is_alphanumeric() || c == '_');
        if !is_name && text(index) != "*" {
            break;
        }
        names.push(text(index).to_owned());
        index += 1;
        if text(index) != "::" {
            break;
        }
        index += 1;
    }
    let line = tokens.get(start).map_or(0, |token| token.line);
    found.push(Used { line, names });
    index
}
