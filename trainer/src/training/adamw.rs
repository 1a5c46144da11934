//! AdamW as PyTorch computes it. Loshchilov and Hutter 2019, arXiv 1711.05101.
//!
//! Own code rather than Burn's because a run must resume to the bit: the moments are saved by the parameters' names, as
//! plain f32, beside the adapter.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPS: f64 = 1e-8;

/// First and second moments of every trained tensor, by name; each a row.
#[derive(Debug, Default)]
pub struct AdamW {
    pub(crate) moments: BTreeMap<String, (Tensor<1>, Tensor<1>)>,
    /// Updates done.
    pub updates: u64,
}

impl AdamW {
    /// Begins an update: the bias corrections below count it.
    pub(crate) fn begin(&mut self) {
        self.updates += 1;
    }

    /// New values of the tensor `name`:
    /// `p - lr·decay·p - lr·m̂ / (√v̂ + eps)`.
    pub(crate) fn update(
        &mut self,
        name: &str,
        values: Tensor<1>,
        gradient: Tensor<1>,
        learning_rate: f64,
        weight_decay: f64,
    ) -> Tensor<1> {
        let (m, v) = match self.moments.remove(name) {
            Some(moments) => moments,
            None => (gradient.zeros_like(), gradient.zeros_like()),
        };
        let m = m * BETA1 + gradient.clone() * (1.0 - BETA1);
        let v = v * BETA2 + gradient.square() * (1.0 - BETA2);
        let t = i32::try_from(self.updates).unwrap_or(i32::MAX);
        let (correction1, correction2) = (1.0 - BETA1.powi(t), 1.0 - BETA2.powi(t));
        let denominator = v.clone().sqrt() / correction2.sqrt() + EPS;
        let step = m.clone() / denominator * (learning_rate / correction1);
        self.moments.insert(name.to_owned(), (m, v));
        values * (1.0 - learning_rate * weight_decay) - step
    }
}
