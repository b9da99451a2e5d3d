//! `ROWS.md` and the tests name the same rows: each row is described once and tested once, or says
//! why it is not tested here.

use std::{collections::BTreeMap, fs, path::Path};

const PAGE: &str = include_str!("ROWS.md");

/// The row numbers up to `last`.
fn numbers(last: u32) -> impl Iterator<Item = String> {
    let row = |row: u32| row.to_string();
    let (before, after) = ((1..=88).map(row), (89..=last).map(row));
    before.chain(["88b".to_owned()]).chain(after)
}

/// The table's rows: number, and what the column *Test* says.
fn described(page: &str) -> Vec<(&str, &str)> {
    let cells = |line| -> Vec<&str> { str::split(line, '|').map(str::trim).collect() };
    let rows = page.lines().map(cells).filter_map(|cells| match cells[..] {
        ["", number, _, _, _, _, test, ""]
            if number.starts_with(|it: char| it.is_ascii_digit()) =>
        {
            Some((number, test))
        }
        _ => None,
    });
    rows.collect()
}

/// Every row number in a source that follows one of these words, without leading zeros.
fn named(source: &str, words: &[&str]) -> Vec<String> {
    let after = |word| source.split(word).skip(1);
    let numbers = words.iter().copied().flat_map(after).filter_map(|rest| {
        let digits = rest.find(|it: char| !it.is_ascii_digit());
        let digits = digits.unwrap_or(rest.len());
        let b = rest[digits..].starts_with('b');
        let number = &rest[..digits + usize::from(b)];
        (digits > 0).then(|| number.trim_start_matches('0').to_owned())
    });
    numbers.collect()
}

/// The text between the first two backticks.
fn quoted(cell: &str) -> Option<&str> {
    cell.split('`').nth(1)
}

/// What is wrong between a page and the sources of the tests, by file name. `has` tells whether
/// there is a function of this name anywhere.
fn problems(
    page: &str,
    sources: &BTreeMap<String, String>,
    has: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut tested: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (file, source) in sources {
        for number in named(source, &["\nasync fn row_"]) {
            tested.entry(number).or_default().push(file);
        }
    }
    let mut problems = Vec::new();
    for (number, test) in described(page) {
        let files = tested.remove(number).unwrap_or_default();
        let reason = test.split_once(':').map_or("", |(_, reason)| reason);
        match (quoted(test), &files[..]) {
            (Some(place), [file]) if place.starts_with(&format!("{file}::row_")) => {
                if named(place, &["row_"]) != [number] {
                    problems.push(format!("row {number}: the page names another, {test}"));
                }
            }
            (elsewhere, []) if !test.contains("::") && reason.trim().contains(' ') => {
                if elsewhere.is_some_and(|name| !has(name)) {
                    problems.push(format!("row {number}: there is no such test, {test}"));
                }
            }
            (_, files) => problems.push(format!(
                "row {number}: it is tested in {files:?}, and the page says {test}"
            )),
        }
    }
    let undescribed = tested.into_keys();
    problems.extend(undescribed.map(|number| format!("row {number}: not on the page")));
    problems
}

/// Every source file under a directory, by path.
fn sources(under: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(under).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            let source = fs::read_to_string(&path).unwrap();
            found.push((path.display().to_string(), source));
        }
    }
}

fn all_sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for directory in ["src", "tests"] {
        sources(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join(directory),
            &mut found,
        );
    }
    found
}

/// The files of this test, by name.
fn matrix() -> BTreeMap<String, String> {
    let files = all_sources().into_iter().filter_map(|(path, source)| {
        let path = Path::new(&path);
        let here = path.parent()?.ends_with("tests/matrix");
        here.then(|| Some((path.file_stem()?.to_str()?.to_owned(), source)))?
    });
    files.collect()
}

#[test]
fn every_row_is_here_exactly_once() {
    // The page has them by topic, so a later row may stand before an earlier one.
    let mut rows: Vec<&str> = described(PAGE).into_iter().map(|row| row.0).collect();
    let last = rows.iter().filter_map(|row| row.parse().ok()).max();
    let mut numbers: Vec<String> = numbers(last.unwrap()).collect();
    rows.sort_unstable();
    numbers.sort_unstable();
    assert_eq!(rows, numbers);
    let everything = all_sources();
    let has = |name: &str| {
        let function = format!("fn {name}(");
        everything.iter().any(|(_, it)| it.contains(&function))
    };
    let found = problems(PAGE, &matrix(), has);
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn every_row_that_a_comment_names_is_on_the_page() {
    let rows: Vec<&str> = described(PAGE).into_iter().map(|row| row.0).collect();
    let mut seen = 0;
    for (path, source) in all_sources() {
        if path.ends_with("tests/matrix/rows.rs") {
            continue;
        }
        for number in named(&source, &["row_", "row ", "Row ", "rows ", "Rows "]) {
            seen += 1;
            assert!(rows.contains(&&*number), "{path} names row {number}");
        }
    }
    assert!(seen > 180, "not every test was read");
}

#[test]
fn what_does_not_agree_is_found() {
    let row = |number: &str, test: &str| format!("| {number} | A | B | C | D | {test} |\n");
    let found = |page: &str, test: &str| {
        let sources = [("age".to_owned(), format!("\n{test}"))].into();
        problems(page, &sources, |name| name == "elsewhere").len()
    };
    let test = "async fn row_007_a() {}";
    assert_eq!(found(&row("7", "`age::row_007`"), test), 0);
    assert_eq!(found(&row("7", "`age::row_007`; missing: a part"), test), 0);
    assert_eq!(found(&row("7", "none: not offered yet"), ""), 0);
    assert_eq!(found(&row("7", "not here: see `elsewhere`"), ""), 0);

    assert_eq!(found("", test), 1, "a test without a row");
    assert_eq!(found(&row("7", "`age::row_007`"), ""), 1, "no test");
    assert_eq!(found(&row("7", "`age::row_008`"), test), 1, "another");
    assert_eq!(found(&row("7", "`range::row_007`"), test), 1, "elsewhere");
    assert_eq!(found(&row("7", "none: yet"), ""), 1, "no reason");
    assert_eq!(found(&row("7", "none: not offered yet"), test), 1, "tested");
    assert_eq!(
        found(&row("7", "not here: see `nowhere`"), ""),
        1,
        "unknown"
    );
    let twice = format!("{test}\n{test}");
    assert_eq!(found(&row("7", "`age::row_007`"), &twice), 1, "twice");
    let described_twice = row("7", "`age::row_007`").repeat(2);
    assert_eq!(found(&described_twice, test), 1, "described twice");
}
