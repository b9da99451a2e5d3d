//! The settings: each refusal names its setting and the value, and layers over one cache may differ.

use std::{fs::read_to_string, path::Path, sync::OnceLock, time::Duration};

use cachewarp::{
    AgePolicy, BreakerConfig, CacheBuilder, CacheLayer, CacheOutcome, ConditionalMiss, ConfigError,
    Cookies, DuplicatePolicy, ErrorStatusPolicy, FixedTtl, ForwardedPolicy, HeadMiss, HeadUpdates,
    Heuristics, KeyExtension, Keying, LanguageOrder, Memory, OnAbandoned, OverrideOrigin,
    RangeMiss, RequestDirective, SMaxagePolicy, SetCookiePolicy, Task, VaryCredentials,
    clock::SystemClock,
};
use http::{Response, header::LAST_MODIFIED};
use tokio::runtime::Runtime;
use tower::Layer;

use crate::support::{call, fresh, get, origin, settle};

const MIB: u64 = 1 << 20;

/// One more than the longest span, in seconds.
const TOO_LONG: Duration = Duration::from_secs((1 << 31) + 1);

/// A setting, a value it refuses as the error shows it, and the call that sets it.
type Refused = (&'static str, &'static str, fn(CacheBuilder) -> CacheBuilder);

/// A setting, and a call that sets it to something unusual that it takes.
type Taken = (&'static str, fn(CacheBuilder) -> CacheBuilder);

const REFUSED: &[Refused] = &[
    ("cache_status", "two words", |c| c.cache_status("two words")),
    ("cache_status", "", |c| c.cache_status("")),
    ("cookies", "a*b", |c| {
        c.cookies(Cookies::default().key(["ok", "a*b"]))
    }),
    ("cookies", "", |c| {
        c.cookies(Cookies::default().ignore([""]))
    }),
    ("cookies", "theme=dark", |c| {
        c.cookies(Cookies::default().ignore(["theme=dark"]))
    }),
    ("cookies", "lang; theme", |c| {
        c.cookies(Cookies::default().key(["lang; theme"]))
    }),
    ("credential_headers", "x y", |c| {
        c.credential_headers(["x-key", "x y"])
    }),
    ("credential_headers", "x-*-y", |c| {
        c.credential_headers(["x-*", "x-*-y"])
    }),
    ("credential_headers", "x y*", |c| {
        c.credential_headers(["x y*"])
    }),
    ("default_authority", "a b", |c| c.default_authority("a b")),
    ("default_authority", "", |c| c.default_authority("")),
    ("default_scheme", "ht tp", |c| c.default_scheme("ht tp")),
    ("default_scheme", "", |c| c.default_scheme("")),
    ("early_refresh", "0", |c| c.early_refresh(0.0)),
    ("early_refresh", "100.5", |c| c.early_refresh(100.5)),
    ("early_refresh", "NaN", |c| c.early_refresh(f64::NAN)),
    ("body_idle_timeout", "0ns", |c| {
        c.body_idle_timeout(Duration::ZERO)
    }),
    ("body_idle_timeout", "2147483649s", |c| {
        c.body_idle_timeout(TOO_LONG)
    }),
    ("fill_timeout", "0ns", |c| c.fill_timeout(Duration::ZERO)),
    ("fill_timeout", "2147483649s", |c| c.fill_timeout(TOO_LONG)),
    ("fill_window", "0", |c| c.fill_window(0)),
    ("heuristics", "101", |c| {
        c.heuristics(Heuristics::default().with_percent(101))
    }),
    ("keep_stale", "2147483649s", |c| c.keep_stale(TOO_LONG)),
    ("ignore_query", "", |c| c.ignore_query([""])),
    ("ignore_query", "a*b", |c| c.ignore_query(["utm_*", "a*b"])),
    ("ignore_query", "a=1", |c| c.ignore_query(["a=1"])),
    ("ignore_query", "a&b", |c| c.ignore_query(["a&b"])),
    ("ignore_query", "a b", |c| c.ignore_query(["a b"])),
    ("key_headers", "", |c| c.key_headers([""])),
    ("languages", "*", |c| c.languages(["en", "*"])),
    ("languages", "en_US", |c| c.languages(["en_US"])),
    ("languages", "", |c| c.languages([""])),
    ("lifetime_jitter", "-0.5", |c| c.lifetime_jitter(-0.5)),
    ("lifetime_jitter", "0.75", |c| c.lifetime_jitter(0.75)),
    ("lifetime_jitter", "NaN", |c| c.lifetime_jitter(f64::NAN)),
    ("max_entry_bytes", "1048577", |c| c.max_entry_bytes(MIB + 1)),
    ("max_fills", "0", |c| c.max_fills(0)),
    ("keep_stale_without_validator", "2147483649s", |c| {
        c.keep_stale_without_validator(TOO_LONG)
    }),
    ("max_variants", "0", |c| c.max_variants(0)),
    ("max_variants", "1025", |c| c.max_variants(1025)),
    ("max_vary_names", "257", |c| c.max_vary_names(257)),
    ("max_waiters", "0", |c| c.max_waiters(0)),
    ("memory", "0", |c| c.memory(Memory::with_capacity(0))),
    ("negative_ttl", "2147483649s", |c| c.negative_ttl(TOO_LONG)),
    ("origin_timeout", "0ns", |c| {
        c.origin_timeout(Duration::ZERO)
    }),
    ("origin_timeout", "2147483649s", |c| {
        c.origin_timeout(TOO_LONG)
    }),
    ("policy_credentials", "x y", |c| {
        c.policy_credentials(["x-key", "x y"])
    }),
    ("policy_credentials", "**", |c| c.policy_credentials(["**"])),
    ("post_as_read", "0", |c| c.post_as_read("/search", 0)),
    ("post_as_read", "16777217", |c| {
        c.post_as_read("/search", 16 * MIB + 1)
    }),
    ("post_as_read", "search", |c| c.post_as_read("search", 1)),
    ("post_fills_get", "orders", |c| c.post_fills_get("orders")),
    ("post_fills_get", "/*/a", |c| {
        c.post_fills_get("/ok").post_fills_get("/*/a")
    }),
    ("tag_limits", "129", |c| c.tag_limits(129, 1024, 16384)),
    ("tag_limits", "0", |c| c.tag_limits(8, 0, 16384)),
    ("tag_limits", "1025", |c| c.tag_limits(8, 1025, 16384)),
    ("tag_limits", "65537", |c| c.tag_limits(8, 8, 65537)),
    ("reader_stall", "0ns", |c| c.reader_stall(Duration::ZERO)),
    ("reader_stall", "2147483649s", |c| c.reader_stall(TOO_LONG)),
    ("refresh_pause", "2147483649s", |c| {
        c.refresh_pause(TOO_LONG)
    }),
    ("retry_after_cap", "2147483649s", |c| {
        c.retry_after_cap(TOO_LONG)
    }),
    ("soft_timeout", "0ns", |c| c.soft_timeout(Duration::ZERO)),
    ("soft_timeout", "2147483649s", |c| c.soft_timeout(TOO_LONG)),
    ("targeted_cache_control", "CDN Cache-Control", |c| {
        c.targeted_cache_control(["CDN Cache-Control"])
    }),
    ("uncacheable_for", "2147483649s", |c| {
        c.uncacheable_for(TOO_LONG)
    }),
    ("wait_timeout", "0ns", |c| c.wait_timeout(Duration::ZERO)),
    ("wait_timeout", "2147483649s", |c| c.wait_timeout(TOO_LONG)),
];

const TAKEN: &[Taken] = &[
    ("age_policy", |c| c.age_policy(AgePolicy::AgeFieldOnly)),
    ("forward_tags", |c| c.forward_tags(true)),
    ("tag_limits", |c| c.tag_limits(0, 1, 0)),
    ("tag_limits", |c| c.tag_limits(128, 1024, 65536)),
    ("also_policy_credentials", |c| {
        c.also_policy_credentials(["x-tenant"])
    }),
    ("breaker", |c| c.breaker(BreakerConfig::default())),
    ("breaker", |c| c.breaker(None)),
    ("cache_status", |c| c.cache_status("a.test:8080")),
    ("clock", |c| c.clock(SystemClock::new())),
    ("conditional_miss", |c| {
        c.conditional_miss(ConditionalMiss::Forward)
    }),
    ("cookies", |c| c.cookies(Cookies::all_count())),
    ("cookies", |c| {
        c.cookies(Cookies::default().count(["a*"]).ignore(["*"]).key(["*a"]))
    }),
    ("credential_headers", |c| {
        c.credential_headers(["x-api-key", "X-Auth-*", "*-token", "*"])
    }),
    ("default_authority", |c| c.default_authority("[::1]:80")),
    ("default_scheme", |c| c.default_scheme("https")),
    ("duplicate_directives", |c| {
        c.duplicate_directives(DuplicatePolicy::First)
    }),
    ("early_refresh", |c| c.early_refresh(100.0)),
    ("early_refresh", |c| c.early_refresh(None)),
    ("error_statuses", |c| {
        c.error_statuses(ErrorStatusPolicy::Refuse)
    }),
    ("executor", |c| c.executor(|task: Task| drop(task))),
    ("body_idle_timeout", |c| {
        c.body_idle_timeout(Duration::from_nanos(1))
    }),
    ("fill_timeout", |c| c.fill_timeout(Duration::from_nanos(1))),
    ("fill_window", |c| c.fill_window(u64::MAX)),
    ("forwarded", |c| c.forwarded(ForwardedPolicy::Trusted)),
    ("head_updates", |c| c.head_updates(HeadUpdates::Off)),
    ("head_miss", |c| c.head_miss(HeadMiss::Fill)),
    ("heuristics", |c| {
        let guess = Heuristics::default().with_percent(100);
        c.heuristics(guess.with_cap(Duration::MAX).with_public(Duration::MAX))
    }),
    ("heuristics", |c| c.heuristics(None)),
    ("ignore_request_directives", |c| {
        c.ignore_request_directives([RequestDirective::NoCache, RequestDirective::NoStore])
    }),
    ("keep_stale", |c| c.keep_stale(Duration::ZERO)),
    ("post_as_read", |c| {
        c.post_as_read("/search", 1).post_as_read("/*", 16 * MIB)
    }),
    ("post_fills_get", |c| {
        c.post_fills_get("/orders/*").post_fills_get("*")
    }),
    ("key", |c| {
        c.key(|_: &http::request::Parts, _: &mut KeyExtension<'_>| Keying::Bypass)
    }),
    ("ignore_query", |c| {
        c.ignore_query(["*", "utm_*", "*_id", "a[]", "\u{e9}"])
    }),
    ("ignore_query", |c| c.ignore_query([""; 0])),
    ("key_headers", |c| c.key_headers(["X-Tenant".to_owned()])),
    ("languages", |c| {
        c.languages(["en", "de-CH-1996", "x-klingon"])
    }),
    ("languages", |c| c.languages([""; 0])),
    ("sort_query", |c| c.sort_query()),
    ("language_order", |c| c.language_order(LanguageOrder::Sort)),
    ("lifetime_jitter", |c| c.lifetime_jitter(0.5)),
    ("max_entry_bytes", |c| c.max_entry_bytes(0)),
    ("max_abandoned", |c| c.max_abandoned(0)),
    ("max_abandoned", |c| c.max_abandoned(usize::MAX)),
    ("max_fills", |c| c.max_fills(1)),
    ("max_fills", |c| c.max_fills(usize::MAX)),
    ("max_refreshes", |c| c.max_refreshes(0)),
    ("max_refreshes", |c| c.max_refreshes(usize::MAX)),
    ("keep_stale_without_validator", |c| {
        c.keep_stale_without_validator(Duration::ZERO)
    }),
    ("max_variants", |c| c.max_variants(1024)),
    ("max_vary_names", |c| c.max_vary_names(0)),
    ("max_waiters", |c| c.max_waiters(usize::MAX)),
    ("memory", |c| c.memory(Memory::with_capacity(2 * MIB))),
    ("namespace", |c| c.namespace("\u{fc} \0 anything")),
    ("negative_ttl", |c| c.negative_ttl(Duration::ZERO)),
    ("negative_ttl", |c| c.negative_ttl(None)),
    ("policy_credentials", |c| c.policy_credentials([""; 0])),
    ("on_abandoned", |c| c.on_abandoned(OnAbandoned::Discard)),
    ("origin_timeout", |c| {
        c.origin_timeout(Duration::from_secs(1 << 31))
    }),
    ("override_origin", |c| {
        c.override_origin(OverrideOrigin::Lifetimes)
    }),
    ("private_client", CacheBuilder::private_client),
    ("range_miss", |c| c.range_miss(RangeMiss::Fill)),
    ("reader_stall", |c| c.reader_stall(Duration::from_nanos(1))),
    ("refresh_pause", |c| c.refresh_pause(Duration::ZERO)),
    ("retry_after_cap", |c| c.retry_after_cap(Duration::ZERO)),
    #[cfg(feature = "redis")]
    ("remote", |c| c.remote(nowhere())),
    ("request_bodies", |c| {
        c.request_bodies(axum::body::Body::new)
    }),
    ("rfc_literal", CacheBuilder::rfc_literal),
    ("s_maxage", |c| c.s_maxage(SMaxagePolicy::Strict)),
    ("set_cookie", |c| c.set_cookie(SetCookiePolicy::Store)),
    ("soft_timeout", |c| c.soft_timeout(Duration::from_nanos(1))),
    ("soft_timeout", |c| c.soft_timeout(None)),
    ("stale_if_error", |c| c.stale_if_error(Duration::MAX)),
    ("stale_if_error", |c| c.stale_if_error(None)),
    ("stale_while_revalidate", |c| {
        c.stale_while_revalidate(Duration::MAX)
    }),
    ("stale_while_revalidate", |c| c.stale_while_revalidate(None)),
    ("targeted_cache_control", |c| {
        c.targeted_cache_control(["CDN-Cache-Control"])
    }),
    ("ttl", |c| c.ttl(FixedTtl::new(Duration::MAX))),
    ("ttl", |c| c.ttl(Duration::MAX)),
    ("uncacheable_for", |c| c.uncacheable_for(Duration::ZERO)),
    ("vary_credentials", |c| {
        c.vary_credentials(VaryCredentials::Store)
    }),
    ("wait_timeout", |c| c.wait_timeout(Duration::from_nanos(1))),
    ("without_cache_status", CacheBuilder::without_cache_status),
    ("without_key_policy", CacheBuilder::without_key_policy),
    ("without_policy_credentials", |c| {
        c.without_policy_credentials(["x-api-key", "no such field"])
    }),
    ("without_x_cache", CacheBuilder::without_x_cache),
];

/// The settings that only a new cache can take.
const FIXED: &[&str] = &[
    "clock",
    "max_fills",
    "max_refreshes",
    "max_waiters",
    "memory",
    "remote",
];

/// A tier that cannot be reached, which is no reason to refuse it.
#[cfg(feature = "redis")]
fn nowhere() -> cachewarp::Redis {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| Runtime::new().expect("a runtime of its own"));
    let url = "redis://127.0.0.1:1";
    runtime
        .block_on(cachewarp::Redis::connect(url))
        .expect("a URL of Redis")
}

fn builder() -> CacheBuilder {
    CacheLayer::builder().memory(Memory::with_capacity(MIB))
}

#[test]
fn a_refusal_names_the_setting_and_the_value() {
    for (setting, value, set) in REFUSED {
        let Err(error) = set(builder()).build() else {
            panic!("{setting} took {value:?}");
        };
        let (named, shown, allowed) = match &error {
            ConfigError::Malformed { value, allowed, .. }
            | ConfigError::OutOfRange { value, allowed, .. } => (error.setting(), value, *allowed),
            other => panic!("{setting} = {value}: {other:?}"),
        };
        assert_eq!((named, &**shown), (*setting, *value));
        let text = error.to_string();
        assert!(text.contains(&format!("`{setting}`")), "{text}");
        assert!(text.contains(value), "{text}");
        assert!(!allowed.is_empty() && text.ends_with(allowed), "{text}");
    }
}

#[track_caller]
fn assert_fixed(error: &ConfigError, setting: &str) {
    assert!(matches!(error, ConfigError::Fixed { .. }), "{error:?}");
    assert_eq!(error.setting(), setting);
}

#[test]
fn everything_else_is_taken() {
    for (setting, set) in TAKEN {
        if let Err(error) = set(builder()).build() {
            panic!("{setting}: {error}");
        }
    }
    builder().build().unwrap();
}

#[test]
fn a_layer_over_an_existing_cache_takes_all_but_what_the_cache_itself_has() {
    let cache = builder().build().unwrap();
    for (setting, set) in TAKEN {
        let fixed = FIXED.contains(setting);
        match cache.with(set) {
            Ok(_) => assert!(!fixed, "{setting} changed"),
            Err(error) => {
                assert!(fixed, "{setting}: {error}");
                assert_fixed(&error, setting);
                assert!(error.to_string().contains(&format!("`{setting}`")));
            }
        }
    }
}

#[test]
fn a_layer_over_an_existing_cache_refuses_what_a_new_one_refuses() {
    let cache = builder().build().unwrap();
    for (setting, value, set) in REFUSED {
        let Err(error) = cache.with(set) else {
            panic!("{setting} took {value:?}");
        };
        if FIXED.contains(setting) {
            assert_fixed(&error, setting);
        } else {
            let new = set(builder()).build().map(|_| ()).unwrap_err();
            assert_eq!(error, new, "{setting} = {value}");
        }
    }
}

#[tokio::test]
async fn a_layer_over_an_existing_cache_can_do_without_the_key_policy() {
    let cache = builder()
        .key(|_: &http::request::Parts, _: &mut KeyExtension<'_>| Keying::Bypass)
        .build()
        .unwrap();
    let (origin, calls) = origin(|_| fresh("content"));
    let without = cache.with(CacheBuilder::without_key_policy).unwrap();
    let (with, without) = (cache.layer(origin.clone()), without.layer(origin));
    for _ in 0..2 {
        let reply = call(&with, get("/")).await;
        assert!(matches!(reply.outcome(), CacheOutcome::Bypassed(_)));
    }
    call(&without, get("/")).await;
    settle(&cache).await;
    let reply = call(&without, get("/")).await;
    assert!(matches!(reply.outcome(), CacheOutcome::Hit { .. }));
    assert_eq!(calls.count(), 3);
}

#[tokio::test]
async fn a_layer_over_an_existing_cache_can_do_without_heuristics() {
    let cache = builder().heuristics(Heuristics::default()).build().unwrap();
    let (origin, _) = origin(|_| {
        let response = Response::builder().header(LAST_MODIFIED, "Sun, 06 Nov 1994 08:49:37 GMT");
        response.body("content".into()).unwrap()
    });
    let without = cache.with(|c| c.heuristics(None)).unwrap();
    for (layer, path, guessed) in [(&cache, "/with", true), (&without, "/without", false)] {
        let service = layer.layer(origin.clone());
        call(&service, get(path)).await;
        settle(layer).await;
        let hit = matches!(
            call(&service, get(path)).await.outcome(),
            CacheOutcome::Hit { .. }
        );
        assert_eq!(hit, guessed, "{path}");
    }
}

/// The default of one setting may not make the value of another refused.
#[test]
fn no_capacity_is_too_large_for_the_defaults() {
    for capacity in [1, MIB, 16 << 30, (16 << 30) + 4, 1 << 40, u64::MAX] {
        let memory = Memory::with_capacity(capacity);
        if let Err(error) = CacheLayer::builder().memory(memory).build() {
            panic!("{capacity} bytes: {error}");
        }
    }
}

/// Whoever adds a setter decides here whether it refuses anything.
#[test]
fn the_tables_have_every_setter() {
    let setters = setters();
    assert!(setters.len() > 50, "found only {setters:?}");
    for setter in setters {
        let known = TAKEN.iter().any(|(setting, _)| *setting == setter);
        assert!(known, "{setter} is in no table");
    }
}

/// The setters in every file of the builder.
fn setters() -> Vec<String> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let folder = sources.join("builder").read_dir();
    let files = folder.expect("the builder has a folder").map(|file| {
        let file = file.expect("the folder can be read");
        file.path()
    });
    let files = files.chain([sources.join("builder.rs")]);
    let setters = files.flat_map(|file| {
        let text = read_to_string(&file).expect("a file of Rust");
        let found = text.split("pub fn ").skip(1).filter_map(|item| {
            let (signature, _) = item.split_once('{')?;
            let name = signature.split(['<', '(']).next()?;
            signature.contains("mut self").then(|| name.to_owned())
        });
        found.collect::<Vec<_>>()
    });
    setters.collect()
}
