//! `Cache-Control` as a response and as a request means it (RFC 9111 §5.2).

mod directive;

use http::header::{CACHE_CONTROL, PRAGMA};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::semantics::cache_control::directive::{Argument, NameBuffer, directives};
use crate::semantics::list::members;
use crate::semantics::rules::{DuplicatePolicy, IgnoredRequest};

/// A freshness lifetime in seconds, as a directive states it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Delta {
    Seconds(u32),
    /// Stated, but not as a number, or as two different ones: stale at once, and explicitly so
    /// (RFC 9111 §4.2.1).
    Invalid,
}

impl Delta {
    /// The lifetime it gives: none if it is invalid.
    pub(crate) fn seconds(self) -> u32 {
        match self {
            Self::Seconds(seconds) => seconds,
            Self::Invalid => 0,
        }
    }
}

/// What `no-cache` or `private` covers (RFC 9111 §5.2.2.4, §5.2.2.7).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Scope {
    /// The response.
    Whole,
    /// These fields of it; none of them is one that a stored copy needs.
    Fields(Box<[HeaderName]>),
}

impl Scope {
    /// The scope of a directive with these field names for its argument.
    ///
    /// It is the whole response if there are no names, if one is not a field name, or if one
    /// names a field without which a stored copy would be wrong or useless.
    pub(crate) fn of_fields<'a>(names: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let fields: Option<Vec<_>> = names
            .into_iter()
            .map(|name| HeaderName::from_bytes(name).ok().filter(is_dispensable))
            .collect();
        match fields {
            Some(fields) if !fields.is_empty() => Self::Fields(fields.into()),
            _ => Self::Whole,
        }
    }

    /// Both: the whole response if either says so, otherwise the fields of the two.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Fields(these), Self::Fields(those)) => {
                Self::Fields(these.into_iter().chain(those).collect())
            }
            _ => Self::Whole,
        }
    }
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
    pub(crate) max_age: Option<Delta>,
    pub(crate) must_revalidate: bool,
    pub(crate) must_understand: bool,
    pub(crate) no_cache: Option<Scope>,
    pub(crate) no_store: bool,
    pub(crate) private: Option<Scope>,
    pub(crate) proxy_revalidate: bool,
    pub(crate) public: bool,
    pub(crate) s_maxage: Option<Delta>,
    pub(crate) stale_if_error: Option<u32>,
    pub(crate) stale_while_revalidate: Option<u32>,
}

impl ResponseDirectives {
    /// The directives of `Cache-Control`, all its lines together.
    ///
    /// What restricts the cache holds even when its argument makes no sense; what permits it
    /// something holds only when well formed and not contradicted. A field that cannot be
    /// split into directives counts as `no-store` alone.
    pub(crate) fn parse(headers: &HeaderMap, duplicates: DuplicatePolicy) -> Self {
        let mut found = Self::default();
        let mut stale_if_error = Unanimous::Absent;
        let mut stale_while_revalidate = Unanimous::Absent;
        let mut name = NameBuffer::default();
        for directive in directives(headers.get_all(CACHE_CONTROL)) {
            let Ok(directive) = directive else {
                return Self {
                    no_store: true,
                    ..Self::default()
                };
            };
            let argument = &directive.argument;
            match directive.name_in(&mut name) {
                b"immutable" => found.immutable |= *argument != Argument::Malformed,
                b"max-age" => set_lifetime(&mut found.max_age, delta(argument), duplicates),
                b"must-revalidate" => found.must_revalidate = true,
                b"must-understand" => found.must_understand = true,
                b"no-cache" => extend_scope(&mut found.no_cache, scope(argument)),
                b"no-store" => found.no_store = true,
                b"private" => extend_scope(&mut found.private, scope(argument)),
                b"proxy-revalidate" => found.proxy_revalidate = true,
                b"public" => found.public |= *argument == Argument::Absent,
                b"s-maxage" => set_lifetime(&mut found.s_maxage, delta(argument), duplicates),
                b"stale-if-error" => stale_if_error.add(argument.seconds()),
                b"stale-while-revalidate" => stale_while_revalidate.add(argument.seconds()),
                _ => {}
            }
        }
        found.stale_if_error = stale_if_error.agreed();
        found.stale_while_revalidate = stale_while_revalidate.agreed();
        found
    }
}

/// How much staleness a request puts up with (RFC 9111 §5.2.1.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum MaxStale {
    Any,
    /// Up to this many seconds.
    Within(u32),
}

/// The directives of a request (RFC 9111 §5.2.1, RFC 5861 §4).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct RequestDirectives {
    pub(crate) max_age: Option<u32>,
    pub(crate) max_stale: Option<MaxStale>,
    pub(crate) min_fresh: Option<u32>,
    pub(crate) no_cache: bool,
    pub(crate) no_store: bool,
    pub(crate) only_if_cached: bool,
    pub(crate) stale_if_error: Option<u32>,
}

impl RequestDirectives {
    /// The directives of `Cache-Control`, or of `Pragma` in a request without it (RFC 9111
    /// §5.4), less the ones this cache ignores.
    ///
    /// A directive with an argument that makes no sense is passed over, and so is everything
    /// from the point where the field can no longer be split into directives. Of a limit stated
    /// twice the stricter one holds; an allowance stated twice has to be the same allowance.
    pub(crate) fn parse(headers: &HeaderMap, ignored: &IgnoredRequest) -> Self {
        let found = if headers.contains_key(CACHE_CONTROL) {
            Self::from_cache_control(headers.get_all(CACHE_CONTROL))
        } else {
            Self::from_pragma(headers.get_all(PRAGMA))
        };
        Self {
            max_age: found.max_age.filter(|_| !ignored.max_age),
            max_stale: found.max_stale.filter(|_| !ignored.max_stale),
            min_fresh: found.min_fresh.filter(|_| !ignored.min_fresh),
            no_cache: found.no_cache && !ignored.no_cache,
            no_store: found.no_store && !ignored.no_store,
            only_if_cached: found.only_if_cached && !ignored.only_if_cached,
            stale_if_error: found.stale_if_error,
        }
    }

    fn from_cache_control<'a>(lines: impl IntoIterator<Item = &'a HeaderValue>) -> Self {
        let mut found = Self::default();
        let mut max_stale = Unanimous::Absent;
        let mut stale_if_error = Unanimous::Absent;
        let mut name = NameBuffer::default();
        for directive in directives(lines).map_while(Result::ok) {
            let argument = &directive.argument;
            match directive.name_in(&mut name) {
                b"max-age" => {
                    let stated = found.max_age.into_iter().chain(argument.seconds());
                    found.max_age = stated.min();
                }
                b"max-stale" => max_stale.add(match argument {
                    Argument::Absent => Some(MaxStale::Any),
                    _ => argument.seconds().map(MaxStale::Within),
                }),
                // `None` is less than any number of seconds.
                b"min-fresh" => found.min_fresh = found.min_fresh.max(argument.seconds()),
                b"no-cache" => found.no_cache = true,
                b"no-store" => found.no_store = true,
                b"only-if-cached" => found.only_if_cached |= *argument == Argument::Absent,
                b"stale-if-error" => stale_if_error.add(argument.seconds()),
                _ => {}
            }
        }
        found.max_stale = max_stale.agreed();
        found.stale_if_error = stale_if_error.agreed();
        found
    }

    fn from_pragma<'a>(lines: impl IntoIterator<Item = &'a HeaderValue>) -> Self {
        let mut name = NameBuffer::default();
        let no_cache = directives(lines)
            .map_while(Result::ok)
            .any(|directive| directive.name_in(&mut name) == b"no-cache");
        Self {
            no_cache,
            ..Self::default()
        }
    }
}

/// The lifetime that an argument states.
fn delta(argument: &Argument<'_>) -> Delta {
    argument.seconds().map_or(Delta::Invalid, Delta::Seconds)
}

/// The scope that an argument gives `no-cache` or `private`.
fn scope(argument: &Argument<'_>) -> Scope {
    match argument {
        Argument::Value(names) => Scope::of_fields(members([names])),
        Argument::Absent | Argument::Malformed => Scope::Whole,
    }
}

/// Takes note of a lifetime that may have been stated before (RFC 9111 §4.2.1).
fn set_lifetime(lifetime: &mut Option<Delta>, stated: Delta, duplicates: DuplicatePolicy) {
    *lifetime = match (*lifetime, duplicates) {
        (None, _) => Some(stated),
        (Some(first), DuplicatePolicy::Stale) if first != stated => Some(Delta::Invalid),
        (first, _) => first,
    };
}

/// Takes note of a scope that may have been stated before.
fn extend_scope(scope: &mut Option<Scope>, stated: Scope) {
    *scope = Some(match scope.take() {
        Some(before) => before.and(stated),
        None => stated,
    });
}

/// An allowance, which holds only if all directives that state it agree.
enum Unanimous<T> {
    Absent,
    One(T),
    Contradicted,
}

impl<T: PartialEq> Unanimous<T> {
    /// Takes note of one more statement; what could not be read states nothing.
    fn add(&mut self, stated: Option<T>) {
        *self = match (std::mem::replace(self, Self::Absent), stated) {
            (heard, None) => heard,
            (Self::Absent, Some(stated)) => Self::One(stated),
            (Self::One(first), Some(stated)) if first == stated => Self::One(first),
            _ => Self::Contradicted,
        };
    }

    fn agreed(self) -> Option<T> {
        match self {
            Self::One(value) => Some(value),
            Self::Absent | Self::Contradicted => None,
        }
    }
}

#[cfg(test)]
mod tests;
