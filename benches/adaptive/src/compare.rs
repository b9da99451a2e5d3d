//! The engine of the curves beside the real cache: the same world, the same policies.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use cachewarp::{AdaptiveTtl, FixedTtl, TtlPolicy};

use crate::{
    engine::{Engine, Now, Origin, Tally},
    events::Events,
    layer::Layer,
    world::{Mix, Size, World},
};

/// A policy by what it is told. What it learns it learns anew in each run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Told {
    /// A lifetime in seconds.
    Fixed(u64),
    /// A budget of stale answers.
    Adaptive(f64),
}

impl Told {
    pub(crate) fn policy(self) -> Arc<dyn TtlPolicy> {
        match self {
            Self::Fixed(seconds) => Arc::new(FixedTtl::new(Duration::from_secs(seconds))),
            Self::Adaptive(budget) => {
                let settings = AdaptiveTtl::builder().budget(budget).floor(Duration::ZERO);
                Arc::new(settings.build().expect("the settings are in range"))
            }
        }
    }

    pub(crate) fn name(self) -> String {
        match self {
            Self::Fixed(seconds) => format!("fixed {seconds} s"),
            Self::Adaptive(budget) => format!("AdaptiveTtl, budget {:.2} %", budget * 100.0),
        }
    }
}

/// The engine of the curves, then the real cache.
fn engines(origin: Origin) -> [Box<dyn Engine>; 2] {
    let events = Events {
        origin,
        now: Now::default(),
    };
    [Box::new(events), Box::new(Layer { origin })]
}

/// Prints what both engines count.
pub(crate) fn compare(mix: Mix, seed: u64, size: Size, told: &[Told]) {
    let world = World::new(mix, seed, size);
    let [events_tags, layer_tags] = engines(Origin::Tagged);
    let [events_bodies, layer_bodies] = engines(Origin::Bare);
    let engines = [
        ("events, tags", events_tags),
        ("layer, tags", layer_tags),
        ("events, bodies", events_bodies),
        ("layer, bodies", layer_bodies),
    ];
    println!(
        "\n## {}, seed {seed}: origin calls, stale answers\n",
        mix.name()
    );
    let names: Vec<&str> = engines.iter().map(|(name, _)| *name).collect();
    println!("| policy | {} |", names.join(" | "));
    println!("|-|{}", "-:|".repeat(names.len()));
    let mut spent = [Duration::ZERO; 4];
    for told in told {
        let row: Vec<String> = engines
            .iter()
            .zip(&mut spent)
            .map(|((_, engine), spent)| {
                let begun = Instant::now();
                let tally = engine.run(&world, &told.policy());
                *spent += begun.elapsed();
                cell(tally)
            })
            .collect();
        println!("| {} | {} |", told.name(), row.join(" | "));
    }
    let requests = (world.asks.len() * told.len()) as f64;
    let cost = spent.map(|spent| format!("{:.2} us", spent.as_secs_f64() * 1e6 / requests));
    println!("| a request | {} |", cost.join(" | "));
}

fn cell(tally: Tally) -> String {
    format!("{}, {:.3} %", tally.calls, tally.share() * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Large enough for every lifetime to expire, and small enough for a debug build.
    const SMALL: Size = Size {
        keys: 200,
        rate: 40.0,
        warm_up: 30.0,
        counted: 120.0,
    };

    /// Call for call: the real cache serves, expires and learns as the engine of the curves does.
    #[test]
    fn the_real_cache_does_what_the_engine_of_the_curves_does() {
        for mix in Mix::ALL {
            let world = World::new(mix, 1, SMALL);
            for told in [Told::Fixed(10), Told::Adaptive(0.05)] {
                for origin in [Origin::Tagged, Origin::Bare] {
                    let run = |engine: Box<dyn Engine>| engine.run(&world, &told.policy());
                    let [expected, found] = engines(origin).map(run);
                    assert_eq!(found, expected, "{mix:?} {told:?} {origin:?}");
                    assert!(found.calls > 500 && found.stale > 50, "{found:?}");
                }
            }
        }
    }
}
