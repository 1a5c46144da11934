//! `clinlora evaluate`.

use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device};
use clinlora_core::task::Task;

use super::{print_json, stack};
use crate::audit::{self, Event};
use crate::cli::{Common, Evaluate};
use crate::console;
use crate::dataset::{table, tokenise};
use crate::error::Result;
use crate::eval::{self, EvalOptions, Labels, Metrics};
use crate::files::{self, NewFolder};
use crate::folders::base::BaseFolder;
use crate::training::objective::predict;
use crate::training::progress::{Progress, Stage};

const METRICS: &str = "metrics.json";
pub(crate) const PREDICTIONS: &str = "predictions.csv";

/// Writes `metrics.json` and `predictions.csv`.
///
/// # Errors
/// [`Error`](crate::error::Error) for whatever of the inputs cannot be used, or an output that exists.
pub fn run(args: &Evaluate, common: &Common) -> Result<()> {
    let opened = common.device.open()?;
    files::refuse_existing(&args.out, args.overwrite)?;
    files::refuse_inputs_inside(&args.out, args.inputs())?;
    let task = table::read_task(&args.task)?;
    let metrics = evaluate(&Evaluation {
        title: "evaluate",
        model: &args.model.model,
        adapters: &args.model.adapters,
        max_tokens: args.model.max_tokens as usize,
        task: &task,
        task_file: &args.task,
        data: &args.data,
        skip_empty: args.skip_empty,
        options: EvalOptions { resamples: args.resamples, seed: common.seed.unwrap_or(1234) },
        out: &args.out,
        overwrite: args.overwrite,
        device: &opened.device,
        dtype: opened.dtype.burn(),
    })?;
    if common.json {
        return print_json(&metrics);
    }
    console::result(eval::summary(&metrics))?;
    console::result(format_args!("metrics.json and predictions.csv are in {}", args.out.display()))
}

/// A base and adapters to be tested on labelled notes.
pub(crate) struct Evaluation<'a> {
    /// What progress is called.
    pub(crate) title: &'a str,
    pub(crate) model: &'a Path,
    pub(crate) adapters: &'a [PathBuf],
    pub(crate) max_tokens: usize,
    pub(crate) task: &'a Task,
    pub(crate) task_file: &'a Path,
    pub(crate) data: &'a Path,
    pub(crate) skip_empty: bool,
    pub(crate) options: EvalOptions,
    /// Folder for both files.
    pub(crate) out: &'a Path,
    pub(crate) overwrite: bool,
    pub(crate) device: &'a Device,
    pub(crate) dtype: DType,
}

/// The command without its printing: predicts, and writes `metrics.json` and `predictions.csv`.
pub(crate) fn evaluate(evaluation: &Evaluation<'_>) -> Result<Metrics> {
    let Evaluation { title, task, data, max_tokens, device, .. } = *evaluation;
    let reading = Stage::begin(&format!("{title}: reading notes and model"));
    let notes = table::read(data, task, evaluation.skip_empty)?;
    let base = BaseFolder::open(evaluation.model)?;
    base.check_max_tokens(max_tokens)?;
    let samples = tokenise(&notes, &base.tokenizer, max_tokens, evaluation.model)?;
    let model = stack::classifier(&base, evaluation.adapters, task, device, evaluation.dtype)?;
    // Proves that there can be a folder, before the long part; a Ctrl+C during that leaves nothing behind.
    drop(NewFolder::create(evaluation.out, evaluation.overwrite)?);
    drop(reading);
    let mut progress = Progress::new(title, 0, samples.len() as u64);
    let logits = predict(&model, &samples, device, |done| {
        progress.set(done as u64, String::new);
    })?;
    drop(progress);
    let measuring = Stage::begin(&format!("{title}: metrics and their intervals"));
    let labels = Labels::of(task.kind, samples.iter().map(|sample| sample.target.as_slice()));
    let metrics = eval::evaluate(task.kind, &labels, &logits, &evaluation.options).map_err(eval::refused)?;
    drop(measuring);
    let out = NewFolder::create(evaluation.out, evaluation.overwrite)?;
    let json = serde_json::to_string_pretty(&metrics).expect("metrics serialise");
    files::write_atomic(&out.path().join(METRICS), json.as_bytes())?;
    let predictions = eval::predictions::csv(task, &samples, &logits);
    files::write_atomic(&out.path().join(PREDICTIONS), &predictions)?;
    audit::carry_over(evaluation.out, out.path())?;
    let event = Event::new("evaluated")
        .sha256("data", &files::sha256_of_file(data)?)
        .sha256("task", &files::sha256_of_file(evaluation.task_file)?)
        .files(out.path(), &[METRICS, PREDICTIONS])?
        .detail("notes", samples.len());
    stack::logged(event, evaluation.adapters)?.append_to(out.path())?;
    out.finish()?;
    Ok(metrics)
}
