//! What `Cache-Control` means, well formed or not, in a response and in a request.

use http::header::{CACHE_CONTROL, PRAGMA};
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::{Delta, MaxStale, RequestDirectives, ResponseDirectives, Scope, StaleWindow};
use crate::semantics::list::MAX_DELTA;
use crate::semantics::rules::{DuplicatePolicy, IgnoredRequest};

fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
    let lines = lines.iter();
    lines
        .map(|(name, line)| (name.clone(), HeaderValue::from_str(line).unwrap()))
        .collect()
}

fn cache_control(lines: &[&str]) -> HeaderMap {
    let lines: Vec<_> = lines.iter().map(|line| (CACHE_CONTROL, *line)).collect();
    headers(&lines)
}

fn response(lines: &[&str]) -> ResponseDirectives {
    ResponseDirectives::parse(&cache_control(lines), DuplicatePolicy::Stale)
}

fn request(lines: &[&str]) -> RequestDirectives {
    RequestDirectives::parse(&cache_control(lines), &IgnoredRequest::default())
}

fn max_age(seconds: u32) -> ResponseDirectives {
    ResponseDirectives {
        max_age: Some(Delta::Seconds(seconds)),
        ..ResponseDirectives::default()
    }
}

fn unreadable() -> ResponseDirectives {
    ResponseDirectives {
        malformed: true,
        no_store: true,
        ..ResponseDirectives::default()
    }
}

fn malformed(directives: ResponseDirectives) -> ResponseDirectives {
    ResponseDirectives {
        malformed: true,
        ..directives
    }
}

fn fields(names: &[&'static str]) -> Option<Scope> {
    let names = names.iter().map(|name| HeaderName::from_static(name));
    Some(Scope::Fields(names.collect()))
}

// === Response: syntax ===

#[test]
fn all_lines_make_one_list() {
    let table: &[(&[&str], ResponseDirectives)] = &[
        (&[], ResponseDirectives::default()),
        (&[""], ResponseDirectives::default()),
        (&["max-age=60"], max_age(60)),
        (&[",, max-age=60 ,"], max_age(60)),
        (&["\tmax-age=60 \t,\tfoo"], max_age(60)),
        (&["", "foo", "max-age=60"], max_age(60)),
        (
            &["max-age=60, no-store", "public"],
            ResponseDirectives {
                no_store: true,
                public: true,
                ..max_age(60)
            },
        ),
    ];
    for (lines, expected) in table {
        assert_eq!(response(lines), *expected, "{lines:?}");
    }
}

#[test]
fn every_directive_is_known_in_any_case() {
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
    assert_eq!(response(&[line]), every);
    assert_eq!(response(&[&line.to_uppercase()]), every);
    assert_eq!(response(&["MaX-AgE=60"]), max_age(60));
}

#[test]
fn token_and_quoted_string_mean_the_same() {
    let table = [
        ("max-age=60", "max-age=\"60\""),
        ("max-age=60", "max-age=\"\\6\\0\""),
        ("s-maxage=60", "s-maxage=\"60\""),
        ("stale-if-error=60", "stale-if-error=\"60\""),
        ("stale-while-revalidate=60", "stale-while-revalidate=\"60\""),
        ("private=x-user", "private=\"x-user\""),
        ("no-cache=x-user", "no-cache=\"x-user\""),
    ];
    for (token, quoted) in table {
        assert_eq!(response(&[token]), response(&[quoted]), "{quoted}");
        assert_ne!(response(&[token]), ResponseDirectives::default(), "{token}");
    }
}

#[test]
fn quoted_text_is_data() {
    let table = [
        (r#"ext="max-age=3600", max-age=1"#, max_age(1)),
        (r#"max-age=1, ext="max-age=3600""#, max_age(1)),
        (r#"ext="a\", no-store", max-age=60"#, max_age(60)),
        (r#"ext="a,no-store,b", max-age=60"#, max_age(60)),
        (r#"ext="no-store", max-age=60"#, max_age(60)),
        (r#"ext=no-store, max-age=60"#, max_age(60)),
        (r#"ext="max-age=60; private", max-age=60"#, max_age(60)),
    ];
    for (line, expected) in table {
        assert_eq!(response(&[line]), expected, "{line}");
    }
}

#[test]
fn unknown_directives_are_skipped() {
    for line in [
        "max-age=60, foobar, x=1, y=\"2\"",
        "max-age=60, max-ages=1, xmax-age=1",
        "stale-while-revalidates=1, a-name-that-is-longer-than-any-known-one=1, max-age=60",
        "maxage=1, max_age=1, max-age=60",
        "x-no-store, not-private, no_cache=1, nostore, no-store-, -private, max-age=60",
    ] {
        assert_eq!(response(&[line]), max_age(60), "{line}");
    }
}

// === Response: malformed members ===

#[test]
fn what_is_no_directive_is_malformed() {
    for member in [
        "foo bar",
        "=",
        "=60",
        "\"\"",
        "@",
        "foo;",
        "foo:1",
        "foo = 1",
        "foo=",
        "foo==1",
        "foo=a b",
        "foo=\"a\"b",
        "foo\"a\"",
        "\"a\"=b",
        "(foo)",
        "foo/bar",
        "f\u{f6}o",
        "foo=f\u{f6}o",
        "{}",
        "max-age=30;",
        "public;",
        "immutable =1",
        // It should be a number.
        "s-maxage=\"\"",
        "stale-if-error=x",
        "stale-while-revalidate=\"1, 2\"",
    ] {
        for lines in [
            &[&format!("max-age=60, {member}")[..]] as &[&str],
            &[member, "max-age=60"],
            &["max-age=60", "foo", &format!("\t{member} ,")],
        ] {
            assert!(response(lines).malformed, "{lines:?}");
        }
    }
    for member in [
        "foo",
        "foo=1",
        "foo=\"a; b\"",
        "foo=\"f\u{f6}o\"",
        "foo='1'",
        "max-age",
        "public=1",
        "private=\"\"",
        "no-store=1",
        "stale-if-error",
        ",",
        "",
    ] {
        assert!(!response(&["max-age=60", member]).malformed, "{member}");
    }
}

#[test]
fn a_restriction_in_a_malformed_member_applies_wherever_it_stands() {
    fn restricted(change: impl FnOnce(&mut ResponseDirectives)) -> ResponseDirectives {
        let mut directives = malformed(ResponseDirectives::default());
        change(&mut directives);
        directives
    }
    let table = [
        ("no-store", restricted(|found| found.no_store = true)),
        (
            "private",
            restricted(|found| found.private = Some(Scope::Whole)),
        ),
        (
            "no-cache",
            restricted(|found| found.no_cache = Some(Scope::Whole)),
        ),
        (
            "must-revalidate",
            restricted(|found| found.proxy_revalidate = true),
        ),
        (
            "proxy-revalidate",
            restricted(|found| found.proxy_revalidate = true),
        ),
        (
            "must-understand",
            restricted(|found| found.must_understand = true),
        ),
    ];
    let members = [
        "foo; {}",
        "foo;{}",
        "foo {}",
        "foo\t{}",
        "foo: {}",
        "foo/{}",
        "foo;a={};b",
        "foo={} bar",
        "foo={};",
        "foo= {}",
        "foo = {}",
        "={}",
        "= {}",
        "\"{}\"",
        "\"a, {}\"",
        "foo=\"a\" {}",
        "foo=\"{}\" a",
        "foo=\"a\"\"{}\"",
        "foo\"a, {}, b\"",
        "({})",
        "[{}]",
        "<{}>",
        "foo; {}=\"x-user\"",
        "foo; {}=x-user",
        "\u{201c}{}\u{201d}",
        "\u{e9} {}",
        "foo;x-{};{}",
        "foo.{} bar",
        "'{}' bar",
        "Cache-Control: {}",
    ];
    for (word, expected) in &table {
        for member in members.map(|member| member.replace("{}", word)) {
            assert_eq!(response(&[&member]), *expected, "{member}");
            let upper = member.to_uppercase();
            assert_eq!(response(&["foo", &upper]), *expected, "{upper}");
        }
        // Not as a part of a longer word.
        for member in ["foo; x-{}", "foo; {}-x", "foo; {}s", "foo; _{}"] {
            let member = member.replace("{}", word);
            assert_eq!(
                response(&[&member]),
                malformed(ResponseDirectives::default()),
                "{member}"
            );
        }
    }
}

#[test]
fn punctuation_in_a_name_hides_no_restriction() {
    for member in [
        "'no-store'",
        "`no-store`",
        "*no-store*",
        "public|no-store",
        "public&no-store=1",
        "foo.no-store",
        "no-store.a-name-that-is-longer-than-any-known-one=\"x\"",
    ] {
        let found = response(&["max-age=60", member]);
        let expected = ResponseDirectives {
            no_store: true,
            ..max_age(60)
        };
        assert_eq!(found, expected, "{member}");
    }
}

#[test]
fn a_number_that_is_none_hides_no_restriction() {
    for name in [
        "max-age",
        "s-maxage",
        "stale-if-error",
        "stale-while-revalidate",
    ] {
        for argument in [
            "\"60; private\"",
            "\"60, private\"",
            "\"private\"",
            "private",
        ] {
            let found = response(&[&format!("{name}={argument}")]);
            assert_eq!(found.private, Some(Scope::Whole), "{name}={argument}");
        }
    }
}

#[test]
fn an_unreadable_field_counts_as_no_store() {
    let table: &[&[&str]] = &[
        &["max-age=60, foo=\"bar"],
        &["foo=\"bar, max-age=60"],
        &["max-age=\"60"],
        &["max-age=60\""],
        &["foo=\"bar\\\""],
        &["foo=\"bar", "max-age=60"],
        &["max-age=60", "foo=\"bar"],
        // Not even this one lifts it.
        &["must-understand, max-age=60, foo=\"bar"],
    ];
    for lines in table {
        assert_eq!(response(lines), unreadable(), "{lines:?}");
    }
}

#[test]
fn more_than_a_thousand_directives_are_unreadable() {
    let line = |count: usize| format!("max-age=60,{}", "a,,".repeat(count - 1));
    assert_eq!(response(&[&line(1000)]), max_age(60));
    assert_eq!(response(&[&line(1001)]), unreadable());
}

// === Response: freshness ===

#[test]
fn a_lifetime_that_is_not_a_number_is_an_explicit_zero() {
    let table = [
        ("=60", Delta::Seconds(60)),
        ("=0", Delta::Seconds(0)),
        ("=0060", Delta::Seconds(60)),
        ("=99999999999999999999", Delta::Seconds(MAX_DELTA)),
        ("=4294967297", Delta::Seconds(MAX_DELTA)),
        ("", Delta::Invalid),
        ("=", Delta::Invalid),
        ("=\"\"", Delta::Invalid),
        ("='60'", Delta::Invalid),
        ("=-60", Delta::Invalid),
        ("=+60", Delta::Invalid),
        ("=60.5", Delta::Invalid),
        ("=6e1", Delta::Invalid),
        ("=60s", Delta::Invalid),
        ("=6 0", Delta::Invalid),
        ("=abc", Delta::Invalid),
        ("=\"60\"s", Delta::Invalid),
        ("=\" 60\"", Delta::Invalid),
        // No space around the equals sign, and nothing else in its place.
        (" =60", Delta::Invalid),
        ("= 60", Delta::Invalid),
        ("\t=60", Delta::Invalid),
        (":60", Delta::Invalid),
        (" 60", Delta::Invalid),
        ("==60", Delta::Invalid),
    ];
    for (argument, expected) in table {
        let found = response(&[&format!("max-age{argument}, s-maxage{argument}")]);
        assert_eq!(found.max_age, Some(expected), "max-age{argument}");
        assert_eq!(found.s_maxage, Some(expected), "s-maxage{argument}");
    }
    assert_eq!(Delta::Seconds(60).seconds(), 60);
    assert_eq!(Delta::Invalid.seconds(), 0);
}

#[test]
fn a_lifetime_stated_twice_counts_if_the_values_are_equal() {
    use Delta::{Invalid, Seconds};

    let table: &[(&[&str], Delta, Delta)] = &[
        // lines, under `Stale`, under `First`
        (&["max-age=60, max-age=60"], Seconds(60), Seconds(60)),
        (&["max-age=60", "MAX-AGE=\"060\""], Seconds(60), Seconds(60)),
        (&["max-age=60, max-age=600"], Invalid, Seconds(60)),
        (&["max-age=600, max-age=60"], Invalid, Seconds(600)),
        (&["max-age=60", "max-age=600"], Invalid, Seconds(60)),
        (&["max-age=60, max-age=6, max-age=60"], Invalid, Seconds(60)),
        (&["max-age=60, max-age=x"], Invalid, Seconds(60)),
        (&["max-age=x, max-age=60"], Invalid, Invalid),
        (&["max-age, max-age=x"], Invalid, Invalid),
    ];
    for (lines, stale, first) in table {
        for (policy, expected) in [
            (DuplicatePolicy::Stale, stale),
            (DuplicatePolicy::First, first),
        ] {
            let found = ResponseDirectives::parse(&cache_control(lines), policy);
            assert_eq!(found.max_age, Some(*expected), "{lines:?} {policy:?}");
        }
    }
}

#[test]
fn max_age_and_s_maxage_are_two_lifetimes() {
    let found = response(&["s-maxage=x, max-age=600, stale-if-error=600"]);
    assert_eq!(found.s_maxage, Some(Delta::Invalid));
    assert_eq!(found.max_age, Some(Delta::Seconds(600)));
    assert_eq!(found.stale_if_error, Some(StaleWindow::Seconds(600)));
}

// === Response: restrictions and permissions ===

#[test]
fn restrictions_hold_whatever_their_argument() {
    for argument in [
        "", "=1", "=", "=\"\"", " =x", "= x", ";x", " x", "=\"a\"b", "é",
    ] {
        let restrictions = ResponseDirectives {
            must_revalidate: true,
            must_understand: true,
            no_cache: Some(Scope::Whole),
            no_store: true,
            private: Some(Scope::Whole),
            proxy_revalidate: true,
            malformed: !["", "=1", "=\"\""].contains(&argument),
            ..ResponseDirectives::default()
        };
        let flags = [
            "must-revalidate",
            "must-understand",
            "no-store",
            "proxy-revalidate",
        ];
        let line = flags.map(|name| format!("{name}{argument}")).join(", ");
        // The two with an argument of their own: see the scopes below.
        let found = response(&[&line, "no-cache, private"]);
        assert_eq!(found, restrictions, "{line}");
        // Said twice is said once.
        assert_eq!(response(&[&line, &line, "no-cache, private"]), restrictions);
    }
}

#[test]
fn permissions_hold_only_when_well_formed_and_agreed() {
    let table: &[(&[&str], ResponseDirectives)] = &[
        (
            &["public, public"],
            ResponseDirectives {
                public: true,
                ..ResponseDirectives::default()
            },
        ),
        (&["public=1"], ResponseDirectives::default()),
        (&["public =1"], malformed(ResponseDirectives::default())),
        (
            &["stale-if-error=5", "stale-if-error=5"],
            ResponseDirectives {
                stale_if_error: Some(StaleWindow::Seconds(5)),
                ..ResponseDirectives::default()
            },
        ),
        // Without a value it leaves the window to the operator.
        (
            &["stale-if-error, stale-if-error"],
            ResponseDirectives {
                stale_if_error: Some(StaleWindow::OfOperator),
                ..ResponseDirectives::default()
            },
        ),
        (
            &["stale-while-revalidate", "stale-while-revalidate=5"],
            ResponseDirectives::default(),
        ),
        (
            &["stale-if-error=x"],
            malformed(ResponseDirectives::default()),
        ),
        (
            &["stale-if-error= 5"],
            malformed(ResponseDirectives::default()),
        ),
        (
            &["stale-if-error=5, stale-if-error=6"],
            ResponseDirectives::default(),
        ),
        (
            &["stale-while-revalidate=5, stale-while-revalidate=6, stale-while-revalidate=5"],
            ResponseDirectives::default(),
        ),
        (
            &["stale-while-revalidate=-5"],
            malformed(ResponseDirectives::default()),
        ),
    ];
    for (lines, expected) in table {
        assert_eq!(response(lines), *expected, "{lines:?}");
    }
}

#[test]
fn immutable_takes_no_argument_and_ignores_one() {
    for (line, expected) in [
        ("immutable", true),
        ("immutable=1", true),
        ("immutable=\"x\"", true),
        ("immutable =1", false),
    ] {
        assert_eq!(response(&[line]).immutable, expected, "{line}");
    }
}

#[test]
fn no_cache_and_private_may_name_fields() {
    let table: &[(&[&str], Option<Scope>)] = &[
        (&[], None),
        (&["{}"], Some(Scope::Whole)),
        (&["{}=x-user"], fields(&["x-user"])),
        (&["{}=\"X-User\""], fields(&["x-user"])),
        (
            &["{}=\"set-cookie, x-a ,,x-b\""],
            fields(&["set-cookie", "x-a", "x-b"]),
        ),
        (&["{}=\"x-a\"", "{}=\"x-b\""], fields(&["x-a", "x-b"])),
        // The whole response where the names cannot be read, or one of them is not a name.
        (&["{}="], Some(Scope::Whole)),
        (&["{}=\"\""], Some(Scope::Whole)),
        (&["{}=\" , \""], Some(Scope::Whole)),
        (&["{}=\"x-a, x b\""], Some(Scope::Whole)),
        (&["{}=\"x-a, \\\"x-b\\\"\""], Some(Scope::Whole)),
        (&["{}=\"x:\""], Some(Scope::Whole)),
        (&["{}='x-user'"], Some(Scope::Whole)),
        (&["{}=1"], Some(Scope::Whole)),
        (&["{}=True"], Some(Scope::Whole)),
        (&["{}=\"x-a, 1\""], Some(Scope::Whole)),
        (&["{}=\"'x-a', 'x-b'\""], Some(Scope::Whole)),
        (&["{}=\"x-a\"; x"], Some(Scope::Whole)),
        (&["{}=\"x-a\"", "foo; {}"], Some(Scope::Whole)),
        (&["{} =\"x-a\""], Some(Scope::Whole)),
        (&["{}=\"x-a\"b"], Some(Scope::Whole)),
        // Unqualified beats qualified, in either order.
        (&["{}, {}=\"x-a\""], Some(Scope::Whole)),
        (&["{}=\"x-a\", {}"], Some(Scope::Whole)),
    ];
    for (lines, expected) in table {
        let spell = |name: &str| -> Vec<_> {
            let lines = lines.iter();
            lines.map(|line| line.replace("{}", name)).collect()
        };
        let lines = [spell("no-cache"), spell("private")];
        let [no_cache, private] = lines.each_ref().map(|lines| {
            let lines: Vec<_> = lines.iter().map(String::as_str).collect();
            response(&lines)
        });
        assert_eq!(no_cache.no_cache, *expected, "{lines:?}");
        assert_eq!(no_cache.private, None, "{lines:?}");
        assert_eq!(private.private, *expected, "{lines:?}");
        assert_eq!(private.no_cache, None, "{lines:?}");
    }
}

#[test]
fn a_field_that_the_stored_copy_needs_makes_the_scope_the_whole_response() {
    for name in [
        "age",
        "Cache-Control",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "date",
        "ETag",
        "expires",
        "last-modified",
        "location",
        "vary",
    ] {
        for argument in [name.to_owned(), format!("\"x-user, {name}\"")] {
            let found = response(&[&format!("private={argument}, no-cache={argument}")]);
            assert_eq!(found.private, Some(Scope::Whole), "private={argument}");
            assert_eq!(found.no_cache, Some(Scope::Whole), "no-cache={argument}");
        }
    }
}

#[test]
fn pragma_means_nothing_in_a_response() {
    let headers = headers(&[(CACHE_CONTROL, "max-age=60"), (PRAGMA, "no-cache")]);
    let found = ResponseDirectives::parse(&headers, DuplicatePolicy::Stale);
    assert_eq!(found, max_age(60));
}

// === Request ===

#[test]
fn a_request_states_limits_and_permissions() {
    let every = RequestDirectives {
        max_age: Some(1),
        max_stale: Some(MaxStale::Within(2)),
        min_fresh: Some(3),
        no_cache: true,
        no_store: true,
        only_if_cached: true,
        stale_if_error: Some(4),
    };
    let line = "max-age=1, max-stale=2, min-fresh=3, no-cache, no-store, no-transform, \
                only-if-cached, stale-if-error=4";
    assert_eq!(request(&[line]), every);
    assert_eq!(request(&[&line.to_uppercase()]), every);
    assert_eq!(request(&[&line.replace(", ", ",,\t")]), every);
    assert_eq!(request(&[]), RequestDirectives::default());
    assert_eq!(
        request(&["", "s-maxage=1, public"]),
        RequestDirectives::default()
    );
}

#[test]
fn malformed_request_arguments_are_skipped() {
    let nothing = RequestDirectives::default();
    let table = [
        ("max-age", nothing),
        ("max-age=", nothing),
        ("max-age=-1", nothing),
        ("max-age= 1", nothing),
        ("min-fresh", nothing),
        ("min-fresh=1.5", nothing),
        ("only-if-cached=1", nothing),
        ("stale-if-error", nothing),
        ("stale-if-error=x", nothing),
        // Above all, this is not the `max-stale` that allows everything.
        ("max-stale=abc", nothing),
        ("max-stale=", nothing),
        ("max-stale =5", nothing),
        (
            "max-age=x, max-age=\"0\", min-fresh=99999999999",
            RequestDirectives {
                max_age: Some(0),
                min_fresh: Some(MAX_DELTA),
                ..nothing
            },
        ),
        (
            "max-stale",
            RequestDirectives {
                max_stale: Some(MaxStale::Any),
                ..nothing
            },
        ),
        // A restriction in an argument is data, and a part of a longer word is none.
        ("x=no-store, y=\"no-cache\", x-no-store", nothing),
        // Restrictions hold all the same, wherever they stand.
        (
            "max-age=1; no-store",
            RequestDirectives {
                no_store: true,
                ..nothing
            },
        ),
        (
            "\"No-Store\", foo: 'no-cache'",
            RequestDirectives {
                no_cache: true,
                no_store: true,
                ..nothing
            },
        ),
        (
            "'no-store', max-stale no-cache",
            RequestDirectives {
                no_cache: true,
                no_store: true,
                ..nothing
            },
        ),
        (
            "no-cache=x, no-store =x",
            RequestDirectives {
                no_cache: true,
                no_store: true,
                ..nothing
            },
        ),
    ];
    for (line, expected) in table {
        assert_eq!(request(&[line]), expected, "{line}");
    }
}

#[test]
fn of_two_limits_the_stricter_one_applies_and_permissions_have_to_agree() {
    let nothing = RequestDirectives::default();
    let table = [
        (
            "max-age=60, max-age=5, max-age=30",
            RequestDirectives {
                max_age: Some(5),
                ..nothing
            },
        ),
        (
            "min-fresh=5, min-fresh=60, min-fresh=30, min-fresh=x",
            RequestDirectives {
                min_fresh: Some(60),
                ..nothing
            },
        ),
        (
            "max-stale=5, max-stale=\"5\", max-stale=x",
            RequestDirectives {
                max_stale: Some(MaxStale::Within(5)),
                ..nothing
            },
        ),
        ("max-stale=5, max-stale=6", nothing),
        ("max-stale, max-stale=6", nothing),
        ("stale-if-error=5, stale-if-error=6", nothing),
    ];
    for (line, expected) in table {
        assert_eq!(request(&[line]), expected, "{line}");
    }
}

#[test]
fn an_unclosed_quote_ends_the_directives_of_a_request() {
    let expected = RequestDirectives {
        max_age: Some(60),
        ..RequestDirectives::default()
    };
    assert_eq!(request(&["max-age=60, x=\"y, no-cache"]), expected);
    assert_eq!(request(&["max-age=60, no-cache=\"y"]), expected);
    assert_eq!(request(&["max-age=60, x=\"y", "no-cache"]), expected);

    let many = format!("max-age=60,{}no-cache", "a,".repeat(999));
    assert_eq!(request(&[&many]), expected);
}

#[test]
fn pragma_counts_only_without_cache_control() {
    let table: &[(&[(HeaderName, &str)], bool)] = &[
        (&[(PRAGMA, "no-cache")], true),
        (&[(PRAGMA, "foo=\"a, b\", No-Cache")], true),
        (&[(PRAGMA, "foo"), (PRAGMA, "no-cache")], true),
        (&[(PRAGMA, "foo; no-cache")], true),
        (&[(PRAGMA, "\"no-cache\"")], true),
        (&[(PRAGMA, "foo=\"no-cache\"")], false),
        (&[(PRAGMA, "max-age=0")], false),
        (
            &[(PRAGMA, "no-cache"), (CACHE_CONTROL, "max-age=100")],
            false,
        ),
        (&[(PRAGMA, "no-cache"), (CACHE_CONTROL, "")], false),
    ];
    for (lines, expected) in table {
        let found = RequestDirectives::parse(&headers(lines), &IgnoredRequest::default());
        assert_eq!(found.no_cache, *expected, "{lines:?}");
    }
}

#[test]
fn each_request_directive_can_be_ignored() {
    let none = IgnoredRequest::default();
    let headers = cache_control(&[
        "max-age=1, max-stale=2, min-fresh=3, no-cache, no-store, only-if-cached, \
         stale-if-error=4",
    ]);
    let all = RequestDirectives::parse(&headers, &none);
    let table = [
        (
            IgnoredRequest {
                max_age: true,
                ..none
            },
            RequestDirectives {
                max_age: None,
                ..all
            },
        ),
        (
            IgnoredRequest {
                max_stale: true,
                ..none
            },
            RequestDirectives {
                max_stale: None,
                ..all
            },
        ),
        (
            IgnoredRequest {
                min_fresh: true,
                ..none
            },
            RequestDirectives {
                min_fresh: None,
                ..all
            },
        ),
        (
            IgnoredRequest {
                no_cache: true,
                ..none
            },
            RequestDirectives {
                no_cache: false,
                ..all
            },
        ),
        (
            IgnoredRequest {
                no_store: true,
                ..none
            },
            RequestDirectives {
                no_store: false,
                ..all
            },
        ),
        (
            IgnoredRequest {
                only_if_cached: true,
                ..none
            },
            RequestDirectives {
                only_if_cached: false,
                ..all
            },
        ),
    ];
    for (ignored, expected) in table {
        assert_eq!(RequestDirectives::parse(&headers, &ignored), expected);
        assert_ne!(expected, all);
    }

    let ignored = IgnoredRequest {
        no_cache: true,
        ..none
    };
    let pragma = HeaderMap::from_iter([(PRAGMA, HeaderValue::from_static("no-cache"))]);
    assert!(!RequestDirectives::parse(&pragma, &ignored).no_cache);
}

// === Any input ===

const PIECES: &[&str] = &[
    "max-age",
    "s-maxage",
    "no-store",
    "no-cache",
    "private",
    "public",
    "max-stale",
    "min-fresh",
    "stale-if-error",
    "=",
    ",",
    ", ",
    " ",
    "\"",
    "\\",
    "60",
    "0",
    "99999999999",
    "x",
    "\t",
];

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..3),
    ) {
        let lines = lines.iter().filter_map(|line| HeaderValue::from_bytes(line).ok());
        let headers: HeaderMap = lines.map(|line| (CACHE_CONTROL, line)).collect();
        let _ = ResponseDirectives::parse(&headers, DuplicatePolicy::Stale);
        let _ = RequestDirectives::parse(&headers, &IgnoredRequest::default());
    }

    #[test]
    fn a_restriction_in_front_survives_anything_after_it(
        pieces in prop::collection::vec(prop::sample::select(PIECES), 0..24),
    ) {
        let rest = pieces.concat();
        let found = response(&["no-store", &rest]);
        prop_assert!(found.no_store, "{}", rest);
        prop_assert!(response(&[&format!("@ no-store {rest}")]).no_store, "{}", rest);
        for lifetime in [found.max_age, found.s_maxage].into_iter().flatten() {
            prop_assert!(lifetime.seconds() <= MAX_DELTA);
        }
        prop_assert!(request(&["no-store", &rest]).no_store, "{}", rest);
    }

    #[test]
    fn a_second_lifetime_never_prolongs_the_first(
        first in any::<u32>(),
        pieces in prop::collection::vec(prop::sample::select(PIECES), 0..24),
    ) {
        let line = format!("max-age={first}");
        let found = response(&[&line, &pieces.concat()]);
        if let Some(lifetime) = found.max_age {
            prop_assert!(lifetime.seconds() <= first);
        }
    }
}
