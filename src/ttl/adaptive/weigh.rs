//! The best lifetime for a key: the one with the lowest cost in origin calls and stale answers.

use super::grid::{GridStep, PerRate, RATES, SECONDS, dot, sum};

/// What the choice of a lifetime depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weighed<'a> {
    /// How probable each rate of change is.
    pub(super) rates: &'a PerRate,
    /// The distribution from which a rate is drawn again.
    pub(super) prior: &'a PerRate,
    /// How often per second a rate is drawn again.
    pub(super) redraw: f32,
    /// Requests per second.
    pub(super) requests: f32,
    /// How many origin calls one stale answer is worth.
    pub(super) price: f32,
    /// The shortest and the longest lifetime allowed, in seconds.
    pub(super) bounds: (u32, u32),
}

/// A lifetime, and the answers expected until the next fetch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Choice {
    pub(super) seconds: u32,
    /// How many of the answers are stale.
    pub(super) stale: f32,
    /// How many of as many answers would be stale with the shortest lifetime too.
    pub(super) unavoidable: f32,
    /// All answers, including the one that leads to the fetch.
    pub(super) answers: f32,
}

/// Compares all lifetimes of the grid within the bounds, and the ceiling itself.
pub(super) fn choose(weighed: &Weighed<'_>, steps: &[GridStep]) -> Choice {
    let Weighed {
        rates,
        prior,
        redraw,
        requests,
        price,
        bounds: (floor, ceiling),
    } = *weighed;
    let mut rates = *rates;
    // For how many seconds of the lifetime the representation is expected to be unchanged.
    let mut good = 0.0;
    let mut cheapest = f32::INFINITY;
    let mut best: Option<Choice> = None;
    let mut weigh = |seconds: u32, good: f32| {
        let lifetime = seconds as f32;
        let stale = requests * (lifetime - good).max(0.0);
        let answers = 1.0 + requests * lifetime;
        let cost = (1.0 + price * stale) / (lifetime + requests.recip());
        // The first lifetime compared is the shortest.
        let least_share = best.map_or(stale / answers, |best| best.unavoidable / best.answers);
        if best.is_none() || cost < cheapest {
            cheapest = cost;
            best = Some(Choice {
                seconds,
                stale,
                unavoidable: least_share * answers,
                answers,
            });
        }
    };
    for (step, seconds) in steps.iter().zip(SECONDS) {
        if seconds >= floor {
            weigh(seconds, good);
        }
        if seconds >= ceiling {
            break;
        }
        let survived = dot(&rates, &step.mean);
        let left = (ceiling - seconds) as f32;
        if left < step.seconds {
            weigh(ceiling, good + survived * left);
            break;
        }
        good += survived * step.seconds;
        if redraw > 0.0 {
            let kept = (-redraw * step.seconds).exp();
            let drawn = (sum(&rates) + survived) * 0.5 * (1.0 - kept);
            for k in 0..RATES {
                let same = rates[k] * step.survival[k] * kept;
                rates[k] = same + drawn * prior[k] * step.mean[k];
            }
        } else {
            for (rate, survival) in rates.iter_mut().zip(&step.survival) {
                *rate *= survival;
            }
        }
    }
    // There always is one: the ceiling is within the grid and not below the floor.
    best.unwrap_or(Choice {
        seconds: floor,
        stale: 0.0,
        unavoidable: 0.0,
        answers: 1.0 + requests * floor as f32,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ttl::adaptive::grid::{CHANGES, SECONDS, steps};

    const ANY: (u32, u32) = (0, 3600);

    fn chosen(at: usize, requests: f32, price: f32) -> Choice {
        let mut rates = [0.0; RATES];
        rates[at] = 1.0;
        let weighed = Weighed {
            rates: &rates,
            prior: &rates,
            redraw: 0.0,
            requests,
            price,
            bounds: ANY,
        };
        choose(&weighed, &steps())
    }

    /// Calls and priced stale answers per second, in closed form.
    fn cost(rate: f64, requests: f64, price: f64, lifetime: f64) -> f64 {
        let stale = requests * (lifetime + (-rate * lifetime).exp_m1() / rate);
        (1.0 + price * stale) / (lifetime + requests.recip())
    }

    #[test]
    fn no_other_lifetime_costs_less_for_a_known_rate() {
        for at in [8, 12, 16, 20, 23] {
            for requests in [0.01_f32, 1.0, 50.0] {
                for price in [1.0_f32, 10.0, 300.0] {
                    let found = chosen(at, requests, price);
                    let cost = |lifetime| {
                        let rate = f64::from(CHANGES[at]);
                        cost(rate, requests.into(), price.into(), lifetime)
                    };
                    let least = SECONDS.map(|seconds| cost(seconds.min(ANY.1).into()));
                    let least = least.into_iter().fold(f64::INFINITY, f64::min);
                    let found = cost(found.seconds.into());
                    assert!(
                        found <= least * 1.001,
                        "{at} {requests} {price}: {found} {least}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_expected_answers_are_those_of_the_model() {
        let found = chosen(17, 2.0, 4.0);
        let (rate, lifetime) = (f64::from(CHANGES[17]), f64::from(found.seconds));
        let stale = 2.0 * (lifetime + (-rate * lifetime).exp_m1() / rate);
        assert!(
            (f64::from(found.stale) - stale).abs() < 0.01,
            "{found:?} {stale}"
        );
        assert!((f64::from(found.answers) - 1.0 - 2.0 * lifetime).abs() < 1e-3);
    }

    #[test]
    fn a_key_that_never_changes_gets_the_longest_lifetime() {
        assert_eq!(chosen(0, 1.0, 100.0).seconds, 3600);
    }

    #[test]
    fn a_key_that_may_begin_to_change_gets_less() {
        let mut still = [0.0; RATES];
        still[0] = 1.0;
        let mut prior = still;
        (prior[0], prior[20]) = (0.8, 0.2);
        let [never, soon] = [0.0, 1.0 / 225.0].map(|redraw| {
            let weighed = Weighed {
                rates: &still,
                prior: &prior,
                redraw,
                requests: 1.0,
                price: 10.0,
                bounds: ANY,
            };
            choose(&weighed, &steps()).seconds
        });
        assert!(soon < 60 && never == 3600, "{never} {soon}");
    }
}
