//! Heads of messages for the tests of the rules.

#![cfg(test)]

use http::{HeaderMap, HeaderName, HeaderValue};

/// Names and values of header fields.
pub(super) type Lines<'a> = &'a [(&'static str, &'a str)];

/// The fields with these names and values.
pub(super) fn head(lines: Lines<'_>) -> HeaderMap {
    let field = |(name, value): &(&'static str, &str)| {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        (HeaderName::from_static(name), value)
    };
    lines.iter().map(field).collect()
}

/// The fields of these lines, each `name: value`.
pub(super) fn head_of(lines: &[&str]) -> HeaderMap {
    let field = |line: &&str| {
        let (name, value) = line.split_once(':').unwrap();
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        (
            name,
            HeaderValue::from_bytes(value.trim().as_bytes()).unwrap(),
        )
    };
    lines.iter().map(field).collect()
}
