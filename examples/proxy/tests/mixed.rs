//! Clients of every kind at once, in front of an origin that is stopped, killed, reset and cut off.
//!
//! A few seconds by default; `MIXED_SECONDS=60` makes it a minute.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::support::{Proxy, soon};

const CLIENTS: u64 = 40;
/// Pages that nobody writes. Each may be answered stale for an hour.
const PAGES: u64 = 30;
/// Pages that clients write.
const ITEMS: u64 = 12;
/// The `--timeout` of the proxy.
const LIMIT: Duration = Duration::from_secs(1);
/// A request may wait for one that failed, and is then sent once more.
const LONGEST: Duration = Duration::from_secs(4);
/// How long the origin is in one condition.
const SPELL: Duration = Duration::from_millis(600);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Sound,
    /// It takes connections and requests, and says nothing.
    Stopped,
    /// Nobody listens, and every connection is gone.
    Killed,
    /// It reads a request and resets the connection.
    Resetting,
    /// Half of a body, and the end.
    Truncating,
}

use Condition::{Killed, Resetting, Sound, Stopped, Truncating};

const COURSE: [Condition; 8] = [
    Sound, Stopped, Sound, Killed, Sound, Resetting, Sound, Truncating,
];

/// The condition in the spell of this number.
fn condition_in(spell: usize) -> Condition {
    COURSE[spell % COURSE.len()]
}

/// Whether bodies broke off at some time within these spells.
fn bodies_broke(spells: std::ops::RangeInclusive<usize>) -> bool {
    spells
        .map(condition_in)
        .any(|condition| matches!(condition, Killed | Truncating))
}

/// What the origin has, and what clients know of it.
#[derive(Default)]
struct Truth {
    versions: [AtomicU64; ITEMS as usize],
    /// The latest version whose write a client has seen answered.
    acknowledged: [AtomicU64; ITEMS as usize],
    calls: AtomicU64,
}

/// The one body that a page has: it tells its name in every line, so that pieces of two pages never
/// pass for one.
fn body(name: &str) -> Bytes {
    let hash = name.bytes().fold(7_u64, |hash, byte| {
        hash.wrapping_mul(31).wrapping_add(u64::from(byte))
    });
    let lines = 3 + hash % 900;
    let mut text = String::new();
    for line in 0..lines {
        text.push_str(&format!("{name}, line {line} of {lines}\n"));
    }
    text.into()
}

/// An origin on one port, in whatever condition it is told to be.
async fn origin(port: TcpListener, truth: Arc<Truth>, mut spell: watch::Receiver<usize>) {
    let address = port.local_addr().unwrap();
    let mut port = Some(port);
    let mut connections = JoinSet::new();
    loop {
        if condition_in(*spell.borrow_and_update()) == Killed {
            port = None;
            connections.shutdown().await;
            spell.changed().await.unwrap();
            continue;
        }
        let listener = match port.take() {
            Some(listener) => listener,
            None => TcpListener::bind(address).await.unwrap(),
        };
        tokio::select! {
            accepted = listener.accept() => {
                let (truth, spell) = (Arc::clone(&truth), spell.clone());
                connections.spawn(exchanges(accepted.unwrap().0, truth, spell));
            }
            _ = spell.changed() => {}
            Some(_) = connections.join_next() => {}
        }
        port = Some(listener);
    }
}

/// The requests of one connection, until it ends.
async fn exchanges(
    stream: TcpStream,
    truth: Arc<Truth>,
    spell: watch::Receiver<usize>,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok().filter(|&n| n > 0)?;
        let mut words = line.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut fields = HashMap::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.ok().filter(|&n| n > 0)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            fields.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        let length = fields.get("content-length").map_or(Ok(0), |n| n.parse());
        let mut content = vec![0; length.unwrap()];
        stream.read_exact(&mut content).await.ok()?;
        truth.calls.fetch_add(1, Ordering::Relaxed);

        let now = condition_in(*spell.borrow());
        let answer = answer(&truth, &method, &path, &fields, &content, now);
        match now {
            Sound => stream.write_all(&answer).await.ok()?,
            Stopped => {
                // For as long as the connection lasts.
                let _ = stream.read_u8().await;
                return None;
            }
            Killed => return None,
            Resetting => {
                let socket = stream.into_inner();
                socket2::SockRef::from(&socket)
                    .set_linger(Some(Duration::ZERO))
                    .ok()?;
                return None;
            }
            Truncating => {
                let half = &answer[..answer.len() - answer.len() / 3];
                stream.write_all(half).await.ok()?;
                return None;
            }
        }
    }
}

fn answer(
    truth: &Truth,
    method: &str,
    path: &str,
    fields: &HashMap<String, String>,
    content: &[u8],
    now: Condition,
) -> Vec<u8> {
    let mut parts = path.splitn(3, '/').skip(1);
    let (kind, rest) = (parts.next().unwrap(), parts.next().unwrap_or_default());
    let (policy, body) = match (kind, method) {
        ("page", _) => ("max-age=0, stale-if-error=3600", body(path)),
        ("item", "GET") => {
            let n: usize = rest.parse().unwrap();
            let version = truth.versions[n].load(Ordering::SeqCst);
            ("max-age=1", body(&format!("{path} version {version}")))
        }
        ("item", _) => {
            let n: usize = rest.parse().unwrap();
            let version = truth.versions[n].fetch_add(1, Ordering::SeqCst) + 1;
            ("no-store", Bytes::from(version.to_string()))
        }
        ("mine", _) => ("private", body(fields.get("cookie").map_or("", |c| c))),
        _ => ("no-store", Bytes::copy_from_slice(content)),
    };
    let tag = format!("\"{}\"", body.len());
    if kind == "page" && fields.get("if-none-match") == Some(&tag) && now != Truncating {
        return format!("HTTP/1.1 304 Same\r\nCache-Control: {policy}\r\nETag: {tag}\r\n\r\n")
            .into();
    }
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nCache-Control: {policy}\r\nETag: {tag}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(&body);
    answer
}

/// What came of all requests.
#[derive(Debug, Default)]
struct Tally {
    whole: u64,
    /// An answer that says that there is none.
    errors: u64,
    /// An answer that the client saw break off.
    cut: u64,
    wrong: Vec<String>,
    late: Vec<String>,
    unanswered: Vec<String>,
    /// Of pages that may be answered stale.
    needless: Vec<String>,
}

type Http = Client<HttpConnector, Full<Bytes>>;

struct Visitor {
    number: u64,
    http: Http,
    proxy: SocketAddr,
    truth: Arc<Truth>,
    spell: watch::Receiver<usize>,
    tally: Arc<Mutex<Tally>>,
}

/// A sequence that each client has for itself.
fn next(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    *seed >> 33
}

impl Visitor {
    async fn visit(self, until: Instant) {
        let mut seed = self.number + 1;
        let mut request = 0;
        while Instant::now() < until {
            request += 1;
            match next(&mut seed) % 20 {
                0..10 => {
                    let path = format!("/page/{}", next(&mut seed) % PAGES);
                    self.page(&path).await;
                }
                10..14 => self.item(next(&mut seed) % ITEMS).await,
                14 => self.write(next(&mut seed) % ITEMS).await,
                15..18 => {
                    let cookie = format!("id={}-{request}", self.number);
                    let answer = self.ask(Method::GET, "/mine/x", &cookie, "").await;
                    self.judge("/mine/x", answer, |got| *got == body(&cookie));
                }
                _ => {
                    let content = format!("{}-{request} ", self.number).repeat(50);
                    let answer = self.ask(Method::POST, "/echo/x", "", &content).await;
                    self.judge("/echo/x", answer, |got| *got == content);
                }
            }
        }
    }

    async fn page(&self, path: &str) {
        let before = *self.spell.borrow();
        let answer = self.ask(Method::GET, path, "", "").await;
        let after = *self.spell.borrow();
        let is_cut = matches!(answer, Answer::Cut(_));
        let said = format!("{path}: {answer:?}, spells {before} to {after}");
        if !self.judge(path, answer, |got| *got == body(path)) {
            // What has begun to flow can no longer be replaced.
            let excused = is_cut && bodies_broke(before..=after);
            if !excused {
                self.tally.lock().unwrap().needless.push(said);
            }
        }
    }

    async fn item(&self, n: u64) {
        let path = format!("/item/{n}");
        let known = self.truth.acknowledged[n as usize].load(Ordering::SeqCst);
        let answer = self.ask(Method::GET, &path, "", "").await;
        let latest = self.truth.versions[n as usize].load(Ordering::SeqCst);
        self.judge(&path, answer, |got| {
            (known..=latest).any(|version| *got == body(&format!("{path} version {version}")))
        });
    }

    async fn write(&self, n: u64) {
        let path = format!("/item/{n}");
        let answer = self.ask(Method::PUT, &path, "", "new").await;
        if let Answer::Whole(text) = &answer {
            let version = std::str::from_utf8(text).unwrap().parse().unwrap();
            self.truth.acknowledged[n as usize].fetch_max(version, Ordering::SeqCst);
        }
        self.judge(&path, answer, |_| true);
    }

    /// Counts an answer, and says whether it was a whole one.
    fn judge(&self, path: &str, answer: Answer, is_right: impl Fn(&Bytes) -> bool) -> bool {
        let mut tally = self.tally.lock().unwrap();
        match answer {
            Answer::Whole(got) if is_right(&got) => tally.whole += 1,
            Answer::Whole(got) => {
                let start = String::from_utf8_lossy(&got[..got.len().min(80)]).into_owned();
                tally.wrong.push(format!("{path}: {start:?}"));
            }
            Answer::Error(_) => {
                tally.errors += 1;
                return false;
            }
            Answer::Cut(_) => {
                tally.cut += 1;
                return false;
            }
            Answer::None(why) => {
                tally.unanswered.push(format!("{path}: {why}"));
                return false;
            }
        }
        true
    }

    async fn ask(&self, method: Method, path: &str, cookie: &str, content: &str) -> Answer {
        let uri = format!("http://{}{path}", self.proxy);
        let mut request = Request::builder().method(method).uri(uri);
        if !cookie.is_empty() {
            request = request.header("cookie", cookie);
        }
        let request = request.body(Full::from(content.to_owned())).unwrap();
        let (began, before) = (Instant::now(), *self.spell.borrow());
        let answer = timeout(LONGEST * 2, async {
            let response = match self.http.request(request).await {
                Ok(response) => response,
                // A head that hyper has not yet written goes the way of the body behind it.
                Err(error) if bodies_broke(before..=*self.spell.borrow()) => {
                    return Answer::Cut(format!("{error:?}"));
                }
                Err(error) => return Answer::None(format!("{error:?}")),
            };
            let status = response.status();
            match response.into_body().collect().await {
                Ok(whole) if status == StatusCode::OK => Answer::Whole(whole.to_bytes()),
                Ok(_) => Answer::Error(status),
                Err(error) => Answer::Cut(format!("{error:?}")),
            }
        })
        .await
        .unwrap_or_else(|_| Answer::None("it never ended".to_owned()));
        let took = began.elapsed();
        if took > LONGEST {
            let mut tally = self.tally.lock().unwrap();
            tally.late.push(format!("{path}: {took:?}, {answer:?}"));
        }
        answer
    }
}

enum Answer {
    Whole(Bytes),
    Error(StatusCode),
    /// The body broke off.
    Cut(String),
    /// Not even a head.
    None(String),
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Error(status) => write!(f, "{status}"),
            Self::Cut(why) | Self::None(why) => f.write_str(why),
        }
    }
}

#[tokio::test]
async fn mixed_load_over_an_origin_in_every_condition() {
    let seconds = std::env::var("MIXED_SECONDS").map_or(6, |text| text.parse().unwrap());
    let truth = Arc::<Truth>::default();
    let (say, spell) = watch::channel(0);
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = port.local_addr().unwrap();
    let serving = tokio::spawn(origin(port, Arc::clone(&truth), spell.clone()));
    let limit = format!("{}s", LIMIT.as_secs());
    let proxy = Proxy::start(address, &["--timeout", &limit]).await;
    for n in 0..PAGES {
        let path = format!("/page/{n}");
        let host = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", proxy.address);
        assert_eq!(soon(proxy.ask(&host)).await.status(), 200);
    }

    let tally = Arc::<Mutex<Tally>>::default();
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let mut http = Client::builder(TokioExecutor::new());
        // Every third of them speaks HTTP/2.
        let http = http.http2_only(number % 3 == 0).build_http();
        let visitor = Visitor {
            number,
            http,
            proxy: proxy.address,
            truth: Arc::clone(&truth),
            spell: spell.clone(),
            tally: Arc::clone(&tally),
        };
        clients.spawn(visitor.visit(end));
    }
    while Instant::now() < end {
        sleep(SPELL).await;
        say.send_modify(|spell| *spell += 1);
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    serving.abort();

    let tally = tally.lock().unwrap();
    let calls = truth.calls.load(Ordering::Relaxed);
    println!(
        "{seconds} s: {} whole, {} errors, {} cut, {calls} origin calls, {} wrong, {} late, {} \
         unanswered, {} needless errors",
        tally.whole,
        tally.errors,
        tally.cut,
        tally.wrong.len(),
        tally.late.len(),
        tally.unanswered.len(),
        tally.needless.len()
    );
    let first = |list: &[String]| list.iter().take(10).cloned().collect::<Vec<_>>().join("\n");
    assert!(tally.wrong.is_empty(), "wrong:\n{}", first(&tally.wrong));
    assert!(tally.late.is_empty(), "late:\n{}", first(&tally.late));
    let silent = &tally.unanswered;
    assert!(silent.is_empty(), "unanswered:\n{}", first(silent));
    assert!(
        tally.needless.is_empty(),
        "errors:\n{}",
        first(&tally.needless)
    );
    assert!(tally.whole > 500 && tally.errors > 0, "{tally:?}");
}
