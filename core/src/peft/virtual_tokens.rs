//! Virtual tokens before a note: one type for the two methods that make them, which differ in where the embeddings come
//! from.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::p_tuning::PromptEncoder;
use super::part::{Membership, Part};
use crate::params::ParamMut;

/// The virtual tokens of one adapter.
#[derive(Module, Debug)]
pub struct VirtualTokens {
    source: Source,
    #[module(skip)]
    membership: Membership,
}

/// Where the embeddings come from.
#[derive(Module, Debug)]
enum Source {
    /// A table, `[n, D]`: prompt tuning, or a P-tuning whose encoder was not kept.
    Table(Param<Tensor<2>>),
    /// The output of an encoder: P-tuning.
    Encoder(PromptEncoder),
}

impl VirtualTokens {
    /// Trained as a table, `[n, D]`.
    #[must_use]
    pub(crate) fn table(membership: Membership, table: Tensor<2>) -> Self {
        Self { source: Source::Table(Param::from_tensor(table)), membership }
    }

    /// Trained through an encoder.
    #[must_use]
    pub(crate) fn encoded(membership: Membership, encoder: PromptEncoder) -> Self {
        Self { source: Source::Encoder(encoder), membership }
    }

    /// Number of virtual tokens.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.source {
            Source::Table(table) => table.lazy_shape()[0],
            Source::Encoder(encoder) => encoder.num_tokens(),
        }
    }

    /// Whether there are none: never, a prompt has at least one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `[n, D]`, f32.
    #[must_use]
    pub fn embeddings(&self) -> Tensor<2> {
        match &self.source {
            Source::Table(table) => table.val(),
            Source::Encoder(encoder) => encoder.forward(),
        }
    }

    /// Whether they take part in the forward pass.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.membership.active
    }
}

impl Part for VirtualTokens {
    fn membership(&self) -> &Membership {
        &self.membership
    }

    fn membership_mut(&mut self) -> &mut Membership {
        &mut self.membership
    }

    fn params(&mut self, f: &mut dyn FnMut(&str, ParamMut<'_>)) {
        match &mut self.source {
            Source::Table(table) => f("prompt_embeddings", ParamMut::Matrix(table)),
            Source::Encoder(encoder) => encoder.params(f),
        }
    }
}
