//! Random layers of one cache inside one another: what one of them keeps apart stays apart, and no write
//! is missed.

use cachewarp::Cookies;
use http::{Method, Response};

use crate::{
    nesting::{Passed, ask, cache, fresh_for, now, other, stack},
    support::{Count, Origin, full, request},
};

/// What each layer of a random stack is made of.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Plain,
    Longer,
    Scope,
    ByTenant,
    ByCookie,
    AllCookies,
    Fills,
    NoQuery,
    Other,
}

/// A request of a random sequence.
#[derive(Clone, Copy, Debug)]
struct Random {
    method: usize,
    tenant: Option<u8>,
    cookie: Option<u8>,
    query: bool,
}

/// Whatever layers are inside one another: what one of them keeps apart stays apart.
#[test]
fn what_a_layer_keeps_apart_stays_apart_in_any_stack() {
    use proptest::prelude::*;

    let kind = prop::sample::select(vec![
        Kind::Plain,
        Kind::Longer,
        Kind::Scope,
        Kind::ByTenant,
        Kind::ByCookie,
        Kind::AllCookies,
        Kind::Fills,
        Kind::NoQuery,
        Kind::Other,
    ]);
    let request = (
        0..6_usize,
        prop::option::of(0..2_u8),
        prop::option::of(0..2_u8),
        any::<bool>(),
    );
    let request = request.prop_map(|(method, tenant, cookie, query)| Random {
        method,
        tenant,
        cookie,
        query,
    });
    let cases = (
        prop::collection::vec(kind, 1..4),
        prop::collection::vec(request, 1..12),
    );
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(1_000)
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    proptest!(config, |((kinds, requests) in cases)| {
        runtime.block_on(play(&kinds, &requests));
    });
}

/// The middle layer has the key of the outer one for some requests only.
#[tokio::test(start_paused = true)]
async fn a_layer_does_not_find_what_one_further_in_has_stored() {
    let asked = |cookie, query| Random {
        method: 2,
        tenant: None,
        cookie,
        query,
    };
    let kinds = [Kind::Plain, Kind::NoQuery, Kind::ByCookie];
    play(&kinds, &[asked(None, true), asked(Some(0), false)]).await;
}

/// Sends the requests through the layers, the outermost first, and compares what they get with what
/// each layer keeps apart.
async fn play(kinds: &[Kind], requests: &[Random]) {
    let clock = now();
    let plain = fresh_for(&cache(&clock), 60);
    let passed: Vec<Passed> = kinds
        .iter()
        .map(|kind| {
            let layer = match kind {
                Kind::Plain => plain.clone(),
                Kind::Longer => fresh_for(&plain, 600),
                Kind::Scope => plain.scope("a"),
                Kind::ByTenant => other(&plain, |it| it.key_headers(["x-tenant"])),
                Kind::ByCookie => other(&plain, |it| it.cookies(Cookies::all_count().key(["t"]))),
                Kind::AllCookies => other(&plain, |it| it.cookies(Cookies::all_count())),
                Kind::Fills => other(&plain, |it| it.post_fills_get("/*")),
                Kind::NoQuery => other(&plain, |it| it.ignore_query(["utm"])),
                // Of another cache.
                Kind::Other => fresh_for(&cache(&clock), 60),
            };
            Passed::from(&layer)
        })
        .collect();
    let version = Count::new();
    let seen_version = version.clone();
    let origin = Origin::answering(move |_, asked| {
        if asked.method() == Method::POST {
            seen_version.add();
        }
        let field = |name| {
            let value = asked.headers().get(name);
            value.map_or("none", |it| it.to_str().unwrap()).to_owned()
        };
        let text = format!(
            "{} {} {} {}",
            field("x-tenant"),
            field("cookie"),
            asked.uri().query().unwrap_or("none"),
            seen_version.get(),
        );
        let mut answer = Response::new(full(text));
        if asked.method() == Method::POST || asked.headers().contains_key("x-stated") {
            let headers = answer.headers_mut();
            headers.insert("cache-control", "max-age=60".parse().unwrap());
            let path = asked.uri().path_and_query().unwrap().as_str();
            headers.insert("content-location", path.parse().unwrap());
        }
        Ok(answer)
    });
    let stack = stack(&passed, &origin);
    for asked in requests {
        let (method, stated) = match asked.method {
            0 => (Method::POST, false),
            1 => (Method::HEAD, false),
            2 | 3 => (Method::GET, true),
            _ => (Method::GET, false),
        };
        let query = asked.query && method != Method::POST;
        let mut sent = request(method.clone(), if query { "/?utm=1" } else { "/" });
        let mut insert = |name: &'static str, value: String| {
            sent.headers_mut().insert(name, value.parse().unwrap());
        };
        if let Some(tenant) = asked.tenant {
            insert("x-tenant", tenant.to_string());
        }
        if let Some(cookie) = asked.cookie {
            insert("cookie", format!("t={cookie}"));
        }
        if stated {
            insert("x-stated", "1".to_owned());
        }
        let written = version.get();
        let seen = ask(&stack, sent).await;
        let body = String::from_utf8(seen.body.to_vec()).unwrap();
        let context = format!("{kinds:?} {asked:?}: {seen:?}");
        assert!(seen.members.len() <= kinds.len(), "{context}");
        if method == Method::HEAD {
            continue;
        }
        let words: Vec<&str> = body.split(' ').collect();
        let own = |value: Option<u8>, prefix: &str| {
            value.map_or("none".to_owned(), |it| format!("{prefix}{it}"))
        };
        // Another cache knows nothing of what the layers of this one keep apart.
        let alone = !kinds.iter().any(|it| matches!(it, Kind::Other));
        let has = |kind: fn(&Kind) -> bool| alone && kinds.iter().any(kind);
        if has(|it| matches!(it, Kind::ByTenant)) {
            assert_eq!(words[0], own(asked.tenant, ""), "{context}");
        }
        if has(|it| matches!(it, Kind::ByCookie)) {
            assert_eq!(words[1], own(asked.cookie, "t="), "{context}");
        }
        if !kinds.iter().any(|it| matches!(it, Kind::NoQuery)) {
            let expected = if query { "utm=1" } else { "none" };
            assert_eq!(words[2], expected, "{context}");
        }
        // Only a layer of another cache can miss a write that skips it.
        if !has(|it| matches!(it, Kind::Other)) && !kinds.iter().any(|it| matches!(it, Kind::Scope))
        {
            let version: usize = words[3].parse().unwrap();
            assert!(version >= written || query, "{context}, {written} writes");
        }
    }
}
