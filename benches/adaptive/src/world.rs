//! What is simulated: who asks for which key when, and when each key changes at the origin.

use clap::ValueEnum;
use rand::{Rng, SeedableRng, rngs::SmallRng, seq::SliceRandom};

/// The exponent of the popularity of keys.
const ZIPF: f64 = 0.9;

/// Seconds of a burst, and from one to the next.
const BURST: f64 = 300.0;
const PERIOD: f64 = 1800.0;

/// How much is simulated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) keys: usize,
    /// Requests per second, over all keys.
    pub(crate) rate: f64,
    /// Seconds that are not counted.
    pub(crate) warm_up: f64,
    /// Seconds that are.
    pub(crate) counted: f64,
}

impl Size {
    pub(crate) const HOUR: Self = Self {
        keys: 5000,
        rate: 500.0,
        warm_up: 600.0,
        counted: 3600.0,
    };

    fn end(self) -> f64 {
        self.warm_up + self.counted
    }
}

/// How keys change.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Mix {
    /// Every key as a Poisson process, mean 60 s.
    Even,
    /// 40 % never, 30 % mean 1 h, 20 % mean 5 min, 10 % mean 5 s.
    Wide,
    /// Every key: 5 min of changes with mean 10 s, then 25 min quiet, phases spread.
    Bursts,
    /// Three content types with means 5 s, 5 min, 6 h.
    Types,
}

impl Mix {
    pub(crate) const ALL: [Self; 4] = [Self::Even, Self::Wide, Self::Bursts, Self::Types];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Even => "even",
            Self::Wide => "wide",
            Self::Bursts => "bursts",
            Self::Types => "types",
        }
    }
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) at: f64,
    pub(crate) key: u32,
}

/// How one key changes.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) content_type: &'static str,
    pub(crate) pattern: Pattern,
    /// Requests per second.
    pub(crate) requests: f64,
    /// When it changes, in order.
    pub(crate) changes: Vec<f64>,
}

impl Key {
    /// How many times it has changed by then.
    pub(crate) fn version(&self, at: f64) -> usize {
        self.changes.partition_point(|change| *change <= at)
    }
}

/// The rate of changes over time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pattern {
    /// Always the same, per second.
    Steady(f64),
    /// In bursts, the first of which begins at `phase`, and the one before that a period earlier.
    Bursts { rate: f64, phase: f64 },
}

impl Pattern {
    /// The changes to expect between two moments.
    pub(crate) fn expected(self, from: f64, to: f64) -> f64 {
        match self {
            Self::Steady(rate) => rate * (to - from),
            Self::Bursts { rate, phase } => {
                let within = |at: f64| {
                    let turns = (at - phase) / PERIOD;
                    let whole = turns.floor();
                    whole * BURST + ((turns - whole) * PERIOD).min(BURST)
                };
                rate * (within(to) - within(from))
            }
        }
    }
}

/// One seed's world.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) size: Size,
    pub(crate) keys: Vec<Key>,
    pub(crate) asks: Vec<Ask>,
}

impl World {
    pub(crate) fn new(mix: Mix, seed: u64, size: Size) -> Self {
        let mut random = SmallRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9) ^ mix as u64);
        let Size { keys, rate, .. } = size;
        let weights: Vec<f64> = (1..=keys).map(|rank| (rank as f64).powf(-ZIPF)).collect();
        let total: f64 = weights.iter().sum();
        let mut places: Vec<usize> = (0..keys).collect();
        places.shuffle(&mut random);
        let keys: Vec<Key> = places
            .iter()
            .zip(&weights)
            .map(|(place, weight)| {
                let (content_type, pattern) = pattern(mix, *place, keys, &mut random);
                Key {
                    content_type,
                    pattern,
                    requests: rate * weight / total,
                    changes: changes(pattern, size.end(), &mut random),
                }
            })
            .collect();
        let mut sums = Vec::with_capacity(keys.len());
        weights.iter().fold(0.0, |sum, weight| {
            sums.push(sum + weight);
            sum + weight
        });
        let mut asks = Vec::new();
        let mut at = wait(rate, &mut random);
        while at < size.end() {
            let drawn = random.random::<f64>() * total;
            let key = sums
                .partition_point(|sum| *sum <= drawn)
                .min(keys.len() - 1);
            asks.push(Ask {
                at,
                key: u32::try_from(key).unwrap_or_default(),
            });
            at += wait(rate, &mut random);
        }
        Self { size, keys, asks }
    }
}

/// How the key at this place of a shuffled row changes: the shares of each mix are exact.
fn pattern(mix: Mix, place: usize, keys: usize, random: &mut SmallRng) -> (&'static str, Pattern) {
    let share = (place as f64 + 0.5) / keys as f64;
    match mix {
        Mix::Even => ("text/html", Pattern::Steady(1.0 / 60.0)),
        Mix::Wide => {
            let rate = match share {
                ..0.4 => 0.0,
                ..0.7 => 1.0 / 3600.0,
                ..0.9 => 1.0 / 300.0,
                _ => 1.0 / 5.0,
            };
            ("text/html", Pattern::Steady(rate))
        }
        Mix::Bursts => {
            let phase = random.random::<f64>() * PERIOD;
            ("text/html", Pattern::Bursts { rate: 0.1, phase })
        }
        Mix::Types => match place % 3 {
            0 => ("application/json", Pattern::Steady(1.0 / 5.0)),
            1 => ("text/html", Pattern::Steady(1.0 / 300.0)),
            _ => ("image/png", Pattern::Steady(1.0 / 21_600.0)),
        },
    }
}

fn changes(pattern: Pattern, end: f64, random: &mut SmallRng) -> Vec<f64> {
    let mut changes = Vec::new();
    match pattern {
        Pattern::Steady(0.0) => {}
        Pattern::Steady(rate) => fill(&mut changes, 0.0, end, rate, random),
        Pattern::Bursts { rate, phase } => {
            let mut begin = phase - PERIOD;
            while begin < end {
                fill(
                    &mut changes,
                    begin.max(0.0),
                    (begin + BURST).min(end),
                    rate,
                    random,
                );
                begin += PERIOD;
            }
        }
    }
    changes
}

fn fill(changes: &mut Vec<f64>, from: f64, to: f64, rate: f64, random: &mut SmallRng) {
    let mut at = from + wait(rate, random);
    while at < to {
        changes.push(at);
        at += wait(rate, random);
    }
}

/// The time to the next event of a Poisson process.
fn wait(rate: f64, random: &mut SmallRng) -> f64 {
    -(1.0 - random.random::<f64>()).ln() / rate
}
