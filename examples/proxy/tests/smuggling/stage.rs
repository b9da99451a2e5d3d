//! A proxy between an origin that writes down what it gets, byte by byte, and clients that check
//! whose answer they got.

use std::{
    net::SocketAddr,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{
    heard::{Heard, asked, requests},
    strict::{self, Message, Next},
};
use crate::support::{Origin, Proxy, before, soon};

/// A proxy that says nothing for so long waits for its client.
pub(super) const QUIET: Duration = Duration::from_secs(1);

/// An origin does not wait longer than this for a request on a connection where it has said what it
/// should not: the proxy may well wait for more of that.
const LINGER: Duration = Duration::from_millis(25);

/// What the origin heard.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) requests: Vec<Received>,
    /// What no origin should ever get.
    pub(super) faults: Vec<String>,
}

/// A whole request at the origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) nonce: String,
    pub(super) content: Vec<u8>,
}

impl Received {
    pub(super) fn of(request: &Message) -> Self {
        Self {
            method: request.method().to_owned(),
            target: request.target().to_owned(),
            nonce: request.field("x-nonce").unwrap_or_default().to_owned(),
            content: request.content.clone(),
        }
    }

    /// The content of the answer to the request with this number: it could be no other's.
    fn echo(&self, number: usize) -> String {
        let Self {
            method,
            target,
            nonce,
            content,
        } = self;
        let content = content.escape_ascii();
        let echo = format!("{number} {method} {target} {nonce} [{content}]");
        echo.escape_default().to_string()
    }

    fn answer(&self, number: usize) -> Vec<u8> {
        let (method, echo) = (&self.method, self.echo(number));
        let kept = if self.target.starts_with("/kept") {
            "max-age=3600"
        } else {
            "no-store"
        };
        let length = echo.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\nX-Number: {number}\r\nX-Method: {method}\r\n\
             Cache-Control: {kept}\r\nContent-Length: {length}\r\n\r\n"
        );
        let echo = if method == "HEAD" { "" } else { &echo };
        (head + echo).into_bytes()
    }
}

/// What the origin says to a request.
pub(super) enum Say {
    /// What was asked.
    Echo,
    /// These bytes.
    Bytes(Vec<u8>),
}

/// Puts a message into another one: `@M` is that message, `@L` its length, and `@X` that in hex.
pub(super) fn carrying(message: &str, text: &str) -> String {
    let length = message.len();
    let text = text.replace("@L", &length.to_string());
    let text = text.replace("@X", &format!("{length:x}"));
    text.replace("@M", message)
}

type Act = dyn Fn(&Received) -> Say + Send + Sync;

pub(super) struct Stage {
    pub(super) proxy: Proxy,
    pub(super) log: Arc<Mutex<Log>>,
    said: Arc<Mutex<String>>,
    kept: String,
}

impl Stage {
    pub(super) async fn start(act: impl Fn(&Received) -> Say + Send + Sync + 'static) -> Self {
        let log = Arc::<Mutex<Log>>::default();
        let origin = record(Arc::new(act), Arc::clone(&log)).await;
        // One worker: all clients share the connections to the origin.
        let mut command = before(origin, &["--workers", "1", "--client-timeout", "10"]);
        command.stderr(Stdio::piped());
        let mut proxy = Proxy::spawn(command).await;
        let said = Arc::<Mutex<String>>::default();
        let mut stderr = proxy.child.stderr.take().unwrap();
        let heard = Arc::clone(&said);
        tokio::spawn(async move {
            let mut piece = [0; 4096];
            while let Ok(size @ 1..) = stderr.read(&mut piece).await {
                heard
                    .lock()
                    .unwrap()
                    .push_str(&strict::text(&piece[..size]));
            }
        });
        let mut stage = Self {
            proxy,
            log,
            said,
            kept: String::new(),
        };
        let kept = stage.proxy.get("/kept", "").await;
        assert_eq!(kept.status(), 200);
        stage.kept = kept.body;
        stage
    }

    /// Says `bytes` on a connection, and what comes back until the proxy ends it. A proxy that is
    /// quiet waits for more, and learns that there is no more.
    pub(super) async fn say(&self, bytes: &[u8], quiet: Duration) -> Heard {
        let mut stream = self.proxy.connect().await;
        // What is refused may be refused before it was read.
        let _ = soon(stream.write_all(bytes)).await;
        let mut heard = Heard {
            bytes: Vec::new(),
            waited: false,
            asked: asked(bytes),
        };
        let mut piece = vec![0; 16 * 1024];
        loop {
            let read = stream.read(&mut piece);
            let read = if heard.waited {
                soon(read).await
            } else if let Ok(read) = timeout(quiet, read).await {
                read
            } else {
                heard.waited = true;
                let _ = stream.shutdown().await;
                continue;
            };
            match read {
                Ok(size @ 1..) => heard.bytes.extend_from_slice(&piece[..size]),
                // A reset after the last byte loses nothing.
                Ok(0) | Err(_) => return heard,
            }
        }
    }

    /// Somebody else gets what they asked for, from the origin and from the cache.
    pub(super) async fn serves_others(&self, case: &str) {
        let nonce = case.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let host = "HTTP/1.1\r\nHost: a.example\r\n";
        let asked = format!(
            "GET /innocent {host}X-Nonce: {nonce}\r\n\r\nGET /kept {host}Connection: close\r\n\r\n"
        );
        let heard = self.say(asked.as_bytes(), Duration::from_secs(20)).await;
        let [innocent, kept] = &heard.answers().whole[..] else {
            panic!("{case}: others got {}", heard.bytes.escape_ascii());
        };
        let own = format!("GET /innocent {nonce} []");
        let own = innocent.status() == 200 && strict::text(&innocent.content).ends_with(&own);
        assert!(own, "{case}: {innocent:?}");
        assert_eq!(strict::text(&kept.content), self.kept, "{case}");
        assert_eq!(kept.field("x-cache"), Some("HIT"), "{case}");
    }

    /// The requests at the origin since there were `before`, but for those of `serves_others`.
    pub(super) fn requests_since(&self, before: usize) -> Vec<Received> {
        let log = self.log.lock().unwrap();
        let since = log.requests[before..].iter();
        since
            .filter(|request| request.target != "/innocent")
            .cloned()
            .collect()
    }

    pub(super) fn requests(&self) -> usize {
        self.log.lock().unwrap().requests.len()
    }

    /// The origin got whole requests alone, and the proxy is well.
    pub(super) fn is_sound(&mut self, case: &str) {
        let faults = std::mem::take(&mut self.log.lock().unwrap().faults);
        assert!(faults.is_empty(), "{case}: the origin got {faults:#?}");
        let said = self.said.lock().unwrap();
        assert!(!said.contains("panicked"), "{case}: {said}");
        let ended = self.proxy.child.try_wait().unwrap();
        assert!(ended.is_none(), "{case}: the proxy ended: {ended:?} {said}");
    }

    /// The numbers of the origin's answers. Each is to the request in its place in `sent`, as far as
    /// those can be read in one way alone.
    pub(super) fn check(&self, sent: &[u8], heard: &Heard) -> Result<Vec<usize>, String> {
        let answers = heard.answers();
        if let Some(why) = answers.wrong {
            return Err(format!("no sound answer: {why}"));
        }
        let mut asked = requests(sent)
            .into_iter()
            .map(|request| Received::of(&request));
        let log = self.log.lock().unwrap();
        let mut numbers = Vec::new();
        for answer in answers.last_ones() {
            let asked = asked.next();
            let Some(number) = answer.field("x-number") else {
                continue;
            };
            let number: usize = number.parse().map_err(|_| "no number")?;
            let known = log.requests.get(number).ok_or("an unknown number")?;
            if answer.has_content() && strict::text(&answer.content) != known.echo(number) {
                return Err(format!("not what the origin said to {known:?}"));
            }
            if numbers.last().is_some_and(|last| *last >= number) {
                return Err("answers in another order".to_owned());
            }
            numbers.push(number);
            if let Some(asked) = asked
                && asked != *known
            {
                return Err(format!("asked {asked:?}, and the origin got {known:?}"));
            }
        }
        Ok(numbers)
    }
}

async fn record(act: Arc<Act>, log: Arc<Mutex<Log>>) -> SocketAddr {
    let (origin, mut connections) = Origin::by_hand().await;
    let address = origin.address;
    tokio::spawn(async move {
        // Listens for as long as it is there.
        let _origin = origin;
        while let Some(stream) = connections.recv().await {
            tokio::spawn(hear(stream, Arc::clone(&act), Arc::clone(&log)));
        }
    });
    address
}

/// Writes down every request of a connection. The proxy sends the next one after the answer, so
/// any byte before that is one that it did not mean to send.
async fn hear(mut stream: TcpStream, act: Arc<Act>, log: Arc<Mutex<Log>>) {
    let (mut buffer, mut piece) = (Vec::new(), vec![0; 16 * 1024]);
    let (mut goes_on, mut linger) = (false, None);
    loop {
        let wrong = match strict::request(&buffer) {
            Next::Whole(request) if request.size == buffer.len() => {
                let request = Received::of(&request);
                let said = act(&request);
                let number = {
                    let mut log = log.lock().unwrap();
                    log.requests.push(request.clone());
                    log.requests.len() - 1
                };
                let said = match said {
                    Say::Echo => request.answer(number),
                    Say::Bytes(bytes) => {
                        linger = Some(LINGER);
                        bytes
                    }
                };
                if stream.write_all(&said).await.is_err() {
                    return;
                }
                buffer.clear();
                goes_on = false;
                continue;
            }
            Next::Whole(_) => "more than a request",
            Next::More => {
                let text = strict::text(&buffer).to_ascii_lowercase();
                if !goes_on && text.contains("\r\nexpect:") && text.contains("\r\n\r\n") {
                    goes_on = true;
                    let _ = stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await;
                }
                let read = stream.read(&mut piece);
                let read = match linger {
                    Some(linger) => timeout(linger, read).await.unwrap_or(Ok(0)),
                    None => read.await,
                };
                match read {
                    Ok(size @ 1..) => buffer.extend_from_slice(&piece[..size]),
                    // Half a request whose client went away is no request.
                    Ok(0) | Err(_) => return,
                }
                continue;
            }
            Next::Wrong(why) => why,
        };
        let bytes = buffer.escape_ascii();
        log.lock().unwrap().faults.push(format!("{wrong}: {bytes}"));
        return;
    }
}
