//! Expected improvement: how much lower than the lowest cost so far a point is expected to be, counting worse as nothing
//! (Jones, Schonlau and Welch 1998, equation 15).

use std::f64::consts::{FRAC_1_SQRT_2, PI, TAU};

/// Of a point whose mean lies `gain` below the best cost, with this `deviation`. `softening` is added to the deviation
/// where it divides.
pub(crate) fn expected_improvement(gain: f64, deviation: f64, softening: f64) -> f64 {
    let scale = deviation + softening;
    if scale <= 0.0 {
        return gain.max(0.0);
    }
    let z = gain / scale;
    gain * normal_cdf(z) + deviation * (-0.5 * z * z).exp() / TAU.sqrt()
}

/// Share of a standard normal below `z`.
fn normal_cdf(z: f64) -> f64 {
    0.5 * erfc(-z * FRAC_1_SQRT_2)
}

/// The complementary error function, to some 1e-14 of its value.
fn erfc(x: f64) -> f64 {
    if x < 0.0 {
        return 2.0 - erfc(-x);
    }
    if x < 2.0 {
        // erf x = 2/√π e^(-x²) Σ 2ⁿ x^(2n+1) / (1·3·..·(2n+1)): no term is negative, so nothing cancels.
        let (mut term, mut sum, mut odd) = (x, x, 1.0);
        while term > 1e-17 * sum {
            odd += 2.0;
            term *= 2.0 * x * x / odd;
            sum += term;
        }
        return 1.0 - 2.0 / PI.sqrt() * (-x * x).exp() * sum;
    }
    // erfc x = e^(-x²)/√π · 1/(x + (1/2)/(x + (2/2)/(x + (3/2)/(x + ..)))), from the inside out.
    let tail = (1..=120).rev().fold(x, |tail, n| x + 0.5 * f64::from(n) / tail);
    (-x * x).exp() / (PI.sqrt() * tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normal_distribution_is_right_far_into_its_tails() {
        // scipy.stats.norm.cdf
        for (z, cdf) in [
            (-30.0, 4.906_713_927_147_908e-198),
            (-8.0, 6.220_960_574_271_74e-16),
            (-2.9, 0.001_865_813_300_384_037_5),
            (-2.8, 0.002_555_130_330_427_932),
            (-0.3, 0.382_088_577_811_047_4),
            (0.0, 0.5),
            (1.7, 0.955_434_537_241_457),
            (5.0, 0.999_999_713_348_428_1),
        ] {
            let ours = normal_cdf(z);
            assert!((ours / cdf - 1.0).abs() < 1e-12, "{z}: {ours} against {cdf}");
        }
    }

    #[test]
    fn a_point_without_doubt_improves_by_what_it_is_better() {
        assert_eq!(expected_improvement(0.25, 0.0, 0.0), 0.25);
        assert_eq!(expected_improvement(-0.25, 0.0, 0.0), 0.0);
        // At no gain, the mean of a normal's positive half: σ/√(2π).
        assert!((expected_improvement(0.0, 3.0, 0.0) - 3.0 / TAU.sqrt()).abs() < 1e-15);
    }
}
