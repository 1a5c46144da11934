//! What stands before a note: virtual tokens in front of the embedded input, and keys and values in front of those of
//! every attention layer. Both lists may be empty; then the model is as if this file did not exist.
//!
//! With slots `s` of all active prefixes and virtual tokens `v` of all active prompts, an attention layer sees
//! `[s slots][v virtual tokens][note]`. The slots have no queries and no rotary positions; the rest stands at positions
//! `s, s + 1, ..`, as PEFT counts them. Adapters of one kind stand in the order they were attached: a later one stands
//! nearer to the note, so it sees the earlier ones and, attention being causal, leaves their states as they were.

use burn::module::Module;
use burn::tensor::{DType, Tensor};

use super::prefix::Prefix;
use super::virtual_tokens::VirtualTokens;
use crate::config::LlamaConfig;

/// The sizes of a decoder that decide the shapes of prompts and prefixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecoderShape {
    /// Width of the residual stream, `D`.
    pub hidden_size: usize,
    /// Number of blocks.
    pub num_layers: usize,
    /// Query heads, `H`.
    pub num_attention_heads: usize,
    /// Key and value heads, `K`.
    pub num_key_value_heads: usize,
    /// Width of one head, `E`.
    pub head_dim: usize,
}

impl DecoderShape {
    /// Width of one layer's keys of one token, `K·E`.
    #[must_use]
    pub fn key_width(&self) -> usize {
        self.num_key_value_heads * self.head_dim
    }
}

impl From<&LlamaConfig> for DecoderShape {
    fn from(config: &LlamaConfig) -> Self {
        Self {
            hidden_size: config.hidden_size,
            num_layers: config.num_hidden_layers,
            num_attention_heads: config.num_attention_heads,
            num_key_value_heads: config.num_key_value_heads,
            head_dim: config.head_dim,
        }
    }
}

/// Virtual tokens and prefixes of a decoder.
#[derive(Module, Debug)]
pub struct Preamble {
    pub(crate) virtual_tokens: Vec<VirtualTokens>,
    pub(crate) prefixes: Vec<Prefix>,
    #[module(skip)]
    shape: DecoderShape,
}

/// Keys and values of one layer that stand before those of the tokens, each `[K, slots, E]`.
pub type KeyValues = (Tensor<3>, Tensor<3>);

impl Preamble {
    /// An empty one for a decoder of this shape.
    #[must_use]
    pub fn new(shape: DecoderShape) -> Self {
        Self { virtual_tokens: Vec::new(), prefixes: Vec::new(), shape }
    }

    /// The decoder's shape.
    #[must_use]
    pub fn shape(&self) -> DecoderShape {
        self.shape
    }

    /// Number of virtual tokens of the active prompts.
    #[must_use]
    pub fn num_virtual_tokens(&self) -> usize {
        let active = self.virtual_tokens.iter().filter(|v| v.is_active());
        active.map(VirtualTokens::len).sum()
    }

    /// Number of key/value slots of the active prefixes.
    #[must_use]
    pub fn num_slots(&self) -> usize {
        let active = self.prefixes.iter().filter(|p| p.is_active());
        active.map(Prefix::len).sum()
    }

    /// Puts the active virtual tokens before the embedded note.
    ///
    /// # Shapes
    /// - `x`: `[B, T, D]`
    /// - result: `[B, v + T, D]`
    #[must_use]
    pub fn prepend(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, _, width] = x.dims();
        let dtype = x.dtype();
        let row = |tokens: &VirtualTokens| {
            let one = tokens.embeddings().cast(dtype); // [n, D]
            let n = one.dims()[0];
            one.unsqueeze::<3>().expand([batch, n, width])
        };
        let mut parts: Vec<Tensor<3>> =
            self.virtual_tokens.iter().filter(|v| v.is_active()).map(row).collect();
        if parts.is_empty() {
            return x;
        }
        parts.push(x);
        Tensor::cat(parts, 1)
    }

    /// Keys and values of the active prefixes for every layer, from the bottom up; empty if there are none.
    #[must_use]
    pub fn key_values(&self, dtype: DType) -> Vec<KeyValues> {
        let active = self.prefixes.iter().filter(|p| p.is_active());
        let parts: Vec<Tensor<4>> = active.map(|prefix| prefix.slots(&self.shape).cast(dtype)).collect(); // [2L, K, n, E]
        if parts.is_empty() {
            return Vec::new();
        }
        let all = Tensor::cat(parts, 2);
        let at = |i: usize| all.clone().narrow(0, i, 1).squeeze_dim::<3>(0);
        (0..self.shape.num_layers).map(|layer| (at(2 * layer), at(2 * layer + 1))).collect()
    }
}
