//! Measures what a hit in Redis costs in process: cachewarp, its rivals, and a bare `GET`.
//!
//! Everyone is asked for the same 1,000 URLs (`work.rs`) on one thread, and reads each answer from
//! the one Redis, which the server's own counts confirm beforehand. Building the requests is part
//! of a turn, except for those who only read. The contenders take turns in rounds: all requests one
//! after the other, then 64 at a time. The ratio is the median over rounds of the ratio within a
//! round. A `redis-server` must be on the path.
//!
//! ```text
//! cargo run --release --manifest-path benches/peers/Cargo.toml --bin remote [rounds]
//! ```

use std::time::Duration;

use cachewarp_peers::{
    remote::{REQUESTS, Reader, Readers},
    runtime,
};
use tokio::runtime::Runtime;

const ROUNDS: usize = 31;

/// Requests at a time.
const CROWDS: [usize; 2] = [1, 64];

fn main() {
    let rounds = match std::env::args().nth(1).map(|text| text.parse()) {
        None => ROUNDS,
        Some(Ok(rounds)) if rounds > 0 => rounds,
        Some(_) => panic!("the argument is a number of rounds, at least 1"),
    };
    let runtime = runtime();
    let mut readers = Readers::new(&runtime);

    println!("A hit in Redis: 1 KiB, 6 header fields, 1,000 URLs, one thread, {rounds} rounds.\n");
    println!("| | us, one at a time | x floor | us, 64 at a time | x floor |");
    println!("|-|-:|-:|-:|-:|");
    let columns = CROWDS.map(|crowd| measure(&runtime, &mut readers.all, crowd, rounds));
    for (who, reader) in readers.all.iter().enumerate() {
        let [one, many] = columns.each_ref().map(|column| column[who]);
        println!(
            "| {} | {:.1} | {:.2} | {:.1} | {:.2} |",
            reader.name(),
            one.micros,
            one.ratio,
            many.micros,
            many.ratio
        );
    }
}

/// What a request of one contender takes.
#[derive(Clone, Copy)]
struct Cell {
    micros: f64,
    ratio: f64,
}

fn measure(
    runtime: &Runtime,
    readers: &mut [Box<dyn Reader>],
    at_a_time: usize,
    rounds: usize,
) -> Vec<Cell> {
    let each = |elapsed: Duration| elapsed.as_secs_f64() * 1e6 / REQUESTS as f64;
    let mut micros = vec![Vec::with_capacity(rounds); readers.len()];
    for round in 0..rounds {
        for place in 0..readers.len() {
            // Whoever begins this round ends the next.
            let who = (place + round) % readers.len();
            micros[who].push(each(readers[who].turn(runtime, at_a_time)));
        }
    }
    let cells = micros.iter().map(|own| Cell {
        micros: median(own.iter().copied()),
        ratio: median(own.iter().zip(&micros[0]).map(|(own, floor)| own / floor)),
    });
    cells.collect()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
