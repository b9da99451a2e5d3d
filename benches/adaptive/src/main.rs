//! What lifetimes that learn are worth: a simulated hour of traffic, the same for every policy.
//!
//! 5,000 keys (Zipf 0.9), 500 requests per second, one hour after 10 minutes of warm-up. Fixed
//! lifetimes, `AdaptiveTtl` at several budgets (all its other settings the same throughout), and an
//! oracle that knows how fast each key changes and how often it is asked for. For each the origin
//! calls and the share of answers that were stale in truth; then, at the stale share of each fixed
//! lifetime, what the others call. The same seed gives the same numbers on any machine.
//!
//! ```text
//! cargo run --release --manifest-path benches/adaptive/Cargo.toml -- --seed 101 --seeds 10
//! ```
//!
//! With `--engine layer`, some of the policies run through a real `CacheLayer` as well, over an
//! origin that answers in this process, and what the two engines count stands side by side.

mod compare;
mod curve;
mod draw;
mod engine;
mod events;
mod layer;
mod oracle;
mod world;

use std::{
    error::Error,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use cachewarp::{AdaptiveTtl, TtlPolicy};
use clap::{Parser, ValueEnum};

use crate::{
    compare::{Told, compare},
    curve::{Check, Curve, Point},
    draw::Picture,
    engine::{Engine, Now, Origin, Tally},
    events::Events,
    oracle::Oracle,
    world::{Mix, Size, World},
};

/// Lifetimes in seconds.
const FIXED: [u64; 4] = [1, 10, 60, 300];

const BUDGETS: [f64; 12] = [
    0.001, 0.0025, 0.003, 0.0035, 0.006, 0.015, 0.04, 0.08, 0.15, 0.3, 0.5, 0.8,
];

/// Origin calls that the oracle makes for one stale answer.
const PRICES: [f64; 12] = [
    500.0, 100.0, 20.0, 10.0, 5.0, 2.0, 1.0, 0.5, 0.2, 0.05, 0.01, 0.003,
];

/// The default of `--engine layer`.
const COMPARED: [Told; 3] = [Told::Fixed(10), Told::Adaptive(0.006), Told::Adaptive(0.04)];

/// Simulates an hour of traffic under several lifetime policies.
#[derive(Debug, Parser)]
struct Args {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds, from the first on.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Only this mix [default: all].
    #[arg(long)]
    mix: Option<Mix>,
    /// Only this policy, and no checks [default: all].
    #[arg(long, conflicts_with = "engine")]
    policy: Option<Policy>,
    /// Where to draw the curves [default: nowhere].
    #[arg(long, conflicts_with = "engine")]
    svg: Option<PathBuf>,
    /// Instead of the curves, the real cache beside the engine that they come from.
    #[arg(long)]
    engine: Option<Proof>,
    /// A fixed lifetime in seconds that the real cache is to run. May be given several times.
    #[arg(long, requires = "engine")]
    fixed: Vec<u64>,
    /// A budget of `AdaptiveTtl` that the real cache is to run. May be given several times.
    #[arg(long, requires = "engine", value_parser = budget)]
    budget: Vec<f64>,
}

impl Args {
    /// What the real cache is to run.
    fn told(&self) -> Vec<Told> {
        let fixed = self.fixed.iter().copied().map(Told::Fixed);
        let adaptive = self.budget.iter().copied().map(Told::Adaptive);
        let told: Vec<Told> = fixed.chain(adaptive).collect();
        if told.is_empty() {
            COMPARED.to_vec()
        } else {
            told
        }
    }
}

fn budget(text: &str) -> Result<f64, Box<dyn Error + Send + Sync>> {
    let share = text.parse()?;
    AdaptiveTtl::builder().budget(share).build()?;
    Ok(share)
}

/// An engine that proves the one of the curves.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Proof {
    /// A `CacheLayer` over an origin in this process, in paused time.
    Layer,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Policy {
    Fixed,
    Adaptive,
    Oracle,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let args = Args::parse();
    let mixes = args.mix.map_or(Mix::ALL.to_vec(), |mix| vec![mix]);
    if args.engine == Some(Proof::Layer) {
        let told = args.told();
        for mix in mixes {
            for seed in args.seed..args.seed.saturating_add(args.seeds) {
                compare(mix, seed, Size::HOUR, &told);
            }
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut pictures = Vec::new();
    let mut all_hold = true;
    for mix in mixes {
        let seeds: Vec<Seed> = (args.seed..args.seed.saturating_add(args.seeds))
            .map(|seed| Seed::run(mix, seed, args.policy))
            .collect();
        let picture = table(mix, &seeds);
        if args.policy.is_none() {
            all_hold &= checks(mix, &seeds);
        }
        pictures.push(picture);
    }
    if let Some(path) = args.svg {
        draw::draw(&path, &pictures)?;
    }
    if !all_hold {
        println!("Not every bar holds.");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// What came of one seed.
struct Seed {
    fixed: Vec<Point>,
    adaptive: Vec<Point>,
    oracle: Vec<Point>,
    /// Wall time of all of a policy's decisions that learn, and how many there were.
    spent: (Duration, f64),
}

impl Seed {
    fn run(mix: Mix, seed: u64, only: Option<Policy>) -> Self {
        let world = World::new(mix, seed, Size::HOUR);
        let now = Now::default();
        let events = Events {
            origin: Origin::Tagged,
            now: now.clone(),
        };
        let run = |policy: Arc<dyn TtlPolicy>| point(events.run(&world, &policy));
        let wanted = |policy| only.is_none_or(|only| only == policy);
        let fixed = FIXED.iter().filter(|_| wanted(Policy::Fixed));
        let fixed = fixed.map(|seconds| run(Told::Fixed(*seconds).policy()));
        let fixed = fixed.collect();
        let begun = Instant::now();
        let adaptive = BUDGETS.iter().filter(|_| wanted(Policy::Adaptive));
        let adaptive = adaptive.map(|budget| run(Told::Adaptive(*budget).policy()));
        let adaptive: Vec<Point> = adaptive.collect();
        let spent = (begun.elapsed(), adaptive.iter().map(|run| run.calls).sum());
        let oracle = PRICES.iter().filter(|_| wanted(Policy::Oracle));
        let oracle = oracle.map(|price| run(Arc::new(Oracle::new(&world, *price, &now))));
        let oracle = oracle.collect();
        Self {
            fixed,
            adaptive,
            oracle,
            spent,
        }
    }

    fn checks(&self) -> Vec<Check> {
        let adaptive = Curve::new(self.adaptive.clone());
        let oracle = Curve::new(self.oracle.clone());
        let fixed = FIXED.iter().zip(&self.fixed);
        let check = fixed.map(|(seconds, point)| Check {
            fixed: *seconds,
            share: point.share,
            fixed_calls: point.calls,
            adaptive: adaptive.calls_at(point.share),
            oracle: oracle.calls_at(point.share),
        });
        check.collect()
    }
}

fn point(tally: Tally) -> Point {
    Point {
        share: tally.share(),
        calls: tally.calls as f64,
    }
}

/// Prints the means over all seeds.
fn table(mix: Mix, seeds: &[Seed]) -> Picture {
    let mean = |runs: fn(&Seed) -> &Vec<Point>| -> Vec<Point> {
        let count = seeds.len() as f64;
        let at = |at: usize| Point {
            share: seeds.iter().map(|seed| runs(seed)[at].share).sum::<f64>() / count,
            calls: seeds.iter().map(|seed| runs(seed)[at].calls).sum::<f64>() / count,
        };
        (0..runs(&seeds[0]).len()).map(at).collect()
    };
    let picture = Picture {
        mix,
        fixed: mean(|seed| &seed.fixed),
        adaptive: mean(|seed| &seed.adaptive),
        oracle: mean(|seed| &seed.oracle),
    };
    println!("\n## {}, mean of {} seeds\n", mix.name(), seeds.len());
    println!("| policy | origin calls | stale answers |");
    println!("|-|-:|-:|");
    let fixed = FIXED.iter().map(|seconds| Told::Fixed(*seconds).name());
    let adaptive = BUDGETS.iter().map(|b| Told::Adaptive(*b).name());
    let oracle = PRICES
        .iter()
        .map(|price| format!("oracle, {price} calls for a stale answer"));
    let rows = fixed.zip(&picture.fixed);
    let rows = rows.chain(adaptive.zip(&picture.adaptive));
    for (name, point) in rows.chain(oracle.zip(&picture.oracle)) {
        println!(
            "| {name} | {:.0} | {:.3} % |",
            point.calls,
            point.share * 100.0
        );
    }
    let spent: f64 = seeds.iter().map(|seed| seed.spent.0.as_secs_f64()).sum();
    let calls: f64 = seeds.iter().map(|seed| seed.spent.1).sum();
    if calls > 0.0 {
        println!(
            "\nA call under AdaptiveTtl, the simulation included: {:.1} us.",
            spent / calls * 1e6
        );
    }
    picture
}

/// Prints what the bar asks for, and returns whether it holds for every seed.
fn checks(mix: Mix, seeds: &[Seed]) -> bool {
    println!(
        "\nAt the stale share of each fixed lifetime; the bar: {}.\n",
        Check::bar(mix)
    );
    println!("| fixed | stale | its calls | AdaptiveTtl | oracle | figure, mean | worst | |");
    println!("|-:|-:|-:|-:|-:|-:|-:|-|");
    let checks: Vec<Vec<Check>> = seeds.iter().map(Seed::checks).collect();
    let mut all_hold = true;
    for at in 0..FIXED.len() {
        let row: Vec<Check> = checks.iter().map(|checks| checks[at]).collect();
        let mean = |value: &dyn Fn(&Check) -> Option<f64>| -> Option<f64> {
            let values: Option<Vec<f64>> = row.iter().map(value).collect();
            values.map(|values| values.iter().sum::<f64>() / values.len() as f64)
        };
        let figures: Option<Vec<f64>> = row.iter().map(|check| check.figure(mix)).collect();
        let worst = figures.and_then(|figures| {
            figures
                .into_iter()
                .reduce(|one, other| Check::worse(mix, one, other))
        });
        let holds = worst.is_some_and(|worst| Check::holds(mix, worst));
        all_hold &= holds;
        let shown = |value: Option<f64>, digits: usize| {
            value.map_or("out of range".to_owned(), |value| {
                format!("{value:.digits$}")
            })
        };
        println!(
            "| {} s | {} % | {} | {} | {} | {} | {} | {} |",
            row[0].fixed,
            shown(mean(&|check| Some(check.share * 100.0)), 3),
            shown(mean(&|check| Some(check.fixed_calls)), 0),
            shown(mean(&|check| check.adaptive), 0),
            shown(mean(&|check| check.oracle), 0),
            shown(mean(&|check| check.figure(mix)), 3),
            shown(worst, 3),
            if holds { "holds" } else { "does not hold" },
        );
    }
    all_hold
}
