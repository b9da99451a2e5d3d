//! The command line: every flag, its default, and one line for each way to get it wrong.

pub(crate) mod backend;
pub(crate) mod environment;
pub(crate) mod keys;
pub(crate) mod lifetimes;
pub(crate) mod trouble;
pub(crate) mod tuning;
pub(crate) mod values;

use std::{env, net::SocketAddr, net::ToSocketAddrs, time::Duration};

use clap::{ArgGroup, CommandFactory, FromArgMatches, Parser, error::ErrorKind};
use http::Uri;

use crate::{
    admit::allowed::AllowedHost,
    config::{
        backend::Backend,
        environment::Sources,
        keys::Keys,
        lifetimes::Lifetimes,
        trouble::Trouble,
        tuning::Tuning,
        values::{parse_name, parse_origin, parse_size, parse_time, parse_timeout},
    },
    heads::ResponseHeads,
    log::Logging,
    origin::{ORIGIN, dial::Dialing},
    upstream::naming::Names,
    warming::Warming,
};

const CLIENTS: &str = "Clients";

/// A caching reverse proxy: what may be shared is answered from memory, the rest by the origin.
#[derive(Clone, Debug, Parser)]
#[command(name = "cachewarp-proxy", version)]
#[command(group(ArgGroup::new("either").args(["origin", "demo"]).required(true)))]
pub(crate) struct Config {
    /// Where requests go: http:// or https://, a host and a port, no path
    #[arg(long, help_heading = ORIGIN, value_name = "URL", value_parser = parse_origin)]
    origin: Option<Uri>,

    /// Start a slow origin in this process and print requests to try
    #[arg(long, help_heading = ORIGIN)]
    pub(crate) demo: bool,

    #[command(flatten)]
    pub(crate) names: Names,

    /// Speak HTTP/2 to an http:// origin too (an https:// origin negotiates it)
    #[arg(long, help_heading = ORIGIN)]
    pub(crate) origin_http2: bool,

    #[command(flatten)]
    pub(crate) dialing: Dialing,

    /// Connections to an HTTP/1 origin at once, of all clients together; further requests wait for one,
    /// for half of --timeout at most, and then get a 503. With a low limit on open files there are
    /// fewer
    #[arg(long, help_heading = ORIGIN, value_name = "N", default_value_t = 2_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) max_origin_connections: u32,

    #[command(flatten)]
    pub(crate) heads: ResponseHeads,

    /// Address or name to listen on
    #[arg(long, help_heading = CLIENTS, default_value = "127.0.0.1")]
    pub(crate) host: String,

    /// Port to listen on; 0 takes a free one
    #[arg(long, help_heading = CLIENTS, default_value_t = 8000)]
    pub(crate) port: u16,

    /// The name of this proxy in Cache-Status and Proxy-Status: a token that begins with a letter,
    /// of up to 64 characters
    #[arg(long, help_heading = CLIENTS, value_name = "NAME", default_value = "cachewarp")]
    #[arg(value_parser = parse_name)]
    pub(crate) name: String,

    /// Hosts to serve: example.com, *.example.com for all below it, with a port or for any port. A
    /// request for another host is 421. May be repeated, or a list with commas [default: all hosts]
    #[arg(long = "allow-host", help_heading = CLIENTS, value_name = "NAME", value_delimiter = ',')]
    #[arg(value_parser = AllowedHost::parse)]
    pub(crate) allowed_hosts: Vec<AllowedHost>,

    /// How long a client may take over a request's header, be silent within its content or between
    /// requests, and read nothing of a response: 30, 0.5, 100ms, 5m, 1h
    #[arg(long, help_heading = CLIENTS, value_name = "TIME", default_value = "60")]
    #[arg(value_parser = parse_timeout)]
    pub(crate) client_timeout: Duration,

    /// How long both ends of a WebSocket may be silent before it is closed: 30, 5m, 1h
    #[arg(long, help_heading = CLIENTS, value_name = "TIME", default_value = "1h")]
    #[arg(value_parser = parse_timeout)]
    pub(crate) tunnel_timeout: Duration,

    /// Clients that may be connected at once, 1 to 1000000, at least one for each worker. A further
    /// one gets the place of a connection that is idle, or waits
    #[arg(long, help_heading = CLIENTS, value_name = "N", default_value_t = 10_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) max_connections: u32,

    /// How long requests under way may take to end after SIGTERM or SIGINT
    #[arg(long, help_heading = CLIENTS, value_name = "TIME", default_value = "25")]
    #[arg(value_parser = parse_time)]
    pub(crate) shutdown_timeout: Duration,

    /// Runtimes, one thread each [default: one per core]
    #[arg(long, help_heading = CLIENTS, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,

    /// Bytes of memory for stored responses: 1048576, 512KiB, 64MiB, 2GB
    #[arg(long, help_heading = crate::config::backend::HEADING, value_name = "SIZE")]
    #[arg(default_value = "64MiB", value_parser = parse_size)]
    pub(crate) max_memory: u64,

    #[command(flatten)]
    pub(crate) backend: Backend,

    #[command(flatten)]
    pub(crate) keys: Keys,

    #[command(flatten)]
    pub(crate) lifetimes: Lifetimes,

    #[command(flatten)]
    pub(crate) trouble: Trouble,

    #[command(flatten)]
    pub(crate) warming: Warming,

    #[command(flatten)]
    pub(crate) tuning: Tuning,

    #[command(flatten)]
    pub(crate) log: Logging,

    /// Where the values come from.
    #[arg(skip)]
    pub(crate) sources: Sources,
}

/// What the command line says to do.
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
        // A value such as -1 is for the flag before it to refuse.
        let command = Config::command().mut_args(|arg| {
            let takes_value = arg.get_action().takes_values();
            arg.allow_negative_numbers(takes_value)
        });
        let line: Vec<_> = env::args_os().collect();
        let parsed = match environment::parse(command, &line, &env::vars_os().collect()) {
            Ok(parsed) => parsed,
            Err(stopped) => {
                return match stopped.kind {
                    ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Self::Print(stopped.text),
                    kind => Self::Refuse(one_line(&stopped.text) + advice(kind)),
                };
            }
        };
        let config = Config::from_arg_matches(&parsed.all);
        let checked = config
            .map_err(|error| error.to_string())
            .and_then(|config| {
                config.backend.check(&parsed.flags)?;
                config.warming.check(&parsed.flags)?;
                config.dialing.check(&parsed.flags, config.origin())?;
                let fits = config.tuning.check(&parsed.all, config.max_memory);
                fits.map_err(|line| parsed.sources.name(&line))?;
                Ok(config)
            });
        match checked {
            Ok(mut config) => {
                config.sources = parsed.sources;
                Self::Serve(Box::new(config))
            }
            Err(line) => Self::Refuse(one_line(&line)),
        }
    }
}

impl Config {
    /// The origin of the command line; `None` means the demo's own.
    pub(crate) fn origin(&self) -> Option<&Uri> {
        self.origin.as_ref()
    }

    /// The address to listen on. A name may have several; the first one counts.
    pub(crate) fn listen(&self) -> Result<SocketAddr, String> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let failed = |why: &str| format!("invalid value '{}' for '--host': {why}", self.host);
        if has_port(&self.host) {
            return Err(failed("it takes no port: --port does"));
        }
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

/// Where an error alone does not say what to do.
fn advice(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::MissingRequiredArgument => "; --demo is for a first try, and --help lists all",
        ErrorKind::UnknownArgument => "; --help lists all",
        _ => "",
    }
}

/// A name or an IPv4 address with one colon, or what follows the bracket of an IPv6 address.
fn has_port(host: &str) -> bool {
    let after = host.rsplit_once(']').map_or(host, |(_, after)| after);
    after.matches(':').count() == 1
}

/// Clap's error without its usage text and hints, which spread over several lines.
fn one_line(error: &str) -> String {
    let told = error
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"))
        .filter(|line| !line.is_empty() && !line.starts_with("tip:"));
    without_password(told.collect::<Vec<_>>().join(" "))
}

/// An error about a URL whose user name and password do not end up in a log.
pub(crate) fn without_password(error: String) -> String {
    const VALUE: &str = "invalid value '";
    let value = error.find(VALUE).map(|at| at + VALUE.len());
    if let (Some(start), Some(end)) = (value, error.rfind('@'))
        && let Some(secret) = error.get(start..end)
        && secret.contains(':')
    {
        return format!("{}***{}", &error[..start], &error[end..]);
    }
    error
}
