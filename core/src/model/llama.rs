//! The decoder: Touvron et al. 2023, arXiv 2302.13971; grouped queries as in LLaMA 2 and 3.
//!
//! Names of fields are those of Hugging Face checkpoints. What adapters add is data that may be empty: deltas in a linear
//! layer, virtual tokens and key/value slots before a note, prompts of an attention layer's own. Dimensions: `B` batch, `T` tokens, `D` model, `H` heads,
//! `K` key/value heads, `E` head width, `F` feed-forward width.

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Int, Tensor};

use super::norm::RmsNorm;
use super::rope::{Rope, RopeTables};
use crate::config::LlamaConfig;
use crate::kernels::attention::causal_attention;
use crate::kernels::swiglu::swiglu;
use crate::linear::Linear;
use crate::params::{Visitor, Walk};
use crate::peft::adaption_prompt::AdaptionPrompt;
use crate::peft::preamble::{DecoderShape, KeyValues, Preamble};
use crate::weights::{Init, Weights};

/// Embedding, blocks and the final norm: token ids in, hidden states out.
#[derive(Module, Debug)]
pub struct Llama {
    pub(crate) embed_tokens: Param<Tensor<2>>,
    preamble: Preamble,
    layers: Vec<Block>,
    norm: RmsNorm,
    #[module(skip)]
    rope: Rope,
}

/// Attention and feed-forward, each behind a norm and beside a residual.
#[derive(Module, Debug)]
struct Block {
    input_layernorm: RmsNorm,
    self_attn: Attention,
    post_attention_layernorm: RmsNorm,
    mlp: Mlp,
}

/// Causal self-attention with rotary positions; `H / K` query heads share a key/value head.
#[derive(Module, Debug)]
struct Attention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
    prompts: Vec<AdaptionPrompt>,
    num_heads: usize,
    num_key_value_heads: usize,
    head_dim: usize,
}

/// `down(silu(gate(x)) · up(x))`.
#[derive(Module, Debug)]
struct Mlp {
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
}

impl Llama {
    /// Takes every tensor of a model of this shape from `weights`, in forward order, frozen.
    pub fn build<W: Weights>(config: &LlamaConfig, weights: &mut W) -> Self {
        let table = [config.vocab_size, config.hidden_size];
        let std = Init::Normal(config.initializer_range);
        Self {
            embed_tokens: weights.param("model.embed_tokens.weight", table, std),
            preamble: Preamble::new(DecoderShape::from(config)),
            layers: (0..config.num_hidden_layers)
                .map(|i| Block::build(config, weights, &format!("model.layers.{i}")))
                .collect(),
            norm: RmsNorm::build(weights, "model.norm", config.hidden_size, config.rms_norm_eps),
            rope: Rope::new(config),
        }
    }

    /// Virtual tokens that stand before every note.
    #[must_use]
    pub fn num_virtual_tokens(&self) -> usize {
        self.preamble.num_virtual_tokens()
    }

    /// Hidden states after the final norm, of the `v` virtual tokens and the note.
    ///
    /// # Shapes
    /// - `ids`: `[B, T]`
    /// - result: `[B, v + T, D]`
    #[must_use]
    pub fn forward(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        self.forward_observed(ids, |_| {})
    }

    /// As [`forward`](Self::forward), showing `observe` what enters each block.
    #[must_use]
    pub fn forward_observed(&self, ids: Tensor<2, Int>, mut observe: impl FnMut(&Tensor<3>)) -> Tensor<3> {
        let x = burn::tensor::module::embedding(self.embed_tokens.val(), ids); // [B, T, D]
        let mut x = self.preamble.prepend(x); // [B, v + T, D]
        let surroundings = Surroundings::new(&self.rope, &self.preamble, x.dims()[1], x.dtype(), &x.device());
        for (layer, block) in self.layers.iter().enumerate() {
            observe(&x);
            x = block.forward(x, &surroundings, layer);
        }
        self.norm.forward(x)
    }
}

/// What every attention layer of one forward pass shares.
struct Surroundings {
    rope: RopeTables,
    /// Keys and values before the tokens', by layer; empty if there are none.
    before: Vec<KeyValues>,
}

impl Surroundings {
    fn new(rope: &Rope, preamble: &Preamble, tokens: usize, dtype: DType, device: &Device) -> Self {
        let slots = preamble.num_slots();
        Self { rope: rope.tables(slots..slots + tokens, dtype, device), before: preamble.key_values(dtype) }
    }
}

impl Block {
    fn build<W: Weights>(config: &LlamaConfig, weights: &mut W, path: &str) -> Self {
        let (width, eps) = (config.hidden_size, config.rms_norm_eps);
        Self {
            input_layernorm: RmsNorm::build(weights, &format!("{path}.input_layernorm"), width, eps),
            self_attn: Attention::build(config, weights, &format!("{path}.self_attn")),
            post_attention_layernorm: RmsNorm::build(
                weights,
                &format!("{path}.post_attention_layernorm"),
                width,
                eps,
            ),
            mlp: Mlp::build(config, weights, &format!("{path}.mlp")),
        }
    }

    fn forward(&self, x: Tensor<3>, surroundings: &Surroundings, layer: usize) -> Tensor<3> {
        let attended = self.self_attn.forward(self.input_layernorm.forward(x.clone()), surroundings, layer);
        let x = x + attended;
        x.clone() + self.mlp.forward(self.post_attention_layernorm.forward(x))
    }
}

impl Attention {
    fn build<W: Weights>(config: &LlamaConfig, weights: &mut W, path: &str) -> Self {
        let (d, bias, std) = (config.hidden_size, config.attention_bias, config.initializer_range);
        let queries = config.num_attention_heads * config.head_dim;
        let keys = config.num_key_value_heads * config.head_dim;
        Self {
            q_proj: Linear::build(weights, &format!("{path}.q_proj"), [queries, d], bias, std),
            k_proj: Linear::build(weights, &format!("{path}.k_proj"), [keys, d], bias, std),
            v_proj: Linear::build(weights, &format!("{path}.v_proj"), [keys, d], bias, std),
            o_proj: Linear::build(weights, &format!("{path}.o_proj"), [d, queries], bias, std),
            prompts: Vec::new(),
            num_heads: config.num_attention_heads,
            num_key_value_heads: config.num_key_value_heads,
            head_dim: config.head_dim,
        }
    }

    fn forward(&self, x: Tensor<3>, surroundings: &Surroundings, layer: usize) -> Tensor<3> {
        let [b, t, _] = x.dims();
        let rope = &surroundings.rope;
        let q = self.heads(self.q_proj.forward(x.clone()), self.num_heads); // [B, H, T, E]
        let k = self.heads(self.k_proj.forward(x.clone()), self.num_key_value_heads); // [B, K, T, E]
        let v = self.heads(self.v_proj.forward(x), self.num_key_value_heads); // [B, K, T, E]
        let (q, k) = (rope.rotate(q), rope.rotate(k));
        let (k, v) = match surroundings.before.get(layer) {
            Some((keys, values)) => (behind(keys, k), behind(values, v)), // [B, K, S + T, E]
            None => (k, v),
        };
        let mixed = causal_attention(q.clone(), k, v); // [B, H, T, E]
        let active = self.prompts.iter().filter(|prompt| prompt.is_active());
        let mixed = active.fold(mixed, |mixed, prompt| mixed + self.attend(q.clone(), prompt));
        self.o_proj.forward(mixed.swap_dims(1, 2).reshape([b, t, self.num_heads * self.head_dim]))
    }

    /// What the queries find in a prompt of the layer's own, `[B, H, T, E]`.
    fn attend(&self, q: Tensor<4>, prompt: &AdaptionPrompt) -> Tensor<4> {
        let tokens = prompt.tokens(q.dtype());
        let k = self.heads(self.k_proj.forward(tokens.clone()), self.num_key_value_heads);
        let v = self.heads(self.v_proj.forward(tokens), self.num_key_value_heads);
        prompt.attend(q, self.shared(k), self.shared(v))
    }

    /// `[B, T, heads·E]` to `[B, heads, T, E]`.
    fn heads(&self, x: Tensor<3>, heads: usize) -> Tensor<4> {
        let [b, t, _] = x.dims();
        x.reshape([b, t, heads, self.head_dim]).swap_dims(1, 2)
    }

    /// Repeats each key/value head for the query heads that share it: `[B, K, T, E]` to `[B, H, T, E]`.
    fn shared(&self, x: Tensor<4>) -> Tensor<4> {
        let group = self.num_heads / self.num_key_value_heads;
        if group == 1 {
            return x;
        }
        let [b, k, t, e] = x.dims();
        x.unsqueeze_dim::<5>(2).repeat_dim(2, group).reshape([b, k * group, t, e])
    }
}

/// `before` `[K, S, E]` and then `x` `[B, K, T, E]`, along the tokens.
fn behind(before: &Tensor<3>, x: Tensor<4>) -> Tensor<4> {
    let [k, slots, e] = before.dims();
    let before = before.clone().unsqueeze::<4>().expand([x.dims()[0], k, slots, e]);
    Tensor::cat(vec![before, x], 2)
}

impl Mlp {
    fn build<W: Weights>(config: &LlamaConfig, weights: &mut W, path: &str) -> Self {
        let (d, f) = (config.hidden_size, config.intermediate_size);
        let (bias, std) = (config.mlp_bias, config.initializer_range);
        Self {
            gate_proj: Linear::build(weights, &format!("{path}.gate_proj"), [f, d], bias, std),
            up_proj: Linear::build(weights, &format!("{path}.up_proj"), [f, d], bias, std),
            down_proj: Linear::build(weights, &format!("{path}.down_proj"), [d, f], bias, std),
        }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let gated = swiglu(self.gate_proj.forward(x.clone()), self.up_proj.forward(x)); // [B, T, F]
        self.down_proj.forward(gated)
    }
}

impl Walk for Llama {
    fn walk(&mut self, visitor: &mut dyn Visitor) {
        visitor.matrix("model.embed_tokens.weight", &mut self.embed_tokens);
        visitor.preamble(&mut self.preamble);
        for (i, block) in self.layers.iter_mut().enumerate() {
            let path = format!("model.layers.{i}");
            visitor.vector(&format!("{path}.input_layernorm.weight"), &mut block.input_layernorm.weight);
            let attn = &mut block.self_attn;
            visitor.linear(&format!("{path}.self_attn.q_proj"), &mut attn.q_proj);
            visitor.linear(&format!("{path}.self_attn.k_proj"), &mut attn.k_proj);
            visitor.linear(&format!("{path}.self_attn.v_proj"), &mut attn.v_proj);
            visitor.linear(&format!("{path}.self_attn.o_proj"), &mut attn.o_proj);
            visitor.prompts(&format!("{path}.self_attn"), &mut attn.prompts);
            let norm = &mut block.post_attention_layernorm;
            visitor.vector(&format!("{path}.post_attention_layernorm.weight"), &mut norm.weight);
            visitor.linear(&format!("{path}.mlp.gate_proj"), &mut block.mlp.gate_proj);
            visitor.linear(&format!("{path}.mlp.up_proj"), &mut block.mlp.up_proj);
            visitor.linear(&format!("{path}.mlp.down_proj"), &mut block.mlp.down_proj);
        }
        visitor.vector("model.norm.weight", &mut self.norm.weight);
    }
}
