//! What unsafe requests invalidate.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header::LOCATION};

use super::{InvalidationScope, invalidates, related, resolve};

#[test]
fn success_and_redirection_of_unsafe_methods_invalidate_the_target() {
    use InvalidationScope::{Nothing, Target};
    let cases = [
        ("POST", 200, Target),
        ("PUT", 302, Target),
        ("PATCH", 204, Target),
        ("M-SEARCH", 200, Target),
        ("PURGE", 200, Target),
        ("DELETE", 202, Target),
        ("get", 200, Target),
        ("POST", 304, Target),
        ("POST", 404, Nothing),
        ("POST", 500, Nothing),
        ("POST", 103, Nothing),
        ("GET", 200, Nothing),
        ("HEAD", 200, Nothing),
        ("OPTIONS", 200, Nothing),
        ("TRACE", 200, Nothing),
        ("QUERY", 200, Nothing),
        ("PROPFIND", 207, Nothing),
        ("REPORT", 200, Nothing),
        ("SEARCH", 200, Nothing),
        ("CONNECT", 200, Nothing),
    ];
    for (name, status, expected) in cases {
        let method = Method::from_bytes(name.as_bytes()).unwrap();
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(invalidates(&method, status), expected, "{name} {status}");
    }
}

fn resolved(target: &str, lines: &[(&'static str, &str)]) -> Vec<String> {
    let target: Uri = target.parse().unwrap();
    let response: HeaderMap = lines
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            )
        })
        .collect();
    let siblings = resolve(&target, &response);
    siblings.iter().map(Uri::to_string).collect()
}

#[test]
fn references_are_resolved_against_the_target() {
    let cases = [
        ("/y", "http://a.test/y"),
        ("/y?z", "http://a.test/y?z"),
        ("/y?", "http://a.test/y?"),
        ("/y#top", "http://a.test/y"),
        ("y", "http://a.test/dir/y"),
        ("../y", "http://a.test/y"),
        ("./y/../z", "http://a.test/dir/z"),
        ("?q", "http://a.test/dir/x?q"),
        ("//a.test/y", "http://a.test/y"),
        ("http://a.test/y", "http://a.test/y"),
        ("http://a.test", "http://a.test/"),
        ("http://A.TEST:80/Y%2f", "http://a.test/Y%2f"),
        ("HTTP://a.test:/y", "http://a.test/y"),
    ];
    for field in ["location", "content-location"] {
        for (reference, expected) in cases {
            let found = resolved("http://a.test/dir/x?old", &[(field, reference)]);
            assert_eq!(found, [expected], "{field}: {reference}");
        }
    }
}

#[test]
fn only_the_targets_own_origin_is_touched() {
    let cases = [
        ("http://a.test/x", "//b.test/y"),
        ("http://a.test/x", "https://a.test/y"),
        ("http://a.test/x", "http://a.test:8080/y"),
        ("http://a.test/x", "http://a.test./y"),
        ("https://a.test/x", "https://a.test:80/y"),
        ("http://a.test/x", "http://b.test@a.test/y"),
        ("http://a.test/x", "http://a.test@b.test/y"),
        ("http://a.test/x", "mailto:a@a.test"),
        ("http://a.test/x", "/y z"),
        ("http://a.test/x", "http://[/y"),
        ("http://a.test/x", "/é"),
    ];
    for (target, reference) in cases {
        let found = resolved(target, &[("location", reference)]);
        assert!(found.is_empty(), "{target} {reference}: {found:?}");
    }
    assert_eq!(
        resolved("https://a.test:443/x", &[("location", "https://A.test/y")]),
        ["https://a.test:443/y"]
    );
}

#[test]
fn each_field_counts_once() {
    let (location, content_location) = (("location", "/y"), ("content-location", "/z"));
    assert_eq!(
        resolved("http://a.test/x", &[content_location, location]),
        ["http://a.test/y", "http://a.test/z"]
    );
    assert_eq!(
        resolved("http://a.test/x", &[location, location, content_location]),
        ["http://a.test/z"]
    );
    assert!(resolved("http://a.test/x", &[]).is_empty());
    // Without an origin of its own, a target has no siblings.
    assert!(resolved("/x", &[location]).is_empty());
}

#[test]
fn related_resources_come_in_both_spellings() {
    let target = Uri::from_static("http://a.test/d|r/x");
    let cases: &[(&str, &[&str])] = &[
        ("/y", &["http://a.test/y"]),
        ("/a|b", &["http://a.test/a|b", "http://a.test/a%7Cb"]),
        ("/a%7Cb", &["http://a.test/a%7Cb"]),
        (
            "y?|",
            &["http://a.test/d|r/y?|", "http://a.test/d%7Cr/y?%7C"],
        ),
        ("//b.test/y", &[]),
    ];
    for (reference, expected) in cases {
        let mut response = HeaderMap::new();
        response.insert(LOCATION, HeaderValue::from_str(reference).unwrap());
        let found: Vec<_> = related(&target, &response)
            .iter()
            .map(Uri::to_string)
            .collect();
        assert_eq!(found, *expected, "{reference}");
    }
}
