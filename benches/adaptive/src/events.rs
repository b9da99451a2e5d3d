//! The engine of the curves: only what matters, and no cache but a lifetime for each key.

use std::{sync::Arc, time::Duration};

use cachewarp::{Change, Fetched, History, Observation, TtlPolicy};
use http::{Request, Response, request, response};

use crate::{
    engine::{Engine, Now, Origin, Tally},
    world::{Key, World},
};

/// How long every fetch is said to take. The simulated origin answers at once.
const COST: Duration = Duration::from_millis(50);

/// A request at a time, and an origin that answers at once. Every lifetime comes from the policy as
/// it is shipped, history included.
#[derive(Debug)]
pub(crate) struct Events {
    pub(crate) origin: Origin,
    pub(crate) now: Now,
}

#[derive(Clone)]
struct Stored {
    fetched: Duration,
    expires: Duration,
    /// When it changes at the origin.
    changes: f64,
    /// The change after that, in the key's list.
    next: usize,
    hits: u32,
    history: History,
}

impl Engine for Events {
    fn run(&self, world: &World, policy: &Arc<dyn TtlPolicy>) -> Tally {
        let exchanges = exchanges(world, self.origin);
        let mut stored: Vec<Option<Stored>> = vec![None; world.keys.len()];
        let mut tally = Tally::default();
        for ask in &world.asks {
            let at = ask.key as usize;
            let now = Duration::from_secs_f64(ask.at);
            let counts = ask.at >= world.size.warm_up;
            tally.answers += u64::from(counts);
            if let Some(held) = &mut stored[at]
                && now < held.expires
            {
                held.hits += 1;
                tally.stale += u64::from(counts && held.changes <= ask.at);
                continue;
            }
            tally.calls += u64::from(counts);
            self.now.set(ask.at);
            let (request, response) = &exchanges[at];
            let fetched = Fetched::new(request, response);
            let (history, from) = match &stored[at] {
                None => (History::new().paid(COST), 0),
                Some(held) => (held.observed(now, held.change(ask.at)), held.next),
            };
            let key = &world.keys[at];
            let next = from + key.changes[from..].partition_point(|change| *change <= ask.at);
            let lifetime = policy.lifetime(&fetched.with_history(&history));
            let fresh = lifetime.map_or(Duration::ZERO, |lifetime| lifetime.fresh);
            stored[at] = Some(Stored {
                fetched: now,
                expires: now + fresh,
                changes: key.changes.get(next).copied().unwrap_or(f64::INFINITY),
                next,
                hits: 0,
                history,
            });
        }
        tally
    }
}

impl Stored {
    fn change(&self, now: f64) -> Change {
        if self.changes <= now {
            Change::Changed
        } else {
            Change::Unchanged
        }
    }

    fn observed(&self, now: Duration, change: Change) -> History {
        let seen = Observation::new(now - self.fetched, change);
        self.history
            .observe(seen.with_requests(self.hits).with_cost(COST))
    }
}

/// The request and the response of each key.
fn exchanges(world: &World, origin: Origin) -> Vec<(request::Parts, response::Parts)> {
    let exchange = |(at, key): (usize, &Key)| {
        let request = Request::get(format!("http://localhost/{at}")).body(());
        let response = Response::builder().header("content-type", key.content_type);
        let response = match origin {
            Origin::Bare => response,
            Origin::Tagged => response.header("etag", "\"1\""),
        };
        let request = request.expect("the path is a number").into_parts().0;
        let response = response.body(()).expect("the fields are tokens");
        (request, response.into_parts().0)
    };
    world.keys.iter().enumerate().map(exchange).collect()
}
