//! What happens to a request, by what is stored and what it asks for.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_oneof, proptest};
use proptest::sample::select;

use super::{
    Candidate, Decision, MissReason, OnError, OriginAnswer, Stale, StoredMatch, ValidationReason,
    Validity, decide, on_error, withheld,
};
use crate::semantics::cache_control::{MaxStale, RequestDirectives};
use crate::semantics::classify::{Bypass, Facts};
use crate::semantics::freshness::{Freshness, LifetimeSource, Reuse, Times};
use crate::semantics::rules::{IgnoredRequest, Rules};
use crate::semantics::targeted;

const SERVE: Decision = Decision::Serve;
const SERVE_STALE: Decision = Decision::ServeStale(Stale::Client);
const WHILE_REVALIDATE: Decision = Decision::ServeStale(Stale::WhileRevalidate);
const REVALIDATE: Decision = Decision::Revalidate(ValidationReason::Stale);
const REQUESTED: Decision = Decision::Revalidate(ValidationReason::Request);

fn cache_control(value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(header::CACHE_CONTROL, HeaderValue::from_static(value))])
}

fn stored(directives: &'static str, rules: &Rules) -> Freshness {
    let response = cache_control(directives);
    let times = Times {
        request: 0,
        response: 0,
    };
    let effective = targeted::effective(&response, rules);
    Freshness::of(StatusCode::OK, &response, &effective, times, rules)
}

fn request(directives: &'static str) -> RequestDirectives {
    RequestDirectives::parse(&cache_control(directives), &IgnoredRequest::default())
}

fn facts(line: (&'static str, &'static str)) -> Facts {
    let (name, value) = line;
    let name = HeaderName::from_static(name);
    let headers = HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
    Facts::scan(&headers, &Rules::default())
}

/// What a request with these directives gets from a response with those at this age.
fn decided(response: &'static str, validity: Validity, age: u32, ask: &'static str) -> Decision {
    let freshness = &stored(response, &Rules::default());
    let candidate = Candidate {
        freshness,
        age,
        validity,
    };
    decide(StoredMatch::Selected(candidate), &request(ask))
}

type Case = (&'static str, u32, &'static str, Decision);

#[track_caller]
fn check(cases: &[Case]) {
    for (response, age, ask, expected) in cases {
        let decision = decided(response, Validity::Valid, *age, ask);
        assert_eq!(
            decision, *expected,
            "{response} at age {age}, asked {ask:?}"
        );
    }
}

#[test]
fn a_response_is_served_while_it_is_fresh() {
    check(&[
        ("max-age=60", 0, "", SERVE),
        ("max-age=60", 59, "", SERVE),
        ("max-age=60", 60, "", REVALIDATE),
        ("max-age=0", 0, "", REVALIDATE),
        ("public", 0, "", REVALIDATE),
        // While fresh, these change nothing; once stale, `immutable` neither.
        ("max-age=60, must-revalidate", 30, "", SERVE),
        ("max-age=60, proxy-revalidate", 30, "", SERVE),
        ("s-maxage=60", 30, "", SERVE),
        ("max-age=60, immutable", 61, "", REVALIDATE),
        // A request that must not be stored may still be answered from the store.
        ("max-age=60", 1, "no-store", SERVE),
        ("max-age=60", 1, "no-transform, max-age=600", SERVE),
    ]);
}

#[test]
fn what_only_a_policy_gave_a_lifetime_is_for_plain_requests() {
    let rules = Rules::default();
    let given = |directives| stored(directives, &rules).with_policy(60, Some(60), Some(60), &rules);
    let plain = [("accept", "*/*"), ("cache-control", "no-store")];
    let personal = [
        (("cookie", "a=b"), Bypass::Cookie),
        (("authorization", "x"), Bypass::Credentials),
        (("x-auth-token", "x"), Bypass::Credentials),
    ];
    for directives in [
        "",
        "must-revalidate",
        "immutable",
        "stale-if-error=60",
        // The policy made it longer than the origin allows.
        "max-age=1",
        "max-age=x",
        "s-maxage=59",
    ] {
        let freshness = given(directives);
        for (line, reason) in personal {
            assert_eq!(withheld(&freshness, facts(line)), Some(reason));
            // Its lifetime does not matter, nor what jitter leaves of it.
            let shorter = freshness.at_most(0).shortened(0.5);
            assert_eq!(withheld(&shorter, facts(line)), Some(reason));
        }
        for line in plain {
            assert_eq!(withheld(&freshness, facts(line)), None);
        }
    }
    for directives in ["public", "max-age=60", "s-maxage=600", "public, max-age=1"] {
        for (line, _) in personal {
            assert_eq!(
                withheld(&given(directives), facts(line)),
                None,
                "{directives}"
            );
        }
    }
    // Without any lifetime it is validated for each request, which is the origin's own word.
    assert_eq!(withheld(&stored("", &rules), facts(personal[0].0)), None);
}

#[test]
fn a_response_that_is_not_for_the_request_is_nothing_to_validate() {
    let reason = Bypass::Cookie;
    for ask in ["", "no-cache", "max-stale", "max-age=0"] {
        let decision = decide(StoredMatch::Withheld(reason), &request(ask));
        assert_eq!(decision, Decision::Bypass(reason), "{ask}");
    }
    let decision = decide(StoredMatch::Withheld(reason), &request("only-if-cached"));
    assert_eq!(decision, Decision::Refuse);
}

#[test]
fn no_cache_in_the_response_always_validates() {
    check(&[
        ("max-age=60, no-cache", 1, "", REVALIDATE),
        ("max-age=60, no-cache", 1, "max-stale", REVALIDATE),
        (
            "max-age=60, no-cache, stale-while-revalidate=60",
            61,
            "",
            REVALIDATE,
        ),
        ("max-age=60, no-cache=\"x-a\"", 1, "", SERVE),
    ]);
}

#[test]
fn an_invalidated_response_is_validated_before_any_use() {
    for (age, ask) in [(1, ""), (1, "max-stale"), (61, "max-stale"), (61, "")] {
        let response = "max-age=60, stale-while-revalidate=60, stale-if-error=60";
        let decision = decided(response, Validity::Invalidated, age, ask);
        assert_eq!(decision, REVALIDATE, "at age {age}, asked {ask:?}");
    }
}

#[test]
fn a_request_can_demand_validation() {
    check(&[
        ("max-age=60", 1, "no-cache", REQUESTED),
        ("max-age=60", 0, "max-age=0", REQUESTED),
        ("max-age=60, immutable", 0, "max-age=0", REQUESTED),
        ("max-age=60", 70, "no-cache, max-stale", REQUESTED),
    ]);
}

#[test]
fn a_request_can_ask_for_a_younger_or_longer_lasting_response() {
    check(&[
        ("max-age=60", 10, "max-age=10", SERVE),
        ("max-age=60", 11, "max-age=10", REQUESTED),
        ("max-age=60", 30, "min-fresh=30", SERVE),
        ("max-age=60", 31, "min-fresh=30", REQUESTED),
        ("max-age=60", 60, "min-fresh=0", REVALIDATE),
        ("max-age=60", 61, "min-fresh=0", REQUESTED),
        ("max-age=60", 61, "max-age=100", REVALIDATE),
        ("max-age=60", 5, "max-age=10, min-fresh=56", REQUESTED),
    ]);
}

#[test]
fn a_request_can_accept_a_stale_response() {
    check(&[
        ("max-age=60", 9999, "max-stale", SERVE_STALE),
        ("max-age=60", 70, "max-stale=10", SERVE_STALE),
        ("max-age=60", 71, "max-stale=10", REVALIDATE),
        ("max-age=60", 60, "max-stale=0", SERVE_STALE),
        ("max-age=60", 61, "max-stale=abc", REVALIDATE),
        // Beside `max-age`, both limits hold.
        ("max-age=60", 75, "max-age=100, max-stale=20", SERVE_STALE),
        ("max-age=60", 85, "max-age=100, max-stale=20", REVALIDATE),
        ("max-age=60", 105, "max-age=100, max-stale=200", REQUESTED),
        // The response has the last word.
        ("max-age=60, must-revalidate", 61, "max-stale", REVALIDATE),
        ("max-age=60, proxy-revalidate", 61, "max-stale", REVALIDATE),
        ("s-maxage=60", 61, "max-stale", REVALIDATE),
        ("s-maxage=x, max-age=60", 61, "max-stale", REVALIDATE),
    ]);
}

#[test]
fn a_stale_response_is_served_while_it_is_validated_in_the_background() {
    check(&[
        (
            "max-age=60, stale-while-revalidate=30",
            60,
            "",
            WHILE_REVALIDATE,
        ),
        (
            "max-age=60, stale-while-revalidate=30",
            90,
            "",
            WHILE_REVALIDATE,
        ),
        ("max-age=60, stale-while-revalidate=30", 91, "", REVALIDATE),
        (
            "max-age=60, stale-while-revalidate=30",
            61,
            "max-stale",
            SERVE_STALE,
        ),
        // A request that limits the age has not agreed to that.
        (
            "max-age=60, stale-while-revalidate=30",
            61,
            "max-age=1000",
            REVALIDATE,
        ),
        // `s-maxage` is softened by the response itself alone.
        (
            "s-maxage=60, stale-while-revalidate=30",
            61,
            "",
            WHILE_REVALIDATE,
        ),
        (
            "s-maxage=60, stale-while-revalidate=30",
            61,
            "max-stale",
            WHILE_REVALIDATE,
        ),
        (
            "s-maxage=60, stale-while-revalidate=30",
            95,
            "max-stale",
            REVALIDATE,
        ),
        ("s-maxage=60, stale-if-error=30", 61, "", REVALIDATE),
        (
            "max-age=60, must-revalidate, stale-while-revalidate=30",
            61,
            "",
            REVALIDATE,
        ),
        ("stale-while-revalidate=60", 1, "", REVALIDATE),
    ]);
}

#[test]
fn only_if_cached_never_reaches_the_origin() {
    let swr = "max-age=60, stale-while-revalidate=30";
    check(&[
        ("max-age=60", 1, "only-if-cached", SERVE),
        ("max-age=60", 61, "only-if-cached", Decision::Refuse),
        ("max-age=60", 61, "only-if-cached, max-stale", SERVE_STALE),
        (
            "max-age=60",
            1,
            "only-if-cached, no-cache",
            Decision::Refuse,
        ),
        (swr, 61, "only-if-cached", WHILE_REVALIDATE),
    ]);
    for nothing in [StoredMatch::Nothing, StoredMatch::NoVariant] {
        assert_eq!(
            decide(nothing, &request("only-if-cached")),
            Decision::Refuse
        );
    }
}

#[test]
fn a_response_that_is_not_stored_is_fetched() {
    let any = RequestDirectives::default();
    assert_eq!(
        decide(StoredMatch::Nothing, &any),
        Decision::Fetch(MissReason::Uri)
    );
    assert_eq!(
        decide(StoredMatch::NoVariant, &any),
        Decision::Fetch(MissReason::Vary)
    );
}

// === Errors ===

#[test]
fn four_statuses_are_errors() {
    let errors: Vec<u16> = (100..1000)
        .filter(|code| {
            OriginAnswer::of(StatusCode::from_u16(*code).unwrap()) == OriginAnswer::Error
        })
        .collect();
    assert_eq!(errors, [500, 502, 503, 504]);
}

#[test]
fn a_stale_response_is_served_in_place_of_an_error_within_its_window() {
    let cases = [
        // Response, age, request, what the client gets.
        (
            "max-age=60, stale-if-error=300",
            100,
            "",
            OnError::ServeStale,
        ),
        (
            "max-age=60, stale-if-error=300",
            360,
            "",
            OnError::ServeStale,
        ),
        ("max-age=60, stale-if-error=300", 361, "", OnError::PassOn),
        ("max-age=60", 61, "", OnError::PassOn),
        ("max-age=60", 61, "max-stale", OnError::PassOn),
        ("stale-if-error=300", 1, "", OnError::PassOn),
        // The windows overlap: both begin where freshness ends.
        (
            "max-age=30, stale-while-revalidate=60, stale-if-error=600",
            91,
            "",
            OnError::ServeStale,
        ),
        (
            "max-age=30, stale-while-revalidate=60, stale-if-error=600",
            630,
            "",
            OnError::ServeStale,
        ),
        (
            "max-age=30, stale-while-revalidate=60, stale-if-error=600",
            631,
            "",
            OnError::PassOn,
        ),
        // The request may open a window of its own.
        ("max-age=60", 100, "stale-if-error=50", OnError::ServeStale),
        ("max-age=60", 111, "stale-if-error=50", OnError::PassOn),
        (
            "max-age=60, stale-if-error=10",
            100,
            "stale-if-error=50",
            OnError::ServeStale,
        ),
        // The response may forbid all of it.
        (
            "max-age=60, stale-if-error=300, must-revalidate",
            61,
            "",
            OnError::PassOn,
        ),
        (
            "max-age=60, must-revalidate",
            61,
            "stale-if-error=50",
            OnError::PassOn,
        ),
        (
            "max-age=60, proxy-revalidate",
            61,
            "stale-if-error=50",
            OnError::PassOn,
        ),
        (
            "max-age=60, stale-if-error=300, no-cache",
            1,
            "",
            OnError::PassOn,
        ),
        (
            "max-age=60, no-cache",
            1,
            "stale-if-error=50",
            OnError::PassOn,
        ),
        // `s-maxage` is softened by the response itself alone.
        (
            "s-maxage=60, stale-if-error=300",
            100,
            "",
            OnError::ServeStale,
        ),
        (
            "s-maxage=x, max-age=600, stale-if-error=600",
            1,
            "",
            OnError::ServeStale,
        ),
        ("s-maxage=60", 61, "stale-if-error=50", OnError::PassOn),
        (
            "s-maxage=60, stale-while-revalidate=1",
            70,
            "stale-if-error=50",
            OnError::PassOn,
        ),
        // A window of zero seconds is none.
        ("max-age=60, stale-if-error=0", 60, "", OnError::PassOn),
        ("max-age=60", 60, "stale-if-error=0", OnError::PassOn),
        // A fresh response that was too old for the request is not stale at all.
        (
            "max-age=60, stale-if-error=0",
            30,
            "max-age=10",
            OnError::ServeStale,
        ),
        (
            "max-age=60, stale-if-error=0",
            30,
            "min-fresh=40",
            OnError::ServeStale,
        ),
        ("max-age=60", 30, "min-fresh=40", OnError::PassOn),
        (
            "max-age=60, must-revalidate",
            30,
            "max-age=10, stale-if-error=0",
            OnError::ServeStale,
        ),
        // A client that demands validation gets the error, unless it allows a stale response itself.
        (
            "max-age=60, stale-if-error=60",
            70,
            "no-cache",
            OnError::PassOn,
        ),
        (
            "max-age=60, stale-if-error=60",
            1,
            "max-age=0",
            OnError::PassOn,
        ),
        (
            "max-age=60",
            70,
            "no-cache, stale-if-error=10",
            OnError::ServeStale,
        ),
        (
            "max-age=60",
            71,
            "no-cache, stale-if-error=10",
            OnError::PassOn,
        ),
    ];
    for (response, age, ask, expected) in cases {
        let freshness = &stored(response, &Rules::default());
        let [valid, invalidated] = [Validity::Valid, Validity::Invalidated].map(|validity| {
            let candidate = Candidate {
                freshness,
                age,
                validity,
            };
            on_error(&candidate, &request(ask))
        });
        assert_eq!(valid, expected, "{response} at age {age}, asked {ask:?}");
        assert_eq!(invalidated, OnError::PassOn, "{response} invalidated");
    }
}

#[test]
fn default_windows_open_for_responses_that_leave_them_open() {
    let rules = Rules {
        stale_while_revalidate: Some(30),
        stale_if_error: Some(300),
        ..Rules::default()
    };
    let cases = [
        ("max-age=60", WHILE_REVALIDATE, OnError::ServeStale),
        ("max-age=60, must-revalidate", REVALIDATE, OnError::PassOn),
        ("s-maxage=60", REVALIDATE, OnError::PassOn),
    ];
    for (response, decision, error) in cases {
        let candidate = Candidate {
            freshness: &stored(response, &rules),
            age: 61,
            validity: Validity::Valid,
        };
        let any = RequestDirectives::default();
        assert_eq!(
            decide(StoredMatch::Selected(candidate), &any),
            decision,
            "{response}"
        );
        assert_eq!(on_error(&candidate, &any), error, "{response}");
    }
}

// === Whatever comes ===

fn any_freshness() -> impl Strategy<Value = Freshness> {
    let reuse = select(vec![
        Reuse::Validate,
        Reuse::WhileFresh,
        Reuse::WithinWindows,
        Reuse::AsRequested,
    ]);
    let windows = (option::of(0_u32..20), option::of(0_u32..20));
    (0_u32..20, windows, reuse).prop_map(|(lifetime, windows, reuse)| Freshness {
        lifetime,
        initial_age: 0,
        stale_while_revalidate: windows.0,
        stale_if_error: windows.1,
        source: LifetimeSource::MaxAge,
        reuse,
        public: false,
    })
}

fn any_request() -> impl Strategy<Value = RequestDirectives> {
    let max_stale = prop_oneof![Just(MaxStale::Any), (0_u32..20).prop_map(MaxStale::Within)];
    (
        option::of(0_u32..20),
        option::of(max_stale),
        option::of(0_u32..20),
        option::of(0_u32..20),
        any::<[bool; 3]>(),
    )
        .prop_map(|(max_age, max_stale, min_fresh, stale_if_error, flags)| {
            let [no_cache, no_store, only_if_cached] = flags;
            RequestDirectives {
                max_age,
                max_stale,
                min_fresh,
                no_cache,
                no_store,
                only_if_cached,
                stale_if_error,
            }
        })
}

proptest! {
    #[test]
    fn no_request_makes_a_response_be_served_against_its_will(
        freshness in any_freshness(),
        age in 0_u32..40,
        invalidated in any::<bool>(),
        request in any_request(),
    ) {
        let validity = if invalidated { Validity::Invalidated } else { Validity::Valid };
        let candidate = Candidate { freshness: &freshness, age, validity };
        let decision = decide(StoredMatch::Selected(candidate), &request);
        let never = invalidated || freshness.reuse == Reuse::Validate;
        let stale = age >= freshness.lifetime;
        match decision {
            Decision::Serve => prop_assert!(!never && !stale),
            Decision::ServeStale(_) => {
                prop_assert!(!never && stale);
                prop_assert!(request.max_age.is_none_or(|most| age <= most));
            }
            Decision::Revalidate(_) | Decision::Fetch(_) => prop_assert!(!request.only_if_cached),
            // Nothing is withheld here.
            Decision::Bypass(_) => prop_assert!(false),
            Decision::Refuse => prop_assert!(request.only_if_cached),
        }
        match on_error(&candidate, &request) {
            OnError::ServeStale => prop_assert!(!never),
            OnError::PassOn => {}
        }
    }
}
