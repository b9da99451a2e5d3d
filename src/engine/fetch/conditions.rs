//! The conditions of a request to the origin: the client's, those of the stored response, or none.
//!
//! A client that sends conditions or HEAD mostly gets no body. The origin could answer it without
//! one, but nothing would be stored, and each such client would reach the origin. So the whole
//! response is fetched for all of them, unless there is a reason to expect that it is not stored:
//! then the request goes to the origin as it is.

use std::time::Duration;

use http::Request;

use crate::{
    config::{ConditionalMiss, HeadMiss, RangeMiss},
    engine::{context::RequestContext, hit_for_miss, respond::Shaping},
    purge::Standing,
    semantics::{
        classify::Requester,
        validate::{self, Validator},
    },
    state::cache::Cache,
};

/// How long the requests for a key go to the origin as they are after a response that was fetched
/// for a client without need of a body was not stored.
const UNFILLABLE_FOR: Duration = Duration::from_secs(600);

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
    if context.request.posted.is_some() {
        // To a POST a condition that is not met means 412, so it cannot validate (RFC 9110
        // §13.2.1). The client has sent none.
        return Conditions::Stripped;
    }
    if let Some(entry) = &context.selected {
        if cache.shared.purged(context.request.key.as_bytes(), entry) == Standing::Purged {
            // Since the lookup: its body must not be confirmed.
            validate::strip(request.headers_mut());
            return Conditions::Stripped;
        }
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
    // With a selected response, its conditions go to the origin, and not the client's.
    if context.selected.is_some() {
        return false;
    }
    // A range needs its own permission, whatever conditions come with it: the rest of a large body
    // would be fetched in vain.
    if facts.range() {
        return config.range_miss == RangeMiss::Forward;
    }
    facts.conditional()
        && (config.conditional_miss == ConditionalMiss::Forward || !may_fill(cache, context))
}

/// Whether a HEAD is sent to the origin as a GET, whose response is stored.
pub(crate) fn fills_for_head(cache: &Cache, context: &RequestContext) -> bool {
    context.selected.is_none()
        && cache.config.head_miss == HeadMiss::Fill
        && may_fill(cache, context)
        && !forwards_conditions(cache, context)
}

/// Whether a whole response to this request would probably be stored, for all clients.
fn may_fill(cache: &Cache, context: &RequestContext) -> bool {
    let shared = &cache.shared;
    let now = shared.clock.monotonic();
    context.request.requester() == Requester::Plain
        && !hit_for_miss::is_uncacheable(cache, context)
        && !shared.unfillable.contains(context.variant_hash(cache), now)
}

/// From now on, and for a while, requests for this key whose clients need no body go to the origin
/// as they are, or those for this variant if the resource has several. Not if the response was one for
/// a request that is not plain: others may get another.
pub(super) fn remember_unfillable(cache: &Cache, context: &RequestContext) {
    let shared = &cache.shared;
    if context.request.requester() != Requester::Plain {
        return;
    }
    let now = shared.clock.monotonic();
    let hash = context.variant_hash(cache);
    shared.unfillable.insert(hash, now, UNFILLABLE_FOR);
}

/// A response for this key has been stored.
pub(super) fn forget_unfillable(cache: &Cache, context: &RequestContext) {
    for hash in [context.variant_hash(cache), context.request.key.hash()] {
        cache.shared.unfillable.remove(hash);
    }
}
