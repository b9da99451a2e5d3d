//! The Redis of `--backend redis`.

use std::ffi::OsStr;

use cachewarp::{CacheBuilder, ConfigError, Redis};

const DEFAULT_URL: &str = "redis://127.0.0.1:6379";

/// Adds the Redis at `url` to a cache.
pub(super) async fn add_to(
    cache: CacheBuilder,
    url: Option<&OsStr>,
    namespace: Option<&str>,
) -> Result<CacheBuilder, String> {
    let url = url.unwrap_or(OsStr::new(DEFAULT_URL)).to_str();
    let url = url.ok_or("invalid value for '--redis-url': not UTF-8")?;
    let mut redis = Redis::builder(url);
    if let Some(namespace) = namespace {
        redis = redis.namespace(namespace);
    }
    let redis = redis.connect().await.map_err(|error| refused(&error))?;
    Ok(cache.remote(redis))
}

/// The flag and what is wrong with it. The cache's errors show no passwords.
fn refused(error: &ConfigError) -> String {
    match error {
        ConfigError::Malformed {
            setting: "namespace",
            value,
            ..
        } => format!(
            "invalid value {value:?} for '--redis-namespace': \
             1 to 64 visible ASCII characters, none of them any of {{}}*?[]\\"
        ),
        error => format!("invalid value for '--redis-url': {error}"),
    }
}
