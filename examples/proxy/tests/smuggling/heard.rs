//! What a client said on a connection and what it got, each message in its place.

use super::strict::{self, Asked, Message, Next};

impl Message {
    pub(super) fn has_content(&self) -> bool {
        self.field("x-method") != Some("HEAD")
    }
}

/// The requests at the start of `sent` that can be read in one way alone.
pub(super) fn requests(mut sent: &[u8]) -> Vec<Message> {
    let mut requests = Vec::new();
    while let Next::Whole(request) = strict::request(sent) {
        sent = &sent[request.size..];
        requests.push(request);
    }
    requests
}

/// What the requests are at the start of `sent`, up to the first that can be read in two ways.
pub(super) fn asked(sent: &[u8]) -> Vec<Asked> {
    let known = requests(sent);
    let size: usize = known.iter().map(|request| request.size).sum();
    let first = sent[size..].trim_ascii_start();
    let is_head = known
        .iter()
        .map(|request| request.method() == "HEAD")
        .chain([first.starts_with(b"HEAD ")]);
    is_head
        .map(|is_head| if is_head { Asked::Head } else { Asked::Any })
        .collect()
}

/// What a client got on a connection.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) bytes: Vec<u8>,
    /// What the first answers are to; the others are to anything.
    pub(super) asked: Vec<Asked>,
    /// Whether the proxy waited for more.
    pub(super) waited: bool,
}

impl Heard {
    pub(super) fn answers(&self) -> Answers {
        Answers::of(&self.bytes, &self.asked)
    }
}

/// Whether this is the last answer, to a head that could not be read. Nobody knows that it was of a
/// HEAD, so there is content.
fn is_refusal(got: &[u8]) -> bool {
    let Next::Whole(answer) = strict::response(got, Asked::Any) else {
        return false;
    };
    matches!(answer.status(), 400 | 414 | 431)
        && answer.size == got.len()
        && answer.field("connection") == Some("close")
        && answer.field("proxy-status").is_some()
        && answer.field("x-number").is_none()
}

#[derive(Debug)]
pub(super) struct Answers {
    pub(super) whole: Vec<Message>,
    pub(super) wrong: Option<&'static str>,
    /// Bytes of an answer that did not end.
    rest: usize,
}

impl Answers {
    fn of(mut got: &[u8], asked: &[Asked]) -> Self {
        let mut asked = asked.iter().copied();
        let mut next = asked.next();
        let (mut whole, mut wrong) = (Vec::new(), None);
        while !got.is_empty() {
            let to = next.filter(|_| !is_refusal(got)).unwrap_or(Asked::Any);
            match strict::response(got, to) {
                Next::Whole(message) => {
                    if message.status() >= 200 {
                        next = asked.next();
                    }
                    got = &got[message.size..];
                    whole.push(message);
                }
                Next::More => break,
                Next::Wrong(why) => {
                    wrong = Some(why);
                    break;
                }
            }
        }
        let rest = got.len();
        Self { whole, wrong, rest }
    }

    pub(super) fn is_whole(&self) -> bool {
        !self.whole.is_empty() && self.rest == 0
    }

    /// Those that are not interim.
    pub(super) fn last_ones(&self) -> impl Iterator<Item = &Message> {
        self.whole.iter().filter(|answer| answer.status() >= 200)
    }

    pub(super) fn statuses(&self) -> Vec<u16> {
        self.last_ones().map(Message::status).collect()
    }
}
