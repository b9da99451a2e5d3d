//! The conditions of a request to the origin: the client's, those of the stored response, or none.

use http::Request;

use crate::{
    config::{ConditionalMiss, RangeMiss},
    engine::{context::RequestContext, respond::Shaping},
    semantics::validate::{self, Validator},
    state::cache::Cache,
};

/// Which conditions the request to the origin carries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Conditions {
    /// Those of the client, and its range.
    AsReceived,
    /// None, and no range: the origin is asked for a full response.
    Stripped,
    /// Those of the stored response, to validate it.
    Validating,
}

impl Conditions {
    /// Whether the client's own conditions and range are still to be evaluated.
    pub(super) fn shaping(self) -> Shaping {
        match self {
            Self::AsReceived => Shaping::Leave,
            Self::Stripped | Self::Validating => Shaping::Evaluate,
        }
    }
}

/// Sets the conditions of the request to the origin.
pub(super) fn set_conditions<Q>(
    cache: &Cache,
    context: &RequestContext,
    request: &mut Request<Q>,
) -> Conditions {
    if let Some(entry) = &context.selected {
        let now = cache.shared.clock.wall();
        let stored = entry.unpack().headers;
        return match validate::conditional_request(request.headers_mut(), &stored, now) {
            Validator::Sent => Conditions::Validating,
            Validator::None => Conditions::Stripped,
        };
    }
    let facts = &context.request.facts;
    if (facts.conditional() || facts.range()) && !forwards_conditions(cache, context) {
        validate::strip(request.headers_mut());
        return Conditions::Stripped;
    }
    Conditions::AsReceived
}

/// Whether the client's own conditions or range go to the origin, so that the response may be of
/// use to this client only.
pub(crate) fn forwards_conditions(cache: &Cache, context: &RequestContext) -> bool {
    let config = &cache.config;
    let facts = &context.request.facts;
    let filled = facts.conditional() && config.conditional_miss == ConditionalMiss::Fill
        || facts.range() && config.range_miss == RangeMiss::Fill;
    // With a selected response, its conditions go to the origin, and not the client's.
    context.selected.is_none() && !filled && (facts.conditional() || facts.range())
}
