//! The log: its flags, what is heard, and the form of its lines.

pub(crate) mod access;
pub(crate) mod controls;
pub(crate) mod lines;
pub(crate) mod seldom;
pub(crate) mod url;

use std::{
    env,
    io::{self, IsTerminal},
};

use clap::{Args, ValueEnum};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    Layer as _,
    filter::{ParseError, Targets},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::{
    log::{controls::Escaping, lines::Rest},
    warming::progress,
};

/// The targets that `--log-level` is for: the crates of this program begin with it.
const OWN: &str = "cachewarp";
const RUST_LOG: &str = "RUST_LOG";

#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Log")]
pub(crate) struct Logging {
    /// The least important lines to write to stderr; from info on, one for each request. A level of
    /// RUST_LOG counts where this flag is not given, and its target=level pairs always do
    /// [default: warn]
    #[arg(long, value_enum, value_name = "LEVEL", ignore_case = true)]
    log_level: Option<Level>,

    /// The form of a line: words, or a JSON object
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text)]
    log_format: Format,

    /// Write the values of queries as well, not only their names
    #[arg(long)]
    log_query: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl From<Level> for LevelFilter {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::ERROR,
            Level::Warn => Self::WARN,
            Level::Info => Self::INFO,
            Level::Debug => Self::DEBUG,
            Level::Trace => Self::TRACE,
        }
    }
}

impl Logging {
    /// How a request's line shows its query.
    pub(crate) fn queries(self) -> access::Queries {
        if self.log_query {
            access::Queries::Whole
        } else {
            access::Queries::Names
        }
    }

    /// Starts the log of this process.
    pub(crate) fn start(self) -> io::Result<Rest> {
        let variable = env::var(RUST_LOG).unwrap_or_default();
        let (filter, fault) = match parse(&variable) {
            Ok(targets) => (filter(self.log_level, &targets), None),
            Err(error) => (filter(self.log_level, &Targets::new()), Some(error)),
        };
        let (writer, rest) = lines::start(progress::Log)?;
        let lines = tracing_subscriber::fmt::layer();
        let lines = match self.log_format {
            Format::Text => lines
                .with_writer(move || writer.clone())
                .with_ansi(has_colours())
                .boxed(),
            Format::Json => lines
                .with_writer(move || Escaping(writer.clone()))
                .json()
                .flatten_event(true)
                .boxed(),
        };
        tracing_subscriber::registry()
            .with(lines.with_filter(filter))
            .init();
        if let Some(error) = fault {
            tracing::warn!(%error, "{RUST_LOG} is not understood and does not count");
        }
        Ok(rest)
    }
}

/// Where nobody looks at them, colours are noise (<https://no-color.org>).
fn has_colours() -> bool {
    io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// An empty variable is one that is not set.
fn parse(variable: &str) -> Result<Targets, ParseError> {
    if variable.trim().is_empty() {
        return Ok(Targets::new());
    }
    variable.parse()
}

/// What is heard. Libraries say much below info, so only `RUST_LOG` makes them heard there.
fn filter(flag: Option<Level>, variable: &Targets) -> Targets {
    let filter = match (flag.map(LevelFilter::from), variable.default_level()) {
        (None, Some(level)) => Targets::new().with_default(level),
        (level, _) => {
            let level = level.unwrap_or(LevelFilter::WARN);
            Targets::new()
                .with_default(level.min(LevelFilter::INFO))
                .with_targets([(OWN, level), (access::TARGET, level)])
        }
    };
    // What is named there is more exact, so it counts before the above.
    filter.with_targets(variable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_beats_the_level_of_the_variable_and_its_targets_beat_both() {
        use tracing::Level as L;
        for (flag, variable, heard, unheard) in [
            (None, "", ("access", L::WARN), ("access", L::INFO)),
            (
                Some(Level::Info),
                "",
                ("access", L::INFO),
                ("access", L::DEBUG),
            ),
            (
                Some(Level::Info),
                "error",
                ("access", L::INFO),
                ("h2", L::DEBUG),
            ),
            (None, "info", ("access", L::INFO), ("access", L::DEBUG)),
            (None, "debug", ("h2", L::DEBUG), ("h2", L::TRACE)),
            (
                Some(Level::Debug),
                "",
                ("cachewarp_proxy::edge", L::DEBUG),
                ("h2", L::DEBUG),
            ),
            (Some(Level::Error), "", ("h2", L::ERROR), ("h2", L::WARN)),
            (None, "h2=debug", ("h2", L::DEBUG), ("access", L::INFO)),
            (
                None,
                "access=info",
                ("access", L::INFO),
                ("cachewarp", L::INFO),
            ),
            (
                Some(Level::Info),
                "access=off",
                ("cachewarp", L::INFO),
                ("access", L::ERROR),
            ),
            (
                Some(Level::Warn),
                "trace,access=info",
                ("access", L::INFO),
                ("h2", L::INFO),
            ),
            (
                Some(Level::Trace),
                "cachewarp=warn",
                ("access", L::TRACE),
                ("cachewarp::a", L::INFO),
            ),
        ] {
            let filter = filter(flag, &parse(variable).unwrap());
            let context = format!("{flag:?} {variable:?}: {filter}");
            assert!(filter.would_enable(heard.0, &heard.1), "{context}");
            assert!(!filter.would_enable(unheard.0, &unheard.1), "{context}");
        }
    }
}
