//! Which cookies of a request matter: they are part of the key, they count, or they are ignored.

mod parse;

use http::{HeaderMap, HeaderValue, header::COOKIE};
use smallvec::SmallVec;

use self::parse::{Piece, pieces};
use super::list::is_token;
use crate::util::pattern::Patterns;

/// The cookies by which web sites measure their visitors, tell advertisers of them, and remember
/// what they consented to. They are written and read in the browser; pages do not depend on them.
const ANALYTICS: [&str; 78] = [
    // Google
    "_ga",
    "_ga_*",
    "_gid",
    "_gat*",
    "_gac_*",
    "_gcl_*",
    "_dc_gtm_*",
    "__gads",
    "__gpi",
    "__utm*",
    "FPID",
    "FPLC",
    // Meta, Microsoft, LinkedIn, TikTok, Pinterest, Snap, X, Reddit
    "_fbp",
    "_fbc",
    "_clck",
    "_clsk",
    "_uet*",
    "li_fat_id",
    "_ttp",
    "ttcsid*",
    "_pin_unauth",
    "_epik",
    "_scid*",
    "_sctr",
    "_twpid",
    "_rdt_uuid",
    // Other analytics
    "_hj*",
    "_pk_*",
    "_ym_*",
    "_hp2_*",
    "_sp_id*",
    "_sp_ses*",
    "_chartbeat*",
    "_cb",
    "_cb_ls",
    "_cb_svref",
    "_parsely_session",
    "_parsely_visitor",
    "__qca",
    "_mkto_trk",
    "__kla_id",
    "__hstc",
    "__hssc",
    "__hssrc",
    "hubspotutk",
    "*_mixpanel",
    "ajs_anonymous_id",
    "fs_uid",
    "AMCV_*",
    "AMCVS_*",
    "s_cc",
    "s_sq",
    "s_vi",
    "cto_bundle",
    "_dd_s",
    "ai_user",
    "ai_session",
    "mtm_consent*",
    "mtm_cookie_consent",
    // Consent
    "OptanonConsent",
    "OptanonAlertBoxClosed",
    "eupubconsent*",
    "euconsent*",
    "usprivacy",
    "CookieConsent",
    "CookieConsentBulk*",
    "cookieconsent_*",
    "cookieyes-consent",
    "cookielawinfo-*",
    "cookie_notice_accepted",
    "viewed_cookie_policy",
    "cmplz_*",
    "moove_gdpr_popup",
    "borlabs-cookie",
    "didomi_token",
    "_iub_cs-*",
    "axeptio_*",
    "tarteaucitron",
];

/// Which cookies of a request matter.
///
/// Names are compared with letter case. A name may begin or end with `*`, which stands for anything.
/// For each cookie of a request, the first of these applies:
///
/// 1. It is [keyed](Self::key): its name and value are part of the cache key, so that each value has
///    responses of its own.
/// 2. It [counts](Self::count): the response may depend on it. The request has no part in what only
///    a [`ttl`](crate::CacheBuilder::ttl) policy or [`heuristics`](crate::CacheBuilder::heuristics)
///    gave a lifetime: its response gets no such lifetime, it is not answered from a response that
///    has one ([`Bypass::Cookie`](crate::Bypass::Cookie)), and it does not refresh it. What the
///    origin itself gave a lifetime, or marked `public`, is shared with it.
/// 3. It is [ignored](Self::ignore): the request is answered as if it had no such cookie. Therefore
///    the origin does not see it either, so that no stored response depends on it. A request that
///    bypasses the cache, or has another method than GET and HEAD, keeps it, unless that is a POST whose
///    response may [answer a GET](crate::CacheBuilder::post_fills_get).
/// 4. All other cookies count.
///
/// What is no `name=value` by RFC 6265bis counts too: a cookie without a name or without `=`, a name
/// that is no token, a value with spaces or quotation marks inside. `Vary: Cookie` selects by what is
/// left without the ignored cookies.
///
/// # Defaults
///
/// All count, except those by which sites measure their visitors and remember their consent. Their
/// names, of which the origin should need none to make a page:
///
/// - `_ga`, `_ga_*`, `_gid`, `_gat*`, `_gac_*`, `_gcl_*`, `_dc_gtm_*`, `__gads`, `__gpi`, `__utm*`,
///   `FPID`, `FPLC`;
/// - `_fbp`, `_fbc`, `_clck`, `_clsk`, `_uet*`, `li_fat_id`, `_ttp`, `ttcsid*`, `_pin_unauth`,
///   `_epik`, `_scid*`, `_sctr`, `_twpid`, `_rdt_uuid`;
/// - `_hj*`, `_pk_*`, `_ym_*`, `_hp2_*`, `_sp_id*`, `_sp_ses*`, `_chartbeat*`, `_cb`, `_cb_ls`,
///   `_cb_svref`, `_parsely_session`, `_parsely_visitor`, `__qca`, `_mkto_trk`, `__kla_id`,
///   `__hstc`, `__hssc`, `__hssrc`, `hubspotutk`, `*_mixpanel`, `ajs_anonymous_id`, `fs_uid`,
///   `AMCV_*`, `AMCVS_*`, `s_cc`, `s_sq`, `s_vi`, `cto_bundle`, `_dd_s`, `ai_user`, `ai_session`,
///   `mtm_consent*`, `mtm_cookie_consent`;
/// - `OptanonConsent`, `OptanonAlertBoxClosed`, `eupubconsent*`, `euconsent*`, `usprivacy`,
///   `CookieConsent`, `CookieConsentBulk*`, `cookieconsent_*`, `cookieyes-consent`,
///   `cookielawinfo-*`, `cookie_notice_accepted`, `viewed_cookie_policy`, `cmplz_*`,
///   `moove_gdpr_popup`, `borlabs-cookie`, `didomi_token`, `_iub_cs-*`, `axeptio_*`,
///   `tarteaucitron`.
///
/// An application that reads one of them on the server [counts](Self::count) or [keys](Self::key)
/// it, or begins with [`all_count`](Self::all_count).
///
/// # Example
///
/// ```
/// use cachewarp::{CacheLayer, Cookies};
///
/// // A page for each language; a theme that only the browser looks at.
/// let cookies = Cookies::default().key(["lang"]).ignore(["theme", "ab_*"]);
/// let layer = CacheLayer::builder().cookies(cookies).build()?;
///
/// // Only the session matters.
/// let cookies = Cookies::all_count().ignore(["*"]).count(["sessionid"]);
/// let layer = CacheLayer::builder().cookies(cookies).build()?;
/// # Ok::<(), cachewarp::ConfigError>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub struct Cookies {
    keyed: Vec<String>,
    counted: Vec<String>,
    ignored: Vec<String>,
}

impl Cookies {
    /// All cookies count, without exception.
    pub fn all_count() -> Self {
        Self {
            keyed: Vec::new(),
            counted: Vec::new(),
            ignored: Vec::new(),
        }
    }

    /// Makes the names and values of these cookies a part of the cache key.
    ///
    /// The order of cookies with different names does not matter. Several cookies of one name are
    /// keyed in their order, since applications differ in which of them they take. A request whose
    /// key becomes longer than 8 KiB bypasses the cache.
    ///
    /// Applications differ in what they make of a cookie that does not follow the grammar, such as
    /// `lang =de`, or has the name in other letters. If one of these names is in it, all of it is part
    /// of the key, and it counts.
    pub fn key<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.keyed.extend(names.into_iter().map(Into::into));
        self
    }

    /// Makes these cookies count, also if they match a name that is ignored.
    pub fn count<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.counted.extend(names.into_iter().map(Into::into));
        self
    }

    /// Ignores these cookies, and removes them from requests whose response may be shared.
    ///
    /// Whatever the application would make of them, nobody gets it: do not ignore a cookie by which
    /// it knows its users.
    pub fn ignore<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.ignored.extend(names.into_iter().map(Into::into));
        self
    }
}

impl Default for Cookies {
    fn default() -> Self {
        Self::all_count().ignore(ANALYTICS)
    }
}

/// The same, ready to be asked about every cookie of every request.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct CookieRules {
    keyed: Patterns,
    counted: Patterns,
    ignored: Patterns,
}

/// What becomes of a cookie.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum CookieRole {
    Counts,
    Ignored,
    Keyed,
}

/// What is among the cookies of one line.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Found {
    pub(crate) counted: bool,
    pub(crate) ignored: bool,
    pub(crate) keyed: bool,
}

/// The name of a cookie, and its value.
pub(crate) type Pair<'a> = (&'a [u8], &'a [u8]);

impl CookieRules {
    /// # Errors
    ///
    /// The first name that is no pattern, or that no cookie can have: names are tokens (RFC 6265
    /// §4.1.1), and a `*` is a part of one.
    pub(crate) fn new(cookies: &Cookies) -> Result<Self, String> {
        let parse = |names: &[String]| match names.iter().find(|it| !is_token(it.as_bytes())) {
            Some(other) => Err(other.clone()),
            None => Patterns::new(names),
        };
        Ok(Self {
            keyed: parse(&cookies.keyed)?,
            counted: parse(&cookies.counted)?,
            ignored: parse(&cookies.ignored)?,
        })
    }

    /// What there is in one line of `Cookie`.
    pub(crate) fn scan(&self, line: &HeaderValue) -> Found {
        let mut found = Found::default();
        for piece in pieces(line.as_bytes()) {
            match self.role(piece) {
                CookieRole::Counts => {
                    found.counted = true;
                    found.keyed |= self.may_be_keyed(piece);
                }
                CookieRole::Ignored => found.ignored = true,
                CookieRole::Keyed => found.keyed = true,
            }
        }
        found
    }

    /// The cookies that are part of the key, by name. Those of one name are in the order in which
    /// the request has them. What may only be one has no name, and is all value.
    pub(crate) fn keyed<'a>(&self, headers: &'a HeaderMap) -> SmallVec<[Pair<'a>; 4]> {
        let mut keyed: SmallVec<[Pair<'a>; 4]> = headers
            .get_all(COOKIE)
            .iter()
            .flat_map(|line| pieces(line.as_bytes()))
            .filter_map(|piece| match self.role(piece) {
                CookieRole::Keyed => piece.pair,
                CookieRole::Counts if self.may_be_keyed(piece) => Some((&[][..], piece.whole)),
                CookieRole::Counts | CookieRole::Ignored => None,
            })
            .collect();
        keyed.sort_by_key(|(name, _)| *name);
        keyed
    }

    /// A cookie that counts, by its name if it has one that can be shown.
    pub(crate) fn first_counted<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let lines = headers.get_all(COOKIE).iter();
        let mut pieces = lines.flat_map(|line| pieces(line.as_bytes()));
        let counted = pieces.find(|piece| self.role(*piece) == CookieRole::Counts)?;
        Some(counted.name().unwrap_or("(unnamed)"))
    }

    /// Removes the cookies that are ignored, and returns the lines as they were.
    pub(crate) fn remove_ignored(&self, headers: &mut HeaderMap) -> Vec<HeaderValue> {
        let received: Vec<_> = headers.get_all(COOKIE).iter().cloned().collect();
        headers.remove(COOKIE);
        for line in &received {
            if let Some(line) = self.without_ignored(line) {
                headers.append(COOKIE, line);
            }
        }
        received
    }

    /// The line without the cookies that are ignored. `None` if there are no others.
    fn without_ignored(&self, line: &HeaderValue) -> Option<HeaderValue> {
        if !self.scan(line).ignored {
            return Some(line.clone());
        }
        let others: SmallVec<[&[u8]; 8]> = pieces(line.as_bytes())
            .filter(|piece| self.role(*piece) != CookieRole::Ignored)
            .map(|piece| piece.whole)
            .collect();
        if others.is_empty() {
            return None;
        }
        // Parts of a valid value, with valid separators.
        let kept = others.join(&b"; "[..]);
        let mut kept = HeaderValue::from_bytes(&kept).ok()?;
        kept.set_sensitive(line.is_sensitive());
        Some(kept)
    }

    /// Whether an application may read a cookie that is keyed out of a piece that counts: it does not
    /// follow the grammar, or has the name in other letters.
    fn may_be_keyed(&self, piece: Piece<'_>) -> bool {
        let is_name = |word| self.keyed.matches_in_any_case(word);
        match piece.pair {
            _ if self.keyed.is_empty() => false,
            Some((name, _)) => is_name(name),
            None => piece.words().any(is_name),
        }
    }

    fn role(&self, piece: Piece<'_>) -> CookieRole {
        match piece.pair {
            Some((name, _)) if self.keyed.matches(name) => CookieRole::Keyed,
            Some((name, _)) if self.counted.matches(name) => CookieRole::Counts,
            Some((name, _)) if self.ignored.matches(name) => CookieRole::Ignored,
            Some(_) | None => CookieRole::Counts,
        }
    }
}

#[cfg(test)]
mod tests;
