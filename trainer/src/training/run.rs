//! The loop: epochs of updates, a look at held-out notes after each, checkpoints in between.

use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::Device;
use clinlora_core::params::Walk;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::adamw::AdamW;
use super::checkpoint::{self, State};
use super::floor::Floor;
use super::interrupt;
pub(crate) use super::log::seconds;
use super::log::{Log, Update};
use super::objective::{Objective, Validation};
use super::progress::Progress;
use super::ranks::Ranks;
use super::schedule::{RateFactors, learning_rate};
use super::step;
use crate::audit::{self, Event};
use crate::console;
use crate::dataset::order::shuffled;
use crate::dataset::prefetch::Prefetched;
use crate::dataset::{Sample, Samples};
use crate::error::{Error, Result};
use crate::files::{self, FolderLock, NewFolder};
use crate::recipe::{Recipe, Select, Training};

/// The resolved recipe's name in a run folder.
pub(crate) const RECIPE: &str = "recipe.toml";

/// A run's folder, bound to one recipe, and to this process while it trains.
pub(crate) struct RunFolder {
    pub(crate) path: PathBuf,
    /// Hash of the recipe in the folder.
    recipe_sha256: String,
    /// A recipe that is to take its place, and the lines in which it differs.
    changed: Option<(String, Vec<String>)>,
    /// Fingerprint of the base's weights, for the audit log.
    base_fingerprint: String,
    resume: bool,
    /// None where another process writes.
    lock: Option<FolderLock>,
}

impl RunFolder {
    /// The folder of a run that rank 0 has opened, for a rank that writes nothing.
    pub(crate) fn follow(recipe: &Recipe, resume: bool) -> Self {
        Self {
            path: recipe.out.clone(),
            recipe_sha256: String::new(),
            changed: None,
            base_fingerprint: String::new(),
            resume,
            lock: None,
        }
    }

    /// Whether this process writes the run.
    pub(crate) fn is_ours(&self) -> bool {
        self.lock.is_some()
    }

    /// Makes the folder of `recipe` with the resolved recipe in it; or, to resume, checks that it is the same.
    ///
    /// Called once everything a run reads has been read and has its place in the model, so that neither a mistake in the
    /// inputs nor a full disk costs the folder that `overwrite` replaces.
    pub(crate) fn open(recipe: &Recipe, resume: bool, overwrite: bool) -> Result<Self> {
        if resume {
            return Self::reopen(recipe, false);
        }
        let path = recipe.out.clone();
        let resolved = recipe.resolved();
        files::refuse_inputs_inside(&path, recipe.inputs())?;
        let folder = NewFolder::create(&path, overwrite)?;
        audit::carry_over(&path, folder.path())?;
        files::write_atomic(&folder.path().join(RECIPE), resolved.as_bytes())?;
        let lock = FolderLock::take(folder.path())?;
        folder.finish()?;
        let recipe_sha256 = files::sha256(resolved.as_bytes());
        Ok(Self {
            path,
            recipe_sha256,
            changed: None,
            base_fingerprint: String::new(),
            resume,
            lock: Some(lock),
        })
    }

    /// Opens the folder of a run that was begun. With `accept_change` its recipe may be another by now; it takes the old
    /// one's place once the run's state has turned out to fit.
    pub(crate) fn reopen(recipe: &Recipe, accept_change: bool) -> Result<Self> {
        let path = recipe.out.clone();
        let recipe_path = path.join(RECIPE);
        if !recipe_path.exists() {
            return Err(Error::Input(format!(
                "{}: no run to resume ({RECIPE} is not there); begin one without --resume",
                path.display()
            )));
        }
        let lock = FolderLock::take(&path)?;
        let before = files::read_text(&recipe_path)?;
        let differences = recipe.differences(&before);
        if !differences.is_empty() && !accept_change {
            return Err(Error::Input(format!(
                "{}: the recipe has changed since the run began:\n  {}\nresume with the old one ({}), begin anew with \
                 --overwrite, or go on with --resume --accept-changed-recipe",
                path.display(),
                differences.join("\n  "),
                recipe_path.display(),
            )));
        }
        files::remove_temporaries(&path)?;
        Ok(Self {
            recipe_sha256: files::sha256(before.as_bytes()),
            changed: (!differences.is_empty()).then(|| (recipe.resolved(), differences)),
            path,
            base_fingerprint: String::new(),
            resume: true,
            lock: Some(lock),
        })
    }

    /// With the fingerprint of the base the run trains on.
    pub(crate) fn on_base(self, fingerprint: &str) -> Self {
        Self { base_fingerprint: fingerprint.to_owned(), ..self }
    }

    /// Puts the changed recipe, if there is one, in the place of the old, and logs in what it differs; returns the hash of the
    /// recipe that holds from now on.
    fn accept_change(&self) -> Result<String> {
        let Some((resolved, differences)) = &self.changed else {
            return Ok(self.recipe_sha256.clone());
        };
        let hash = files::sha256(resolved.as_bytes());
        let event = Event::new("recipe changed").sha256("recipe", &hash);
        let event = event.sha256("recipe before", &self.recipe_sha256);
        event.detail("differences", differences.clone()).append_to(&self.path)?;
        files::write_atomic(&self.path.join(RECIPE), resolved.as_bytes())?;
        for difference in differences {
            console::note(format_args!("{}: {difference}", self.path.display()));
        }
        Ok(hash)
    }

    /// Whether a state under the recipe of this hash is one of this run: that of its recipe, or of one it had before.
    fn has_had(&self, recipe_sha256: &str) -> bool {
        if !self.is_ours() {
            return true; // who writes it has looked
        }
        let was_logged = |entry: audit::Entry| entry.sha256.values().any(|hash| hash == recipe_sha256);
        recipe_sha256 == self.recipe_sha256 || audit::entries(&self.path).into_iter().any(was_logged)
    }

    /// Refuses an output that cannot be written before anything long is computed for it.
    pub(crate) fn check(recipe: &Recipe, resume: bool, overwrite: bool) -> Result<()> {
        if resume {
            return Ok(());
        }
        files::refuse_existing(&recipe.out, overwrite)
    }
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
    pub(crate) rates: &'a RateFactors,
    pub(crate) seed: u64,
    /// With autodiff.
    pub(crate) device: &'a Device,
    pub(crate) watch: Option<&'a dyn Watch>,
    /// Who else makes the updates.
    pub(crate) ranks: Ranks,
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
    let summary = epochs(job, model, folder);
    if !folder.is_ours() {
        return summary;
    }
    let event = match &summary {
        Err(Error::Interrupted { update, signal, .. }) => {
            Event::new("interrupted").detail("update", *update).detail("signal", *signal)
        }
        Err(Error::Diverged { update, what, .. }) => {
            Event::new("diverged").detail("update", *update).detail("what", what.as_str())
        }
        Err(error) => Event::new("failed").detail("error", error.to_string()),
        Ok(_) => return summary,
    };
    // The run has failed already, perhaps for want of room; that is what has to be told.
    let _ = event.append_to(&folder.path);
    summary
}

fn epochs<O: Objective>(job: &Job<'_, O>, model: &mut O::Model, folder: &RunFolder) -> Result<Summary> {
    let ranks = job.ranks;
    let notes_per_step = job.training.batch_size.saturating_mul(ranks.size);
    let notes_per_update = notes_per_step.saturating_mul(job.training.accumulation_steps);
    let updates_per_epoch = job.train.count().div_ceil(notes_per_update) as u64;
    let updates = updates_per_epoch.saturating_mul(job.training.epochs);
    let micro_batches =
        (job.train.count().div_ceil(notes_per_step) as u64).saturating_mul(job.training.epochs);
    let (mut optimizer, mut state) = begin(job, model, folder)?;
    let open_log = || Log::open(&folder.path, &state, job.objective.has_perplexity());
    let mut log = folder.is_ours().then(open_log).transpose()?;
    let floor = job.objective.runs_network().then(|| Floor::of(model, job.device));
    let mut progress = Progress::new(job.title, state.update, updates);
    let mut last_checkpoint = Instant::now();
    let mut waited = Waited::default();

    while state.epoch < job.training.epochs && !stopped_early(&state, job.training) {
        let order = shuffled(job.train.count(), job.seed, state.epoch);
        stop_if_asked(job, model, &optimizer, &state, log.as_ref(), folder)?;
        let places = order.get(state.next_note..).unwrap_or_default();
        std::thread::scope(|scope| {
            let mut notes = Prefetched::begin(scope, job.train, places, notes_per_update);
            let mut started = Instant::now();
            while let Some(read) = notes.next()? {
                let end = state.next_note + read.len();
                let samples: Vec<&Sample> = read.iter().collect();
                // Dropout of an update depends on its number alone, so a resumed run draws the same masks.
                let seed = job.seed.wrapping_add((state.update + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
                let (loss, gradients) = step::shared_gradients(
                    job.objective,
                    model,
                    &samples,
                    job.training,
                    seed,
                    job.device,
                    ranks,
                )?;
                let outcome = step::measure(loss, &gradients);
                refuse_divergence(outcome, &state, folder)?;
                let lr = learning_rate(job.training, state.update, updates, micro_batches);
                step::apply(model, &mut optimizer, gradients, outcome, job.training, lr, job.rates);
                state.update += 1;
                state.next_note = end;

                let tokens = samples.iter().map(|sample| sample.ids.len()).sum::<usize>();
                let seconds = started.elapsed().as_secs_f64();
                let data_seconds = notes.take_waited().as_secs_f64();
                let update = Update { step: state.update, outcome, lr, tokens, seconds, data_seconds };
                waited.add(&update);
                log.iter_mut().try_for_each(|log| log.update(&update))?;
                progress
                    .set(state.update, || message(&update, job.objective.has_perplexity(), floor.as_ref()));
                if last_checkpoint.elapsed().as_secs_f64() >= job.training.checkpoint_minutes * 60.0 {
                    save(job.training, model, &optimizer, &state, log.as_ref(), folder)?;
                    last_checkpoint = Instant::now();
                }
                stop_if_asked(job, model, &optimizer, &state, log.as_ref(), folder)?;
                started = Instant::now();
            }
            Ok::<(), Error>(())
        })?;
        state.epoch += 1;
        state.next_note = 0;
        end_epoch(job, model, folder, &mut state, log.as_mut(), &progress)?;
        save(job.training, model, &optimizer, &state, log.as_ref(), folder)?;
        last_checkpoint = Instant::now();
        if let (Some(watch), Some(valid)) = (job.watch, state.last)
            && state.epoch < job.training.epochs
            && !watch.goes_on(state.epoch, valid)?
        {
            break;
        }
    }

    // What a kill after the last checkpoint left to do.
    if folder.is_ours() {
        checkpoint::tidy(&folder.path, job.training.keep_last)?;
    }
    ranks.barrier()?; // the best state is on disk
    if !job.brief {
        progress.say(&waited.told(job.title));
    }
    let (kept_update, valid) = match (job.training.select, state.best) {
        (Select::Last, _) | (_, None) => (state.update, state.last),
        (_, Some((update, valid))) => {
            checkpoint::load_trainable(&checkpoint::best_path(&folder.path, update), model)?;
            (update, Some(valid))
        }
    };
    ranks.barrier()?; // and read by everyone
    if folder.is_ours() {
        publish_state(&folder.path)?;
    }
    Ok(Summary { updates: state.update, kept_update, valid })
}

fn begin<O: Objective>(job: &Job<'_, O>, model: &mut O::Model, folder: &RunFolder) -> Result<(AdamW, State)> {
    let notes_sha256 = notes_sha256(job.train)?;
    let (optimizer, state) = match last_state(job, model, folder, &notes_sha256)? {
        Some((optimizer, state)) => (optimizer, State { recipe_sha256: folder.accept_change()?, ..state }),
        None => {
            let state = State {
                ranks: job.ranks.size,
                update: 0,
                epoch: 0,
                next_note: 0,
                seed: job.seed,
                notes_sha256,
                last: None,
                best: None,
                epochs_since_best: 0,
                recipe_sha256: folder.accept_change()?,
            };
            (AdamW::default(), state)
        }
    };
    if !folder.is_ours() {
        return Ok((optimizer, state));
    }
    Event::new(if folder.resume { "resumed" } else { "begun" })
        .sha256("recipe", &state.recipe_sha256)
        .sha256("data", &state.notes_sha256)
        .sha256("weights", &folder.base_fingerprint)
        .detail("update", state.update)
        .append_to(&folder.path)?;
    Ok((optimizer, state))
}

/// Puts the state of a resumed run's last checkpoint, if it made one, into `model`.
fn last_state<O: Objective>(
    job: &Job<'_, O>,
    model: &mut O::Model,
    folder: &RunFolder,
    notes_sha256: &str,
) -> Result<Option<(AdamW, State)>> {
    if !folder.resume {
        return Ok(None);
    }
    let run = folder.path.display();
    let Some(path) = checkpoint::latest(&folder.path)? else {
        console::note(format_args!("{run}: stopped before its first checkpoint; it begins anew"));
        return Ok(None);
    };
    let state = checkpoint::read_state(&path.join(checkpoint::STATE))?;
    if state.seed != job.seed {
        return Err(Error::Input(format!(
            "{run}: the run began with seed {}, which decides the order of its notes; resume with that one",
            state.seed
        )));
    }
    if state.notes_sha256 != notes_sha256 {
        return Err(Error::Input(format!(
            "{run}: the training notes are not those the run began with; give it the old file, or begin anew with \
             --overwrite",
        )));
    }
    if state.ranks != job.ranks.size {
        return Err(Error::Input(format!(
            "{run}: the run began with {} processes, each with training.batch_size notes a micro-batch; resume with as many",
            state.ranks
        )));
    }
    if !folder.has_had(&state.recipe_sha256) {
        return Err(checkpoint::damaged(&path));
    }
    checkpoint::load(&path, model, job.device).map(Some)
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

/// Time of a process's updates, and of that what it waited for notes.
#[derive(Debug, Default)]
struct Waited {
    seconds: f64,
    data_seconds: f64,
}

impl Waited {
    fn add(&mut self, update: &Update) {
        self.seconds += update.seconds;
        self.data_seconds += update.data_seconds;
    }

    fn told(&self, title: &str) -> String {
        let share = 100.0 * self.data_seconds / self.seconds.max(f64::MIN_POSITIVE);
        format!("{title}: the device waited {share:.2} % of the time for notes")
    }
}

/// What a person is told of an update.
fn message(update: &Update, has_perplexity: bool, floor: Option<&Floor>) -> String {
    let Update { outcome, lr, .. } = update;
    let perplexity =
        if has_perplexity { format!(" perplexity {:.2}", outcome.loss.exp()) } else { String::new() };
    let tokens_per_s = update.tokens_per_s();
    let share = floor.map_or_else(String::new, |floor| {
        format!(" ({:.0} % of the floor)", 100.0 * floor.share(tokens_per_s))
    });
    format!(
        "loss {:.4}{perplexity} grad-norm {:.3} lr {lr:.2e} {tokens_per_s:.0} tokens/s{share}",
        outcome.loss, outcome.grad_norm,
    )
}

fn save<M: Walk>(
    training: &Training,
    model: &mut M,
    optimizer: &AdamW,
    state: &State,
    log: Option<&Log>,
    folder: &RunFolder,
) -> Result<()> {
    let Some(log) = log else { return Ok(()) };
    log.sync()?;
    checkpoint::save(&folder.path, model, optimizer, state, training.keep_last)
        .map_err(|e| as_divergence(e, state, folder))
}

fn stop_if_asked<O: Objective>(
    job: &Job<'_, O>,
    model: &mut O::Model,
    optimizer: &AdamW,
    state: &State,
    log: Option<&Log>,
    folder: &RunFolder,
) -> Result<()> {
    // Whoever was told: all stop at the same update.
    let signal = job.ranks.largest(interrupt::requested().unwrap_or(0))?;
    if signal == 0 {
        return Ok(());
    }
    save(job.training, model, optimizer, state, log, folder)?;
    Err(Error::Interrupted { signal, update: state.update, run: folder.path.clone() })
}

/// Validates, and keeps the state if it is the best so far.
fn end_epoch<O: Objective>(
    job: &Job<'_, O>,
    model: &mut O::Model,
    folder: &RunFolder,
    state: &mut State,
    log: Option<&mut Log>,
    progress: &Progress,
) -> Result<()> {
    if job.valid.is_empty() {
        return Ok(());
    }
    let plain = job.device.clone().inner();
    let stage = progress.stage("validation");
    let valid = job.objective.validate(&burn::module::Module::valid(model), job.valid, &plain).map_err(
        |e| match e {
            Error::NotFinite(_) => {
                diverged(state.update, "the held-out loss is not finite".to_owned(), folder)
            }
            other => other,
        },
    )?;
    drop(stage);
    if let Some(log) = log {
        log.validation(state.update, valid)?;
    }
    if !job.brief {
        let auroc = valid.auroc.map_or_else(String::new, |auroc| format!(", AUROC {auroc:.4}"));
        progress.say(&format!("{} epoch {}: held-out loss {:.4}{auroc}", job.title, state.epoch, valid.loss));
    }
    state.last = Some(valid);
    if state.best.is_none_or(|(_, best)| is_better(job.training.select, valid, best)) {
        if folder.is_ours() {
            checkpoint::save_trainable(&checkpoint::best_path(&folder.path, state.update), model)
                .map_err(|e| as_divergence(e, state, folder))?;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_progress_says_how_good_and_how_fast_a_run_is() {
        let outcome = step::Outcome { loss: 2.0, grad_norm: 0.51234 };
        let update = Update { step: 7, outcome, lr: 3e-4, tokens: 500, seconds: 0.25, data_seconds: 0.0 };
        // 2000 tokens a second of 1 MFLOP each, where the device could do 8 GFLOPs.
        let floor = Floor::known(1e6, 8e9);
        let told = message(&update, true, Some(&floor));
        assert_eq!(
            told,
            "loss 2.0000 perplexity 7.39 grad-norm 0.512 lr 3.00e-4 2000 tokens/s (25 % of the floor)"
        );
        let told = message(&update, false, None);
        assert_eq!(told, "loss 2.0000 grad-norm 0.512 lr 3.00e-4 2000 tokens/s");
        let mut waited = Waited::default();
        waited.add(&Update { data_seconds: 0.001, ..update });
        assert_eq!(waited.told("train"), "train: the device waited 0.40 % of the time for notes");
    }
}
