//! `clinlora perplexity`.

use super::{print_json, stack};
use crate::cli::{Common, Perplexity};
use crate::dataset::{notes, tokenise};
use crate::error::Result;
use crate::eval::perplexity;
use crate::folders::base::BaseFolder;

/// Prints token-weighted and batch-mean perplexity of a notes file.
///
/// # Errors
/// [`crate::error::Error`] for whatever of the inputs cannot be used.
pub fn run(args: &Perplexity, common: &Common) -> Result<()> {
    let opened = common.device.open()?;
    let notes = notes::read(&args.notes, args.skip_empty)?;
    let base = BaseFolder::open(&args.model.model)?;
    let samples = tokenise(&notes, &base.tokenizer, args.model.max_tokens as usize, &args.model.model)?;
    let model = stack::causal_lm(&base, &args.model.adapters, &opened.device, opened.dtype.burn())?;
    let parts = perplexity::batch_losses(&model, &samples, args.batch_size as usize, &opened.device)?;
    print_json(&perplexity::Perplexity::of(&parts))
}
