//! One update: gradients of its micro-batches, their norm, the optimiser.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use clinlora_core::params::{Owner, Walk, for_each_param};

use super::adamw::AdamW;
use super::objective::Objective;
use super::ranks::Ranks;
use super::schedule::RateFactors;
use crate::dataset::Sample;
use crate::error::Result;
use crate::recipe::{Accumulation, Training};

/// What an update did.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// Loss before the update.
    pub loss: f64,
    /// Global norm of the gradient before clipping.
    pub grad_norm: f64,
}

/// Name of a tensor over the whole stack: `base/..` or `<adapter>/..`.
pub(crate) fn full_name(owner: &Owner, name: &str) -> String {
    match owner {
        Owner::Base => format!("base/{name}"),
        Owner::Adapter(adapter) => format!("{adapter}/{name}"),
    }
}

/// Loss and gradients, by full name and as rows, of one update over `samples`, the micro-batches weighed together as
/// `training` says. `seed` decides the dropout masks.
pub fn gradients<O: Objective>(
    objective: &O,
    model: &mut O::Model,
    samples: &[&Sample],
    training: &Training,
    seed: u64,
    device: &Device,
) -> Result<(Tensor<1>, BTreeMap<String, Tensor<1>>)> {
    shared_gradients(objective, model, samples, training, seed, device, Ranks::ALONE)
}

/// [`gradients`] of an update that several ranks make together: each runs its own micro-batches of `samples`, and all get the
/// sum.
pub(crate) fn shared_gradients<O: Objective>(
    objective: &O,
    model: &mut O::Model,
    samples: &[&Sample],
    training: &Training,
    seed: u64,
    device: &Device,
    ranks: Ranks,
) -> Result<(Tensor<1>, BTreeMap<String, Tensor<1>>)> {
    let micro_batches: Vec<&[&Sample]> = samples.chunks(training.batch_size).collect();
    let total = objective.weight(model, samples);
    let mut sums: BTreeMap<String, Tensor<1>> = BTreeMap::new();
    let mut loss: Option<Tensor<1>> = None;
    for (i, micro_batch) in micro_batches.iter().enumerate().filter(|(i, _)| ranks.takes(*i)) {
        #[expect(clippy::cast_precision_loss, reason = "a handful of micro-batches")]
        let divisor = match training.accumulation {
            Accumulation::Exact => total,
            Accumulation::MicroMean => objective.weight(model, micro_batch) * micro_batches.len() as f64,
        };
        if divisor == 0.0 {
            continue; // notes of a single token: nothing to predict
        }
        let seed = seed.wrapping_add(i as u64);
        let recompute = training.recompute.then_some(seed);
        device.seed(seed);
        let part =
            objective.backward(model, micro_batch, device, divisor, recompute, &mut |model, gradients| {
                for_each_param(model, |owner, name, param| {
                    if !param.is_trainable() {
                        return;
                    }
                    if let Some(gradient) = param.take_gradient(gradients) {
                        let name = full_name(owner, name);
                        let sum = match sums.remove(&name) {
                            Some(sum) => sum + gradient,
                            None => gradient,
                        };
                        sums.insert(name, sum);
                    }
                });
            })?;
        loss = Some(loss.map_or_else(|| part.clone(), |loss| loss + part.clone()));
    }
    let loss = loss.unwrap_or_else(|| Tensor::zeros([1], &device.clone().inner()));
    ranks.sum(model, loss, sums, device)
}

/// Reads loss and global gradient norm in one transfer.
pub fn measure(loss: Tensor<1>, gradients: &BTreeMap<String, Tensor<1>>) -> Outcome {
    let squares = gradients.values().map(|g| g.clone().square().sum());
    let numbers = match squares.reduce(|a, b| a + b) {
        Some(square) => Tensor::cat(vec![loss, square.sqrt()], 0),
        None => Tensor::cat(vec![loss.clone(), loss.zeros_like()], 0),
    };
    let numbers = numbers.into_data_as::<f32>();
    let numbers = numbers.as_slice::<f32>().expect("asked for as f32");
    Outcome { loss: f64::from(numbers[0]), grad_norm: f64::from(numbers[1]) }
}

/// Steps every trained tensor, the gradient scaled down first if its norm is above `max_grad_norm`; those that `rates` names
/// at `learning_rate` times their factor.
pub fn apply(
    model: &mut dyn Walk,
    optimizer: &mut AdamW,
    mut gradients: BTreeMap<String, Tensor<1>>,
    outcome: Outcome,
    training: &Training,
    learning_rate: f64,
    rates: &RateFactors,
) {
    let scale = training.max_grad_norm.map_or(1.0, |max| (max / (outcome.grad_norm + 1e-6)).min(1.0));
    optimizer.begin();
    for_each_param(model, |owner, name, mut param| {
        let learning_rate = learning_rate * rates.factor(owner, name);
        let name = full_name(owner, name);
        if let Some(gradient) = gradients.remove(&name) {
            let gradient = if scale < 1.0 { gradient * scale } else { gradient };
            let values =
                optimizer.update(&name, param.flat(), gradient, learning_rate, training.weight_decay);
            param.set_flat(values);
        }
    });
}
