//! What a run minimises: the next token of a note, or the labels of a task.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use clinlora_core::model::batch::TokenBatch;
use clinlora_core::model::head::{CausalLm, Classifier, classification_loss};
use clinlora_core::params::Walk;
use clinlora_core::task::{ClassWeighting, Task, TaskKind};

use crate::dataset::Sample;
use crate::dataset::order::by_length;
use crate::error::{Error, Result};
use crate::eval::{self, EvalOptions};

/// A loss that is a weighted mean over notes or tokens, in parts that micro-batches can sum.
pub trait Objective {
    /// The model it is computed with.
    type Model: Module + Walk;

    /// Total weight of `samples` for `model`: what their summed loss is divided by.
    fn weight(&self, model: &Self::Model, samples: &[&Sample]) -> f64;

    /// Summed loss of `samples`, `[1]`.
    fn loss_sum(&self, model: &Self::Model, samples: &[&Sample], device: &Device) -> Result<Tensor<1>>;

    /// Whether `exp` of the loss is a perplexity.
    fn has_perplexity(&self) -> bool {
        false
    }

    /// How good `model` (without autodiff) is on held-out `samples`.
    fn validate(&self, model: &Self::Model, samples: &[Sample], device: &Device) -> Result<Validation>;
}

/// One look at held-out notes.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Validation {
    /// Unweighted mean loss.
    pub loss: f64,
    /// AUROC, where the task has one and it can be computed.
    pub auroc: Option<f64>,
}

/// Notes in one forward pass of validation and prediction.
pub(crate) const EVAL_BATCH: usize = 16;

/// Negative log-likelihood of the next token.
pub struct LanguageModelling;

impl Objective for LanguageModelling {
    type Model = CausalLm;

    fn has_perplexity(&self) -> bool {
        true
    }

    #[expect(clippy::cast_precision_loss, reason = "token counts are far below 2^52")]
    fn weight(&self, model: &CausalLm, samples: &[&Sample]) -> f64 {
        let lengths = samples.iter().map(|sample| sample.ids.len());
        lengths.map(|tokens| model.num_targets_of(tokens)).sum::<usize>() as f64
    }

    fn loss_sum(&self, model: &CausalLm, samples: &[&Sample], device: &Device) -> Result<Tensor<1>> {
        Ok(model.nll_sum(&batch(samples, device)?))
    }

    fn validate(&self, model: &CausalLm, samples: &[Sample], device: &Device) -> Result<Validation> {
        let parts = eval::perplexity::batch_losses(model, samples, EVAL_BATCH, device)?;
        Ok(Validation { loss: eval::perplexity::Perplexity::of(&parts).nll, auroc: None })
    }
}

/// Cross-entropy or binary cross-entropy over the labels of a task.
pub(crate) struct Classification {
    kind: TaskKind,
    labels: usize,
    class_weights: Option<Vec<f64>>,
}

impl Classification {
    /// The objective of `task`; class weights, if it has them, come from the training notes.
    pub(crate) fn new(task: &Task, train: &[Sample]) -> Result<Self> {
        let class_weights = match task.class_weighting {
            ClassWeighting::None => None,
            ClassWeighting::Balanced => Some(balanced(task, train)?),
        };
        Ok(Self { kind: task.kind, labels: task.labels.len(), class_weights })
    }
}

/// `n / (classes · count of the class)`, as scikit-learn's `balanced`.
#[expect(clippy::cast_precision_loss, reason = "notes are far fewer than 2^52")]
fn balanced(task: &Task, train: &[Sample]) -> Result<Vec<f64>> {
    task.labels
        .iter()
        .enumerate()
        .map(|(class, label)| {
            let count = train.iter().filter(|sample| sample.target[class] > 0.0).count();
            if count == 0 {
                let message = format!("no training note of task {} is labelled {}", task.name, label.name);
                return Err(Error::Input(message));
            }
            Ok(train.len() as f64 / (task.labels.len() * count) as f64)
        })
        .collect()
}

impl Objective for Classification {
    type Model = Classifier;

    #[expect(clippy::cast_precision_loss, reason = "notes are far fewer than 2^52")]
    fn weight(&self, _model: &Classifier, samples: &[&Sample]) -> f64 {
        let class_weight = |sample: &&Sample, weights: &Vec<f64>| {
            sample.target.iter().zip(weights).map(|(t, w)| f64::from(*t) * w).sum::<f64>()
        };
        match (self.kind, &self.class_weights) {
            (TaskKind::Multilabel, _) => (samples.len() * self.labels) as f64,
            (_, Some(weights)) => samples.iter().map(|sample| class_weight(sample, weights)).sum(),
            (_, None) => samples.len() as f64,
        }
    }

    fn loss_sum(&self, model: &Classifier, samples: &[&Sample], device: &Device) -> Result<Tensor<1>> {
        let targets: Vec<Vec<f32>> = samples.iter().map(|sample| sample.target.clone()).collect();
        let logits = model.logits(&batch(samples, device)?);
        Ok(classification_loss(self.kind, logits, &targets, self.class_weights.as_deref()).sum)
    }

    fn validate(&self, model: &Classifier, samples: &[Sample], device: &Device) -> Result<Validation> {
        let logits = predict(model, samples, device, |_| {})?;
        let labels = eval::Labels::of(self.kind, samples.iter().map(|s| s.target.as_slice()));
        let metrics = eval::evaluate(self.kind, &labels, &logits, &EvalOptions::without_intervals())
            .map_err(eval::refused)?;
        Ok(Validation { loss: metrics.loss, auroc: metrics.auroc })
    }
}

/// Logits of every sample in its own order, `[n, labels]` row by row. Notes are run longest first in batches of like
/// length; padding changes no number, so neither does the batching.
pub(crate) fn predict(
    model: &Classifier,
    samples: &[Sample],
    device: &Device,
    mut progress: impl FnMut(usize),
) -> Result<Vec<f32>> {
    let lengths: Vec<usize> = samples.iter().map(|sample| sample.ids.len()).collect();
    let mut rows: Vec<Vec<f32>> = vec![Vec::new(); samples.len()];
    let mut done = 0;
    for group in by_length(&lengths, EVAL_BATCH) {
        let notes: Vec<&Sample> = group.iter().map(|i| &samples[*i]).collect();
        let logits = model.logits(&batch(&notes, device)?);
        let labels = logits.dims()[1];
        let values = logits.into_data_as::<f32>();
        let values = values.as_slice::<f32>().expect("asked for as f32");
        for (i, row) in group.iter().zip(values.chunks_exact(labels)) {
            rows[*i] = row.to_vec();
        }
        done += group.len();
        progress(done);
    }
    Ok(rows.concat())
}

/// Token ids of `samples` on `device`.
pub(crate) fn batch(samples: &[&Sample], device: &Device) -> Result<TokenBatch> {
    let ids: Vec<&[u32]> = samples.iter().map(|sample| sample.ids.as_slice()).collect();
    TokenBatch::new(&ids, device).map_err(|e| Error::Input(e.to_string()))
}
