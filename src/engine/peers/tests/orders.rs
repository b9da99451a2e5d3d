//! Random orders of writes with and without an answer, on several nodes, while the shared tier loses
//! values or connections. What must not be served never is.

use std::time::Duration;

use cachewarp::CacheOutcome;
use http::StatusCode;
use proptest::prelude::*;
use tokio::{runtime, time::sleep};

use super::{
    node::{Node, Seen, get_with},
    origin::version,
    site::{NOTIFIED, SENT_AGAIN, Site, unpaused},
};
use crate::remote::in_memory::{Fault, InMemory};

const NODES: usize = 3;

/// What happens next. A number is that of a node.
#[derive(Clone, Copy, Debug)]
enum Step {
    Get {
        by: usize,
        is_down: bool,
    },
    Reload {
        by: usize,
    },
    Write {
        by: usize,
        is_answered: bool,
    },
    /// Commands of a node fail, or work again.
    Commands {
        by: usize,
        fail: bool,
    },
    /// A node hears of no changes, or of all again.
    Watch {
        by: usize,
        is_lost: bool,
    },
    /// The shared tier loses all values.
    Lose,
    Pass {
        seconds: u64,
    },
}

/// What can go wrong. An invalidation may be missed for good if a node does not hear of it and the
/// tier loses its tombstone, so it is one or the other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Trouble {
    Connections,
    Values,
}

fn steps(trouble: Trouble) -> impl Strategy<Value = Vec<Step>> {
    let by = 0..NODES;
    let goes_wrong = match trouble {
        Trouble::Connections => prop_oneof![
            (by.clone(), any::<bool>()).prop_map(|(by, fail)| Step::Commands { by, fail }),
            (by.clone(), any::<bool>()).prop_map(|(by, is_lost)| Step::Watch { by, is_lost }),
        ]
        .boxed(),
        Trouble::Values => Just(Step::Lose).boxed(),
    };
    let step = prop_oneof![
        8 => (by.clone(), any::<bool>()).prop_map(|(by, is_down)| Step::Get { by, is_down }),
        1 => by.clone().prop_map(|by| Step::Reload { by }),
        3 => (by, prop::bool::weighted(0.3))
            .prop_map(|(by, is_answered)| Step::Write { by, is_answered }),
        2 => goes_wrong,
        1 => (1..10_u64).prop_map(|seconds| Step::Pass { seconds }),
    ];
    prop::collection::vec(step, 1..30)
}

/// A write that has been made.
#[derive(Debug)]
struct Made {
    /// How many versions the origin had given out before.
    before: u64,
    by: usize,
    is_answered: bool,
    /// Whether all nodes can know of it.
    is_told: bool,
}

struct World {
    site: Site,
    path: &'static str,
    nodes: Vec<(Node, InMemory)>,
    fails: [bool; NODES],
    writes: Vec<Made>,
}

impl World {
    async fn new(path: &'static str) -> Self {
        let site = Site::new();
        let mut nodes = Vec::new();
        for _ in 0..NODES {
            let store = site.network.server.node();
            let node = site.network.over(&site.origin, &store, unpaused);
            node.is_connected().await;
            nodes.push((node, store));
        }
        Self {
            site,
            path,
            nodes,
            fails: [false; NODES],
            writes: Vec::new(),
        }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Get { by, is_down } => {
                self.site.is_down(is_down);
                let seen = self.nodes[by].0.get(self.path).await;
                self.site.is_down(false);
                self.check(by, &seen);
            }
            Step::Reload { by } => {
                let reload = get_with(self.path, "cache-control", "no-cache");
                let seen = self.nodes[by].0.send(reload).await;
                assert_eq!(seen.status, StatusCode::OK);
            }
            Step::Write { by, is_answered } => {
                let node = &self.nodes[by].0;
                if is_answered {
                    self.site.answered(node, self.path).await;
                } else {
                    self.site.unanswered(node, self.path).await;
                }
                self.writes.push(Made {
                    before: self.site.versions(),
                    by,
                    is_answered,
                    is_told: false,
                });
            }
            Step::Commands { by, fail } => {
                self.fails[by] = fail;
                let fault = if fail {
                    Fault::Unavailable
                } else {
                    Fault::None
                };
                self.nodes[by].1.fail(fault);
                sleep(SENT_AGAIN).await;
            }
            Step::Watch { by, is_lost } => {
                let store = &self.nodes[by].1;
                if is_lost {
                    store.disconnect();
                } else {
                    store.reconnect();
                }
            }
            Step::Lose => self.site.network.server.clear(),
            Step::Pass { seconds } => sleep(Duration::from_secs(seconds)).await,
        }
        for (by, (node, _)) in self.nodes.iter().enumerate() {
            if !self.fails[by] {
                node.settle().await;
            }
        }
        sleep(NOTIFIED).await;
        for write in &mut self.writes {
            write.is_told |= !self.fails[write.by];
        }
    }

    /// Nothing is served that a write concerned of which the node can know.
    fn check(&self, by: usize, seen: &Seen) {
        let is_fetched = matches!(seen.outcome, CacheOutcome::Fetched { .. });
        if seen.status != StatusCode::OK || is_fetched {
            return;
        }
        let version = version(&seen.body);
        let since = self.writes.iter().filter(|it| version < it.before);
        let known = since.filter(|it| it.by == by || it.is_told && !self.fails[by]);
        for write in known {
            assert!(!write.is_answered, "{by}: {seen:?} after {write:?}");
            let is_for_error = seen.headers["cache-status"]
                .to_str()
                .unwrap()
                .contains("stale-if-error");
            assert!(is_for_error, "{by}: {seen:?} after {write:?}");
        }
    }
}

fn play(steps: &[Step]) {
    let mut builder = runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        for path in ["/a", "/varies"] {
            let mut world = World::new(path).await;
            for step in steps {
                world.step(*step).await;
            }
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_must_not_be_served_never_is_while_connections_break(
        steps in steps(Trouble::Connections),
    ) {
        play(&steps);
    }

    #[test]
    fn what_must_not_be_served_never_is_while_values_are_lost(steps in steps(Trouble::Values)) {
        play(&steps);
    }
}
