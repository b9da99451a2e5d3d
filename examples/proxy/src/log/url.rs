//! How the log shows a URL: without what may be secret, and with no byte that could end the line.

use http::{Request, header::HOST};

/// A longer one is cut off.
const MAX_URL: usize = 2048;

/// What is shown of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queries {
    /// `?a=*&*`: the names, as far as there are any.
    Names,
    Whole,
}

/// The URL of a request, as the client wrote it.
pub(crate) fn shown<B>(request: &Request<B>, queries: Queries) -> String {
    let uri = request.uri();
    let host = match (uri.authority(), request.headers().get(HOST)) {
        (Some(authority), _) => authority.as_str().as_bytes(),
        (None, Some(host)) => host.as_bytes(),
        (None, None) => b"",
    };
    let mut url = String::with_capacity(64 + uri.path().len());
    url.push_str(uri.scheme_str().unwrap_or("http"));
    url.push_str("://");
    push(&mut url, host);
    push(&mut url, uri.path().as_bytes());
    if let Some(query) = uri.query() {
        url.push('?');
        match queries {
            Queries::Whole => push(&mut url, query.as_bytes()),
            Queries::Names => push_names(&mut url, query),
        }
    }
    if url.len() > MAX_URL {
        // All of it is ASCII.
        url.truncate(MAX_URL);
        url.push_str("...");
    }
    url
}

/// What has no `=` may be a value as well.
fn push_names(url: &mut String, query: &str) {
    for (index, pair) in query.split('&').enumerate() {
        if url.len() > MAX_URL {
            return;
        }
        if index > 0 {
            url.push('&');
        }
        match pair.split_once('=') {
            Some((name, "")) => {
                push(url, name.as_bytes());
                url.push('=');
            }
            Some((name, _)) => {
                push(url, name.as_bytes());
                url.push_str("=*");
            }
            None if pair.is_empty() => {}
            None => url.push('*'),
        }
    }
}

/// Percent-encodes all but visible ASCII, and what quotes a string.
fn push(url: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes.iter().take(MAX_URL) {
        if matches!(byte, b'!'..=b'~') && !matches!(byte, b'"' | b'\\') {
            url.push(char::from(byte));
        } else {
            url.push('%');
            for half in [byte >> 4, byte & 15] {
                url.push(char::from(DIGITS[usize::from(half)]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn values_are_hidden_and_no_byte_ends_the_line() {
        for (target, host, names, whole) in [
            ("/", "a", "http://a/", "http://a/"),
            (
                "/x?q=secret&r=&s",
                "a:8",
                "http://a:8/x?q=*&r=&*",
                "http://a:8/x?q=secret&r=&s",
            ),
            ("/?&a=b=c&", "a", "http://a/?&a=*&", "http://a/?&a=b=c&"),
            ("http://b/x", "a", "http://b/x", "http://b/x"),
            ("*", "a", "http://a*", "http://a*"),
            (
                "/\u{9b}\u{2028}",
                "a",
                "http://a/%C2%9B%E2%80%A8",
                "http://a/%C2%9B%E2%80%A8",
            ),
        ] {
            let request = Request::get(target).header(HOST, host).body(()).unwrap();
            assert_eq!(shown(&request, Queries::Names), names);
            assert_eq!(shown(&request, Queries::Whole), whole);
        }
        let host = HeaderValue::from_bytes(b"a\"\\ \xff\t").unwrap();
        let request = Request::get("/").header(HOST, host).body(()).unwrap();
        let url = shown(&request, Queries::Names);
        assert_eq!(url, "http://a%22%5C%20%FF%09/");
    }

    #[test]
    fn a_long_one_is_cut_off() {
        let path = format!("/{}?{}", "x".repeat(1500), "a=1&".repeat(3000));
        let request = Request::get(path).body(()).unwrap();
        for queries in [Queries::Names, Queries::Whole] {
            let url = shown(&request, queries);
            assert_eq!(url.len(), MAX_URL + 3);
            assert!(url.ends_with("..."), "{url}");
        }
    }
}
