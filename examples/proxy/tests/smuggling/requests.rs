//! What clients of HTTP/1 say to be understood in two ways.

mod chunks;
mod codings;
mod heads;
mod lengths;

use super::stage::{QUIET, Say, Stage, carrying};
use Expect::{Either, Refused, Served};

/// What the proxy does with the first request, which asks for `/a`.
#[derive(Clone, Copy, Debug)]
enum Expect {
    /// Answers with an error, and the origin gets nothing of it.
    Refused,
    /// These are the requests that the origin gets, each with its answer, and no others.
    Served(&'static [&'static str]),
    /// One or the other, both are sound: what reaches the origin is, and so are the answers.
    Either,
}

/// A request of its own if any recipient takes content for one.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n";

const LAST: &str = "GET /last HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";

const A: &[&str] = &["/a"];
const BOTH: &[&str] = &["/a", "/last"];

/// Runs each case, which is what stands on the wire before the last request.
async fn run(cases: impl IntoIterator<Item = (&'static str, Vec<u8>, Expect)>) {
    let mut stage = Stage::start(|_| Say::Echo).await;
    let mut failed = Vec::new();
    for (name, mut sent, expect) in cases {
        sent.extend_from_slice(LAST.as_bytes());
        let case = format!("{name}: {}", sent.escape_ascii());
        let before = stage.requests();
        let heard = stage.say(&sent, QUIET).await;
        let sound = stage.check(&sent, &heard);
        stage.serves_others(name).await;
        stage.is_sound(&case);
        let requests = stage.requests_since(before);
        let targets: Vec<_> = requests.iter().map(|r| r.target.as_str()).collect();
        let verdict = sound.and_then(|_| {
            let statuses = heard.answers().statuses();
            expect.holds(&targets, &statuses)
        });
        if let Err(why) = verdict {
            failed.push(format!("{case:.500}\n{why}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

impl Expect {
    fn holds(self, targets: &[&str], statuses: &[u16]) -> Result<(), String> {
        let served = statuses.iter().filter(|status| **status == 200).count();
        let holds = match self {
            Served(expected) => targets == expected && served == expected.len(),
            Refused => {
                let refused = |status: &u16| matches!(status, 400 | 431 | 501);
                matches!(targets, [] | ["/last"]) && statuses.first().is_none_or(refused)
            }
            Either => true,
        };
        let told = format!("expected {self:?}, the origin got {targets:?}, answers {statuses:?}");
        holds.then_some(()).ok_or(told)
    }
}

/// A POST with these field lines, and what follows its head.
fn post(fields: &str, rest: &str) -> Vec<u8> {
    let head = "POST /a HTTP/1.1\r\nHost: a.example\r\nX-Nonce: 7\r\n";
    carrying(SMUGGLED, &format!("{head}{fields}\r\n{rest}")).into()
}
