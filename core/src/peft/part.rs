//! What every method's tensors on a model have in common: whose they are, and whether they take part.

use std::ops::Range;

use crate::params::ParamMut;

/// Whose part it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Name of the adapter in the stack.
    pub adapter: String,
    /// Place of the adapter in the stack, counted from the bottom.
    pub place: usize,
    /// Whether it takes part in the forward pass.
    pub active: bool,
    /// Rows of the batch it acts on, each part rising and apart from the others; empty for all of them. LoRA alone can act on
    /// some: prompts and prefixes change the length of every row.
    pub rows: Vec<Range<usize>>,
}

impl Membership {
    /// An active part of the adapter at `place`.
    #[must_use]
    pub fn new(adapter: &str, place: usize) -> Self {
        Self { adapter: adapter.to_owned(), place, active: true, rows: Vec::new() }
    }
}

/// The tensors of one adapter at one place of a model.
pub trait Part {
    /// Whose it is.
    fn membership(&self) -> &Membership;

    /// The same, to be changed.
    fn membership_mut(&mut self) -> &mut Membership;

    /// Shows each tensor once, by its name at this place: `lora_A.weight`, `adaption_gate`.
    fn params(&mut self, f: &mut dyn FnMut(&str, ParamMut<'_>));
}

/// The parts at one place of a model, of several adapters in the order they were attached.
pub trait Parts {
    /// Shows each part once.
    fn for_each(&mut self, f: &mut dyn FnMut(&mut dyn Part));

    /// Takes the part of an adapter off.
    fn remove(&mut self, adapter: &str);
}

impl<P: Part> Parts for Vec<P> {
    fn for_each(&mut self, f: &mut dyn FnMut(&mut dyn Part)) {
        for part in self {
            f(part);
        }
    }

    fn remove(&mut self, adapter: &str) {
        self.retain(|part| part.membership().adapter != adapter);
    }
}
