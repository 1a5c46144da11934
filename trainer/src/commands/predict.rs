//! `clinlora predict`.

use std::collections::BTreeMap;
use std::path::Path;

use clinlora_core::engine::Adapters;
use clinlora_core::task::Label;
use serde::Serialize;

use super::{print_json, stack};
use crate::cli::{AdaptersChoice, Common, Predict};
use crate::dataset::{Sample, notes, table, tokenise};
use crate::error::{Error, Result};
use crate::eval;
use crate::folders::base::BaseFolder;
use crate::folders::bundle::{BundleFolder, logits};
use crate::training::objective::predict;
use crate::training::progress::Progress;

/// Tokens of a note where nobody says otherwise.
const MAX_TOKENS: u32 = 128;

#[derive(Serialize)]
struct Prediction<'a> {
    id: &'a str,
    scores: BTreeMap<&'a str, f64>,
}

/// Prints one line of probabilities for each note, in the file's order.
///
/// # Errors
/// [`crate::error::Error`] for whatever of the inputs cannot be used.
pub fn run(args: &Predict, common: &Common) -> Result<()> {
    match &args.model {
        Some(model) => from_folders(model, args, common),
        None => from_bundles(args, common),
    }
}

fn from_folders(model: &Path, args: &Predict, common: &Common) -> Result<()> {
    let opened = common.device.open()?;
    let task = table::read_task(&args.task)?;
    let notes = notes::read(&args.notes, args.skip_empty)?;
    let base = BaseFolder::open(model)?;
    let max_tokens = args.max_tokens.unwrap_or(MAX_TOKENS) as usize;
    base.check_max_tokens(max_tokens)?;
    let samples = tokenise(&notes, &base.tokenizer, max_tokens, model)?;
    let model = stack::classifier(&base, &args.adapters, &task, &opened.device, opened.dtype.burn())?;
    let mut progress = Progress::new("predict", 0, samples.len() as u64);
    let logits = predict(&model, &samples, &opened.device, |done| {
        progress.set(done as u64, String::new);
    })?;
    drop(progress);
    eval::check_finite(&logits, task.labels.len()).map_err(eval::refused)?;
    let rows = logits.chunks_exact(task.labels.len());
    print(&samples, &task.labels, rows.map(|row| eval::probabilities(task.kind, row)))
}

/// Calibrated probabilities of a quantised bundle, through the engine a browser runs.
fn from_bundles(args: &Predict, common: &Common) -> Result<()> {
    let opened = common.device.open()?;
    let (first, others) = args.bundles.split_first().expect("without a model there is a bundle");
    let name = args.task.to_string_lossy();
    let notes = notes::read(&args.notes, args.skip_empty)?;
    let (mut engine, tokenizer) = BundleFolder::open(first)?.engine(&opened.device)?;
    for path in others {
        BundleFolder::open(path)?.add_to(&mut engine)?;
    }
    let adapters = match args.which.unwrap_or_default() {
        AdaptersChoice::Off => Adapters::Off,
        AdaptersChoice::Clinical => Adapters::Clinical,
        AdaptersChoice::All => Adapters::All,
    };
    let task = engine.task(&name).map_err(|e| Error::Input(format!("{}: {e}", first.display())))?.clone();
    let max_tokens = args.max_tokens.map_or(task.max_tokens, |tokens| tokens as usize);
    let samples = tokenise(&notes, &tokenizer, max_tokens, first)?;
    let mut progress = Progress::new("predict", 0, samples.len() as u64);
    let logits = logits(&mut engine, &samples, &name, adapters, |done| {
        progress.set(done as u64, String::new);
    })?;
    drop(progress);
    eval::check_finite(&logits.concat(), task.labels.len()).map_err(eval::refused)?;
    print(&samples, &task.labels, logits.iter().map(|row| task.calibration.probabilities(task.kind, row)))
}

fn print(samples: &[Sample], labels: &[Label], scores: impl Iterator<Item = Vec<f64>>) -> Result<()> {
    for (sample, scores) in samples.iter().zip(scores) {
        let scores = labels.iter().map(|label| label.name.as_str()).zip(scores).collect();
        print_json(&Prediction { id: &sample.id, scores })?;
    }
    Ok(())
}
