//! The file of URLs to warm, one a line.

use std::{fs::File, io::Read, path::Path};

use http::{HeaderValue, Uri};

use crate::{
    admit::hosts::{self, Form, Scheme},
    config::values::authority,
    warming::Target,
};

/// Far above what a cache holds.
const MAX_BYTES: u64 = 64 << 20;
/// Of a line that is shown.
const MAX_SHOWN: usize = 200;

/// What becomes of lines that are a path alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paths {
    Take,
    /// The address to listen on is no name that clients ask for.
    Refuse,
}

pub(crate) fn read(file: &Path, paths: Paths) -> Result<Vec<Target>, String> {
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err("a list is at most 64 MiB long".to_owned());
    }
    parse(&bytes, paths)
}

fn parse(bytes: &[u8], paths: Paths) -> Result<Vec<Target>, String> {
    let mut targets = Vec::new();
    for (line, number) in bytes.split(|&byte| byte == b'\n').zip(1..) {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let target = target(line, paths).map_err(|why| {
            let line = String::from_utf8_lossy(line);
            let shown: String = line.chars().take(MAX_SHOWN).collect();
            format!("line {number}, '{}': {why}", shown.escape_debug())
        })?;
        targets.push(target);
    }
    Ok(targets)
}

fn target(line: &[u8], paths: Paths) -> Result<Target, String> {
    if !line.is_ascii() {
        return Err("what is not ASCII is percent-encoded in a URL".to_owned());
    }
    let is_path = line.first() == Some(&b'/');
    let kinds =
        || "a line is a URL with http:// or https://, or a path that begins with /".to_owned();
    let uri = Uri::try_from(line).map_err(|error| {
        let is_url = line.windows(3).any(|part| part == b"://");
        if is_path || is_url {
            error.to_string()
        } else {
            kinds()
        }
    })?;
    let Some(scheme) = uri.scheme_str() else {
        if uri.authority().is_some() || !is_path {
            return Err(kinds());
        }
        if paths == Paths::Refuse {
            let why = "a path needs a host, and --host is none that clients ask for: write the URL";
            return Err(why.to_owned());
        }
        return with_host(None, uri);
    };
    let scheme = if scheme.eq_ignore_ascii_case("http") {
        Scheme::Http
    } else if scheme.eq_ignore_ascii_case("https") {
        Scheme::Https
    } else {
        return Err("the scheme is http:// or https://".to_owned());
    };
    let authority = authority(&uri)?.as_str();
    // As clients' requests are keyed.
    let host = match hosts::form(authority.as_bytes(), scheme)? {
        Form::Normal => authority.to_owned(),
        Form::Respelled(host) => host,
    };
    let host = HeaderValue::try_from(host).map_err(|error| error.to_string())?;
    with_host(Some(host), uri)
}

fn with_host(host: Option<HeaderValue>, uri: Uri) -> Result<Target, String> {
    let path = uri.into_parts().path_and_query;
    let path = path.ok_or("the path is missing")?;
    Ok(Target { host, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> Result<(Option<String>, String), String> {
        let target = target(line.as_bytes(), Paths::Take)?;
        let host = target.host.map(|host| host.to_str().unwrap().to_owned());
        Ok((host, target.path.to_string()))
    }

    #[test]
    fn a_url_is_asked_for_as_its_clients_ask() {
        for (line, host, path) in [
            ("/", None, "/"),
            ("/news?page=2", None, "/news?page=2"),
            ("//double", None, "//double"),
            ("http://shop.example", Some("shop.example"), "/"),
            ("http://shop.example:80/a", Some("shop.example"), "/a"),
            (
                "http://shop.example:8080/a",
                Some("shop.example:8080"),
                "/a",
            ),
            ("https://shop.example:443/?q", Some("shop.example"), "/?q"),
            ("https://shop.example:80/", Some("shop.example"), "/"),
            ("HTTP://Shop.Example/A", Some("shop.example"), "/A"),
            ("http://[::1]:8000/a#part", Some("[::1]:8000"), "/a"),
        ] {
            let asked = Ok((host.map(str::to_owned), path.to_owned()));
            assert_eq!(one(line), asked, "{line}");
        }
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for line in [
            "news",
            "shop.example/news",
            "shop.example:80",
            "*",
            "#",
            "ftp://shop.example/",
            "http://",
            "http:///news",
            "http://me@shop.example/",
            "http://shop.example:99999/",
            "http://shop.example:/",
            "http://a%20b/",
            "http://1.2.3/",
            "http://a..b/",
            "/two words",
            "/caf\u{e9}",
        ] {
            assert!(one(line).is_err(), "{line}");
        }
    }

    #[test]
    fn what_is_neither_a_url_nor_a_path_is_told_what_a_line_is() {
        for line in ["news", "shop.example", "shop.example/news", "sub/a.txt"] {
            let error = one(line).unwrap_err();
            assert!(error.contains("begins with /"), "{line}: {error}");
        }
    }

    #[test]
    fn blank_lines_and_comments_are_skipped_and_counted() {
        let text = b"# first\n\n/a\r\n  \n  # indented\n\thttp://h/b \n/c";
        let targets = parse(text, Paths::Take).unwrap();
        let paths: Vec<_> = targets.iter().map(|target| target.path.as_str()).collect();
        assert_eq!(paths, ["/a", "/b", "/c"]);
        let error = parse(b"# first\n\n/a\nb\x1b\xff\n", Paths::Take).unwrap_err();
        assert!(error.starts_with("line 4, 'b\\u{1b}\u{fffd}': "), "{error}");
        assert_eq!(parse(b"", Paths::Take), Ok(Vec::new()));
    }

    #[test]
    fn a_path_needs_a_name_to_be_asked_by() {
        let error = parse(b"http://h/a\n/b", Paths::Refuse).unwrap_err();
        assert!(error.starts_with("line 2, '/b': "), "{error}");
    }

    #[test]
    fn a_long_line_is_cut_where_it_is_shown() {
        let error = parse(&[b'x'; 100_000], Paths::Take).unwrap_err();
        assert!(error.len() < 400, "{error}");
    }
}
