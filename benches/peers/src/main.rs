//! Measures what a cache hit costs in process: cachewarp, its rivals, and the floor by hand.
//!
//! Everyone does the same work on one thread: build a request (`work.rs`), serve it from memory,
//! drain a body of 1 KiB, for 1,000 URLs in turn. The contenders take turns in rounds, each turn
//! of about the same length, so that a change in the machine's mood hits them all. Every answer's
//! status and length are checked as it is measured, and before that every header field and body
//! byte of each response. A call that reaches the origin after the fill ends the program.
//!
//! The ratio is the median over rounds of the ratio within a round. Allocations are counted by
//! another program of this crate, started by this one, so that counting costs no time here.
//!
//! ```text
//! cargo run --release --manifest-path benches/peers/Cargo.toml [rounds]
//! ```

use std::{
    process::Command,
    time::{Duration, Instant},
};

use cachewarp_peers::{CYCLES, WARM_UP, contender::Contender, rivals, runtime};
use tokio::runtime::Runtime;

const ROUNDS: usize = 101;

/// What a contender's turn in a round should take.
const TURN: Duration = Duration::from_millis(20);

fn main() {
    let rounds = match std::env::args().nth(1).map(|text| text.parse()) {
        None => ROUNDS,
        Some(Ok(rounds)) if rounds > 0 => rounds,
        Some(_) => panic!("the argument is a number of rounds, at least 1"),
    };
    let mut allocations = allocations().into_iter();
    let runtime = runtime();

    println!("A hit: 1 KiB, 6 header fields, 1,000 URLs, one thread, {rounds} rounds.\n");
    println!("| | ns, median | ns, min | x floor | allocations | bytes |");
    println!("|-|-:|-:|-:|-:|-:|");
    for (title, contenders) in [
        ("one response to a URL", rivals::plain()),
        ("two, by `Vary: Accept-Encoding`", rivals::varied()),
    ] {
        println!("| **{title}** | | | | | |");
        for row in measure(&runtime, contenders, rounds) {
            let Row { name, ratio, .. } = row;
            let counted = allocations
                .next()
                .expect("everyone's allocations are counted");
            println!(
                "| {name} | {:.0} | {:.0} | {ratio:.2} | {:.1} | {:.0} |",
                row.median, row.min, counted.count, counted.bytes,
            );
        }
    }
}

/// What a hit of one contender takes, in nanoseconds.
struct Row {
    median: f64,
    min: f64,
    name: &'static str,
    ratio: f64,
}

/// Runs the contenders in alternating rounds; the first is the floor of the ratios.
fn measure(runtime: &Runtime, mut contenders: Vec<Box<dyn Contender>>, rounds: usize) -> Vec<Row> {
    let mut turns = Vec::new();
    for contender in &mut contenders {
        contender.fill(runtime);
        turns.push(turn(runtime, contender.as_mut()));
    }

    let mut nanos = vec![Vec::with_capacity(rounds); contenders.len()];
    for round in 0..rounds {
        for place in 0..contenders.len() {
            // Whoever begins this round ends the next.
            let who = (place + round) % contenders.len();
            nanos[who].push(time(runtime, contenders[who].as_mut(), turns[who]));
        }
    }

    let rows = contenders.iter().zip(&nanos).map(|(contender, own)| {
        contender.assert_all_hits();
        Row {
            median: median(own.iter().copied()),
            min: own.iter().copied().fold(f64::INFINITY, f64::min),
            name: contender.name(),
            ratio: median(own.iter().zip(&nanos[0]).map(|(own, floor)| own / floor)),
        }
    });
    rows.collect()
}

/// Warms a contender up and says how many requests fill its turn.
fn turn(runtime: &Runtime, contender: &mut dyn Contender) -> usize {
    time(runtime, contender, WARM_UP);
    let cycles = time(runtime, contender, CYCLES) * CYCLES as f64;
    (TURN.as_nanos() as f64 / cycles).ceil() as usize * CYCLES
}

/// Nanoseconds that one request takes, of `count`.
fn time(runtime: &Runtime, contender: &mut dyn Contender, count: usize) -> f64 {
    let start = Instant::now();
    contender.drive(runtime, count);
    let elapsed = start.elapsed();
    // Work put off into tasks would be work that the clock above didn't see.
    let tasks = runtime.metrics().num_alive_tasks();
    assert_eq!(tasks, 0, "{}: tasks left behind", contender.name());
    elapsed.as_nanos() as f64 / count as f64
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What a hit allocates.
struct Allocations {
    bytes: f64,
    count: f64,
}

/// Builds and runs the program that counts, and reads its lines.
fn allocations() -> Vec<Allocations> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--release", "--bin", "allocations"])
        .args(["--manifest-path", manifest])
        .output()
        .expect("the cargo that built this program runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "counting allocations: {errors}");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| {
            let (count, bytes) = line.split_once('\t').expect("a line has two numbers");
            let number = |text: &str| text.parse().expect("a number is printed as one");
            Allocations {
                bytes: number(bytes),
                count: number(count),
            }
        })
        .collect()
}
