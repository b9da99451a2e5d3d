//! Which field governs a response, and what a targeted field may say.

use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::{DirectiveSource, EffectiveDirectives, OtherFields, effective};
use crate::semantics::cache_control::{Delta, ResponseDirectives, Scope, StaleWindow};
use crate::semantics::list::MAX_DELTA;
use crate::semantics::rules::Rules;

const OWN: HeaderName = HeaderName::from_static("cachewarp-cache-control");
const CDN: HeaderName = HeaderName::from_static("cdn-cache-control");

fn rules(targets: &[HeaderName]) -> Rules {
    Rules {
        targeted_cache_control: targets.to_vec(),
        ..Rules::default()
    }
}

fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
    let lines = lines.iter();
    lines
        .map(|(name, line)| (name.clone(), HeaderValue::from_str(line).unwrap()))
        .collect()
}

fn max_age(seconds: u32) -> ResponseDirectives {
    ResponseDirectives {
        max_age: Some(Delta::Seconds(seconds)),
        ..ResponseDirectives::default()
    }
}

fn no_store() -> ResponseDirectives {
    ResponseDirectives {
        no_store: true,
        ..ResponseDirectives::default()
    }
}

/// What these lines of `CDN-Cache-Control` say, with a `Cache-Control: no-store` to fall back on.
fn cdn(lines: &[&str]) -> Option<ResponseDirectives> {
    let mut headers = headers(&[(CACHE_CONTROL, "no-store")]);
    for line in lines {
        headers.append(CDN, HeaderValue::from_str(line).unwrap());
    }
    let EffectiveDirectives {
        directives, source, ..
    } = effective(&headers, &rules(&[CDN]));
    match source {
        DirectiveSource::Targeted => Some(directives),
        DirectiveSource::CacheControl => {
            assert!(directives.no_store, "{lines:?}");
            None
        }
    }
}

fn malformed(directives: ResponseDirectives) -> ResponseDirectives {
    ResponseDirectives {
        malformed: true,
        ..directives
    }
}

/// The list of targets, the response, which kind of field governs it, and what that one says.
type Case<'a> = (
    &'a [HeaderName],
    &'a [(HeaderName, &'a str)],
    DirectiveSource,
    ResponseDirectives,
);

#[test]
fn the_first_usable_target_governs_alone() {
    use DirectiveSource::{CacheControl, Targeted};

    let none = ResponseDirectives::default;
    let table: &[Case<'_>] = &[
        // No target is listed unless configured, whatever the name of a field.
        (
            &[],
            &[(CDN, "max-age=600"), (CACHE_CONTROL, "no-store")],
            CacheControl,
            no_store(),
        ),
        (
            &[OWN],
            &[(CDN, "max-age=600"), (CACHE_CONTROL, "no-store")],
            CacheControl,
            no_store(),
        ),
        (
            &[CDN],
            &[(CACHE_CONTROL, "max-age=1")],
            CacheControl,
            max_age(1),
        ),
        (&[CDN], &[], CacheControl, none()),
        // Cache-Control says nothing beside a usable target, be it stricter or laxer.
        (
            &[CDN],
            &[(CDN, "max-age=600"), (CACHE_CONTROL, "no-store")],
            Targeted,
            max_age(600),
        ),
        (
            &[CDN],
            &[(CDN, "no-store"), (CACHE_CONTROL, "max-age=60")],
            Targeted,
            no_store(),
        ),
        (
            &[CDN],
            &[(CDN, "none"), (CACHE_CONTROL, "max-age=600")],
            Targeted,
            none(),
        ),
        (
            &[CDN],
            &[(CDN, "none"), (CACHE_CONTROL, "no-store")],
            Targeted,
            none(),
        ),
        // The order is that of the list, not that of the response.
        (
            &[OWN, CDN],
            &[(CDN, "max-age=2"), (OWN, "max-age=1")],
            Targeted,
            max_age(1),
        ),
        (
            &[CDN, OWN],
            &[(CDN, "max-age=2"), (OWN, "max-age=1")],
            Targeted,
            max_age(2),
        ),
        // An invalid or empty field is passed over.
        (
            &[OWN, CDN],
            &[(OWN, "max-age=x"), (CDN, "max-age=600")],
            Targeted,
            malformed(max_age(600)),
        ),
        (
            &[OWN, CDN],
            &[(OWN, ""), (CDN, "max-age=600")],
            Targeted,
            max_age(600),
        ),
        (&[OWN, CDN], &[(CDN, "max-age=600")], Targeted, max_age(600)),
    ];
    for (targets, lines, source, directives) in table {
        let found = effective(&headers(lines), &rules(targets));
        assert_eq!(found.directives, *directives, "{targets:?} {lines:?}");
        assert_eq!(found.source, *source, "{targets:?} {lines:?}");
    }
}

#[test]
fn an_invalid_target_permits_nothing_and_restricts_all_the_same() {
    let restricted = |change: fn(&mut ResponseDirectives)| {
        let mut directives = malformed(max_age(60));
        change(&mut directives);
        directives
    };
    let table = [
        ("max-age=600,", restricted(|_| {})),
        ("max-age=600, foo=x y", restricted(|_| {})),
        ("NO-STORE", restricted(|found| found.no_store = true)),
        ("no-store=1", restricted(|found| found.no_store = true)),
        (
            "max-age=600, public no-store",
            restricted(|found| found.no_store = true),
        ),
        (
            "max-age=600, foo=\"bar",
            restricted(|found| found.no_store = true),
        ),
        (
            "public Private",
            restricted(|found| found.private = Some(Scope::Whole)),
        ),
        (
            "private=x-user, max-age=\"600\"",
            restricted(|found| found.private = Some(Scope::Whole)),
        ),
        (
            "max-age=600, \u{e9}; no-cache",
            restricted(|found| found.no_cache = Some(Scope::Whole)),
        ),
        (
            "must-revalidate=1, stale-if-error=600",
            restricted(|found| found.proxy_revalidate = true),
        ),
    ];
    for (line, expected) in table {
        // In place of the rest, and in front of a valid target.
        let fallback = headers(&[(OWN, line), (CACHE_CONTROL, "max-age=60")]);
        assert_eq!(
            effective(&fallback, &rules(&[OWN])).directives,
            expected,
            "{line}"
        );
        let next = headers(&[(OWN, line), (CDN, "max-age=60")]);
        assert_eq!(
            effective(&next, &rules(&[OWN, CDN])).directives,
            expected,
            "{line}"
        );
        // Behind one, it does not count.
        let last = effective(&next, &rules(&[CDN, OWN])).directives;
        assert_eq!(last, max_age(60), "{line}");
    }
}

#[test]
fn a_parameter_or_a_key_hides_no_restriction() {
    for line in [
        "public; no-store, max-age=60",
        "max-age=60;no-store",
        "max-age=60;a=\"b\";no-store=?0, public",
        "max-age=60, foo=(1 2);no-store, public",
        "max-age=60, *no-store, public",
        "max-age=60, public.no-store=(1)",
        "max-age=60, no-store-remote",
    ] {
        let found = cdn(&[line]).unwrap();
        assert!(found.no_store, "{line}");
        assert_eq!(found.max_age, Some(Delta::Seconds(60)), "{line}");
    }
    for line in [
        "max-age=60, foo=\"no-store\"",
        "max-age=60, foo=no-store",
        "max-age=60, foo=(no-store private)",
        "max-age=60;x-no-store;a=no-store",
    ] {
        assert_eq!(cdn(&[line]), Some(max_age(60)), "{line}");
    }
}

#[test]
fn no_later_scope_lifts_a_restriction() {
    for directive in ["private", "no-cache"] {
        let narrow = format!("{directive}=\"x-a\"");
        let list = format!("{directive}=(\"x-a\")");
        let whole = format!("{directive};p");
        let fields: [&[&str]; 6] = [
            &[directive, &narrow],
            &[&narrow, directive],
            &[directive, "max-age=60", &list],
            &["max-age=60", &whole, "x=\"a,b\"", &list],
            &[&narrow, &list],
            &["max-age=60;x=\"\\\",\"", directive, &narrow],
        ];
        for members in fields {
            let joined = members.join(" ,");
            for lines in [members, &[&joined]] {
                let said = cdn(lines).expect("it is a dictionary");
                let scope = said.private.or(said.no_cache);
                assert_eq!(scope, Some(Scope::Whole), "{lines:?}");
            }
        }
        let once = cdn(&[&narrow, "max-age=60, max-age=60"]).expect("it is a dictionary");
        let scope = once.private.or(once.no_cache);
        assert!(matches!(scope, Some(Scope::Fields(_))), "{scope:?}");
    }
}

#[test]
fn fields_for_other_caches_can_only_forbid_a_lifetime() {
    use OtherFields::{Forbid, Open};

    let table: &[(&str, &[&str], OtherFields)] = &[
        ("cdn-cache-control", &[], Open),
        ("cdn-cache-control", &[""], Open),
        ("cdn-cache-control", &["max-age=600"], Open),
        (
            "cdn-cache-control",
            &["public, must-revalidate, stale-if-error"],
            Open,
        ),
        ("cdn-cache-control", &["foo=\"no-store\""], Open),
        ("cdn-cache-control", &["no-store"], Forbid),
        ("cdn-cache-control", &["No-Store"], Forbid),
        ("cdn-cache-control", &["private"], Forbid),
        (
            "cdn-cache-control",
            &["private=\"x-user\", max-age=600"],
            Forbid,
        ),
        ("cdn-cache-control", &["no-cache"], Forbid),
        (
            "cdn-cache-control",
            &["max-age=600", "public;no-store"],
            Forbid,
        ),
        ("cdn-cache-control", &["max-age=0"], Forbid),
        ("cdn-cache-control", &["s-maxage=0, max-age=600"], Forbid),
        ("cdn-cache-control", &["max-age=600, foo=\"bar"], Forbid),
        ("cdn-cache-control", &["max-age=600, &&&"], Forbid),
        ("cdn-cache-control", &["max-age=\"600\""], Forbid),
        (
            "cdn-cache-control",
            &["\u{201c}max-age=600\u{201d}"],
            Forbid,
        ),
        ("cloudflare-cdn-cache-control", &["no-store"], Forbid),
        ("x-litespeed-cache-control", &["no-cache"], Forbid),
        ("surrogate-control", &["content=\"ESI/1.0\""], Open),
        (
            "surrogate-control",
            &["max-age=600;a, content=\"ESI/1.0\""],
            Open,
        ),
        (
            "surrogate-control",
            &["no-store, content=\"ESI/1.0\""],
            Forbid,
        ),
        ("surrogate-control", &["no-store;a"], Forbid),
        ("surrogate-control", &["no-store-remote"], Forbid),
        ("surrogate-control", &["max-age=0"], Forbid),
        ("edge-control", &["no-store"], Forbid),
        ("edge-control", &["max-age=600"], Open),
        ("x-accel-expires", &["0"], Forbid),
        ("x-accel-expires", &["600"], Open),
        // Not about caching.
        ("x-no-store", &["no-store"], Open),
        ("cache-control-cdn", &["no-store"], Open),
        ("pragma", &["no-store"], Open),
    ];
    for (name, lines, expected) in table {
        let name = HeaderName::from_static(name);
        let headers: HeaderMap = lines
            .iter()
            .map(|line| (name.clone(), HeaderValue::from_str(line).unwrap()))
            .collect();
        let found = effective(&headers, &rules(&[]));
        assert_eq!(found.others, *expected, "{name}: {lines:?}");
        // They say nothing else to this cache.
        assert_eq!(found.directives, ResponseDirectives::default(), "{name}");
        assert_eq!(found.leave_lifetime_open(), *expected == Open, "{name}");
    }
    // The governing field is none of them. `Cache-Control` is one, if a target governs.
    for (lines, expected) in [
        (&[(CDN, "no-store")] as &[_], Open),
        (&[(CDN, "foo"), (CACHE_CONTROL, "no-store")], Forbid),
        (&[(CDN, "foo"), (CACHE_CONTROL, "public; no-cache")], Forbid),
        (&[(CDN, "foo"), (CACHE_CONTROL, "max-age=60")], Open),
        (&[(CDN, "foo"), (OWN, "private")], Forbid),
    ] {
        let found = effective(&headers(lines), &rules(&[CDN]));
        assert_eq!(found.source, DirectiveSource::Targeted, "{lines:?}");
        assert_eq!(found.others, expected, "{lines:?}");
    }
}

#[test]
fn every_directive_works_in_a_target() {
    let every = ResponseDirectives {
        immutable: true,
        malformed: false,
        max_age: Some(Delta::Seconds(1)),
        must_revalidate: true,
        must_understand: true,
        no_cache: Some(Scope::Whole),
        no_store: true,
        private: Some(Scope::Whole),
        proxy_revalidate: true,
        public: true,
        s_maxage: Some(Delta::Seconds(2)),
        stale_if_error: Some(StaleWindow::Seconds(3)),
        stale_while_revalidate: Some(StaleWindow::Seconds(4)),
    };
    let line = "immutable, max-age=1, must-revalidate, must-understand, no-cache, no-store, \
                private, proxy-revalidate, public, s-maxage=2, stale-if-error=3, \
                stale-while-revalidate=4";
    assert_eq!(cdn(&[line]).as_ref(), Some(&every));
    let lines: Vec<_> = line.split(", ").collect();
    assert_eq!(cdn(&lines).as_ref(), Some(&every), "over several lines");
    assert_eq!(
        cdn(&[&line.replace("must-revalidate", "must-revalidate=?1")]),
        Some(every)
    );
}

#[test]
fn a_target_is_a_dictionary() {
    let table: &[(&[&str], Option<u32>)] = &[
        (&["max-age=60"], Some(60)),
        (&["  max-age=60  "], Some(60)),
        (&["max-age=60", "foo"], Some(60)),
        // Parameters and unknown members are ignored, whatever their type.
        (
            &["max-age=60;a;b=\"c\", foo=(1 2);d, bar=?0, baz=:aGk=:"],
            Some(60),
        ),
        // The last of two wins, here and even over one of the wrong type.
        (&["max-age=1, max-age=600"], Some(600)),
        (&["max-age=1", "max-age=600"], Some(600)),
        (&["max-age=\"1\", max-age=600"], Some(600)),
        (&["max-age=600, max-age=\"1\""], None),
        // Clamped like any number of seconds.
        (&["max-age=0"], Some(0)),
        (&["max-age=2147483649"], Some(MAX_DELTA)),
        (&["max-age=999999999999999"], Some(MAX_DELTA)),
        (&["max-age=9999999999999999"], None),
        // Not a Dictionary.
        (&[""], None),
        (&["  "], None),
        (&["max-age=60,"], None),
        (&["max-age=60, &&&"], None),
        (&["max-age=60", ""], None),
        (&["MaX-aGe=600"], None),
        (&["max-age=600, Foo"], None),
        (&["max-age =60"], None),
        (&["max-age=60, foo=\"bar"], None),
        (&["max-age=60, foo=\u{e9}"], None),
    ];
    for (lines, expected) in table {
        assert_eq!(cdn(lines), expected.map(max_age), "{lines:?}");
    }
}

#[test]
fn a_value_of_the_wrong_type_spoils_the_field() {
    let seconds = [
        "max-age",
        "s-maxage",
        "stale-if-error",
        "stale-while-revalidate",
    ];
    let flags = [
        "immutable",
        "must-revalidate",
        "must-understand",
        "no-store",
        "proxy-revalidate",
        "public",
    ];
    for name in seconds {
        for value in ["=?0", "=\"60\"", "=60.5", "=-1", "=sixty", "=(60)", "=@60"] {
            assert_eq!(cdn(&[&format!("{name}{value}")]), None, "{name}{value}");
        }
    }
    for name in ["max-age", "s-maxage"] {
        for value in ["", "=?1"] {
            assert_eq!(cdn(&[&format!("{name}{value}")]), None, "{name}{value}");
        }
    }
    for line in ["stale-if-error", "stale-if-error=?1"] {
        let window = cdn(&[line]).unwrap().stale_if_error;
        assert_eq!(window, Some(StaleWindow::OfOperator), "{line}");
    }
    for name in flags {
        for value in ["=?0", "=1", "=\"x\"", "=x", "=(x)", "=()"] {
            assert_eq!(cdn(&[&format!("{name}{value}")]), None, "{name}{value}");
        }
    }
    for name in ["no-cache", "private"] {
        for value in ["=?0", "=1", "=x-user", "=(x-user)", "=(\"x-user\" 1)"] {
            assert_eq!(cdn(&[&format!("{name}{value}")]), None, "{name}{value}");
        }
    }
}

#[test]
fn no_cache_and_private_may_name_fields() {
    let fields = |names: &[&'static str]| {
        let names = names.iter().map(|name| HeaderName::from_static(name));
        Scope::Fields(names.collect())
    };
    let table = [
        ("", Scope::Whole),
        ("=?1", Scope::Whole),
        ("=\"X-User\"", fields(&["x-user"])),
        ("=\"x-a, x-b\"", fields(&["x-a", "x-b"])),
        ("=(\"X-A\" \"x-b\");p=1", fields(&["x-a", "x-b"])),
        ("=\"\"", Scope::Whole),
        ("=()", Scope::Whole),
        ("=(\"x-a\" \"x b\")", Scope::Whole),
        ("=(\"x-a\" \"etag\")", Scope::Whole),
    ];
    for (value, expected) in table {
        let found = cdn(&[&format!("no-cache{value}, private{value}")]).unwrap();
        assert_eq!(found.no_cache.as_ref(), Some(&expected), "no-cache{value}");
        assert_eq!(found.private.as_ref(), Some(&expected), "private{value}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..3),
    ) {
        let lines = lines.iter().filter_map(|line| HeaderValue::from_bytes(line).ok());
        let headers: HeaderMap = lines.map(|line| (CDN, line)).collect();
        let _ = effective(&headers, &rules(&[OWN, CDN]));
    }

    #[test]
    fn every_number_is_itself_or_clamped(seconds in 0..=999_999_999_999_999_u64) {
        let expected = u32::try_from(seconds).unwrap_or(MAX_DELTA).min(MAX_DELTA);
        let found = cdn(&[&format!("max-age={seconds}")]);
        prop_assert_eq!(found, Some(max_age(expected)));
    }
}
