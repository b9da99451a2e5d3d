//! Counts what a hit of each contender allocates, for the program that times to show.
//!
//! A line for each contender, in the order of the table: allocations a hit, a tab, bytes a hit.
//! Growing an allocation counts as one, by the bytes that it grows.

use std::alloc::System;

use cachewarp_peers::{CYCLES, WARM_UP, contender::Contender, rivals, runtime};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Enough for what is allocated now and then, such as by moka's housekeeping, to even out.
const HITS: usize = CYCLES * 5;

fn main() {
    let runtime = runtime();
    for mut contender in rivals::plain().into_iter().chain(rivals::varied()) {
        count(&runtime, contender.as_mut());
    }
}

fn count(runtime: &Runtime, contender: &mut dyn Contender) {
    contender.fill(runtime);
    contender.drive(runtime, WARM_UP);
    let region = Region::new(ALLOCATOR);
    contender.drive(runtime, HITS);
    let counted = region.change();
    contender.assert_all_hits();
    let each = |total: usize| total as f64 / HITS as f64;
    let allocations = each(counted.allocations + counted.reallocations);
    println!("{allocations}\t{}", each(counted.bytes_allocated));
}
