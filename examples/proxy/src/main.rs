//! A caching reverse proxy, built on the public API of `cachewarp` alone.
//!
//! ```text
//! cargo run --release -p cachewarp-proxy -- --origin http://127.0.0.1:9000 --port 8000
//! cargo run --release -p cachewarp-proxy -- --demo
//! cargo run --release -p cachewarp-proxy --features redis -- --origin http://127.0.0.1:9000 \
//!     --backend redis
//! cargo run --release -p cachewarp-proxy -- --origin http://127.0.0.1:9000 --ttl 60 --warm urls.txt \
//!     --stale-while-revalidate 30 --stale-if-error 1h --soft-timeout 0.5 --breaker --early-refresh
//! ```
//!
//! What happens to a request, one module per step. A folder has the parts of the module of its name:
//!
//! | step | module |
//! |-|-|
//! | accept, on one runtime per core | `workers`, `server` |
//! | what a connection of a client may cost, and how long it may last | `client` |
//! | check, make canonical, remove hop-by-hop and false fields | `admit`, `hop` |
//! | read the content | `body` |
//! | the cache | `edge` puts the layer around the rest |
//! | forward, with a timeout and few retries, and make the response fit to store | `upstream`, `failure` |
//! | connections to the origin | `origin`, `heads` |
//! | WebSocket | `tunnel` |
//! | responses of our own | `answer` |
//! | send the body | `client::sending` |
//! | lines in the log | `log` |
//!
//! The flags are in `config`, each group with what it does to the cache. `warming` sends the requests of
//! `--warm`, and `demo` is the origin of `--demo`.
//!
//! Every path belongs to the origin: nothing is served under a reserved one. `Host` goes on in the
//! form in which it is keyed (`admit::hosts`). Of interim responses only 100 (Continue) reaches the client;
//! hyper's server cannot send others.

mod admit;
mod answer;
mod body;
mod client;
mod config;
mod demo;
mod edge;
mod failure;
mod heads;
mod hop;
mod log;
mod origin;
mod server;
mod signals;
mod tunnel;
mod upstream;
mod warming;
mod workers;

use std::{
    convert::Infallible,
    future::pending,
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use cachewarp::{CacheLayer, Memory};
use http::Uri;
use tokio::{
    runtime::Runtime,
    sync::{mpsc, watch},
    time::Instant,
};

use crate::{
    admit::{Rules, allowed::AllowedHosts, identity::Identity},
    answer::Signature,
    client::{Client, places::Places},
    config::{Command, Config, without_password},
    edge::Edge,
    origin::dial::Dial,
    server::{Phase, Worker},
    signals::Signals,
    upstream::{
        Policy,
        naming::{HostPolicy, Naming},
    },
    warming::List,
    workers::{Ended, connector, runtime, spawn},
};

const BAD_USAGE: u8 = 2;

/// How long after a second signal what ends without waiting may take.
const AT_ONCE: Duration = Duration::from_millis(250);

fn main() -> ExitCode {
    let config = match Command::from_env() {
        Command::Serve(config) => config,
        Command::Print(text) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Command::Refuse(line) => {
            eprintln!("{line}");
            return ExitCode::from(BAD_USAGE);
        }
    };
    let start = match Start::new(&config) {
        Ok(start) => start,
        Err(line) => return refuse(&config, &line),
    };
    let _rest = match config.log.start() {
        Ok(rest) => rest,
        Err(error) => {
            eprintln!("error: cannot start the log: {error}");
            return ExitCode::FAILURE;
        }
    };
    for name in &config.sources.unknown {
        tracing::warn!("{name} is the variable of no flag");
    }
    let control = match runtime() {
        Ok(control) => control,
        Err(error) => {
            eprintln!("error: cannot start a runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let cache = match control.block_on(cache(&config)) {
        Ok(cache) => cache,
        Err(line) => return refuse(&config, &line),
    };
    match run(&config, start, &cache, &control) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What is wrong with a flag or a variable, in one line.
fn refuse(config: &Config, line: &str) -> ExitCode {
    eprintln!("error: {}", without_password(config.sources.name(line)));
    ExitCode::from(BAD_USAGE)
}

/// What is checked before anything starts.
struct Start {
    address: SocketAddr,
    list: Option<List>,
    dial: Dial,
}

impl Start {
    fn new(config: &Config) -> Result<Self, String> {
        let address = config.listen()?;
        Ok(Self {
            address,
            list: config.warming.list(&config.host, address)?,
            dial: config.dialing.dial(
                config.origin(),
                config.trouble.timeout,
                config.max_origin_connections,
            )?,
        })
    }
}

fn run(config: &Config, start: Start, cache: &CacheLayer, control: &Runtime) -> Result<(), String> {
    let Start {
        address,
        list,
        mut dial,
    } = start;
    let listeners = server::listen(address, config.workers())
        .map_err(|error| format!("cannot listen on {address}: {error}"))?;
    let address = listeners
        .first()
        .and_then(|listener| listener.local_addr().ok())
        .unwrap_or(address);
    let origin = match config.origin() {
        Some(origin) => origin.clone(),
        None => demo::start().map_err(|error| format!("cannot start the demo origin: {error}"))?,
    };
    // Before the address is printed: a program that waits for it may send a signal at once.
    let mut signals = {
        let _context = control.enter();
        Signals::new().map_err(|error| format!("cannot listen for signals: {error}"))?
    };

    let places = Places {
        clients: config.max_connections,
        origin: dial.places,
    };
    let places = places.fit(config.workers()).of_worker(config.workers());
    dial.places = places.origin;
    let (phase, phase_seen) = watch::channel(Phase::Serving);
    let (serving, mut finished) = mpsc::channel(1);
    let (ended, mut lost) = mpsc::unbounded_channel();
    let worker = Worker {
        cache: cache.clone(),
        policy: Arc::new(policy(config, cache, &origin)),
        phase: phase_seen,
        grace: config.shutdown_timeout,
        patience: config.client_timeout,
        places: places.clients as usize,
        refused: Arc::default(),
        serving,
    };
    let workers = listeners
        .into_iter()
        .map(|listener| {
            let (worker, ended) = (worker.clone(), Ended(ended.clone()));
            spawn(
                listener,
                worker,
                config,
                origin.clone(),
                dial.clone(),
                ended,
            )
        })
        .collect::<io::Result<Vec<_>>>()
        .map_err(|error| format!("cannot start a worker: {error}"))?;
    let policy = Arc::clone(&worker.policy);
    drop(worker);
    announce(config, address, &origin, policy.naming.policy);

    control.block_on(async {
        let warmed = async {
            if let Some(list) = list {
                // It is this machine that asks.
                let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
                let origin = connector(config, origin, dial)();
                let edge = Edge::new(cache, origin, policy, client, Arc::new(Client::new()));
                let edge = Arc::new(edge);
                let patience = config.trouble.timeout;
                list.warm(cache.handle(), edge, address.port(), patience).await;
            }
            pending::<Infallible>().await
        };
        tokio::select! {
            () = signals.next() => {}
            never = warmed => match never {},
            _ = lost.recv() => return Err("a worker ended, and its share of clients with it".to_owned()),
        }
        let drained = async {
            let since = Instant::now();
            // Receivers are dropped with their workers; a phase without a receiver is no error.
            phase.send_replace(Phase::Finishing);
            let _ = finished.recv().await;
            // It is one limit for both, as whoever has sent the signal may kill the program after it.
            let left = config.shutdown_timeout.saturating_sub(since.elapsed());
            let _ = cache.handle().drain(left).await;
            phase.send_replace(Phase::Over);
        };
        tokio::pin!(drained);
        tokio::select! {
            () = &mut drained => return Ok(()),
            () = signals.next() => {}
        }
        // Some who stop a program signal twice at once. Without requests all ends at once too.
        let ended = tokio::time::timeout(AT_ONCE, drained).await;
        ended.map_err(|_| "stopped before every request was answered".to_owned())
    })?;
    for worker in workers {
        // A worker that panicked has said so; the others still end in order.
        let _ = worker.join();
    }
    Ok(())
}

/// The one cache of all runtimes. What it needs beyond requests runs on the current one.
async fn cache(config: &Config) -> Result<CacheLayer, String> {
    let cache = CacheLayer::builder()
        .memory(Memory::with_capacity(config.max_memory))
        .cache_status(&config.name);
    let cache = config.keys.add_to(cache);
    let cache = config.lifetimes.add_to(cache)?;
    let cache = config.trouble.add_to(cache)?;
    let cache = config.tuning.add_to(cache);
    let cache = config.backend.add_to(cache).await?;
    cache
        .build()
        .map_err(|error| config::tuning::refused(&error))
}

fn policy(config: &Config, cache: &CacheLayer, origin: &Uri) -> Policy {
    Policy {
        signature: Signature {
            name: config.name.clone(),
            cache_status: config.lifetimes.on_own(),
        },
        log: config.log.queries(),
        rules: Rules {
            identity: Identity::random(),
            hosts: AllowedHosts::new(&config.allowed_hosts),
            trusted: config.keys.trusted(),
            underscores: config.keys.underscores(cache),
        },
        naming: Naming::new(config.names, origin),
        origin_timeout: config.trouble.timeout,
        client_timeout: config.client_timeout,
        tunnel_timeout: config.tunnel_timeout,
    }
}

fn announce(config: &Config, address: SocketAddr, origin: &Uri, policy: HostPolicy) {
    let mut out = io::stdout().lock();
    let origin = origin.to_string();
    // A closed stdout is no reason to stop.
    let shared = if config.backend.is_shared() {
        ", shared through Redis"
    } else {
        ""
    };
    let named = match policy {
        HostPolicy::Keep => "",
        HostPolicy::Rewrite => ", which gets its own name as Host",
    };
    let _ = writeln!(
        out,
        "listening on http://{address}, origin {}{named}{shared}",
        origin.trim_end_matches('/')
    );
    if config.demo {
        let _ = out.write_all(demo::lines(address).as_bytes());
    }
    if config.demo && config.backend.is_shared() {
        let _ = out.write_all(demo::other_node(address).as_bytes());
    }
    let _ = out.flush();
}
