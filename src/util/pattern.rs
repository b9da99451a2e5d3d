//! Lists of names with wildcards, such as `utm_*`, as settings have them.

/// Names and wildcards. It is empty by default, and then matches nothing.
///
/// A `*` stands for any bytes, also none. It may begin a name or end it, or be all of it; it stands
/// nowhere else. Upper and lower case differ.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Patterns(Box<[Pattern]>);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Pattern {
    Exactly(Box<str>),
    StartsWith(Box<str>),
    EndsWith(Box<str>),
}

impl Patterns {
    /// # Errors
    ///
    /// The first name that is empty, that has a `*` elsewhere than said above, or that has a space
    /// or a control character.
    pub(crate) fn new(names: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, String> {
        let parse = |name: &str| Pattern::parse(name).ok_or_else(|| name.to_owned());
        let patterns = names.into_iter().map(|name| parse(name.as_ref()));
        patterns.collect::<Result<_, _>>().map(Self)
    }

    /// The names as they were given.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|pattern| match pattern {
            Pattern::Exactly(name) => name.to_string(),
            Pattern::StartsWith(start) => format!("{start}*"),
            Pattern::EndsWith(end) => format!("*{end}"),
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn matches(&self, name: &[u8]) -> bool {
        self.0.iter().any(|pattern| pattern.matches(name))
    }

    /// The same without regard to the case of ASCII letters.
    pub(crate) fn matches_in_any_case(&self, name: &[u8]) -> bool {
        self.0
            .iter()
            .any(|pattern| pattern.matches_in_any_case(name))
    }
}

impl Pattern {
    fn parse(name: &str) -> Option<Self> {
        let pattern = match (name.strip_suffix('*'), name.strip_prefix('*')) {
            (Some(start), _) => Self::StartsWith(start.into()),
            (None, Some(end)) => Self::EndsWith(end.into()),
            (None, None) => Self::Exactly(name.into()),
        };
        let is_plain = |c: char| c != '*' && !c.is_whitespace() && !c.is_control();
        (!name.is_empty() && pattern.fixed().chars().all(is_plain)).then_some(pattern)
    }

    /// What remains without the wildcard.
    fn fixed(&self) -> &str {
        match self {
            Self::Exactly(fixed) | Self::StartsWith(fixed) | Self::EndsWith(fixed) => fixed,
        }
    }

    fn matches(&self, name: &[u8]) -> bool {
        let fixed = self.fixed().as_bytes();
        match self {
            Self::Exactly(_) => name == fixed,
            Self::StartsWith(_) => name.starts_with(fixed),
            Self::EndsWith(_) => name.ends_with(fixed),
        }
    }

    fn matches_in_any_case(&self, name: &[u8]) -> bool {
        let fixed = self.fixed().as_bytes();
        let part = match self {
            Self::Exactly(_) => Some(name),
            Self::StartsWith(_) => name.get(..fixed.len()),
            Self::EndsWith(_) => {
                let start = name.len().checked_sub(fixed.len());
                start.and_then(|start| name.get(start..))
            }
        };
        part.is_some_and(|part| part.eq_ignore_ascii_case(fixed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_any_bytes() {
        let cases: [(&str, &[&str], &[&str]); 5] = [
            ("_ga", &["_ga"], &["", "_g", "_ga_1", "_GA", "x_ga"]),
            (
                "_ga_*",
                &["_ga_", "_ga_1", "_ga_*"],
                &["", "_ga", "_GA_1", "x_ga_1"],
            ),
            (
                "*_id",
                &["_id", "a_id", "*_id"],
                &["", "id", "a_ID", "a_id1"],
            ),
            ("*", &["", "a", "\u{e9}"], &[]),
            ("\u{e9}*", &["\u{e9}", "\u{e9}a"], &["", "e", "\u{c9}"]),
        ];
        for (pattern, matching, others) in cases {
            let patterns = Patterns::new([pattern]).unwrap();
            for name in matching {
                assert!(patterns.matches(name.as_bytes()), "{pattern}: {name}");
            }
            for name in others {
                assert!(!patterns.matches(name.as_bytes()), "{pattern}: {name}");
            }
        }
        assert!(Patterns::new(["*"]).unwrap().matches(b"\xff"));
    }

    #[test]
    fn letters_match_in_any_case_where_asked() {
        let patterns = Patterns::new(["Lang", "cur*", "*_Id"]).unwrap();
        for name in ["lang", "LANG", "CURRENCY", "cur", "a_id", "_ID"] {
            assert!(patterns.matches_in_any_case(name.as_bytes()), "{name}");
        }
        for name in ["", "lan", "langs", "cu", "id", "xcur"] {
            assert!(!patterns.matches_in_any_case(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn one_of_several_patterns_is_enough() {
        let patterns = Patterns::new(["fbclid", "utm_*"]).unwrap();
        assert!(patterns.matches(b"fbclid") && patterns.matches(b"utm_source"));
        assert!(!patterns.matches(b"id"));
        assert!(!Patterns::default().matches(b""));
    }

    #[test]
    fn the_name_that_is_no_pattern_is_refused() {
        for name in ["", "a*b", "**", "*a*", "a**", "a b", " ", "a\n", "a\0*"] {
            assert_eq!(Patterns::new(["ok", name, ""]), Err(name.to_owned()));
        }
    }
}
