//! What a run minimises: the next token of a note, or the labels of a task.

use burn::module::Module;
use burn::tensor::{Device, Gradients, Tensor};
use clinlora_core::model::batch::TokenBatch;
use clinlora_core::model::head::{CausalLm, Classifier, classification_loss};
use clinlora_core::model::llama::Llama;
use clinlora_core::model::recompute::backward_by_blocks;
use clinlora_core::params::Walk;
use clinlora_core::task::{ClassWeighting, Task, TaskKind};

use crate::dataset::Sample;
use crate::dataset::order::by_length;
use crate::error::{Error, Result};
use crate::eval::{self, EvalOptions};
use crate::features::Features;
use crate::recipe::Scores;

/// A loss that is a weighted mean over notes or tokens, in parts that micro-batches can sum.
pub trait Objective {
    /// The model it is computed with.
    type Model: Module + Walk;

    /// Total weight of `samples` for `model`: what their summed loss is divided by.
    fn weight(&self, model: &Self::Model, samples: &[&Sample]) -> f64;

    /// Summed loss of `samples`, `[1]`.
    fn loss_sum(&self, model: &Self::Model, samples: &[&Sample], device: &Device) -> Result<Tensor<1>>;

    /// Shows `take` the gradients of the summed loss over `divisor`, in one part or several, and returns that loss, `[1]` and
    /// without autodiff. With `recompute`, a seed of dropout, what is within a block is computed twice and not kept.
    fn backward(
        &self,
        model: &mut Self::Model,
        samples: &[&Sample],
        device: &Device,
        divisor: f64,
        recompute: Option<u64>,
        take: Take<'_, Self::Model>,
    ) -> Result<Tensor<1>> {
        if let Some(seed) = recompute
            && self.runs_network()
        {
            return self.backward_by_blocks(model, samples, device, divisor, seed, take);
        }
        let loss = self.loss_sum(model, samples, device)? / divisor;
        take(model, &mut loss.backward());
        Ok(loss.inner())
    }

    /// [`backward`](Self::backward) with what is within a block computed twice.
    fn backward_by_blocks(
        &self,
        model: &mut Self::Model,
        samples: &[&Sample],
        device: &Device,
        divisor: f64,
        seed: u64,
        take: Take<'_, Self::Model>,
    ) -> Result<Tensor<1>>;

    /// Whether `exp` of the loss is a perplexity.
    fn has_perplexity(&self) -> bool {
        false
    }

    /// Whether the network itself is run, and not its head alone on what is known of every note.
    fn runs_network(&self) -> bool {
        true
    }

    /// How good `model` (without autodiff) is on held-out `samples`.
    fn validate(&self, model: &Self::Model, samples: &[Sample], device: &Device) -> Result<Validation>;
}

/// Takes the gradients of a model's tensors.
pub type Take<'a, M> = &'a mut dyn FnMut(&mut M, &mut Gradients);

/// One look at held-out notes.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Validation {
    /// Unweighted mean loss.
    pub loss: f64,
    /// AUROC, where the task has one and it can be computed.
    pub auroc: Option<f64>,
}

/// Tokens, padding included, in one forward pass of validation and prediction: 16 notes of the paper's length.
const BATCH_TOKENS: usize = 16 * 128;

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
        Ok(model.nll_sum(&batch(samples, device)?.without_padding()))
    }

    fn backward_by_blocks(
        &self,
        model: &mut CausalLm,
        samples: &[&Sample],
        device: &Device,
        divisor: f64,
        seed: u64,
        take: Take<'_, CausalLm>,
    ) -> Result<Tensor<1>> {
        let batch = batch(samples, device)?.without_padding();
        let loss = |model: &CausalLm, hidden| model.nll_sum_of(hidden, &batch) / divisor;
        Ok(backward_by_blocks(model, |model| &model.model, &batch, seed, loss, take))
    }

    fn validate(&self, model: &CausalLm, samples: &[Sample], device: &Device) -> Result<Validation> {
        let parts = eval::perplexity::batch_losses(model, samples, 1, device)?;
        Ok(Validation { loss: eval::perplexity::Perplexity::of(&parts).nll, auroc: None })
    }
}

/// Cross-entropy or binary cross-entropy over the labels of a task.
pub(crate) struct Classification {
    kind: TaskKind,
    labels: usize,
    class_weights: Option<Vec<f64>>,
    scores: Scores,
    features: Option<Features>,
}

impl Classification {
    /// The objective of `task`; class weights, if it has them, come from the training notes. Labels of a multilabel task are
    /// ranked by `scores` in validation.
    pub(crate) fn new(task: &Task, train: &[Sample], scores: Scores) -> Result<Self> {
        let class_weights = match task.class_weighting {
            ClassWeighting::None => None,
            ClassWeighting::Balanced => Some(balanced(task, train)?),
        };
        Ok(Self { kind: task.kind, labels: task.labels.len(), class_weights, scores, features: None })
    }
}

impl Classification {
    /// The objective of any task of this kind, without class weights.
    #[cfg(feature = "cpu")]
    pub(crate) fn unweighted(kind: TaskKind, labels: usize) -> Self {
        Self { kind, labels, class_weights: None, scores: Scores::default(), features: None }
    }

    /// From now on takes what the head reads of a note from `features`, which hold every note, rather than compute it.
    pub(crate) fn read_features(&mut self, features: Features) {
        self.features = Some(features);
    }

    fn logits(&self, model: &Classifier, samples: &[&Sample], device: &Device) -> Result<Tensor<2>> {
        match &self.features {
            Some(features) => Ok(model.scores(features.pooled(samples, device)?)),
            None => Ok(model.logits(&batch(samples, device)?)),
        }
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

    fn runs_network(&self) -> bool {
        self.features.is_none()
    }

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
        let logits = match &self.features {
            Some(_) => self.logits(model, samples, device)?,
            None => model.logits(&batch(samples, device)?.without_padding()),
        };
        Ok(classification_loss(self.kind, logits, &targets, self.class_weights.as_deref()).sum)
    }

    fn backward_by_blocks(
        &self,
        model: &mut Classifier,
        samples: &[&Sample],
        device: &Device,
        divisor: f64,
        seed: u64,
        take: Take<'_, Classifier>,
    ) -> Result<Tensor<1>> {
        if model.decoder().is_none() {
            return Err(Error::Input("training.recompute: only a LLaMA is trained so; leave it out".into()));
        }
        let targets: Vec<Vec<f32>> = samples.iter().map(|sample| sample.target.clone()).collect();
        let batch = model.as_read(&batch(samples, device)?.without_padding()).into_owned();
        let loss = |model: &Classifier, hidden| {
            let logits = model.scores_of(hidden, &batch).expect("checked to be on a decoder");
            classification_loss(self.kind, logits, &targets, self.class_weights.as_deref()).sum / divisor
        };
        Ok(backward_by_blocks(model, decoder_of, &batch, seed, loss, take))
    }

    fn validate(&self, model: &Classifier, samples: &[Sample], device: &Device) -> Result<Validation> {
        let mut logits = Rows::new(samples.len());
        in_batches(samples, |places, notes| {
            logits.put(places, self.logits(model, notes, device)?);
            Ok(())
        })?;
        let logits = logits.concat();
        let labels = eval::Labels::of(self.kind, samples.iter().map(|s| s.target.as_slice()));
        let metrics = eval::evaluate(self.kind, &labels, &logits, &EvalOptions::without_intervals())
            .map_err(eval::refused)?;
        Ok(Validation { loss: metrics.loss, auroc: metrics.auroc_by(self.scores) })
    }
}

/// The decoder of a model that was found to have one.
fn decoder_of(model: &Classifier) -> &Llama {
    model.decoder().expect("checked to be on a decoder")
}

/// Logits of every sample in its own order, `[n, labels]` row by row; `progress` is told how many are done.
pub(crate) fn predict(
    model: &Classifier,
    samples: &[Sample],
    device: &Device,
    mut progress: impl FnMut(usize),
) -> Result<Vec<f32>> {
    let mut logits = Rows::new(samples.len());
    let mut done = 0;
    in_batches(samples, |places, notes| {
        logits.put(places, model.logits(&batch(notes, device)?));
        done += places.len();
        progress(done);
        Ok(())
    })?;
    Ok(logits.concat())
}

/// Shows every sample to `f` once, in batches of like length, the longest first, with the samples' places. This is how
/// notes are run wherever nothing is learned from them: padding and company change no number of a note, so the batching
/// changes no result, only the time.
pub(crate) fn in_batches(
    samples: &[Sample],
    mut f: impl FnMut(&[usize], &[&Sample]) -> Result<()>,
) -> Result<()> {
    let lengths: Vec<usize> = samples.iter().map(|sample| sample.ids.len()).collect();
    for places in by_length(&lengths, BATCH_TOKENS) {
        let notes: Vec<&Sample> = places.iter().map(|place| &samples[*place]).collect();
        f(&places, &notes)?;
    }
    Ok(())
}

/// Rows of numbers that come in any order.
struct Rows(Vec<Vec<f32>>);

impl Rows {
    fn new(count: usize) -> Self {
        Self(vec![Vec::new(); count])
    }

    /// Puts the rows of `values` at `places`.
    fn put(&mut self, places: &[usize], values: Tensor<2>) {
        let width = values.dims()[1];
        let values = values.into_data_as::<f32>();
        let values = values.as_slice::<f32>().expect("asked for as f32");
        for (place, row) in places.iter().zip(values.chunks_exact(width)) {
            self.0[*place] = row.to_vec();
        }
    }

    fn concat(self) -> Vec<f32> {
        self.0.concat()
    }
}

/// Token ids of `samples` on `device`.
pub(crate) fn batch(samples: &[&Sample], device: &Device) -> Result<TokenBatch> {
    let ids: Vec<&[u32]> = samples.iter().map(|sample| sample.ids.as_slice()).collect();
    TokenBatch::new(&ids, device).map_err(|e| Error::Input(e.to_string()))
}
