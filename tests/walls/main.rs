//! The floors of `src/`: a file uses only files of floors below its own, and no files use each
//! other in a circle. Besides, what no file may do, or only some.

mod cases;
mod layout;
mod source;

use std::{collections::BTreeMap, fs::read_to_string, io, path::Path};

use self::{
    layout::{Found, Layout, circles},
    source::{How, Source},
};

/// The modules, a floor in each line, from the top to the bottom.
const FLOORS: &str = "
    lib
    builder
    layer
    handle service
    future
    engine
    state
    body config
    fill remote store
    breaker entry spans
    cache_status metrics purge ttl
    inner key outcome posts
    clock codec error executor extensions flight generation semantics
    util
";

/// Modules of one floor do not use each other, except for these: the first uses the second.
const NEIGHBOURS: &[(&str, &str)] = &[];

/// Modules that do without another although it is on a floor below: a store judges no freshness, a
/// circuit breaker knows no rules of caching, a body does not know where it was stored.
const APART: &[(&str, &str)] = &[
    ("body", "store"),
    ("breaker", "semantics"),
    ("store", "semantics"),
];

/// The crates that a module does without.
const WITHOUT: &[(&str, &[&str])] = &[
    ("flight", &["http", "http_body", "http_body_util"]),
    (
        "semantics",
        &["http_body", "http_body_util", "metrics", "moka", "tokio"],
    ),
    ("ttl", &["tokio"]),
];

/// The only file that asks the system for the time.
const CLOCK: &str = "clock.rs";

/// The files that ask tokio for it, to bound how long they wait.
const TOKIO_TIME: &[&str] = &[
    "entry/account.rs",
    "fill/record.rs",
    "engine/collapse/wait.rs",
    "engine/deadline.rs",
    "engine/peers/turn.rs",
];

/// Type names that mean several things, and why; all others mean one.
const MEAN_SEVERAL: &[(&str, &str)] = &[];

/// How many files are directly in `src/`, at the most.
const MOST_FILES: usize = 22;

#[test]
fn every_file_keeps_to_its_floor() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = BTreeMap::new();
    collect(&root, &root, &mut sources).unwrap();
    let mut breaches = breaches(&sources);
    // The lists name what is there.
    let is_there = |module: &&str| sources.keys().any(|path| top(path) == *module);
    let modules = FLOORS.split_whitespace().filter(|module| !is_there(module));
    let files = TOKIO_TIME.iter().copied();
    let missing = modules.chain(files.filter(|file| !sources.contains_key(*file)));
    breaches.extend(missing.map(|name| format!("there is no {name}")));
    assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));
}

fn collect(root: &Path, folder: &Path, sources: &mut BTreeMap<String, String>) -> io::Result<()> {
    for entry in folder.read_dir()? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, sources)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy();
            sources.insert(name.replace('\\', "/"), read_to_string(&path)?);
        }
    }
    Ok(())
}

/// The module that a path below `src/` belongs to.
fn top(path: &str) -> &str {
    let first = path.split('/').next().unwrap_or(path);
    first.trim_end_matches(".rs")
}

fn floor(path: &str) -> Option<usize> {
    let is_on = |floor: &str| floor.split_whitespace().any(|module| module == top(path));
    FLOORS.lines().position(is_on)
}

/// Everything that is wrong with files, which are given by their paths below `src/`.
fn breaches(sources: &BTreeMap<String, String>) -> Vec<String> {
    let mut found = Vec::new();
    let files = sources.iter().map(|(path, text)| Source::read(path, text));
    let layout = Layout::new(files.collect());
    let direct = sources.keys().filter(|path| !path.contains('/')).count();
    if direct > MOST_FILES {
        found.push(format!("src/ has {direct} files, more than {MOST_FILES}"));
    }
    for (source, text) in layout.files.iter().zip(sources.values()) {
        let mut breach = |line, what| found.push(format!("src/{}:{line}: {what}", source.path));
        if !text.starts_with("//!") {
            breach(1, "does not begin with `//!`".to_owned());
        }
        if floor(&source.path).is_none() {
            breach(1, "is of a module that has no floor".to_owned());
        }
        if source.path.ends_with("mod.rs") && source.names.values().any(Option::is_none) {
            breach(1, "is more than a face".to_owned());
        }
        inspect(&layout, source, &mut breach);
    }
    arrows(&layout, &mut found);
    let types = layout.files.iter().flat_map(|source| {
        let types = source.types.iter();
        types.map(|name| (name, &*source.path))
    });
    let mut meanings = BTreeMap::<_, Vec<_>>::new();
    types.for_each(|(name, path)| meanings.entry(name).or_default().push(path));
    for (name, files) in meanings {
        if files.len() > 1 && MEAN_SEVERAL.iter().all(|(known, _)| known != name) {
            let files = files.join(", ");
            found.push(format!("`{name}` means several things: {files}"));
        }
    }
    found
}

/// What no file may name, or only some.
fn inspect(layout: &Layout, source: &Source, breach: &mut dyn FnMut(usize, String)) {
    let without = WITHOUT
        .iter()
        .find(|(module, _)| *module == top(&source.path));
    let without = without.map_or(&[][..], |(_, crates)| crates);
    for used in &source.uses {
        let (line, path) = (used.line, used.path.join("::"));
        if used.path.last().is_some_and(|last| last == "unwrap") {
            breach(line, "unwraps".to_owned());
        }
        let Found::Outside(whole) = layout.find(&source.module, &used.path) else {
            continue;
        };
        if matches!(&*whole[0], "crate" | "self" | "super") {
            // Such as all of a module, with a star.
            breach(line, format!("`{path}` is of no file"));
        }
        let is_import = matches!(used.how, How::Imported | How::Reexported);
        let name = path.split("::").find(|name| !name.is_empty());
        let name = name.filter(|_| is_import || used.path.len() > 1);
        if let Some(name) = name.filter(|name| without.contains(name)) {
            breach(line, format!("uses {name}, with `{path}`"));
        }
        let whole = whole.join("::");
        let asks = whole.ends_with("SystemTime::now") || whole.ends_with("Instant::now");
        let may = TOKIO_TIME.contains(&&*source.path) && whole == "tokio::time::Instant::now";
        if asks && !may && source.path != CLOCK {
            breach(line, format!("asks for the time, with `{whole}`"));
        }
    }
}

/// Arrows that do not go down, and circles.
fn arrows(layout: &Layout, found: &mut Vec<String>) {
    let arrows = layout.arrows();
    let path = |file: &usize| &*layout.files[*file].path;
    let words = |names: &BTreeMap<String, usize>| {
        let names: Vec<&str> = names.keys().map(String::as_str).collect();
        names.join(", ")
    };
    for ((from, to), names) in &arrows {
        let (from, to) = (path(from), path(to));
        let modules = (top(from), top(to));
        let is_inside = modules.0 == modules.1 || NEIGHBOURS.contains(&modules);
        if APART.contains(&modules) {
            let (line, names) = (names.values().min().unwrap_or(&1), words(names));
            found.push(format!(
                "src/{from}:{line}: uses {to}, which it does without: {names}"
            ));
        }
        if !is_inside && floor(from) >= floor(to) {
            let (line, names) = (names.values().min().unwrap_or(&1), words(names));
            found.push(format!(
                "src/{from}:{line}: uses {to}, not below it: {names}"
            ));
        }
    }
    for circle in circles(&arrows) {
        let mut text = format!("a circle of {} files:", circle.len());
        for ((from, to), names) in &arrows {
            if circle.contains(from) && circle.contains(to) {
                text += &format!("\n    {} -> {}: {}", path(from), path(to), words(names));
            }
        }
        found.push(text);
    }
}
