//! Validates settings: their syntax and their ranges.

use std::{ops::Bound, time::Duration};

use http::{HeaderName, uri::Authority};

use crate::{
    config::Config,
    error::{ConfigError, DisplayDuration, MAX_SPAN, check_span, in_range},
    posts::PostReads,
    purge::TagLimits,
    semantics::{
        cookies::{CookieRules, Cookies},
        credentials::CredentialFields,
        language::Languages,
        list::is_token,
    },
    util::pattern::Patterns,
};

/// The largest body of a POST that is read, in bytes.
const LARGEST_POST: u64 = 16 << 20;

/// The default of `max_entry_bytes`: a quarter of the memory tier, but less than 4 GiB, because an
/// entry measures its size in a `u32`.
pub(super) fn default_max_entry(capacity: u64) -> u64 {
    (capacity / 4).min(u64::from(u32::MAX))
}

/// Validates the settings that need no conversion.
pub(super) fn check(config: &Config, capacity: u64) -> Result<(), ConfigError> {
    config.default_authority.parse::<Authority>().map_err(|_| {
        let allowed = "a host, and perhaps a port: shop.example:8080";
        malformed("default_authority", &config.default_authority, allowed)
    })?;
    config
        .default_scheme
        .parse::<http::uri::Scheme>()
        .ok()
        // `http` accepts an empty scheme.
        .filter(|scheme| !scheme.as_str().is_empty())
        .ok_or_else(|| {
            let allowed = "a scheme alone: http or https";
            malformed("default_scheme", &config.default_scheme, allowed)
        })?;
    if let Some(name) = &config.status.cache_status
        && !is_sf_token(name)
    {
        let allowed = "a token (RFC 9651): a name without spaces, that begins with a letter";
        return Err(malformed("cache_status", name, allowed));
    }
    in_range(
        "max_entry_bytes",
        &config.rules.max_body,
        ..=capacity.min(u32::MAX.into()),
        "at most the capacity of the memory tier and below 4 GiB",
    )?;
    in_range(
        "max_variants",
        &config.max_variants,
        1..=1024,
        "between 1 and 1024",
    )?;
    in_range(
        "max_vary_names",
        &config.rules.max_vary_names,
        ..=256,
        "at most 256",
    )?;
    let TagLimits {
        count,
        length,
        total,
    } = config.tag_limits;
    in_range("tag_limits", &count, ..=128, "at most 128 tags")?;
    let allowed = "between 1 and 1024 bytes in a tag";
    in_range("tag_limits", &length, 1..=1024, allowed)?;
    in_range("tag_limits", &total, ..=65536, "at most 64 KiB in all")?;
    in_range("fill_window", &config.fill.window, 1.., "at least 1 byte")?;
    if let Some(heuristics) = config.rules.heuristics {
        let percent = heuristics.percent;
        in_range("heuristics", &percent, ..=100, "at most 100 percent")?;
    }
    if let Some(beta) = config.early_refresh {
        let range = (Bound::Excluded(0.0), Bound::Included(100.0));
        in_range("early_refresh", &beta, range, "above 0 and at most 100")?;
    }
    in_range(
        "lifetime_jitter",
        &config.lifetime_jitter,
        0.0..=0.5,
        "from 0 to 0.5",
    )?;
    for (setting, span) in [
        ("body_idle_timeout", config.fill.idle),
        ("fill_timeout", config.fill.timeout),
        ("origin_timeout", config.origin_timeout),
        ("reader_stall", config.fill.reader_stall),
        (
            "soft_timeout",
            config.soft_timeout.unwrap_or(config.origin_timeout),
        ),
        ("wait_timeout", config.wait_timeout),
    ] {
        check_span(setting, span)?;
    }
    for (setting, span) in [
        ("keep_stale", config.keep_stale),
        (
            "keep_stale_without_validator",
            config.keep_stale_without_validator,
        ),
        ("negative_ttl", config.negative_ttl.unwrap_or_default()),
        ("refresh_pause", config.refresh_pause),
        ("retry_after_cap", config.retry_after_cap),
        ("uncacheable_for", config.uncacheable_for),
    ] {
        in_range(
            setting,
            &DisplayDuration(span),
            ..=DisplayDuration(MAX_SPAN),
            "at most 2^31 seconds",
        )?;
    }
    Ok(())
}

/// Parses the names of cookies.
pub(super) fn cookie_rules(cookies: &Cookies) -> Result<CookieRules, ConfigError> {
    let allowed = "names of cookies, with * at the beginning or the end, if at all";
    CookieRules::new(cookies).map_err(|name| malformed("cookies", &name, allowed))
}

/// Parses the header names of a setting.
pub(super) fn header_names(
    setting: &'static str,
    names: Vec<String>,
) -> Result<Vec<HeaderName>, ConfigError> {
    let parse = |name: String| {
        let parsed = HeaderName::from_bytes(name.as_bytes());
        parsed.map_err(|_| malformed(setting, &name, "names of header fields"))
    };
    names.into_iter().map(parse).collect()
}

/// Parses the names of fields that carry credentials.
pub(super) fn credential_fields(
    setting: &'static str,
    names: Vec<String>,
) -> Result<CredentialFields, ConfigError> {
    let allowed = "names of header fields, with * at the beginning or the end, if at all";
    let (patterns, exact): (Vec<_>, Vec<_>) =
        names.into_iter().partition(|name| name.contains('*'));
    if let Some(name) = patterns.iter().find(|name| !is_token(name.as_bytes())) {
        return Err(malformed(setting, name, allowed));
    }
    let patterns = patterns.iter().map(|name| name.to_ascii_lowercase());
    let patterns = Patterns::new(patterns).map_err(|name| malformed(setting, &name, allowed))?;
    let exact = header_names(setting, exact)?;
    Ok(CredentialFields::new(exact).and_matching(patterns))
}

/// Parses the names of query parameters. What separates parameters, and ends a name or a query, is in
/// none.
pub(super) fn parameters(setting: &'static str, names: &[String]) -> Result<Patterns, ConfigError> {
    let allowed = "names of query parameters, with * at the beginning or the end, if at all";
    if let Some(name) = names.iter().find(|name| name.contains(['&', '=', '#'])) {
        return Err(malformed(setting, name, allowed));
    }
    Patterns::new(names).map_err(|name| malformed(setting, &name, allowed))
}

/// Parses language tags.
pub(super) fn languages(
    setting: &'static str,
    tags: Vec<String>,
) -> Result<Option<Languages>, ConfigError> {
    let allowed = "language tags (RFC 5646): en, pt-BR";
    Languages::new(tags).map_err(|tag| malformed(setting, &tag, allowed))
}

/// Parses the paths of a setting: each begins with `/`, or with a wildcard.
pub(super) fn paths(setting: &'static str, paths: Vec<String>) -> Result<Patterns, ConfigError> {
    let is_path = |path: &&String| path.starts_with(['/', '*']);
    let allowed = "a path, with * at the beginning or the end, if at all: /search, /orders/*";
    if let Some(other) = paths.iter().find(|path| !is_path(path)) {
        return Err(malformed(setting, other, allowed));
    }
    Patterns::new(paths).map_err(|path| malformed(setting, &path, allowed))
}

/// Adds a declaration of `post_as_read`.
pub(super) fn post_read(
    reads: &mut PostReads,
    path: String,
    max_body: u64,
) -> Result<(), ConfigError> {
    let setting = "post_as_read";
    let allowed = "between 1 byte and 16 MiB";
    in_range(setting, &max_body, 1..=LARGEST_POST, allowed)?;
    if !reads.makes_bodies() {
        let cause = "`request_bodies` has to say how bodies of requests are made".to_owned();
        return Err(ConfigError::Unavailable { setting, cause });
    }
    reads.add(paths(setting, vec![path])?, max_body);
    Ok(())
}

fn malformed(setting: &'static str, value: &str, allowed: &'static str) -> ConfigError {
    ConfigError::Malformed {
        setting,
        value: value.to_owned(),
        allowed,
    }
}

/// Whole seconds, limited to [`MAX_SPAN`].
pub(super) fn seconds(span: Duration) -> u32 {
    u32::try_from(span.min(MAX_SPAN).as_secs()).unwrap_or(u32::MAX)
}

/// Whether the name is a token of structured fields (RFC 9651 §3.3.4).
fn is_sf_token(name: &str) -> bool {
    sfv::TokenRef::from_str(name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without the feature `axum` there is no default.
    #[test]
    fn a_post_is_no_read_if_nobody_says_how_bodies_are_made() {
        let mut reads = PostReads::of(None);
        let refused = post_read(&mut reads, "/search".to_owned(), 1).unwrap_err();
        assert_eq!(refused.setting(), "post_as_read");
        assert!(
            refused.to_string().contains("`request_bodies`"),
            "{refused}"
        );
        assert!(reads.is_empty());
        let mut reads = PostReads::of(Some(std::sync::Arc::new(())));
        post_read(&mut reads, "/search".to_owned(), 1).unwrap();
        assert_eq!(reads.limit("/search"), Some(1));
    }
}
