//! The state of a stored response, as an operator sees it: what a plain request would make of it.

use crate::semantics::{
    cache_control::RequestDirectives,
    decide::{Candidate, Decision, OnError, Stale, StoredMatch, Validity, decide, on_error},
    freshness::Reuse,
};

/// The state of a stored response at one moment: what may be done with it for a request without
/// cache directives (RFC 9111 §4).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum EntryState {
    /// It is fresh, and answers requests.
    Fresh,
    /// It is stale, answers requests, and is refreshed when it does (`stale-while-revalidate`,
    /// RFC 5861 §3).
    StaleWhileRevalidate,
    /// It is stale, and answers requests only if the origin fails (`stale-if-error`, RFC 5861 §4).
    StaleIfError,
    /// It is stale. The origin has to confirm it before it answers a request.
    Stale,
    /// The origin has to confirm it before each use: `no-cache` (RFC 9111 §5.2.2.4).
    MustValidate,
    /// A write was sent to the origin and got no answer. The origin has to confirm the response before
    /// it answers a request, unless the origin fails.
    Unanswered,
    /// It was invalidated (RFC 9111 §4.4). The origin has to confirm it before it answers a request.
    Invalidated,
}

impl EntryState {
    pub(crate) fn of(candidate: Candidate<'_>) -> Self {
        let plain = RequestDirectives::default();
        match decide(StoredMatch::Selected(candidate), &plain) {
            Decision::Serve => Self::Fresh,
            Decision::ServeStale(Stale::Client | Stale::WhileRevalidate) => {
                Self::StaleWhileRevalidate
            }
            Decision::Revalidate(_)
            | Decision::Fetch(_)
            | Decision::Bypass(_)
            | Decision::Refuse => match candidate.validity {
                Validity::Invalidated => Self::Invalidated,
                Validity::Unanswered => Self::Unanswered,
                Validity::Valid if candidate.freshness.reuse == Reuse::Validate => {
                    Self::MustValidate
                }
                Validity::Valid => match on_error(&candidate, &plain) {
                    OnError::ServeStale => Self::StaleIfError,
                    OnError::PassOn => Self::Stale,
                },
            },
        }
    }

    /// The state as a token, such as `stale-if-error`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::StaleWhileRevalidate => "stale-while-revalidate",
            Self::StaleIfError => "stale-if-error",
            Self::Stale => "stale",
            Self::MustValidate => "must-validate",
            Self::Unanswered => "unanswered",
            Self::Invalidated => "invalidated",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::semantics::freshness::{Freshness, LifetimeSource};

    fn fresh_for_ten_seconds() -> Freshness {
        Freshness {
            lifetime: 10,
            initial_age: 0,
            stale_while_revalidate: None,
            stale_if_error: None,
            source: LifetimeSource::MaxAge,
            reuse: Reuse::AsRequested,
            public: false,
        }
    }

    #[test]
    fn the_state_is_what_a_plain_request_would_make_of_it() {
        let plain = fresh_for_ten_seconds();
        let windows = Freshness {
            stale_while_revalidate: Some(5),
            stale_if_error: Some(60),
            ..plain
        };
        let no_cache = Freshness {
            reuse: Reuse::Validate,
            ..plain
        };
        for (freshness, age, validity, state) in [
            (plain, 9, Validity::Valid, EntryState::Fresh),
            (plain, 10, Validity::Valid, EntryState::Stale),
            (windows, 9, Validity::Valid, EntryState::Fresh),
            (
                windows,
                15,
                Validity::Valid,
                EntryState::StaleWhileRevalidate,
            ),
            (windows, 16, Validity::Valid, EntryState::StaleIfError),
            (windows, 71, Validity::Valid, EntryState::Stale),
            (no_cache, 0, Validity::Valid, EntryState::MustValidate),
            (windows, 0, Validity::Unanswered, EntryState::Unanswered),
            (windows, 0, Validity::Invalidated, EntryState::Invalidated),
            (no_cache, 0, Validity::Invalidated, EntryState::Invalidated),
        ] {
            let candidate = Candidate {
                freshness: &freshness,
                age,
                validity,
            };
            assert_eq!(EntryState::of(candidate), state, "{candidate:?}");
        }
    }
}
