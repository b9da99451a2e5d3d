//! Scans the header fields of a request once for all that the rules ask about.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::semantics::cookies::Found;
use crate::semantics::credentials::is_common;
use crate::semantics::list;
use crate::semantics::rules::{CacheKind, Rules};

/// Fields from which applications take the scheme, host, port or prefix of the client's request,
/// mostly without naming them in `Vary`. See [`Facts::forwarded`].
pub(crate) static FORWARDED_FIELDS: [HeaderName; 8] = [
    header::FORWARDED,
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-prefix"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-forwarded-scheme"),
    HeaderName::from_static("x-forwarded-server"),
    HeaderName::from_static("x-host"),
];

const CONDITIONAL: u32 = 1 << 0;
const CONNECTION: u32 = 1 << 1;
const CONTENT: u32 = 1 << 2;
const COUNTED_COOKIE: u32 = 1 << 3;
const CREDENTIALS: u32 = 1 << 4;
const DIRECTIVES: u32 = 1 << 5;
const FORWARDED: u32 = 1 << 6;
const METHOD_OVERRIDE: u32 = 1 << 7;
const ORIGIN_PRECONDITION: u32 = 1 << 8;
const RANGE: u32 = 1 << 9;
const UPGRADE: u32 = 1 << 10;
const URL_OVERRIDE: u32 = 1 << 11;
const HOST: u32 = 1 << 12;
const REPEATED_HOST: u32 = 1 << 13;
const ANY_CREDENTIAL: u32 = 1 << 14;
const IDENTITY: u32 = 1 << 15;
const IGNORED_COOKIE: u32 = 1 << 16;
const KEYED_COOKIE: u32 = 1 << 17;

/// Which fields that matter to a cache are present in a request.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Facts(u32);

impl Facts {
    /// Scans the fields of a request.
    pub(crate) fn scan(headers: &HeaderMap, rules: &Rules) -> Self {
        let mut facts = 0;
        let lists = [&rules.credential_headers, &rules.policy_credentials];
        let only_rare = !lists.iter().any(|list| list.has_common());
        for (name, value) in headers {
            if *name == header::HOST {
                facts |= if facts & HOST == 0 {
                    HOST
                } else {
                    REPEATED_HOST
                };
            }
            if only_rare && is_common(name) {
                continue;
            }
            facts |= fact(name, value, rules);
            if rules.credential_headers.contains(name) {
                facts |= CREDENTIALS | ANY_CREDENTIAL;
            }
            if rules.policy_credentials.contains(name) {
                facts |= ANY_CREDENTIAL;
            }
        }
        if rules.kind == CacheKind::Private && facts & (ANY_CREDENTIAL | COUNTED_COOKIE) != 0 {
            // Whose they are is known: they are a part of the key.
            facts &= !(ANY_CREDENTIAL | COUNTED_COOKIE | CREDENTIALS);
            facts |= IDENTITY;
        }
        Self(facts)
    }

    /// Credentials or cookies of the one client whose requests this cache answers. They do not count
    /// as [`any_credential`](Self::any_credential) or [`counted_cookie`](Self::counted_cookie).
    pub(crate) fn identity(self) -> bool {
        self.has(IDENTITY)
    }

    /// `Cache-Control` or `Pragma`: there may be request directives.
    pub(crate) fn directives(self) -> bool {
        self.has(DIRECTIVES)
    }

    /// `Connection`.
    pub(crate) fn connection(self) -> bool {
        self.has(CONNECTION)
    }

    /// A `Content-Length` other than zero, or `Transfer-Encoding`.
    pub(crate) fn content(self) -> bool {
        self.has(CONTENT)
    }

    /// A cookie that counts.
    pub(crate) fn counted_cookie(self) -> bool {
        self.has(COUNTED_COOKIE)
    }

    /// A cookie that is ignored.
    pub(crate) fn ignored_cookie(self) -> bool {
        self.has(IGNORED_COOKIE)
    }

    /// A cookie that is part of the key.
    pub(crate) fn keyed_cookie(self) -> bool {
        self.has(KEYED_COOKIE)
    }

    /// `Authorization`, or a field that is configured to mean the same (RFC 9111 §3.5).
    pub(crate) fn credentials(self) -> bool {
        self.has(CREDENTIALS)
    }

    /// A field of [`credentials`](Self::credentials), or another one that carries credentials or
    /// says who asks.
    pub(crate) fn any_credential(self) -> bool {
        self.has(ANY_CREDENTIAL)
    }

    /// Neither credentials nor a cookie that counts: what the request gets is what everybody gets,
    /// as far as its fields tell.
    pub(crate) fn is_plain(self) -> bool {
        !self.has(ANY_CREDENTIAL | COUNTED_COOKIE)
    }

    /// One of the [`FORWARDED_FIELDS`].
    pub(crate) fn forwarded(self) -> bool {
        self.has(FORWARDED)
    }

    /// More than one `Host`.
    pub(crate) fn repeated_host(self) -> bool {
        self.has(REPEATED_HOST)
    }

    /// `If-None-Match` or `If-Modified-Since`.
    pub(crate) fn conditional(self) -> bool {
        self.has(CONDITIONAL)
    }

    /// `If-Match` or `If-Unmodified-Since`.
    pub(crate) fn origin_preconditions(self) -> bool {
        self.has(ORIGIN_PRECONDITION)
    }

    /// A field that asks for another method than that of the request line.
    pub(crate) fn method_override(self) -> bool {
        self.has(METHOD_OVERRIDE)
    }

    /// A field that asks for another URL than that of the request line.
    pub(crate) fn url_override(self) -> bool {
        self.has(URL_OVERRIDE)
    }

    /// `Range`.
    pub(crate) fn range(self) -> bool {
        self.has(RANGE)
    }

    /// `Upgrade`, or the connection option of that name (RFC 9110 §7.8).
    pub(crate) fn upgrade(self) -> bool {
        self.has(UPGRADE)
    }

    fn has(self, facts: u32) -> bool {
        self.0 & facts != 0
    }
}

/// What one field line says.
fn fact(name: &HeaderName, value: &HeaderValue, rules: &Rules) -> u32 {
    match *name {
        header::AUTHORIZATION => CREDENTIALS | ANY_CREDENTIAL,
        header::CACHE_CONTROL | header::PRAGMA => DIRECTIVES,
        header::CONNECTION if lists(value, b"upgrade") => CONNECTION | UPGRADE,
        header::CONNECTION => CONNECTION,
        header::CONTENT_LENGTH if is_zero(value.as_bytes()) => 0,
        header::CONTENT_LENGTH | header::TRANSFER_ENCODING => CONTENT,
        header::COOKIE => cookies(rules.cookies.scan(value)),
        header::FORWARDED => FORWARDED,
        header::IF_MATCH | header::IF_UNMODIFIED_SINCE => ORIGIN_PRECONDITION,
        header::IF_MODIFIED_SINCE | header::IF_NONE_MATCH => CONDITIONAL,
        header::RANGE => RANGE,
        header::UPGRADE => UPGRADE,
        _ => match name.as_str() {
            "x-http-method" | "x-http-method-override" | "x-method-override" => METHOD_OVERRIDE,
            "x-original-url" | "x-rewrite-url" => URL_OVERRIDE,
            "x-forwarded-host" | "x-forwarded-port" | "x-forwarded-prefix"
            | "x-forwarded-proto" | "x-forwarded-scheme" | "x-forwarded-server" | "x-host" => {
                FORWARDED
            }
            _ => 0,
        },
    }
}

fn cookies(found: Found) -> u32 {
    let fact = |found, fact| if found { fact } else { 0 };
    fact(found.counted, COUNTED_COOKIE)
        | fact(found.ignored, IGNORED_COOKIE)
        | fact(found.keyed, KEYED_COOKIE)
}

/// Whether a list contains this member, in any letter case and with any parameters.
fn lists(value: &HeaderValue, member: &[u8]) -> bool {
    list::members([value]).any(|listed| {
        let token = listed.split(|byte| *byte == b';').next().unwrap_or(listed);
        list::trim_ows(token).eq_ignore_ascii_case(member)
    })
}

fn is_zero(length: &[u8]) -> bool {
    !length.is_empty() && length.iter().all(|byte| *byte == b'0')
}
