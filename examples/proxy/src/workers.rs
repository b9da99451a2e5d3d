//! The threads of the program: one per listener, each with a runtime and an origin client.

use std::{io, sync::Arc, thread};

use http::Uri;
use tokio::{
    runtime::{Builder, Runtime},
    sync::mpsc,
};

use crate::{
    config::Config,
    origin::{Origin, Speaks, dial::Dial},
    server::Worker,
};

/// Sends a message when it is dropped: the worker's thread has ended, normally or by a panic.
pub(crate) struct Ended(pub(crate) mpsc::UnboundedSender<()>);

impl Drop for Ended {
    fn drop(&mut self) {
        // At the end of the program the receiver is gone, and that is no error.
        let _ = self.0.send(());
    }
}

/// Starts a thread with a runtime and an origin client of its own.
pub(crate) fn spawn(
    listener: std::net::TcpListener,
    worker: Worker,
    config: &Config,
    origin: Uri,
    dial: Dial,
    ended: Ended,
) -> io::Result<thread::JoinHandle<()>> {
    let runtime = runtime()?;
    let connect = connector(config, origin, dial);
    thread::Builder::new()
        .name("worker".to_owned())
        .spawn(move || {
            let _ended = ended;
            let served = runtime.block_on(async { worker.run(listener, connect()).await });
            if let Err(error) = served {
                tracing::error!(%error, "a worker ended");
            }
            // Tunnels end here. A name lookup that hangs is not waited for.
            runtime.shutdown_background();
        })
}

/// Makes the origin client of the runtime that it is called on.
pub(crate) fn connector(
    config: &Config,
    origin: Uri,
    dial: Dial,
) -> impl FnOnce() -> Arc<Origin> + use<> {
    let heads = config.heads;
    let speaks = match origin.scheme_str() {
        Some("https") => Speaks::Either,
        _ if config.origin_http2 => Speaks::Http2,
        _ => Speaks::Http1,
    };
    move || Arc::new(Origin::new(&origin, speaks, &dial, heads))
}

pub(crate) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}
