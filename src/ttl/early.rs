//! Early refresh: whether a request refreshes a response that is still fresh.
//!
//! XFetch (Vattani, Chierichetti and Lowenstein, "Optimal Probabilistic Cache Stampede Prevention",
//! PVLDB 8(8), 2015): each request draws a time from an exponential distribution whose mean is the
//! duration of a fetch, and refreshes the response if less freshness than that is left. A key that is
//! requested often is almost certainly refreshed before it expires. A key that is requested seldom
//! expires.
//!
//! If the duration of the fetch is unknown it counts as zero: such a response is never refreshed
//! early.

use std::time::Duration;

/// The longest draw, in multiples of the mean: -ln of the least number that [`Random`] gives.
///
/// [`Random`]: crate::util::random::Random
const LONGEST_DRAW: f64 = 37.0;

/// Whether to refresh a response that stays fresh for `left`, if a fetch takes about `cost`. `draw`
/// returns a random number above 0 and at most 1.
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
    fn the_less_freshness_is_left_the_likelier_is_a_refresh() {
        // One draw in e is at least the mean.
        let one_in_e = (-1.0_f64).exp();
        assert!(due(100, 1.0, one_in_e - 0.001));
        assert!(!due(100, 1.0, one_in_e + 0.001));
        assert!(due(0, 1.0, 1.0));
        assert!(!due(1, 1.0, 1.0));
        assert!(due(200, 2.0, one_in_e - 0.001));
        assert!(!due(200, 1.0, one_in_e - 0.001));
    }

    #[test]
    fn nothing_is_drawn_while_much_freshness_is_left() {
        let left = Duration::from_secs(4);
        assert!(!is_due(left, COST, 1.0, || panic!("a draw")));
    }
}
