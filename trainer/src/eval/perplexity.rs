//! Perplexity of notes, weighed by tokens and, as the authors do, averaged over batches.
//!
//! - `perplexity = exp(Σ nll / Σ tokens)`: every token weighs the same, however the notes are batched.
//! - `batch_mean_perplexity = exp(mean over batches of Σ nll / Σ tokens in the batch)`: a batch of short notes weighs as
//!   much as one of long notes, so the figure depends on the batch size and on the order of the notes.
//!
//! `tokens` are those that are predicted: all of a note but its first, and that too behind the virtual tokens of a prompt.

use burn::tensor::Device;
use clinlora_core::model::head::CausalLm;
use serde::Serialize;

use crate::dataset::Sample;
use crate::error::{Error, Result};
use crate::training::objective::{batch, in_batches};

/// Summed loss of one batch of notes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct BatchLoss {
    /// Notes in the batch.
    pub(crate) notes: usize,
    /// Tokens predicted.
    pub(crate) tokens: usize,
    /// Negative log-likelihood of these tokens in nats.
    pub(crate) nll: f64,
}

/// The losses of a set of notes, finite, of one predicted token or more.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BatchLosses(Vec<BatchLoss>);

impl BatchLosses {
    /// Checks that there is a perplexity of `losses`.
    ///
    /// # Errors
    /// [`Error::Input`] if no token is predicted, [`Error::NotFinite`] if a loss is not finite.
    pub(crate) fn new(losses: Vec<BatchLoss>) -> Result<Self> {
        if losses.iter().all(|loss| loss.tokens == 0) {
            let reason =
                "no note has a second token, so there is nothing to predict: perplexity needs longer notes";
            return Err(Error::Input(reason.to_owned()));
        }
        if let Some(place) = losses.iter().position(|loss| !loss.nll.is_finite()) {
            let first = losses[..place].iter().map(|loss| loss.notes).sum::<usize>() + 1;
            let last = first + losses[place].notes - 1;
            return Err(Error::NotFinite(format!(
                "the model's loss of notes {first} to {last} (counted from 1) is not a finite number; an adapter or the \
                 base model is damaged, or its training diverged"
            )));
        }
        Ok(Self(losses))
    }
}

/// Losses of `samples`, summed over batches of `batch_size` in their own order; how they are run is another matter.
///
/// # Errors
/// [`Error::Input`] for a note without tokens, and as [`BatchLosses::new`].
pub(crate) fn batch_losses(
    model: &CausalLm,
    samples: &[Sample],
    batch_size: usize,
    device: &Device,
) -> Result<BatchLosses> {
    batch_losses_with(model, samples, batch_size, device, |_| {})
}

/// [`batch_losses`], telling `progress` how many notes are done.
pub(crate) fn batch_losses_with(
    model: &CausalLm,
    samples: &[Sample],
    batch_size: usize,
    device: &Device,
    mut progress: impl FnMut(usize),
) -> Result<BatchLosses> {
    let mut done = 0;
    let mut nll = vec![0.0_f64; samples.len()];
    in_batches(samples, |places, notes| {
        done += notes.len();
        progress(done);
        let Some(of_tokens) = model.token_nll(&batch(notes, device)?) else {
            return Ok(());
        };
        let of_tokens = of_tokens.into_data_as::<f32>();
        let mut of_tokens = of_tokens.as_slice::<f32>().expect("asked for as f32").iter();
        for (place, note) in places.iter().zip(notes) {
            let tokens = model.num_targets_of(note.ids.len());
            nll[*place] = of_tokens.by_ref().take(tokens).map(|nll| f64::from(*nll)).sum();
        }
        Ok(())
    })?;
    let notes: Vec<(f64, usize)> =
        samples.iter().zip(nll).map(|(note, nll)| (nll, model.num_targets_of(note.ids.len()))).collect();
    let of_batch = |notes: &[(f64, usize)]| BatchLoss {
        notes: notes.len(),
        tokens: notes.iter().map(|(_, tokens)| tokens).sum(),
        nll: notes.iter().map(|(nll, _)| nll).sum(),
    };
    BatchLosses::new(notes.chunks(batch_size).map(of_batch).collect())
}

/// How well a model predicts the next token of a set of notes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Perplexity {
    /// Notes.
    pub(crate) notes: usize,
    /// Tokens predicted.
    pub(crate) tokens: usize,
    /// Mean negative log-likelihood of a token in nats.
    pub(crate) nll: f64,
    /// `exp(nll)`; null in JSON where that is beyond the range of floats.
    pub(crate) perplexity: f64,
    /// The same with every batch weighing the same; batches of one-token notes have no mean and are left out.
    pub(crate) batch_mean_perplexity: f64,
}

impl Perplexity {
    /// Of these batches.
    pub(crate) fn of(losses: &BatchLosses) -> Self {
        let losses = &losses.0;
        let tokens = losses.iter().map(|loss| loss.tokens).sum();
        let nll = losses.iter().map(|loss| loss.nll).sum::<f64>() / tokens as f64;
        let predicting = losses.iter().filter(|loss| loss.tokens > 0);
        let means: Vec<f64> = predicting.map(|loss| loss.nll / loss.tokens as f64).collect();
        Self {
            notes: losses.iter().map(|loss| loss.notes).sum(),
            tokens,
            nll,
            perplexity: nll.exp(),
            batch_mean_perplexity: (means.iter().sum::<f64>() / means.len() as f64).exp(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(notes: usize, tokens: usize, nll: f64) -> BatchLoss {
        BatchLoss { notes, tokens, nll }
    }

    #[test]
    fn batches_of_unequal_length_part_the_two_figures() {
        // Means 1 and 2 over 30 and 10 tokens; the third batch predicts nothing.
        let losses = vec![loss(3, 30, 30.0), loss(3, 10, 20.0), loss(2, 0, 0.0)];
        let figures = Perplexity::of(&BatchLosses::new(losses).expect("finite losses"));
        assert_eq!((figures.notes, figures.tokens, figures.nll), (8, 40, 1.25));
        assert_eq!(figures.perplexity, 1.25_f64.exp());
        assert_eq!(figures.batch_mean_perplexity, 1.5_f64.exp());
    }

    #[test]
    fn a_uniform_model_has_the_size_of_its_vocabulary() {
        let nll = 600_f64.ln();
        let losses = vec![loss(4, 17, 17.0 * nll), loss(1, 5, 5.0 * nll)];
        let figures = Perplexity::of(&BatchLosses::new(losses).expect("finite losses"));
        assert!((figures.perplexity - 600.0).abs() < 1e-9, "{}", figures.perplexity);
        assert!((figures.batch_mean_perplexity - 600.0).abs() < 1e-9, "{}", figures.batch_mean_perplexity);
    }

    #[test]
    fn nothing_to_predict_and_broken_models_are_refused() {
        for losses in [vec![], vec![loss(2, 0, 0.0)]] {
            let error = BatchLosses::new(losses).expect_err("no token").to_string();
            assert!(error.contains("second token"), "{error}");
        }
        let losses = vec![loss(10, 90, 80.0), loss(10, 70, f64::NAN)];
        let error = BatchLosses::new(losses).expect_err("not finite").to_string();
        assert!(error.contains("notes 11 to 20"), "{error}");
    }
}
