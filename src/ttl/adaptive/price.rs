//! What a stale answer is worth in origin calls, so that the share of them meets the budget.

use super::weigh::Choice;

/// How far back the sums of choices reach: this share of them is forgotten with each one.
const FORGET: f32 = 0.01;

/// How fast the price follows: at first, and in the end.
const FIRST_PACE: f32 = 0.02;
const PACE: f32 = 0.002;

/// For budgets up to this, a stale answer is never worth less than an origin call. Below that
/// price the cheapest lifetime of what always changes is the longest: to give it up.
const GENEROUS: f32 = 0.03;

/// The price to begin with is this over the budget.
const FIRST: f32 = 0.1;

/// The price stays below this.
const DEAREST: f32 = 1e6;

/// The price, and what it follows from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Price {
    budget: f32,
    /// The logarithm of the price.
    log: f32,
    /// The logarithm of the lowest price.
    least: f32,
    pace: f32,
    /// Of recent choices, what was expected.
    stale: f32,
    answers: f32,
}

impl Price {
    pub(super) fn new(budget: f32) -> Self {
        let least = (GENEROUS / budget).powi(2).min(1.0);
        Self {
            budget,
            log: (FIRST / budget).clamp(least, DEAREST).ln(),
            least: least.ln(),
            pace: FIRST_PACE,
            stale: 0.0,
            answers: 0.0,
        }
    }

    pub(super) fn now(&self) -> f32 {
        self.log.exp()
    }

    /// Dearer while recent choices are expected to bring more stale answers than the budget has
    /// for as many answers, cheaper while they bring fewer.
    pub(super) fn follow(&mut self, choice: &Choice) {
        self.stale += choice.stale - choice.unavoidable - self.stale * FORGET;
        self.answers += choice.answers - self.answers * FORGET;
        let excess = (self.stale / (self.budget * self.answers)).max(1e-3).ln();
        self.log += self.pace * excess.clamp(-2.0, 2.0);
        self.log = self.log.clamp(self.least, DEAREST.ln());
        self.pace = (self.pace * 0.998).max(PACE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Long-lived or not, as the price says: 10 % stale answers or none.
    fn choice(price: f32) -> Choice {
        Choice {
            seconds: 1,
            stale: if price < 7.0 { 10.0 } else { 0.0 },
            unavoidable: 0.0,
            answers: 100.0,
        }
    }

    #[test]
    fn the_budget_is_met_between_two_choices() {
        let mut price = Price::new(0.04);
        let (mut stale, mut answers) = (0.0, 0.0);
        for round in 0..50_000 {
            let choice = choice(price.now());
            price.follow(&choice);
            if round > 10_000 {
                stale += choice.stale;
                answers += choice.answers;
            }
        }
        let share: f32 = stale / answers;
        assert!((share - 0.04).abs() < 0.01, "{share}");
    }

    #[test]
    fn the_price_stays_within_its_bounds() {
        for (budget, least) in [(0.001, 1.0), (0.03, 1.0), (0.3, 0.01)] {
            for stale in [0.0, 100.0] {
                let mut price = Price::new(budget);
                let choice = Choice {
                    stale,
                    ..choice(1.0)
                };
                for _ in 0..100_000 {
                    price.follow(&choice);
                }
                let bound = if stale == 0.0 { least } else { DEAREST };
                assert!(
                    (price.now() / bound - 1.0).abs() < 0.01,
                    "{budget} {stale} {price:?}"
                );
            }
        }
    }
}
