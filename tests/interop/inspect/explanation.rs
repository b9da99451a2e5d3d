//! What would become of a request, and why.

use std::time::Duration;

use axum::body::Body;
use cachewarp::{
    Bypass, CacheLayer, CacheOutcome, ExpectedAnswer, ForwardReason, GoesAlone, NotStored,
    Prospect, StaleReason,
};
use http::Request;
use tower::Layer;

use super::{entries, fill, layer, site, urls};
use crate::support::{asking, call, get, settle, with};

#[tokio::test]
async fn an_explanation_says_what_would_become_of_a_request() {
    let (cache, clock) = layer();
    let encoded = with(get("/varied"), "accept-encoding", b"br");
    fill(
        &cache,
        [get("/windows"), get("/validated"), get("/policy"), encoded],
    )
    .await;
    let handle = cache.handle();
    let explain = |request: &Request<Body>| handle.explain(request);
    let cookie = |path| with(get(path), "cookie", b"session=1");
    let directive = |path, directive: &[u8]| with(get(path), "cache-control", directive);

    let hit = explain(&with(get("/windows?utm_x=1"), "accept", b"*/*"));
    assert_eq!(hit.answer, ExpectedAnswer::Hit);
    assert_eq!(hit.key.as_deref(), Some("http://a.test/windows"));
    assert_eq!(hit.variants, 1);
    assert_eq!(hit.selected, entries(&handle, "/windows").await.pop());
    assert_eq!((hit.storing, hit.alone), (None, None));
    assert_eq!(
        hit.to_string(),
        "GET /windows?utm_x=1\n\
         key: http://a.test/windows\n\
         stored: 200, fresh, age 0 s, lifetime 10 s (max-age), 10 s left\n\
         answer: a hit, from memory"
    );

    for (request, answer, storing) in [
        (
            directive("/windows", b"no-cache"),
            ExpectedAnswer::Validated(ForwardReason::Request),
            Some(Prospect::Open),
        ),
        (
            get("/varied"),
            ExpectedAnswer::Missed(ForwardReason::VaryMiss),
            Some(Prospect::Open),
        ),
        (
            cookie("/new"),
            ExpectedAnswer::Missed(ForwardReason::UriMiss),
            Some(Prospect::IfStated(NotStored::Cookie)),
        ),
        (
            asking("HEAD", "/new"),
            ExpectedAnswer::Missed(ForwardReason::UriMiss),
            Some(Prospect::Never(NotStored::Method)),
        ),
        (
            directive("/new", b"only-if-cached"),
            ExpectedAnswer::Refused,
            None,
        ),
        (
            cookie("/policy"),
            ExpectedAnswer::Bypassed(Bypass::Cookie),
            None,
        ),
        (
            with(get("/new"), "x-http-method-override", b"PUT"),
            ExpectedAnswer::Bypassed(Bypass::MethodOverride),
            None,
        ),
        (asking("PUT", "/new"), ExpectedAnswer::Forwarded, None),
        (asking("CONNECT", "/new"), ExpectedAnswer::Tunnelled, None),
    ] {
        let explanation = explain(&request);
        assert_eq!(explanation.answer, answer, "{explanation}");
        assert_eq!(explanation.storing, storing, "{explanation}");
        assert_eq!(explanation.alone, None, "{explanation}");
    }

    for (request, alone) in [
        (
            with(get("/new"), "authorization", b"Basic x"),
            GoesAlone::Private,
        ),
        (directive("/new", b"no-store"), GoesAlone::Private),
        (
            with(get("/new"), "range", b"bytes=0-1"),
            GoesAlone::Conditions,
        ),
    ] {
        let explanation = explain(&request);
        assert_eq!(explanation.alone, Some(alone), "{explanation}");
    }

    let validated = explain(&get("/validated"));
    let answer = ExpectedAnswer::Validated(ForwardReason::Stale);
    assert_eq!(validated.answer, answer, "{validated}");
    assert_eq!(validated.alone, Some(GoesAlone::Uncacheable), "{validated}");

    clock.advance(Duration::from_secs(12));
    let stale = explain(&get("/windows"));
    let reason = StaleReason::WhileRevalidate;
    assert_eq!(stale.answer, ExpectedAnswer::Stale(reason), "{stale}");
    // Nothing came of all this.
    assert_eq!(urls(&handle, "/new").await, [""; 0]);
    let disabled = CacheLayer::disabled().handle().explain(&get("/windows"));
    assert_eq!(disabled.answer, ExpectedAnswer::Disabled);
}

#[tokio::test]
async fn what_is_explained_is_what_happens() {
    let (cache, _) = layer();
    let service = cache.layer(site());
    let request = || with(get("/windows"), "cookie", b"session=1");
    for answer in [
        ExpectedAnswer::Missed(ForwardReason::UriMiss),
        ExpectedAnswer::Hit,
    ] {
        let explained = cache.handle().explain(&request()).answer;
        assert_eq!(explained, answer);
        let outcome = call(&service, request()).await.outcome();
        settle(&cache).await;
        let is_hit = matches!(outcome, CacheOutcome::Hit { .. });
        assert_eq!(is_hit, answer == ExpectedAnswer::Hit, "{outcome:?}");
    }
}
