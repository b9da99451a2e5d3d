//! Delivers a response that is not stored to its client: as it came, or as a 304 if the client has it.

use http::{Response, response};
use http_body::Body;

use super::{
    conditions::{self, Conditions},
    fetched::{self, FetchResult},
};
use crate::{
    engine::{context::RequestContext, request::Wants, respond},
    outcome::Storing,
    semantics::conditional::{self, Precondition},
    state::cache::Cache,
};

/// The result for a response that goes to its own client only. A body that this client does not
/// need is dropped unread.
pub(super) fn deliver<B: Body, E>(
    cache: &Cache,
    context: &RequestContext,
    storing: Storing,
    conditions: Conditions,
    response: Response<B>,
) -> FetchResult<B, E> {
    let (parts, body) = response.into_parts();
    let has_it = needs_no_body(cache, context, conditions, &parts);
    let in_vain = has_it || context.request.wants == Wants::Head;
    // Where there was no room, the next response may find some.
    if in_vain && storing != Storing::Full {
        conditions::remember_unfillable(cache, context);
    }
    if has_it {
        let label = context.fetched(parts.status, storing);
        let answer = respond::not_modified(cache, parts, label);
        return FetchResult::private(context, answer);
    }
    let response = Response::from_parts(parts, body);
    let answer = fetched::pass_on(cache, context, storing, response);
    FetchResult::private(context, answer)
}

/// Whether the client has the response already: its conditions, which the origin did not see, are
/// about this very response.
pub(super) fn needs_no_body(
    cache: &Cache,
    context: &RequestContext,
    conditions: Conditions,
    parts: &response::Parts,
) -> bool {
    let now = cache.shared.clock.wall();
    let request = &context.request;
    request.facts.conditional()
        && conditions == Conditions::Stripped
        // After a failed validation the origin has sent a new response, which is delivered whole.
        && context.selected.is_none()
        && conditional::evaluate(
            &request.parts.headers,
            parts.status,
            &parts.headers,
            None,
            now,
        ) == Precondition::NotModified
}
