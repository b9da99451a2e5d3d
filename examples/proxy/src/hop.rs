//! Fields that belong to one connection only, found and removed in both directions.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING},
};
use smallvec::SmallVec;

/// Removed from every message that is passed on (RFC 9110 section 7.6.1); `TE` and `Upgrade` have
/// rules of their own.
const ALWAYS: [HeaderName; 7] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("proxy-authenticate"),
    HeaderName::from_static("proxy-authentication-info"),
    HeaderName::from_static("proxy-authorization"),
    HeaderName::from_static("transfer-encoding"),
    HeaderName::from_static("http2-settings"),
];

/// What [`strip`] found in the `Connection` lines that it removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stripped {
    /// Nothing that outlives this connection.
    Nothing,
    /// `upgrade` was among the options.
    Upgrade,
    /// An option named an end-to-end field; removing that changed the message.
    Tampering,
}

/// How the content of a request is coded for its way here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// As it is.
    Plain,
    /// In chunks, and nothing else was done to it.
    Chunked,
    /// In a way that this proxy does not undo.
    Other,
}

/// The transfer coding of a request. It is read as strictly as it may be: an intermediary that reads
/// more into a line than this one would see another end of the content.
pub(crate) fn coding(headers: &HeaderMap) -> Coding {
    let mut lines = headers.get_all(TRANSFER_ENCODING).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Coding::Plain,
        (Some(line), None) if line.as_bytes().eq_ignore_ascii_case(b"chunked") => Coding::Chunked,
        (Some(_), _) => Coding::Other,
    }
}

/// Whether `name` belongs to one connection, so that [`strip`] has something to do.
pub(crate) fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authentication-info"
            | "proxy-authorization"
            | "transfer-encoding"
            | "http2-settings"
            | "te"
            | "upgrade"
    )
}

/// Removes every hop-by-hop field but `Upgrade`, which the caller keeps or removes.
pub(crate) fn strip(headers: &mut HeaderMap) -> Stripped {
    let stripped = strip_named(headers);
    for name in &ALWAYS {
        headers.remove(name);
    }
    // Trailers are end to end, so the wish for them goes on; anything else in TE does not.
    if headers.contains_key(TE) {
        let trailers = options(headers, &TE).any(|option| option.eq_ignore_ascii_case(b"trailers"));
        headers.remove(TE);
        if trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
    }
    stripped
}

/// The one protocol that connections may change to.
pub(crate) fn is_websocket(protocol: &[u8]) -> bool {
    protocol.eq_ignore_ascii_case(b"websocket")
}

/// The members of a comma-separated field, over all its lines.
pub(crate) fn options<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'h [u8]> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|line| line.as_bytes().split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|option| !option.is_empty())
}

/// Removes `Connection` and the fields it names.
fn strip_named(headers: &mut HeaderMap) -> Stripped {
    let mut named = SmallVec::<[HeaderName; 4]>::new();
    let mut stripped = Stripped::Nothing;
    for option in options(headers, &CONNECTION) {
        if option.eq_ignore_ascii_case(b"close") || option.eq_ignore_ascii_case(b"keep-alive") {
            continue;
        }
        if option.eq_ignore_ascii_case(b"upgrade") {
            if stripped == Stripped::Nothing {
                stripped = Stripped::Upgrade;
            }
            continue;
        }
        // What is no field name names no field.
        let Ok(name) = HeaderName::from_bytes(option) else {
            continue;
        };
        if is_end_to_end(&name) {
            stripped = Stripped::Tampering;
        }
        // Host and Content-Length say where and how much; no message goes on without them. TE is
        // always named when it is present and is read afterwards.
        if name != HOST && name != CONTENT_LENGTH && name != TE {
            named.push(name);
        }
    }
    headers.remove(CONNECTION);
    for name in &named {
        headers.remove(name);
    }
    stripped
}

/// Fields without which a message means something else.
fn is_end_to_end(name: &HeaderName) -> bool {
    let name = name.as_str();
    matches!(
        name,
        "age"
            | "authorization"
            | "cache-control"
            | "cookie"
            | "date"
            | "etag"
            | "expires"
            | "host"
            | "last-modified"
            | "location"
            | "origin"
            | "pragma"
            | "range"
            | "set-cookie"
            | "vary"
    ) || ["accept", "content-", "if-"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|&(name, value)| {
                let name = HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            })
            .collect()
    }

    #[test]
    fn named_fields_go_and_others_stay() {
        let mut map = headers(&[
            ("x-keep", "1"),
            ("connection", "X-Hop, close"),
            ("x-hop", "1"),
            ("connection", ", x-other"),
            ("x-other", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authenticate", "Basic"),
            ("proxy-authentication-info", "x=1"),
            ("proxy-authorization", "Basic eDp5"),
            ("transfer-encoding", "chunked"),
            ("http2-settings", "AAAA"),
            ("te", "gzip"),
        ]);
        assert_eq!(strip(&mut map), Stripped::Nothing);
        assert_eq!(map, headers(&[("x-keep", "1")]));
    }

    #[test]
    fn one_line_of_chunked_is_the_only_coding_that_is_undone() {
        const FIELD: &str = "transfer-encoding";
        for (lines, expected) in [
            (&[][..], Coding::Plain),
            (&["chunked"], Coding::Chunked),
            (&["CHUNKED"], Coding::Chunked),
            (&["gzip, chunked"], Coding::Other),
            (&["chunked, chunked"], Coding::Other),
            (&["identity, chunked"], Coding::Other),
            (&[", chunked"], Coding::Other),
            (&["chunked;q=1"], Coding::Other),
            (&["gzip", "chunked"], Coding::Other),
            (&["chunked", "chunked"], Coding::Other),
            (&["", "chunked"], Coding::Other),
            (&["identity"], Coding::Other),
            (&[""], Coding::Other),
        ] {
            let fields: Vec<_> = lines.iter().map(|line| (FIELD, *line)).collect();
            assert_eq!(coding(&headers(&fields)), expected, "{lines:?}");
        }
    }

    #[test]
    fn the_wish_for_trailers_goes_on() {
        let mut map = headers(&[("te", "gzip;q=0.5, Trailers"), ("connection", "TE")]);
        strip(&mut map);
        assert_eq!(map, headers(&[("te", "trailers")]));
    }

    #[test]
    fn an_upgrade_is_an_option_in_any_case_and_place() {
        let mut map = headers(&[("connection", "keep-alive"), ("connection", "x, UPGRADE")]);
        assert_eq!(strip(&mut map), Stripped::Upgrade);
    }

    #[test]
    fn naming_an_end_to_end_field_is_tampering() {
        for name in ["Accept-Language", "cookie", "If-None-Match", "host"] {
            let mut map = headers(&[("host", "a"), ("upgrade", "x")]);
            let value = format!("upgrade, {name}");
            // A field name and commas are valid in a field value.
            map.insert(CONNECTION, HeaderValue::from_str(&value).unwrap());
            assert_eq!(strip(&mut map), Stripped::Tampering, "{name}");
            assert!(map.contains_key("host"));
        }
    }
}
