//! How many clients may be connected, and what happens beyond that.

use std::{net::SocketAddr, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    process::Command,
    time::{Instant, sleep},
};

use super::{
    frames,
    support::{Origin, Proxy, before, ok, read_head, soon},
};

const REQUEST: &[u8] = b"GET /page HTTP/1.1\r\nHost: a.example\r\n\r\n";

/// The proxy where so many files may be open, first and at most.
fn with_files(soft: u32, hard: u32, origin: SocketAddr, flags: &[&str]) -> Command {
    let proxy = before(origin, flags);
    let proxy = proxy.as_std();
    let script = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" \"$@\"");
    let mut limited = Command::new("sh");
    limited
        .arg("-c")
        .arg(script)
        .arg(proxy.get_program())
        .args(proxy.get_args())
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    for (name, value) in proxy.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    limited.env("RUST_LOG", "warn");
    limited
}

async fn page(client: &mut TcpStream) {
    client.write_all(REQUEST).await.unwrap();
    let head = soon(read_head(client)).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    soon(client.read_exact(&mut [0; 4])).await.unwrap();
}

#[tokio::test]
async fn a_new_client_gets_the_place_of_the_one_that_is_idle_for_longest() {
    let origin = Origin::start(|_| ok("Cache-Control: max-age=60\r\n", "page")).await;
    let flags = ["--workers", "1", "--max-connections", "4"];
    let proxy = Proxy::start(origin.address, &flags).await;
    let mut unused = proxy.connect().await;
    let mut unfinished = proxy.connect().await;
    unfinished.write_all(&REQUEST[..20]).await.unwrap();
    let mut http2 = frames::connect(proxy.address, 65_535).await;
    // They have had their time to ask.
    sleep(Duration::from_millis(1100)).await;
    let mut served = proxy.connect().await;
    page(&mut served).await;
    // One after the other, and the one that was used last is the last to go.
    let mut newer = Vec::new();
    for old in [&mut unused, &mut unfinished, &mut http2] {
        let mut new = proxy.connect().await;
        page(&mut new).await;
        newer.push(new);
        let _ = soon(old.read_to_end(&mut Vec::new())).await;
        page(&mut served).await;
    }
    for new in &mut newer {
        page(new).await;
    }
}

#[tokio::test]
async fn where_all_are_busy_a_new_client_waits() {
    let (origin, mut connections) = Origin::by_hand().await;
    let flags = ["--workers", "1", "--max-connections", "2"];
    let proxy = Proxy::start(origin.address, &flags).await;
    let mut busy = Vec::new();
    for n in 0..2 {
        let mut client = proxy.connect().await;
        let request = format!("GET /{n} HTTP/1.1\r\nHost: a.example\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let mut origin = soon(connections.recv()).await.unwrap();
        soon(read_head(&mut origin)).await.unwrap();
        busy.push((client, origin));
    }
    let mut waiting = proxy.connect().await;
    waiting.write_all(REQUEST).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(400), connections.recv()).await;
    assert!(early.is_err(), "it was served beyond the limit");
    // One of the others is answered, and has nothing to do then.
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage";
    busy[0].1.write_all(answer).await.unwrap();
    read_head(&mut busy[0].0).await.unwrap();
    let served = async {
        tokio::select! {
            // On the connection to the origin that is free now, or on a new one.
            head = read_head(&mut busy[0].1) => assert!(head.is_some()),
            new = connections.recv() => assert!(new.is_some()),
        }
    };
    soon(served).await;
}

#[tokio::test]
async fn idle_clients_leave_descriptors_for_the_origin() {
    let origin = Origin::start(|_| ok("Cache-Control: no-store\r\n", "page")).await;
    // 40 are the program's own, 160 for clients, 80 for the origin.
    let command = with_files(100, 280, origin.address, &["--workers", "1"]);
    let mut proxy = Proxy::spawn(command).await;
    let mut clients = Vec::new();
    for _ in 0..300 {
        let mut client = proxy.connect().await;
        page(&mut client).await;
        clients.push(client);
    }
    let mut open = 0;
    for client in &mut clients {
        let end = tokio::time::timeout(Duration::from_millis(5), client.read(&mut [0])).await;
        open += usize::from(end.is_err());
    }
    assert!((100..=160).contains(&open), "{open} are open");
    proxy.child.start_kill().unwrap();
    let mut log = String::new();
    let mut stderr = proxy.child.stderr.take().unwrap();
    soon(stderr.read_to_string(&mut log)).await.unwrap();
    assert!(
        log.contains("fewer connections than --max-connections"),
        "{log}"
    );
    assert!(!log.contains("cannot accept"), "{log}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn refused_connections_are_a_line_a_second() {
    const SECONDS: u64 = 3;
    let origin = Origin::start(|_| ok("", "page")).await;
    let command = with_files(160, 160, origin.address, &["--workers", "1"]);
    let mut proxy = Proxy::spawn(command).await;
    // It has counted on more of them.
    let id = proxy.child.id().unwrap().to_string();
    let lowered = Command::new("prlimit")
        .args(["--pid", &id, "--nofile=60:60"])
        .status();
    assert!(lowered.await.unwrap().success());
    let mut held = Vec::new();
    for _ in 0..70 {
        held.push(proxy.connect().await);
    }
    let since = Instant::now();
    let mut clients = Vec::new();
    while since.elapsed() < Duration::from_secs(SECONDS) {
        let mut client = proxy.connect().await;
        client.write_all(REQUEST).await.unwrap();
        clients.push(client);
        sleep(Duration::from_millis(100)).await;
    }
    drop((held, clients));
    // It is there again.
    let answered = async {
        loop {
            let mut client = proxy.connect().await;
            client
                .write_all(b"TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n")
                .await
                .unwrap();
            if read_head(&mut client).await.is_some() {
                break;
            }
        }
    };
    soon(answered).await;
    proxy.child.start_kill().unwrap();
    let mut log = String::new();
    let mut stderr = proxy.child.stderr.take().unwrap();
    soon(stderr.read_to_string(&mut log)).await.unwrap();
    let lines = log.matches("cannot accept").count() as u64;
    assert!((1..=SECONDS + 2).contains(&lines), "{lines} lines: {log}");
    assert!(log.contains("connections="), "{log}");
}

#[tokio::test]
async fn no_client_loses_its_place_after_it_has_asked() {
    const CLIENTS: usize = 30;
    let origin = Origin::start(|_| ok("Cache-Control: no-store\r\n", "page")).await;
    let flags = ["--workers", "1", "--max-connections", "1"];
    let proxy = Proxy::start(origin.address, &flags).await;
    // All of them at once: each new one needs the place of one that has only just come.
    let asks = (0..CLIENTS).map(|_| proxy.get("/page", ""));
    for reply in soon(futures_util::future::join_all(asks)).await {
        assert_eq!(
            (reply.head.get(..12), &*reply.body),
            (Some("HTTP/1.1 200"), "page")
        );
    }
}

#[tokio::test]
async fn a_new_client_may_take_a_moment_to_ask() {
    let origin = Origin::start(|_| ok("Cache-Control: no-store\r\n", "page")).await;
    let flags = ["--workers", "1", "--max-connections", "1"];
    let proxy = Proxy::start(origin.address, &flags).await;
    let mut first = proxy.connect().await;
    let mut second = proxy.connect().await;
    second.write_all(REQUEST).await.unwrap();
    sleep(Duration::from_millis(300)).await;
    page(&mut first).await;
    assert!(soon(read_head(&mut second)).await.is_some());
}

#[tokio::test]
async fn a_client_keeps_its_place_until_it_has_the_end_of_a_response() {
    let origin = Origin::start(|head| {
        let length = head.split(['/', ' ']).nth(2).and_then(|it| it.parse().ok());
        ok(
            "Cache-Control: max-age=60\r\n",
            &"x".repeat(length.unwrap()),
        )
    })
    .await;
    let flags = ["--workers", "1", "--max-connections", "1"];
    let proxy = Proxy::start(origin.address, &flags).await;
    // What the kernel takes of some of these is all but the end.
    for length in (100_000..280_000).step_by(12_000) {
        let request = format!("GET /{length} HTTP/1.1\r\nHost: a.example\r\n\r\n");
        let slow = TcpSocket::new_v4().unwrap();
        slow.set_recv_buffer_size(16 * 1024).unwrap();
        let mut slow = slow.connect(proxy.address).await.unwrap();
        slow.write_all(request.as_bytes()).await.unwrap();
        let head = soon(read_head(&mut slow)).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        sleep(Duration::from_millis(50)).await;
        let _new = proxy.connect().await;
        sleep(Duration::from_millis(100)).await;
        let mut body = vec![0; length];
        let whole = soon(slow.read_exact(&mut body)).await;
        assert!(whole.is_ok(), "{length}: {whole:?}");
    }
}

const LONG: usize = 4000;
const WINDOW: u32 = 100;

/// The proxy before an origin with a page that it gives away at once, but for the first client.
async fn with_page(flags: &[&str]) -> (Origin, Proxy) {
    let page = "x".repeat(LONG);
    let origin = Origin::start(move |_| ok("Cache-Control: max-age=60\r\n", &page)).await;
    let flags = [&["--workers", "1"], flags].concat();
    let proxy = Proxy::start(origin.address, &flags).await;
    assert_eq!(proxy.get("/page", "").await.body.len(), LONG);
    (origin, proxy)
}

/// A client of HTTP/2 that has asked for pages, and has yet to widen its windows for their ends.
async fn slow(proxy: &Proxy, streams: &[u32]) -> TcpStream {
    let mut client = frames::connect(proxy.address, WINDOW).await;
    for &stream in streams {
        let get = frames::get(stream, "/page");
        client.write_all(&get).await.unwrap();
        let data = frames::read_to(&mut client, frames::DATA).await.unwrap();
        assert_eq!(data.payload.len(), WINDOW as usize);
    }
    client
}

/// Takes the end of a page. Whether it is told meanwhile that the connection will end.
async fn take_end(client: &mut TcpStream, stream: u32) -> bool {
    let update = frames::window_update(stream, 10_000);
    client.write_all(&update).await.unwrap();
    let mut told = false;
    let mut left = LONG - WINDOW as usize;
    while left > 0 {
        let frame = frames::read(client).await;
        let frame = frame.unwrap_or_else(|| panic!("cut: {left} bytes of {stream} are left"));
        told |= frame.kind == frames::GOAWAY;
        if frame.kind == frames::DATA {
            left -= frame.payload.len();
        }
    }
    told
}

#[tokio::test]
async fn the_end_of_a_response_over_http2_arrives_before_its_place_goes() {
    let (_origin, proxy) = with_page(&["--max-connections", "1"]).await;
    let mut slow = slow(&proxy, &[1]).await;
    let mut new = proxy.connect().await;
    new.write_all(REQUEST).await.unwrap();
    let told = frames::read_to(&mut slow, frames::GOAWAY).await;
    assert!(told.is_some());
    take_end(&mut slow, 1).await;
    assert!(soon(read_head(&mut new)).await.is_some());
}

#[tokio::test]
async fn one_new_client_takes_one_place_even_if_that_takes_a_moment() {
    let (_origin, proxy) = with_page(&["--max-connections", "2"]).await;
    let mut first = slow(&proxy, &[1]).await;
    let mut second = slow(&proxy, &[1]).await;
    let mut new = proxy.connect().await;
    new.write_all(REQUEST).await.unwrap();
    // The first one does not take the end, and is dropped at last.
    let told = frames::read_to(&mut first, frames::GOAWAY).await;
    assert!(told.is_some());
    assert!(soon(read_head(&mut new)).await.is_some());
    assert!(
        frames::read(&mut first)
            .await
            .is_none_or(|it| it.kind == frames::PING)
    );
    assert!(frames::read(&mut first).await.is_none());
    assert!(!take_end(&mut second, 1).await, "two were told");
}

#[tokio::test]
async fn the_ends_of_responses_over_http2_may_be_taken_slowly() {
    let streams = [1, 3, 5, 7, 9];
    let (_origin, proxy) = with_page(&["--client-timeout", "1"]).await;
    let mut slow = slow(&proxy, &streams).await;
    for stream in streams {
        sleep(Duration::from_millis(400)).await;
        assert!(!take_end(&mut slow, stream).await, "told within {stream}");
    }
}
