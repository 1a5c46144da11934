//! Codes and scale of one group of 32 values.
//!
//! Two ways to choose them. Without knowledge of a layer's inputs the scale is the one whose rounded values lie nearest
//! to the weights. With it (`moments`, the mean of `x·xᵀ` over inputs `x` of this group) what counts is the layer's output:
//! of an error `e = w - scale·code` it is `eᵀ·M·e`, so an error may make up for another where inputs go together. Scale and
//! codes are then improved in turn: codes one at a time, each to its best given the others, and the scale by least squares.
//! That is the objective of AWQ (Lin et al. 2024) and GPTQ (Frantar et al. 2023), within a group, by coordinate descent.

use half::f16;

use super::layout::{Bits, GROUP};

/// Of the scales tried for known inputs, how many are improved: the best as rounded. More cost time and gain nothing.
const IMPROVED: usize = 3;

/// Codes of a group, 0 where there is no value, and its scale.
pub(super) struct Group {
    pub(super) codes: [i8; GROUP],
    pub(super) scale: f16,
}

impl Group {
    /// Up to 32 values, rounded; none if a value is not finite or has no scale in f16.
    pub(super) fn round(values: &[f32], bits: Bits) -> Option<Self> {
        let scale = scale(values, bits)?;
        Some(Self { codes: quantise(values, scale, bits), scale })
    }

    /// The same for inputs with these `moments` (`[32, 32]`, row-major), never worse for them than [`round`](Self::round).
    pub(super) fn fit(values: &[f32], bits: Bits, moments: &[f32]) -> Option<Self> {
        debug_assert_eq!(moments.len(), GROUP * GROUP, "moments of every pair of a group");
        let plain = Self::round(values, bits)?;
        if plain.scale == f16::ZERO || is_exact(values, &plain) {
            return Some(plain);
        }
        let mut weights = [0.0; GROUP];
        weights[..values.len()].copy_from_slice(values);
        let largest = values.iter().fold(0.0_f32, |largest, v| largest.max(v.abs()));
        let most = f32::from(bits.largest_code());
        // From a seventh more than the largest value asks for to a third less, where outliers are cut.
        let scales = (0_u8..24).filter_map(|i| covering(largest, most * (0.88 + 0.025 * f32::from(i))));
        let rounded = scales.map(|scale| Self { codes: quantise(values, scale, bits), scale }).chain([plain]);
        let mut started: Vec<(f32, Self)> =
            rounded.map(|group| (loss_on(&weights, &group, moments), group)).collect();
        started.sort_by(|a, b| a.0.total_cmp(&b.0));
        let best = started.into_iter().take(IMPROVED);
        let fitted = best.map(|(_, group)| group.improved(&weights, values.len(), most, moments));
        fitted.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(group, _)| group)
    }

    /// Codes and scale improved in turn, and what is lost then.
    fn improved(self, weights: &[f32; GROUP], count: usize, most: f32, moments: &[f32]) -> (Self, f32) {
        const ROUNDS: usize = 4;
        let mut best = (loss_on(weights, &self, moments), self);
        for _ in 0..ROUNDS {
            let codes = descended(weights, &best.1, count, most, moments);
            let scale = least_squares(weights, &codes, moments).unwrap_or(best.1.scale);
            // The old scale belongs to these codes too, if the new one does not survive its rounding.
            let candidates = [scale, best.1.scale].map(|scale| Self { codes, scale });
            let tried = candidates.map(|group| (loss_on(weights, &group, moments), group));
            let better = tried.into_iter().min_by(|a, b| a.0.total_cmp(&b.0)).expect("two were tried");
            if better.0 >= best.0 {
                break;
            }
            best = better;
        }
        (best.1, best.0)
    }

    fn value(&self, place: usize) -> f32 {
        f32::from(self.codes[place]) * self.scale.to_f32()
    }
}

fn is_exact(values: &[f32], group: &Group) -> bool {
    values.iter().enumerate().all(|(i, v)| group.value(i) == *v)
}

fn errors(weights: &[f32; GROUP], group: &Group) -> [f32; GROUP] {
    std::array::from_fn(|i| weights[i] - group.value(i))
}

/// `M·v`.
fn times(moments: &[f32], v: &[f32; GROUP]) -> [f32; GROUP] {
    std::array::from_fn(|i| dot(&moments[i * GROUP..][..GROUP], v))
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `eᵀ·M·e`.
fn loss_on(weights: &[f32; GROUP], group: &Group, moments: &[f32]) -> f32 {
    let errors = errors(weights, group);
    dot(&errors, &times(moments, &errors))
}

/// Codes moved one by one to where the loss is least, the others as they are, until none moves.
fn descended(weights: &[f32; GROUP], group: &Group, count: usize, most: f32, moments: &[f32]) -> [i8; GROUP] {
    const SWEEPS: usize = 8;
    let (mut codes, scale) = (group.codes, group.scale.to_f32());
    let mut gradient = times(moments, &errors(weights, group)); // M·e
    for _ in 0..SWEEPS {
        let mut has_moved = false;
        for i in 0..count {
            let curvature = moments[i * GROUP + i] * scale;
            if curvature <= 0.0 {
                continue;
            }
            let wanted = f32::from(codes[i]) + gradient[i] / curvature;
            #[expect(clippy::cast_possible_truncation, reason = "clamped to a code")]
            let code = wanted.round().clamp(-most, most) as i8;
            let step = f32::from(code - codes[i]) * scale;
            if step != 0.0 {
                codes[i] = code;
                has_moved = true;
                for (gradient, moment) in gradient.iter_mut().zip(&moments[i * GROUP..][..GROUP]) {
                    *gradient -= step * moment;
                }
            }
        }
        if !has_moved {
            break;
        }
    }
    codes
}

/// The scale with the least loss for these codes, `cᵀ·M·w / cᵀ·M·c`; none if it is none in f16.
fn least_squares(weights: &[f32; GROUP], codes: &[i8; GROUP], moments: &[f32]) -> Option<f16> {
    let codes = codes.map(f32::from);
    let weighted = times(moments, &codes);
    let scale = f16::from_f32(dot(&weighted, weights) / dot(&weighted, &codes));
    (scale.is_finite() && scale > f16::ZERO).then_some(scale)
}

/// The scale of one group; none if there is none in f16.
fn scale(group: &[f32], bits: Bits) -> Option<f16> {
    let largest = group.iter().fold(0.0_f32, |largest, v| largest.max(v.abs()));
    if !group.iter().all(|v| v.is_finite()) {
        return None;
    }
    if largest == 0.0 {
        return Some(f16::ZERO);
    }
    let plain = reaching(largest, f32::from(bits.largest_code()), bits)?;
    if let Some(grid) = grid(group, largest, bits) {
        return Some(grid);
    }
    match bits {
        Bits::Eight => Some(plain),
        // Sixteen codes are so few that a scale beside the plain one often fits the whole group better.
        Bits::Four => {
            let others = (0_u8..16).filter_map(|i| reaching(largest, 5.5 + 0.125 * f32::from(i), bits));
            let loss = |s: &f16| loss(group, *s, bits);
            others.chain([plain]).min_by(|a, b| loss(a).total_cmp(&loss(b)))
        }
    }
}

/// The f16 nearest to `largest / steps`; none beyond all f16, or below.
fn covering(largest: f32, steps: f32) -> Option<f16> {
    let scale = f16::from_f32(largest / steps);
    (scale.is_finite() && scale > f16::ZERO).then_some(scale)
}

/// The f16 nearest to `largest / steps`, or the next above where the largest value would otherwise lie more than half a step
/// beyond the last code; none beyond all f16.
fn reaching(largest: f32, steps: f32, bits: Bits) -> Option<f16> {
    let reach = f32::from(bits.largest_code()) + 0.5;
    let mut scale = f16::from_f32(largest / steps);
    if largest > scale.to_f32() * reach {
        scale = f16::from_bits(scale.to_bits() + 1);
    }
    scale.is_finite().then_some(scale)
}

/// The scale of a grid that every value lies on exactly, if there is one.
fn grid(group: &[f32], largest: f32, bits: Bits) -> Option<f16> {
    let on_grid = |v: &f32, scale: f32| (v / scale).round() * scale == *v;
    (1..=bits.largest_code()).rev().find_map(|code| {
        let scale = f16::from_f32(largest / f32::from(code));
        let step = scale.to_f32();
        (f32::from(code) * step == largest && group.iter().all(|v| on_grid(v, step))).then_some(scale)
    })
}

fn loss(group: &[f32], scale: f16, bits: Bits) -> f32 {
    let codes = quantise(group, scale, bits);
    let squared = |(v, code): (&f32, i8)| (v - f32::from(code) * scale.to_f32()).powi(2);
    group.iter().zip(codes).map(squared).sum()
}

/// Codes of up to 32 values; the rest is padding.
fn quantise(group: &[f32], scale: f16, bits: Bits) -> [i8; GROUP] {
    let (scale, most) = (scale.to_f32(), f32::from(bits.largest_code()));
    let mut codes = [0; GROUP];
    if scale > 0.0 {
        for (code, value) in codes.iter_mut().zip(group) {
            #[expect(clippy::cast_possible_truncation, reason = "clamped to a code")]
            let rounded = (value / scale).round().clamp(-most, most) as i8;
            *code = rounded;
        }
    }
    codes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers without a pattern, in ±1.
    fn noise(seed: u32, count: usize) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    /// Inputs that go together in two directions, beside noise.
    fn moments(seed: u32) -> Vec<f32> {
        let (first, second) = (noise(seed, GROUP), noise(seed + 1, GROUP));
        let mut moments = vec![0.0; GROUP * GROUP];
        for i in 0..GROUP {
            for j in 0..GROUP {
                moments[i * GROUP + j] = 4.0 * first[i] * first[j] + second[i] * second[j];
            }
            moments[i * GROUP + i] += 0.2;
        }
        moments
    }

    #[test]
    fn known_inputs_never_raise_the_loss_and_halve_it_where_they_go_together() {
        let (mut plain, mut fitted) = (0.0, 0.0);
        for seed in 0..50 {
            let (values, moments) = (noise(seed, GROUP), moments(1000 + seed));
            let weights: [f32; GROUP] = values.clone().try_into().expect("a whole group");
            let [rounded, fit] = [
                Group::round(&values, Bits::Four).expect("finite"),
                Group::fit(&values, Bits::Four, &moments).expect("finite"),
            ]
            .map(|group| loss_on(&weights, &group, &moments));
            assert!(fit <= rounded, "seed {seed}: {fit} and {rounded}");
            plain += rounded;
            fitted += fit;
        }
        assert!(fitted < 0.5 * plain, "{fitted} and {plain}");
    }

    #[test]
    fn a_part_of_a_group_has_code_0_behind_it() {
        let group = Group::fit(&noise(3, 5), Bits::Four, &moments(7)).expect("finite");
        assert!(group.codes[5..].iter().all(|code| *code == 0), "{:?}", group.codes);
        assert!(Group::fit(&[f32::NAN], Bits::Four, &moments(7)).is_none());
    }
}
