//! What an origin says to be understood in two ways: the next client on its connection gets no byte
//! of it, and nothing doubtful is kept.

mod chunks;
mod framing;
mod heads;

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::{
    stage::{QUIET, Say, Stage, carrying},
    strict,
};
use crate::support::{Origin, Proxy, read_head, read_to_end, soon};
use Expect::{Bad, Cut, Either, Good};

/// What the client gets.
#[derive(Clone, Copy, Debug)]
enum Expect {
    /// A 502, and nothing is kept.
    Bad,
    /// Less than a whole answer, and nothing is kept.
    Cut,
    /// This status and content.
    Good(u16, &'static str),
    /// One or the other: both are sound.
    Either,
}

/// A response of its own, which the next client would get and the cache would keep.
const POISON: &str = "HTTP/1.1 200 OK\r\nX-Number: 0\r\nCache-Control: max-age=3600\r\n\
                      Content-Length: 6\r\n\r\nPOISON";

/// Each is what an origin says to one GET, or HEAD where the name says so.
async fn run(cases: &[(&'static str, &'static str, Expect)]) {
    let fill = |text: &str| {
        let kept = "Cache-Control: max-age=3600\r\n";
        carrying(POISON, &text.replace("@K", kept))
            .replace(
                "@FLOOD",
                &"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".repeat(5_000),
            )
            .replace("@CONTINUE", &"HTTP/1.1 100 Continue\r\n\r\n".repeat(5_000))
            .replace("@BIG", &"x".repeat(200_000))
    };
    let said: Vec<_> = cases
        .iter()
        .map(|(_, said, _)| fill(said).into_bytes())
        .collect();
    let mut stage = Stage::start(move |request| {
        let index = request
            .target
            .strip_prefix("/said/")
            .map(str::parse::<usize>);
        match (index, &*request.nonce) {
            (Some(Ok(index)), "first") => Say::Bytes(said[index].clone()),
            _ => Say::Echo,
        }
    })
    .await;
    let mut failed = Vec::new();
    for (index, (name, said, expect)) in cases.iter().enumerate() {
        let case = format!("{name}: {said:?}");
        let method = if name.contains("HEAD") { "HEAD" } else { "GET" };
        let ask = |method: &str, nonce: &str| {
            format!(
                "{method} /said/{index} HTTP/1.1\r\nHost: a.example\r\nX-Nonce: {nonce}\r\n\
                 Connection: close\r\n\r\n"
            )
        };
        let got = stage.say(ask(method, "first").as_bytes(), QUIET).await;
        // The connection to the origin, if it is still there, is the next one in use.
        stage.serves_others(name).await;
        let again = stage.say(ask("GET", "again").as_bytes(), QUIET).await;
        stage.serves_others(name).await;
        stage.is_sound(&case);
        let (got, again) = (got.answers(), again.answers());
        let first = got.whole.first();
        let shown = first.map(|answer| (answer.status(), strict::text(&answer.content)));
        let kept = again
            .whole
            .first()
            .is_some_and(|a| a.field("x-cache") == Some("HIT"));
        let holds = match expect {
            Good(status, content) => shown == Some((*status, fill(content))),
            Bad => shown.is_some_and(|(status, _)| status == 502) && !kept,
            Cut => shown.is_none() && !kept,
            Either => true,
        };
        if !holds || got.whole.len() > 1 || again.whole.len() != 1 {
            failed.push(format!("{case}: {expect:?}: {got:.300?}, {again:.300?}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// The rest of the content belongs to a request that is answered: no other goes where it goes.
#[tokio::test]
async fn an_answer_before_the_end_of_the_request_ends_its_connection() {
    let (origin, mut connections) = Origin::by_hand().await;
    let proxy = Proxy::start(origin.address, &["--workers", "1"]).await;
    for fields in ["Content-Length: 64\r\n", "Transfer-Encoding: chunked\r\n"] {
        let mut client = proxy.connect().await;
        let head = format!("POST /early HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n4\r\nabcd\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
        let mut first = soon(connections.recv()).await.unwrap();
        soon(read_head(&mut first)).await.unwrap();
        let early = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly";
        first.write_all(early).await.unwrap();
        let answer = soon(read_head(&mut client)).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{fields}: {answer}");
        // Somebody else asks, and the client goes on.
        let mut other = proxy.connect().await;
        let get = b"GET /other HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
        other.write_all(get).await.unwrap();
        let mut second = soon(connections.recv()).await.unwrap();
        let asked = soon(read_head(&mut second)).await.unwrap();
        assert!(asked.starts_with("GET /other "), "{fields}: {asked}");
        let smuggled = b"GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n";
        let _ = client.write_all(smuggled).await;
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nother";
        second.write_all(answer).await.unwrap();
        assert_eq!(read_to_end(&mut other).await.body, "other", "{fields}");
        drop(client);
        let mut rest = Vec::new();
        let _ = soon(first.read_to_end(&mut rest)).await;
        let rest = strict::text(&rest);
        assert!(!rest.contains("/other"), "{fields}: {rest:?}");
        let more = timeout(Duration::from_millis(50), connections.recv()).await;
        assert!(more.is_err(), "{fields}: another request at the origin");
    }
}
