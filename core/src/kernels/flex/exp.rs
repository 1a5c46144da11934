//! An exponential that vectorises.
//!
//! `e^x = 2^n·e^r`, `n` the whole number nearest `x / ln 2` and `|r| <= ln 2 / 2`; the polynomial is that of Cephes'
//! `expf` (Moshier 1989), its relative error below 2e-7. Beyond the range of a normal f32 the ends are returned: 1.2e-38 and
//! 1.7e38. NaN stays NaN.

const LOW: f32 = -87.336_54;
const HIGH: f32 = 88.02;
const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// `ln 2` in two parts, the first with so few digits that its products with whole numbers are exact.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;
/// 1.5·2^23: adding it rounds to a whole number, left in the low bits.
const ROUND: f32 = 12_582_912.0;

/// `e^x`.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Comparisons rather than `clamp`: they let NaN through, and compile to a minimum and a maximum.
    let x = if x < LOW { LOW } else { x };
    let x = if x > HIGH { HIGH } else { x };
    let rounded = x * LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = x - n * LN2_HIGH - n * LN2_LOW;
    let p = 1.987_569_2e-4;
    let p = p * r + 1.398_2e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 5.000_000_3e-1;
    let e = p * r * r + r + 1.0;
    let exponent = rounded.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127);
    e * f32::from_bits(exponent << 23)
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_within_3e_7_of_the_true_one() {
        let mut worst = 0.0f64;
        for i in -870_000..880_000 {
            let x = f64::from(i) * 1e-4;
            #[expect(clippy::cast_possible_truncation, reason = "the argument is meant to be f32")]
            let x = x as f32;
            let expected = f64::from(x).exp();
            worst = worst.max((f64::from(exp(x)) / expected - 1.0).abs());
        }
        assert!(worst < 3e-7, "relative error {worst}");
    }

    #[test]
    fn the_ends_are_finite_and_nan_stays() {
        assert!(exp(f32::NEG_INFINITY) < 1.3e-38 && exp(-1e30) >= 0.0);
        assert!(exp(1e30).is_finite() && exp(1e30) > 1e38);
        assert!(exp(f32::NAN).is_nan());
        assert_eq!(exp(0.0), 1.0);
    }
}
