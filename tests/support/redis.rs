//! Real `redis-server` processes of a test's own: on free ports, in a folder of their own, without
//! persistence, and gone when the test is.
#![allow(
    dead_code,
    reason = "every test program that includes this uses a part of it"
)]

use std::{
    env::temp_dir,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread::sleep,
    time::Duration,
};

/// Below the ports that systems hand out by themselves, and so is what Cluster adds to it.
const PORTS: std::ops::Range<u32> = 11_000..21_000;

/// Redis Cluster's nodes talk to each other on a port this much higher.
const BUS: u16 = 10_000;

/// What a server logs when it takes commands, and what a sentinel does.
const READY: [&str; 2] = ["Ready to accept connections", "Sentinel ID is"];

/// A file of settings in the server's folder, which is read if it is there.
pub(crate) const CONFIG: &str = "server.conf";

/// How often, and at what interval, a state that must come is looked for.
const LOOKS: u32 = 2_000;
const LOOK: Duration = Duration::from_millis(5);

/// A running server, empty, without a password.
pub(crate) fn standalone() -> Server {
    standalone_with(&[])
}

/// A running server with settings added as on its command line.
pub(crate) fn standalone_with(settings: &[&str]) -> Server {
    let mut server = not_started(settings);
    for _ in 0..20 {
        if server.start().is_ok() {
            return server;
        }
        // Something else took the port between the look and the start.
        server.port = free_port();
    }
    panic!("no redis-server could be started: {}", server.log());
}

/// A server that is not running yet: [`Server::restart`] starts it.
pub(crate) fn not_started(settings: &[&str]) -> Server {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = temp_dir().join(format!("cachewarp-redis-{}-{number}", process::id()));
    fs::create_dir_all(&folder).expect("a temporary folder can be made");
    Server {
        folder,
        port: free_port(),
        running: None,
        settings: settings.iter().map(ToString::to_string).collect(),
    }
}

/// A `redis-server` process. Dropping it ends the process and removes its folder.
pub(crate) struct Server {
    folder: PathBuf,
    port: u16,
    running: Option<Running>,
    settings: Vec<String>,
}

impl Server {
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// The server's own folder.
    pub(crate) fn folder(&self) -> &PathBuf {
        &self.folder
    }

    /// A connection of its own, for commands as they are on the wire.
    pub(crate) fn wire(&self) -> Wire {
        Wire::connect(self.address()).expect("the server is running")
    }

    /// Sends one command over a connection of its own. An error reply is a [`Reply::Error`].
    pub(crate) fn command<A: AsRef<[u8]>>(&self, arguments: &[A]) -> Reply {
        self.wire().command(arguments)
    }

    /// Stops the process where it is: connections stay open, nothing answers.
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets the process go on after [`pause`](Self::pause).
    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    /// Ends the process at once; what it held is gone.
    pub(crate) fn kill(&mut self) {
        self.running = None;
    }

    /// Adds settings, as on the command line, for the next start.
    pub(crate) fn add(&mut self, settings: &[&str]) {
        self.settings
            .extend(settings.iter().map(ToString::to_string));
    }

    /// Starts the server anew, empty, on the same port.
    pub(crate) fn restart(&mut self) {
        let mut failure = String::new();
        for _ in 0..100 {
            match self.start() {
                Ok(()) => return,
                Err(error) => failure = error,
            }
            sleep(LOOK * 10);
        }
        panic!(
            "redis-server did not start again: {failure}\n{}",
            self.log()
        );
    }

    /// What the server has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn start(&mut self) -> Result<(), String> {
        self.launch();
        for _ in 0..LOOKS {
            let ended = self.running.as_mut().map(|it| it.server.try_wait());
            if let Some(Ok(Some(status))) = ended {
                self.running = None;
                return Err(format!("redis-server ended, {status}"));
            }
            // By its log, since another process may be what answers on this port.
            if READY.iter().any(|ready| self.log().contains(ready)) {
                return Ok(());
            }
            sleep(LOOK);
        }
        Err("redis-server did not become ready".to_owned())
    }

    /// Starts the process without waiting until it is ready.
    pub(crate) fn launch(&mut self) {
        self.kill();
        _ = fs::remove_file(self.folder.join("log"));
        let file = self.folder.join(CONFIG);
        let child = Command::new("redis-server")
            .args(file.exists().then_some(&file))
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .args(["--logfile", "log", "--dir"])
            .arg(&self.folder)
            .args(&self.settings)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed (tests/prepare installs it)");
        self.running = Some(Running::watch(child));
    }

    fn signal(&self, signal: &str) {
        let running = self.running.as_ref().expect("the server is running");
        let id = running.server.id().to_string();
        let status = Command::new("kill").args([signal, &id]).status();
        assert!(status.is_ok_and(|status| status.success()), "kill {signal}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        _ = fs::remove_dir_all(&self.folder);
    }
}

/// A process, and another one that ends it should the test program end without doing so.
struct Running {
    server: Child,
    watch: Child,
}

impl Running {
    fn watch(server: Child) -> Self {
        let watch = Command::new("sh")
            .args(["-c", "read -r _; kill -9 \"$0\" 2>/dev/null"])
            .arg(server.id().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("there is a shell");
        Self { server, watch }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The watch first: the id that it would signal is free for others after the server's end.
        for child in [&mut self.watch, &mut self.server] {
            _ = child.kill();
            _ = child.wait();
        }
    }
}

/// Waits until a state has come, and fails the test if it does not within ten seconds.
pub(crate) fn until(what: &str, mut came: impl FnMut() -> bool) {
    for _ in 0..LOOKS {
        if came() {
            return;
        }
        sleep(LOOK);
    }
    panic!("never came: {what}");
}

/// A free port whose cluster bus port is free as well.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    for _ in PORTS {
        // Test programs that run at once begin at different places.
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let offset = process::id().wrapping_mul(211).wrapping_add(step) % (PORTS.end - PORTS.start);
        let port = u16::try_from(PORTS.start + offset).expect("ports are below 65,536");
        if free(port) && free(port + BUS) {
            return port;
        }
    }
    panic!("no free port");
}

// === The protocol ===

/// A reply, as RESP2 has them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Reply {
    Array(Vec<Self>),
    Bulk(Vec<u8>),
    Error(String),
    Integer(i64),
    Nil,
    Simple(String),
}

impl Reply {
    /// Whether it is the reply to what was done without more to say.
    pub(crate) fn is_ok(&self) -> bool {
        matches!(self, Self::Simple(text) if text == "OK")
    }

    /// The text of a simple or bulk reply.
    #[track_caller]
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Simple(text) => text.clone(),
            other => panic!("not a text: {other:?}"),
        }
    }
}

/// A connection that speaks RESP2, one command at a time.
pub(crate) struct Wire {
    stream: BufReader<TcpStream>,
}

impl Wire {
    pub(crate) fn connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Sends a command and reads its reply.
    #[track_caller]
    pub(crate) fn command<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> Reply {
        self.try_command(arguments).expect("the server answers")
    }

    pub(crate) fn try_command<A: AsRef<[u8]>>(
        &mut self,
        arguments: &[A],
    ) -> std::io::Result<Reply> {
        let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
        for argument in arguments.iter().map(AsRef::as_ref) {
            bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
            bytes.extend_from_slice(argument);
            bytes.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&bytes)?;
        self.read()
    }

    /// Reads one reply.
    pub(crate) fn read(&mut self) -> std::io::Result<Reply> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let (kind, rest) = line.trim_end().split_at(1);
        let number = || rest.parse::<i64>().expect("a number of the protocol");
        Ok(match kind {
            "+" => Reply::Simple(rest.to_owned()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Integer(number()),
            "$" | "*" if number() < 0 => Reply::Nil,
            "$" => {
                let mut bytes = vec![0; usize::try_from(number()).expect("a length") + 2];
                self.stream.read_exact(&mut bytes)?;
                bytes.truncate(bytes.len() - 2);
                Reply::Bulk(bytes)
            }
            "*" => Reply::Array(
                (0..number())
                    .map(|_| self.read())
                    .collect::<Result<_, _>>()?,
            ),
            other => panic!("not RESP2: {other}"),
        })
    }
}
