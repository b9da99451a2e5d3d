//! URLs of Redis: parsed to fred's configuration, and shown without a password.

use fred::types::config::{Config, ServerConfig};

use super::tls;
use crate::error::ConfigError;

/// The schemes without TLS, each with the one that asks for it.
const SCHEMES: [(&str, &str); 6] = [
    ("redis", "rediss"),
    ("redis-cluster", "rediss-cluster"),
    ("redis-sentinel", "rediss-sentinel"),
    ("valkey", "valkeys"),
    ("valkey-cluster", "valkeys-cluster"),
    ("valkey-sentinel", "valkeys-sentinel"),
];

/// The addresses of the servers, for logs.
pub(super) fn servers(config: &Config) -> String {
    let hosts = match &config.server {
        ServerConfig::Centralized { server } => vec![server.clone()],
        ServerConfig::Clustered { hosts, .. } | ServerConfig::Sentinel { hosts, .. } => {
            hosts.clone()
        }
    };
    let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    hosts.join(", ")
}

/// Parses a URL. TLS is set up here, because fred's own way panics in a process that links more
/// than one cryptography provider.
pub(super) fn parse(url: &str) -> Result<Config, ConfigError> {
    let refuse = |allowed| ConfigError::OutOfRange {
        setting: "url",
        value: shown(url),
        allowed,
    };
    let (scheme, rest) = url.split_once("://").ok_or_else(|| refuse(URL))?;
    let known = SCHEMES
        .iter()
        .find(|(plain, tls)| [plain, tls].contains(&&scheme));
    let (plain, tls) = known.ok_or_else(|| refuse(URL))?;
    let mut config = Config::from_url(&format!("{plain}://{rest}")).map_err(|_| {
        refuse(if plain.ends_with("-sentinel") {
            SENTINEL
        } else {
            URL
        })
    })?;
    if scheme == *tls {
        tls::enable(&mut config)?;
    }
    Ok(config)
}

const URL: &str = "a URL such as redis://user:password@host:6379/0, with the scheme redis, \
                   redis-cluster or redis-sentinel (rediss for TLS) and further nodes as \
                   ?node=host:port";
const SENTINEL: &str =
    "a URL such as redis-sentinel://host:26379/0?sentinelServiceName=name&node=host:port";

/// A URL without anything that may be, or may be meant as, a password.
pub(super) fn shown(url: &str) -> String {
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let scheme = if scheme.len() <= 32 && scheme.bytes().all(is_scheme) {
        scheme
    } else {
        ""
    };
    let uri = url.parse::<http::Uri>().ok();
    let host = uri.as_ref().and_then(http::Uri::host).unwrap_or_default();
    match (scheme, host) {
        ("", _) => "…".to_owned(),
        (scheme, "") => format!("{scheme}://…"),
        (scheme, host) => format!("{scheme}://{host}…"),
    }
}
