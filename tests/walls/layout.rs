//! How files hang together: where a path leads, the arrows between files, and their circles.

use std::{
    collections::{BTreeMap, BTreeSet},
    slice::from_ref,
};

use crate::source::{How, Source};

/// Where a path leads.
pub(crate) enum Found {
    /// To what a file defines, and the name behind it if there is one.
    Item(usize, String, Option<String>),
    Module,
    /// To another crate, or to no name of the module.
    Outside(Vec<String>),
}

/// All files, and which of them is which module.
pub(crate) struct Layout {
    pub(crate) files: Vec<Source>,
    modules: BTreeMap<Vec<String>, usize>,
}

/// What a file uses of another, and the first line of each name.
pub(crate) type Arrows = BTreeMap<(usize, usize), BTreeMap<String, usize>>;

/// A type, by the file that defines it, and its name.
type TypeOf = (usize, String);

impl Layout {
    pub(crate) fn new(files: Vec<Source>) -> Self {
        let modules = files.iter().map(|file| file.module.clone());
        let modules = modules.zip(0..).collect();
        Self { files, modules }
    }

    /// Follows a path from a module, through re-exports and other imports.
    pub(crate) fn find(&self, module: &[String], path: &[String]) -> Found {
        let (mut at, mut rest) = (module.to_vec(), path);
        while let Some((first, tail)) = rest.split_first() {
            let child = [&*at, from_ref(first)].concat();
            let is_module = self.modules.contains_key(&child);
            let file = self.modules.get(&at);
            let name = file.and_then(|file| Some((*file, self.files[*file].names.get(first)?)));
            match (&**first, name) {
                ("crate", _) => at.clear(),
                ("super", _) => _ = at.pop(),
                ("self", _) => {}
                _ if is_module && !tail.is_empty() => at = child,
                (_, Some((file, None))) => {
                    return Found::Item(file, first.clone(), tail.first().cloned());
                }
                (_, Some((_, Some(import)))) => {
                    let whole = [import, tail].concat();
                    // A crate by its own name leads no further.
                    let is_crate = import.first() == Some(first) && !is_module;
                    return if is_crate {
                        Found::Outside(whole)
                    } else {
                        self.find(&at, &whole)
                    };
                }
                _ if is_module => return Found::Module,
                _ => return Found::Outside(path.to_vec()),
            }
            rest = tail;
        }
        Found::Module
    }

    /// The type, or other definition, that a path leads to, and the name behind it.
    fn named(&self, source: &Source, path: &[String]) -> (Option<TypeOf>, Option<String>) {
        match self.find(&source.module, path) {
            Found::Item(file, name, member) => (Some((file, name)), member),
            Found::Module | Found::Outside(_) => (None, None),
        }
    }

    /// All methods by name: the types that have them, if they are of no trait, and the files.
    fn methods(&self) -> BTreeMap<&str, BTreeSet<(Option<TypeOf>, usize)>> {
        let mut methods = BTreeMap::<&str, BTreeSet<_>>::new();
        for (file, source) in self.files.iter().enumerate() {
            for (method, of, is_inherent) in &source.methods {
                let of = self.named(source, of).0.filter(|_| *is_inherent);
                methods.entry(method).or_default().insert((of, file));
            }
        }
        methods
    }

    /// Every arrow from one file to another: a path, or a call of a method that is in another file
    /// than its type. What a file re-exports of its own children is a face's business, no arrow.
    ///
    /// Where a call does not show the type, the method is the only one of its name; a name that
    /// several have (`new`, `get`) tells nothing and is passed over. So is one of a type that no
    /// path from the file leads to: the file cannot hold it, and calls a method of another crate.
    pub(crate) fn arrows(&self) -> Arrows {
        let mut arrows = Arrows::new();
        let mut calls = Vec::new();
        for (from, source) in self.files.iter().enumerate() {
            for used in &source.uses {
                let self_type = || self.named(source, &used.within).0;
                let first = used.path.first().cloned();
                let (of, method) = match used.how {
                    How::Called => (None, first),
                    How::CalledOnSelf => (self_type(), first),
                    _ if used.path[0] == "Self" => (self_type(), used.path.get(1).cloned()),
                    _ => self.named(source, &used.path),
                };
                if let Some((file, name)) = &of {
                    let is_child = self.files[*file].module.starts_with(&source.module);
                    if used.how != How::Reexported || !is_child {
                        draw(&mut arrows, (from, *file), name, used.line);
                    }
                }
                calls.extend(method.map(|method| (from, of, method, used.line)));
            }
        }
        let (methods, reached) = (self.methods(), reached(&arrows));
        for (from, of, method, line) in calls {
            let all: Vec<_> = methods.get(&*method).into_iter().flatten().collect();
            let is_known = of.is_some() && all.iter().any(|(owner, _)| *owner == of);
            for (owner, file) in &all {
                let Some((home, _)) = owner else { continue };
                let can_hold = || reached.get(&from).is_some_and(|it| it.contains(home));
                let is_meant = if is_known {
                    *owner == of
                } else {
                    all.len() == 1 && can_hold()
                };
                if is_meant && file != home {
                    draw(&mut arrows, (from, *file), &format!("{method}()"), line);
                }
            }
        }
        arrows
    }
}

fn draw(arrows: &mut Arrows, arrow: (usize, usize), name: &str, line: usize) {
    if arrow.0 != arrow.1 {
        let names = arrows.entry(arrow).or_default();
        names.entry(name.to_owned()).or_insert(line);
    }
}

/// The files that arrows lead to from each file, over any number of others.
fn reached(arrows: &Arrows) -> BTreeMap<usize, BTreeSet<usize>> {
    let from = |from: usize| {
        let (mut reached, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(file) = open.pop() {
            let next = arrows.range((file, 0)..=(file, usize::MAX));
            open.extend(
                next.map(|((_, to), _)| *to)
                    .filter(|to| reached.insert(*to)),
            );
        }
        (from, reached)
    };
    arrows.keys().map(|(file, _)| from(*file)).collect()
}

/// The circles of files: in each, every file leads to every other.
pub(crate) fn circles(arrows: &Arrows) -> BTreeSet<BTreeSet<usize>> {
    let reached = reached(arrows);
    let circles = reached.iter().map(|(file, others)| {
        let back = |other: &usize| reached.get(other).is_some_and(|it| it.contains(file));
        others.iter().copied().filter(back).collect::<BTreeSet<_>>()
    });
    circles.filter(|circle| !circle.is_empty()).collect()
}
