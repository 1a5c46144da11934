//! One cell of a table: a run, trained and tested.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clinlora_core::task::Task;
use serde::{Deserialize, Serialize};

use super::super::super::evaluate::{Evaluation, PREDICTIONS, evaluate};
use super::super::super::finetune::finetune;
use super::super::super::recipe_run::{Outcome, RunOptions};
use crate::cli::Common;
use crate::console;
use crate::device::Opened;
use crate::error::{Error, Result};
use crate::eval::{EvalOptions, Metrics};
use crate::files::{self, FolderLock};
use crate::recipe::{Method, Recipe};

/// What a cell came to, in its run's folder; written last.
const DONE: &str = "cell.json";
/// Metrics and predictions, in its run's folder.
const TEST: &str = "test";

/// The notes of a task.
#[derive(Debug)]
pub(crate) struct Data {
    pub(super) folder: PathBuf,
    pub(super) task: Task,
    /// In training, validation, test.
    pub(super) notes: [usize; 3],
    /// Of the three files and the task file, by name.
    pub(super) sha256: BTreeMap<String, String>,
}

impl Data {
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// A cell to be made.
#[derive(Debug)]
pub(crate) struct Cell {
    /// Places in the grid.
    pub(super) row: usize,
    pub(super) task: usize,
    pub(super) recipe: Recipe,
}

/// What a cell came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Done {
    #[serde(flatten)]
    pub(super) end: End,
    /// The data it was made of.
    data_sha256: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub(super) enum End {
    Tested {
        /// Folders to give as `--adapter`.
        adapters: Vec<PathBuf>,
        trainable: usize,
        updates: u64,
        kept_update: u64,
        /// As in `metrics.json`.
        auroc: Option<f64>,
    },
    Diverged {
        /// When and what.
        reason: String,
    },
}

impl Done {
    /// For a line of progress.
    pub(super) fn summary(&self) -> String {
        match &self.end {
            End::Tested { auroc: Some(auroc), .. } => format!("AUROC {:.2}", 100.0 * auroc),
            End::Tested { auroc: None, .. } => "AUROC undefined".to_owned(),
            End::Diverged { reason } => format!("diverged: {reason}"),
        }
    }
}

/// A cell that is done, and whether that was now.
pub(super) struct Made {
    pub(super) done: Done,
    pub(super) was_made: bool,
}

impl Cell {
    /// Where the cell's predictions are.
    pub(super) fn predictions(&self) -> PathBuf {
        self.recipe.out.join(TEST).join(PREDICTIONS)
    }

    /// Trains and tests the cell, or what is missing of that.
    ///
    /// # Errors
    /// As `finetune` and `evaluate`, but for numbers that diverge: these are what the cell came to.
    pub(super) fn make(
        &self,
        title: &str,
        data: &Data,
        common: &Common,
        device: &Opened,
        options: EvalOptions,
    ) -> Result<Made> {
        let run = &self.recipe.out;
        if let Some(done) = self.done_before(data)? {
            return Ok(Made { done, was_made: false });
        }
        let end = match self.train_and_test(title, data, common, device, options) {
            Ok(end) => end,
            Err(Error::Diverged { update, what, .. }) => {
                End::Diverged { reason: format!("update {update}: {what}") }
            }
            // A base that is not sound itself is refused before there is a run.
            Err(Error::NotFinite(_)) if run.exists() => {
                End::Diverged { reason: "its predictions are not finite".to_owned() }
            }
            Err(error) => return Err(error),
        };
        let _lock = FolderLock::take(run)?;
        let done = Done { end, data_sha256: data.sha256.clone() };
        let json = serde_json::to_string_pretty(&done).expect("numbers and strings serialise");
        files::write_atomic(&run.join(DONE), json.as_bytes())?;
        Ok(Made { done, was_made: true })
    }

    /// What the cell came to, if it did before, on these notes.
    fn done_before(&self, data: &Data) -> Result<Option<Done>> {
        let run = &self.recipe.out;
        let path = run.join(DONE);
        if !path.is_file() {
            return Ok(None);
        }
        let done: Done = serde_json::from_slice(&files::read(&path)?).map_err(|_| {
            Error::Input(format!("{}: damaged; remove it, and the cell is tested anew", path.display()))
        })?;
        let changed = |name: &&str| done.data_sha256.get(*name) != data.sha256.get(*name);
        if let Some(name) = ["task", "train", "valid"].iter().find(|name| changed(name)) {
            return Err(Error::Input(format!(
                "{}: the {name} file of {} is not the one this run was trained on; give it the old one, or remove the folder, \
                 and it is made anew",
                run.display(),
                data.folder.display()
            )));
        }
        let has_predictions = matches!(done.end, End::Diverged { .. }) || self.predictions().is_file();
        Ok((has_predictions && !changed(&"test")).then_some(done))
    }

    fn train_and_test(
        &self,
        title: &str,
        data: &Data,
        common: &Common,
        device: &Opened,
        options: EvalOptions,
    ) -> Result<End> {
        let recipe = &self.recipe;
        let how = RunOptions { resume: recipe.out.exists(), ..RunOptions::anew(title) };
        let Outcome { run, adapters, trainable, summary } = finetune(recipe, common, &how)?;
        let base = recipe.base.path.as_deref().expect("a planned cell has a base");
        // A base that was trained in full is in the run's folder.
        let model = if recipe.method == Method::Full { &run } else { base };
        let test = recipe.out.join(TEST);
        let Metrics { auroc, undefined, .. } = evaluate(&Evaluation {
            title: &format!("{title}, test"),
            model,
            adapters: &adapters,
            max_tokens: recipe.max_tokens,
            task: &data.task,
            task_file: recipe.task.as_deref().expect("a cell has a task"),
            data: &data.file("test.csv"),
            skip_empty: recipe.data.skip_empty,
            options,
            out: &test,
            overwrite: true,
            device: &device.device,
            dtype: device.dtype_for(recipe),
        })?;
        if let Some(reason) = undefined.get("auroc") {
            console::note(format_args!("{title}: AUROC is undefined: {reason}"));
        }
        Ok(End::Tested {
            adapters,
            trainable,
            updates: summary.updates,
            kept_update: summary.kept_update,
            auroc,
        })
    }
}
