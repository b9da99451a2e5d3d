//! A caching reverse proxy, built on the public API of `cachewarp` alone.
//!
//! ```text
//! cargo run --release --example proxy -- --origin http://127.0.0.1:9000 --port 8000
//! cargo run --release --example proxy -- --demo
//! cargo run --release --example proxy -- --origin http://127.0.0.1:9000 --backend redis
//! ```
//!
//! A request's road, one module per step:
//!
//! | step | module |
//! |-|-|
//! | accept, on one runtime per core | `server`, `patience` |
//! | check, make canonical, strip hop-by-hop fields | `admit`, `target`, `hop`, `identity` |
//! | the cache | `edge` puts the layer around the rest; `backend` says what it keeps things in |
//! | forward, with a timeout and at most one retry | `upstream`, `body`, `failure` |
//! | connections to the origin | `origin`, `http2`, `connect` |
//! | make the response fit to store and send | `response` |
//! | WebSocket and other upgrades | `tunnel` |
//! | responses of our own | `answer` |
//!
//! Every path belongs to the origin: nothing is served under a reserved one. `Host` goes on as the
//! client sent it. Of interim responses only 100 (Continue) reaches the client; hyper's server
//! cannot send others.

mod admit;
mod answer;
mod backend;
mod body;
mod config;
mod connect;
mod demo;
mod edge;
mod failure;
mod hop;
mod http2;
mod identity;
mod origin;
mod patience;
mod response;
mod server;
mod signals;
mod target;
mod tunnel;
mod upstream;

use std::{
    io::{self, Write},
    net::SocketAddr,
    process::ExitCode,
    sync::Arc,
    thread,
    time::Duration,
};

use cachewarp::{CacheLayer, FixedTtl, Memory};
use http::Uri;
use tokio::{
    runtime::{Builder, Runtime},
    sync::{mpsc, watch},
};
use tracing_subscriber::{
    Layer as _, filter::Targets, layer::SubscriberExt, util::SubscriberInitExt,
};

use crate::{
    config::{Command, Config, Profile},
    identity::Identity,
    origin::{Origin, Speaks},
    server::{Phase, Worker},
    signals::Signals,
    upstream::{HostPolicy, Policy},
};

const BAD_USAGE: u8 = 2;
const TIMEOUT_SLACK: Duration = Duration::from_secs(5);

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
    let address = match config.listen() {
        Ok(address) => address,
        Err(line) => {
            eprintln!("error: {line}");
            return ExitCode::from(BAD_USAGE);
        }
    };
    log();
    let control = match runtime() {
        Ok(control) => control,
        Err(error) => {
            eprintln!("error: cannot start a runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let cache = match control.block_on(cache(&config)) {
        Ok(cache) => cache,
        Err(line) => {
            eprintln!("error: {line}");
            return ExitCode::from(BAD_USAGE);
        }
    };
    match run(&config, address, &cache, &control) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// `RUST_LOG` as a level or as `target=level` pairs; warnings without it.
fn log() {
    let filter: Option<Targets> = std::env::var("RUST_LOG").ok().and_then(|f| f.parse().ok());
    let filter = filter.unwrap_or_else(|| Targets::new().with_default(tracing::Level::WARN));
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .init();
}

fn run(
    config: &Config,
    address: SocketAddr,
    cache: &CacheLayer,
    control: &Runtime,
) -> Result<(), String> {
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
    // Before anybody is told of the address: whoever asks for it may ask us to stop as well.
    let mut signals = {
        let _context = control.enter();
        Signals::new().map_err(|error| format!("cannot listen for signals: {error}"))?
    };

    let (phase, phase_seen) = watch::channel(Phase::Serving);
    let (serving, mut finished) = mpsc::channel(1);
    let (ended, mut lost) = mpsc::unbounded_channel();
    let worker = Worker {
        cache: cache.clone(),
        policy: Arc::new(policy(config)),
        phase: phase_seen,
        grace: config.shutdown_timeout,
        patience: config.client_timeout,
        serving,
    };
    let workers = listeners
        .into_iter()
        .map(|listener| {
            let (worker, ended) = (worker.clone(), Ended(ended.clone()));
            spawn(listener, worker, config, origin.clone(), ended)
        })
        .collect::<io::Result<Vec<_>>>()
        .map_err(|error| format!("cannot start a worker: {error}"))?;
    drop(worker);
    announce(config, address, &origin);

    control.block_on(async {
        tokio::select! {
            () = signals.next() => {}
            _ = lost.recv() => return Err("a worker ended, and its share of clients with it".to_owned()),
        }
        let drained = async {
            // Receivers go with their workers; a phase nobody sees is no error.
            phase.send_replace(Phase::Finishing);
            let _ = finished.recv().await;
            let _ = cache.handle().drain(config.shutdown_timeout).await;
            phase.send_replace(Phase::Over);
        };
        tokio::select! {
            () = drained => Ok(()),
            () = signals.next() => Err("stopped before every request was answered".to_owned()),
        }
    })?;
    for worker in workers {
        // A worker that panicked has said so; the others still end in order.
        let _ = worker.join();
    }
    Ok(())
}

/// The one cache of all runtimes. What it needs beyond requests runs on the current one.
async fn cache(config: &Config) -> Result<CacheLayer, String> {
    let mut cache = CacheLayer::builder()
        .memory(Memory::with_capacity(config.max_memory))
        // The upstream service keeps to its own limit; this one is for a service that does not.
        .origin_timeout(config.origin_timeout.saturating_add(TIMEOUT_SLACK));
    if let Some(ttl) = config.ttl {
        cache = cache.ttl(FixedTtl::new(ttl));
    }
    if config.profile == Profile::RfcLiteral {
        cache = cache.rfc_literal();
    }
    let cache = config.backend.add_to(cache).await?;
    cache.build().map_err(|error| error.to_string())
}

fn policy(config: &Config) -> Policy {
    Policy {
        identity: Identity::random(),
        host: if config.rewrite_host {
            HostPolicy::Rewrite
        } else {
            HostPolicy::Keep
        },
        origin_timeout: config.origin_timeout,
        client_timeout: config.client_timeout,
    }
}

/// Tells, when it is dropped, that a worker's thread has come to its end in whatever way.
struct Ended(mpsc::UnboundedSender<()>);

impl Drop for Ended {
    fn drop(&mut self) {
        // Once the program is over nobody asks any more.
        let _ = self.0.send(());
    }
}

/// Starts a thread with a runtime and an origin client of its own.
fn spawn(
    listener: std::net::TcpListener,
    worker: Worker,
    config: &Config,
    origin: Uri,
    ended: Ended,
) -> io::Result<thread::JoinHandle<()>> {
    let runtime = runtime()?;
    let timeout = config.origin_timeout;
    let speaks = match origin.scheme_str() {
        Some("https") => Speaks::Either,
        _ if config.origin_http2 => Speaks::Http2,
        _ => Speaks::Http1,
    };
    thread::Builder::new()
        .name("worker".to_owned())
        .spawn(move || {
            let _ended = ended;
            let served = runtime.block_on(async {
                let origin = Arc::new(Origin::new(&origin, speaks, timeout));
                worker.run(listener, origin).await
            });
            if let Err(error) = served {
                tracing::error!(%error, "a worker ended");
            }
            // Tunnels end here. A name lookup that hangs is not waited for.
            runtime.shutdown_background();
        })
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

fn announce(config: &Config, address: SocketAddr, origin: &Uri) {
    let mut out = io::stdout().lock();
    let origin = origin.to_string();
    // Nobody may be reading; that is no reason to stop.
    let shared = if config.backend.is_shared() {
        ", shared through Redis"
    } else {
        ""
    };
    let _ = writeln!(
        out,
        "listening on http://{address}, origin {}{shared}",
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
