//! A 304 of the origin: what it says of the stored response, and what is stored of that.

use std::sync::Arc;

use http::{Response, StatusCode, header::SET_COOKIE, response};

use crate::{
    assess::{self, Moments, Verdict},
    entry::Lesson,
    fetch::{Errand, Exchanged, sets_cookie},
    flown::Flown,
    layer::Cache,
    respond::{self, Label},
    semantics::{
        rules::SetCookiePolicy,
        storable::Side,
        validate::{self, Confirmation},
    },
    status::CacheOutcome,
};

impl Cache {
    /// A 304 that confirms the stored response (RFC 9111 §4.3.4); `None` if it is about another.
    pub(crate) async fn refreshed<B, E>(
        &self,
        errand: &Errand,
        not_modified: &response::Parts,
        moments: Moments,
    ) -> Option<Exchanged<B, E>> {
        let Cache { shared, config } = self;
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
        let assessment = assess::assess(self, errand, &merged, moments);
        let mark = self.mark(errand, &assessment.head.selecting);
        let fresh = entry.with_head(&assessment.head, &shared.shapes);
        let past = assessment.lesson.as_ref().map(Lesson::without_body);
        let fresh = fresh.with_past(past).marked(mark).fetched_in(moments.cost);
        let fresh = Arc::new(fresh);
        let flown = match assessment.verdict {
            Verdict::Store => {
                self.swap(errand, entry, Some(Arc::clone(&fresh))).await;
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
                self.replace_selected(errand, None).await;
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
        let mut answer = respond::from_entry(self, asked, &fresh, moments.arrived, label);
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
}
