//! Listening: one current-thread runtime per core, each with its own listener and origin client.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use cachewarp::CacheLayer;
use futures_util::FutureExt;
use hyper::service::service_fn;
use hyper_util::{rt::TokioTimer, server::conn::auto};
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
};

use crate::{
    client::{
        Client, MAX_STREAMS,
        clients::{Clients, Place},
        patience::{self, End, Unhurried},
        places::Refused,
        refusing::Refusing,
        socket::ClientSocket,
        streams::Streams,
    },
    edge::Edge,
    heads::MAX_REQUEST_HEAD,
    origin::Origin,
    upstream::Policy,
};

const BACKLOG: i32 = 4096;
const KEEPALIVE: Duration = Duration::from_secs(60);
/// Between accepts that fail, which they do when there are no file descriptors left, and between
/// searches for a connection that may go.
const PAUSE: Duration = Duration::from_millis(50);
const MAX_HTTP2_HEAD: u32 = 16 * 1024;
/// What a stream may keep beside its window and the piece that it was given.
const HTTP2_SEND_BUFFER: usize = 32 * 1024;
/// What a client may send of a request's content before the origin takes it, and of all requests
/// of a connection.
const HTTP2_STREAM_WINDOW: u32 = 256 * 1024;
const HTTP2_CONNECTION_WINDOW: u32 = 512 * 1024;
/// What the kernel keeps of what is written and not yet sent. It reports room when half of it is
/// gone, so this much is progress: without it, it may be megabytes.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 128 * 1024;

/// How far along the program is; workers follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Serving,
    /// No new connections; those that are open come to their end.
    Finishing,
    /// The cache is drained as well: runtimes may go.
    Over,
}

/// What a worker needs, apart from its listener.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    pub(crate) cache: CacheLayer,
    pub(crate) policy: Arc<Policy>,
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) grace: Duration,
    /// How long a client may be silent.
    pub(crate) patience: Duration,
    /// How many clients it may have.
    pub(crate) places: usize,
    pub(crate) refused: Arc<Refused>,
    /// Dropped by every worker once its connections are done.
    pub(crate) serving: mpsc::Sender<()>,
}

/// Opens `count` listeners on one address.
///
/// On Linux each has a queue of its own, and the kernel spreads connections over them. Elsewhere
/// they are one listener, and the first worker that is free accepts.
pub(crate) fn listen(address: SocketAddr, count: usize) -> io::Result<Vec<std::net::TcpListener>> {
    // SO_REUSEPORT would share the port even with another program of this user, so the first
    // socket finds out whether it is free. Only then is the port bound to be shared.
    let first = bind(address, Sharing::Alone)?;
    let Some(address) = first.local_addr()?.as_socket() else {
        return Err(io::Error::other("a TCP socket has an IP address"));
    };
    if cfg!(target_os = "linux") {
        drop(first);
        let shared = (0..count).map(|_| {
            let socket = bind(address, Sharing::Port)?;
            socket.listen(BACKLOG)?;
            Ok(socket.into())
        });
        return shared.collect();
    }
    first.listen(BACKLOG)?;
    (0..count).map(|_| Ok(first.try_clone()?.into())).collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    Alone,
    Port,
}

fn bind(address: SocketAddr, sharing: Sharing) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // On Unix this only skips the wait after an earlier run; on Windows it would steal the port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    #[cfg(target_os = "linux")]
    socket.set_reuse_port(sharing == Sharing::Port)?;
    let _ = sharing;
    socket.set_nonblocking(true)?;
    // Inherited by accepted connections on Linux, so that one call serves them all.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_notsent_lowat(UNSENT)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

impl Worker {
    /// Serves until the program is over. Runs on the runtime that owns `origin`'s connections.
    pub(crate) async fn run(
        mut self,
        listener: std::net::TcpListener,
        origin: Arc<Origin>,
    ) -> io::Result<()> {
        let listener = TcpListener::from_std(listener)?;
        let clients = Clients::with_places(self.places);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = self.phase.wait_for(|phase| *phase != Phase::Serving) => break,
            };
            match accepted {
                Ok((stream, peer)) => match self.place(&clients).await {
                    Some(place) => self.serve(stream, peer, place, &origin, &clients),
                    None => break,
                },
                // The client was gone before it was accepted.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    self.refused.note(&error);
                    clients.make_room();
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        // Those already queued would be reset with the listener.
        while let Some(place) = clients.try_place()
            && let Some(Ok((stream, peer))) = listener.accept().now_or_never()
        {
            self.serve(stream, peer, place, &origin, &clients);
        }
        drop(listener);
        if tokio::time::timeout(self.grace, clients.finish())
            .await
            .is_err()
        {
            tracing::warn!("requests under way were cut off");
        }
        drop(self.serving);
        // The cache may still fill from connections of this runtime. An error means that the
        // sender is gone, and with it the program.
        let _ = self.phase.wait_for(|phase| *phase == Phase::Over).await;
        Ok(())
    }

    /// A place for a client that has been accepted; `None` if the program ends before there is one.
    async fn place(&mut self, clients: &Clients) -> Option<Place> {
        loop {
            if let Some(place) = clients.try_place() {
                return Some(place);
            }
            clients.make_room();
            tokio::select! {
                place = clients.place() => return Some(place),
                // Connections that come to have nothing to do say nothing of it.
                () = tokio::time::sleep(PAUSE) => {}
                _ = self.phase.wait_for(|phase| *phase != Phase::Serving) => return None,
            }
        }
    }

    fn serve(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        place: Place,
        origin: &Arc<Origin>,
        clients: &Clients,
    ) {
        if !cfg!(target_os = "linux") {
            // A connection that is already gone says so when it is read.
            let _ = stream.set_nodelay(true);
        }
        let (origin, policy) = (Arc::clone(origin), Arc::clone(&self.policy));
        let client = Arc::new(Client::new());
        let edge = Edge::new(&self.cache, origin, policy, peer.ip(), Arc::clone(&client));
        let edge = Arc::new(edge);
        let service = service_fn(move |request| Arc::clone(&edge).serve(request));
        let policy = Arc::clone(&self.policy);
        let limit = self.patience;
        let socket = ClientSocket::new(stream, Arc::clone(&client), place);
        let (socket, refused) = Refusing::new(socket);
        let connection = builder(limit, Arc::clone(&client))
            .serve_connection_with_upgrades(socket, service)
            .into_owned();
        let entry = clients.add(Arc::clone(&client));
        tokio::spawn(async move {
            let _entry = entry;
            let end = patience::watch(connection, &client, limit).await;
            refused.settle(&policy.signature, end.error()).await;
            match end {
                End::Own(Ok(())) => {}
                End::Own(Err(error)) => tracing::debug!(%peer, error, "connection ended"),
                End::Silent => tracing::debug!(%peer, "connection ended: no request came"),
                End::Unread => tracing::debug!(%peer, "connection ended: the client reads nothing"),
                End::Replaced => tracing::debug!(%peer, "connection ended: it was idle"),
            }
        });
    }
}

/// The settings of one connection.
fn builder(limit: Duration, client: Arc<Client>) -> auto::Builder<Streams> {
    let mut server = auto::Builder::new(Streams { client, limit });
    // No `max_headers`: hyper's 100 are on the stack, and another number costs every request an
    // allocation. `admit` has the limit.
    server
        .http1()
        .timer(Unhurried)
        .max_buf_size(MAX_REQUEST_HEAD)
        .header_read_timeout(limit);
    server
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE)
        .max_header_list_size(MAX_HTTP2_HEAD)
        .max_concurrent_streams(MAX_STREAMS)
        .max_send_buf_size(HTTP2_SEND_BUFFER)
        .initial_stream_window_size(HTTP2_STREAM_WINDOW)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW);
    server
}
