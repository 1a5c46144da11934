//! Prefix tuning: trained keys and values before those of the tokens, in every layer.
//!
//! Li and Liang 2021, arXiv 2101.00190: attention runs over `[P_k; K]` and `[P_v; V]`. As in PEFT:
//! - plain: a table `[n, 2·L·K·E]`; with projection: a table `[n, K·E]` through `K·E -> enc -> 2·L·K·E` with tanh between;
//! - laid out as `[n, 2L, K, E]`, place `2l` the keys of layer `l`, `2l + 1` its values;
//! - prefix keys bypass projections, norms and rotary positions; the note's tokens stand at positions `n, n + 1, ..`;
//!   every token sees every slot; a prefix has no queries, so no outputs and no targets;
//! - with grouped queries the widths are those of the key/value heads.
//!
//! Fresh values are PyTorch's: tables N(0, 1) (or zero, with PEFT's `init_weights = "zero"`: keys and values of zero),
//! linear layers uniform in ±`1/√fan_in`. Defaults are the paper's choice for LLaMA (Table 2: 5,242,880 parameters): 20
//! virtual tokens, no projection.
//!
//! PEFT's file keeps the keys and values alone. Ours keeps a projection's table and layers beside them; without these
//! training goes on with the keys and values themselves.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use rand::rngs::ChaCha8Rng;

use super::config::refuse;
use super::p_tuning::{linear_params, uniform_linear};
use super::part::{Membership, Part};
use super::preamble::DecoderShape;
use super::prompt::standard_normal;
use crate::error::Error;
use crate::linear::Linear;
use crate::params::ParamMut;

/// Hyper-parameters of prefix tuning.
#[derive(Debug, Clone, PartialEq)]
pub struct PrefixConfig {
    /// Slots, at least 1.
    pub num_virtual_tokens: usize,
    /// Whether the table goes through two linear layers.
    pub projection: bool,
    /// Width between the two; that of the keys by default.
    pub encoder_hidden_size: Option<usize>,
    /// Fresh keys and values are zero rather than random.
    pub zero_init: bool,
}

impl Default for PrefixConfig {
    fn default() -> Self {
        Self { num_virtual_tokens: 20, projection: false, encoder_hidden_size: None, zero_init: false }
    }
}

impl PrefixConfig {
    /// Refuses values that have no meaning.
    ///
    /// # Errors
    /// [`Error::Adapter`] naming the value.
    pub fn validate(&self, adapter: &str) -> Result<(), Error> {
        if self.num_virtual_tokens == 0 {
            return refuse(adapter, "num_virtual_tokens = 0; must be at least 1");
        }
        if self.encoder_hidden_size == Some(0) {
            return refuse(adapter, "encoder_hidden_size = 0; must be at least 1");
        }
        Ok(())
    }

    /// Number of trainable values.
    #[must_use]
    pub fn num_params(&self, shape: &DecoderShape) -> usize {
        let (width, all) = (shape.key_width(), 2 * shape.num_layers * shape.key_width());
        if !self.projection {
            return self.num_virtual_tokens * all;
        }
        let inner = self.inner(shape);
        self.num_virtual_tokens * width + (width * inner + inner) + (inner * all + all)
    }

    fn inner(&self, shape: &DecoderShape) -> usize {
        self.encoder_hidden_size.unwrap_or(shape.key_width())
    }
}

/// The keys and values of one adapter.
#[derive(Module, Debug)]
pub struct Prefix {
    table: Param<Tensor<2>>,
    /// Two layers, or none.
    transform: Vec<Linear>,
    #[module(skip)]
    membership: Membership,
}

impl Prefix {
    /// A fresh prefix for a decoder of `shape`, active and trainable.
    pub(crate) fn init(
        membership: Membership,
        config: &PrefixConfig,
        shape: &DecoderShape,
        rng: &mut ChaCha8Rng,
        device: &Device,
    ) -> Self {
        let n = config.num_virtual_tokens;
        let (width, all) = (shape.key_width(), 2 * shape.num_layers * shape.key_width());
        if !config.projection {
            let table = standard_normal([n, all], rng, device);
            let table = if config.zero_init { table.zeros_like() } else { table };
            return Self::table(membership, table);
        }
        let inner = config.inner(shape);
        let table = standard_normal([n, width], rng, device);
        let first = uniform_linear(inner, width, rng, device);
        let mut last = uniform_linear(all, inner, rng, device);
        if config.zero_init {
            last = Linear::trainable(Tensor::zeros([all, inner], device), Tensor::zeros([all], device));
        }
        Self { table: Param::from_tensor(table), transform: vec![first, last], membership }
    }

    /// Trained as keys and values themselves, `[n, 2·L·K·E]`.
    pub(crate) fn table(membership: Membership, table: Tensor<2>) -> Self {
        Self { table: Param::from_tensor(table), transform: Vec::new(), membership }
    }

    /// Number of slots.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.lazy_shape()[0]
    }

    /// Whether there are none: never, a prefix has at least one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it takes part in the forward pass.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.membership.active
    }

    /// Keys and values as PEFT keeps them, `[n, 2·L·K·E]`, f32.
    #[must_use]
    pub fn embeddings(&self) -> Tensor<2> {
        let table = self.table.val();
        match self.transform.as_slice() {
            [first, last] => last.forward(first.forward(table).tanh()),
            _ => table,
        }
    }

    /// Keys and values by layer, `[2L, K, n, E]`.
    pub(crate) fn slots(&self, shape: &DecoderShape) -> Tensor<4> {
        let (layers, heads) = (shape.num_layers, shape.num_key_value_heads);
        self.embeddings().reshape([self.len(), 2 * layers, heads, shape.head_dim]).permute([1, 2, 0, 3])
    }
}

impl Part for Prefix {
    fn membership(&self) -> &Membership {
        &self.membership
    }

    fn membership_mut(&mut self) -> &mut Membership {
        &mut self.membership
    }

    fn params(&mut self, f: &mut dyn FnMut(&str, ParamMut<'_>)) {
        if self.transform.is_empty() {
            f("prompt_embeddings", ParamMut::Matrix(&mut self.table));
            return;
        }
        f("embedding.weight", ParamMut::Matrix(&mut self.table));
        for (i, linear) in self.transform.iter_mut().enumerate() {
            linear_params(&format!("transform.{}", 2 * i), linear, f);
        }
    }
}
