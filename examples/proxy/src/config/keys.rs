//! What tells responses apart beside the URL, and whose they are: flags that go to the cache's key.

use cachewarp::{CacheBuilder, CacheLayer, Cookies};
use clap::Args;
use http::HeaderName;

use crate::admit::{
    fields::{self, Tells},
    underscores::{self, Policy, Underscores},
};

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Keys and credentials")]
pub(crate) struct Keys {
    /// Header fields that carry credentials, as Authorization does: what is fetched with one is
    /// shared only if the response says so. A * stands at the beginning or the end. May be repeated,
    /// or a list with commas
    #[arg(
        long = "credential-header",
        value_name = "NAME[*]",
        value_delimiter = ','
    )]
    #[arg(value_parser = parse_field_pattern)]
    credential_headers: Vec<String>,

    /// Header fields whose values get responses of their own. May be repeated, or a list with
    /// commas; names without *
    #[arg(long = "key-header", value_name = "NAME", value_delimiter = ',')]
    #[arg(value_parser = parse_field)]
    key_headers: Vec<HeaderName>,

    /// Header fields that a proxy in front of this one sets, and clients cannot, such as
    /// X-Forwarded-Proto: they go on. Those that tell the scheme, host or path are keyed. May be
    /// repeated, or a list with commas; names without * [default: fields by which a client could
    /// tell the origin another target, method or client than the request has are removed]
    #[arg(long = "trust-header", value_name = "NAME", value_delimiter = ',')]
    #[arg(value_parser = parse_field)]
    trust_headers: Vec<HeaderName>,

    /// Header fields whose names have _, or another character than letters, digits and -. Many servers
    /// take them for the field with -. It is not for those that another flag names [default: drop, and
    /// forward in POST requests of gRPC]
    #[arg(long, value_name = "POLICY", value_enum)]
    underscore_fields: Option<Policy>,

    /// Query parameters that change no response, such as utm_*: they are not keyed, and the origin
    /// does not get them. A * stands at the beginning or the end. May be repeated, or a list with
    /// commas
    #[arg(long, value_name = "NAME[*]", value_delimiter = ',', value_parser = parse_parameter)]
    ignore_query: Vec<String>,

    /// Sort query parameters by name: their order means nothing to the origin
    #[arg(long)]
    sort_query: bool,

    /// Cookies whose values get responses of their own. A * stands at the beginning or the end. May
    /// be repeated, or a list with commas
    #[arg(long, value_name = "NAME[*]", value_delimiter = ',', value_parser = parse_cookie)]
    cookie_key: Vec<String>,

    /// Cookies that keep --ttl and --adaptive away, also if another rule ignores them. May be
    /// repeated, or a list with commas [default: all but those of analytics and consent]
    #[arg(long, value_name = "NAME[*]", value_delimiter = ',', value_parser = parse_cookie)]
    cookie_bypass: Vec<String>,

    /// Cookies that change no response: GET and HEAD go on without them. May be repeated, or a list
    /// with commas; * alone is all that no other flag names
    #[arg(long, value_name = "NAME[*]", value_delimiter = ',', value_parser = parse_cookie)]
    cookie_ignore: Vec<String>,
}

impl Keys {
    /// Header fields that are a part of the key.
    fn keyed(&self) -> Vec<HeaderName> {
        // What is trusted to tell the target shapes responses, also where it is spelled with _.
        let is_target = |name: &&HeaderName| {
            fields::tells(underscores::folded(name).as_str()) == Some(Tells::Target)
        };
        let told = self.trust_headers.iter().filter(is_target);
        let mut keyed: Vec<HeaderName> = Vec::new();
        for name in self.key_headers.iter().chain(told) {
            if !keyed.contains(name) {
                keyed.push(name.clone());
            }
        }
        keyed
    }

    pub(crate) fn underscores(&self, cache: &CacheLayer) -> Underscores {
        Underscores::new(
            self.underscore_fields,
            cache.clone(),
            self.keyed(),
            self.trusted(),
        )
    }

    pub(crate) fn add_to(&self, mut cache: CacheBuilder) -> CacheBuilder {
        cache = cache.key_headers(self.keyed().iter().map(HeaderName::as_str));
        cache = cache.credential_headers(self.credential_headers.iter());
        if !self.ignore_query.is_empty() {
            cache = cache.ignore_query(self.ignore_query.iter());
        }
        if self.sort_query {
            cache = cache.sort_query();
        }
        cache.cookies(
            Cookies::default()
                .key(self.cookie_key.iter())
                .count(self.cookie_bypass.iter())
                .ignore(self.cookie_ignore.iter()),
        )
    }

    /// Fields that go on whatever they tell: those that are keyed, and those that say who asks and
    /// count as credentials, shape no response for others.
    pub(crate) fn trusted(&self) -> Box<[HeaderName]> {
        let names = self.credential_headers.iter();
        let users = names.filter(|name| fields::tells(name) == Some(Tells::User));
        let users = users.filter_map(|name| name.parse().ok());
        let others = self.trust_headers.iter().chain(&self.key_headers).cloned();
        others.chain(users).collect()
    }
}

fn parse_field(text: &str) -> Result<HeaderName, String> {
    let name = HeaderName::from_bytes(text.trim().as_bytes()).ok();
    // A * may be a part of names, but nobody means that.
    name.filter(|name| !name.as_str().contains('*'))
        .ok_or_else(|| "a header field has a name of letters, digits and -, without *".to_owned())
}

fn parse_field_pattern(text: &str) -> Result<String, String> {
    let name = parse_pattern(text, is_token)?;
    Ok(name.to_ascii_lowercase())
}

fn parse_cookie(text: &str) -> Result<String, String> {
    parse_pattern(text, is_token)
}

/// What separates parameters, and ends a name or a query, is in none.
fn parse_parameter(text: &str) -> Result<String, String> {
    parse_pattern(text, |c| {
        !c.is_whitespace() && !c.is_control() && !matches!(c, '&' | '=' | '#')
    })
}

/// A name, with a `*` at the beginning or the end if at all.
fn parse_pattern(text: &str, allowed: impl Fn(char) -> bool) -> Result<String, String> {
    let name = text.trim();
    let fixed = match (name.strip_suffix('*'), name.strip_prefix('*')) {
        (Some(rest), _) | (None, Some(rest)) => rest,
        (None, None) => name,
    };
    if name.is_empty() {
        return Err("a name is missing".to_owned());
    }
    if !fixed.chars().all(|c| c != '*' && allowed(c)) {
        return Err("it is a name, with * at its beginning or its end, if at all".to_owned());
    }
    Ok(name.to_owned())
}

/// RFC 9110 section 5.6.2
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_what_is_none() {
        for (text, field, pattern, parameter) in [
            ("X-Tenant", true, true, true),
            (" x-tenant ", true, true, true),
            ("x-*", false, true, true),
            ("*-id", false, true, true),
            ("*", false, true, true),
            ("", false, false, false),
            (" ", false, false, false),
            ("a*b", false, false, false),
            ("*a*", false, false, false),
            ("**", false, false, false),
            ("a b", false, false, false),
            ("a=b", false, false, false),
            ("a&b", true, true, false),
            ("x[]", false, false, true),
            ("\u{e9}", false, false, true),
        ] {
            assert_eq!(parse_field(text).is_ok(), field, "{text}");
            assert_eq!(parse_cookie(text).is_ok(), pattern, "{text}");
            assert_eq!(parse_parameter(text).is_ok(), parameter, "{text}");
        }
        assert_eq!(parse_field_pattern("X-Key-*").as_deref(), Ok("x-key-*"));
    }
}
