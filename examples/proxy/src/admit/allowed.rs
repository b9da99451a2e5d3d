//! The hosts that are served: all, or those that `--allow-host` lists.

use std::collections::HashMap;

use smallvec::SmallVec;

use crate::admit::hosts::{self, DEFAULT_PORT, Form, Scheme};

/// One value of the flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AllowedHost {
    /// In the one form, without a dot at the end and without a port.
    name: String,
    names: Names,
    /// `None`: any.
    port: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    ThisOne,
    /// Those that end in it and a dot.
    Below,
}

impl AllowedHost {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (names, host) = match text.strip_prefix("*.") {
            Some(host) => (Names::Below, host),
            None => (Names::ThisOne, text),
        };
        if host.contains('/') {
            return Err("it is a host alone, without http:// and without a path".to_owned());
        }
        if host.contains('*') {
            return Err("a * is for the first label only: *.example.com".to_owned());
        }
        let form = match hosts::form(host.as_bytes(), Scheme::Http)? {
            Form::Normal => host.to_owned(),
            Form::Respelled(form) => form,
        };
        let (name, port) = split(&form);
        if names == Names::Below && (name.starts_with('[') || hosts::is_ipv4(name.as_bytes())) {
            return Err("there is nothing below an address".to_owned());
        }
        // An empty port is none. The colons of an address are in its brackets.
        let after = host.rsplit_once(']').map_or(host, |(_, after)| after);
        let says_port = after.contains(':') && !after.ends_with(':');
        Ok(Self {
            name: name.to_owned(),
            names,
            port: says_port.then_some(port),
        })
    }
}

/// All values of the flag. None at all means that every host is served.
#[derive(Debug, Default)]
pub(crate) struct AllowedHosts {
    exact: HashMap<String, Ports>,
    below: Vec<(String, Ports)>,
}

#[derive(Debug)]
enum Ports {
    Any,
    These(SmallVec<[u16; 4]>),
}

impl Ports {
    fn add(&mut self, port: Option<u16>) {
        match (&mut *self, port) {
            (Self::Any, _) => {}
            (Self::These(_), None) => *self = Self::Any,
            (Self::These(ports), Some(port)) => ports.push(port),
        }
    }

    fn contain(&self, port: u16) -> bool {
        match self {
            Self::Any => true,
            Self::These(ports) => ports.contains(&port),
        }
    }
}

impl AllowedHosts {
    pub(crate) fn new(hosts: &[AllowedHost]) -> Self {
        let mut all = Self::default();
        let none = || Ports::These(SmallVec::new());
        for host in hosts {
            let ports = match host.names {
                Names::ThisOne => all.exact.entry(host.name.clone()).or_insert_with(none),
                Names::Below => {
                    all.below.push((format!(".{}", host.name), none()));
                    // It has just been pushed.
                    match all.below.last_mut() {
                        Some((_, ports)) => ports,
                        None => continue,
                    }
                }
            };
            ports.add(host.port);
        }
        all
    }

    /// Whether every host is served.
    fn are_all(&self) -> bool {
        self.exact.is_empty() && self.below.is_empty()
    }

    /// Whether a host in its one form is served.
    pub(crate) fn contain(&self, host: &str) -> bool {
        if self.are_all() {
            return true;
        }
        let (name, port) = split(host);
        self.exact.get(name).is_some_and(|it| it.contain(port))
            || self.below.iter().any(|(end, ports)| {
                // Something stands before the dot: no label is empty.
                name.ends_with(end.as_str()) && ports.contain(port)
            })
    }
}

/// The name in a host of the one form, without a dot at the end, and its port.
fn split(host: &str) -> (&str, u16) {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port.parse().ok()),
        _ => (host, None),
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    (name, port.unwrap_or(DEFAULT_PORT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(list: &[&str]) -> AllowedHosts {
        let hosts = list.iter().map(|host| AllowedHost::parse(host));
        AllowedHosts::new(&hosts.collect::<Result<Vec<_>, _>>().unwrap())
    }

    #[test]
    fn what_is_listed_is_served_and_nothing_else() {
        for (list, served, others) in [
            (&[][..], &["a.test", "b.test:1", "[::1]"][..], &[][..]),
            (
                &["a.test"],
                &["a.test", "a.test.", "a.test:81", "a.test.:81"],
                &["b.test", "x.a.test", "aa.test", "test", "a.tes", "[::1]"],
            ),
            (
                &["A.Test:80", "a.test:8080"],
                &["a.test", "a.test:8080"],
                &["a.test:81"],
            ),
            (&["a.test:81", "a.test"], &["a.test", "a.test:82"], &[]),
            (&["a.test:"], &["a.test", "a.test:82"], &["b.test"]),
            (
                &["*.a.test"],
                &["x.a.test", "x.y.a.test", "x.a.test.", "x.a.test:81"],
                &["a.test", "xa.test", "a.test:81", "x.a.test.b"],
            ),
            (
                &["*.a.test:81", "a.test"],
                &["x.a.test:81", "a.test:5"],
                &["x.a.test"],
            ),
            (
                &["[0::1]", "127.0.0.1:8000"],
                &["[::1]", "[::1]:81", "127.0.0.1:8000"],
                &["[::2]", "127.0.0.1"],
            ),
            (&["[::1]:81"], &["[::1]:81"], &["[::1]", "[::1]:8"]),
            (&["[::]"], &["[::]"], &["[::1]"]),
            (&["a1"], &["a1", "a1:5"], &["a"]),
        ] {
            let hosts = allowed(list);
            for host in served {
                assert!(hosts.contain(host), "{list:?}: {host}");
            }
            for host in others {
                assert!(!hosts.contain(host), "{list:?}: {host}");
            }
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "",
            " ",
            "*",
            "*.",
            "a.*",
            "*a.test",
            "*.*.test",
            "a b",
            "a.test:0",
            "a.test:99999",
            "http://a.test",
            "a.test/",
            "*.127.0.0.1",
            "*.[::1]",
            "1.2.3",
            "::1",
        ] {
            assert!(AllowedHost::parse(text).is_err(), "{text}");
        }
    }
}
