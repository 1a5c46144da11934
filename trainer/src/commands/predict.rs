//! `clinlora predict`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{print_json, stack};
use crate::cli::{Common, Predict};
use crate::dataset::{notes, table, tokenise};
use crate::error::Result;
use crate::eval;
use crate::folders::base::BaseFolder;
use crate::training::objective::predict;
use crate::training::progress::{Progress, Stage};

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
    let opened = common.device.open()?;
    let reading = Stage::begin("predict: reading notes and model");
    let task = table::read_task(&args.task)?;
    let notes = notes::read(&args.notes, args.skip_empty)?;
    let base = BaseFolder::open(&args.model.model)?;
    base.check_max_tokens(args.model.max_tokens as usize)?;
    let samples = tokenise(&notes, &base.tokenizer, args.model.max_tokens as usize, &args.model.model)?;
    let model = stack::classifier(&base, &args.model.adapters, &task, &opened.device, opened.dtype.burn())?;
    drop(reading);
    let mut progress = Progress::new("predict", 0, samples.len() as u64);
    let logits = predict(&model, &samples, &opened.device, |done| {
        progress.set(done as u64, String::new);
    })?;
    drop(progress);
    eval::check_finite(&logits, task.labels.len()).map_err(eval::refused)?;
    for (sample, row) in samples.iter().zip(logits.chunks_exact(task.labels.len())) {
        let scores = eval::probabilities(task.kind, row);
        let scores = task.labels.iter().map(|label| label.name.as_str()).zip(scores).collect();
        print_json(&Prediction { id: &sample.id, scores })?;
    }
    Ok(())
}
