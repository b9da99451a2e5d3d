//! Draws a few of many events, at the cost of a few instructions for each.

use std::cell::Cell;

/// One of how many events is drawn.
pub(crate) const ONE_IN: u64 = 1 << BITS;

const BITS: u32 = 6;

thread_local! {
    /// Each thread draws for itself, so that no two threads write to one cache line.
    static DRAWS: Cell<u64> = const { Cell::new(0) };
}

/// Whether an event is drawn, as one in [`ONE_IN`] is. It is drawn at random, not counted off: events
/// may come in turns.
///
/// The numbers are those of Knuth's MMIX, a linear congruential generator, of which the upper bits are
/// good.
#[inline]
pub(crate) fn draw() -> bool {
    DRAWS.with(|draws| {
        let next = draws
            .get()
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        draws.set(next);
        next >> (u64::BITS - BITS) == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_64_is_drawn_also_of_events_that_come_in_turns() {
        for period in [1, 2, 7, 64, 100] {
            let mut drawn = vec![0_u64; period];
            for event in 0..640_000 {
                drawn[event % period] += u64::from(draw());
            }
            let expected = 10_000 / period as u64;
            for (turn, count) in drawn.iter().enumerate() {
                let off = count.abs_diff(expected);
                assert!(
                    off < expected / 2 + 20,
                    "{count} in turn {turn} of {period}"
                );
            }
        }
    }
}
