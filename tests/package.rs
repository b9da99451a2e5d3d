//! The published package: every link of its pages leads to something that is in it.

use std::{collections::BTreeSet, fs::read_to_string, path::Path, process::Command};

/// Where a link begins its target, and what ends it.
const LINKS: [(&str, &[char]); 3] = [("](", &[')', ' ']), ("src=\"", &['"']), ("href=\"", &['"'])];

#[test]
fn every_link_of_a_page_leads_to_something_in_the_package() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = packaged(root);
    let pages = || files.iter().filter(|file| file.ends_with(".md"));
    for page in ["README.md", "CHANGELOG.md"] {
        assert!(pages().any(|file| file == page), "{page} is not published");
    }
    let mut dead = Vec::new();
    for page in pages() {
        let text = read_to_string(root.join(page)).expect("what is packaged is here");
        let links = links(&text).into_iter();
        let lost = links.filter(|link| !leads_into(&files, page, link));
        dead.extend(lost.map(|link| format!("\n{page}: {link}")));
    }
    assert!(dead.is_empty(), "{}", dead.concat());
}

#[test]
fn every_kind_of_link_is_seen() {
    let text = "[a](a.rs) ![b](b.svg \"B\") <img src=\"c.svg\"> <a href=\"d/\">d</a>\n\
                [e]: e.md\n[f](https://f.example) [g](#g) [h](h.md#part)\n\
                `[no](no.rs)` and ``[no](`no.rs)``\n\n```sh\n[no](no.rs)\n```\n  [i]: <i.md>\n";
    let found = ["a.rs", "b.svg", "c.svg", "d/", "e.md", "h.md", "i.md"];
    let links = links(text).into_iter().collect::<BTreeSet<_>>();
    assert_eq!(links, found.map(str::to_owned).into());
}

#[test]
fn a_link_leads_to_a_file_or_a_folder_as_its_page_sees_it() {
    let files = ["README.md", "docs/a.md", "src/lib.rs"];
    let files = files.map(str::to_owned).into();
    for (page, link) in [
        ("README.md", "src/lib.rs"),
        ("README.md", "./docs/"),
        ("README.md", "src"),
        ("docs/a.md", "../README.md"),
        ("docs/a.md", "a.md"),
    ] {
        assert!(leads_into(&files, page, link), "{page}: {link}");
    }
    for (page, link) in [
        ("README.md", "benches"),
        ("README.md", "sr"),
        ("README.md", "src/lib"),
        ("README.md", "../README.md"),
        ("docs/a.md", "src/lib.rs"),
    ] {
        assert!(!leads_into(&files, page, link), "{page}: {link}");
    }
}

/// The files that cargo puts into the package.
fn packaged(root: &Path) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["package", "--list", "--allow-dirty", "--offline"])
        .current_dir(root)
        .output()
        .expect("the cargo that built this program runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let list = String::from_utf8(output.stdout).expect("paths are text");
    list.lines().map(|path| path.replace('\\', "/")).collect()
}

/// The targets of a page's links, other than those to elsewhere and to its own parts.
fn links(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut in_code = false;
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
            continue;
        }
        if in_code {
            continue;
        }
        let line = without_code(line);
        for (begin, ends) in LINKS {
            let targets = line.split(begin).skip(1);
            found.extend(targets.filter_map(|rest| rest.split(ends).next().map(str::to_owned)));
        }
        // The definition of one that is named elsewhere.
        let definition = line.trim_start().strip_prefix('[');
        if let Some((_, target)) = definition.and_then(|rest| rest.split_once("]: ")) {
            found.push(target.split(' ').next().unwrap_or(target).to_owned());
        }
    }
    let bare = |link: String| {
        let link = link.trim_matches(['<', '>']);
        let path = link.split('#').next().unwrap_or(link);
        let elsewhere = path.contains("://") || path.starts_with("mailto:");
        (!path.is_empty() && !elsewhere).then(|| path.to_owned())
    };
    found.into_iter().filter_map(bare).collect()
}

/// A line without what stands between backticks.
fn without_code(line: &str) -> String {
    let mut kept = String::new();
    let mut rest = line;
    while let Some(start) = rest.find('`') {
        let fence = rest[start..].len() - rest[start..].trim_start_matches('`').len();
        let (before, after) = (&rest[..start], &rest[start + fence..]);
        kept.push_str(before);
        let Some(end) = after.find(&"`".repeat(fence)) else {
            rest = after;
            continue;
        };
        rest = &after[end + fence..];
    }
    kept + rest
}

/// Whether a link in a page leads to a packaged file, or to a folder that has one.
fn leads_into(files: &BTreeSet<String>, page: &str, link: &str) -> bool {
    let mut path: Vec<&str> = page.split('/').collect();
    path.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." if path.pop().is_none() => return false,
            ".." => {}
            name => path.push(name),
        }
    }
    let path = path.join("/");
    let folder = format!("{path}/");
    files.contains(&path) || files.iter().any(|file| file.starts_with(&folder))
}
