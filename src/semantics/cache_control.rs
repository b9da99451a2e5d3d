//! The directives of `Cache-Control` in a response (RFC 9111 §5.2.2), and in a request.

mod directive;
mod request;
mod unanimous;

use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderName, HeaderValue};

use directive::{Argument, Form, NameBuffer, directives, words};
pub(crate) use request::{MaxStale, RequestDirectives};
use unanimous::Unanimous;

use crate::semantics::list::members;
use crate::semantics::rules::DuplicatePolicy;

/// A freshness lifetime in seconds, as a directive states it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Delta {
    Seconds(u32),
    /// The value is not a number, or there are two different ones. It counts as an explicit
    /// lifetime of zero (RFC 9111 §4.2.1).
    Invalid,
}

impl Delta {
    /// The lifetime in seconds: zero if it is invalid.
    pub(crate) fn seconds(self) -> u32 {
        match self {
            Self::Seconds(seconds) => seconds,
            Self::Invalid => 0,
        }
    }
}

/// How long a stale response may be served, as a directive states it (RFC 5861).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum StaleWindow {
    Seconds(u32),
    /// The directive has no value: for as long as the operator of this cache allows.
    OfOperator,
}

/// What `no-cache` or `private` applies to (RFC 9111 §5.2.2.4, §5.2.2.7).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Scope {
    /// The whole response.
    Whole,
    /// These fields. A stored copy can do without each of them.
    Fields(Box<[HeaderName]>),
}

impl Scope {
    /// The scope of a directive whose argument is these field names.
    ///
    /// It is the whole response if there are no names, if one is not a field name, or if a stored
    /// copy without one of the fields would be wrong or useless.
    pub(crate) fn of_fields<'a>(names: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let fields: Option<Vec<_>> = names
            .into_iter()
            .map(|name| field_name(name).filter(is_dispensable))
            .collect();
        match fields {
            Some(fields) if !fields.is_empty() => Self::Fields(fields.into()),
            _ => Self::Whole,
        }
    }

    /// The union of two scopes.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Fields(these), Self::Fields(those)) => {
                Self::Fields(these.into_iter().chain(those).collect())
            }
            _ => Self::Whole,
        }
    }
}

/// The name of a field. `None` for what is a token and yet hardly meant as one: `private=1`,
/// `private=true`, `private='x-user'`.
fn field_name(name: &[u8]) -> Option<HeaderName> {
    let likely = name.iter().any(u8::is_ascii_alphabetic)
        && !name.iter().any(|byte| matches!(byte, b'\'' | b'`'))
        && !name.eq_ignore_ascii_case(b"true");
    HeaderName::from_bytes(name).ok().filter(|_| likely)
}

/// Whether a stored copy can do without this field.
fn is_dispensable(name: &HeaderName) -> bool {
    !matches!(
        name.as_str(),
        "age"
            | "cache-control"
            | "content-encoding"
            | "content-length"
            | "content-range"
            | "content-type"
            | "date"
            | "etag"
            | "expires"
            | "last-modified"
            | "location"
            | "vary"
    )
}

/// The directives of a response that a shared cache acts on (RFC 9111 §5.2.2, RFC 5861,
/// RFC 8246).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct ResponseDirectives {
    pub(crate) immutable: bool,
    /// Some member has not the form of a directive. The origin meant something by it that nobody
    /// knows, so nothing is guessed about the response, and nothing lifts a restriction.
    pub(crate) malformed: bool,
    pub(crate) max_age: Option<Delta>,
    pub(crate) must_revalidate: bool,
    pub(crate) must_understand: bool,
    pub(crate) no_cache: Option<Scope>,
    pub(crate) no_store: bool,
    pub(crate) private: Option<Scope>,
    pub(crate) proxy_revalidate: bool,
    pub(crate) public: bool,
    pub(crate) s_maxage: Option<Delta>,
    pub(crate) stale_if_error: Option<StaleWindow>,
    pub(crate) stale_while_revalidate: Option<StaleWindow>,
}

impl ResponseDirectives {
    /// The same without the directives that concern shared caches alone (RFC 9111 §5.2.2.7, §5.2.2.8,
    /// §5.2.2.10).
    pub(crate) fn for_private_cache(self) -> Self {
        Self {
            private: None,
            proxy_revalidate: false,
            s_maxage: None,
            ..self
        }
    }

    /// The directives in all lines of `Cache-Control`.
    pub(crate) fn parse(headers: &HeaderMap, duplicates: DuplicatePolicy) -> Self {
        Self::in_lines(headers.get_all(CACHE_CONTROL), duplicates)
    }

    /// The directives in these lines, read by the grammar of `Cache-Control`.
    ///
    /// A directive that restricts the cache applies wherever it stands: also with a malformed
    /// argument, and as a word in a member that is no directive at all (`public; no-store`). In the
    /// argument of another directive it is data, if that is well formed (`ext="no-store"`). A
    /// directive that permits something applies only if it is well formed and not contradicted. A
    /// field that cannot be split into directives counts as `no-store`.
    pub(crate) fn in_lines<'a>(
        lines: impl IntoIterator<Item = &'a HeaderValue>,
        duplicates: DuplicatePolicy,
    ) -> Self {
        let mut found = Self::default();
        let mut stale_if_error = Unanimous::Absent;
        let mut stale_while_revalidate = Unanimous::Absent;
        let mut name = NameBuffer::default();
        for directive in directives(lines) {
            let Ok(directive) = directive else {
                return Self {
                    malformed: true,
                    no_store: true,
                    ..Self::default()
                };
            };
            let argument = &directive.argument;
            let mut form = directive.form();
            match directive.name_in(&mut name) {
                b"immutable" => found.immutable |= *argument != Argument::Malformed,
                b"max-age" => {
                    form = form.of_number(argument);
                    set_lifetime(&mut found.max_age, delta(argument), duplicates);
                }
                b"must-revalidate" => found.must_revalidate = true,
                b"must-understand" => found.must_understand = true,
                b"no-cache" => extend_scope(&mut found.no_cache, scope(argument)),
                b"no-store" => found.no_store = true,
                b"private" => extend_scope(&mut found.private, scope(argument)),
                b"proxy-revalidate" => found.proxy_revalidate = true,
                b"public" => found.public |= *argument == Argument::Absent,
                b"s-maxage" => {
                    form = form.of_number(argument);
                    set_lifetime(&mut found.s_maxage, delta(argument), duplicates);
                }
                b"stale-if-error" => {
                    form = form.of_number(argument);
                    stale_if_error.add(window(argument));
                }
                b"stale-while-revalidate" => {
                    form = form.of_number(argument);
                    stale_while_revalidate.add(window(argument));
                }
                // `'no-store'` is a token too.
                _ => found.restrict_by_words(directive.name),
            }
            if form == Form::Malformed {
                found.malformed = true;
                found.restrict_by_words(directive.member);
            }
        }
        found.stale_if_error = stale_if_error.agreed();
        found.stale_while_revalidate = stale_while_revalidate.agreed();
        found
    }

    /// Adds the restrictions that are words of this text. They apply to the whole response.
    pub(crate) fn restrict_by_words(&mut self, text: &[u8]) {
        for word in words(text) {
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            if is("no-store") || is("no-store-remote") {
                self.no_store = true;
            } else if is("private") {
                self.private = Some(Scope::Whole);
            } else if is("no-cache") {
                self.no_cache = Some(Scope::Whole);
            } else if is("must-revalidate") || is("proxy-revalidate") {
                // Only `must-revalidate` also permits something (RFC 9111 §3.5).
                self.proxy_revalidate = true;
            } else if is("must-understand") {
                self.must_understand = true;
            }
        }
    }

    /// Adds the restrictions of `other`, and none of its permissions.
    pub(crate) fn restrict(&mut self, other: Self) {
        self.malformed |= other.malformed;
        self.must_understand |= other.must_understand;
        self.no_store |= other.no_store;
        self.proxy_revalidate |= other.proxy_revalidate || other.must_revalidate;
        if let Some(scope) = other.no_cache {
            extend_scope(&mut self.no_cache, scope);
        }
        if let Some(scope) = other.private {
            extend_scope(&mut self.private, scope);
        }
    }

    /// Whether these directives leave no room for a lifetime: they forbid to store the response or
    /// to use it unvalidated, in whole or in part, or they cannot be read.
    pub(crate) fn forbid_lifetime(&self) -> bool {
        let lifetime = self.s_maxage.or(self.max_age);
        self.malformed
            || self.no_store
            || self.no_cache.is_some()
            || self.private.is_some()
            || lifetime.is_some_and(|lifetime| lifetime.seconds() == 0)
    }
}

/// The lifetime that an argument states.
fn delta(argument: &Argument<'_>) -> Delta {
    argument.seconds().map_or(Delta::Invalid, Delta::Seconds)
}

/// The stale window that an argument states. `None` if it is no number.
fn window(argument: &Argument<'_>) -> Option<StaleWindow> {
    match argument {
        Argument::Absent => Some(StaleWindow::OfOperator),
        Argument::Value(_) | Argument::Malformed => argument.seconds().map(StaleWindow::Seconds),
    }
}

/// The scope that an argument gives `no-cache` or `private`.
fn scope(argument: &Argument<'_>) -> Scope {
    match argument {
        Argument::Value(names) => Scope::of_fields(members([names])),
        Argument::Absent | Argument::Malformed => Scope::Whole,
    }
}

/// Records a lifetime that may have been stated before (RFC 9111 §4.2.1).
fn set_lifetime(lifetime: &mut Option<Delta>, stated: Delta, duplicates: DuplicatePolicy) {
    *lifetime = match (*lifetime, duplicates) {
        (None, _) => Some(stated),
        (Some(first), DuplicatePolicy::Stale) if first != stated => Some(Delta::Invalid),
        (first, _) => first,
    };
}

/// Records a scope that may have been stated before.
fn extend_scope(scope: &mut Option<Scope>, stated: Scope) {
    *scope = Some(match scope.take() {
        Some(before) => before.and(stated),
        None => stated,
    });
}

#[cfg(test)]
mod tests;
