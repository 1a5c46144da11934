//! The decoder: Touvron et al. 2023, arXiv 2302.13971; grouped queries as in LLaMA 2 and 3.
//!
//! Names of fields are those of Hugging Face checkpoints. What adapters add is data that may be empty: deltas in a linear
//! layer, virtual tokens and key/value slots before a note, prompts of an attention layer's own. Dimensions: `B` batch, `T` tokens, `D` model, `H` heads,
//! `K` key/value heads, `E` head width, `F` feed-forward width.

use burn::module::{Module, Param};
use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Bool, DType, Device, Int, Tensor, TensorData};

use super::batch::TokenBatch;
use super::norm::RmsNorm;
use super::packing::Packing;
use super::rope::{Rope, RopeTables};
use crate::config::LlamaConfig;
use crate::kernels::attention::{causal_attention, heads};
use crate::linear::Linear;
use crate::params::{Visitor, Walk};
use crate::peft::adaption_prompt::AdaptionPrompt;
use crate::peft::preamble::{DecoderShape, KeyValues, Preamble};
use crate::weights::{Init, Weights};

/// Embedding, blocks and the final norm: token ids in, hidden states out.
#[derive(Module, Debug)]
pub struct Llama {
    embed_tokens: Option<Param<Tensor<2>>>,
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

/// A decoder being built, one block at a time: a caller may do other things between two.
#[derive(Debug)]
pub struct Construction {
    config: LlamaConfig,
    embed_tokens: Option<Param<Tensor<2>>>,
    layers: Vec<Block>,
}

impl Construction {
    /// Takes the token embedding of a model of this shape from `weights`, if they have it.
    pub fn begin<W: Weights>(config: &LlamaConfig, weights: &mut W) -> Self {
        let table = [config.vocab_size, config.hidden_size];
        let std = Init::Normal(config.initializer_range);
        Self {
            config: config.clone(),
            embed_tokens: weights.table("model.embed_tokens.weight", table, std),
            layers: Vec::with_capacity(config.num_hidden_layers),
        }
    }

    /// Takes the next block from `weights`; returns whether there was one left to take.
    pub fn add_layer<W: Weights>(&mut self, weights: &mut W) -> bool {
        let layer = self.layers.len();
        if layer == self.config.num_hidden_layers {
            return false;
        }
        self.layers.push(Block::build(&self.config, weights, &format!("model.layers.{layer}")));
        true
    }

    /// Takes the final norm from `weights`.
    ///
    /// # Panics
    /// If a block is still to be added.
    pub fn finish<W: Weights>(self, weights: &mut W) -> Llama {
        let Self { config, embed_tokens, layers } = self;
        assert_eq!(layers.len(), config.num_hidden_layers, "every block is added first");
        Llama {
            embed_tokens,
            preamble: Preamble::new(DecoderShape::from(&config)),
            layers,
            norm: RmsNorm::build(weights, "model.norm", config.hidden_size, config.rms_norm_eps),
            rope: Rope::new(&config),
        }
    }
}

impl Llama {
    /// Takes every tensor of a model of this shape from `weights`, in forward order, frozen.
    pub fn build<W: Weights>(config: &LlamaConfig, weights: &mut W) -> Self {
        let mut construction = Construction::begin(config, weights);
        while construction.add_layer(weights) {}
        construction.finish(weights)
    }

    /// Virtual tokens that stand before every note.
    #[must_use]
    pub fn num_virtual_tokens(&self) -> usize {
        self.preamble.num_virtual_tokens()
    }

    /// Number of blocks.
    #[must_use]
    pub fn num_layers(&self) -> usize {
        self.layers.len()
    }

    /// The token embedding, `[V, D]`.
    ///
    /// # Panics
    /// If the model was built without one: who embeds the tokens then begins with [`begin`](Self::begin).
    pub(crate) fn table(&self) -> Tensor<2> {
        self.embed_tokens.as_ref().expect("the token embedding is with the model").val()
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

    /// Hidden states after the final norm of the notes of `batch`, each behind `v` virtual tokens. Where the batch reads an
    /// output at padding, every query is kept from it; elsewhere causality alone keeps real tokens from it.
    ///
    /// # Shapes
    /// - result: `[B, v + T, D]`, or of a batch [without padding](TokenBatch::without_padding) `[1, rows of all notes, D]`
    #[must_use]
    pub fn forward_batch(&self, batch: &TokenBatch) -> Tensor<3> {
        let mut pass = self.begin_batch(batch);
        while pass.layer < self.layers.len() {
            self.step(&mut pass);
        }
        self.finish(pass.x)
    }

    /// As [`forward`](Self::forward), showing `observe` what enters each block.
    #[must_use]
    pub fn forward_observed(&self, ids: Tensor<2, Int>, mut observe: impl FnMut(&Tensor<3>)) -> Tensor<3> {
        let mut pass = self.begin(burn::tensor::module::embedding(self.table(), ids));
        while pass.layer < self.layers.len() {
            observe(&pass.x);
            self.step(&mut pass);
        }
        self.norm.forward(pass.x)
    }

    /// Begins a forward pass that runs one block a [`step`](Self::step).
    ///
    /// # Shapes
    /// - `embedded`: `[B, T, D]`
    #[must_use]
    pub fn begin(&self, embedded: Tensor<3>) -> Pass {
        let x = self.preamble.prepend(embedded); // [B, v + T, D]
        let surroundings = Surroundings::new(&self.rope, &self.preamble, x.dims()[1], x.dtype(), &x.device());
        Pass { x, surroundings, layer: 0 }
    }

    /// Begins a forward pass over `batch`.
    pub(crate) fn begin_batch(&self, batch: &TokenBatch) -> Pass {
        let mut pass = self.begin(burn::tensor::module::embedding(self.table(), batch.ids()));
        if batch.reads_padding() {
            pass.hide(batch.padding());
        } else if batch.is_unpadded() {
            pass.pack(batch, self.num_virtual_tokens());
        }
        pass
    }

    /// The final norm.
    pub(crate) fn finish(&self, x: Tensor<3>) -> Tensor<3> {
        self.norm.forward(x)
    }

    /// What block `layer` makes of `x`, which entered it in `pass`. Keys and values before the tokens are made anew.
    #[cfg(feature = "autodiff")]
    pub(crate) fn again(&self, pass: &Pass, x: Tensor<3>, layer: usize) -> Tensor<3> {
        let before = self.preamble.key_values(x.dtype());
        let surroundings = Surroundings { before, ..pass.surroundings.clone() };
        self.layers[layer].forward(x, None, &surroundings, layer)
    }

    /// Runs the next block.
    ///
    /// # Panics
    /// If there is none left.
    pub fn step(&self, pass: &mut Pass) {
        let x = self.layers[pass.layer].forward(pass.x.clone(), None, &pass.surroundings, pass.layer);
        pass.x = x;
        pass.layer += 1;
    }

    /// Ends a pass whose last block is still to run: hidden states after the final norm of one token of each row. The block
    /// makes keys and values of every token and the rest of that one alone.
    ///
    /// # Shapes
    /// - `places`: place of the token among the row's `T`, `B` of them
    /// - result: `[B, D]`
    ///
    /// # Panics
    /// If another block than the last is next, or `places` is not one place within each row.
    #[must_use]
    pub fn finish_at(&self, pass: Pass, places: &[usize]) -> Tensor<2> {
        let Pass { x, surroundings, layer } = pass;
        assert_eq!(layer + 1, self.layers.len(), "the last block is next");
        let chosen = Chosen::new(&x, places, self.num_virtual_tokens(), &surroundings);
        let x = self.layers[layer].forward(x, Some(&chosen), &surroundings, layer); // [B, 1, D]
        self.norm.forward(x).squeeze_dim(1)
    }
}

/// A forward pass under way.
#[derive(Debug)]
pub struct Pass {
    x: Tensor<3>,
    surroundings: Surroundings,
    layer: usize,
}

impl Pass {
    /// Blocks that have run.
    #[must_use]
    pub fn layers_done(&self) -> usize {
        self.layer
    }

    /// Keeps every query from `padding`, `[B, T]`, as well as from what follows it.
    fn hide(&mut self, padding: Tensor<2, Bool>) {
        let ([batch, tokens, _], device) = (self.x.dims(), self.x.device());
        let slots = self.surroundings.slots;
        let keys = slots + tokens;
        let before = keys - padding.dims()[1];
        let padding = if before == 0 {
            padding
        } else {
            let seen = TensorData::new(vec![false; batch * before], [batch, before]);
            Tensor::cat(vec![Tensor::from_data(seen, &device), padding], 1)
        };
        let padding = padding.reshape([batch, 1, 1, keys]).expand([batch, 1, tokens, keys]);
        // Which corner `is_causal` starts from where keys outnumber queries is the backend's choice: say it outright.
        let causal = Tensor::<2, Bool>::tril_mask([tokens, keys], slots as i64, &device).unsqueeze::<4>();
        self.surroundings.hidden = Some(padding.bool_or(causal.expand([batch, 1, tokens, keys])));
    }

    /// Leaves padding out of everything but attention; `before` rows precede each note.
    fn pack(&mut self, batch: &TokenBatch, before: usize) {
        let packing = Packing::new(batch, before);
        self.x = packing.pack(self.x.clone());
        self.surroundings.packing = Some(packing);
    }

    /// What enters the next block.
    #[cfg(feature = "autodiff")]
    pub(crate) fn states(&self) -> Tensor<3> {
        self.x.clone()
    }

    /// One value of what has been computed, `[1]`: who reads it waits for the device.
    #[must_use]
    pub fn fence(&self) -> Tensor<1> {
        self.x.clone().slice([0..1, 0..1, 0..1]).flatten(0, 2)
    }
}

/// The one token of each row that a last block is wanted for.
#[derive(Debug)]
struct Chosen {
    /// Place of each among the `B·(v + T)` rows.
    rows: Tensor<1, Int>,
    /// Rotary tables of their positions.
    rope: RopeTables,
    /// Where each must not look, `[B, 1, 1, slots + v + T]`.
    hidden: Tensor<4, Bool>,
}

impl Chosen {
    fn new(x: &Tensor<3>, places: &[usize], before: usize, surroundings: &Surroundings) -> Self {
        let [batch, tokens, _] = x.dims();
        assert_eq!(places.len(), batch, "one place for each row");
        let place = |of: usize| i32::try_from(of).expect("a batch holds fewer than 2^31 tokens");
        let options = (&x.device(), DType::I32);
        let ints = |values: Vec<i32>| Tensor::<1, Int>::from_data(TensorData::new(values, [batch]), options);
        let in_row: Vec<usize> = places.iter().map(|place| before + place).collect();
        assert!(in_row.iter().all(|place| *place < tokens), "a place beyond the {tokens} tokens of a row");
        let slots = surroundings.slots;
        let last_keys = ints(in_row.iter().map(|at| place(slots + at)).collect()).reshape([batch, 1]);
        let keys = slots + tokens;
        let all_keys = Tensor::<1, Int>::arange(0..keys as i64, options).reshape([1, keys]);
        let hidden = all_keys.expand([batch, keys]).greater(last_keys.expand([batch, keys]));
        Self {
            rope: surroundings.rope.at(ints(in_row.iter().map(|at| place(*at)).collect())),
            rows: ints(in_row.iter().enumerate().map(|(b, at)| place(b * tokens + at)).collect()),
            hidden: hidden.reshape([batch, 1, 1, keys]),
        }
    }

    /// Their states: `[B, T, D]` to `[B, 1, D]`.
    fn of(&self, x: Tensor<3>) -> Tensor<3> {
        x.flatten::<2>(0, 1).select(0, self.rows.clone()).unsqueeze_dim(1)
    }
}

/// What every attention layer of one forward pass shares.
#[derive(Debug, Clone)]
struct Surroundings {
    rope: RopeTables,
    /// Keys before those of the tokens.
    slots: usize,
    /// Keys and values before the tokens', by layer; empty if there are none.
    before: Vec<KeyValues>,
    /// Where the tokens must not look, `[B, 1, T, slots + T]`, unless causality is all.
    hidden: Option<Tensor<4, Bool>>,
    /// How rows stand in notes, unless they are `[B, T, D]` anyway.
    packing: Option<Packing>,
}

impl Surroundings {
    fn new(rope: &Rope, preamble: &Preamble, tokens: usize, dtype: DType, device: &Device) -> Self {
        let slots = preamble.num_slots();
        Self {
            rope: rope.tables(slots..slots + tokens, dtype, device),
            slots,
            before: preamble.key_values(dtype),
            hidden: None,
            packing: None,
        }
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

    /// Of every token, or of the `chosen` ones alone.
    fn forward(
        &self,
        x: Tensor<3>,
        chosen: Option<&Chosen>,
        surroundings: &Surroundings,
        layer: usize,
    ) -> Tensor<3> {
        let onto = chosen.map_or(x.clone(), |chosen| chosen.of(x.clone()));
        let x = self.self_attn.forward(&self.input_layernorm, x, onto, chosen, surroundings, layer);
        self.mlp.forward(&self.post_attention_layernorm, x)
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

    /// Of the norm of every token, or of the `chosen` ones alone, added to `onto`.
    fn forward(
        &self,
        norm: &RmsNorm,
        x: Tensor<3>,
        onto: Tensor<3>,
        chosen: Option<&Chosen>,
        surroundings: &Surroundings,
        layer: usize,
    ) -> Tensor<3> {
        let rope = &surroundings.rope;
        let packing = surroundings.packing.as_ref();
        let [q, k, v] = match chosen {
            None => Linear::together([&self.q_proj, &self.k_proj, &self.v_proj], norm, x),
            Some(chosen) => {
                let x = norm.forward(x);
                let q = self.q_proj.forward(chosen.of(x.clone()));
                [q, self.k_proj.forward(x.clone()), self.v_proj.forward(x)]
            }
        };
        let [q, k, v] = match packing {
            None => [q, k, v],
            Some(packing) => [q, k, v].map(|x| packing.unpack(x)),
        };
        let q = heads(q, self.num_heads); // [B, H, T, E]
        let k = heads(k, self.num_key_value_heads); // [B, K, T, E]
        let v = heads(v, self.num_key_value_heads); // [B, K, T, E]
        let [q, k] = match chosen {
            None => rope.rotate_both(q, k),
            Some(chosen) => [chosen.rope.rotate(q), rope.rotate(k)],
        };
        let (k, v) = match surroundings.before.get(layer) {
            Some((keys, values)) => (behind(keys, k), behind(values, v)), // [B, K, S + T, E]
            None => (k, v),
        };
        let hidden = chosen.map(|chosen| &chosen.hidden).or(surroundings.hidden.as_ref());
        let mixed = match hidden {
            None => causal_attention(q.clone(), k, v),
            Some(hidden) => {
                let [b, heads, t, _] = q.dims();
                let hidden = hidden.clone().expand([b, heads, t, k.dims()[2]]);
                let options = AttentionModuleOptions::default();
                attention(q.clone(), self.shared(k), self.shared(v), Some(hidden), None, options)
            }
        }; // [B, H, T, E]
        let active = self.prompts.iter().filter(|prompt| prompt.is_active());
        let mixed = active.fold(mixed, |mixed, prompt| mixed + self.attend(q.clone(), prompt));
        let [b, count, t, width] = mixed.dims();
        let mixed = mixed.swap_dims(1, 2).reshape([b, t, count * width]);
        let mixed = match packing {
            None => mixed,
            Some(packing) => packing.pack(mixed),
        };
        self.o_proj.forward_onto(mixed, onto)
    }

    /// What the queries find in a prompt of the layer's own, `[B, H, T, E]`.
    fn attend(&self, q: Tensor<4>, prompt: &AdaptionPrompt) -> Tensor<4> {
        let tokens = prompt.tokens(q.dtype());
        let k = heads(self.k_proj.forward(tokens.clone()), self.num_key_value_heads);
        let v = heads(self.v_proj.forward(tokens), self.num_key_value_heads);
        prompt.attend(q, self.shared(k), self.shared(v))
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

    /// Of the norm of `x`, added to it.
    fn forward(&self, norm: &RmsNorm, x: Tensor<3>) -> Tensor<3> {
        let gated = Linear::gated(&self.gate_proj, &self.up_proj, norm, x.clone()); // [B, T, F]
        self.down_proj.forward_onto(gated, x)
    }
}

impl Walk for Llama {
    fn walk(&mut self, visitor: &mut dyn Visitor) {
        if let Some(table) = &mut self.embed_tokens {
            visitor.matrix("model.embed_tokens.weight", table);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::{ParamMut, for_each_param};
    use crate::peft::adaption_prompt::AdaptionPromptConfig;
    use crate::peft::config::AdapterConfig;
    use crate::peft::lora::LoraConfig;
    use crate::peft::prefix::PrefixConfig;
    use crate::peft::prompt::{PromptConfig, PromptInit};
    use crate::peft::stack::{attach, set_active};
    use crate::weights::RandomWeights;

    #[test]
    fn one_token_of_the_last_block_is_that_of_the_whole_pass() {
        let device = Device::flex();
        let config = LlamaConfig::preset(61, 24, 40, 3, 4, 2);
        let mut model = Llama::build(&config, &mut RandomWeights::new(1, &device, DType::F32));
        let adapters: [(&str, AdapterConfig); 4] = [
            ("lora", LoraConfig { r: 3, alpha: 5.0, ..LoraConfig::default() }.into()),
            (
                "prefix",
                AdapterConfig::Prefix(PrefixConfig { num_virtual_tokens: 3, ..PrefixConfig::default() }),
            ),
            (
                "prompt",
                AdapterConfig::Prompt(PromptConfig { num_virtual_tokens: 2, init: PromptInit::Random }),
            ),
            (
                "own",
                AdapterConfig::AdaptionPrompt(AdaptionPromptConfig { adapter_len: 4, adapter_layers: 2 }),
            ),
        ];
        for (seed, (name, config)) in (2..).zip(adapters) {
            attach(&mut model, name, config, seed, &device).expect("attaches");
        }
        // Weights and fresh adapters are small or zero: make everything matter.
        for_each_param(&mut model, |_, name, mut param: ParamMut<'_>| {
            let flat = param.flat();
            let count = flat.dims()[0];
            let wave: Vec<f32> =
                (0..count).map(|i| 0.3 * (i as f32 * 0.7 + name.len() as f32).sin()).collect();
            param.set_flat(flat + Tensor::from_data(TensorData::new(wave, [count]), (&device, DType::F32)));
        });
        let notes: [&[u32]; 3] = [&[1, 5, 60, 4, 4], &[1], &[1, 2, 3]];
        let batch = TokenBatch::new(&notes, &device).expect("notes");
        for active in
            [&[][..], &["lora"], &["prefix"], &["prompt", "own"], &["lora", "prefix", "prompt", "own"]]
        {
            set_active(&mut model, active).expect("attached");
            let before = model.num_virtual_tokens();
            let whole = model.forward(batch.ids()).flatten::<2>(0, 1);
            let whole = whole.select(0, batch.int_row(batch.read_rows(before))).into_data_as::<f32>();
            let mut pass = model.begin(burn::tensor::module::embedding(model.table(), batch.ids()));
            while pass.layers_done() + 1 < model.num_layers() {
                model.step(&mut pass);
            }
            let alone = model.finish_at(pass, &[4, 0, 2]).into_data_as::<f32>();
            let (whole, alone) =
                (whole.as_slice::<f32>().expect("f32"), alone.as_slice::<f32>().expect("f32"));
            let worst = whole.iter().zip(alone).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-5 && whole.len() == alone.len(), "{active:?}: {worst}");
            assert!(whole.iter().any(|v| v.abs() > 0.1), "nothing to compare");
        }
    }
}
