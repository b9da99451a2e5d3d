//! The pages for users and maintainers say what is true of the code: every metric and every reason
//! is described, and every file has its line.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files under a directory with this extension.
fn files(under: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(under).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|it| it == extension) {
            found.push(path);
        }
    }
    found
}

/// What stands between two marks, each time.
fn between<'a>(text: &'a str, from: &'a str, to: &'a str) -> impl Iterator<Item = &'a str> {
    let after = text.split(from).skip(1);
    after.filter_map(move |rest| Some(rest.split_once(to)?.0))
}

// === Metrics ===

/// A metric in one line, as the page has it: `name type unit`.
type Metric = String;

/// The metrics and the words of their labels, as the sources register them.
fn registered(sources: &[String]) -> (BTreeSet<Metric>, BTreeSet<String>) {
    let (mut metrics, mut words) = (BTreeSet::new(), BTreeSet::new());
    for source in sources {
        let constants = between(source, "const ", ";").filter_map(|constant| {
            let (name, value) = constant.split_once(": &str = \"cachewarp_")?;
            Some((name, value.trim_end_matches('"')))
        });
        for (constant, value) in constants {
            for description in between(source, "describe_", ");") {
                let (kind, arguments) = description.split_once("!(").unwrap();
                let mut arguments = arguments.split(',').map(str::trim);
                if arguments.next() == Some(constant) {
                    let unit = arguments.next().unwrap().trim_start_matches("Unit::");
                    let unit = unit.to_lowercase();
                    metrics.insert(format!("cachewarp_{value} {kind} {unit}"));
                }
            }
        }
        // Every short text in a file that registers metrics is a label or the value of one.
        let lines = source.lines().filter(|line| !line.contains("cfg("));
        let code: Vec<&str> = lines.collect();
        let code = code.join("\n");
        let texts = code.split('"').skip(1).step_by(2);
        let short =
            texts.filter(|text| text.bytes().all(|it| it.is_ascii_lowercase() || it == b'-'));
        words.extend(short.map(str::to_owned));
    }
    (metrics, words)
}

/// The same, as the tables of the page describe it.
fn described(page: &str) -> (BTreeSet<Metric>, BTreeSet<String>) {
    let (mut metrics, mut words) = (BTreeSet::new(), BTreeSet::new());
    for line in page.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let ["", name, kind, unit, labels, ""] = cells[..]
            && name.starts_with("`cachewarp_")
        {
            let name = name.trim_matches('`');
            metrics.insert(format!("{name} {kind} {unit}"));
            words.extend(labels.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    (metrics, words)
}

#[test]
fn every_metric_is_on_its_page() {
    let all: Vec<String> = files(&root().join("src"), "rs").iter().map(read).collect();
    let page = read("docs/METRICS.md");
    let registering: Vec<String> = all
        .iter()
        .filter(|source| source.contains("\"cachewarp_"))
        .cloned()
        .collect();
    let (metrics, words) = registered(&registering);
    let (on_page, words_on_page) = described(&page);
    assert_eq!(metrics, on_page);

    let names = registering
        .iter()
        .flat_map(|it| between(it, "\"cachewarp_", "\""));
    for name in names {
        let name = format!("cachewarp_{name}");
        let is_described = on_page.iter().any(|it| it.split(' ').next() == Some(&name));
        assert!(is_described, "{name} is not on the page");
        let explained = page.contains(&format!("**`{name}`**"));
        assert!(
            explained,
            "{name} stands in a table, and nothing explains it"
        );
    }
    let missing: Vec<_> = words.difference(&words_on_page).collect();
    assert!(missing.is_empty(), "not on the page: {missing:?}");
    for word in words_on_page {
        let literal = format!("\"{word}\"");
        let is_in_code = all.iter().any(|source| source.contains(&literal));
        assert!(is_in_code, "no code has the label or value {word}");
    }
}

#[test]
fn a_metric_that_is_not_described_is_found() {
    let source = "const CALLS: &str = \"cachewarp_calls_total\";\n\
         describe_counter!(CALLS, Unit::Count, \"Calls, by how they ended\");\n\
         #[cfg(feature = \"redis\")]\n\
         let calls = |end: &'static str| counter!(CALLS, \"end\" => end); calls(\"good\");";
    let row = "| `cachewarp_calls_total` | counter | count | `end`: `good` |";
    let (metrics, words) = registered(&[source.to_owned()]);
    assert_eq!(described(row), (metrics.clone(), words.clone()));
    for other in [
        "| `cachewarp_call_total` | counter | count | `end`: `good` |",
        "| `cachewarp_calls_total` | gauge | count | `end`: `good` |",
        "| `cachewarp_calls_total` | counter | bytes | `end`: `good` |",
        "| `cachewarp_calls_total` | counter | count | `end`: `bad` |",
        "| `cachewarp_calls_total` | counter | count | |",
        "",
    ] {
        assert_ne!(
            described(other),
            (metrics.clone(), words.clone()),
            "{other}"
        );
    }
}

// === Reasons ===

/// The words in an `impl` block of a source that stand behind this mark.
fn words_of(source: &str, of: &str, mark: &str) -> BTreeSet<String> {
    let begin = format!("impl {of} {{");
    let block = between(source, &begin, "\n}").next();
    let block = block.unwrap_or_else(|| panic!("no impl of {of}"));
    let words: BTreeSet<String> = between(block, mark, "\"").map(str::to_owned).collect();
    assert!(words.len() > 1, "{of}: {words:?}");
    words
}

/// A page from this heading to the next one.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("## {heading}\n")).unwrap();
    rest.split("\n## ").next().unwrap()
}

/// What a page has in the first column of the tables that begin with this cell.
fn first_column(page: &str, head: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut is_in_table = false;
    for line in page.lines() {
        let cell = line.split('|').nth(1).map(str::trim);
        is_in_table = cell.is_some_and(|cell| is_in_table || cell == head);
        let word = cell
            .filter(|cell| is_in_table && *cell != head)
            .and_then(|cell| {
                let cell = cell.strip_prefix('`')?;
                cell.strip_suffix('`')
            });
        found.extend(word.map(str::to_owned));
    }
    found
}

#[test]
fn every_reason_is_on_the_page() {
    let page = read("docs/ANSWERS.md");
    let words = read("src/outcome/words.rs");
    let bypass = read("src/semantics/classify/bypass.rs");
    let not_stored = read("src/semantics/storable/reason.rs");
    let arm = |source: &str, of: &str| words_of(source, of, "=> \"");
    let mut not_stored = arm(&not_stored, "NotStored");
    not_stored.extend(words_of(&words, "Storing", "Some(\""));
    for (heading, head, expected) in [
        (
            "Why the origin was asked",
            "`fwd`",
            arm(&words, "ForwardReason"),
        ),
        ("Stale answers", "`detail`", arm(&words, "StaleReason")),
        (
            "Requests that go past the cache",
            "`detail`",
            arm(&bypass, "Bypass"),
        ),
        ("Responses that are not stored", "`detail`", not_stored),
        (
            "Answers of the cache's own",
            "`detail`",
            arm(&words, "Generated"),
        ),
    ] {
        let described = first_column(section(&page, heading), head);
        assert_eq!(described, expected, "{heading}");
    }

    let seen = section(&page, "What you see");
    let fields = read("src/cache_status.rs");
    let x_cache: BTreeSet<String> = between(&fields, "=> \"", "\"").map(str::to_owned).collect();
    assert!(x_cache.len() > 5, "{x_cache:?}");
    assert_eq!(first_column(seen, "`X-Cache`"), x_cache);
    // The second column.
    let shifted: String = seen
        .lines()
        .filter_map(|line| Some(format!("|{}\n", line.split_once(" |")?.1)))
        .collect();
    let outcomes = arm(&words, "CacheOutcome");
    assert!(outcomes.len() > 5, "{outcomes:?}");
    assert_eq!(first_column(&shifted, "`as_str()`"), outcomes);
    for word in words_of(&words, "CacheOutcome", "Some(\"") {
        let is_there = [
            format!("={word}`"),
            format!("={word};"),
            format!("`{word}`"),
        ];
        let is_there = is_there.iter().any(|it| page.contains(it));
        assert!(is_there, "{word} is not on the page");
    }
}

#[test]
fn a_column_ends_with_its_table() {
    let page = "| `a` | B |\n|-|-|\n| `c` | `d` |\n| none | `e` |\n\n| `f` | B |\n| `g` | |\n\n\
                | `a` | `h` |\n|-|-|\n| `i` | |";
    let expected = BTreeSet::from(["c".to_owned(), "i".to_owned()]);
    assert_eq!(first_column(page, "`a`"), expected);
}

// === ARCHITECTURE.md ===

/// What a page has in code font and could be a path: files of Rust, and directories.
fn paths(page: &str) -> BTreeSet<&str> {
    let is_path = |text: &&str| {
        let plain = |it: u8| it.is_ascii_alphanumeric() || b"_-./".contains(&it);
        (text.ends_with(".rs") || text.ends_with('/')) && text.bytes().all(plain)
    };
    page.split('`').skip(1).step_by(2).filter(is_path).collect()
}

/// The rows of the tables of files, each without what it says of its files: `` `a.rs`, `b.rs` ``.
fn file_rows(page: &str) -> String {
    page.lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once(" | "))
        .map(|(first, _)| format!("`{first} "))
        .collect()
}

/// Whether a file of `src/` needs a line: not the face of a folder, and no tests.
fn needs_line(path: &str) -> bool {
    let mut parts = path.split('/').rev();
    let is_face_or_tests = matches!(parts.next(), Some("mod.rs" | "tests.rs"));
    !is_face_or_tests && !parts.any(|folder| folder == "tests")
}

#[test]
fn every_file_has_its_line() {
    let page = read("ARCHITECTURE.md");
    let src = root().join("src");
    for path in paths(&page) {
        let is_there = src.join(path).exists() || root().join(path).exists();
        assert!(is_there, "ARCHITECTURE.md names {path}, which is not there");
    }
    let rows = file_rows(&page);
    let named = paths(&rows);
    let all = files(&src, "rs").into_iter().map(|file| {
        let file = file.strip_prefix(&src).unwrap();
        file.display().to_string().replace('\\', "/")
    });
    let needed: Vec<String> = all.filter(|path| needs_line(path)).collect();
    assert!(needed.len() > 150, "the files were not found");
    // The name of a folder is no line for the files in it.
    let unnamed: Vec<&String> = needed
        .iter()
        .filter(|path| !named.contains(path.as_str()))
        .collect();
    assert!(unnamed.is_empty(), "without a line: {unnamed:?}");
}

#[test]
fn only_faces_and_tests_need_no_line() {
    for path in ["lib.rs", "codec/tag.rs", "semantics/testing.rs"] {
        assert!(needs_line(path), "{path}");
    }
    for path in [
        "codec/mod.rs",
        "flight/tests.rs",
        "engine/peers/tests/writes.rs",
    ] {
        assert!(!needs_line(path), "{path}");
    }
}

#[test]
fn a_file_has_a_line_only_where_a_table_begins_with_it() {
    let page =
        "The file `a.rs`.\n| `b.rs`, `c/d.rs` | like `e.rs` |\n| What? | `f.rs` |\n| `g/` | |";
    let rows = file_rows(page);
    assert_eq!(paths(&rows), BTreeSet::from(["b.rs", "c/d.rs", "g/"]));
}

#[test]
fn the_floors_are_those_of_their_test() {
    let floors = |list: &str| -> Vec<Vec<String>> {
        let words = |line: &str| {
            let words = line.split([' ', ',']).filter(|word| !word.is_empty());
            words.map(str::to_owned).collect()
        };
        list.trim().lines().map(words).collect()
    };
    let page = read("ARCHITECTURE.md");
    let (_, after) = page.split_once("## The floors").unwrap();
    let shown = between(after, "```text", "```").next().unwrap();
    let test = read("tests/walls/main.rs");
    let held = between(&test, "const FLOORS: &str = \"", "\"")
        .next()
        .unwrap();
    assert_eq!(floors(shown), floors(held));
}
