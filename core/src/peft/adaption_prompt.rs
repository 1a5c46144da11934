//! Adaption prompt: LLaMA-Adapter. A prompt of its own for each of the top layers, attended to beside the note and let in
//! by a gate that starts closed.
//!
//! Zhang et al. 2023, arXiv 2303.16199, as PEFT computes it:
//!
//! ```text
//! K' = k_proj(P)   V' = v_proj(P)   Q = rotary(q_proj(x))
//! attention = o_proj(mixed + g · softmax(Q·K'ᵀ / √E)·V')
//! ```
//!
//! `P` `[len, D]` ~ N(0, 1), `g` one number for all heads, 0 at first, so a fresh prompt changes nothing and the first
//! gradient reaches only the gate. The softmax (in f32) runs over the prompt alone, unmasked; prompt keys have no rotary
//! positions. Several prompts on a layer each add their own term. Projections are the layer's as they stand, LoRA deltas
//! included, so that merging those changes nothing.
//!
//! PEFT applies `o_proj` to the gated term apart. That is the same but for an `o_proj` with a bias, which PEFT then adds a
//! second time even behind a closed gate; LLaMA has none.
//!
//! Defaults are the paper's choice (Table 2: 1,228,830 parameters at 7B): 10 tokens on the top 30 layers.

use burn::module::{Module, Param};
use burn::tensor::activation::softmax;
use burn::tensor::{DType, Device, Tensor};
use rand::rngs::ChaCha8Rng;

use super::config::refuse;
use super::part::{Membership, Part};
use super::preamble::DecoderShape;
use super::prompt::standard_normal;
use crate::error::Error;
use crate::params::ParamMut;

/// Hyper-parameters of an adaption prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdaptionPromptConfig {
    /// Tokens of the prompt on each layer, at least 1.
    pub adapter_len: usize,
    /// Layers that have one, counted from the top; at least 1.
    pub adapter_layers: usize,
}

impl Default for AdaptionPromptConfig {
    fn default() -> Self {
        Self { adapter_len: 10, adapter_layers: 30 }
    }
}

impl AdaptionPromptConfig {
    /// Refuses values that have no meaning.
    ///
    /// # Errors
    /// [`Error::Adapter`] naming the value.
    pub fn validate(&self, adapter: &str) -> Result<(), Error> {
        for (key, value) in [("adapter_len", self.adapter_len), ("adapter_layers", self.adapter_layers)] {
            if value == 0 {
                return refuse(adapter, format!("{key} = 0; must be at least 1"));
            }
        }
        Ok(())
    }

    /// Refuses more layers than the decoder has.
    ///
    /// # Errors
    /// [`Error::Adapter`] naming both numbers.
    pub fn check_fits(&self, adapter: &str, shape: &DecoderShape) -> Result<(), Error> {
        if self.adapter_layers > shape.num_layers {
            let reason = format!(
                "adapter_layers = {}, but the model has {} layers",
                self.adapter_layers, shape.num_layers
            );
            return refuse(adapter, reason);
        }
        Ok(())
    }

    /// Number of trainable values: prompts and gates.
    #[must_use]
    pub fn num_params(&self, shape: &DecoderShape) -> usize {
        self.adapter_layers * (self.adapter_len * shape.hidden_size + 1)
    }
}

/// One adapter's prompt on one attention layer.
#[derive(Module, Debug)]
pub struct AdaptionPrompt {
    prompt: Param<Tensor<3>>,
    gate: Param<Tensor<1>>,
    #[module(skip)]
    membership: Membership,
}

impl AdaptionPrompt {
    /// A fresh prompt for a layer of width `hidden_size`, active and trainable.
    pub(crate) fn init(
        membership: Membership,
        config: &AdaptionPromptConfig,
        hidden_size: usize,
        rng: &mut ChaCha8Rng,
        device: &Device,
    ) -> Self {
        let prompt = standard_normal([1, config.adapter_len, hidden_size], rng, device);
        Self {
            prompt: Param::from_tensor(prompt),
            gate: Param::from_tensor(Tensor::zeros([1], (device, DType::F32))),
            membership,
        }
    }

    /// Whether it takes part in the forward pass.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.membership.active
    }

    /// The prompt, `[1, len, D]`, in `dtype`.
    #[must_use]
    pub fn tokens(&self, dtype: DType) -> Tensor<3> {
        self.prompt.val().cast(dtype)
    }

    /// What the layer adds to its mixed values.
    ///
    /// # Shapes
    /// - `q`: `[B, H, T, E]`, with rotary positions
    /// - `k`, `v`: `[1, H, len, E]`, the layer's projections of [`tokens`](Self::tokens)
    /// - result: `[B, H, T, E]`
    #[must_use]
    pub fn attend(&self, q: Tensor<4>, k: Tensor<4>, v: Tensor<4>) -> Tensor<4> {
        let [batch, heads, _, width] = q.dims();
        let len = k.dims()[2];
        // Turned before it is expanded: the gradient of an expansion is a sum, and of a tensor whose innermost dimension is not its
        // last one Burn 0.22.1 sums the wrong elements on a GPU.
        let k = k.swap_dims(2, 3).expand([batch, heads, width, len]);
        let v = v.expand([batch, heads, len, width]);
        #[expect(clippy::cast_precision_loss, reason = "a head's width is far below 2^52")]
        let scale = 1.0 / (width as f64).sqrt();
        let dtype = q.dtype();
        let scores = q.matmul(k) * scale; // [B, H, T, len]
        let shares = softmax(scores.cast(DType::F32), 3) * self.gate.val().unsqueeze::<4>();
        shares.cast(dtype).matmul(v)
    }
}

impl Part for AdaptionPrompt {
    fn membership(&self) -> &Membership {
        &self.membership
    }

    fn membership_mut(&mut self) -> &mut Membership {
        &mut self.membership
    }

    fn params(&mut self, f: &mut dyn FnMut(&str, ParamMut<'_>)) {
        f("adaption_prompt", ParamMut::Cube(&mut self.prompt));
        f("adaption_gate", ParamMut::Vector(&mut self.gate));
    }
}
