//! `clinlora finetune`.

use std::fs;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::{DType, Device};
use clinlora_core::config::ModelConfig;
use clinlora_core::model::head::{Classifier, HeadValues, head_values};
use clinlora_core::params::{Owner, Walk, set_trainable};
use clinlora_core::peft::config::AdapterConfig;
use clinlora_core::peft::prompt::PromptInit;
use clinlora_core::peft::stack::{attach, set_active};
use clinlora_core::peft::store::TaskType;
use clinlora_core::tokenizer::Tokenizer;
use clinlora_core::weights::RandomWeights;

use super::recipe_run::{self, Outcome, RunOptions, Shape, print_report};
use super::stack::reading_at;
use crate::cli::{Common, Train};
use crate::console;
use crate::dataset::order::split;
use crate::dataset::{Note, table, tokenise};
use crate::error::{AtPath, Error, Result};
use crate::features::{self, Features};
use crate::files;
use crate::folders::adapter::{self, AdapterFolder, Origin};
use crate::folders::base::BaseFolder;
use crate::model_card::{self, Facts};
use crate::recipe::{Method, Pooling, Purpose, Recipe};
use crate::training::objective::Classification;
use crate::training::progress::Stage;
use crate::training::run::{Job, RunFolder};
use crate::training::schedule::RateFactors;

/// Trains a head on a task, and whichever adapters of the stack are trainable.
///
/// # Errors
/// [`Error`] for whatever of the inputs cannot be used, an interruption, or numbers that diverged.
pub fn run(args: &Train, common: &Common) -> Result<()> {
    recipe_run::run(args, common, Purpose::Finetune, finetune)
}

/// The command without its printing.
pub(crate) fn finetune(recipe: &Recipe, common: &Common, options: &RunOptions<'_>) -> Result<Outcome> {
    let RunOptions { title, resume, overwrite, brief, watch, ranks, .. } = *options;
    let opened = common.device.open()?;
    if ranks.leads() {
        RunFolder::check(recipe, resume, overwrite)?;
    }
    let dtype = opened.dtype_for(recipe);
    let device = opened.device.clone().autodiff();
    let task_path = recipe.task.as_ref().expect("a valid downstream recipe names a task");
    let task = table::read_task(task_path)?;
    let reading = Stage::begin(&format!("{title}: reading notes and base"));
    let (train_notes, valid_notes) = read_notes(recipe, &task)?;
    let base_path = recipe.base.path.as_ref().ok_or_else(|| {
        Error::Input("base.scratch is for pretraining; give base.path, the folder of a trained base".into())
    })?;
    let base = BaseFolder::open(base_path)?;
    base.check_max_tokens(recipe.max_tokens)?;
    base.check_recompute(recipe.training.recompute)?;
    let train_samples = tokenise(&train_notes, &base.tokenizer, recipe.max_tokens, &recipe.data.train)?;
    let valid_samples = tokenise(&valid_notes, &base.tokenizer, recipe.max_tokens, &recipe.data.train)?;

    let (backbone, fingerprint) = base.backbone(&device, dtype)?;
    let mut head_weights = RandomWeights::new(recipe.seed, &device, DType::F32);
    let mut model = Classifier::build(backbone, &base.config, task.labels.len(), &mut head_weights);
    if recipe.method == Method::Full {
        set_trainable(&mut model, &Owner::Base, true);
    }
    let last_position = last_position(recipe, &base)?;
    if let Some(tokens) = last_position {
        model.set_pooling(reading_at(tokens, &base.tokenizer));
    }
    let foundation = Foundation {
        path: &base.path,
        config: &base.config,
        tokenizer: &base.tokenizer,
        fingerprint: &fingerprint,
    };
    let stack = attach_stack(&mut model, recipe, &foundation, &device)?;
    let mut objective = Classification::new(&task, &train_samples, recipe.scores.unwrap_or_default())?;
    drop(reading);
    let folder = options.open(recipe, &fingerprint)?;
    let trainable = print_report(&mut model, brief);
    let configs: Vec<&AdapterConfig> = stack.configs().map(|(config, _)| config).collect();
    if let Some(key) = features::key(recipe, &base, &configs, &fingerprint, dtype)? {
        let notes = train_samples.iter().chain(&valid_samples);
        match Features::open(recipe, key, notes, &model.valid(), &opened.device) {
            Ok(features) => objective.read_features(features),
            // They save time and no more: a full disk costs that.
            Err(error @ Error::Io { .. }) => console::note(format_args!("features are not kept: {error}")),
            Err(error) => return Err(error),
        }
    }
    let job = Job {
        objective: &objective,
        title,
        brief,
        train: &train_samples,
        valid: &valid_samples,
        training: &recipe.training,
        rates: &RateFactors::of(recipe),
        seed: recipe.seed,
        device: &device,
        watch,
        ranks,
    };
    let shape = Shape { config: &base.config, stack: &stack, dtype, labels: task.labels.len() };
    let summary = recipe_run::train(&job, &mut model, &folder, recipe, &shape)?;
    if !folder.is_ours() {
        return Ok(Outcome { run: folder.path, adapters: Vec::new(), trainable, summary });
    }
    let _saving = Stage::begin(&format!("{title}: saving"));
    let mut origin = Origin { base_fingerprint: fingerprint.clone(), last_position, ..Origin::default() };
    let task_type = TaskType::SequenceClassification;
    let adapters = if recipe.method == Method::Full {
        let json = base.tokenizer.to_json().map_err(|e| Error::Input(e.to_string()))?;
        crate::folders::base::save(&folder.path, &mut model, &base.config, &json)?;
        origin.base_fingerprint = BaseFolder::open(&folder.path)?.fingerprint(&device)?;
        adapter::save_head(&folder.path, &head(&mut model), &origin)?;
        vec![folder.path.clone()]
    } else {
        stack.save(&folder.path, &mut model, task_type, base_path, &origin, &device)?;
        stack.folders(&folder.path)
    };
    files::write_atomic(&folder.path.join("task.toml"), &files::read(task_path)?)?;
    let card = Facts {
        recipe,
        task: Some(&task),
        base_fingerprint: &fingerprint,
        notes: [train_samples.len(), valid_samples.len()],
        trainable,
        summary: &summary,
    };
    model_card::publish(&card, &folder, &adapters)?;
    Ok(Outcome { run: folder.path, adapters, trainable, summary })
}

/// The place a head reads of every note, if that is not its last token.
fn last_position(recipe: &Recipe, base: &BaseFolder) -> Result<Option<usize>> {
    match (recipe.pooling.unwrap_or_default(), &base.config) {
        (Pooling::Last, _) => Ok(None),
        (Pooling::LastPosition, ModelConfig::Llama(_)) => Ok(Some(recipe.max_tokens)),
        (Pooling::LastPosition, ModelConfig::Bert(_)) => Err(Error::Input(format!(
            "{}: a BERT is read at its first token; pooling = \"last_position\" is for a LLaMA",
            base.path.display()
        ))),
    }
}

fn head(model: &mut dyn Walk) -> HeadValues {
    head_values(model).expect("a classifier has a head")
}

pub(super) fn read_notes(
    recipe: &Recipe,
    task: &clinlora_core::task::Task,
) -> Result<(Vec<Note>, Vec<Note>)> {
    let data = &recipe.data;
    let all = table::read(&data.train, task, data.skip_empty)?;
    if let Some(valid) = &data.valid {
        return Ok((all, table::read(valid, task, data.skip_empty)?));
    }
    if all.len() < 2 {
        let message = format!("{}: one note cannot be split; give data.valid", data.train.display());
        return Err(Error::Input(message));
    }
    let (train, valid) = split(all.len(), recipe.seed, data.valid_fraction);
    let pick = |places: &[usize]| places.iter().map(|i| all[*i].clone()).collect();
    Ok((pick(&train), pick(&valid)))
}

/// The adapters of a recipe, on a model.
pub(crate) struct AttachedStack {
    layers: Vec<Layer>,
}

struct Layer {
    name: String,
    config: AdapterConfig,
    path: Option<PathBuf>,
    trainable: bool,
    active: bool,
}

/// What a stack stands on.
pub(crate) struct Foundation<'a> {
    pub(crate) path: &'a Path,
    pub(crate) config: &'a ModelConfig,
    pub(crate) tokenizer: &'a Tokenizer,
    pub(crate) fingerprint: &'a str,
}

/// Puts a recipe's adapters on `model`, from the bottom up, each frozen or trainable, active or not, as it says.
pub(crate) fn attach_stack(
    model: &mut dyn Walk,
    recipe: &Recipe,
    base: &Foundation<'_>,
    device: &Device,
) -> Result<AttachedStack> {
    let mut layers = Vec::new();
    for (i, adapter) in (1u64..).zip(&recipe.adapter) {
        let config = match &adapter.path {
            Some(path) => {
                let mut folder = AdapterFolder::open(path, &adapter.name, device)?;
                folder.drop_head(); // a run's head starts at random, whatever the adapter did before
                let stored = folder.adapter().ok_or_else(|| {
                    Error::Input(format!("{}: holds a head and no adapter", path.display()))
                })?;
                if adapter.trainable && stored.lacks_encoder() {
                    console::note(format_args!(
                        "warning: adapter {}: {} holds the output of its encoder alone, so that is what will be trained",
                        adapter.name,
                        path.display()
                    ));
                }
                let config = stored.config.clone();
                folder.attach(model, base.fingerprint)?;
                config
            }
            None => {
                let mut config = adapter.config(base.path, base.config.lora_targets());
                if let AdapterConfig::Prompt(prompt) = &mut config
                    && let PromptInit::Text { text, ids, .. } = &mut prompt.init
                {
                    *ids = base.tokenizer.encode(text, usize::MAX).at(base.path)?;
                }
                let seed = recipe.seed.wrapping_add(i);
                attach(model, &adapter.name, &config, seed, device).at(&recipe.out)?;
                config
            }
        };
        set_trainable(model, &Owner::Adapter(adapter.name.clone()), adapter.trainable);
        let layer = Layer {
            name: adapter.name.clone(),
            config,
            path: adapter.path.clone(),
            trainable: adapter.trainable,
            active: adapter.active,
        };
        layers.push(layer);
    }
    let active: Vec<&str> =
        layers.iter().filter(|layer| layer.active).map(|layer| layer.name.as_str()).collect();
    set_active(model, &active).at(&recipe.out)?;
    Ok(AttachedStack { layers })
}

impl AttachedStack {
    /// Place of the topmost adapter that was trained.
    fn top(&self) -> Option<usize> {
        self.layers.iter().rposition(|layer| layer.trainable && layer.active)
    }

    /// Writes what was trained into the run folder: the topmost active one of the trainable adapters, with the head of a
    /// classifier, into the folder itself, and each other one into a folder of its name inside. A head trained alone stands
    /// alone.
    pub(crate) fn save(
        &self,
        run: &Path,
        model: &mut dyn Walk,
        task_type: TaskType,
        base: &Path,
        origin: &Origin,
        device: &Device,
    ) -> Result<()> {
        let top = self.top();
        if top.is_none() {
            adapter::save_head(run, &head(model), origin)?;
        }
        for (i, layer) in self.layers.iter().enumerate().filter(|(_, layer)| layer.trainable) {
            let (folder, task_type) = if Some(i) == top {
                (run.to_owned(), task_type)
            } else {
                (run.join(&layer.name), TaskType::CausalLm)
            };
            fs::create_dir_all(&folder).at(&folder)?;
            let below = self.layers[..i].iter().filter(|below| below.active);
            let stacked_on = below.map(|below| below.describe(run)).collect();
            let origin = Origin { name: layer.name.clone(), stacked_on, ..origin.clone() };
            adapter::save(&folder, model, &layer.name, &layer.config, task_type, base, &origin, device)?;
        }
        Ok(())
    }

    /// Methods with their values, and which are trained, from the bottom up.
    pub(super) fn configs(&self) -> impl Iterator<Item = (&AdapterConfig, bool)> {
        self.layers.iter().map(|layer| (&layer.config, layer.trainable))
    }

    /// Folders to give `--adapter`, in order, to have the trained stack again.
    pub(super) fn folders(&self, run: &Path) -> Vec<PathBuf> {
        let top = self.top();
        let folder = |(i, layer): (usize, &Layer)| match &layer.path {
            _ if Some(i) == top => run.to_owned(),
            Some(path) if !layer.trainable => path.clone(),
            _ => run.join(&layer.name),
        };
        let active = self.layers.iter().enumerate().filter(|(_, layer)| layer.active);
        let mut folders: Vec<PathBuf> = active.map(folder).collect();
        if top.is_none() {
            folders.push(run.to_owned());
        }
        folders
    }
}

impl Layer {
    fn describe(&self, run: &Path) -> String {
        let folder = match &self.path {
            Some(path) if !self.trainable => path.clone(),
            _ => run.join(&self.name),
        };
        folder.display().to_string()
    }
}
