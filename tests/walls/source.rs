//! Reads a source file: what it defines, which names it uses, which methods it calls. It reads
//! words, not a syntax tree, so that what stands inside of macros counts like the rest.

use std::{collections::BTreeMap, iter::Peekable};

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree, token_stream::IntoIter};

/// A file of `src/`, without what is compiled for tests only.
#[derive(Default)]
pub(crate) struct Source {
    /// Below `src/`.
    pub(crate) path: String,
    pub(crate) module: Vec<String>,
    /// What the module defines (`None`) and imports.
    pub(crate) names: BTreeMap<String, Option<Vec<String>>>,
    /// The enums, structs and traits among them.
    pub(crate) types: Vec<String>,
    /// Each method with the type or trait that has it, and whether it is of no trait.
    pub(crate) methods: Vec<(String, Vec<String>, bool)>,
    pub(crate) uses: Vec<Use>,
}

/// A path in the code, a name of a `use`, or the method of a call.
pub(crate) struct Use {
    pub(crate) line: usize,
    pub(crate) path: Vec<String>,
    pub(crate) how: How,
    /// What `Self` is there.
    pub(crate) within: Vec<String>,
}

#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum How {
    Imported,
    Reexported,
    Named,
    Called,
    CalledOnSelf,
}

impl Source {
    /// Reads a file. Of one that is compiled for tests only nothing is read.
    pub(crate) fn read(path: &str, text: &str) -> Self {
        let names = path.trim_end_matches(".rs").split('/');
        let mut module: Vec<String> = names.map(str::to_owned).collect();
        module.pop_if(|last| matches!(&**last, "lib" | "mod"));
        let mut words = Words(Vec::new());
        let is_test = |name: &String| name == "tests";
        if !module.iter().any(is_test) && !text.contains("#![cfg(test)]") {
            words.read(text.parse().expect(path));
        }
        let mut source = Self {
            path: path.to_owned(),
            module,
            ..Self::default()
        };
        source.scan(&words);
        source
    }

    fn scan(&mut self, words: &Words) {
        let word = |at| words.at(at);
        // Of each open bracket, whether the module's own items are inside, as in `pin_project!`.
        let mut open = Vec::new();
        let (mut within, mut is_inherent) = (Vec::new(), false);
        let mut at = 0;
        while at < words.0.len() {
            let (before, after) = (word(at.wrapping_sub(1)), word(at + 1));
            let is_top = open.iter().all(|is_macro| *is_macro);
            match word(at) {
                "(" | "[" | "{" => open.push(before == "!"),
                ")" | "]" | "}" => _ = open.pop(),
                "use" if after != "<" => {
                    let how = match before {
                        "pub" | ")" => How::Reexported,
                        _ => How::Imported,
                    };
                    at = self.import(words, at + 1, &[], how);
                }
                "impl" if is_top && matches!(before, "" | ";" | "{" | "}") => {
                    (within, is_inherent) = words.implemented(at);
                    self.names.insert("impl".to_owned(), None);
                }
                "fn" if !is_top && !within.is_empty() => {
                    let method = (after.to_owned(), within.clone(), is_inherent);
                    self.methods.push(method);
                }
                kind @ ("const" | "enum" | "fn" | "macro_rules" | "static" | "struct" | "trait"
                | "type")
                    if is_top =>
                {
                    let name = if after == "!" { word(at + 2) } else { after }.to_owned();
                    if matches!(kind, "enum" | "struct" | "trait") {
                        self.types.push(name.clone());
                    }
                    (within, is_inherent) = (Vec::new(), false);
                    if kind == "trait" {
                        within.push(name.clone());
                    }
                    self.names.insert(name, None);
                }
                name if is_name(name) => {
                    let how = match (word(at.wrapping_sub(2)), before) {
                        ("self", ".") => How::CalledOnSelf,
                        (_, ".") => How::Called,
                        _ => How::Named,
                    };
                    let line = words.0[at].0;
                    // A path from the root of all crates, or after a type in `<>`.
                    let mut path = if before == "::" {
                        vec![String::new()]
                    } else {
                        Vec::new()
                    };
                    path.push(name.to_owned());
                    while word(at + 1) == "::" && is_name(word(at + 2)) {
                        at += 2;
                        path.push(word(at).to_owned());
                    }
                    // A field is of no interest.
                    if how == How::Named || matches!(word(at + 1), "(" | "::") {
                        let within = within.clone();
                        self.uses.push(Use {
                            line,
                            path,
                            how,
                            within,
                        });
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// Reads what is imported from a place on; returns where it ends.
    fn import(&mut self, words: &Words, start: usize, prefix: &[String], how: How) -> usize {
        let (mut at, mut path) = (start, prefix.to_vec());
        loop {
            match words.at(at) {
                "{" => {
                    at += 1;
                    while words.at(at) != "}" {
                        at = self.import(words, at, &path, how);
                        at += usize::from(words.at(at) == ",");
                    }
                    return at + 1;
                }
                "::" if path.is_empty() => path.push(String::new()),
                "::" => {}
                "self" if !path.is_empty() => {}
                "as" | "," | "}" | ";" | "" => break,
                name => path.push(name.to_owned()),
            }
            at += 1;
        }
        let mut alias = path.last().cloned().unwrap_or_default();
        if words.at(at) == "as" {
            alias = words.at(at + 1).to_owned();
            at += 2;
        }
        let imported = Some(path.clone());
        self.names.entry(alias).or_insert(imported);
        let (line, within) = (words.0[start].0, Vec::new());
        self.uses.push(Use {
            line,
            path,
            how,
            within,
        });
        at
    }
}

/// Names, brackets and other signs, each with its line; `0` for a literal. No comments, no
/// attributes, no lifetimes.
struct Words(Vec<(usize, String)>);

impl Words {
    /// The word at a place, empty where there is none.
    fn at(&self, at: usize) -> &str {
        self.0.get(at).map_or("", |(_, word)| word)
    }

    fn read(&mut self, tokens: TokenStream) {
        let mut trees = tokens.into_iter().peekable();
        let mut joint = false;
        while let Some(tree) = trees.next() {
            let line = tree.span().start().line;
            let is_joint = matches!(&tree, TokenTree::Punct(it) if it.spacing() == Spacing::Joint);
            let before = std::mem::replace(&mut joint, is_joint).then(|| self.0.last_mut());
            match (tree, before.flatten()) {
                (TokenTree::Group(group), _) => {
                    let (open, close) = match group.delimiter() {
                        Delimiter::Brace => ("{", "}"),
                        Delimiter::Bracket => ("[", "]"),
                        Delimiter::Parenthesis | Delimiter::None => ("(", ")"),
                    };
                    self.0.push((line, open.to_owned()));
                    self.read(group.stream());
                    self.0.push((line, close.to_owned()));
                }
                (TokenTree::Ident(name), _) => self.0.push((line, name.to_string())),
                (TokenTree::Literal(_), _) => self.0.push((line, "0".to_owned())),
                (TokenTree::Punct(sign), before) => match (sign.as_char(), before) {
                    ('#', _) => skip_attribute(&mut trees),
                    ('\'', _) => _ = trees.next(),
                    // `::`, `..`, `->`, `=>`.
                    (':', Some((_, first))) if first == ":" => first.push(':'),
                    ('.', Some((_, first))) if first == "." => first.push('.'),
                    ('>', Some((_, first))) if first == "-" || first == "=" => first.push('>'),
                    (sign, _) => self.0.push((line, sign.to_string())),
                },
            }
        }
    }

    /// The type of the `impl` at a place, and whether it is its own, of no trait.
    fn implemented(&self, at: usize) -> (Vec<String>, bool) {
        let (mut depth, mut of, mut is_inherent) = (0, Vec::new(), true);
        for at in at + 1..self.0.len() {
            match self.at(at) {
                "<" => depth += 1,
                ">" => depth -= 1,
                "for" if depth == 0 => (of, is_inherent) = (Vec::new(), false),
                "where" | "{" => break,
                name if depth == 0 && is_name(name) => of.push(name.to_owned()),
                _ => {}
            }
        }
        (of, is_inherent)
    }
}

/// Whether a word is a name, or a keyword that a path may begin with or that no path follows.
fn is_name(word: &str) -> bool {
    let is_keyword = matches!(word, "as" | "dyn" | "impl" | "in" | "mut" | "return");
    !is_keyword && word.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Leaves out an attribute, and what it is of if that is compiled for tests only: an item, which
/// ends with its braces or a semicolon, or a field, which ends with a comma.
fn skip_attribute(trees: &mut Peekable<IntoIter>) {
    trees.next_if(|tree| tree.to_string() == "!");
    let attribute = trees.next().map_or(String::new(), |tree| tree.to_string());
    let attribute = attribute.replace(' ', "");
    if attribute != "[cfg(test)]" && !attribute.starts_with("[cfg(all(test,") {
        return;
    }
    let mut has_generics = false;
    while let Some(tree) = trees.next() {
        match &*tree.to_string() {
            "enum" | "fn" | "impl" | "struct" | "trait" | "type" => has_generics = true,
            ";" => break,
            "," if !has_generics => break,
            text if text.starts_with('{') => {
                trees.next_if(|tree| matches!(&*tree.to_string(), ";" | ","));
                break;
            }
            _ => {}
        }
    }
}
