//! Rows of tokens without padding, laid end to end, and their way into attention and back.
//!
//! What is computed token by token, all but attention, then costs nothing for padding; attention itself, a small part where
//! notes are short, takes the notes apart again.

use burn::tensor::{Int, Tensor};

use super::batch::TokenBatch;

/// Where the rows of a batch without padding stand in one with it.
#[derive(Debug, Clone)]
pub(super) struct Packing {
    /// Place of each row among the `B·T` with padding.
    held: Tensor<1, Int>,
    /// Row for each of those; for padding any.
    spread: Tensor<1, Int>,
    notes: usize,
    tokens: usize,
}

impl Packing {
    /// That of `batch`, `before` rows preceding each note.
    pub(super) fn new(batch: &TokenBatch, before: usize) -> Self {
        let [notes, tokens] = batch.dims();
        let tokens = before + tokens;
        let held = batch.held_rows(before);
        let place = |of: usize| i32::try_from(of).expect("a batch holds fewer than 2^31 tokens");
        let mut spread = vec![0; notes * tokens];
        held.iter().enumerate().for_each(|(row, held)| spread[*held] = place(row));
        Self {
            held: batch.int_row(held.into_iter().map(place).collect()),
            spread: batch.int_row(spread),
            notes,
            tokens,
        }
    }

    /// `[B, T, D]` to `[1, rows, D]`.
    pub(super) fn pack(&self, x: Tensor<3>) -> Tensor<3> {
        x.flatten::<2>(0, 1).select(0, self.held.clone()).unsqueeze_dim(0)
    }

    /// `[1, rows, D]` to `[B, T, D]`. Rows of padding are copies of the first, whose gradient is 0: no token sees them, and
    /// what they see is not read.
    pub(super) fn unpack(&self, x: Tensor<3>) -> Tensor<3> {
        let width = x.dims()[2];
        x.flatten::<2>(0, 1).select(0, self.spread.clone()).reshape([self.notes, self.tokens, width])
    }
}

#[cfg(all(test, feature = "autodiff"))]
mod tests {
    use burn::tensor::Device;

    use crate::model::recompute::tests::{Named, batch, collect, flat, model};
    use crate::peft::config::AdapterConfig;
    use crate::peft::lora::LoraConfig;
    use crate::peft::prefix::PrefixConfig;
    use crate::peft::prompt::{PromptConfig, PromptInit};

    #[test]
    fn padding_left_out_changes_neither_loss_nor_gradients() {
        let device = Device::flex().autodiff();
        let prefix = PrefixConfig { num_virtual_tokens: 3, ..PrefixConfig::default() };
        let prompt = PromptConfig { num_virtual_tokens: 2, init: PromptInit::Random };
        let adapters: [(&str, AdapterConfig); 3] = [
            ("lora", LoraConfig { r: 3, alpha: 5.0, ..LoraConfig::default() }.into()),
            ("prefix", AdapterConfig::Prefix(prefix)),
            ("prompt", AdapterConfig::Prompt(prompt)),
        ];
        for adapters in [&adapters[..1], &adapters] {
            let mut model = model(adapters, &device);
            let mut run = |batch| {
                let loss = model.nll_sum(&batch);
                let mut gradients = Named::new();
                collect(&mut model, &mut loss.backward(), &mut gradients);
                (flat(loss)[0], gradients)
            };
            let packed = batch(&device).without_padding();
            assert!(packed.is_unpadded(), "notes of several lengths");
            let ((loss, gradients), (expected, of_padded)) = (run(packed), run(batch(&device)));
            assert!((loss - expected).abs() <= 1e-6 * expected.abs(), "{loss} instead of {expected}");
            for (name, expected) in &of_padded {
                let largest = expected.iter().fold(1e-3f32, |largest, value| largest.max(value.abs()));
                for (a, e) in gradients[name].iter().zip(expected) {
                    assert!((a - e).abs() <= 1e-5 * largest, "{name}: {a} instead of {e}");
                }
            }
        }
    }
}
