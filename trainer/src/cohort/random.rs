//! Chance: one stream of random numbers a patient and purpose, and the few draws the simulation needs.
//!
//! A stream depends on nothing but (seed, patient, purpose). So patient 7 is the same person in a hospital of ten and of
//! a million, patients can be made in any order, and a change to how a nursing note is phrased moves no laboratory value.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};

/// What a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Who the patient is and what happens to them.
    Life,
    /// The wording of the discharge summary of the admission of this number.
    Summary(u8),
    /// The name of the problem of the admission of this number, the same in all its notes.
    Title(u8),
    /// The wording of the other notes of the admission of this number.
    OtherNotes(u8),
    /// Charted values of the admission of this number.
    Chart(u8),
    /// What the registration desk adds to the admission of this number.
    Register(u8),
}

impl Purpose {
    fn number(self) -> u64 {
        match self {
            Self::Life => 0,
            Self::Summary(admission) => 0x100 + u64::from(admission),
            Self::Title(admission) => 0x180 + u64::from(admission),
            Self::OtherNotes(admission) => 0x200 + u64::from(admission),
            Self::Chart(admission) => 0x300 + u64::from(admission),
            Self::Register(admission) => 0x400 + u64::from(admission),
        }
    }
}

/// A stream of random numbers.
#[derive(Debug)]
pub(super) struct Chance {
    generator: ChaCha8Rng,
}

impl Chance {
    /// The stream of `patient` for `purpose`.
    pub(super) fn new(seed: u64, patient: u64, purpose: Purpose) -> Self {
        let mixed =
            seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ purpose.number().wrapping_mul(0xD1B5_4A32_D192_ED03);
        let mut generator = ChaCha8Rng::seed_from_u64(mixed);
        generator.set_stream(patient);
        Self { generator }
    }

    /// Uniform in [0, 1).
    pub(super) fn unit(&mut self) -> f64 {
        self.generator.random()
    }

    /// True with probability `p`.
    pub(super) fn happens(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Uniform in `[low, high)`.
    pub(super) fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// A whole number from `low` to `high`, both included.
    pub(super) fn whole(&mut self, low: i64, high: i64) -> i64 {
        self.generator.random_range(low..=high.max(low))
    }

    /// Normal with this mean and standard deviation.
    pub(super) fn normal(&mut self, mean: f64, deviation: f64) -> f64 {
        let z: f64 = StandardNormal.sample(&mut self.generator);
        mean + deviation * z
    }

    /// Log-normal with this median; `sigma` is the standard deviation of the logarithm.
    pub(super) fn lognormal(&mut self, median: f64, sigma: f64) -> f64 {
        median * self.normal(0.0, sigma).exp()
    }

    /// An index below `len`, which must not be zero.
    pub(super) fn index(&mut self, len: usize) -> usize {
        self.generator.random_range(0..len)
    }

    /// One of `items`, which must not be empty.
    pub(super) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.index(items.len())]
    }

    /// An index chosen in proportion to its weight; the weights must not all be zero.
    pub(super) fn weighted(&mut self, weights: impl Iterator<Item = f64> + Clone) -> usize {
        let total: f64 = weights.clone().sum();
        let mut left = self.unit() * total;
        let mut last = 0;
        for (index, weight) in weights.enumerate() {
            if weight > 0.0 {
                last = index;
                left -= weight;
                if left < 0.0 {
                    break;
                }
            }
        }
        last
    }

    /// An item chosen in proportion to the weight beside it.
    pub(super) fn choose<T: Copy>(&mut self, items: &[(T, f64)]) -> T {
        let index = self.weighted(items.iter().map(|(_, weight)| *weight));
        items[index].0
    }

    /// Shuffles in place.
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.index(last + 1);
            items.swap(last, other);
        }
    }
}

/// The logistic function.
pub(super) fn sigmoid(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_patients_and_purposes_differ_and_repeat() {
        let draw = |seed, patient, purpose| Chance::new(seed, patient, purpose).unit().to_bits();
        let here = draw(3, 7, Purpose::Life);
        assert_eq!(here, draw(3, 7, Purpose::Life));
        assert_ne!(here, draw(4, 7, Purpose::Life));
        assert_ne!(here, draw(3, 8, Purpose::Life));
        assert_ne!(here, draw(3, 7, Purpose::Summary(0)));
        assert_ne!(draw(3, 7, Purpose::Summary(0)), draw(3, 7, Purpose::Summary(1)));
    }

    #[test]
    fn weighted_choice_follows_the_weights_and_skips_zero() {
        let mut chance = Chance::new(1, 0, Purpose::Life);
        let mut counts = [0_u32; 3];
        for _ in 0..4000 {
            counts[chance.weighted([1.0, 0.0, 3.0].into_iter())] += 1;
        }
        assert_eq!(counts[1], 0);
        assert!((2850..3150).contains(&counts[2]), "{counts:?}");
    }
}
