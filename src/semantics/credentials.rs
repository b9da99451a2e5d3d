//! The request fields that carry credentials: which of them count unless the settings say otherwise.

use http::{HeaderName, header};

use crate::util::pattern::Patterns;

/// The fields, besides `Authorization`, that say for whom a request is made, or by what right: keys
/// and tokens of APIs, tokens against request forgery (they belong to a session), and what
/// authenticating proxies and load balancers add.
const DEFAULT: [&str; 122] = [
    "access-token",
    "api-key",
    "api-token",
    "apikey",
    "auth-token",
    "cf-access-authenticated-user-email",
    "cf-access-client-id",
    "cf-access-client-secret",
    "cf-access-jwt-assertion",
    "cf-access-token",
    "circle-token",
    "client-cert",
    "csrf-token",
    "dd-api-key",
    "dpop",
    "ocp-apim-subscription-key",
    "private-token",
    "proxy-authorization",
    "remote-email",
    "remote-groups",
    "remote-name",
    "remote-user",
    "session-id",
    "session-token",
    "ssl-client-cert",
    "ssl-client-subject-dn",
    "tailscale-user-login",
    "token",
    "x-access-key",
    "x-access-token",
    "x-algolia-api-key",
    "x-amz-security-token",
    "x-amzn-mtls-clientcert",
    "x-amzn-mtls-clientcert-leaf",
    "x-amzn-oidc-accesstoken",
    "x-amzn-oidc-data",
    "x-amzn-oidc-identity",
    "x-api-key",
    "x-api-secret",
    "x-api-token",
    "x-apigateway-api-userinfo",
    "x-apikey",
    "x-arr-clientcert",
    "x-auth",
    "x-auth-email",
    "x-auth-key",
    "x-auth-request-access-token",
    "x-auth-request-email",
    "x-auth-request-groups",
    "x-auth-request-preferred-username",
    "x-auth-request-user",
    "x-auth-token",
    "x-auth-user",
    "x-authenticated-user",
    "x-authenticated-userid",
    "x-authentik-email",
    "x-authentik-jwt",
    "x-authentik-uid",
    "x-authentik-username",
    "x-authorization",
    "x-client-cert",
    "x-client-secret",
    "x-consul-token",
    "x-consumer-custom-id",
    "x-consumer-id",
    "x-consumer-username",
    "x-credential-identifier",
    "x-csrf",
    "x-csrf-token",
    "x-csrftoken",
    "x-emby-token",
    "x-endpoint-api-userinfo",
    "x-figma-token",
    "x-forwarded-access-token",
    "x-forwarded-authorization",
    "x-forwarded-client-cert",
    "x-forwarded-email",
    "x-forwarded-groups",
    "x-forwarded-preferred-username",
    "x-forwarded-user",
    "x-functions-key",
    "x-gitlab-token",
    "x-goog-api-key",
    "x-goog-authenticated-user-email",
    "x-goog-authenticated-user-id",
    "x-goog-iap-jwt-assertion",
    "x-id-token",
    "x-jwt",
    "x-jwt-assertion",
    "x-jwt-token",
    "x-ms-client-principal",
    "x-ms-client-principal-id",
    "x-ms-client-principal-name",
    "x-ms-token-aad-access-token",
    "x-ms-token-aad-id-token",
    "x-nomad-token",
    "x-parse-session-token",
    "x-plex-token",
    "x-pomerium-jwt-assertion",
    "x-rapidapi-key",
    "x-redmine-api-key",
    "x-remote-user",
    "x-secret",
    "x-serverless-authorization",
    "x-session",
    "x-session-id",
    "x-session-key",
    "x-session-token",
    "x-shopify-access-token",
    "x-ssl-client-cert",
    "x-tableau-auth",
    "x-token",
    "x-user",
    "x-user-email",
    "x-user-id",
    "x-user-name",
    "x-user-token",
    "x-username",
    "x-vault-token",
    "x-webauth-user",
    "x-xsrf-token",
    "xi-api-key",
];

/// A set of field names that is asked about every field of every request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct CredentialFields {
    /// By length, so that nearly every field of a request is compared with a few names at most.
    by_length: Box<[Box<[HeaderName]>]>,
    /// Names with a `*`, in lower case.
    patterns: Patterns,
    has_common: bool,
}

/// The names that [`is_common`].
const COMMON: [HeaderName; 6] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::ACCEPT_LANGUAGE,
    header::HOST,
    header::REFERER,
    header::USER_AGENT,
];

/// Whether nearly every request has this field, and hardly any list of credentials.
#[inline]
pub(crate) fn is_common(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::ACCEPT
            | header::ACCEPT_ENCODING
            | header::ACCEPT_LANGUAGE
            | header::HOST
            | header::REFERER
            | header::USER_AGENT
    )
}

impl CredentialFields {
    pub(crate) fn new(names: impl IntoIterator<Item = HeaderName>) -> Self {
        let mut by_length: Vec<Vec<HeaderName>> = Vec::new();
        let mut has_common = false;
        for name in names {
            has_common |= is_common(&name);
            let length = name.as_str().len();
            if by_length.len() <= length {
                by_length.resize(length + 1, Vec::new());
            }
            if !by_length[length].contains(&name) {
                by_length[length].push(name);
            }
        }
        Self {
            by_length: by_length.into_iter().map(Vec::into_boxed_slice).collect(),
            patterns: Patterns::default(),
            has_common,
        }
    }

    /// The same set, and all names that match one of these.
    pub(crate) fn and_matching(mut self, patterns: Patterns) -> Self {
        self.has_common |= COMMON
            .iter()
            .any(|name| patterns.matches(name.as_str().as_bytes()));
        self.patterns = patterns;
        self
    }

    pub(crate) fn contains(&self, name: &HeaderName) -> bool {
        let same_length = self.by_length.get(name.as_str().len());
        same_length.is_some_and(|names| names.contains(name))
            || (!self.patterns.is_empty() && self.patterns.matches(name.as_str().as_bytes()))
    }

    /// Whether a [common](is_common) name is among them.
    pub(crate) fn has_common(&self) -> bool {
        self.has_common
    }

    /// The names and patterns that it was made of.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        let exact = self.by_length.iter().flatten().map(ToString::to_string);
        exact.chain(self.patterns.names())
    }
}

impl Default for CredentialFields {
    fn default() -> Self {
        Self::new(DEFAULT.map(HeaderName::from_static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_list_has_the_usual_fields_once_each() {
        let fields = CredentialFields::default();
        assert_eq!(fields.names().count(), DEFAULT.len());
        for name in [
            "x-api-key",
            "X-Api-Key",
            "api-key",
            "apikey",
            "x-auth-token",
            "x-access-token",
            "x-amz-security-token",
            "x-csrf-token",
            "x-xsrf-token",
            "proxy-authorization",
            "dpop",
        ] {
            let name: HeaderName = name.parse().unwrap();
            assert!(fields.contains(&name), "{name}");
        }
    }

    #[test]
    fn fields_that_every_client_sends_are_no_credentials() {
        let fields = CredentialFields::default();
        for name in [
            "accept",
            "cookie",
            "host",
            "priority",
            "sec-ch-ua",
            "sec-fetch-site",
            "traceparent",
            "user-agent",
            "via",
            "x-amzn-trace-id",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-real-ip",
            "x-request-id",
            "x-requested-with",
        ] {
            let name: HeaderName = name.parse().unwrap();
            assert!(!fields.contains(&name), "{name}");
        }
    }

    #[test]
    fn any_list_of_names_makes_a_set() {
        let names = ["x-a", "x-b", "x-a", "x-long-name"].map(HeaderName::from_static);
        let fields = CredentialFields::new(names.clone());
        assert_eq!(fields.names().count(), 3);
        assert!(names.iter().all(|name| fields.contains(name)));
        assert!(!fields.contains(&HeaderName::from_static("x-c")));
        let longest = "a".repeat(60_000).parse().unwrap();
        assert!(!fields.contains(&longest));
        let common = CredentialFields::new([header::USER_AGENT]);
        assert!(common.contains(&header::USER_AGENT));
        assert!(!common.contains(&header::ACCEPT));
        let none = CredentialFields::new([]);
        assert!(!none.contains(&names[0]));
    }

    #[test]
    fn patterns_match_beside_names() {
        let name = |name: &'static str| HeaderName::from_static(name);
        let patterns = Patterns::new(["x-auth-*", "*-token"]).unwrap();
        let fields = CredentialFields::new([name("x-key")]).and_matching(patterns);
        for it in ["x-key", "x-auth-", "x-auth-user", "x-token", "-token"] {
            assert!(fields.contains(&name(it)), "{it}");
        }
        for it in ["x-keys", "x-auth", "token", "x-token-id", "accept"] {
            assert!(!fields.contains(&name(it)), "{it}");
        }
        assert!(!fields.has_common());
        let names: Vec<_> = fields.names().collect();
        assert_eq!(names, ["x-key", "x-auth-*", "*-token"]);
    }

    #[test]
    fn a_pattern_may_match_a_common_name() {
        assert!(COMMON.iter().all(is_common));
        for (pattern, common) in [("*", true), ("user-*", true), ("*r", true), ("x-*", false)] {
            let patterns = Patterns::new([pattern]).unwrap();
            let fields = CredentialFields::new([]).and_matching(patterns);
            assert_eq!(fields.has_common(), common, "{pattern}");
        }
    }
}
