//! The encoder: Devlin et al. 2019, arXiv 1810.04805. Norms stand after the residual, GELU is the exact one.
//!
//! Names of fields are those of Hugging Face checkpoints. Every token is of segment 0, as in the paper. Dimensions: `B`
//! batch, `T` tokens, `D` model, `H` heads, `E` head width, `F` feed-forward width.

use burn::module::{Module, Param};
use burn::tensor::activation::{gelu, softmax};
use burn::tensor::{Bool, DType, Int, Tensor};

use super::batch::TokenBatch;
use super::dropout::dropped;
use super::norm::LayerNorm;
use crate::config::BertConfig;
use crate::linear::Linear;
use crate::params::{Visitor, Walk};
use crate::weights::{Init, Weights};

/// Embeddings, layers and the pooler.
#[derive(Module, Debug)]
pub struct Bert {
    embeddings: Embeddings,
    layers: Vec<Layer>,
    pooler: Linear,
}

/// Token, position and segment, summed and normed.
#[derive(Module, Debug)]
struct Embeddings {
    word_embeddings: Param<Tensor<2>>,
    position_embeddings: Param<Tensor<2>>,
    token_type_embeddings: Param<Tensor<2>>,
    layer_norm: LayerNorm,
    dropout_prob: f64,
}

/// Attention and feed-forward, each beside a residual and before a norm.
#[derive(Module, Debug)]
struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    attention_output: Output,
    intermediate: Linear,
    output: Output,
    num_heads: usize,
    attention_dropout_prob: f64,
}

/// `norm(residual + dropout(dense(x)))`.
#[derive(Module, Debug)]
struct Output {
    dense: Linear,
    layer_norm: LayerNorm,
    dropout_prob: f64,
}

impl Bert {
    /// Takes every tensor of a model of this shape from `weights`, in forward order, frozen.
    pub fn build<W: Weights>(config: &BertConfig, weights: &mut W) -> Self {
        let d = config.hidden_size;
        Self {
            embeddings: Embeddings::build(config, weights),
            layers: (0..config.num_hidden_layers)
                .map(|i| Layer::build(config, weights, &format!("bert.encoder.layer.{i}")))
                .collect(),
            pooler: Linear::build(weights, "bert.pooler.dense", [d, d], true, config.initializer_range),
        }
    }

    /// Hidden states after the last layer.
    ///
    /// # Shapes
    /// - result: `[B, T, D]`; what stands at padding is meaningless
    #[must_use]
    pub fn forward(&self, batch: &TokenBatch) -> Tensor<3> {
        let mut x = self.embeddings.forward(batch.ids());
        let padding = batch.padding(); // [B, T]
        for layer in &self.layers {
            x = layer.forward(x, &padding);
        }
        x
    }

    /// What a head reads: the first token's state through a dense layer and tanh.
    ///
    /// # Shapes
    /// - result: `[B, D]`
    #[must_use]
    pub fn pooled(&self, batch: &TokenBatch) -> Tensor<2> {
        let first = self.forward(batch).narrow(1, 0, 1).squeeze_dim::<2>(1); // [B, D]
        self.pooler.forward(first).tanh()
    }
}

impl Embeddings {
    fn build<W: Weights>(config: &BertConfig, weights: &mut W) -> Self {
        let d = config.hidden_size;
        let std = Init::Normal(config.initializer_range);
        let mut table = |name: &str, rows: usize| {
            weights.param(&format!("bert.embeddings.{name}.weight"), [rows, d], std)
        };
        Self {
            word_embeddings: table("word_embeddings", config.vocab_size),
            position_embeddings: table("position_embeddings", config.max_position_embeddings),
            token_type_embeddings: table("token_type_embeddings", config.type_vocab_size),
            layer_norm: LayerNorm::build(weights, "bert.embeddings.LayerNorm", d, config.layer_norm_eps),
            dropout_prob: config.hidden_dropout_prob,
        }
    }

    fn forward(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        let [_, tokens] = ids.dims();
        let rows = self.position_embeddings.lazy_shape()[0];
        assert!(tokens <= rows, "a note of {tokens} tokens, and embeddings for {rows} positions");
        let words = burn::tensor::module::embedding(self.word_embeddings.val(), ids); // [B, T, D]
        let places = self.position_embeddings.val().narrow(0, 0, tokens);
        let segment = self.token_type_embeddings.val().narrow(0, 0, 1);
        let x = words + (places + segment).unsqueeze::<3>();
        dropped(self.layer_norm.forward(x), self.dropout_prob)
    }
}

impl Layer {
    fn build<W: Weights>(config: &BertConfig, weights: &mut W, path: &str) -> Self {
        let (d, f, std) = (config.hidden_size, config.intermediate_size, config.initializer_range);
        let mut linear = |name: &str, shape: [usize; 2]| {
            Linear::build(weights, &format!("{path}.{name}"), shape, true, std)
        };
        let query = linear("attention.self.query", [d, d]);
        let key = linear("attention.self.key", [d, d]);
        let value = linear("attention.self.value", [d, d]);
        let attention_output = Output::build(config, weights, &format!("{path}.attention.output"), d);
        let intermediate = Linear::build(weights, &format!("{path}.intermediate.dense"), [f, d], true, std);
        Self {
            query,
            key,
            value,
            attention_output,
            intermediate,
            output: Output::build(config, weights, &format!("{path}.output"), f),
            num_heads: config.num_attention_heads,
            attention_dropout_prob: config.attention_probs_dropout_prob,
        }
    }

    fn forward(&self, x: Tensor<3>, padding: &Tensor<2, Bool>) -> Tensor<3> {
        let attended = self.attend(x.clone(), padding);
        let x = self.attention_output.forward(attended, x);
        let inner = gelu(self.intermediate.forward(x.clone())); // [B, T, F]
        self.output.forward(inner, x)
    }

    /// Every token sees every token of its note, `[B, T, D]`.
    fn attend(&self, x: Tensor<3>, padding: &Tensor<2, Bool>) -> Tensor<3> {
        let [b, t, d] = x.dims();
        let (h, e) = (self.num_heads, d / self.num_heads);
        let heads = |x: Tensor<3>| x.reshape([b, t, h, e]).swap_dims(1, 2); // [B, H, T, E]
        let q = heads(self.query.forward(x.clone()));
        let k = heads(self.key.forward(x.clone()));
        let v = heads(self.value.forward(x));
        #[expect(clippy::cast_precision_loss, reason = "a head's width is far below 2^52")]
        let scale = 1.0 / (e as f64).sqrt();
        let dtype = q.dtype();
        let scores = q.matmul(k.swap_dims(2, 3)) * scale; // [B, H, T, T]
        let hidden = padding.clone().reshape([b, 1, 1, t]).expand([b, h, t, t]);
        let shares = softmax(scores.cast(DType::F32).mask_fill(hidden, f64::NEG_INFINITY), 3);
        let shares = dropped(shares.cast(dtype), self.attention_dropout_prob);
        shares.matmul(v).swap_dims(1, 2).reshape([b, t, d])
    }
}

impl Output {
    fn build<W: Weights>(config: &BertConfig, weights: &mut W, path: &str, inputs: usize) -> Self {
        let d = config.hidden_size;
        let dense = format!("{path}.dense");
        Self {
            dense: Linear::build(weights, &dense, [d, inputs], true, config.initializer_range),
            layer_norm: LayerNorm::build(weights, &format!("{path}.LayerNorm"), d, config.layer_norm_eps),
            dropout_prob: config.hidden_dropout_prob,
        }
    }

    fn forward(&self, x: Tensor<3>, residual: Tensor<3>) -> Tensor<3> {
        let x = dropped(self.dense.forward(x), self.dropout_prob);
        self.layer_norm.forward(x + residual)
    }
}

impl Walk for Bert {
    fn walk(&mut self, visitor: &mut dyn Visitor) {
        let embeddings = &mut self.embeddings;
        for (name, table) in [
            ("word_embeddings", &mut embeddings.word_embeddings),
            ("position_embeddings", &mut embeddings.position_embeddings),
            ("token_type_embeddings", &mut embeddings.token_type_embeddings),
        ] {
            visitor.matrix(&format!("bert.embeddings.{name}.weight"), table);
        }
        embeddings.layer_norm.walk("bert.embeddings.LayerNorm", visitor);
        for (i, layer) in self.layers.iter_mut().enumerate() {
            let path = format!("bert.encoder.layer.{i}");
            visitor.linear(&format!("{path}.attention.self.query"), &mut layer.query);
            visitor.linear(&format!("{path}.attention.self.key"), &mut layer.key);
            visitor.linear(&format!("{path}.attention.self.value"), &mut layer.value);
            layer.attention_output.walk(&format!("{path}.attention.output"), visitor);
            visitor.linear(&format!("{path}.intermediate.dense"), &mut layer.intermediate);
            layer.output.walk(&format!("{path}.output"), visitor);
        }
        visitor.linear("bert.pooler.dense", &mut self.pooler);
    }
}

impl Output {
    fn walk(&mut self, path: &str, visitor: &mut dyn Visitor) {
        visitor.linear(&format!("{path}.dense"), &mut self.dense);
        self.layer_norm.walk(&format!("{path}.LayerNorm"), visitor);
    }
}
