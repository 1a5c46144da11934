//! The clinical adapter of a table, trained where none is given.

use std::path::{Path, PathBuf};

use super::super::pretrain::pretrain;
use super::super::recipe_run::RunOptions;
use super::grid::of_clinical;
use super::table2;
use crate::cli::Common;
use crate::console;
use crate::error::{Error, Result};
use crate::folders::base::BaseFolder;
use crate::recipe::published::{Base, Setting};
use crate::recipe::{Purpose, Recipe};
use crate::training::run::RunFolder;

/// What of a table decides its clinical adapter.
pub(super) struct Clinical<'a> {
    pub(super) model: &'a Path,
    /// Folder of `prepare notes`.
    pub(super) notes: &'a Path,
    pub(super) base: Base,
    pub(super) setting: Setting,
    /// Of the whole table.
    pub(super) overrides: &'a [String],
    pub(super) common: &'a Common,
}

impl Clinical<'_> {
    /// Its recipe, that of Table 2's LoRA; the file is written into `folder`, the run will be in `run`.
    ///
    /// # Errors
    /// For overrides, notes or a base that cannot be used, and for a run by another recipe.
    pub(super) fn plan(&self, folder: &Path, run: PathBuf) -> Result<Recipe> {
        let compat = (self.setting == Setting::AuthorCompat).then_some("author_compat");
        let overlays: Vec<&str> = self.base.overlay().into_iter().chain(compat).collect();
        let with = (!overlays.is_empty()).then(|| format!("with={}", overlays.join(",")));
        let overrides: Vec<String> = with.into_iter().chain(of_clinical(self.overrides)?).collect();
        let mut recipe =
            table2::lora().read_in(&folder.join("recipes/clinical"), &overrides, Purpose::Pretrain)?;
        recipe.seed = self.common.seed.unwrap_or(recipe.seed);
        recipe.out = run;
        recipe.base.path = Some(self.model.to_owned());
        recipe.data.train = table2::split(self.notes, "train")?;
        recipe.data.valid = table2::split(self.notes, "valid").ok();
        let base = BaseFolder::open(self.model)?;
        base.llama()?;
        base.check_max_tokens(recipe.max_tokens)?;
        if recipe.out.exists() {
            RunFolder::open(&recipe, true, false)?;
        }
        Ok(recipe)
    }

    /// Trains it, unless that is done.
    ///
    /// # Errors
    /// An interruption, or numbers that diverged.
    pub(super) fn train(&self, recipe: &Recipe) -> Result<()> {
        if recipe.out.join("adapter_config.json").is_file() {
            return Ok(());
        }
        let options = RunOptions { resume: recipe.out.exists(), ..RunOptions::anew("clinical adapter") };
        let outcome = pretrain(recipe, self.common, &options).inspect_err(|error| {
            if matches!(error, Error::Interrupted { .. }) {
                console::note("what has been trained is kept: the same command, typed again, continues");
            }
        })?;
        let perplexity = outcome.summary.valid.map_or(f64::NAN, |valid| valid.loss.exp());
        console::note(format_args!(
            "clinical adapter: {} values, {} updates, held-out perplexity {perplexity:.3}",
            outcome.trainable, outcome.summary.updates
        ));
        Ok(())
    }
}
