//! The engine of the curves beside the real cache: the same world, the same policies.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use cachewarp::{Adaptive, FixedTtl, TtlPolicy};

use crate::{
    engine::{Engine, Now, Origin, Tally},
    events::{Asked, Events},
    layer::Layer,
    world::{Mix, Size, World},
};

/// A policy by what it is told. What it learns it learns anew in each run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Told {
    /// A lifetime in seconds.
    Fixed(u64),
    /// A budget of stale answers.
    Adaptive(f32),
}

impl Told {
    pub(crate) fn policy(self) -> Arc<dyn TtlPolicy> {
        match self {
            Self::Fixed(seconds) => Arc::new(FixedTtl::new(Duration::from_secs(seconds))),
            Self::Adaptive(budget) => {
                let settings = Adaptive::builder().budget(budget).floor(Duration::ZERO);
                Arc::new(settings.build().expect("the settings are in range"))
            }
        }
    }

    pub(crate) fn name(self) -> String {
        match self {
            Self::Fixed(seconds) => format!("fixed {seconds} s"),
            Self::Adaptive(budget) => format!("Adaptive, budget {:.2} %", budget * 100.0),
        }
    }
}

/// The engine of the curves.
pub(crate) fn events(origin: Origin, asked: Asked) -> Events {
    Events {
        origin,
        asked,
        now: Now::default(),
    }
}

/// Prints what both engines count.
pub(crate) fn compare(mix: Mix, seed: u64, size: Size, told: &[Told]) {
    let world = World::new(mix, seed, size);
    let engines: [(&str, Box<dyn Engine>); 5] = [
        (
            "events, tags",
            Box::new(events(Origin::Tagged, Asked::Once)),
        ),
        (
            "layer, tags",
            Box::new(Layer {
                origin: Origin::Tagged,
            }),
        ),
        (
            "events, bodies",
            Box::new(events(Origin::Bare, Asked::Once)),
        ),
        (
            "... asked twice",
            Box::new(events(Origin::Bare, Asked::Twice)),
        ),
        (
            "layer, bodies",
            Box::new(Layer {
                origin: Origin::Bare,
            }),
        ),
    ];
    println!(
        "\n## {}, seed {seed}: origin calls, stale answers\n",
        mix.name()
    );
    let names: Vec<&str> = engines.iter().map(|(name, _)| *name).collect();
    println!("| policy | {} |", names.join(" | "));
    println!("|-|{}", "-:|".repeat(names.len()));
    let mut spent = [Duration::ZERO; 5];
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

    fn tally(engine: &impl Engine, world: &World, told: Told) -> Tally {
        engine.run(world, &told.policy())
    }

    /// Call for call: the real cache serves, expires and learns as the engine of the curves does.
    #[test]
    fn the_real_cache_does_what_the_engine_of_the_curves_does() {
        for mix in Mix::ALL {
            let world = World::new(mix, 1, SMALL);
            for told in [Told::Fixed(10), Told::Adaptive(0.05)] {
                let same = [(Origin::Tagged, Asked::Once), (Origin::Bare, Asked::Twice)];
                for (origin, asked) in same {
                    let expected = tally(&events(origin, asked), &world, told);
                    let found = tally(&Layer { origin }, &world, told);
                    assert_eq!(found, expected, "{mix:?} {told:?} {origin:?}");
                    assert!(found.calls > 500 && found.stale > 50, "{found:?}");
                }
            }
        }
    }

    #[test]
    fn to_be_asked_twice_changes_little() {
        for mix in Mix::ALL {
            let world = World::new(mix, 1, SMALL);
            let [once, twice] = [Asked::Once, Asked::Twice].map(|asked| {
                let told = Told::Adaptive(0.02);
                tally(&events(Origin::Bare, asked), &world, told)
            });
            assert_ne!(once, twice, "{mix:?}");
            let calls = twice.calls as f64 / once.calls as f64;
            assert!((0.95..1.05).contains(&calls), "{mix:?} {once:?} {twice:?}");
            let share = twice.share() - once.share();
            assert!(share.abs() < 0.01, "{mix:?} {once:?} {twice:?}");
        }
    }
}
