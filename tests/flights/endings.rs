//! Bodies whose clean end does not mean that they are whole, because the service says so.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use cachewarp::{BodyEnd, CacheOutcome, FillError, RangeMiss};
use http::{HeaderValue, Response, header::CONTENT_LENGTH};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::support::{
    Answer, Broken, Count, Origin, answered, crowd, fetch, fresh, get, get_with, is_hit, layer,
    outcome, settle, soon, text, whole,
};

/// When the service says that the end is not certain.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Says {
    Nothing,
    WithTheHead,
    WithTheFirstByte,
    WithTheEnd,
    /// That it was not the end.
    Fails,
}

/// Two frames of text, and what the service says of their end.
struct Doubtful {
    frames: Vec<&'static str>,
    end: BodyEnd,
    says: Says,
}

impl Body for Doubtful {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.says == Says::WithTheFirstByte {
            self.end.doubt();
        }
        if let Some(text) = self.frames.pop() {
            return Poll::Ready(Some(Ok(Frame::data(text.into()))));
        }
        match self.says {
            Says::WithTheEnd => self.end.doubt(),
            Says::Fails => return Poll::Ready(Some(Err(Broken))),
            _ => {}
        }
        Poll::Ready(None)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

fn answer(says: Says, adjust: fn(&mut Answer)) -> Answer {
    let end = BodyEnd::new();
    if says == Says::WithTheHead {
        end.doubt();
    }
    let mut answer = fresh("");
    answer.extensions_mut().insert(end.clone());
    let frames = vec!["or a part", "all of it, "];
    *answer.body_mut() = Doubtful { frames, end, says }.boxed_unsync();
    adjust(&mut answer);
    answer
}

const TEXT: &str = "all of it, or a part";

#[tokio::test]
async fn a_body_whose_end_is_not_certain_is_delivered_and_not_stored() {
    type Case = (&'static str, fn(&mut Answer));
    let heads: [Case; 3] = [
        ("of unknown length", |_| {}),
        ("with a length", |answer| {
            let length = HeaderValue::from(TEXT.len());
            answer.headers_mut().insert(CONTENT_LENGTH, length);
        }),
        ("for validation", |answer| {
            let tag = HeaderValue::from_static("\"1\"");
            answer.headers_mut().insert("etag", tag);
        }),
    ];
    for (case, adjust) in heads {
        for says in [
            Says::Nothing,
            Says::WithTheHead,
            Says::WithTheFirstByte,
            Says::WithTheEnd,
        ] {
            let origin = Origin::answering(move |_, _| Ok(answer(says, adjust)));
            let cache = origin.cached();
            for request in crowd(&cache, 5, &Count::new()) {
                assert_eq!(
                    text(answered(request).await).await,
                    TEXT,
                    "{case}, {says:?}"
                );
            }
            let certain = says == Says::Nothing;
            let before = origin.calls();
            let next = fetch(&cache, get("/")).await;
            assert_eq!(is_hit(&next), certain, "{case}, {says:?}");
            assert_eq!(text(next).await, TEXT);
            assert_eq!(origin.calls(), before + usize::from(!certain));
        }
    }
}

#[tokio::test]
async fn a_body_that_the_service_knows_is_not_whole_is_an_error() {
    let origin = Origin::answering(|_, _| Ok(answer(Says::Fails, |_| {})));
    let cache = origin.cached();
    for request in crowd(&cache, 5, &Count::new()) {
        let error = whole(answered(request).await).await.unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&FillError::Origin));
    }
    assert!(!is_hit(&fetch(&cache, get("/")).await));
}

/// What is stored stays until something certain takes its place.
#[tokio::test]
async fn a_body_whose_end_is_not_certain_replaces_nothing() {
    let origin = Origin::answering(|call, _| {
        Ok(match call {
            1 => fresh("certain"),
            _ => answer(Says::WithTheEnd, |_| {}),
        })
    });
    let cache = origin.cached();
    assert_eq!(text(fetch(&cache, get("/")).await).await, "certain");
    let reload = fetch(&cache, get_with("/", "cache-control", "no-cache")).await;
    assert_eq!(text(reload).await, TEXT);
    assert_eq!(text(fetch(&cache, get("/")).await).await, "certain");
}

#[tokio::test]
async fn neither_credentials_nor_a_range_make_the_end_certain() {
    let origin = Origin::answering(|_, _| {
        Ok(answer(Says::WithTheEnd, |answer| {
            let public = HeaderValue::from_static("public, max-age=60");
            answer.headers_mut().insert("cache-control", public);
            let length = HeaderValue::from(TEXT.len());
            answer.headers_mut().insert(CONTENT_LENGTH, length);
        }))
    });
    let cache = origin.cached_with(|builder| builder.range_miss(RangeMiss::Fill));
    let own = fetch(&cache, get_with("/", "authorization", "Basic YTpi")).await;
    assert_eq!(text(own).await, TEXT);
    let part = fetch(&cache, get_with("/", "range", "bytes=0-2")).await;
    assert_eq!(text(part).await, "all");
    let next = fetch(&cache, get("/")).await;
    assert!(matches!(outcome(&next), CacheOutcome::Fetched { .. }));
}

/// What reads along in the cache may be a cache too.
#[tokio::test]
async fn an_outer_cache_that_waited_does_not_store_it_either() {
    use tower::Layer;

    for says in [Says::WithTheHead, Says::WithTheEnd] {
        let aboard = Count::new();
        let origin = Origin::held_if(
            |call, _| call == 1,
            &aboard,
            1,
            move |_, _| Ok(answer(says, |_| {})),
        );
        let inner = origin.cached();
        // Two caches, as one makes one call for both.
        let outer = [layer().layer(inner.clone()), layer().layer(inner)];
        let asked = outer
            .each_ref()
            .map(|outer| tokio::spawn(outer.clone().oneshot(get("/"))));
        settle().await;
        aboard.add();
        for asked in asked {
            let answer: Response<_> = soon(asked).await.unwrap().unwrap();
            let body = soon(answer.into_body().collect()).await.unwrap();
            assert_eq!(body.to_bytes(), TEXT);
        }
        assert_eq!(origin.calls(), 1, "one of them waited");
        for (calls, outer) in (2..).zip(outer) {
            let answer: Response<_> = soon(outer.oneshot(get("/"))).await.unwrap();
            soon(answer.into_body().collect()).await.unwrap();
            assert_eq!(origin.calls(), calls, "{says:?}");
        }
    }
}

/// A cache around this one hears of it too.
#[tokio::test]
async fn an_outer_cache_does_not_store_it_either() {
    use tower::Layer;

    let origin = Origin::answering(|_, _| Ok(answer(Says::WithTheEnd, |_| {})));
    let outer = layer().layer(origin.cached());
    for call in 1..=3 {
        let answer: Response<_> = soon(outer.clone().oneshot(get("/"))).await.unwrap();
        let body = soon(answer.into_body().collect()).await.unwrap();
        assert_eq!(body.to_bytes(), TEXT);
        assert_eq!(origin.calls(), call);
    }
}
