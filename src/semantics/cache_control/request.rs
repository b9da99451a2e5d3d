//! The directives of `Cache-Control` in a request (RFC 9111 §5.2.1).

use http::header::{CACHE_CONTROL, PRAGMA};
use http::{HeaderMap, HeaderValue};

use super::directive::{Argument, NameBuffer, directives};
use super::unanimous::Unanimous;
use crate::semantics::rules::IgnoredRequest;

/// How stale a response may be that a request accepts (RFC 9111 §5.2.1.2).
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
    /// The directives of `Cache-Control`, or of `Pragma` if there is no `Cache-Control` (RFC 9111
    /// §5.4), without those that this cache ignores.
    ///
    /// `no-cache` and `no-store` apply wherever they stand, as in a response
    /// ([`ResponseDirectives`](super::ResponseDirectives)). Another directive with a malformed
    /// argument is skipped, and so is everything after the point where the field cannot be split
    /// into directives. If a limit is stated twice, the stricter one
    /// applies. If a permission is stated twice with different values, it does not apply.
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
                b"only-if-cached" => found.only_if_cached |= *argument == Argument::Absent,
                b"stale-if-error" => stale_if_error.add(argument.seconds()),
                _ => {}
            }
            found.no_cache |= directive.has_word("no-cache");
            found.no_store |= directive.has_word("no-store");
        }
        found.max_stale = max_stale.agreed();
        found.stale_if_error = stale_if_error.agreed();
        found
    }

    fn from_pragma<'a>(lines: impl IntoIterator<Item = &'a HeaderValue>) -> Self {
        let no_cache = directives(lines)
            .map_while(Result::ok)
            .any(|directive| directive.has_word("no-cache"));
        Self {
            no_cache,
            ..Self::default()
        }
    }
}
