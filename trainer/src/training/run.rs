//! The loop: epochs of updates, a look at held-out notes after each, checkpoints in between.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::Device;
use clinlora_core::params::Walk;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::adamw::AdamW;
use super::checkpoint::{self, State};
use super::interrupt;
use super::objective::{Objective, Validation};
use super::progress::Progress;
use super::schedule::learning_rate;
use super::step;
use crate::console;
use crate::dataset::order::shuffled;
use crate::dataset::{Sample, Samples};
use crate::error::{AtPath, Error, Result};
use crate::files::{self, FolderLock, NewFolder};
use crate::recipe::{Recipe, Select, Training};

const LOG: &str = "run.jsonl";
const RECIPE: &str = "recipe.toml";

/// A run's folder, bound to one recipe, and to this process while it trains.
pub(crate) struct RunFolder {
    pub(crate) path: PathBuf,
    recipe_sha256: String,
    resume: bool,
    _lock: FolderLock,
}

impl RunFolder {
    /// Makes the folder of `recipe` with the resolved recipe in it; or, to resume, checks that it is the same.
    ///
    /// Called once everything a run reads has been read and has its place in the model, so that neither a mistake in the
    /// inputs nor a full disk costs the folder that `overwrite` replaces.
    pub(crate) fn open(recipe: &Recipe, resume: bool, overwrite: bool) -> Result<Self> {
        let path = recipe.out.clone();
        let resolved = recipe.resolved();
        let lock = if resume {
            Self::reopen(&path, &resolved)?
        } else {
            files::refuse_inputs_inside(&path, recipe.inputs())?;
            let folder = NewFolder::create(&path, overwrite)?;
            files::write_atomic(&folder.path().join(RECIPE), resolved.as_bytes())?;
            let lock = FolderLock::take(folder.path())?;
            folder.finish()?;
            lock
        };
        Ok(Self { path, recipe_sha256: files::sha256(resolved.as_bytes()), resume, _lock: lock })
    }

    fn reopen(path: &Path, resolved: &str) -> Result<FolderLock> {
        let recipe_path = path.join(RECIPE);
        if !recipe_path.exists() {
            return Err(Error::Input(format!(
                "{}: no run to resume ({RECIPE} is not there); begin one without --resume",
                path.display()
            )));
        }
        let lock = FolderLock::take(path)?;
        let before = files::read_text(&recipe_path)?;
        if before != resolved {
            return Err(Error::Input(format!(
                "{}: the recipe has changed since the run began ({}); resume with the old one or begin anew",
                path.display(),
                first_difference(&before, resolved),
            )));
        }
        files::remove_temporaries(path)?;
        Ok(lock)
    }

    /// Refuses an output that cannot be written before anything long is computed for it.
    pub(crate) fn check(recipe: &Recipe, resume: bool, overwrite: bool) -> Result<()> {
        if resume {
            return Ok(());
        }
        files::refuse_existing(&recipe.out, overwrite)
    }
}

fn first_difference(before: &str, after: &str) -> String {
    let changed = before.lines().zip(after.lines()).find(|(a, b)| a != b);
    changed.map_or_else(|| "lines were added or removed".into(), |(a, b)| format!("`{a}` became `{b}`"))
}

/// One line of `run.jsonl`.
#[derive(Debug, Serialize, Deserialize)]
struct LogLine {
    step: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    loss: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lr: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    grad_norm: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tokens: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tokens_per_s: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    valid: Option<Validation>,
}

/// What a finished run came to.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Summary {
    /// Updates done.
    pub(crate) updates: u64,
    /// Update whose state was kept.
    pub(crate) kept_update: u64,
    /// Validation at that update.
    pub(crate) valid: Option<Validation>,
}

/// Looks at a run after the validation of each epoch but the last.
pub(crate) trait Watch {
    /// Whether to go on after `epoch`, counted from 1. A run that does not ends there, as one out of patience does.
    fn goes_on(&self, epoch: u64, valid: Validation) -> Result<bool>;
}

/// Everything the loop needs beside the model.
pub(crate) struct Job<'a, O: Objective> {
    pub(crate) objective: &'a O,
    pub(crate) title: &'a str,
    /// Leave the lines of the epochs out.
    pub(crate) brief: bool,
    pub(crate) train: &'a dyn Samples,
    pub(crate) valid: &'a [Sample],
    pub(crate) training: &'a Training,
    pub(crate) seed: u64,
    /// With autodiff.
    pub(crate) device: &'a Device,
    pub(crate) watch: Option<&'a dyn Watch>,
}

/// Trains `model` until the recipe's last epoch, early stopping or an interruption, and puts the kept state into it.
///
/// # Errors
/// [`Error::Interrupted`] once the state is saved; [`Error::Diverged`] at the first number that is not finite.
pub(crate) fn train<O: Objective>(
    job: &Job<'_, O>,
    model: &mut O::Model,
    folder: &RunFolder,
) -> Result<Summary> {
    let notes_per_update = job.training.batch_size.saturating_mul(job.training.accumulation_steps);
    let updates_per_epoch = job.train.count().div_ceil(notes_per_update) as u64;
    let updates = updates_per_epoch.saturating_mul(job.training.epochs);
    let micro_batches =
        (job.train.count().div_ceil(job.training.batch_size) as u64).saturating_mul(job.training.epochs);
    let (mut optimizer, mut state) = begin(job, model, folder)?;
    let mut log = Log::open(&folder.path.join(LOG), &state)?;
    let mut progress = Progress::new(job.title, state.update, updates);
    let mut last_checkpoint = Instant::now();

    while state.epoch < job.training.epochs && !stopped_early(&state, job.training) {
        let order = shuffled(job.train.count(), job.seed, state.epoch);
        stop_if_asked(model, &optimizer, &state, &log, folder)?;
        while state.next_note < order.len() {
            let started = Instant::now();
            let end = state.next_note.saturating_add(notes_per_update).min(order.len());
            let places = order[state.next_note..end].iter();
            let read = places.map(|i| job.train.sample(*i)).collect::<Result<Vec<_>>>()?;
            let samples: Vec<&Sample> = read.iter().map(AsRef::as_ref).collect();
            // Dropout of an update depends on its number alone, so a resumed run draws the same masks.
            let seed = job.seed.wrapping_add((state.update + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let (loss, gradients) =
                step::gradients(job.objective, model, &samples, job.training, seed, job.device)?;
            let outcome = step::measure(loss, &gradients);
            refuse_divergence(outcome, &state, folder)?;
            let lr = learning_rate(job.training, state.update, updates, micro_batches);
            step::apply(model, &mut optimizer, gradients, outcome, job.training, lr);
            state.update += 1;
            state.next_note = end;

            let tokens = samples.iter().map(|sample| sample.ids.len()).sum::<usize>();
            let seconds = started.elapsed().as_secs_f64();
            #[expect(clippy::cast_precision_loss, reason = "token counts are far below 2^52")]
            let tokens_per_s = tokens as f64 / seconds;
            log.update(state.update, outcome, lr, tokens, tokens_per_s, seconds)?;
            progress.set(state.update, || {
                format!(
                    "loss {:.4} grad-norm {:.3} {tokens_per_s:.0} tokens/s",
                    outcome.loss, outcome.grad_norm
                )
            });
            if last_checkpoint.elapsed().as_secs_f64() >= job.training.checkpoint_minutes * 60.0 {
                save(model, &optimizer, &state, &log, folder)?;
                last_checkpoint = Instant::now();
            }
            stop_if_asked(model, &optimizer, &state, &log, folder)?;
        }
        state.epoch += 1;
        state.next_note = 0;
        end_epoch(job, model, folder, &mut state, &mut log, &progress)?;
        save(model, &optimizer, &state, &log, folder)?;
        last_checkpoint = Instant::now();
        if let (Some(watch), Some(valid)) = (job.watch, state.last)
            && state.epoch < job.training.epochs
            && !watch.goes_on(state.epoch, valid)?
        {
            break;
        }
    }

    let (kept_update, valid) = match (job.training.select, state.best) {
        (Select::Last, _) | (_, None) => (state.update, state.last),
        (_, Some((update, valid))) => {
            checkpoint::load_trainable(&checkpoint::best_path(&folder.path, update), model)?;
            (update, Some(valid))
        }
    };
    publish_state(&folder.path)?;
    Ok(Summary { updates: state.update, kept_update, valid })
}

fn begin<O: Objective>(job: &Job<'_, O>, model: &mut O::Model, folder: &RunFolder) -> Result<(AdamW, State)> {
    let notes_sha256 = notes_sha256(job.train)?;
    if folder.resume {
        if let Some(path) = checkpoint::latest(&folder.path)? {
            let (optimizer, state) = checkpoint::load(&path, model, job.device)?;
            if state.recipe_sha256 != folder.recipe_sha256 {
                return Err(checkpoint::damaged(&path));
            }
            if state.notes_sha256 != notes_sha256 {
                return Err(Error::Input(format!(
                    "{}: the training notes are not those the run began with; give it the old file, or begin anew with \
                     --overwrite",
                    folder.path.display(),
                )));
            }
            return Ok((optimizer, state));
        }
        console::note(format_args!(
            "{}: stopped before its first checkpoint; it begins anew",
            folder.path.display()
        ));
    }
    let state = State {
        update: 0,
        epoch: 0,
        next_note: 0,
        seed: job.seed,
        notes_sha256,
        last: None,
        best: None,
        epochs_since_best: 0,
        recipe_sha256: folder.recipe_sha256.clone(),
    };
    Ok((AdamW::default(), state))
}

/// A hash of what `notes` are to a model: tokens and truth.
fn notes_sha256(notes: &dyn Samples) -> Result<String> {
    let mut hash = Sha256::new();
    for place in 0..notes.count() {
        let note = notes.sample(place)?;
        hash.update((note.ids.len() as u64).to_le_bytes());
        note.ids.iter().for_each(|id| hash.update(id.to_le_bytes()));
        note.target.iter().for_each(|value| hash.update(value.to_le_bytes()));
    }
    Ok(files::hex(&hash.finalize()))
}

fn save<M: Walk>(
    model: &mut M,
    optimizer: &AdamW,
    state: &State,
    log: &Log,
    folder: &RunFolder,
) -> Result<()> {
    log.sync()?;
    checkpoint::save(&folder.path, model, optimizer, state).map_err(|e| as_divergence(e, state, folder))
}

fn stop_if_asked<M: Walk>(
    model: &mut M,
    optimizer: &AdamW,
    state: &State,
    log: &Log,
    folder: &RunFolder,
) -> Result<()> {
    let Some(signal) = interrupt::requested() else {
        return Ok(());
    };
    save(model, optimizer, state, log, folder)?;
    Err(Error::Interrupted { signal, update: state.update, run: folder.path.clone() })
}

/// Validates, and keeps the state if it is the best so far.
fn end_epoch<O: Objective>(
    job: &Job<'_, O>,
    model: &mut O::Model,
    folder: &RunFolder,
    state: &mut State,
    log: &mut Log,
    progress: &Progress,
) -> Result<()> {
    if job.valid.is_empty() {
        return Ok(());
    }
    let plain = job.device.clone().inner();
    let valid = job.objective.validate(&burn::module::Module::valid(model), job.valid, &plain).map_err(
        |e| match e {
            Error::NotFinite(_) => {
                diverged(state.update, "the held-out loss is not finite".to_owned(), folder)
            }
            other => other,
        },
    )?;
    log.validation(state.update, valid)?;
    if !job.brief {
        let auroc = valid.auroc.map_or_else(String::new, |auroc| format!(", AUROC {auroc:.4}"));
        progress.say(&format!("{} epoch {}: held-out loss {:.4}{auroc}", job.title, state.epoch, valid.loss));
    }
    state.last = Some(valid);
    if state.best.is_none_or(|(_, best)| is_better(job.training.select, valid, best)) {
        checkpoint::save_trainable(&checkpoint::best_path(&folder.path, state.update), model)
            .map_err(|e| as_divergence(e, state, folder))?;
        state.best = Some((state.update, valid));
        state.epochs_since_best = 0;
    } else {
        state.epochs_since_best += 1;
    }
    Ok(())
}

fn is_better(select: Select, new: Validation, best: Validation) -> bool {
    match (select, new.auroc, best.auroc) {
        (Select::Best, Some(new), Some(best)) => new > best,
        _ => new.loss < best.loss,
    }
}

fn stopped_early(state: &State, training: &Training) -> bool {
    training.patience.is_some_and(|patience| state.epochs_since_best >= patience)
}

fn refuse_divergence(outcome: step::Outcome, state: &State, folder: &RunFolder) -> Result<()> {
    let what = if !outcome.loss.is_finite() {
        "the loss is not finite"
    } else if !outcome.grad_norm.is_finite() {
        "the gradient is not finite"
    } else {
        return Ok(());
    };
    Err(diverged(state.update + 1, what.to_owned(), folder))
}

/// Numbers of a model that was sound when training began are not finite: training did that.
fn as_divergence(error: Error, state: &State, folder: &RunFolder) -> Error {
    match error {
        Error::NotFinite(what) => diverged(state.update, what, folder),
        other => other,
    }
}

fn diverged(update: u64, what: String, folder: &RunFolder) -> Error {
    let good = match checkpoint::latest(&folder.path) {
        Ok(Some(path)) => format!("the last good checkpoint is {}", path.display()),
        Ok(None) => "no checkpoint had been made yet".to_owned(),
        Err(error) => error.to_string(),
    };
    let advice =
        format!("{good}; begin anew with a lower training.learning_rate, or set training.max_grad_norm");
    Error::Diverged { update, what, advice }
}

/// Puts optimiser and state of the last checkpoint into the run folder itself, beside the adapter.
fn publish_state(run: &Path) -> Result<()> {
    if let Some(last) = checkpoint::latest(run)? {
        for name in [checkpoint::OPTIMIZER, checkpoint::STATE] {
            files::link_atomic(&last.join(name), &run.join(name))?;
        }
    }
    Ok(())
}

/// Seconds a run's updates took, without validation and checkpoints; those of an update done anew after a resume count once.
pub(crate) fn seconds(run: &Path) -> Result<f64> {
    let text = files::read_text(&run.join(LOG))?;
    let lines = text.lines().filter_map(|line| serde_json::from_str::<LogLine>(line).ok());
    Ok(lines.filter_map(|line| line.seconds).sum())
}

/// `run.jsonl`: one line an update, one a validation.
struct Log {
    file: File,
    path: PathBuf,
}

impl Log {
    /// Opens the log for appending after `state`; what a killed run wrote after that state goes.
    fn open(path: &Path, state: &State) -> Result<Self> {
        if path.exists() {
            let text = files::read_text(path)?;
            let validated = state.next_note == 0;
            let is_before = |line: LogLine| {
                line.step < state.update || line.step == state.update && (validated || line.valid.is_none())
            };
            let kept: String = text
                .lines()
                .filter(|line| serde_json::from_str(line).is_ok_and(is_before))
                .map(|line| format!("{line}\n"))
                .collect();
            files::write_atomic(path, kept.as_bytes())?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path).at(path)?;
        Ok(Self { file, path: path.to_owned() })
    }

    fn update(
        &mut self,
        step: u64,
        outcome: step::Outcome,
        lr: f64,
        tokens: usize,
        tokens_per_s: f64,
        seconds: f64,
    ) -> Result<()> {
        self.line(&LogLine {
            step,
            loss: Some(outcome.loss),
            lr: Some(lr),
            grad_norm: Some(outcome.grad_norm),
            tokens: Some(tokens),
            tokens_per_s: Some(tokens_per_s),
            seconds: Some(seconds),
            valid: None,
        })
    }

    fn validation(&mut self, step: u64, valid: Validation) -> Result<()> {
        self.line(&LogLine {
            step,
            loss: None,
            lr: None,
            grad_norm: None,
            tokens: None,
            tokens_per_s: None,
            seconds: None,
            valid: Some(valid),
        })
    }

    fn line(&mut self, line: &LogLine) -> Result<()> {
        let json = serde_json::to_string(line).expect("numbers serialise");
        writeln!(self.file, "{json}").at(&self.path)
    }

    fn sync(&self) -> Result<()> {
        self.file.sync_all().at(&self.path)
    }
}
