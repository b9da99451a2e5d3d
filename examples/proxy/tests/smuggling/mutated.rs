//! Sound messages with small changes, thousands of them, from clients and from an origin.
//!
//! `SMUGGLING_CASES` says how many in each direction, and `SMUGGLING_SEED` which ones.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use futures_util::StreamExt;
use tokio::time::Instant;

use super::{
    heard::Heard,
    mutator::{Random, mutate},
    stage::{Received, Say, Stage, carrying},
    strict::{self, Asked, Next},
};

/// Cases unless the environment says otherwise: a few seconds.
const CASES: usize = 1_500;
/// Clients at a time.
const LANES: usize = 24;
/// Most changed heads either fail at once or are waited for; this is far longer than an answer takes.
const QUIET: Duration = Duration::from_millis(60);

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n";

const REQUESTS: &[&str] = &[
    "GET /a@N HTTP/1.1\r\nHost: a.example\r\nX-Nonce: @N\r\n\r\n",
    "GET /a@N?b=c HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\nX-Nonce: @N\r\nCookie: a=b\r\n\r\n",
    "GET http://b.example/a@N HTTP/1.1\r\nHost: a.example\r\nX-Nonce: @N\r\n\r\n",
    "GET /a@N HTTP/1.0\r\nHost: a.example\r\nConnection: keep-alive\r\nX-Nonce: @N\r\n\r\n",
    "HEAD /a@N HTTP/1.1\r\nHost: a.example\r\nX-Nonce: @N\r\n\r\n",
    "POST /a@N HTTP/1.1\r\nHost: a.example\r\nX-Nonce: @N\r\nContent-Length: @L\r\n\r\n@M",
    "PUT /a@N HTTP/1.1\r\nHost: a.example\r\nContent-Length: @L\r\nX-Nonce: @N\r\n\r\n@M",
    "POST /a@N HTTP/1.1\r\nHost: a.example\r\nX-Nonce: @N\r\nTransfer-Encoding: chunked\r\n\r\n\
     @X\r\n@M\r\n0\r\n\r\n",
    "POST /a@N HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nX-Nonce: @N\r\n\
     Trailer: X-Sum\r\n\r\n5;a=\"b\"\r\nabcde\r\n@X\r\n@M\r\n0;c\r\nX-Sum: 7\r\n\r\n",
    "POST /a@N HTTP/1.1\r\nHost: a.example\r\nX-Nonce: @N\r\nExpect: 100-continue\r\n\
     Content-Length: @L\r\n\r\n@M",
    "OPTIONS * HTTP/1.1\r\nHost: a.example\r\nX-Nonce: @N\r\nMax-Forwards: 5\r\n\r\n",
    "GET /a@N HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
     X-Nonce: @N\r\n\r\n",
];

const RESPONSES: &[&str] = &[
    "HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nContent-Length: @L\r\nCache-Control: max-age=3600\r\n\r\n@M",
    "HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nTransfer-Encoding: chunked\r\n\r\n\
     @X\r\n@M\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5;a=b\r\nhello\r\n\
     @X\r\n@M\r\n0\r\nX-Sum: 7\r\n\r\n",
    "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 204 No Content\r\nCache-Control: max-age=3600\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 301 Moved Permanently\r\nLocation: /b\r\nContent-Length: 5\r\nVary: Accept\r\n\r\nhello",
];

const POISON: &str =
    "HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nContent-Length: 6\r\n\r\nPOISON";

/// What became of the cases.
#[derive(Default)]
struct Outcomes {
    by_kind: BTreeMap<String, usize>,
    /// Numbers of the origin's answers that some client got.
    seen: HashSet<usize>,
    /// Connections that ended before their last answer.
    cut: usize,
    failed: Vec<String>,
}

impl Outcomes {
    fn add(
        &mut self,
        case: usize,
        sent: &[u8],
        heard: &Heard,
        verdict: Result<Vec<usize>, String>,
    ) {
        let statuses = heard.answers().statuses();
        let kind = match statuses.first() {
            Some(status) => status.to_string(),
            None if heard.waited => "waited for more".to_owned(),
            None => "closed".to_owned(),
        };
        *self.by_kind.entry(kind).or_default() += 1;
        self.cut += usize::from(heard.waited || !heard.answers().is_whole());
        match verdict {
            Ok(numbers) => {
                if !numbers.iter().all(|number| self.seen.insert(*number)) {
                    self.fail(case, sent, heard, "an answer came twice");
                }
            }
            Err(why) => self.fail(case, sent, heard, &why),
        }
    }

    fn fail(&mut self, case: usize, sent: &[u8], heard: &Heard, why: &str) {
        let (sent, got) = (sent.escape_ascii(), heard.bytes.escape_ascii());
        self.failed.push(format!(
            "case {case}: {why}\n  sent {sent}\n  got {got:.2000}"
        ));
    }

    fn tell(&self, what: &str, cases: usize, since: Instant) {
        let seconds = since.elapsed().as_secs_f64();
        println!(
            "{cases} changed {what} in {seconds:.1} s: {:?}",
            self.by_kind
        );
        let first = self.failed.iter().take(10).cloned().collect::<Vec<_>>();
        assert!(
            first.is_empty(),
            "{} failed:\n{}",
            self.failed.len(),
            first.join("\n")
        );
        // Or nothing was tried.
        assert_eq!(self.by_kind.values().sum::<usize>(), cases);
    }
}

fn number(variable: &str, default: usize) -> usize {
    let value = std::env::var(variable).ok();
    value.map_or(default, |value| value.parse().expect("a number"))
}

fn seed() -> u64 {
    u64::try_from(number("SMUGGLING_SEED", 1)).unwrap()
}

#[tokio::test]
async fn mutated_requests_desynchronize_nobody() {
    let (cases, seed, since) = (number("SMUGGLING_CASES", CASES), seed(), Instant::now());
    let mut stage = Stage::start(|_| Say::Echo).await;
    let mut outcomes = Outcomes::default();
    {
        let stage = &stage;
        let asked = futures_util::stream::iter(0..cases).map(|case| async move {
            let mut random = Random::new(seed, case);
            let sound = random.pick(REQUESTS).replace("@N", &case.to_string());
            let mut sent = mutate(carrying(SMUGGLED, &sound).as_bytes(), &mut random);
            let last = "GET /last HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
            sent.extend_from_slice(last.as_bytes());
            let heard = stage.say(&sent, QUIET).await;
            let verdict = stage.check(&sent, &heard);
            if case % 50 == 0 {
                stage.serves_others(&format!("{case}")).await;
            }
            (case, sent, heard, verdict)
        });
        let mut asked = asked.buffer_unordered(LANES);
        while let Some((case, sent, heard, verdict)) = asked.next().await {
            outcomes.add(case, &sent, &heard, verdict);
        }
    }
    stage.serves_others("the last one").await;
    stage.is_sound("changed requests");
    outcomes.tell("requests", cases, since);
    // Each request at the origin is one that a client got the answer to, or would have got.
    let heard = stage.requests_since(0).len();
    let orphans = heard.saturating_sub(outcomes.seen.len() + 1);
    let cut = outcomes.cut;
    assert!(
        orphans <= cut,
        "{orphans} requests at the origin are nobody's, {cut} were cut"
    );
}

#[tokio::test]
async fn mutated_responses_desynchronize_nobody() {
    let (cases, seed, since) = (number("SMUGGLING_CASES", CASES), seed(), Instant::now());
    let said = move |case: usize| {
        let mut random = Random::new(!seed, case);
        let sound = carrying(POISON, random.pick(RESPONSES));
        mutate(sound.as_bytes(), &mut random)
    };
    let mut stage = Stage::start(move |request| {
        let case = request.target.strip_prefix("/said/");
        match case.and_then(|case| case.parse().ok()) {
            Some(case) => Say::Bytes(said(case)),
            None => Say::Echo,
        }
    })
    .await;
    let mut outcomes = Outcomes::default();
    {
        let stage = &stage;
        let asked = futures_util::stream::iter(0..cases).map(|case| async move {
            let sent = format!(
                "GET /said/{case} HTTP/1.1\r\nHost: a.example\r\nX-Nonce: {case}\r\n\r\n\
                 GET /victim/{case} HTTP/1.1\r\nHost: a.example\r\nX-Nonce: {case}\r\n\
                 Connection: close\r\n\r\n"
            );
            // The origin waits as well, and then ends its connection.
            let heard = stage.say(sent.as_bytes(), QUIET * 20).await;
            let numbers = stage.check(sent.as_bytes(), &heard);
            let verdict = numbers.and_then(|numbers| {
                stage.check_victim(case, &said(case), &heard)?;
                Ok(numbers)
            });
            if case % 10 == 0 {
                stage.serves_others(&format!("{case}")).await;
            }
            (case, sent, heard, verdict)
        });
        let mut asked = asked.buffer_unordered(LANES);
        while let Some((case, _, heard, verdict)) = asked.next().await {
            outcomes.add(case, &said(case), &heard, verdict);
        }
    }
    stage.serves_others("the last one").await;
    stage.is_sound("changed responses");
    outcomes.tell("responses", cases, since);
}

impl Stage {
    /// The first answer is what the origin said, where that can be read in one way alone, and the
    /// second one is the victim's own.
    fn check_victim(&self, case: usize, said: &[u8], heard: &Heard) -> Result<(), String> {
        let answers = heard.answers();
        let mut answers = answers.last_ones();
        let Some(first) = answers.next() else {
            return Ok(());
        };
        if let Next::Whole(said) = strict::response(said, Asked::Any)
            && said.status() >= 200
            && said.status() == first.status()
            && said.content != first.content
        {
            return Err("not the content of the origin".to_owned());
        }
        let Some(second) = answers.next() else {
            return Ok(());
        };
        let victim = Received {
            method: "GET".to_owned(),
            target: format!("/victim/{case}"),
            nonce: case.to_string(),
            content: Vec::new(),
        };
        let own = second
            .field("x-number")
            .and_then(|number| number.parse().ok());
        let own = own.is_some_and(|number: usize| {
            self.log.lock().unwrap().requests.get(number) == Some(&victim)
        });
        let honest = second.status() == 502 && !strict::text(&second.content).contains("POISON");
        if !own && !honest {
            return Err("the answer of another".to_owned());
        }
        Ok(())
    }
}
