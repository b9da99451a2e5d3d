//! The price of a stale answer in origin calls, adjusted until the share of stale answers meets the
//! budget.

use super::weigh::Choice;

/// This share of the sums is forgotten with each choice.
const FORGET: f32 = 0.01;

/// How fast the price is adjusted: at first, and in the long run.
const FIRST_PACE: f32 = 0.02;
const PACE: f32 = 0.002;

/// For budgets up to this, the price is at least one origin call. Below that price, the cheapest
/// lifetime of a key that always changes is the longest one: the key would be given up.
const GENEROUS: f32 = 0.03;

/// The first price is this divided by the budget.
const FIRST: f32 = 0.1;

/// The highest price.
const DEAREST: f32 = 1e6;

/// The price, and the sums from which it is adjusted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Price {
    budget: f32,
    /// The logarithm of the price.
    log: f32,
    /// The logarithm of the lowest price.
    least: f32,
    pace: f32,
    /// What recent choices are expected to bring.
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

    /// Raises the price while recent choices are expected to bring more stale answers than the budget
    /// allows, and lowers it while they bring fewer.
    pub(super) fn adjust(&mut self, choice: &Choice) {
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

    /// A choice that depends on the price: 10 % stale answers or none.
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
            price.adjust(&choice);
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
                    price.adjust(&choice);
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
