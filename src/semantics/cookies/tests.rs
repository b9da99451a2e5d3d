//! What becomes of each cookie, and of the lines that it stands in.

use http::{HeaderMap, HeaderValue, header::COOKIE};
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use super::{CookieRules, Cookies, Found};

fn rules(cookies: &Cookies) -> CookieRules {
    CookieRules::new(cookies).unwrap()
}

fn headers(lines: &[&str]) -> HeaderMap {
    let line = |line: &&str| (COOKIE, HeaderValue::from_bytes(line.as_bytes()).unwrap());
    lines.iter().map(line).collect()
}

fn found(cookies: &Cookies, line: &str) -> Found {
    rules(cookies).scan(&HeaderValue::from_bytes(line.as_bytes()).unwrap())
}

const COUNTED: Found = Found {
    counted: true,
    ignored: false,
    keyed: false,
};
const IGNORED: Found = Found {
    counted: false,
    ignored: true,
    keyed: false,
};
/// It counts, and may be one that is keyed.
const ODD: Found = Found {
    counted: true,
    ignored: false,
    keyed: true,
};
const KEYED: Found = Found {
    counted: false,
    ignored: false,
    keyed: true,
};
const BOTH: Found = Found {
    counted: true,
    ignored: true,
    keyed: false,
};

/// What is left of these lines, and what they were.
fn stripped(cookies: &Cookies, lines: &[&str]) -> (Vec<String>, Vec<String>) {
    let mut headers = headers(lines);
    let received = rules(cookies).remove_ignored(&mut headers);
    let text = |line: &HeaderValue| String::from_utf8(line.as_bytes().to_vec()).unwrap();
    let left = headers.get_all(COOKIE).iter().map(text).collect();
    (left, received.iter().map(text).collect())
}

#[test]
fn cookies_of_analytics_and_consent_are_ignored_by_default() {
    let lines = [
        "_ga=GA1.2.1",
        "_ga_X1=GS1.1",
        "_gid=1",
        "_gat=1",
        "_gat_UA-1=1",
        "_gcl_au=1.1",
        "_fbp=fb.1",
        "_fbc=fb.1",
        "_hjSession_1=ey",
        "_pk_id.1.2=ab",
        "__utma=1",
        "__utmz=1.utmcsr=(direct)|utmccn=(direct)",
        "_clck=1|2",
        "_clsk=1",
        "_uetsid=1",
        "_uetvid=1",
        "mp_1_mixpanel=%7B%22a%22%7D",
        "OptanonConsent=isGpcEnabled=0&datestamp=Sat+Nov+28",
        "OptanonAlertBoxClosed=2026-11-28T05:45:14.000Z",
        "CookieConsent={stamp:%27a%27%2Cnecessary:true}",
        "cookieyes-consent=consentid:a,consent:yes",
        "_ga=",
        "_ga=\"1\"",
        "_ga=1; _gid=2;_fbp=3 ;\t_fbc=4",
        "_ga=1;",
        " _ga=1; ",
    ];
    for line in lines {
        assert_eq!(found(&Cookies::default(), line), IGNORED, "{line}");
        assert_eq!(found(&Cookies::all_count(), line), COUNTED, "{line}");
    }
}

#[test]
fn all_others_count() {
    for line in [
        "session=1",
        "PHPSESSID=1",
        "_g=1",
        "_GA=1",
        "_Ga=1",
        "x_ga=1",
        "_gaa=1",
        "optanonconsent=1",
        "_fbpx=1",
        "__Host-session=1",
        "wordpress_logged_in_1=a",
    ] {
        assert_eq!(found(&Cookies::default(), line), COUNTED, "{line}");
        let beside = format!("_ga=1; {line}; _gid=2");
        assert_eq!(found(&Cookies::default(), &beside), BOTH, "{line}");
    }
}

/// Applications differ in what they make of these, and one may make a session of it.
#[test]
fn what_is_no_cookie_counts() {
    for line in [
        "",
        " ",
        ";",
        "; ",
        ";;",
        "_ga",
        "=_ga",
        "=1",
        "=",
        "_ga =1",
        "_ga= 1",
        "_ga=1 2",
        "_ga=a\"b",
        "_ga=\"a",
        "_ga=a\\b",
        "_ga=1, session=2",
        "_ga=1,session=2",
        "_ga=\"1,session=2\"",
        "_ga[session]=1",
        "(_ga)=1",
        "_ga=\u{e9}",
        "_\u{e9}=1",
        "$Version=1 _ga=1",
    ] {
        assert_eq!(found(&Cookies::default(), line), COUNTED, "{line:?}");
    }
    for line in [
        "_ga=1;;_gid=2",
        ";_ga=1",
        "_ga=1;;",
        "_ga=1; x",
        "_ga=\"1; session=2\"",
        "_ga=\"1; _gid",
    ] {
        let found = found(&Cookies::default(), line);
        assert!(found.counted, "{line:?}");
    }
}

#[test]
fn keyed_comes_before_counted_and_that_before_ignored() {
    let cookies = Cookies::all_count()
        .ignore(["*"])
        .count(["s*", "lang_s"])
        .key(["lang*", "s_key"]);
    for (line, expected) in [
        ("lang=de", KEYED),
        ("lang_s=de", KEYED),
        ("s_key=1", KEYED),
        ("s=1", COUNTED),
        ("session=1", COUNTED),
        ("other=1", IGNORED),
        ("S=1", IGNORED),
        // No name matches what is no cookie, but it may be one to the application.
        ("other", COUNTED),
        ("lang", ODD),
        ("lang=d e", ODD),
        ("lang =de", ODD),
        ("a=b,lang=de", ODD),
        ("$a lang=de", ODD),
        ("x=\"lang=de", ODD),
        ("x=\"language\" ", IGNORED),
        ("x=\"lang e\"", ODD),
    ] {
        assert_eq!(found(&cookies, line), expected, "{line}");
    }
    let unlisted = Cookies::all_count().key(["lang"]);
    assert_eq!(found(&unlisted, "other=1"), COUNTED);
    assert_eq!(found(&unlisted, "other=lang"), COUNTED);
    assert_eq!(found(&unlisted, "LANG=1"), ODD);
    assert_eq!(found(&unlisted, "langs=1"), COUNTED);
}

#[test]
fn ignored_cookies_are_removed_and_nothing_else() {
    let cookies = Cookies::default().key(["lang"]);
    let cases: [(&[&str], &[&str]); 11] = [
        (&["_ga=1"], &[]),
        (&["_ga=1; _gid=2"], &[]),
        (&["_ga=1", "_gid=2"], &[]),
        (&["_ga=1; s=2"], &["s=2"]),
        (&["s=2; _ga=1"], &["s=2"]),
        (&["a=1; _ga=1; b=2;_gid=3;c=3"], &["a=1; b=2; c=3"]),
        (&["a=1", "_ga=1", "b=2"], &["a=1", "b=2"]),
        (&["a=1; _ga=1", "_gid=1; b=2"], &["a=1", "b=2"]),
        (&["lang=de; _ga=1; lang=fr"], &["lang=de; lang=fr"]),
        // What counts stays as it is, however it is written.
        (&["a = b;  c", "_ga=1; \"; =d"], &["a = b;  c", "\"; =d"]),
        (&["s=\"a b\"; _ga=1"], &["s=\"a b\""]),
    ];
    for (lines, expected) in cases {
        let (left, received) = stripped(&cookies, lines);
        assert_eq!(left, expected, "{lines:?}");
        assert_eq!(received, lines);
    }
}

#[test]
fn a_line_that_is_not_to_be_shown_stays_one() {
    let mut headers = HeaderMap::new();
    let mut line = HeaderValue::from_static("s=1; _ga=2");
    line.set_sensitive(true);
    headers.insert(COOKIE, line);
    rules(&Cookies::default()).remove_ignored(&mut headers);
    assert_eq!(headers[COOKIE], "s=1");
    assert!(headers[COOKIE].is_sensitive());
}

#[test]
fn the_order_of_names_does_not_matter_for_the_key() {
    let rules = rules(&Cookies::default().key(["lang", "cur*"]));
    let expected: [(&[u8], &[u8]); 3] = [(b"cur", b"eur"), (b"lang", b"de"), (b"lang", b"fr")];
    for lines in [
        &["lang=de; cur=eur; lang=fr"][..],
        &["lang=de", "lang=fr", "cur=eur"],
        &["x=1; cur=eur;lang=de ;_ga=2; lang=fr"],
    ] {
        assert_eq!(rules.keyed(&headers(lines))[..], expected, "{lines:?}");
    }
    let turned = headers(&["lang=fr; lang=de; cur=eur"]);
    assert_ne!(rules.keyed(&turned)[..], expected);
    let odd: [(&[u8], &[u8]); 3] = [(b"", b"Lang=de"), (b"", b"lang"), (b"lang", b"fr")];
    assert_eq!(
        rules.keyed(&headers(&["Lang=de; lang=fr; a=b; lang"]))[..],
        odd
    );
    assert!(rules.keyed(&headers(&["a=b; c d"])).is_empty());
    assert!(rules.keyed(&HeaderMap::new()).is_empty());
}

#[test]
fn only_a_name_is_shown() {
    let rules = rules(&Cookies::default());
    let long = format!("{}=", "a".repeat(65));
    for (lines, shown) in [
        (&["session=secret"][..], Some("session")),
        (&["_ga=1; _gid=2", "b=1; session=2"], Some("b")),
        (&["secret"], Some("(unnamed)")),
        (&["=secret"], Some("(unnamed)")),
        (&["se cret=1"], Some("(unnamed)")),
        (&[&long], Some("(unnamed)")),
        (&["_ga=1"], None),
        (&[], None),
    ] {
        assert_eq!(rules.first_counted(&headers(lines)), shown, "{lines:?}");
    }
}

#[test]
fn a_name_that_is_no_pattern_is_refused() {
    for name in ["", "a*b", "**", "a b", "a=b", "a;b", "\u{e9}"] {
        let all = Cookies::all_count;
        for cookies in [all().key([name]), all().count([name]), all().ignore([name])] {
            assert_eq!(CookieRules::new(&cookies).unwrap_err(), name);
        }
    }
}

proptest! {
    /// What remains has nothing to ignore and all that counted, so it selects what it says.
    #[test]
    fn stripping_once_is_enough(line in "[ -~]{0,40}", more in "(_ga=1; |x=2;|_gid|;| |\"|,|=){0,12}") {
        for line in [line, more] {
            let rules = rules(&Cookies::default());
            let mut once = HeaderMap::new();
            once.insert(COOKIE, HeaderValue::from_str(&line).unwrap());
            let before = rules.scan(&once[COOKIE]);
            rules.remove_ignored(&mut once);
            let mut left = Found::default();
            for line in once.get_all(COOKIE) {
                let found = rules.scan(line);
                left.counted |= found.counted;
                left.ignored |= found.ignored;
            }
            prop_assert_eq!(left.counted, before.counted);
            prop_assert!(!left.ignored);
        }
    }

    #[test]
    fn whatever_comes_is_read(line in any::<Vec<u8>>()) {
        if let Ok(line) = HeaderValue::from_bytes(&line) {
            let mut headers = HeaderMap::new();
            headers.insert(COOKIE, line);
            let rules = rules(&Cookies::default().key(["a*"]));
            rules.scan(&headers[COOKIE]);
            rules.keyed(&headers);
            rules.first_counted(&headers);
            rules.remove_ignored(&mut headers);
        }
    }
}
