//! The form that a request prefers, and that every reason is in the README.

use std::collections::BTreeSet;

use super::*;

#[test]
fn the_form_is_what_accept_prefers() {
    for (accept, form) in [
        ("", Form::Text),
        ("*/*", Form::Text),
        ("text/html,application/xhtml+xml,*/*;q=0.8", Form::Text),
        ("image/avif,image/webp,*/*;q=0.8", Form::Text),
        ("image/png", Form::Text),
        ("nonsense", Form::Text),
        ("application/json", Form::Problem),
        ("APPLICATION/JSON", Form::Problem),
        ("application/problem+json;q=0.1", Form::Problem),
        ("application/json;q=0", Form::Text),
        ("application/json;q=0, */*", Form::Text),
        ("application/json, text/plain, */*", Form::Problem),
        ("text/plain;q=0.5, application/json;q=0.6", Form::Problem),
        ("text/plain, application/json;q=0.9", Form::Text),
        ("text/plain ; q=0.2 , */*;q=0.1", Form::Text),
        ("text/plain;q=0.2,*/*", Form::Problem),
        ("application/*", Form::Problem),
        ("application/*, */*", Form::Text),
        ("text/plain;q=0, application/json;q=0", Form::Text),
        ("application/json;q=NaN", Form::Text),
        ("application/json; charset=utf-8; Q=0.4", Form::Problem),
    ] {
        assert_eq!(Form::preferred(accept), form, "{accept:?}");
    }
}

/// The words that follow this mark in a source.
fn words(source: &str, mark: &str) -> BTreeSet<String> {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let after = code.split(mark).skip(1);
    let words = after.filter_map(|rest| rest.split('"').next());
    words.map(str::to_owned).collect()
}

#[test]
fn every_reason_has_its_row() {
    let page = include_str!("../../README.md");
    let (_, table) = page.split_once("\n| `detail` |").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let rows = table.lines().filter_map(|row| row.strip_prefix("| `"));
    let rows: BTreeSet<_> = rows.filter_map(|row| row.split('`').next()).collect();
    let kinds = include_str!("../failure.rs");
    let (_, kinds) = kinds.split_once("fn detail(self)").unwrap();
    let (kinds, _) = kinds.split_once("\n    }\n").unwrap();
    let refused = include_str!("../client/refusing.rs");
    let (_, refused) = refused.split_once("let (detail, text)").unwrap();
    let (refused, _) = refused.split_once("};").unwrap();
    let mut expected = words(kinds, "=> \"");
    // A sentence has spaces.
    let strings = refused.split('"').skip(1).step_by(2);
    expected.extend(strings.filter(|it| !it.contains(' ')).map(str::to_owned));
    let own = include_str!("../answer.rs").split("Cause::new(\"").skip(1);
    let own = own.filter_map(|rest| rest.split('"').nth(2));
    expected.extend(own.map(str::to_owned));
    assert_eq!(rows, expected.iter().map(String::as_str).collect());
}

#[test]
fn details_are_a_string_whatever_the_text() {
    let text = "say \"no\" \\ to\r\nlines and ümlauts";
    let status = StatusCode::BAD_REQUEST;
    let signature = Signature {
        name: "a".to_owned(),
        cache_status: OnOwn::Shown,
    };
    let cause = Cause::new("http_request_error", "request-invalid");
    let response = own(&signature, &Asked::default(), status, cause, text);
    assert_eq!(
        response.headers()[PROXY_STATUS],
        r#"a; error=http_request_error; details="say \"no\" \\ tolines and mlauts""#
    );
}
