//! A 304 of the origin: what it says of the stored response, and what is stored of that.

use std::sync::Arc;

use http::{Response, StatusCode, header::SET_COOKIE, response};

use super::storing;
use super::{
    fetch::sets_cookie,
    fetched::Exchanged,
    storability::{self, Moments, Verdict},
};
use crate::{
    engine::{
        context::Errand,
        respond::{self, Label},
    },
    entry::Lesson,
    outcome::CacheOutcome,
    semantics::{
        rules::SetCookiePolicy,
        storable::Side,
        validate::{self, Confirmation},
    },
    state::{cache::Cache, flights::Flown},
};

/// A 304 that confirms the stored response (RFC 9111 §4.3.4); `None` if it is about another.
pub(crate) async fn refreshed<B, E>(
    cache: &Cache,
    errand: &Errand,
    not_modified: &response::Parts,
    moments: Moments,
) -> Option<Exchanged<B, E>> {
    let Cache { shared, config } = cache;
    let entry = errand.selected.as_ref()?;
    let mut merged = Response::new(()).into_parts().0;
    merged.status = entry.status();
    merged.headers = entry.unpack().headers;
    let now = moments.times.response;
    match validate::accepts(&merged.headers, &not_modified.headers, now) {
        Confirmation::Accept => {}
        Confirmation::Reject => return None,
    }
    validate::merge(
        &mut merged.headers,
        &not_modified.headers,
        now,
        &config.rules,
    );
    let assessment = storability::assess(cache, errand, &merged, moments);
    let mark = cache.mark(errand, &assessment.head.selecting);
    let fresh = entry.with_head(&assessment.head, &shared.shapes);
    let past = assessment.lesson.as_ref().map(Lesson::without_body);
    let fresh = fresh.with_past(past).marked(mark).fetched_in(moments.cost);
    let fresh = Arc::new(fresh);
    let flown = match assessment.verdict {
        Verdict::Store => {
            storing::swap(cache, errand, entry, Some(Arc::clone(&fresh))).await;
            shared.metrics().stored.increment(1);
            if sets_cookie(&assessment.head.headers) {
                Flown::Private
            } else {
                Flown::Entry(Arc::clone(&fresh))
            }
        }
        // For this client alone: others would not have been given it.
        Verdict::Refuse(reason) if reason.side() == Side::Request => Flown::Private,
        Verdict::Refuse(_) => {
            storing::remove_selected(cache, errand).await;
            Flown::Private
        }
    };
    let label = Label {
        received: Some(StatusCode::NOT_MODIFIED),
        outcome: CacheOutcome::Revalidated {
            forward: errand.forward,
            ttl: fresh.freshness().ttl(fresh.age(moments.arrived)),
        },
    };
    let asked = &errand.asked;
    let mut answer = respond::from_entry(cache, asked, &fresh, moments.arrived, label);
    if config.rules.set_cookie != SetCookiePolicy::Store {
        for cookie in not_modified.headers.get_all(SET_COOKIE) {
            answer.headers_mut().append(SET_COOKIE, cookie.clone());
        }
    }
    Some(Exchanged {
        answer: Ok(answer),
        flown,
        recording: None,
    })
}
