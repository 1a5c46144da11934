//! What `pretrain` and `finetune` share: how a recipe becomes a run, and what is said of it.

use std::path::PathBuf;

use burn::tensor::DType;
use clinlora_core::config::ModelConfig;
use clinlora_core::params::Walk;
use clinlora_core::peft::stack::{ParamGroup, report};
use serde::Serialize;

use super::finetune::AttachedStack;
use super::print_json;
use crate::cli::{Common, Train};
use crate::console;
use crate::error::{Error, Result};
use crate::plan::arithmetic::{Arithmetic, Planned};
use crate::plan::out_of_memory;
use crate::recipe::{Method, Purpose, Recipe};
use crate::training::interrupt;
use crate::training::objective::Objective;
use crate::training::products;
use crate::training::ranks::{self, Ranks};
use crate::training::run::{self, Job, RunFolder, Summary, Watch};

/// Reads the recipe of a training command, hands it to `train` and prints what came of it.
pub(super) fn run(
    args: &Train,
    common: &Common,
    purpose: Purpose,
    train: impl FnOnce(&Recipe, &Common, &RunOptions<'_>) -> Result<Outcome>,
) -> Result<()> {
    let mut recipe = Recipe::read(&args.recipe, &args.overrides, purpose)?;
    recipe.seed = common.seed.unwrap_or(recipe.seed);
    interrupt::listen();
    let ranks = ranks::join()?;
    let title = match purpose {
        Purpose::Pretrain => "pretrain",
        Purpose::Finetune => "finetune",
    };
    let options = RunOptions {
        title,
        resume: args.resume,
        accept_changed_recipe: args.accept_changed_recipe,
        overwrite: args.overwrite,
        brief: false,
        watch: None,
        ranks,
    };
    let outcome = train(&recipe, common, &options).inspect_err(|error| {
        if matches!(error, Error::Interrupted { .. }) {
            console::note("the run is saved: continue with --resume");
        }
    })?;
    if !ranks.leads() {
        return Ok(());
    }
    if common.json {
        return print_json(&outcome);
    }
    let Summary { updates, kept_update, .. } = outcome.summary;
    console::result(format_args!("{updates} updates; kept update {kept_update}; {}", outcome.run.display()))
}

/// Trains with the fastest kernels there are, and says what would fit if the device has too little memory.
///
/// # Errors
/// As [`run::train`], and [`Error::OutOfMemory`].
pub(super) fn train<O: Objective>(
    job: &Job<'_, O>,
    model: &mut O::Model,
    folder: &RunFolder,
    recipe: &Recipe,
    shape: &Shape<'_>,
) -> Result<Summary> {
    let (batch, tokens) = (recipe.training.batch_size, recipe.max_tokens);
    let plain = job.device.clone().inner();
    let width = match shape.config {
        ModelConfig::Llama(config) => config.hidden_size,
        ModelConfig::Bert(config) => config.hidden_size,
    };
    products::choose(&plain, shape.dtype, batch * tokens, width);
    let adapters = shape.stack.configs();
    let adapters =
        adapters.map(|(config, trainable)| Planned { config: config.clone(), trainable }).collect();
    let is_full = recipe.method == Method::Full;
    let arithmetic = Arithmetic::new(shape.config, adapters, is_full, shape.dtype, shape.labels)?;
    let step = out_of_memory::Step { arithmetic: &arithmetic, batch, tokens, setting: "training.batch_size" };
    out_of_memory::caught(&plain, &step, || run::train(job, model, folder))
}

/// What is trained, as far as its size goes.
pub(super) struct Shape<'a> {
    pub(super) config: &'a ModelConfig,
    pub(super) stack: &'a AttachedStack,
    pub(super) dtype: DType,
    /// Of a classifier; 0 for a language model.
    pub(super) labels: usize,
}

/// What a finished run came to.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) run: PathBuf,
    /// Folders to give as `--adapter`, in order, to have what was trained.
    pub(crate) adapters: Vec<PathBuf>,
    pub(crate) trainable: usize,
    #[serde(flatten)]
    pub(crate) summary: Summary,
}

/// How a training command goes about its run.
#[derive(Clone, Copy)]
pub(crate) struct RunOptions<'a> {
    /// What progress is called.
    pub(crate) title: &'a str,
    /// Continue an interrupted run.
    pub(super) resume: bool,
    /// Resume though the recipe has changed since the run began.
    pub(super) accept_changed_recipe: bool,
    /// Replace an older run.
    pub(super) overwrite: bool,
    /// Say only how far the run is: it is one of many.
    pub(super) brief: bool,
    /// Who looks at it after each epoch.
    pub(super) watch: Option<&'a dyn Watch>,
    /// Who trains with this process.
    pub(super) ranks: Ranks,
}

impl<'a> RunOptions<'a> {
    /// A new run, one of many.
    pub(super) fn anew(title: &'a str) -> Self {
        Self {
            title,
            resume: false,
            accept_changed_recipe: false,
            overwrite: false,
            brief: true,
            watch: None,
            ranks: Ranks::ALONE,
        }
    }

    /// Opens the folder of a run on the base with this fingerprint.
    pub(super) fn open(&self, recipe: &Recipe, base_fingerprint: &str) -> Result<RunFolder> {
        let folder = if !self.ranks.leads() {
            RunFolder::follow(recipe, self.resume || self.accept_changed_recipe)
        } else if self.accept_changed_recipe {
            RunFolder::reopen(recipe, true)?
        } else {
            RunFolder::open(recipe, self.resume, self.overwrite)?
        };
        self.ranks.barrier()?; // the folder is there for all
        Ok(folder.on_base(base_fingerprint))
    }
}

/// Prints what a run will change and what not, unless it is to be `brief`; returns the number of trainable values.
pub(super) fn print_report(model: &mut dyn Walk, brief: bool) -> usize {
    let groups = report(model);
    let trainable: usize = groups.iter().filter(|g| g.trainable).map(|g| g.values).sum();
    if brief {
        return trainable;
    }
    let width = groups.iter().map(|g| g.tensors.len()).max().unwrap_or_default();
    let owner_width = groups.iter().map(|g| g.owner.len()).max().unwrap_or_default();
    for ParamGroup { owner, tensors, count, values, trainable } in &groups {
        let state = if *trainable { "trained" } else { "frozen" };
        console::note(format_args!(
            "  {owner:owner_width$}  {tensors:width$}  {count:4} x  {values:>13}  {state}"
        ));
    }
    let total: usize = groups.iter().map(|g| g.values).sum();
    #[expect(clippy::cast_precision_loss, reason = "a percentage to print")]
    let percent = 100.0 * trainable as f64 / total as f64;
    console::note(format_args!("  {trainable} of {total} values trained ({percent:.4} %)"));
    trainable
}
