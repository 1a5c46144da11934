//! `clinlora perplexity`.

use super::{print_json, stack};
use crate::cli::{Common, Perplexity};
use crate::dataset::{notes, tokenise};
use crate::error::Result;
use crate::eval::perplexity;
use crate::folders::base::BaseFolder;
use crate::training::progress::{Progress, Stage};

/// Prints token-weighted and batch-mean perplexity of a notes file.
///
/// # Errors
/// [`crate::error::Error`] for whatever of the inputs cannot be used.
pub fn run(args: &Perplexity, common: &Common) -> Result<()> {
    let opened = common.device.open()?;
    let reading = Stage::begin("perplexity: reading notes and model");
    let notes = notes::read(&args.notes, args.skip_empty)?;
    let base = BaseFolder::open(&args.model.model)?;
    let samples = tokenise(&notes, &base.tokenizer, args.model.max_tokens as usize, &args.model.model)?;
    let model = stack::causal_lm(&base, &args.model.adapters, &opened.device, opened.dtype.burn())?;
    drop(reading);
    let mut progress = Progress::new("perplexity", 0, samples.len() as u64);
    let batch_size = args.batch_size as usize;
    let parts = perplexity::batch_losses_with(&model, &samples, batch_size, &opened.device, |done| {
        progress.set(done as u64, String::new);
    })?;
    drop(progress);
    print_json(&perplexity::Perplexity::of(&parts))
}
