//! The command line: every flag, its default, and one line for each way to get it wrong.

use std::{net::SocketAddr, net::ToSocketAddrs, time::Duration};

use clap::{CommandFactory, FromArgMatches, Parser, ValueEnum, error::ErrorKind};
use http::Uri;

use crate::backend::Backend;

const MIB: u64 = 1 << 20;
/// Ten years: beyond any use, and safe to add to any clock.
const MAX_MILLIS: u64 = 10 * 366 * 86_400_000;

/// A caching reverse proxy: what may be shared is answered from memory, the rest by the origin.
#[derive(Clone, Debug, Parser)]
#[command(name = "proxy", version)]
pub(crate) struct Config {
    /// Where requests go: http:// or https://, a host and a port, no path
    #[arg(long, value_name = "URL", value_parser = parse_origin)]
    #[arg(required_unless_present = "demo", conflicts_with = "demo")]
    origin: Option<Uri>,

    /// Start a slow origin in this process and print requests to try
    #[arg(long)]
    pub(crate) demo: bool,

    /// Address or name to listen on
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) host: String,

    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 8000)]
    pub(crate) port: u16,

    /// Bytes of memory for stored responses: 1048576, 512KiB, 64MiB, 2GB
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = parse_size)]
    pub(crate) max_memory: u64,

    #[command(flatten)]
    pub(crate) backend: Backend,

    /// How to read what the RFCs leave open
    #[arg(long, value_enum, default_value_t = Profile::Default)]
    pub(crate) profile: Profile,

    /// Lifetime for responses that state none: 60, 5m, 2h [default: such responses are not kept]
    #[arg(long, value_name = "SECS", value_parser = parse_lifetime)]
    pub(crate) ttl: Option<Duration>,

    /// Send the origin's own name as Host instead of the client's
    #[arg(long)]
    pub(crate) rewrite_host: bool,

    /// Speak HTTP/2 to an http:// origin too (an https:// origin negotiates it)
    #[arg(long)]
    pub(crate) origin_http2: bool,

    /// How long the origin may take to answer with response headers before the client gets a 504;
    /// the time it waits for the client to send content does not count
    #[arg(long, value_name = "SECS", default_value = "30", value_parser = parse_timeout)]
    pub(crate) origin_timeout: Duration,

    /// How long a client may take over a request's header, and be silent within its content or
    /// between requests
    #[arg(long, value_name = "SECS", default_value = "60", value_parser = parse_timeout)]
    pub(crate) client_timeout: Duration,

    /// How long requests under way may take to end after SIGTERM or SIGINT
    #[arg(long, value_name = "SECS", default_value = "25", value_parser = parse_duration)]
    pub(crate) shutdown_timeout: Duration,

    /// Runtimes, one thread each [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// The careful reading: nothing is stored or shared that an origin may not have meant
    Default,
    /// The most literal reading of RFC 9111 that allows the most reuse
    RfcLiteral,
}

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Command {
    Serve(Box<Config>),
    /// Help or version text, for stdout.
    Print(String),
    /// One line for stderr.
    Refuse(String),
}

impl Command {
    pub(crate) fn from_env() -> Self {
        let parsed = Config::command().try_get_matches().and_then(|matches| {
            let config = Config::from_arg_matches(&matches)?;
            let checked = config.backend.check(&matches);
            Ok((config, checked))
        });
        match parsed {
            Ok((config, Ok(()))) => Self::Serve(Box::new(config)),
            Ok((_, Err(line))) => Self::Refuse(line),
            Err(error) => match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                    Self::Print(error.to_string())
                }
                _ => Self::Refuse(one_line(&error.to_string())),
            },
        }
    }
}

impl Config {
    /// The origin of the command line; `None` asks for the demo's own.
    pub(crate) fn origin(&self) -> Option<&Uri> {
        self.origin.as_ref()
    }

    /// The address to listen on. A name may have several; the first one counts.
    pub(crate) fn listen(&self) -> Result<SocketAddr, String> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let failed = |why: &str| format!("invalid value '{}' for '--host': {why}", self.host);
        (host, self.port)
            .to_socket_addrs()
            .map_err(|error| failed(&error.to_string()))?
            .next()
            .ok_or_else(|| failed("the name has no address"))
    }

    pub(crate) fn workers(&self) -> usize {
        self.workers.map_or_else(
            || std::thread::available_parallelism().map_or(1, usize::from),
            usize::from,
        )
    }
}

/// Clap's error without its usage text and hints, which spread over several lines.
fn one_line(error: &str) -> String {
    let told = error
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"))
        .filter(|line| !line.is_empty() && !line.starts_with("tip:"));
    told.collect::<Vec<_>>().join(" ")
}

fn parse_origin(text: &str) -> Result<Uri, String> {
    let uri: Uri = text
        .parse()
        .map_err(|error: http::uri::InvalidUri| error.to_string())?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("the scheme is http:// or https://".to_owned());
    }
    if uri.path() != "/" || uri.query().is_some() {
        return Err("an origin has no path and no query".to_owned());
    }
    match uri.authority() {
        Some(authority) if authority.as_str().contains('@') => {
            Err("an origin has no user name or password".to_owned())
        }
        Some(authority) if authority.host().is_empty() => Err("the host is missing".to_owned()),
        // Beyond the host there is nothing but a port.
        Some(authority)
            if authority.port_u16().is_none() && authority.as_str() != authority.host() =>
        {
            Err("a port is a number up to 65535".to_owned())
        }
        Some(_) => Ok(uri),
        None => Err("the host is missing".to_owned()),
    }
}

fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = split_unit(text);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => MIB,
        "g" | "gib" => 1 << 30,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err("a size is a whole number and B, KiB, MiB, GiB, kB, MB or GB".to_owned()),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "a size starts with a whole number".to_owned())?;
    match number.checked_mul(factor) {
        None => Err("the size is too large".to_owned()),
        Some(0) => Err("the size is zero".to_owned()),
        Some(bytes) => Ok(bytes),
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split_unit(text);
    let millis = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("a time is a whole number and ms, s, m or h".to_owned()),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "a time starts with a whole number".to_owned())?;
    match number.checked_mul(millis) {
        Some(total) if total <= MAX_MILLIS => Ok(Duration::from_millis(total)),
        _ => Err("the time is too long".to_owned()),
    }
}

/// Lifetimes count whole seconds (RFC 9111 section 1.2.2).
fn parse_lifetime(text: &str) -> Result<Duration, String> {
    if split_unit(text).1 == "ms" {
        return Err("a lifetime is a whole number and s, m or h".to_owned());
    }
    match parse_duration(text)? {
        Duration::ZERO => Err("a lifetime of zero keeps nothing".to_owned()),
        lifetime => Ok(lifetime),
    }
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("a timeout of zero answers nothing".to_owned()),
        timeout => Ok(timeout),
    }
}

fn split_unit(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("65536", 65_536),
            ("512k", 512 << 10),
            ("64MiB", 64 << 20),
            ("2 GB", 2_000_000_000),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "MiB", "-1", "1.5G", "0", "99999999999GiB", "1TiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times() {
        assert_eq!(parse_duration("60"), Ok(Duration::from_secs(60)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("5m"), Ok(Duration::from_secs(300)));
        assert!(parse_duration("soon").is_err());
        assert!(parse_duration("18446744073709551615").is_err());
        assert!(parse_timeout("0").is_err());
    }

    #[test]
    fn lifetimes() {
        assert_eq!(parse_lifetime("60"), Ok(Duration::from_secs(60)));
        assert_eq!(parse_lifetime("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_lifetime("2h"), Ok(Duration::from_secs(7200)));
        for text in ["0", "0m", "500ms", "2000 ms", "1.5", "1d", "-1", ""] {
            assert!(parse_lifetime(text).is_err(), "{text}");
        }
    }

    #[test]
    fn origins() {
        for good in [
            "http://127.0.0.1:9000",
            "https://example.com/",
            "http://[::1]:80",
        ] {
            assert!(parse_origin(good).is_ok(), "{good}");
        }
        for bad in [
            "127.0.0.1:9000",
            "ftp://example.com",
            "http://example.com/base",
            "http://user@example.com",
            "http://example.com:99999",
            "http://example.com:",
        ] {
            assert!(parse_origin(bad).is_err(), "{bad}");
        }
    }
}
