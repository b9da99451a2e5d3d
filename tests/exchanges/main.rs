//! What one exchange may do to others: clients of all kinds, reloads, HEADs, writes, failures and
//! disconnects in random orders, against a plain model of what each client may see, and of what the
//! others must still see.
//!
//! `EXCHANGES_CASES` sets how many orders are tried. A failing one is made as short as it can be.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod world;

use cachewarp::RequestProgress;
use http::Method;
use proptest::prelude::*;
use tokio::runtime::Builder;

use world::{Answer, Asked, Call, Client, Got, Lifetimes, Seen, World, settle};

/// How many orders are tried unless the environment says so: about a minute.
const CASES: u32 = 2_000;

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
enum Step {
    Get {
        client: Client,
        reload: bool,
    },
    Head {
        client: Client,
        reload: bool,
    },
    Write {
        client: Client,
    },
    /// One of the calls that wait for the origin is answered.
    Answer {
        which: usize,
        with: Answer,
        said: Said,
    },
    /// One of the clients that wait disconnects.
    Leave {
        which: usize,
        said: Said,
    },
    Pass {
        seconds: u64,
    },
}

/// What the service says of a write without a response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Said {
    Nothing,
    NotSent,
    Incomplete,
    Sent,
}

impl Said {
    fn tell(self) -> fn(&RequestProgress) {
        match self {
            Self::Nothing => |_| {},
            Self::NotSent => RequestProgress::not_sent,
            Self::Incomplete => RequestProgress::incomplete,
            Self::Sent => RequestProgress::sent,
        }
    }

    fn may_be_done(self) -> bool {
        matches!(self, Self::Nothing | Self::Sent)
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let client = prop_oneof![
        4 => Just(Client::Plain),
        1 => Just(Client::Odd),
        1 => Just(Client::Cookie),
        1 => Just(Client::ApiKey),
        1 => Just(Client::Authorization),
        1 => Just(Client::NoStore),
    ];
    let code = prop::sample::select(vec![
        204, 302, 400, 401, 403, 404, 405, 406, 409, 410, 412, 429, 451, 500, 501, 502, 503, 504,
    ]);
    let answer = prop_oneof![
        6 => Just(Answer::Public),
        1 => Just(Answer::Private),
        1 => Just(Answer::NoStore),
        1 => Just(Answer::SetCookie),
        4 => code.prop_map(Answer::Status),
        2 => Just(Answer::Error),
        1 => Just(Answer::Broken),
    ];
    let said = prop::sample::select(vec![
        Said::Nothing,
        Said::NotSent,
        Said::Incomplete,
        Said::Sent,
    ]);
    let step = prop_oneof![
        5 => (client.clone(), any::<bool>())
            .prop_map(|(client, reload)| Step::Get { client, reload }),
        1 => (client.clone(), any::<bool>())
            .prop_map(|(client, reload)| Step::Head { client, reload }),
        1 => client.prop_map(|client| Step::Write { client }),
        7 => (0..8_usize, answer, said.clone())
            .prop_map(|(which, with, said)| Step::Answer { which, with, said }),
        1 => (0..8_usize, said).prop_map(|(which, said)| Step::Leave { which, said }),
        1 => (1..8_u64).prop_map(|seconds| Step::Pass { seconds }),
    ];
    prop::collection::vec(step, 1..40)
}

/// What a step may change of what everybody sees.
#[derive(Debug)]
enum Change {
    Nothing,
    /// What is stored may be removed.
    Removed,
    /// This body may take the place of what is stored.
    Replaced(String),
    /// What is stored may be used no more, except in place of an error.
    Doubted,
    /// What is stored may not be used at all.
    Invalidated,
}

/// What the answer to a call may change for the others. This is the rule that is tested.
fn change(call: &Call, with: Answer, said: Said, seen: &Seen, lifetimes: Lifetimes) -> Change {
    if call.method == Method::POST {
        return match with.status() {
            Some(200..=399) => Change::Invalidated,
            Some(_) => Change::Nothing,
            None if with == Answer::Broken => Change::Invalidated,
            None if said.may_be_done() => Change::Doubted,
            None => Change::Nothing,
        };
    }
    if call.method == Method::HEAD || !call.client.may_share(lifetimes) {
        return Change::Nothing;
    }
    let Some(status) = with.status() else {
        return Change::Nothing;
    };
    if with == Answer::Public {
        return Change::Replaced(format!(" {}", call.id));
    }
    let everybodys = match &seen.fresh {
        Some(_) => matches!(status, 200..=399 | 404 | 410 | 451),
        None => !matches!(
            status,
            400 | 406 | 408 | 412..=417 | 421 | 425 | 426 | 428 | 429 | 431 | 500..
        ),
    };
    if call.client.is_plain() && everybodys {
        Change::Removed
    } else {
        Change::Nothing
    }
}

/// What the others see after a step is what they saw before, or what the step may have made of it.
fn check(before: &Seen, after: &Seen, change: &Change) {
    match change {
        _ if before == after => {}
        Change::Replaced(by) => {
            // If it took long, it is not fresh (RFC 9111 section 4.2.3).
            let stored = after.stale.as_ref();
            assert!(stored.is_some_and(|body| body.ends_with(by)), "{after:?}");
        }
        Change::Removed | Change::Doubted | Change::Invalidated => {
            assert_eq!(*after, Seen::default());
        }
        Change::Nothing => assert_eq!(after, before),
    }
    if matches!(change, Change::Doubted | Change::Invalidated) {
        assert_eq!(
            *after,
            Seen::default(),
            "a write ends what is served at once"
        );
    }
}

/// What a client got is its own or everybody's, and not older than the writes before its request.
fn may_see(asked: &Asked, got: &Got, lifetimes: Lifetimes) {
    let Got::Answer(_, Some(body)) = got else {
        return;
    };
    let words: Vec<&str> = body.split(' ').collect();
    match words[..] {
        // Made by the cache, or a HEAD.
        [""] => {}
        ["own", id] => assert_eq!(id, asked.id.to_string(), "a page of another client"),
        ["all", version, id] => {
            assert!(
                asked.client.may_get(lifetimes) || id == asked.id.to_string(),
                "a page by policy for {:?}",
                asked.client
            );
            let version: usize = version.parse().unwrap();
            assert!(
                version >= asked.version,
                "{body:?} after {} writes",
                asked.version
            );
        }
        _ => panic!("nobody said {body:?}"),
    }
}

/// What may be served in place of an error after a step: what everybody sees, and also what a write
/// without an answer put in doubt.
fn in_place_of_errors(before: Option<String>, after: &Seen, change: &Change) -> Option<String> {
    match change {
        _ if after.stale.is_some() => after.stale.clone(),
        Change::Nothing | Change::Doubted => before,
        Change::Removed | Change::Replaced(_) | Change::Invalidated => None,
    }
}

/// Whether the origin failed to answer a request of this client.
fn has_failed(client: Client, with: Answer, lifetimes: Lifetimes) -> bool {
    match with {
        Answer::Error => true,
        Answer::Status(code) => matches!(code, 500 | 502 | 503 | 504),
        // What is not stored is not held back until its first byte.
        Answer::Broken => client.may_share(lifetimes),
        _ => false,
    }
}

/// Plays the steps. After each of them it compares what everybody sees with the model.
async fn play(steps: Vec<Step>, lifetimes: Lifetimes) {
    let mut world = World::new(lifetimes);
    let mut waiting: Vec<Asked> = Vec::new();
    let mut seen = Seen::default();
    let mut fallback = None;
    for step in steps {
        let mut may_change = Change::Nothing;
        let mut failed = None;
        match step {
            Step::Get { client, reload } => {
                let mut asked = world.ask(client, Method::GET, reload, &fallback).await;
                if let (Some(fresh), false) = (&seen.fresh, reload || !client.may_get(lifetimes)) {
                    let got = asked
                        .result()
                        .expect("a fresh response is the answer at once");
                    assert_eq!(got, Got::Answer(200, Some(fresh.clone())), "{client:?}");
                } else {
                    waiting.push(asked);
                }
            }
            Step::Head { client, reload } => {
                waiting.push(world.ask(client, Method::HEAD, reload, &fallback).await);
            }
            Step::Write { client } => {
                waiting.push(world.ask(client, Method::POST, false, &fallback).await);
            }
            Step::Answer { which, with, said } => {
                if let Some(call) = world.take_call(which) {
                    may_change = change(&call, with, said, &seen, lifetimes);
                    failed = has_failed(call.client, with, lifetimes).then_some(call.id);
                    if call.method == Method::POST && matches!(may_change, Change::Invalidated) {
                        world.write_done();
                    }
                    call.say(said.tell());
                    call.answer(with);
                    settle().await;
                }
            }
            Step::Leave { which, said } => {
                if !waiting.is_empty() {
                    let asked = waiting.remove(which % waiting.len());
                    if asked.method == Method::POST
                        && world.say(asked.id, said.tell())
                        && said.may_be_done()
                    {
                        may_change = Change::Doubted;
                    }
                    asked.leave().await;
                }
            }
            Step::Pass { seconds } => {
                world.pass(seconds);
                // What is fresh becomes stale, and nothing else changes.
                let now = world.seen().await;
                assert_eq!(now.stale, seen.stale);
                seen = now;
            }
        }
        waiting.retain_mut(|asked| match asked.result() {
            Some(got) => {
                may_see(asked, &got, lifetimes);
                let is_read = asked.method == Method::GET && !asked.reload;
                if let Some(stored) = &fallback
                    && failed == Some(asked.id)
                    && is_read
                    && asked.client.may_get(lifetimes)
                    && asked.fallback == fallback
                {
                    assert_eq!(got, Got::Answer(200, Some(stored.clone())));
                }
                false
            }
            None => true,
        });
        let after = world.seen().await;
        check(&seen, &after, &may_change);
        fallback = in_place_of_errors(fallback, &after, &may_change);
        seen = after;
    }
}

#[test]
fn one_exchange_takes_nothing_from_the_others() {
    play_all(Lifetimes::Stated);
}

#[test]
fn one_exchange_takes_nothing_from_the_others_where_lifetimes_are_by_policy() {
    play_all(Lifetimes::ByPolicy);
}

fn play_all(lifetimes: Lifetimes) {
    let cases = std::env::var("EXCHANGES_CASES").map_or(CASES, |it| it.parse().unwrap());
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    };
    proptest!(config, |(steps in steps())| {
        // One for each order: what waits for the origin in the end is dropped with it.
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(steps, lifetimes));
    });
}
