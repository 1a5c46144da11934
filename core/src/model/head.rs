//! What stands on the networks: the language-modelling head and the classification head, and their losses.

use std::borrow::Cow;

use burn::module::{Module, Param};
use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, Int, Tensor, TensorData};

use super::batch::TokenBatch;
use super::bert::Bert;
use super::dropout::dropped;
use super::llama::Llama;
use crate::config::{BertConfig, LlamaConfig, ModelConfig};
use crate::error::{Error, Misshapen};
use crate::kernels::cross_entropy::projected_cross_entropy;
use crate::linear::Linear;
use crate::params::{ParamMut, Visitor, Walk, for_each_site};
use crate::task::TaskKind;
use crate::weights::Weights;

/// A decoder that predicts the next token.
#[derive(Module, Debug)]
pub struct CausalLm {
    /// The decoder.
    pub model: Llama,
    lm_head: Option<Linear>,
}

impl CausalLm {
    /// Takes a model of this shape from `weights`; the head is the embedding table itself where `config` ties them.
    pub fn build<W: Weights>(config: &LlamaConfig, weights: &mut W) -> Self {
        let model = Llama::build(config, weights);
        let shape = [config.vocab_size, config.hidden_size];
        let lm_head = (!config.tie_word_embeddings)
            .then(|| Linear::build(weights, "lm_head", shape, false, config.initializer_range));
        Self { model, lm_head }
    }

    /// Unnormalised log-probabilities of the next token at each token of the notes, f32.
    ///
    /// # Shapes
    /// - result: `[B, T, V]`
    #[must_use]
    pub fn logits(&self, batch: &TokenBatch) -> Tensor<3> {
        let before = self.model.num_virtual_tokens();
        let hidden = self.model.forward(batch.ids()); // [B, v + T, D]
        self.project(hidden.narrow(1, before, batch.dims()[1]))
    }

    /// Number of tokens that have a predecessor: all of a note but its first, and the first too where virtual tokens
    /// stand before it, as in PEFT.
    #[must_use]
    pub fn num_targets(&self, batch: &TokenBatch) -> usize {
        batch.lengths().map(|tokens| self.num_targets_of(tokens)).sum()
    }

    /// [`num_targets`](Self::num_targets) of one note of this many tokens.
    #[must_use]
    pub fn num_targets_of(&self, tokens: usize) -> usize {
        // The very first of all tokens, virtual ones included, has none before it.
        (self.model.num_virtual_tokens() + tokens).saturating_sub(1).min(tokens)
    }

    /// Negative log-likelihood summed over every token that has a predecessor, f32. Padding is never projected.
    ///
    /// Divide by [`num_targets`](Self::num_targets), or by that of a whole update, for a mean.
    ///
    /// # Shapes
    /// - result: `[1]`
    #[must_use]
    pub fn nll_sum(&self, batch: &TokenBatch) -> Tensor<1> {
        if self.num_targets(batch) == 0 {
            return Tensor::zeros([1], (&batch.ids().device(), DType::F32));
        }
        self.nll_sum_of(self.model.forward_batch(batch), batch)
    }

    /// [`nll_sum`](Self::nll_sum) of the decoder's states of a batch with something to predict.
    ///
    /// # Shapes
    /// - `hidden`: as [`Llama::forward_batch`] makes them
    /// - result: `[1]`
    #[must_use]
    pub fn nll_sum_of(&self, hidden: Tensor<3>, batch: &TokenBatch) -> Tensor<1> {
        let (hidden, targets) = self.next_tokens(hidden, batch);
        match &self.lm_head {
            Some(head) => head.cross_entropy(hidden, targets),
            None => projected_cross_entropy(hidden, self.model.table(), targets),
        }
    }

    /// Negative log-likelihood of every token that has a predecessor, f32, note by note; none if there is no such token. A
    /// note has [`num_targets_of`](Self::num_targets_of) of them.
    ///
    /// # Shapes
    /// - result: `[N]`
    #[must_use]
    pub fn token_nll(&self, batch: &TokenBatch) -> Option<Tensor<1>> {
        if self.num_targets(batch) == 0 {
            return None;
        }
        let (hidden, targets) = self.next_tokens(self.model.forward_batch(batch), batch);
        let picked = log_softmax(self.project(hidden), 1).gather(1, targets.unsqueeze_dim(1)); // [N, 1]
        Some(picked.squeeze_dim::<1>(1).neg())
    }

    /// Of the decoder's states those `[N, D]` of the tokens that have a successor in their note, and the successors `[N]`.
    fn next_tokens(&self, hidden: Tensor<3>, batch: &TokenBatch) -> (Tensor<2>, Tensor<1, Int>) {
        let (rows, targets) = batch.next_token_rows(self.model.num_virtual_tokens());
        (hidden.flatten::<2>(0, 1).select(0, batch.int_row(rows)), batch.int_row(targets))
    }

    fn project<const N: usize>(&self, hidden: Tensor<N>) -> Tensor<N> {
        let logits = match &self.lm_head {
            Some(head) => head.forward(hidden),
            None => {
                let table = self.model.table().transpose();
                burn::tensor::module::linear(hidden, table, None)
            }
        };
        logits.cast(DType::F32)
    }
}

impl Walk for CausalLm {
    fn walk(&mut self, visitor: &mut dyn Visitor) {
        self.model.walk(visitor);
        if let Some(head) = self.lm_head.as_mut() {
            visitor.linear("lm_head", head);
        }
    }
}

/// The network under a classification head.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "a program holds one")]
pub enum Backbone {
    /// A decoder, read at a note's last token.
    Llama(Llama),
    /// An encoder, read through its pooler.
    Bert(Bert),
}

impl Backbone {
    /// Takes a model of this shape, without any head, from `weights`.
    pub fn build<W: Weights>(config: &ModelConfig, weights: &mut W) -> Self {
        match config {
            ModelConfig::Llama(config) => Self::Llama(Llama::build(config, weights)),
            ModelConfig::Bert(config) => Self::Bert(Bert::build(config, weights)),
        }
    }

    /// What a head reads of each note.
    ///
    /// # Shapes
    /// - result: `[B, D]`
    #[must_use]
    pub fn pooled(&self, batch: &TokenBatch) -> Tensor<2> {
        match self {
            Self::Llama(model) => pooled_of(model, model.forward_batch(batch), batch),
            Self::Bert(model) => model.pooled(batch),
        }
    }
}

/// What a head reads of each note of `hidden`, as [`Llama::forward_batch`] makes them: `[B, D]`.
fn pooled_of(model: &Llama, hidden: Tensor<3>, batch: &TokenBatch) -> Tensor<2> {
    let rows = batch.int_row(batch.read_rows(model.num_virtual_tokens()));
    hidden.flatten::<2>(0, 1).select(0, rows)
}

impl From<Llama> for Backbone {
    fn from(model: Llama) -> Self {
        Self::Llama(model)
    }
}

impl From<Bert> for Backbone {
    fn from(model: Bert) -> Self {
        Self::Bert(model)
    }
}

impl Walk for Backbone {
    fn walk(&mut self, visitor: &mut dyn Visitor) {
        match self {
            Self::Llama(model) => model.walk(visitor),
            Self::Bert(model) => model.walk(visitor),
        }
    }
}

/// What differs between the heads of the architectures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeadShape {
    path: &'static str,
    width: usize,
    bias: bool,
    std: f64,
    dropout_prob: f64,
}

impl From<&LlamaConfig> for HeadShape {
    fn from(config: &LlamaConfig) -> Self {
        Self {
            path: SCORE,
            width: config.hidden_size,
            bias: false,
            std: config.initializer_range,
            dropout_prob: 0.0,
        }
    }
}

impl From<&BertConfig> for HeadShape {
    fn from(config: &BertConfig) -> Self {
        Self {
            path: CLASSIFIER,
            width: config.hidden_size,
            bias: true,
            std: config.initializer_range,
            dropout_prob: config.classifier_dropout_prob,
        }
    }
}

impl From<&ModelConfig> for HeadShape {
    fn from(config: &ModelConfig) -> Self {
        match config {
            ModelConfig::Llama(config) => config.into(),
            ModelConfig::Bert(config) => config.into(),
        }
    }
}

/// Where a head reads a decoder's output; a BERT is read at its first token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pooling {
    /// At the last token of a note.
    #[default]
    LastToken,
    /// At place `tokens`, which a shorter note is padded to. Hugging Face reads there if the pad id of the configuration
    /// is not that of the tokenizer.
    LastPosition {
        /// Place, from 1.
        tokens: usize,
        /// What notes are padded with.
        pad_id: u32,
    },
}

/// A model that classifies notes.
#[derive(Module, Debug)]
pub struct Classifier {
    /// The network under the head.
    pub model: Backbone,
    score: Linear,
    dropout_prob: f64,
    #[module(skip)]
    path: &'static str,
    #[module(skip)]
    pooling: Pooling,
}

/// Path of the classification head, as in `LlamaForSequenceClassification`.
pub const SCORE: &str = "score";

/// Path of the classification head, as in `BertForSequenceClassification`.
pub const CLASSIFIER: &str = "classifier";

/// Paths of classification heads: LLaMA's, without a bias, and BERT's, with one.
pub const HEADS: [&str; 2] = [SCORE, CLASSIFIER];

/// Whether a tensor of this name is a classification head's.
#[must_use]
pub fn is_head(name: &str) -> bool {
    name.split_once('.').is_some_and(|(path, _)| HEADS.contains(&path))
}

impl Classifier {
    /// Puts a head of `num_labels` outputs on `model`; its values come from `weights`, trainable.
    pub fn build<W: Weights>(
        model: impl Into<Backbone>,
        head: impl Into<HeadShape>,
        num_labels: usize,
        weights: &mut W,
    ) -> Self {
        let head = head.into();
        let mut score = Linear::build(weights, head.path, [num_labels, head.width], head.bias, head.std);
        if let Some(weight) = score.parameter_mut() {
            *weight = weight.clone().set_require_grad(true);
        }
        score.bias = score.bias.map(|bias| bias.set_require_grad(true));
        let pooling = Pooling::default();
        Self { model: model.into(), score, dropout_prob: head.dropout_prob, path: head.path, pooling }
    }

    /// Values a head reads of a note, `D`.
    #[must_use]
    pub fn head_width(&self) -> usize {
        self.score.shape()[1]
    }

    /// Reads notes elsewhere from now on.
    pub fn set_pooling(&mut self, pooling: Pooling) {
        self.pooling = pooling;
    }

    /// Unnormalised scores of each note, f32.
    ///
    /// # Shapes
    /// - result: `[B, labels]`
    #[must_use]
    pub fn logits(&self, batch: &TokenBatch) -> Tensor<2> {
        self.scores(self.pooled(batch))
    }

    /// What the head reads of each note.
    ///
    /// # Shapes
    /// - result: `[B, D]`
    #[must_use]
    pub fn pooled(&self, batch: &TokenBatch) -> Tensor<2> {
        self.model.pooled(&self.as_read(batch))
    }

    /// `batch` as the network runs it, padded where the head reads at padding.
    #[must_use]
    pub fn as_read<'a>(&self, batch: &'a TokenBatch) -> Cow<'a, TokenBatch> {
        match (self.pooling, &self.model) {
            (Pooling::LastPosition { tokens, pad_id }, Backbone::Llama(_)) => {
                Cow::Owned(batch.read_at(tokens, pad_id))
            }
            _ => Cow::Borrowed(batch),
        }
    }

    /// Unnormalised scores of a decoder's states, f32; none if the network is no decoder.
    ///
    /// # Shapes
    /// - `hidden`: of the batch [as read](Self::as_read), as [`Llama::forward_batch`] makes them
    /// - result: `[B, labels]`
    #[must_use]
    pub fn scores_of(&self, hidden: Tensor<3>, batch: &TokenBatch) -> Option<Tensor<2>> {
        let model = self.decoder()?;
        Some(self.scores(pooled_of(model, hidden, batch)))
    }

    /// The network, if it is a decoder.
    #[must_use]
    pub fn decoder(&self) -> Option<&Llama> {
        match &self.model {
            Backbone::Llama(model) => Some(model),
            Backbone::Bert(_) => None,
        }
    }

    /// The head alone: scores of what it [reads](Self::pooled).
    ///
    /// # Shapes
    /// - `pooled`: `[B, D]`
    /// - result: `[B, labels]`
    #[must_use]
    pub fn scores(&self, pooled: Tensor<2>) -> Tensor<2> {
        self.score.forward(dropped(pooled, self.dropout_prob).cast(DType::F32))
    }
}

/// Values of a classification head.
#[derive(Debug, Clone)]
pub struct HeadValues {
    /// `[labels, D]`.
    pub weight: Tensor<2>,
    /// `[labels]`: BERT's heads have one, LLaMA's have none.
    pub bias: Option<Tensor<1>>,
}

impl HeadValues {
    /// Path of the head these values are for.
    #[must_use]
    pub fn path(&self) -> &'static str {
        HEADS[usize::from(self.bias.is_some())]
    }

    /// Number of labels.
    #[must_use]
    pub fn num_labels(&self) -> usize {
        self.weight.dims()[0]
    }
}

/// Values of the classification head of `model`, if it has one.
pub fn head_values(model: &mut dyn Walk) -> Option<HeadValues> {
    let mut values = None;
    for_each_site(model, |path, linear| {
        if HEADS.contains(&path) {
            let weight = linear.parameter().map(Param::val);
            values = weight.map(|weight| HeadValues { weight, bias: linear.bias.as_ref().map(Param::val) });
        }
    });
    values
}

/// Replaces the values of the classification head; a model without a head is left as it is.
///
/// # Errors
/// [`Error::Tensors`] if `values` are of another shape than the head, or of the head of another architecture.
pub fn set_head_values(model: &mut dyn Walk, values: &HeadValues) -> Result<(), Error> {
    let (mut missing, mut unexpected, mut misshapen) = (Vec::new(), Vec::new(), Vec::new());
    for_each_site(model, |path, linear| {
        if !HEADS.contains(&path) {
            return;
        }
        if linear.bias.is_some() != values.bias.is_some() {
            missing.push(format!("{path}.weight"));
            unexpected.push(format!("{}.weight", values.path()));
            return;
        }
        if linear.shape() != values.weight.dims() {
            misshapen.push(Misshapen {
                name: format!("{path}.weight"),
                expected: linear.shape().to_vec(),
                found: values.weight.dims().to_vec(),
            });
            return;
        }
        if let Some(weight) = linear.parameter_mut() {
            ParamMut::Matrix(weight).set_flat(values.weight.clone().flatten(0, 1));
        }
        if let (Some(bias), Some(values)) = (linear.bias.as_mut(), &values.bias) {
            ParamMut::Vector(bias).set_flat(values.clone());
        }
    });
    if missing.is_empty() && misshapen.is_empty() {
        return Ok(());
    }
    let what = "the classification head".to_owned();
    Err(Error::Tensors { what, missing, unexpected, misshapen })
}

impl Walk for Classifier {
    fn walk(&mut self, visitor: &mut dyn Visitor) {
        self.model.walk(visitor);
        visitor.linear(self.path, &mut self.score);
    }
}

/// Loss of a batch of classified notes, in two parts so that micro-batches of one update can be weighed together:
/// the loss is `sum / weight`.
#[derive(Debug)]
pub struct WeightedLoss {
    /// Weighted sum of the notes' losses, `[1]`.
    pub sum: Tensor<1>,
    /// Sum of the weights.
    pub weight: f64,
}

/// Loss of `logits` (`[B, labels]`) against the truth of each note, one 0/1 row over the labels per note.
///
/// - One label per note: cross-entropy, each note weighing as its class does; the mean is `Σ w·nll / Σ w`, as
///   PyTorch's. Without `class_weights` every class weighs 1.
/// - Any number of labels: binary cross-entropy on logits, the mean over notes and labels.
///
/// # Panics
/// If `targets` does not have one row of `labels` values per note, or a single-label row has no 1.
#[must_use]
pub fn classification_loss(
    kind: TaskKind,
    logits: Tensor<2>,
    targets: &[Vec<f32>],
    class_weights: Option<&[f64]>,
) -> WeightedLoss {
    let [notes, labels] = logits.dims();
    assert_eq!(targets.len(), notes, "one target row per note");
    let device = logits.device();
    let matrix = |values: Vec<f32>| -> Tensor<2> {
        Tensor::from_data(TensorData::new(values, [notes, labels]), (&device, DType::F32))
    };
    match kind {
        TaskKind::Multilabel => {
            let target = matrix(targets.concat());
            // max(x, 0) - x·y + ln(1 + e^-|x|): the form that overflows nowhere.
            let loss =
                logits.clone().clamp_min(0.0) - logits.clone() * target + logits.abs().neg().exp().log1p();
            #[expect(clippy::cast_precision_loss, reason = "a batch holds fewer than 2^52 labels")]
            let weight = (notes * labels) as f64;
            WeightedLoss { sum: loss.sum(), weight }
        }
        TaskKind::Binary | TaskKind::Multiclass => {
            let weight_of = |row: &Vec<f32>| -> f64 {
                let class = row.iter().position(|v| *v > 0.0).expect("a single-label note has a label");
                class_weights.map_or(1.0, |weights| weights[class])
            };
            let weights: Vec<f64> = targets.iter().map(weight_of).collect();
            #[expect(clippy::cast_possible_truncation, reason = "class weights are meant to be f32")]
            let scaled =
                targets.iter().zip(&weights).flat_map(|(row, w)| row.iter().map(|v| v * *w as f32)).collect();
            let sum = (log_softmax(logits, 1) * matrix(scaled)).sum().neg();
            WeightedLoss { sum, weight: weights.iter().sum() }
        }
    }
}
