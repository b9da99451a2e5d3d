//! Early refresh: whether a fresh response is refreshed now, before everybody needs it to be.
//!
//! XFetch (Vattani, Chierichetti and Lowenstein, "Optimal Probabilistic Cache Stampede Prevention",
//! PVLDB 8(8), 2015): each request draws how much too early it is, exponentially distributed around
//! the time that a fetch takes. A key that is asked for a lot is refreshed in time with near
//! certainty; one that is hardly asked for just expires.
//!
//! Where it is not known how long a fetch took, it counts as no time at all: such a response is
//! never due while it is fresh.

use std::time::Duration;

/// The longest draw, in multiples of the mean: -ln of the least number that [`Random`] gives.
///
/// [`Random`]: crate::util::random::Random
const LONGEST_DRAW: f64 = 37.0;

/// Whether it is time to refresh a response that stays fresh for `left`, when fetching it takes about
/// `cost`. `draw` gives a number from 0, exclusive, to 1.
pub(crate) fn is_due(
    left: Duration,
    cost: Duration,
    beta: f64,
    draw: impl FnOnce() -> f64,
) -> bool {
    let left = left.as_secs_f64();
    let mean = cost.as_secs_f64() * beta;
    left <= mean * LONGEST_DRAW && left <= mean * -draw().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COST: Duration = Duration::from_millis(100);

    fn due(left_ms: u64, beta: f64, drawn: f64) -> bool {
        is_due(Duration::from_millis(left_ms), COST, beta, || drawn)
    }

    #[test]
    fn the_less_time_is_left_the_likelier_it_is() {
        // One in e draws is at least the mean.
        let one_in_e = (-1.0_f64).exp();
        assert!(due(100, 1.0, one_in_e - 0.001));
        assert!(!due(100, 1.0, one_in_e + 0.001));
        assert!(due(0, 1.0, 1.0));
        assert!(!due(1, 1.0, 1.0));
        assert!(due(200, 2.0, one_in_e - 0.001));
        assert!(!due(200, 1.0, one_in_e - 0.001));
    }

    #[test]
    fn no_draw_is_made_while_there_is_time_enough() {
        let left = Duration::from_secs(4);
        assert!(!is_due(left, COST, 1.0, || panic!("a draw")));
    }
}
