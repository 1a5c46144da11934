//! `clinlora evaluate`.

use std::path::Path;

use clinlora_core::task::Task;

use super::{print_json, stack};
use crate::audit::{self, Event};
use crate::cli::{Common, Evaluate};
use crate::console;
use crate::dataset::{Sample, table, tokenise};
use crate::error::Result;
use crate::eval::{self, EvalOptions, Labels, Metrics};
use crate::files::{self, NewFolder};
use crate::folders::base::BaseFolder;
use crate::training::objective::predict;
use crate::training::progress::{Progress, Stage};

/// Writes `metrics.json` and `predictions.csv`.
///
/// # Errors
/// [`Error`] for whatever of the inputs cannot be used, or an output that exists.
pub fn run(args: &Evaluate, common: &Common) -> Result<()> {
    let opened = common.device.open()?;
    files::refuse_existing(&args.out, args.overwrite)?;
    files::refuse_inputs_inside(&args.out, args.inputs())?;
    let reading = Stage::begin("evaluate: reading notes and model");
    let task = table::read_task(&args.task)?;
    let notes = table::read(&args.data, &task, args.skip_empty)?;
    let base = BaseFolder::open(&args.model.model)?;
    base.check_max_tokens(args.model.max_tokens as usize)?;
    let samples = tokenise(&notes, &base.tokenizer, args.model.max_tokens as usize, &args.model.model)?;
    let model = stack::classifier(&base, &args.model.adapters, &task, &opened.device, opened.dtype.burn())?;
    // Proves that there can be a folder, before the long part; a Ctrl+C during that leaves nothing behind.
    drop(NewFolder::create(&args.out, args.overwrite)?);
    drop(reading);
    let mut progress = Progress::new("evaluate", 0, samples.len() as u64);
    let logits = predict(&model, &samples, &opened.device, |done| {
        progress.set(done as u64, String::new);
    })?;
    drop(progress);
    let measuring = Stage::begin("evaluate: metrics and their intervals");
    let options = EvalOptions { resamples: args.resamples, seed: common.seed.unwrap_or(1234) };
    let metrics = metrics(&task, &samples, &logits, &options)?;
    drop(measuring);
    let out = NewFolder::create(&args.out, args.overwrite)?;
    write(out.path(), &task, &samples, &logits, &metrics)?;
    audit::carry_over(&args.out, out.path())?;
    let event = Event::new("evaluated")
        .sha256("data", &files::sha256_of_file(&args.data)?)
        .sha256("task", &files::sha256_of_file(&args.task)?)
        .files(out.path(), &["metrics.json", "predictions.csv"])?
        .detail("notes", samples.len());
    stack::logged(event, &args.model.adapters)?.append_to(out.path())?;
    out.finish()?;
    if common.json {
        return print_json(&metrics);
    }
    console::result(eval::summary(&metrics))?;
    console::result(format_args!("metrics.json and predictions.csv are in {}", args.out.display()))
}

/// Metrics of `logits` (row by row over the labels) against the samples' truth.
pub(crate) fn metrics(
    task: &Task,
    samples: &[Sample],
    logits: &[f32],
    options: &EvalOptions,
) -> Result<Metrics> {
    let labels = Labels::of(task.kind, samples.iter().map(|sample| sample.target.as_slice()));
    eval::evaluate(task.kind, &labels, logits, options).map_err(eval::refused)
}

/// Writes both files into an existing folder.
pub(crate) fn write(
    folder: &Path,
    task: &Task,
    samples: &[Sample],
    logits: &[f32],
    metrics: &Metrics,
) -> Result<()> {
    let json = serde_json::to_string_pretty(metrics).expect("metrics serialise");
    files::write_atomic(&folder.join("metrics.json"), json.as_bytes())?;
    files::write_atomic(&folder.join("predictions.csv"), &predictions(task, samples, logits))
}

/// `id,label,score_<LABEL>...`: the truth as in the data, and a probability for every label.
fn predictions(task: &Task, samples: &[Sample], logits: &[f32]) -> Vec<u8> {
    const IN_MEMORY: &str = "writing to memory does not fail";
    let mut writer = csv::Writer::from_writer(Vec::new());
    let scores = task.labels.iter().map(|label| format!("score_{}", label.name));
    let header: Vec<String> = ["id".to_owned(), "label".to_owned()].into_iter().chain(scores).collect();
    writer.write_record(&header).expect(IN_MEMORY);
    for (sample, row) in samples.iter().zip(logits.chunks_exact(task.labels.len())) {
        let truth: Vec<&str> = task
            .labels
            .iter()
            .zip(&sample.target)
            .filter(|(_, target)| **target > 0.0)
            .map(|(label, _)| label.name.as_str())
            .collect();
        let scores = eval::probabilities(task.kind, row).into_iter().map(|p| p.to_string());
        let record: Vec<String> = [sample.id.clone(), truth.join(",")].into_iter().chain(scores).collect();
        writer.write_record(&record).expect(IN_MEMORY);
    }
    writer.into_inner().expect(IN_MEMORY)
}
