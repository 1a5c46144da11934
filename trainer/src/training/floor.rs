//! How near a run is to the fastest it could be: the floor is the time its arithmetic would take at the rate of the device's
//! own matrix products.
//!
//! A token costs 2 FLOPs a parameter forward, 2 more backward for the gradient of the activations where something below
//! the head is trained, and 2 for every parameter that is trained itself: 4 FLOPs a parameter and token for an adapter
//! (Kaplan et al. 2020, arXiv 2001.08361, section 2.1, without the weights' gradients). Tables that are only looked up are
//! counted too, and attention's own products are not.

use std::cell::OnceCell;
use std::time::{Duration, Instant};

use burn::tensor::{DType, Device, Tensor};
use clinlora_core::model::head::is_head;
use clinlora_core::params::{Owner, Walk, for_each_param};

/// Time the rate is measured for, at most once a run and only when somebody looks.
const BUDGET: Duration = Duration::from_millis(400);
/// Products that take this long are long enough to be timed one by one.
const LONG_ENOUGH: Duration = Duration::from_millis(10);
/// Sides of the matrices tried.
const SIDES: [usize; 6] = [256, 512, 1024, 2048, 4096, 8192];

/// What a token costs and what the device can do.
pub(crate) struct Floor {
    flops_per_token: f64,
    device: Device,
    dtype: DType,
    rate: OnceCell<f64>,
}

impl Floor {
    /// Of training `model` on `device`.
    pub(crate) fn of(model: &mut dyn Walk, device: &Device) -> Self {
        let mut cost = Cost::default();
        let mut dtype = None;
        for_each_param(model, |owner, name, param| {
            let values: usize = param.shape().iter().product();
            let is_part_of_head = *owner == Owner::Base && is_head(name);
            cost.add(values, param.is_trainable(), is_part_of_head);
            if dtype.is_none() && !param.is_trainable() {
                dtype = Some(param.flat().dtype());
            }
        });
        Self {
            flops_per_token: cost.flops_per_token(),
            device: device.clone().inner(),
            dtype: dtype.unwrap_or(DType::F32),
            rate: OnceCell::new(),
        }
    }

    /// A floor of known numbers.
    #[cfg(test)]
    pub(crate) fn known(flops_per_token: f64, rate: f64) -> Self {
        Self { flops_per_token, device: Device::flex(), dtype: DType::F32, rate: OnceCell::from(rate) }
    }

    /// Share of the floor that `tokens_per_s` reach, 0 to 1.
    pub(crate) fn share(&self, tokens_per_s: f64) -> f64 {
        let rate = self.rate.get_or_init(|| matmul_flops_per_s(&self.device, self.dtype));
        tokens_per_s * self.flops_per_token / rate
    }
}

/// Values of a model by what a token costs in each.
#[derive(Debug, Default)]
struct Cost {
    all: usize,
    trained: usize,
    /// Whether a gradient has to go back below the head.
    goes_back: bool,
}

impl Cost {
    fn add(&mut self, values: usize, is_trained: bool, is_part_of_head: bool) {
        self.all += values;
        if is_trained {
            self.trained += values;
            self.goes_back |= !is_part_of_head;
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "an estimate to a few digits")]
    fn flops_per_token(&self) -> f64 {
        let passes = if self.goes_back { 2 } else { 1 };
        (2 * passes * self.all + 2 * self.trained) as f64
    }
}

/// FLOPs a second of square matrix products, of the largest size that fits the time.
pub(crate) fn matmul_flops_per_s(device: &Device, dtype: DType) -> f64 {
    let begun = Instant::now();
    let mut best = 0.0_f64;
    for side in SIDES {
        let [a, b] = [0.5, 0.25].map(|value| Tensor::<2>::full([side, side], value, (device, dtype)));
        finish(a.clone().matmul(b.clone())); // kernels are compiled here
        let mut longest = Duration::ZERO;
        for _ in 0..3 {
            let started = Instant::now();
            finish(a.clone().matmul(b.clone()));
            let elapsed = started.elapsed();
            longest = longest.max(elapsed);
            #[expect(clippy::cast_precision_loss, reason = "sides are small")]
            let flops = 2.0 * (side as f64).powi(3);
            best = best.max(flops / elapsed.as_secs_f64().max(1e-9));
        }
        // The next takes eight times as long.
        if longest >= LONG_ENOUGH || begun.elapsed() + 32 * longest > BUDGET {
            break;
        }
    }
    best
}

/// Waits for a product: reading one value takes all of it.
fn finish(product: Tensor<2>) {
    let _ = product.slice([0..1, 0..1]).into_data();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_costs_what_is_trained_and_how_far_the_gradient_goes() {
        let cost = |parts: &[(usize, bool, bool)]| {
            let mut cost = Cost::default();
            parts.iter().for_each(|(values, trained, head)| cost.add(*values, *trained, *head));
            cost.flops_per_token()
        };
        let (base, head) = ((1000, false, false), (7, true, true));
        assert_eq!(cost(&[base, head]), 2.0 * 1007.0 + 14.0, "a head alone: forward");
        assert_eq!(cost(&[base, (30, true, false)]), 4.0 * 1030.0 + 60.0, "an adapter: 4 a parameter");
        assert_eq!(cost(&[(1000, true, false)]), 6000.0, "every weight: 6 a parameter");
    }

    #[test]
    fn the_rate_is_a_rate() {
        let rate = matmul_flops_per_s(&Device::flex(), DType::F32);
        assert!((1e7..1e15).contains(&rate), "{rate}");
    }
}
