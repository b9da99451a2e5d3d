//! What the operator should know of requests that cost hits.

use super::request::CacheRequest;
use crate::state::cache::Cache;

/// A request had no part in what is stored, or left nothing behind, because of a cookie that counts.
/// Says so once for each name: perhaps the pages do not depend on it. The value is nobody's.
pub(crate) fn cookie_cost_a_hit(cache: &Cache, request: &CacheRequest) {
    let cookies = &cache.config.rules.cookies;
    if let Some(cookie) = cookies.first_counted(&request.parts.headers)
        && cache.shared.reported_cookies.is_due(cookie)
    {
        tracing::warn!(
            cookie,
            "requests with this cookie are not answered by the lifetime of a policy; \
             if no page depends on it, ignore it with the setting `cookies`, and if pages differ \
             by it, key it"
        );
    }
}
