//! Recipes: everything that decides a training run, in one TOML file.

use std::path::{Path, PathBuf};

use clinlora_core::config::{LlamaConfig, WeightDtype};
use serde::{Deserialize, Serialize};

pub use self::adapter::{Adapter, AdapterMethod, Encoder};
use self::overrides::{Origin, line_at};
use crate::error::{Error, Result};
use crate::files;

mod adapter;
mod difference;
mod overlay;
mod overrides;
pub mod published;
pub mod shipped;

/// A training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Overlays that were laid over the recipe, as they were named: the rest holds what they say.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "overlay::names")]
    pub with: Vec<String>,
    /// The run's folder.
    pub out: PathBuf,
    /// Seed of initialisation, order and dropout.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// Licence of what is trained, for its model card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// Notes are cut at this many tokens.
    #[serde(default = "default_max_tokens")]
    pub max_tokens: usize,
    /// Number format of a frozen base; by default f32, and bf16 on CUDA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtype: Option<WeightDtype>,
    /// Where the head of a LLaMA reads a note; downstream runs only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooling: Option<Pooling>,
    /// What ranks the labels of a multilabel task; downstream runs only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scores: Option<Scores>,
    /// What is trained.
    #[serde(default)]
    pub method: Method,
    /// Task file; downstream runs only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<PathBuf>,
    /// The model below the adapters.
    pub base: Base,
    /// The notes.
    pub data: Data,
    /// The stack, from the bottom up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adapter: Vec<Adapter>,
    /// How it is trained.
    pub training: Training,
}

/// What a run trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// The adapters marked trainable, and the head; the base is frozen.
    #[default]
    Peft,
    /// Every weight of the base.
    Full,
}

/// Where the head of a LLaMA reads a note. A BERT is read at its first token, through its pooler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The last token of the note.
    #[default]
    Last,
    /// Place `max_tokens`, a padded one if the note is shorter: what the authors' code did where the configuration had
    /// another pad id than the tokenizer.
    LastPosition,
}

/// What ranks the labels of a multilabel task over the notes, in validation and in the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scores {
    /// A label's own probability.
    #[default]
    Sigmoid,
    /// The label's share among all labels of the note, as in the authors' code.
    Softmax,
}

/// The model below the adapters: a folder, or a shape to initialise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// Hugging Face folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Shape of a base initialised at random; its tokenizer is trained on the training notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scratch: Option<Scratch>,
}

/// Above every size of a LLaMA there is: a slip of the keyboard must not ask for all memory.
const MAX_SIZE: usize = 1 << 20;

/// Shape of a base initialised at random.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "names of Hugging Face's config.json, documented at `LlamaConfig`")]
pub struct Scratch {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub num_key_value_heads: usize,
}

impl Scratch {
    /// The first size no model can have: its key, and what it must be.
    fn defect(&self) -> Option<(&'static str, String)> {
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_key_value_heads),
        ];
        let (heads, keys) = (self.num_attention_heads, self.num_key_value_heads);
        if let Some((key, size)) = sizes.into_iter().find(|(_, size)| !(1..=MAX_SIZE).contains(size)) {
            return Some((key, format!("= {size}; must be from 1 to {MAX_SIZE}")));
        }
        if !self.hidden_size.is_multiple_of(2 * heads) {
            let reason =
                format!("= {}; must be an even multiple of num_attention_heads = {heads}", self.hidden_size);
            return Some(("hidden_size", reason));
        }
        (!heads.is_multiple_of(keys)).then(|| {
            let reason = format!("= {keys}; must divide num_attention_heads = {heads}");
            ("num_key_value_heads", reason)
        })
    }

    /// The configuration of this shape, for a tokenizer of `vocab_size` tokens.
    #[must_use]
    pub fn config(&self, vocab_size: usize) -> LlamaConfig {
        LlamaConfig::preset(
            vocab_size,
            self.hidden_size,
            self.intermediate_size,
            self.num_hidden_layers,
            self.num_attention_heads,
            self.num_key_value_heads,
        )
    }
}

/// The notes of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Training notes: JSON lines or a corpus of `clinlora prepare notes` for pretraining, the task's CSV or JSON lines for a downstream run.
    pub train: PathBuf,
    /// Validation notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid: Option<PathBuf>,
    /// Share of the training notes held out for validation where `valid` is not given.
    #[serde(default = "default_valid_fraction")]
    pub valid_fraction: f64,
    /// Leave notes without text out rather than refuse them.
    #[serde(default)]
    pub skip_empty: bool,
    /// Where everything below the head is frozen and nothing is dropped, compute what the head reads of a note once and keep
    /// it; downstream runs only.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub keep_features: bool,
    /// Folder of what is kept; by default `features` beside the run's folder, so that runs side by side share it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<PathBuf>,
    /// Whether the notes are credentialed data, as MIMIC's are: what is trained on them may reveal them, and its model card
    /// says so. Set it to false for synthetic or public notes.
    #[serde(default = "yes")]
    pub credentialed: bool,
}

/// How a run trains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Passes over the training notes.
    pub epochs: u64,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Peak learning rate of the head, if it has one of its own; downstream runs only. It follows the same course.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_learning_rate: Option<f64>,
    /// Notes in a micro-batch.
    #[serde(default = "default_batch_size")]
    pub batch_size: usize,
    /// Micro-batches in an update.
    #[serde(default = "one")]
    pub accumulation_steps: usize,
    /// How micro-batches of an update are weighed together.
    #[serde(default)]
    pub accumulation: Accumulation,
    /// Keep the input of each block alone for the backward pass, and compute the rest again: far less memory for a third more
    /// work. Decoders only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recompute: bool,
    /// Course of the learning rate.
    #[serde(default)]
    pub schedule: Schedule,
    /// Share of the updates over which the learning rate rises.
    #[serde(default = "default_warmup_ratio")]
    pub warmup_ratio: f64,
    /// Decoupled weight decay on everything trained.
    #[serde(default = "default_weight_decay")]
    pub weight_decay: f64,
    /// Largest global norm of the gradient; not clipped by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_grad_norm: Option<f64>,
    /// Which state of the run is kept.
    #[serde(default)]
    pub select: Select,
    /// Stop after this many epochs without a better validation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<u64>,
    /// Minutes between checkpoints.
    #[serde(default = "default_checkpoint_minutes")]
    pub checkpoint_minutes: f64,
    /// Checkpoints kept, the latest; the best trained values are kept besides.
    #[serde(default = "one")]
    pub keep_last: usize,
}

/// How micro-batches of an update are weighed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accumulation {
    /// Every token (or note) weighs the same: exactly the one large batch.
    #[default]
    Exact,
    /// Every micro-batch weighs the same, as in the authors' code.
    MicroMean,
}

/// Course of the learning rate over the updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Linear rise over the warm-up, then linear fall to 0.
    #[default]
    Linear,
    /// The peak throughout.
    Constant,
    /// What the authors' code did: no effective warm-up, a fall that ends near `1 - 1 / accumulation_steps`.
    AuthorCompat,
}

/// Which state of the run is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Select {
    /// The epoch with the best validation metric: AUROC downstream, perplexity in pretraining.
    #[default]
    Best,
    /// The epoch with the lowest validation loss.
    LowestLoss,
    /// The last epoch.
    Last,
}

fn default_seed() -> u64 {
    1234
}
fn default_max_tokens() -> usize {
    128
}
fn default_valid_fraction() -> f64 {
    0.1
}
fn default_batch_size() -> usize {
    10
}
fn default_warmup_ratio() -> f64 {
    0.06
}
fn default_weight_decay() -> f64 {
    0.01
}
fn default_checkpoint_minutes() -> f64 {
    10.0
}
fn one() -> usize {
    1
}
fn yes() -> bool {
    true
}
fn is_yes(value: &bool) -> bool {
    *value
}

/// Which command a recipe is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Language modelling on notes.
    Pretrain,
    /// A task.
    Finetune,
}

impl Recipe {
    /// Reads `path`, lays the overlays over it that `with=NAME` among `overrides` names, applies the other overrides
    /// (`key=value`, dotted keys, `adapter.0.r=8`; `key=` leaves the key out) and checks every value.
    ///
    /// # Errors
    /// [`Error::Input`] with file and line, or the override, and the accepted keys or values.
    pub fn read(path: &Path, overrides: &[String], purpose: Purpose) -> Result<Self> {
        let text = files::read_text(path)?;
        // Without the snippet of TOML's own message: whatever file was given by mistake, none of it is repeated.
        let in_file = |e: &toml::de::Error| {
            let line = e.span().map_or(1, |span| line_at(&text, span.start));
            Error::Input(format!("{}:{line}: {}", path.display(), e.message()))
        };
        let mut table: toml::Table = toml::from_str(&text).map_err(|e| in_file(&e))?;
        let (with, assignments) = overlay::chosen(overrides);
        let offered = overlay::offered(&table);
        overlay::lay(&mut table, &with)
            .map_err(|reason| Error::Input(format!("{}: {reason}", path.display())))?;
        for assignment in &assignments {
            overrides::apply(&mut table, assignment)?;
        }
        let mut recipe: Self = table.try_into().map_err(|e: toml::de::Error| {
            if e.message().starts_with("missing field") && with.is_empty() && !offered.is_empty() {
                let offered = offered.join(", ");
                return Error::Input(format!(
                    "{}: {}; {}{offered}",
                    path.display(),
                    e.message(),
                    overlay::HINT
                ));
            }
            match toml::from_str::<Self>(&text) {
                // The file is at fault, with or without the overrides; it has lines to name.
                Err(alone) if alone.message() == e.message() || overrides.is_empty() => in_file(&alone),
                _ => Error::Input(format!("{overrides:?}: {}", e.message())),
            }
        })?;
        if purpose == Purpose::Finetune {
            recipe.pooling.get_or_insert_default();
            recipe.scores.get_or_insert_default();
        }
        recipe.validate(purpose, &Origin { path, text: &text, overrides: &assignments, with: &with })?;
        Ok(recipe)
    }

    /// Every file and folder a run of this recipe reads.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = &Path> {
        let files = [Some(&self.data.train), self.data.valid.as_ref(), self.task.as_ref()];
        let folders = self.adapter.iter().map(|adapter| adapter.path.as_ref());
        files.into_iter().chain([self.base.path.as_ref()]).chain(folders).flatten().map(PathBuf::as_path)
    }

    /// The recipe in full, every default written out.
    #[must_use]
    pub fn resolved(&self) -> String {
        toml::to_string(self).expect("a recipe holds nothing TOML cannot say")
    }

    fn validate(&self, purpose: Purpose, origin: &Origin<'_>) -> Result<()> {
        let refuse = |key: &str, reason: String| Err(origin.refuse(key, &reason));
        let training = &self.training;
        if self.method == Method::Full && self.dtype.is_some_and(|dtype| dtype != WeightDtype::F32) {
            let reason = "is of a frozen base; one that is trained is f32, in which no small update is lost";
            return refuse("dtype", reason.into());
        }
        if self.max_tokens < 2 {
            return refuse("max_tokens", format!("= {}; must be at least 2", self.max_tokens));
        }
        let counts = [
            ("training.epochs", training.epochs),
            ("training.batch_size", training.batch_size as u64),
            ("training.accumulation_steps", training.accumulation_steps as u64),
            ("training.patience", training.patience.unwrap_or(1)),
            ("training.keep_last", training.keep_last as u64),
        ];
        if let Some((key, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return refuse(key, "= 0; must be at least 1".into());
        }
        let at_least_zero = |v: f64| v.is_finite() && v >= 0.0;
        let ranges = [
            (
                "training.learning_rate",
                training.learning_rate,
                "above 0",
                training.learning_rate.is_finite() && training.learning_rate > 0.0,
            ),
            (
                "training.head_learning_rate",
                training.head_learning_rate.unwrap_or(1.0),
                "above 0",
                training.head_learning_rate.is_none_or(|rate| rate.is_finite() && rate > 0.0),
            ),
            (
                "training.warmup_ratio",
                training.warmup_ratio,
                "in [0, 1)",
                (0.0..1.0).contains(&training.warmup_ratio),
            ),
            (
                "training.weight_decay",
                training.weight_decay,
                "0 or above",
                at_least_zero(training.weight_decay),
            ),
            (
                "training.max_grad_norm",
                training.max_grad_norm.unwrap_or(1.0),
                "above 0",
                training.max_grad_norm.is_none_or(|n| n.is_finite() && n > 0.0),
            ),
            (
                "training.checkpoint_minutes",
                training.checkpoint_minutes,
                "0 or above",
                at_least_zero(training.checkpoint_minutes),
            ),
            (
                "data.valid_fraction",
                self.data.valid_fraction,
                "in (0, 1)",
                self.data.valid_fraction > 0.0 && self.data.valid_fraction < 1.0,
            ),
        ];
        if let Some((key, value, range, _)) = ranges.iter().find(|(.., good)| !good) {
            return refuse(key, format!("= {value}; must be {range}"));
        }
        if self.base.path.is_some() == self.base.scratch.is_some() {
            return refuse("base", "needs either path or scratch".into());
        }
        if self.base.scratch.is_some() && self.method != Method::Full {
            return refuse(
                "base.scratch",
                "needs method = \"full\": nothing else would train the base".into(),
            );
        }
        if let Some((key, reason)) = self.base.scratch.as_ref().and_then(Scratch::defect) {
            return refuse(&format!("base.scratch.{key}"), reason);
        }
        match (purpose, &self.task) {
            (Purpose::Finetune, None) => {
                return refuse("task", "is missing: a downstream run needs one".into());
            }
            (Purpose::Pretrain, Some(_)) => {
                return refuse(
                    "task",
                    "is for downstream runs; remove it, or use `clinlora finetune`".into(),
                );
            }
            _ => {}
        }
        let of_a_head = [
            ("pooling", self.pooling.is_some()),
            ("scores", self.scores.is_some()),
            ("training.head_learning_rate", training.head_learning_rate.is_some()),
            ("data.keep_features", !self.data.keep_features),
            ("data.features", self.data.features.is_some()),
        ];
        if let (Purpose::Pretrain, Some((key, _))) = (purpose, of_a_head.iter().find(|(_, given)| *given)) {
            return refuse(key, "is for downstream runs, which have a head; remove it".into());
        }
        self.validate_adapters(purpose, origin)
    }

    fn validate_adapters(&self, purpose: Purpose, origin: &Origin<'_>) -> Result<()> {
        let refuse = |key: &str, reason: String| Err(origin.refuse(key, &reason));
        if self.method == Method::Full && !self.adapter.is_empty() {
            return refuse(
                "adapter",
                "is for method = \"peft\"; full training changes the base itself".into(),
            );
        }
        let trains = self.adapter.iter().any(|a| a.trainable && a.active);
        if purpose == Purpose::Pretrain && self.method == Method::Peft && !trains {
            return refuse("adapter", "holds nothing trainable: nothing would be trained".into());
        }
        for (i, adapter) in self.adapter.iter().enumerate() {
            if purpose == Purpose::Pretrain && !adapter.active {
                return refuse(
                    &format!("adapter.{i}.active"),
                    "= false is for downstream runs; remove it".into(),
                );
            }
            let fits_a_folder_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            if adapter.name.is_empty() || !adapter.name.chars().all(fits_a_folder_name) {
                return refuse(&format!("adapter.{i}.name"), "must be letters, digits, '-' and '_'".into());
            }
            if self.adapter[..i].iter().any(|other| other.name == adapter.name) {
                return refuse(&format!("adapter.{i}.name"), format!("= \"{}\" stands twice", adapter.name));
            }
            if let Err(reason) = adapter.check() {
                return refuse(&format!("adapter.{i}"), reason);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "out = \"run\"\n\n[base]\npath = \"model\"\n\n[data]\ntrain = \"notes.jsonl\"\n\n\
        [[adapter]]\nname = \"clinical\"\nr = 4\n\n[training]\nepochs = 2\nlearning_rate = 1e-3\n";

    fn read(text: &str, overrides: &[&str]) -> Result<Recipe> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("recipe.toml");
        std::fs::write(&path, text).expect("writable");
        let overrides: Vec<String> = overrides.iter().map(|o| (*o).to_owned()).collect();
        Recipe::read(&path, &overrides, Purpose::Pretrain)
    }

    #[test]
    fn overrides_reach_tables_and_lists_and_the_resolved_recipe_reads_back() {
        let recipe = read(TEXT, &["training.epochs=3", "adapter.0.alpha=7.5", "data.train=other.jsonl"])
            .expect("valid");
        assert_eq!(recipe.training.epochs, 3);
        assert_eq!(recipe.adapter[0].alpha, Some(7.5));
        assert_eq!(recipe.adapter[0].r, Some(4));
        assert_eq!(recipe.data.train, Path::new("other.jsonl"));
        assert_eq!(read(&recipe.resolved(), &[]).expect("its own text"), recipe);
        assert_eq!(read(TEXT, &["adapter.0.r="]).expect("valid").adapter[0].r, None);
    }

    #[test]
    fn an_overlay_is_laid_before_overrides_and_its_lines_are_named() {
        let text =
            format!("{TEXT}\n[with.slow]\ntraining.learning_rate = 1e-5\n[with.bad]\ntraining.epochs = 0\n");
        let recipe = read(&text, &["training.epochs=9", "with=slow"]).expect("valid");
        assert_eq!((recipe.training.epochs, recipe.training.learning_rate), (9, 1e-5));
        assert_eq!(recipe.with, ["slow"]);
        assert_eq!(read(&recipe.resolved(), &[]).expect("its own text"), recipe);
        assert_eq!(read(&text, &[]).expect("valid").with, [""; 0]);
        for (assignment, named) in
            [("with=bad", ":20: training.epochs"), ("with=none", "bad, slow"), ("with=bad,slow", ":20:")]
        {
            let error = read(&text, &[assignment]).expect_err(named).to_string();
            assert!(error.contains(named), "{named}: {error}");
        }
        let (head, tail) = text.split_once("[data]").expect("a table");
        let text = format!("{head}[with.all.data]{tail}");
        let error = read(&text, &[]).expect_err("no data").to_string();
        assert!(error.contains("missing field `data`; choose with=NAME[,NAME], one of: all"), "{error}");
    }

    #[test]
    fn keys_of_a_head_are_for_downstream_runs() {
        for assignment in
            ["pooling=last", "scores=softmax", "training.head_learning_rate=1e-3", "adapter.0.active=false"]
        {
            let error = read(TEXT, &[assignment]).expect_err(assignment).to_string();
            assert!(error.contains("downstream runs") || error.contains("nothing trainable"), "{error}");
        }
    }

    #[test]
    fn errors_name_the_line_and_what_is_accepted() {
        for (from, to, named) in [
            ("epochs = 2", "epoch = 2", "unknown field `epoch`, expected one of"),
            ("epochs = 2", "epochs = 0", ":14: training.epochs = 0; must be at least 1"),
            ("1e-3", "-1", ":15: training.learning_rate"),
            ("learning_rate = 1e-3", "learning_rate = 1e-3\nschedule = \"cosine\"", "author_compat"),
            ("path = \"model\"", "", ":3: base needs either"),
        ] {
            let error = read(&TEXT.replace(from, to), &[]).expect_err(named).to_string();
            assert!(error.contains(named), "{named}: {error}");
        }
        for (assignment, named) in [
            ("training.epochs", "key=value"),
            ("adapter.3.r=1", "\"3\""),
            ("out.x=1", "\"out\""),
            ("training.epochz=3", "epochz"),
        ] {
            let error = read(TEXT, &[assignment]).expect_err(named).to_string();
            assert!(error.contains(named), "{named}: {error}");
        }
    }
}
