//! Environment variables: every flag has one, and a flag beats its variable.
//!
//! The command line is read twice. First alone: what is wrong then is wrong with a flag. Then with
//! the variables of the flags that it does not have, as if they stood before it. A variable whose
//! flag conflicts with one that is given counts for nothing, and is not read either.
//!
//! Flags may declare `conflicts_with`; `requires` would be checked before variables count.

use std::{collections::HashMap, ffi::OsString};

use clap::{
    Arg, ArgAction, ArgMatches, Command, Error,
    error::{ContextKind, ContextValue, ErrorKind},
    parser::ValueSource,
};

const PREFIX: &str = "CACHEWARP_";

/// Other names of variables. Each counts where those before it are not set.
const SECOND_NAMES: [(&str, &[&str]); 5] = [
    ("backend", &["CACHE_BACKEND"]),
    ("redis-url", &["REDIS_URL"]),
    ("stale-if-error", &["CACHE_STALE_IF_ERROR"]),
    ("stale-while-revalidate", &["CACHE_STALE_WHILE_REVALIDATE"]),
    ("ttl", &["CACHE_TTL", "PROXY_EXPIRY"]),
];

const RULE: &str = "\
Each flag has a variable of the environment, which counts where the flag is not given. A switch takes
true, false, 1 or 0 there, and a flag that may be repeated a list with commas. Second names:
CACHE_TTL, PROXY_EXPIRY, CACHE_STALE_WHILE_REVALIDATE, CACHE_STALE_IF_ERROR, CACHE_BACKEND, REDIS_URL.";

/// Kubernetes sets such variables for every service, and a service may be named after the program.
const OF_KUBERNETES: [&str; 2] = ["CACHEWARP_PORT_", "CACHEWARP_SERVICE_"];

pub(crate) type Variables = HashMap<OsString, OsString>;

/// What was read.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// Flags, variables and defaults.
    pub(crate) all: ArgMatches,
    /// Flags alone.
    pub(crate) flags: ArgMatches,
    pub(crate) sources: Sources,
}

/// Why nothing was read, or the text that was asked for.
#[derive(Debug)]
pub(crate) struct Stopped {
    pub(crate) kind: ErrorKind,
    pub(crate) text: String,
}

/// The variables that count, for errors that come later, and those that never do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    /// A flag as errors quote it, and the variable to name instead.
    names: Vec<(String, String)>,
    pub(crate) unknown: Vec<String>,
}

impl Sources {
    /// An error with a variable in place of each flag that was not given itself.
    pub(crate) fn name(&self, error: &str) -> String {
        let mut error = error.to_owned();
        for (flag, variable) in &self.names {
            error = error.replace(flag, variable);
        }
        error
    }

    fn add(&mut self, arg: &Arg, variable: &str) {
        let long = arg.get_long().unwrap_or_default();
        let (short, full) = (format!("--{long}"), arg.to_string());
        let named = |flag: &str| (format!("'{flag}'"), format!("{variable} ({flag})"));
        self.names.push(named(&full));
        if short != full {
            self.names.push(named(&short));
        }
    }
}

/// Reads a command line, its program first, with the variables that count beside it.
pub(crate) fn parse(
    mut command: Command,
    line: &[OsString],
    variables: &Variables,
) -> Result<Parsed, Stopped> {
    let for_help = command.clone();
    // Or flags do not know their own form yet.
    command.build();
    let free = without_duties(command.clone());
    let flags = match free.clone().try_get_matches_from(line) {
        Ok(flags) => flags,
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            return Err(with_names(for_help)
                .try_get_matches_from(line)
                .map_or_else(Stopped::from, |_| Stopped::from(error)));
        }
        Err(error) => return Err(error.into()),
    };

    let mut sources = Sources {
        unknown: unknown(&command, variables),
        ..Sources::default()
    };
    let is_given =
        |arg: &Arg| flags.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
    let given: Vec<&Arg> = command
        .get_arguments()
        .filter(|arg| is_given(arg))
        .collect();
    let mut with_variables: Vec<OsString> = line.first().cloned().into_iter().collect();
    for arg in command.get_arguments().filter(|arg| has_variable(arg)) {
        if given.iter().any(|other| excludes(&command, arg, other)) {
            continue;
        }
        let Some((name, value)) = set(arg, variables) else {
            continue;
        };
        let off = command
            .get_arguments()
            .find(|other| is_opposite(other, arg));
        let as_flags =
            as_flags(arg, off, &value).map_err(|why| refused(arg, &name, &value, why))?;
        if as_flags.is_empty() || as_flags.iter().all(|flag| with_variables.contains(flag)) {
            continue;
        }
        let alone = line.first().into_iter().chain(&as_flags);
        if let Err(error) = free.clone().try_get_matches_from(alone) {
            return Err(of_variable(error, arg, &name));
        }
        sources.add(arg, &name);
        with_variables.extend(as_flags);
    }
    with_variables.extend(line.iter().skip(1).cloned());
    match command.try_get_matches_from(with_variables) {
        Ok(all) => Ok(Parsed {
            all,
            flags,
            sources,
        }),
        Err(error) => {
            let stopped = Stopped::from(error);
            Err(Stopped {
                text: sources.name(&stopped.text),
                ..stopped
            })
        }
    }
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self {
            kind: error.kind(),
            text: error.to_string(),
        }
    }
}

/// The variable of a flag: `CACHEWARP_MAX_MEMORY` for `--max-memory`.
fn variable(long: &str) -> String {
    PREFIX.to_owned() + &long.replace('-', "_").to_ascii_uppercase()
}

fn has_variable(arg: &Arg) -> bool {
    !matches!(
        arg.get_action(),
        ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
    ) && arg.get_long().is_some()
}

/// For the help, without values: some are secrets.
fn with_names(command: Command) -> Command {
    let command = command.mut_args(|arg| match arg.get_long() {
        Some(long) if has_variable(&arg) => {
            let name = variable(long);
            arg.env(name).hide_env_values(true)
        }
        _ => arg,
    });
    command.after_help(RULE)
}

/// The command without what it requires, which a variable may give.
fn without_duties(mut command: Command) -> Command {
    let groups: Vec<String> = command
        .get_groups()
        .map(|group| group.get_id().to_string())
        .collect();
    for group in groups {
        command = command.mut_group(group, |group| group.required(false));
    }
    command
}

/// Whether one flag has no place beside the other, or is the same.
fn excludes(command: &Command, one: &Arg, other: &Arg) -> bool {
    let declares = |one: &Arg, other: &Arg| {
        let conflicts = command.get_arg_conflicts_with(one);
        conflicts.iter().any(|arg| arg.get_id() == other.get_id())
    };
    let in_group = || {
        command.get_groups().any(|group| {
            let has = |arg: &Arg| group.get_args().any(|id| id == arg.get_id());
            has(one) && has(other) && !group.clone().is_multiple()
        })
    };
    one.get_id() == other.get_id() || declares(one, other) || declares(other, one) || in_group()
}

/// Whether one flag is `--no-this` of the other.
fn is_opposite(one: &Arg, other: &Arg) -> bool {
    let no = one.get_long().and_then(|long| long.strip_prefix("no-"));
    no.is_some() && no == other.get_long()
}

/// The first of a flag's variables that has a value. An empty one counts as not set.
fn set(arg: &Arg, variables: &Variables) -> Option<(String, OsString)> {
    let long = arg.get_long()?;
    let others = SECOND_NAMES.iter().filter(|(flag, _)| *flag == long);
    let others = others.flat_map(|(_, names)| names.iter().map(|&name| name.to_owned()));
    std::iter::once(variable(long))
        .chain(others)
        .find_map(|name| {
            let value = variables.get(&OsString::from(&name))?;
            let is_foreign = long == "port" && is_link(value);
            (!value.is_empty() && !is_foreign).then(|| (name, value.clone()))
        })
}

/// `CACHEWARP_PORT=tcp://10.0.0.1:80` is what Kubernetes says of a service named `cachewarp`.
fn is_link(value: &OsString) -> bool {
    let value = value.to_string_lossy();
    ["tcp://", "udp://", "sctp://"]
        .iter()
        .any(|scheme| value.starts_with(scheme))
}

/// What a variable stands for on a command line.
fn as_flags(arg: &Arg, off: Option<&Arg>, value: &OsString) -> Result<Vec<OsString>, &'static str> {
    let long = |arg: &Arg| OsString::from(format!("--{}", arg.get_long().unwrap_or_default()));
    let flag = long(arg);
    let with = |value: OsString| {
        let mut flag = flag.clone();
        flag.push("=");
        flag.push(value);
        flag
    };
    let switch = match value.to_str().map(str::to_ascii_lowercase).as_deref() {
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some("1") if !arg.get_action().takes_values() => Some(true),
        Some("0") if !arg.get_action().takes_values() => Some(false),
        _ => None,
    };
    let may_stand_alone = arg.get_num_args().is_some_and(|n| n.min_values() == 0);
    match (arg.get_action(), switch) {
        (ArgAction::SetTrue, None) => Err("true, false, 1 or 0"),
        (ArgAction::SetTrue, Some(true)) => Ok(vec![flag]),
        (ArgAction::SetTrue, Some(false)) => Ok(off.map(long).into_iter().collect()),
        (_, Some(true)) if may_stand_alone => Ok(vec![flag]),
        (_, Some(false)) if may_stand_alone => Ok(vec![]),
        (ArgAction::Append, _) => match value.to_str() {
            Some(list) => {
                let items = list.split(',').map(str::trim);
                let items = items.filter(|item| !item.is_empty());
                let flags: Vec<_> = items.map(|item| with(item.into())).collect();
                // Somebody meant to restrict something, perhaps.
                if flags.is_empty() {
                    return Err("nothing stands between the commas");
                }
                Ok(flags)
            }
            None => Err("not UTF-8"),
        },
        _ => Ok(vec![with(value.clone())]),
    }
}

/// The error about a variable, which the parser took for that of a flag.
fn of_variable(mut error: Error, arg: &Arg, name: &str) -> Stopped {
    if error.kind() == ErrorKind::InvalidUtf8 {
        return Stopped {
            kind: ErrorKind::InvalidUtf8,
            text: format!("error: invalid value for {name} ({arg}): not UTF-8"),
        };
    }
    let named = format!("{name} ({arg})");
    error.insert(ContextKind::InvalidArg, ContextValue::String(named.clone()));
    let stopped = Stopped::from(error);
    Stopped {
        text: stopped.text.replace(&format!("'{named}'"), &named),
        ..stopped
    }
}

fn refused(arg: &Arg, name: &str, value: &OsString, why: &str) -> Stopped {
    let value = value.to_string_lossy();
    Stopped {
        kind: ErrorKind::ValueValidation,
        text: format!("error: invalid value '{value}' for {name} ({arg}): {why}"),
    }
}

/// Variables that look like those of flags, and are none: a spelling mistake does nothing, silently.
fn unknown(command: &Command, variables: &Variables) -> Vec<String> {
    let known: Vec<String> = command
        .get_arguments()
        .filter(|arg| has_variable(arg))
        .filter_map(|arg| arg.get_long().map(variable))
        .collect();
    let mut unknown: Vec<String> = variables
        .keys()
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name.starts_with(PREFIX) && !known.contains(name))
        .filter(|name| !OF_KUBERNETES.iter().any(|start| name.starts_with(start)))
        .collect();
    unknown.sort();
    unknown
}
