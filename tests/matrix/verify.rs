//! What comes of a step, held against what is expected of it.

use bytes::Bytes;
use cachewarp::{
    CacheOutcome,
    StaleReason::{Client, IfError, Paused, WhileRevalidate},
};
use http::{
    HeaderName, HeaderValue, Method, StatusCode,
    header::{AGE, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE},
    request::Parts,
};

use crate::{
    reply::{B1, Reply, Unreachable, second},
    site::{Answer, Ending},
    step::{Check, Expected, Step, value},
    verdict::Verdict,
};

/// The fields that ask for something else than the whole response.
const CONDITIONS: [HeaderName; 4] = [IF_NONE_MATCH, IF_MODIFIED_SINCE, RANGE, IF_RANGE];

impl Step {
    /// What is not as expected of an answer and of what reached the origin meanwhile.
    pub(crate) fn verify(
        &self,
        answer: Result<Answer, Unreachable>,
        seen: &[Parts],
    ) -> Vec<String> {
        let mut verdict = Verdict::new(self.place, self.at);
        match (answer, self.expected()) {
            (Err(Unreachable), Expected::Error) => {}
            (Err(Unreachable), expected) => verdict.add(&format!("an error, not {expected:?}")),
            (Ok(answer), Expected::Error) => verdict.add(&format!("no error, but {answer:?}")),
            (Ok(answer), _) => {
                self.verify_questions(&mut verdict, &answer, seen);
                self.verify_answer(&mut verdict, &answer, seen);
                verdict.show(&answer, seen);
            }
        }
        verdict.findings()
    }

    fn expected(&self) -> &Expected {
        let expected = self.expected.as_ref();
        expected.unwrap_or_else(|| panic!("{}: expects nothing", self.place))
    }

    /// What the origin was asked, and why.
    fn verify_questions(&self, verdict: &mut Verdict, answer: &Answer, seen: &[Parts]) {
        let outcome = answer.outcome();
        let asked = matches!(
            outcome,
            CacheOutcome::Fetched { .. } | CacheOutcome::Revalidated { .. }
        );
        let questions: &[&[(HeaderName, HeaderValue)]] = match self.expected() {
            Expected::Error => return,
            Expected::Forward => {
                verdict.same_method(&self.method, seen);
                let forwarded = matches!(
                    outcome,
                    CacheOutcome::Fetched { .. } | CacheOutcome::Forwarded
                );
                verdict.require(forwarded, || format!("{outcome:?}, not forwarded"));
                verdict.unchanged(self.replies.last(), answer);
                return verdict.same_conditions(&self.headers, seen);
            }
            Expected::Fill(method) => {
                let fetched = matches!(outcome, CacheOutcome::Fetched { .. });
                verdict.require(fetched, || format!("{outcome:?}, not fetched"));
                verdict.same_method(method, seen);
                &[&[]]
            }
            Expected::Pass => {
                let past = matches!(outcome, CacheOutcome::Bypassed(_) | CacheOutcome::Tunnelled);
                verdict.require(past, || format!("{outcome:?}, not past the cache"));
                verdict.unchanged(self.replies.last(), answer);
                return verdict.same_conditions(&self.headers, seen);
            }
            Expected::StaleOnError => {
                let stale = matches!(
                    outcome,
                    CacheOutcome::Stale {
                        reason: IfError(_),
                        ..
                    }
                );
                return verdict.require(stale, || format!("{outcome:?}, not stale-if-error"));
            }
            Expected::StaleWhileRevalidate(refreshes) => {
                let stale = matches!(
                    outcome,
                    CacheOutcome::Stale {
                        reason: WhileRevalidate,
                        ..
                    }
                );
                verdict.require(stale, || format!("{outcome:?}, not swr"));
                return verdict.require(seen.len() == *refreshes, || {
                    format!("{} refreshes, not {refreshes}", seen.len())
                });
            }
            Expected::Hit => {
                let hit = matches!(outcome, CacheOutcome::Hit { .. });
                verdict.require(hit, || format!("{outcome:?}, not a hit"));
                &[]
            }
            Expected::StaleToClient => {
                let stale = matches!(outcome, CacheOutcome::Stale { reason: Client, .. });
                verdict.require(stale, || format!("{outcome:?}, not stale as allowed"));
                &[]
            }
            Expected::StalePaused => {
                let stale = matches!(outcome, CacheOutcome::Stale { reason: Paused, .. });
                verdict.require(stale, || format!("{outcome:?}, not stale in a pause"));
                &[]
            }
            Expected::Refuse(questions) => {
                let own = matches!(outcome, CacheOutcome::Generated(_));
                verdict.require(own, || format!("{outcome:?}, not refused"));
                &[&[] as &[_]][..*questions]
            }
            Expected::Refetch(conditions) => {
                verdict.require(asked, || format!("{outcome:?}, not asked for"));
                &[conditions, &[]]
            }
            Expected::Validate(conditions) => {
                verdict.require(asked, || format!("{outcome:?}, not validated"));
                &[conditions]
            }
        };
        verdict.require(questions.len() == seen.len(), || {
            format!(
                "{} questions to the origin, not {}",
                seen.len(),
                questions.len()
            )
        });
        for (question, seen) in questions.iter().zip(seen) {
            for name in &CONDITIONS {
                let expected = question.iter().find(|(n, _)| n == name).map(|(_, v)| v);
                let sent = seen.headers.get(name);
                verdict.require(expected == sent, || {
                    format!("the origin saw {name}: {sent:?}, not {expected:?}")
                });
            }
        }
    }

    fn verify_answer(&self, verdict: &mut Verdict, answer: &Answer, seen: &[Parts]) {
        verdict.labelled(&self.method, answer);
        let (mut age, mut status, mut body) = (self.own_age(), self.own_status(), None);
        let mut ending = Ending::Clean;
        for check in &self.checks {
            match check {
                Check::Age(seconds) => age = Some(*seconds),
                Check::Body(bytes) => body = Some(bytes.clone()),
                Check::BodyFails => ending = Ending::Error,
                Check::Lacks(name) => verdict.require(!answer.headers.contains_key(name), || {
                    format!("has {name}: {:?}", answer.headers.get(name))
                }),
                Check::Lines(name, lines) => verdict.same_lines(&answer.headers, name, lines),
                Check::OriginSaw(name, lines) => match seen.first() {
                    Some(seen) => verdict.same_lines(&seen.headers, name, lines),
                    None => verdict.add("the origin saw nothing"),
                },
                Check::Starts(name, start) => {
                    let line = answer.headers.get(name).map(|v| v.to_str().unwrap());
                    let starts = line.is_some_and(|line| line.starts_with(start));
                    verdict.require(starts, || format!("{name}: {line:?}, not {start:?}..."));
                }
                Check::Status(code) => status = Some(*code),
                Check::Trailer(name, line) => {
                    let trailers = answer.trailers.as_ref();
                    let sent = trailers.and_then(|fields| fields.get(name));
                    verdict.require(sent == Some(line), || format!("trailer {name}: {sent:?}"));
                }
                Check::Ttl(seconds) => {
                    let ttl = verdict.ttl(answer.outcome());
                    verdict.require(ttl == *seconds, || format!("ttl {ttl}, not {seconds}"));
                }
            }
        }
        if let Some(age) = age {
            let age = value(age.to_string());
            verdict.same_lines(&answer.headers, &AGE, &[age]);
        }
        if let Some(status) = status {
            verdict.require(answer.status == status, || {
                format!("status {}, not {status}", answer.status)
            });
        }
        verdict.require(answer.ending == ending, || {
            format!("the body ended with {:?}, not {ending:?}", answer.ending)
        });
        if ending == Ending::Error {
            return;
        }
        if let Some(body) = body.or_else(|| self.own_body(answer.status)) {
            verdict.require(answer.body == body, || {
                format!("body {:?}, not {body:?}", answer.body)
            });
        }
    }

    /// The age of what was stored at the start.
    fn own_age(&self) -> Option<u32> {
        match self.expected() {
            Expected::Hit
            | Expected::StaleOnError
            | Expected::StalePaused
            | Expected::StaleToClient
            | Expected::StaleWhileRevalidate(_) => u32::try_from(self.at).ok(),
            _ => None,
        }
    }

    fn own_status(&self) -> Option<StatusCode> {
        let answered = self.replies.last().map_or(StatusCode::OK, Reply::code);
        match self.expected() {
            Expected::Error => None,
            Expected::Refuse(_) => Some(StatusCode::GATEWAY_TIMEOUT),
            Expected::Fill(_) | Expected::Forward | Expected::Pass => Some(answered),
            Expected::Refetch(_) | Expected::Validate(_)
                if answered != StatusCode::NOT_MODIFIED =>
            {
                Some(answered)
            }
            _ => Some(StatusCode::OK),
        }
    }

    /// The body of the answer: what was stored at the start, or what the origin sent just now.
    fn own_body(&self, status: StatusCode) -> Option<Bytes> {
        let sent = || {
            self.replies
                .last()
                .cloned()
                .unwrap_or_else(second)
                .content()
        };
        let confirmed = || {
            let reply = self.replies.last();
            reply.is_none_or(|reply| reply.code() == StatusCode::NOT_MODIFIED)
        };
        if self.method == Method::HEAD || matches!(status.as_u16(), 204 | 304) {
            return Some(Bytes::new());
        }
        match self.expected() {
            Expected::Hit if status == StatusCode::RANGE_NOT_SATISFIABLE => Some(Bytes::new()),
            Expected::Error => None,
            Expected::Fill(_) | Expected::Forward | Expected::Pass => Some(sent()),
            Expected::Refuse(_) => Some(Bytes::new()),
            Expected::Refetch(_) | Expected::Validate(_) if !confirmed() => Some(sent()),
            _ => Some(B1.into()),
        }
    }
}
