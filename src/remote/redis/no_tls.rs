//! In place of TLS in a build without it: a URL that asks for it is refused.

use fred::types::config::Config;

use crate::error::ConfigError;

pub(super) fn enable(_: &mut Config) -> Result<(), ConfigError> {
    Err(ConfigError::Unavailable {
        setting: "url",
        cause: "TLS: this build does not have the feature `redis-tls`".to_owned(),
    })
}
