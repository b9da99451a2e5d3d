//! What clients of HTTP/2 say to become several requests, or another one, in HTTP/1. Frames and
//! field sections are written here by hand: no library lets one say this.

mod fields;
mod frames;

use tokio::{
    io::AsyncWriteExt,
    time::{Duration, timeout},
};

use super::stage::Stage;
use crate::frames::{
    DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PREFACE, RST_STREAM, SETTINGS, frame, wait,
};
use Expect::{Either, Refused, Served};

/// What the origin gets of it.
#[derive(Clone, Copy, Debug)]
enum Expect {
    Refused,
    Served,
    /// One or the other: both are sound.
    Either,
}

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n";

/// Field lines as literals without an index and without Huffman codes (RFC 7541 section 6.2.2).
fn section(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut section = Vec::new();
    let mut string = |text: &str| {
        match u8::try_from(text.len()) {
            Ok(length @ ..127) => section.push(length),
            _ => {
                let rest = text.len() - 127;
                let low = u8::try_from(rest % 128).unwrap() | 128;
                section.extend([127, low, u8::try_from(rest / 128).unwrap()]);
            }
        }
        section.extend_from_slice(text.as_bytes());
        section.len()
    };
    let mut marks = vec![0];
    for (name, value) in fields {
        string(name);
        marks.push(string(value));
    }
    marks.pop();
    // Each line starts with a byte that says which kind it is.
    for mark in marks.into_iter().rev() {
        section.insert(mark, 0);
    }
    section
}

/// What becomes of stream 1.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Answered(String),
    /// With 4xx or 5xx, or not at all.
    Refused,
}

async fn ask(stage: &Stage, frames: &[Vec<u8>]) -> Fate {
    let mut stream = stage.proxy.connect().await;
    let start = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &frames.concat()].concat();
    stream.write_all(&start).await.unwrap();
    let (mut is_ok, mut content) = (false, Vec::new());
    loop {
        let frame = timeout(Duration::from_millis(500), wait(&mut stream)).await;
        let Ok(Some(frame)) = frame else {
            return Fate::Refused;
        };
        let payload = frame.payload;
        match (frame.kind, frame.stream) {
            // The first byte of a field section is the status; 0x88 is 200.
            (HEADERS, 1) => is_ok = payload.first() == Some(&0x88),
            (DATA, 1) => content.extend_from_slice(&payload),
            (RST_STREAM, 1) | (GOAWAY, _) => return Fate::Refused,
            _ => continue,
        }
        if frame.flags & END_STREAM != 0 {
            let text = String::from_utf8_lossy(&content).into_owned();
            return if is_ok {
                Fate::Answered(text)
            } else {
                Fate::Refused
            };
        }
    }
}

type Fields = Vec<(&'static str, &'static str)>;

/// A sound POST of 43 bytes, with these changes.
fn post(change: impl FnOnce(&mut Fields)) -> Fields {
    let mut fields = vec![
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "a.example"),
        (":path", "/a"),
        ("x-nonce", "7"),
    ];
    change(&mut fields);
    fields
}

fn with(name: &'static str, value: &'static str) -> Fields {
    post(|fields| fields.push((name, value)))
}

fn instead(name: &str, value: &'static str) -> Fields {
    post(|fields| {
        for field in fields.iter_mut().filter(|(key, _)| *key == name) {
            field.1 = value;
        }
    })
}

fn without(name: &str) -> Fields {
    post(|fields| fields.retain(|(key, _)| *key != name))
}

fn first(name: &'static str, value: &'static str) -> Fields {
    post(|fields| fields.insert(0, (name, value)))
}

/// Says the frames, and what does not hold.
async fn judge(
    stage: &mut Stage,
    name: &str,
    frames: &[Vec<u8>],
    content: &[u8],
    expect: Expect,
) -> Option<String> {
    let before = stage.requests();
    let fate = ask(stage, frames).await;
    stage.serves_others(name).await;
    stage.is_sound(name);
    let requests = stage.requests_since(before);
    let is_own = matches!(&requests[..], [one] if one.content == content && one.nonce == "7");
    let served = is_own && matches!(&fate, Fate::Answered(echo) if echo.contains(" POST /a 7 ["));
    let holds = match expect {
        Served => served,
        Refused => fate == Fate::Refused && requests.is_empty(),
        // Whatever it is, it is one.
        Either => requests.is_empty() || is_own,
    };
    (!holds).then(|| format!("{name}: {expect:?}, {fate:?}, the origin got {requests:?}"))
}
