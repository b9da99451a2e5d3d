//! One exchange with the origin, from the request to what is stored of the answer.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, Request, Response, StatusCode, header::SET_COOKIE, response};
use http_body::Body;
use tokio::sync::{OwnedSemaphorePermit, TryAcquireError};

use crate::{
    asked::Asked,
    assess::{self, Assessment, Moments, Verdict},
    body::CacheBody,
    config::{ConditionalMiss, RangeMiss},
    entry::Entry,
    fill::Fill,
    flown::{Arriving, Flown},
    generation::Generation,
    layer::Cache,
    remote::{Lease, Seen},
    respond::{self, Label, Live, Shaping},
    semantics::{
        decide::Outcome,
        freshness::Reuse,
        storable::{self, NotStored, Predecessor, Side},
        validate::{self, Validator},
    },
    service::CacheableService,
    status::{CacheOutcome, ForwardReason, Generated, Storing},
    store::Resource,
};

/// A request on its way to the origin, and what the store held for it.
#[derive(Clone, Debug)]
pub(crate) struct Errand {
    pub(crate) asked: Asked,
    /// The generation of the resource before anything was looked up for this errand.
    pub(crate) generation: Generation,
    pub(crate) stored: Option<Resource>,
    /// The stored response that the request selects.
    pub(crate) selected: Option<Arc<Entry>>,
    pub(crate) forward: ForwardReason,
    /// What was seen of its place in the tier that nodes share, if that was asked.
    pub(crate) seen: Option<Seen>,
    /// What was found there and has yet to be put into memory.
    pub(crate) found: Option<Arc<Entry>>,
    /// What the most recent of the variants there was selected by, if none is for this request.
    pub(crate) varies: Vec<HeaderName>,
    pub(crate) timing: Timing,
    /// What keeps other nodes from fetching the same.
    pub(crate) lease: Option<Arc<Lease>>,
}

/// When a response is fetched.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Timing {
    /// Behind an answer that is still fresh, before it expires.
    Early,
    /// When nothing else will do.
    OnDemand,
}

impl Errand {
    /// Whether it is `entry` that the request selects.
    pub(crate) fn has_selected(&self, entry: &Arc<Entry>) -> bool {
        let selected = self.selected.as_ref();
        selected.is_some_and(|selected| Arc::ptr_eq(selected, entry))
    }
}

/// How the client's own conditions and range are treated on the way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Prepared {
    /// They go to the origin as they are.
    AsReceived,
    /// They stay here: the origin is asked for a full response.
    Stripped,
    /// Those of the stored response go in their place.
    Validating,
}

impl Prepared {
    fn shaping(self) -> Shaping {
        match self {
            Self::AsReceived => Shaping::Leave,
            Self::Stripped | Self::Validating => Shaping::Evaluate,
        }
    }
}

/// How an exchange ended: the client's answer, what others may have of it, and a body that is to
/// be recorded.
pub(crate) struct Exchanged<B, E> {
    pub(crate) answer: Result<Response<CacheBody<B>>, E>,
    pub(crate) flown: Flown,
    pub(crate) recording: Option<Recording<B>>,
}

/// A body to be driven to its end and stored.
pub(crate) struct Recording<B> {
    pub(crate) arriving: Arc<Arriving>,
    pub(crate) body: B,
    /// Held until it ends, if no flight holds one for it.
    pub(crate) permit: Option<OwnedSemaphorePermit>,
}

/// Where the permit comes from that every fill needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Permit {
    /// The flight has it.
    OfFlight,
    /// It is taken once there is a body to record.
    Own,
}

/// How a response that is not stored reaches the client that asked for it.
enum Passing {
    AsItCame,
    /// Only the range that was asked for, which the origin was not told of.
    Cut(Option<OwnedSemaphorePermit>),
}

impl Cache {
    /// Asks the origin for what `errand` needs, and stores what may be stored of the answer but
    /// for its body, which is left to [`record`](Self::record).
    pub(crate) async fn fetch<S, Q>(
        &self,
        inner: S,
        errand: &Errand,
        body: Q,
        permit: Permit,
    ) -> Exchanged<S::Body, S::Error>
    where
        S: CacheableService<Q>,
        Q: Body + Default + Send + 'static,
    {
        let mut request = Request::from_parts(errand.asked.parts.clone(), body);
        let prepared = self.prepare(errand, &mut request);
        let (response, moments) = match self.exchange(inner.clone(), request).await {
            Ok(answer) => answer,
            Err(failure) => return self.failed(errand, failure),
        };
        if prepared != Prepared::Validating || response.status() != StatusCode::NOT_MODIFIED {
            return self
                .arrived(errand, response, moments, prepared, permit)
                .await;
        }
        let (not_modified, _) = response.into_parts();
        if let Some(fetched) = self.refreshed(errand, &not_modified, moments).await {
            return fetched;
        }
        // The 304 is about another representation than the stored one, which is thereby known to
        // be gone: ask once more, without conditions (RFC 9111 §4.3.3).
        self.replace_selected(errand, None).await;
        let mut request = Request::from_parts(errand.asked.parts.clone(), Q::default());
        validate::strip(request.headers_mut());
        match self.exchange(inner, request).await {
            Ok((response, moments)) => {
                self.arrived(errand, response, moments, Prepared::Stripped, permit)
                    .await
            }
            Err(failure) => self.failed(errand, failure),
        }
    }

    /// Puts the conditions on a request that its purpose needs.
    fn prepare<Q>(&self, errand: &Errand, request: &mut Request<Q>) -> Prepared {
        if let Some(entry) = &errand.selected {
            let now = self.shared.clock.wall();
            let stored = entry.unpack().headers;
            return match validate::conditional_request(request.headers_mut(), &stored, now) {
                Validator::Sent => Prepared::Validating,
                Validator::None => Prepared::Stripped,
            };
        }
        let facts = &errand.asked.facts;
        if (facts.conditional() || facts.range()) && !self.own_question(errand) {
            validate::strip(request.headers_mut());
            return Prepared::Stripped;
        }
        Prepared::AsReceived
    }

    /// Whether the client's own conditions or range go to the origin, so that the answer may be to
    /// them and to nobody else's.
    pub(crate) fn own_question(&self, errand: &Errand) -> bool {
        let config = &self.config;
        let facts = &errand.asked.facts;
        let filled = facts.conditional() && config.conditional_miss == ConditionalMiss::Fill
            || facts.range() && config.range_miss == RangeMiss::Fill;
        // With a stored response at hand its conditions go to the origin, not the client's.
        errand.selected.is_none() && !filled && (facts.conditional() || facts.range())
    }

    /// A full response, or one that goes to the client as it is.
    async fn arrived<B: Body, E>(
        &self,
        errand: &Errand,
        response: Response<B>,
        moments: Moments,
        prepared: Prepared,
        permit: Permit,
    ) -> Exchanged<B, E> {
        let status = response.status();
        let failed = Outcome::of(status) == Outcome::Error;
        if failed && errand.selected.is_some() {
            return self.error_status(errand, response);
        }
        let (parts, body) = response.into_parts();
        let assessment = assess::assess(self, errand, &parts, moments);
        match assessment.verdict {
            // No error takes the place of a response, whatever lifetime it brings.
            Verdict::Store if status.is_server_error() && errand.selected.is_some() => {
                let response = Response::from_parts(parts, body);
                self.not_stored(errand, NotStored::ErrorStatus, response)
                    .await
            }
            Verdict::Store => match self.fill_permit(permit) {
                Ok(permit) => self.arriving(errand, assessment, parts, body, prepared, permit),
                Err(_) => self.too_many_fills(errand, Response::from_parts(parts, body)),
            },
            Verdict::Refuse(_) if failed => {
                self.error_status(errand, Response::from_parts(parts, body))
            }
            Verdict::Refuse(reason) => {
                match self.passing(errand, &parts, &body, reason, prepared, permit) {
                    Passing::AsItCame => {
                        let response = Response::from_parts(parts, body);
                        self.not_stored(errand, reason, response).await
                    }
                    Passing::Cut(permit) => {
                        self.refused(errand, status, reason).await;
                        self.cut(errand, reason, assessment, parts, body, permit)
                    }
                }
            }
        }
    }

    /// How a response that is not stored reaches its client. A range is only given of a body whose
    /// length is known (RFC 9110 §14.4).
    fn passing<B: Body>(
        &self,
        errand: &Errand,
        parts: &response::Parts,
        body: &B,
        reason: NotStored,
        prepared: Prepared,
        permit: Permit,
    ) -> Passing {
        if !errand.asked.facts.range()
            || prepared.shaping() == Shaping::Leave
            || parts.status != StatusCode::OK
            || reason.side() == Side::Request
            || assess::declared_length(parts, body).is_none()
        {
            return Passing::AsItCame;
        }
        self.fill_permit(permit)
            .map_or(Passing::AsItCame, Passing::Cut)
    }

    /// The permit that a fill still needs, if it needs one; an error if too many are under way.
    fn fill_permit(&self, permit: Permit) -> Result<Option<OwnedSemaphorePermit>, TryAcquireError> {
        match permit {
            Permit::OfFlight => Ok(None),
            Permit::Own => Arc::clone(&self.shared.fills).try_acquire_owned().map(Some),
        }
    }

    async fn not_stored<B: Body, E>(
        &self,
        errand: &Errand,
        reason: NotStored,
        response: Response<B>,
    ) -> Exchanged<B, E> {
        self.refused(errand, response.status(), reason).await;
        Exchanged {
            answer: Ok(self.pass_on(errand, Storing::Refused(reason), response)),
            flown: Flown::Private,
            recording: None,
        }
    }

    /// What a response that is not stored does to what is.
    async fn refused(&self, errand: &Errand, status: StatusCode, reason: NotStored) {
        if storable::predecessor(status, reason) == Predecessor::Drop {
            self.replace_selected(errand, None).await;
        }
        let about_question = self.own_question(errand) && storable::answers_question(status);
        if reason.side() == Side::Response && !about_question {
            self.remember_uncacheable(errand);
        }
        tracing::debug!(key = ?errand.asked.key, reason = reason.as_str(), "not stored");
    }

    /// What could be stored if fewer fills were under way: it ends with its client.
    fn too_many_fills<B: Body, E>(
        &self,
        errand: &Errand,
        response: Response<B>,
    ) -> Exchanged<B, E> {
        Exchanged {
            answer: Ok(self.pass_on(errand, Storing::Full, response)),
            flown: Flown::Private,
            recording: None,
        }
    }

    pub(crate) fn pass_on<B: Body>(
        &self,
        errand: &Errand,
        storing: Storing,
        response: Response<B>,
    ) -> Response<CacheBody<B>> {
        let label = Label {
            received: Some(response.status()),
            outcome: CacheOutcome::Fetched {
                forward: errand.forward,
                storing,
            },
        };
        respond::from_origin(self, &errand.asked.parts.method, response, label)
    }

    /// A response that may be stored: others can read it from here on.
    fn arriving<B: Body, E>(
        &self,
        errand: &Errand,
        assessment: Assessment,
        parts: response::Parts,
        body: B,
        prepared: Prepared,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Exchanged<B, E> {
        let shared = &self.shared;
        let Assessment {
            cost,
            head,
            lesson,
            undecided,
            ..
        } = assessment;
        let age = head.freshness.initial_age;
        let ttl = head.freshness.ttl(age);
        if ttl <= 0 || head.freshness.reuse == Reuse::Validate {
            // Of use after validation only, so those who ask meanwhile have nothing to share.
            self.remember_uncacheable(errand);
        } else {
            shared.uncacheable.clear(errand.asked.key.hash());
        }
        let declared = assess::declared_length(&parts, &body);
        let fill = Fill::new(declared, Arc::clone(&shared.budget));
        let live = Live {
            parts,
            arrived: head.arrival.wall,
            shaping: prepared.shaping(),
        };
        let answer = self.live(errand, live, &fill, Storing::Begun { ttl });
        let arriving = Arc::new(Arriving {
            cost,
            head,
            fill,
            lesson,
            undecided,
        });
        let flown = if sets_cookie(&arriving.head.headers) {
            Flown::Private
        } else {
            Flown::Arriving(Arc::clone(&arriving))
        };
        Exchanged {
            answer: Ok(answer),
            flown,
            recording: Some(Recording {
                arriving,
                body,
                permit,
            }),
        }
    }

    /// The range that the client asked for, of a response that is not stored: its body is let go
    /// once the range has been delivered.
    fn cut<B: Body, E>(
        &self,
        errand: &Errand,
        reason: NotStored,
        assessment: Assessment,
        parts: response::Parts,
        body: B,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Exchanged<B, E> {
        let Assessment {
            cost,
            head,
            lesson,
            undecided,
            ..
        } = assessment;
        let declared = assess::declared_length(&parts, &body);
        let fill = Fill::passing(declared, Arc::clone(&self.shared.budget));
        let live = Live {
            parts,
            arrived: head.arrival.wall,
            shaping: Shaping::Evaluate,
        };
        let answer = self.live(errand, live, &fill, Storing::Refused(reason));
        Exchanged {
            answer: Ok(answer),
            flown: Flown::Private,
            recording: Some(Recording {
                arriving: Arc::new(Arriving {
                    cost,
                    head,
                    fill,
                    lesson,
                    undecided,
                }),
                body,
                permit,
            }),
        }
    }

    /// The answer to the request that caused `fill`, which has not begun.
    fn live<B>(
        &self,
        errand: &Errand,
        live: Live,
        fill: &Arc<Fill>,
        storing: Storing,
    ) -> Response<CacheBody<B>> {
        let label = Label {
            received: Some(live.parts.status),
            outcome: CacheOutcome::Fetched {
                forward: errand.forward,
                storing,
            },
        };
        // A fill that has not begun can be read from its beginning.
        respond::from_live(self, &errand.asked, live, fill, label).unwrap_or_else(|| {
            let failed = Generated::FlightFailed(StatusCode::BAD_GATEWAY);
            respond::generated(self, failed)
        })
    }
}

/// Whether a head that may be stored has a cookie in it: even then nobody waits for another's.
pub(crate) fn sets_cookie(headers: &HeaderMap) -> bool {
    headers.contains_key(SET_COOKIE) || headers.contains_key("set-cookie2")
}
