//! HTTP/2 clients that keep the proxy or its origin busy and want no answer.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout},
};

use super::{
    frames::{
        self, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, SETTINGS, fields, frame,
        get, reset, window_update,
    },
    support::{Act, Origin, Proxy, ok, read_head},
};

/// What a connection may have under way, and have abandoned, at once.
const PLACES: usize = 128;

/// Abandoned requests are forgotten at this rate.
const FORGOTTEN_PER_SECOND: usize = 10;

/// An origin that counts requests and answers each after `delay`, or never.
async fn late(answer: Option<(Duration, &'static str)>) -> (Origin, Counter) {
    let (origin, mut connections) = Origin::by_hand().await;
    let counter = Counter::default();
    let counted = counter.clone();
    tokio::spawn(async move {
        while let Some(mut stream) = connections.recv().await {
            let counter = counted.clone();
            tokio::spawn(async move {
                while read_head(&mut stream).await.is_some() {
                    counter.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some((delay, answer)) = answer else {
                        let _ = stream.read_to_end(&mut Vec::new()).await;
                        return;
                    };
                    tokio::time::sleep(delay).await;
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (origin, counter)
}

#[derive(Clone, Default)]
struct Counter(std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl Counter {
    fn get(&self) -> usize {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }
}

const DELAY: Duration = Duration::from_millis(300);
const STORED: &str =
    "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\npage";
const NOT_STORED: &str =
    "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 4\r\n\r\npage";

#[tokio::test]
async fn streams_that_are_reset_keep_their_places_for_a_while() {
    const STREAMS: u32 = 6_000;
    const AT_ONCE: u32 = 16;
    let post = |stream, path: &str| {
        let head = fields("POST", path);
        frame(HEADERS, END_STREAM | END_HEADERS, stream, &head)
    };
    type Request = fn(u32, &str) -> Vec<u8>;
    type Case = (&'static str, Request, Option<(Duration, &'static str)>);
    let cases: [Case; 4] = [
        ("no answer", get, None),
        ("stored", get, Some((DELAY, STORED))),
        ("not stored", get, Some((DELAY, NOT_STORED))),
        ("past the cache", post, Some((DELAY, NOT_STORED))),
    ];
    for (what, request, answer) in cases {
        let (origin, asked) = late(answer).await;
        let proxy = Proxy::start(origin.address, &["--workers", "1"]).await;
        let mut client = frames::connect(proxy.address, 65_535).await;
        let since = Instant::now();
        let mut stream = 1;
        let mut open = true;
        while open && stream < 2 * STREAMS {
            let streams: Vec<u32> = (0..AT_ONCE).map(|n| stream + 2 * n).collect();
            stream += 2 * AT_ONCE;
            let asks = streams.iter().map(|&id| request(id, &format!("/{id}")));
            let asks: Vec<u8> = asks.flatten().collect();
            client.write_all(&asks).await.unwrap();
            // In its order, and in the other one.
            let mut resets: Vec<Vec<u8>> = streams.iter().map(|&id| reset(id)).collect();
            if stream % 64 == 1 {
                resets.reverse();
            }
            open = frames::has_read(&mut client).await
                && client.write_all(&resets.concat()).await.is_ok()
                && frames::has_read(&mut client).await;
        }
        let took = since.elapsed();
        let most = PLACES + AT_ONCE as usize + FORGOTTEN_PER_SECOND * (took.as_secs() as usize + 1);
        let calls = asked.get();
        println!("{what}: {calls} calls, {took:?}, {} streams", stream / 2);
        assert!(calls <= most, "{what}: {calls} calls, {took:?}");
        assert!(open, "{what}: closed");
        // Others are served, and in time this client as well.
        if answer.is_some() {
            assert_eq!(proxy.get("/other", "").await.status(), 200, "{what}");
            assert!(asked.get() > 0, "{what}: no call was counted");
            client.write_all(&request(stream, "/next")).await.unwrap();
            let data = frames::read_to(&mut client, DATA).await.unwrap();
            assert_eq!(
                (data.stream, data.payload.as_slice()),
                (stream, b"page".as_slice())
            );
        }
    }
}

/// The frames that a client may send for ever, and never a request that ends.
#[tokio::test]
async fn floods_of_frames_cost_little() {
    let origin = Origin::start(|head| {
        if head.starts_with("POST") {
            return Act::Hang;
        }
        ok("", "page")
    })
    .await;
    let proxy = Proxy::start(origin.address, &["--workers", "1"]).await;
    let open = frame(HEADERS, END_HEADERS, 1, &fields("POST", "/upload"));
    let begun = frame(HEADERS, 0, 1, &fields("GET", "/"));
    let cases: [(&str, Vec<u8>, Vec<u8>); 8] = [
        (
            "CONTINUATION",
            begun.clone(),
            frame(CONTINUATION, 0, 1, &field(1000)),
        ),
        ("empty CONTINUATION", begun, frame(CONTINUATION, 0, 1, b"")),
        (
            "SETTINGS",
            vec![],
            frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255]),
        ),
        ("PING", vec![], frame(PING, 0, 0, b"12345678")),
        ("empty DATA", open.clone(), frame(DATA, 0, 1, b"")),
        (
            "padded DATA",
            open.clone(),
            frame(DATA, 8, 1, &[3, 0, 0, 0]),
        ),
        ("WINDOW_UPDATE of 0", open.clone(), window_update(1, 0)),
        ("WINDOW_UPDATE of 1", open, window_update(1, 1)),
    ];
    for (what, first, again) in cases {
        let mut client = frames::connect(proxy.address, 65_535).await;
        client.write_all(&first).await.unwrap();
        let many = again.repeat(64 * 1024 / again.len());
        // Nothing is read of what the proxy says to it.
        let flood = async {
            for _ in 0..400 {
                if client.write_all(&many).await.is_err() {
                    return "closed";
                }
            }
            "taken"
        };
        let end = timeout(Duration::from_secs(1), flood).await;
        println!("{what}: {}", end.unwrap_or("not read any more"));
        assert_eq!(proxy.get("/other", "").await.status(), 200, "{what}");
    }
    #[cfg(target_os = "linux")]
    {
        let peak = proxy.peak() >> 20;
        println!("peak: {peak} MiB");
        assert!(peak < 64, "{peak} MiB");
    }
}

/// A field that takes so many bytes.
fn field(bytes: usize) -> Vec<u8> {
    let mut block = vec![0, 1, b'x', 0x7f];
    // RFC 7541 section 5.1
    let mut rest = bytes - 0x7f;
    while rest >= 128 {
        block.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    block.push(rest as u8);
    block.extend(vec![b'v'; bytes]);
    block
}
