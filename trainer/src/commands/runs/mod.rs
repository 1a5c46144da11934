//! `clinlora runs`: what runs there are, how far each is, and which is best.

mod page;

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::print_json;
use crate::audit;
use crate::cli::{Common, Runs};
use crate::console;
use crate::error::{AtPath, Error, Result};
use crate::files::{self, FolderLock};
use crate::recipe::{Adapter, AdapterMethod, Method, Recipe};
use crate::training::checkpoint::STATE;
use crate::training::log::{self, LOG, LogLine};
use crate::training::run::RECIPE;

/// Files of which a finished run has one.
const PUBLISHED: [&str; 3] = ["adapter_model.safetensors", "head.safetensors", "model.safetensors"];

/// Lists the runs below a folder, those of one task from the best to the worst, and writes a page of their curves if asked.
///
/// # Errors
/// [`Error::Input`] for a folder without runs, or a page that is not one of this command's.
pub fn run(args: &Runs, common: &Common) -> Result<()> {
    if let Some(path) = &args.html {
        page::refuse_other_files(path)?;
    }
    let mut folders = Vec::new();
    find(&args.folder, &mut folders)?;
    let mut runs =
        folders.iter().map(|folder| Run::read(folder, &args.folder)).collect::<Result<Vec<_>>>()?;
    if runs.is_empty() {
        return Err(Error::Input(format!("{}: no run there or below (no {RECIPE})", args.folder.display())));
    }
    runs.sort_by(Run::compare);
    if let Some(path) = &args.html {
        files::write_atomic(path, page::page(&args.folder, &runs).as_bytes())?;
        console::note(format_args!("{}: a page of {} runs", path.display(), runs.len()));
    }
    if common.json {
        return print_json(&serde_json::json!({ "runs": runs }));
    }
    console::result(table(&runs))
}

/// Folders with a run in them, `folder` and below; a run's own checkpoints are none.
fn find(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let has = |name: &str| folder.join(name).is_file();
    if has(RECIPE) && (has(LOG) || has(audit::AUDIT) || has(files::MARK)) {
        found.push(folder.to_owned());
    }
    let mut inside = Vec::new();
    for entry in std::fs::read_dir(folder).at(folder)? {
        let entry = entry.at(folder)?;
        let name = entry.file_name();
        let is_own = |name: &str| name.starts_with('.') || name.starts_with("checkpoint-");
        if entry.file_type().at(folder)?.is_dir() && !name.to_str().is_some_and(is_own) {
            inside.push(entry.path());
        }
    }
    inside.sort_unstable();
    inside.iter().try_for_each(|folder| find(folder, found))
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Standing {
    /// A process holds its lock.
    Running,
    Finished,
    /// A signal or a kill ended it; it can be resumed.
    Interrupted,
    /// Its numbers left the range of floats.
    Diverged,
    /// Another error ended it: a full disk, a damaged note.
    Failed,
}

/// A run, as far as its folder tells.
#[derive(Debug, Serialize)]
struct Run {
    run: String,
    state: Standing,
    /// The task of a downstream run.
    task: Option<String>,
    adapters: String,
    seed: u64,
    learning_rate: f64,
    updates: u64,
    epochs: u64,
    /// Loss of the last update.
    loss: Option<f64>,
    /// Update of the best validation.
    best_update: Option<u64>,
    valid_loss: Option<f64>,
    perplexity: Option<f64>,
    auroc: Option<f64>,
    /// Seconds of its updates.
    seconds: f64,
    /// Who holds the lock: host and process.
    held_by: Option<String>,
    #[serde(skip)]
    lines: Vec<LogLine>,
}

impl Run {
    fn read(folder: &Path, root: &Path) -> Result<Self> {
        let path = folder.join(RECIPE);
        let recipe: Recipe = toml::from_str(&files::read_text(&path)?)
            .map_err(|e| Error::Input(format!("{}: {}", path.display(), e.message())))?;
        let lines = if folder.join(LOG).exists() { log::read(folder)? } else { Vec::new() };
        let holder = FolderLock::holder(folder);
        let is_published =
            folder.join(STATE).exists() && PUBLISHED.iter().any(|name| folder.join(name).exists());
        let last_event = audit::entries(folder).pop().map(|entry| entry.event);
        let state = match last_event.as_deref() {
            _ if holder.is_some() => Standing::Running,
            Some("diverged") => Standing::Diverged,
            Some("failed") => Standing::Failed,
            _ if is_published => Standing::Finished,
            _ => Standing::Interrupted,
        };
        let validations = lines.iter().filter_map(|line| Some((line.step, line.valid?)));
        let best = validations.reduce(|best, new| {
            let is_better = match (best.1.auroc, new.1.auroc) {
                (Some(best), Some(new)) => new > best,
                _ => new.1.loss < best.1.loss,
            };
            if is_better { new } else { best }
        });
        let relative = folder.strip_prefix(root).unwrap_or(folder).display().to_string();
        let task = recipe.task.as_ref().map(|task| {
            let inner = task.parent().and_then(Path::file_name).filter(|_| task.ends_with("task.toml"));
            inner.or(task.file_stem()).unwrap_or_default().to_string_lossy().into_owned()
        });
        Ok(Self {
            run: if relative.is_empty() { root.display().to_string() } else { relative },
            state,
            adapters: describe(&recipe),
            seed: recipe.seed,
            learning_rate: recipe.training.learning_rate,
            epochs: recipe.training.epochs,
            updates: lines.iter().map(|line| line.step).max().unwrap_or(0),
            loss: lines.iter().rev().find_map(|line| line.loss),
            best_update: best.map(|(update, _)| update),
            valid_loss: best.map(|(_, valid)| valid.loss),
            perplexity: best.filter(|_| task.is_none()).map(|(_, valid)| valid.loss.exp()),
            auroc: best.and_then(|(_, valid)| valid.auroc),
            seconds: lines.iter().filter_map(|line| line.seconds).sum(),
            held_by: holder.map(|holder| format!("{} ({})", holder.host, holder.pid)),
            task,
            lines,
        })
    }

    /// By task, then from the best to the worst; what has no validation yet comes last.
    fn compare(&self, other: &Self) -> Ordering {
        // Lower is better.
        let merit = |run: &Self| run.auroc.map(|auroc| -auroc).or(run.valid_loss).unwrap_or(f64::INFINITY);
        let by_merit = merit(self).total_cmp(&merit(other));
        self.task.cmp(&other.task).then(by_merit).then_with(|| self.run.cmp(&other.run))
    }
}

/// What a recipe trains, in a few words: `clinical (frozen) + downstream lora r=4`.
fn describe(recipe: &Recipe) -> String {
    if recipe.method == Method::Full {
        return "all weights".to_owned();
    }
    let layer = |adapter: &Adapter| {
        let Adapter { name, path, trainable, r, virtual_tokens, .. } = adapter;
        let size = r.map(|r| format!(" r={r}")).or(virtual_tokens.map(|tokens| format!(" tokens={tokens}")));
        let method = match adapter.method.unwrap_or_default() {
            _ if path.is_some() => "",
            AdapterMethod::Lora => " lora",
            AdapterMethod::AdaptionPrompt => " adaption-prompt",
            AdapterMethod::Prefix => " prefix",
            AdapterMethod::Prompt => " prompt",
            AdapterMethod::PTuning => " p-tuning",
        };
        let frozen = if *trainable { "" } else { " (frozen)" };
        format!("{name}{method}{}{frozen}", size.unwrap_or_default())
    };
    let layers: Vec<String> = recipe.adapter.iter().map(layer).collect();
    if layers.is_empty() { "head alone".to_owned() } else { layers.join(" + ") }
}

/// Heads of the table's columns.
const COLUMNS: [&str; 11] =
    ["run", "state", "task", "AUROC", "perplexity", "valid loss", "loss", "updates", "lr", "seed", "time"];

/// The cells of a run under [`COLUMNS`], and what it trains.
fn cells(run: &Run) -> [String; 12] {
    let figure =
        |value: Option<f64>, digits: usize| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.digits$}"));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole seconds to print")]
    let seconds = run.seconds.round() as u64;
    let state = format!("{:?}", run.state).to_lowercase();
    [
        run.run.clone(),
        run.held_by.as_ref().map_or(state.clone(), |who| format!("{state} on {who}")),
        run.task.clone().unwrap_or_else(|| "-".to_owned()),
        figure(run.auroc, 4),
        figure(run.perplexity, 3),
        figure(run.valid_loss, 4),
        figure(run.loss, 4),
        run.updates.to_string(),
        format!("{:.1e}", run.learning_rate),
        run.seed.to_string(),
        format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
        run.adapters.clone(),
    ]
}

/// The runs as lines of text, columns aligned.
fn table(runs: &[Run]) -> String {
    let heads = COLUMNS.into_iter().chain(["trains"]).map(str::to_owned).collect::<Vec<_>>();
    let rows: Vec<Vec<String>> =
        std::iter::once(heads).chain(runs.iter().map(|run| cells(run).to_vec())).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..=COLUMNS.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_recipe_trains_fits_a_few_words() {
        let recipe = |adapters: &str| -> Recipe {
            let text = format!(
                "out = \"run\"\n[base]\npath = \"model\"\n[data]\ntrain = \"notes.jsonl\"\n{adapters}\n[training]\n\
                 epochs = 2\nlearning_rate = 1e-3\n"
            );
            toml::from_str(&text).unwrap()
        };
        assert_eq!(describe(&recipe("")), "head alone");
        let stack = "[[adapter]]\nname = \"clinical\"\npath = \"runs/clinical\"\ntrainable = false\n[[adapter]]\n\
             name = \"downstream\"\nr = 4\n[[adapter]]\nname = \"top\"\nmethod = \"prefix\"\nvirtual_tokens = 7";
        assert_eq!(describe(&recipe(stack)), "clinical (frozen) + downstream lora r=4 + top prefix tokens=7");
    }
}
