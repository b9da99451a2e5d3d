//! A proxy in a child process, an origin that is told byte by byte what to say, and a raw client.

use std::{
    net::SocketAddr,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpSocket, TcpStream},
    process::{Child, Command},
    sync::mpsc,
    task::{JoinHandle, JoinSet},
    time::timeout,
};

/// Far more than any step takes; only a hang meets it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for what must happen.
pub(crate) async fn soon<T>(event: impl Future<Output = T>) -> T {
    timeout(PATIENCE, event).await.expect("it never happened")
}

/// Variables of the program beside those that begin with its name.
pub(crate) const SECOND_NAMES: [&str; 6] = [
    "CACHE_BACKEND",
    "CACHE_STALE_IF_ERROR",
    "CACHE_STALE_WHILE_REVALIDATE",
    "CACHE_TTL",
    "PROXY_EXPIRY",
    "REDIS_URL",
];

/// The program under test, which cargo builds before its tests.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cachewarp-proxy"));
    command
        .kill_on_drop(true)
        .env("RUST_LOG", "error")
        .stdin(Stdio::null());
    for (variable, _) in std::env::vars_os() {
        let name = variable.to_string_lossy();
        if name.starts_with("CACHEWARP_") || SECOND_NAMES.contains(&&*name) {
            command.env_remove(&variable);
        }
    }
    command
}

/// A proxy in front of `origin`, on a free port, yet to be started.
pub(crate) fn before(origin: SocketAddr, flags: &[&str]) -> Command {
    let mut command = command();
    command
        .args(["--origin", &format!("http://{origin}"), "--port", "0"])
        .args(flags);
    command
}

/// A running proxy. Dropping it kills it.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    pub(crate) child: Child,
}

impl Proxy {
    /// In front of `origin`, on a free port.
    pub(crate) async fn start(origin: SocketAddr, flags: &[&str]) -> Self {
        Self::spawn(before(origin, flags)).await
    }

    pub(crate) async fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("the proxy starts");
        let stdout = child.stdout.take().expect("stdout is piped");
        let mut line = String::new();
        let mut stdout = BufReader::new(stdout);
        let read = soon(stdout.read_line(&mut line)).await;
        read.expect("stdout can be read");
        let address = line
            .strip_prefix("listening on http://")
            .and_then(|rest| rest.split(',').next()?.parse().ok())
            .unwrap_or_else(|| panic!("not a line that tells the address: {line:?}"));
        Self { address, child }
    }

    /// Sends a request and reads the response to the end of the connection.
    pub(crate) async fn ask(&self, request: &str) -> Reply {
        let mut stream = self.connect().await;
        let request = request.replacen("\r\n", "\r\nConnection: close\r\n", 1);
        stream
            .write_all(request.as_bytes())
            .await
            .expect("the proxy listens");
        read_to_end(&mut stream).await
    }

    /// GET of a path, with more header lines.
    pub(crate) async fn get(&self, path: &str, fields: &str) -> Reply {
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n"
        ))
        .await
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address)
            .await
            .expect("the proxy listens")
    }

    /// The most memory that it has held so far, in bytes.
    #[cfg(target_os = "linux")]
    pub(crate) fn peak(&self) -> u64 {
        let id = self.child.id().expect("the proxy runs");
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"))
            .and_then(|kib| kib.parse::<u64>().ok());
        kib.expect("Linux says it") * 1024
    }

    pub(crate) async fn signal(&self, name: &str) {
        let id = self.child.id().expect("the proxy runs").to_string();
        let sent = Command::new("kill").args([name, &id]).status().await;
        assert!(sent.expect("there is a kill command").success());
    }
}

/// A response as it came over the wire.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn status(&self) -> u16 {
        let status = self
            .head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        status.unwrap_or_else(|| panic!("no status line: {:?}", self.head))
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    /// The type of error in `Proxy-Status`.
    pub(crate) fn error(&self) -> Option<&str> {
        let member = self.field("proxy-status")?;
        member.split("; ").find_map(|it| it.strip_prefix("error="))
    }
}

/// The first line of a field, in a head as text.
pub(crate) fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

pub(crate) async fn read_to_end(stream: &mut TcpStream) -> Reply {
    let mut bytes = Vec::new();
    // A reset after the last byte loses nothing.
    let _ = soon(stream.read_to_end(&mut bytes)).await;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    Reply {
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// Reads up to and including the empty line.
pub(crate) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// What an origin does about one request.
pub(crate) enum Act {
    /// These bytes, and the next request on the same connection.
    Say(String),
    /// These bytes, then the end.
    SayAndClose(String),
    /// Nothing, for as long as the connection lasts.
    Hang,
}

/// An origin on a raw socket.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    /// Ends with every connection that they have.
    tasks: Vec<JoinHandle<()>>,
}

impl Origin {
    /// Answers each request head (content is not read) with what `act` says.
    pub(crate) async fn start(act: impl Fn(&str) -> Act + Send + Sync + 'static) -> Self {
        let (mut origin, mut requests) = Self::by_hand().await;
        let (act, heads) = (Arc::new(act), Arc::clone(&origin.heads));
        origin.tasks.push(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Some(mut stream) = requests.recv().await {
                let (act, heads) = (Arc::clone(&act), Arc::clone(&heads));
                connections.spawn(async move {
                    while let Some(head) = read_head(&mut stream).await {
                        let next = act(&head);
                        heads.lock().expect("no test panics here").push(head);
                        let (text, closes) = match next {
                            Act::Say(text) => (text, false),
                            Act::SayAndClose(text) => (text, true),
                            Act::Hang => return std::future::pending().await,
                        };
                        let said = stream.write_all(text.as_bytes()).await;
                        if closes || said.is_err() {
                            return;
                        }
                    }
                });
            }
        }));
        origin
    }

    /// Nobody listens there any more, and every connection is gone. The port stays taken, or another
    /// test might get it.
    #[must_use = "the port is free again when this is dropped"]
    pub(crate) async fn die(self) -> TcpSocket {
        for task in &self.tasks {
            task.abort();
        }
        for task in self.tasks {
            // It was ended, or came to its end when the other one was.
            let _ = task.await;
        }
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .set_reuseaddr(true)
            .expect("an option of all systems");
        socket.bind(self.address).expect("the port is free");
        socket
    }

    /// Hands its connections to the test.
    pub(crate) async fn by_hand() -> (Self, mpsc::UnboundedReceiver<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let (sender, receiver) = mpsc::unbounded_channel();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if sender.send(stream).is_err() {
                    return;
                }
            }
        });
        let origin = Self {
            address,
            heads: Arc::default(),
            tasks: vec![accepting],
        };
        (origin, receiver)
    }

    /// The request heads so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("no test panics here").clone()
    }
}

/// A response with a body of known length and these header lines.
pub(crate) fn ok(fields: &str, body: &str) -> Act {
    let length = body.len();
    Act::Say(format!(
        "HTTP/1.1 200 OK\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
    ))
}

/// A response with this status, these header lines and no body.
pub(crate) fn status(status: u16, fields: &str) -> Act {
    Act::Say(format!(
        "HTTP/1.1 {status} Said\r\n{fields}Content-Length: 0\r\n\r\n"
    ))
}
