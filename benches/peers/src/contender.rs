//! One contender: a service, driven and checked in the same way as every other.

use std::{fmt::Debug, hint::black_box, marker::PhantomData, pin::pin, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::runtime::{Handle, Runtime};
use tower::{Service, ServiceExt};

use crate::work::{Asks, BODY, Origin, Resource};

/// What takes part in the alternating rounds.
pub trait Contender {
    fn name(&self) -> &'static str;

    /// Sends `count` requests and drains the answers.
    ///
    /// # Panics
    ///
    /// On an answer of another status or length than the origin's.
    fn drive(&mut self, runtime: &Runtime, count: usize);

    /// Asks for every response twice: misses that fill the cache, then hits that are judged whole.
    ///
    /// # Panics
    ///
    /// On an answer that isn't the origin's, or when the cache doesn't cache.
    fn fill(&mut self, runtime: &Runtime);

    /// Makes sure that everything since [`Contender::fill`] was a hit.
    ///
    /// # Panics
    ///
    /// When the origin was called again.
    fn assert_all_hits(&self);
}

/// A cache as a tower service; `Q` is the request body that it takes.
pub struct Cached<S, Q> {
    adds: &'static [&'static str],
    asks: Asks,
    name: &'static str,
    origin: Origin,
    resource: Resource,
    service: S,
    takes: PhantomData<fn(Q)>,
}

impl<S, Q> Cached<S, Q> {
    /// `build` puts the cache in front of the origin.
    pub fn new(name: &'static str, resource: Resource, build: impl FnOnce(Origin) -> S) -> Self {
        let origin = Origin::new(resource);
        Self {
            adds: &[],
            asks: Asks::new(resource),
            name,
            service: build(origin.clone()),
            origin,
            resource,
            takes: PhantomData,
        }
    }

    /// Names the header fields that this cache is to add to every hit.
    #[must_use]
    pub fn adding(mut self, names: &'static [&'static str]) -> Self {
        self.adds = names;
        self
    }
}

impl<S, Q, B> Cached<S, Q>
where
    S: Service<Request<Q>, Response = Response<B>, Error: Debug>,
    B: Body<Data = Bytes, Error: Debug>,
{
    async fn send(&mut self, request: Request<Q>) -> Response<B> {
        let name = self.name;
        let service = self.service.ready().await;
        let service = service.unwrap_or_else(|error| panic!("{name}: not ready: {error:?}"));
        let answer = service.call(request).await;
        answer.unwrap_or_else(|error| panic!("{name}: no answer: {error:?}"))
    }
}

impl<S, Q, B> Contender for Cached<S, Q>
where
    S: Service<Request<Q>, Response = Response<B>, Error: Debug>,
    Q: Default,
    B: Body<Data = Bytes, Error: Debug>,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn drive(&mut self, runtime: &Runtime, count: usize) {
        runtime.block_on(async {
            for index in 0..count {
                let request = self.asks.request(index);
                let answer = self.send(request).await;
                assert_eq!(answer.status(), StatusCode::OK, "{}", self.name);
                let mut body = pin!(answer.into_body());
                let mut length = 0;
                while let Some(frame) = body.frame().await {
                    let frame = frame.expect("a stored body doesn't break");
                    length += frame.data_ref().map_or(0, Bytes::len);
                }
                assert_eq!(length, BODY, "{}", self.name);
            }
        });
    }

    fn fill(&mut self, runtime: &Runtime) {
        let cycle = self.resource.cycle();
        self.drive(runtime, cycle);
        // A cache may store in a task of its own, after the answer.
        runtime.block_on(async {
            let metrics = Handle::current().metrics();
            let idle = async {
                while metrics.num_alive_tasks() > 0 {
                    tokio::task::yield_now().await;
                }
            };
            let settled = tokio::time::timeout(Duration::from_secs(10), idle).await;
            assert!(settled.is_ok(), "{}: its tasks don't end", self.name);
        });
        self.assert_all_hits();
        runtime.block_on(async {
            for index in 0..cycle {
                let (head, body) = self.send(self.asks.request(index)).await.into_parts();
                let body = body.collect().await.expect("a stored body doesn't break");
                let answer = Response::from_parts(head, body.to_bytes());
                let request = self.asks.request::<()>(index);
                self.origin.judge(self.name, &request, &answer);
                for name in self.adds {
                    assert!(
                        answer.headers().contains_key(*name),
                        "{}: no {name}",
                        self.name
                    );
                }
            }
        });
        self.assert_all_hits();
    }

    fn assert_all_hits(&self) {
        let (calls, responses) = (self.origin.calls(), self.resource.cycle());
        assert_eq!(calls, responses, "{}: the origin's calls", self.name);
    }
}

/// No cache and no answer: what building the requests alone costs everyone.
pub struct RequestsOnly(pub Asks);

impl Contender for RequestsOnly {
    fn name(&self) -> &'static str {
        "(building and dropping the request)"
    }

    fn drive(&mut self, _: &Runtime, count: usize) {
        for index in 0..count {
            drop(black_box(self.0.request::<()>(index)));
        }
    }

    fn fill(&mut self, _: &Runtime) {}

    fn assert_all_hits(&self) {}
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future::ready};

    use http_body_util::Full;
    use tower::service_fn;

    use super::*;
    use crate::{
        floor::{Floor, StringKey, VariedKey},
        runtime,
    };

    #[test]
    #[should_panic(expected = "the origin's calls")]
    fn a_cache_that_stores_nothing_is_caught() {
        let mut contender = Cached::<_, ()>::new("lazy", Resource::Plain, |origin| {
            service_fn(move |request| {
                ready(Ok::<_, Infallible>(origin.answer(&request).map(Full::new)))
            })
        });
        contender.fill(&runtime());
    }

    #[test]
    #[should_panic(expected = "the origin's calls")]
    fn a_cache_that_takes_one_variant_for_another_is_caught() {
        let mut contender = Cached::<_, ()>::new("blind", Resource::Varied, |origin| {
            let floor =
                Floor::<StringKey, _>::new(move |request: &Request<()>| origin.answer(request));
            service_fn(move |request| ready(Ok::<_, Infallible>(floor.call(request))))
        });
        contender.fill(&runtime());
    }

    #[test]
    #[should_panic(expected = "body of")]
    fn a_cache_that_spoils_bodies_is_caught() {
        let mut contender = Cached::<_, ()>::new("careless", Resource::Varied, |origin| {
            let floor = Floor::<VariedKey, _>::new(move |request: &Request<()>| {
                origin
                    .answer(request)
                    .map(|body| Bytes::from(vec![0; body.len()]))
            });
            service_fn(move |request| ready(Ok::<_, Infallible>(floor.call(request))))
        });
        contender.fill(&runtime());
    }

    #[test]
    #[should_panic(expected = "no age")]
    fn a_cache_that_does_not_say_what_it_promised_is_caught() {
        let contender = Cached::<_, ()>::new("silent", Resource::Plain, |origin| {
            let floor =
                Floor::<StringKey, _>::new(move |request: &Request<()>| origin.answer(request));
            service_fn(move |request| ready(Ok::<_, Infallible>(floor.call(request))))
        });
        contender.adding(&["age"]).fill(&runtime());
    }
}
