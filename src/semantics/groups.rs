//! Cache groups (RFC 9875): responses of one origin that are invalidated together.

use http::{HeaderMap, HeaderName};

use crate::semantics::list;

/// The groups that a response belongs to (RFC 9875 §2).
pub(crate) const CACHE_GROUPS: HeaderName = HeaderName::from_static("cache-groups");

/// The groups that the response to an unsafe request invalidates (RFC 9875 §3).
pub(crate) const CACHE_GROUP_INVALIDATION: HeaderName =
    HeaderName::from_static("cache-group-invalidation");

/// The groups that a response belongs to. Empty if the field is absent or not a List of Strings.
pub(crate) fn cache_groups(headers: &HeaderMap) -> Vec<String> {
    strings(headers, &CACHE_GROUPS)
}

/// The groups that the response to an unsafe request invalidates.
pub(crate) fn invalidated_groups(headers: &HeaderMap) -> Vec<String> {
    strings(headers, &CACHE_GROUP_INVALIDATION)
}

/// A structured List of Strings (RFC 9651 §3.1), without parameters. A field that is none is ignored
/// as a whole (RFC 9651 §4.2).
fn strings(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let lines = headers.get_all(name);
    let Some(value) = list::joined(lines) else {
        return Vec::new();
    };
    parse(&value).unwrap_or_default()
}

fn parse(value: &[u8]) -> Option<Vec<String>> {
    let mut parser = Parser { rest: value };
    let mut strings = Vec::new();
    parser.skip(|byte| byte == b' ');
    if parser.rest.is_empty() {
        return Some(strings);
    }
    loop {
        strings.push(parser.string()?);
        parser.parameters()?;
        parser.skip(|byte| matches!(byte, b' ' | b'\t'));
        if parser.rest.is_empty() {
            return Some(strings);
        }
        parser.take(b',')?;
        parser.skip(|byte| matches!(byte, b' ' | b'\t'));
    }
}

/// What is left to parse (RFC 9651 §4.2).
struct Parser<'a> {
    rest: &'a [u8],
}

impl Parser<'_> {
    fn skip(&mut self, skipped: impl Fn(u8) -> bool) -> usize {
        let count = self.rest.iter().take_while(|byte| skipped(**byte)).count();
        self.rest = &self.rest[count..];
        count
    }

    fn take(&mut self, expected: u8) -> Option<()> {
        self.rest = self.rest.strip_prefix(&[expected])?;
        Some(())
    }

    fn string(&mut self) -> Option<String> {
        self.take(b'"')?;
        let mut string = String::new();
        loop {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            match byte {
                b'"' => return Some(string),
                b'\\' => {
                    let (escaped, rest) = self.rest.split_first()?;
                    self.rest = rest;
                    match escaped {
                        b'"' | b'\\' => string.push(char::from(*escaped)),
                        _ => return None,
                    }
                }
                b' '..=b'~' => string.push(char::from(*byte)),
                _ => return None,
            }
        }
    }

    /// Parameters mean nothing here (RFC 9875 §2), but they must be well-formed.
    fn parameters(&mut self) -> Option<()> {
        while self.rest.first() == Some(&b';') {
            self.take(b';')?;
            self.skip(|byte| byte == b' ');
            if !matches!(self.rest.first()?, b'a'..=b'z' | b'*') {
                return None;
            }
            self.skip(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*'));
            if self.rest.first() == Some(&b'=') {
                self.take(b'=')?;
                self.bare_item()?;
            }
        }
        Some(())
    }

    fn bare_item(&mut self) -> Option<()> {
        match self.rest.first()? {
            b'"' => self.string().map(drop),
            b':' => {
                self.take(b':')?;
                self.skip(|byte| {
                    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
                });
                self.take(b':')
            }
            b'?' => {
                self.take(b'?')?;
                (self.skip(|byte| matches!(byte, b'0' | b'1')) == 1).then_some(())
            }
            _ => {
                let count =
                    self.skip(|byte| list::is_tchar(byte) || matches!(byte, b':' | b'/' | b'@'));
                (count > 0).then_some(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn groups(lines: &[&str]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CACHE_GROUPS, HeaderValue::from_str(line).unwrap());
        }
        cache_groups(&headers)
    }

    #[test]
    fn a_list_of_strings_names_groups() {
        for (lines, expected) in [
            (
                &[r#""a", "B";x;y="1";z=?1;w=2.5,"c d""#][..],
                &["a", "B", "c d"][..],
            ),
            (&[r#""a""#, r#""b""#], &["a", "b"]),
            (&[r#""say \"hi\" \\""#], &[r#"say "hi" \"#]),
            (&[""], &[]),
            (&[], &[]),
        ] {
            assert_eq!(groups(lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn what_is_no_list_of_strings_names_none() {
        for line in [
            "a",
            r#""a", b"#,
            r#""a" "b""#,
            r#""a","#,
            r#""a"#,
            r#""\a""#,
            r#"("a")"#,
            r#""a";X"#,
            r#""a";x="#,
            "1",
            "\"a\u{e9}\"",
        ] {
            assert_eq!(groups(&[line]), [""; 0], "{line}");
        }
    }
}
