//! The command line as typed.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

pub use self::export::{Export, NamedFile, TaskSpec};
pub use self::measuring::{
    Bench, BenchOptions, BenchWhat, CurveOptions, GradientOptions, MatmulOptions, Plan, ProductChoice,
    WeightFormat,
};
pub use self::paper::{Grid, PaperBase, PaperTable, Reproduce, Table1, Table2, Table3, Table4};
use crate::cohort::MOST_PATIENTS;
use crate::device::DeviceChoice;
use crate::mimic::NoteSplit;
use crate::recipe::{Adapter, AdapterMethod, Encoder};
use crate::search::metric::Metric;
use crate::search::sampler::Sampler;

mod export;
mod measuring;
mod paper;

/// Adapts a LLaMA to clinical notes with stacked adapters, and predicts outcomes from admission notes.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 110)]
#[command(
    after_help = "Nothing is sent anywhere: the program opens no socket.\nExit status: 0 done, 2 bad usage or \
                        input, 130 interrupted (143 by SIGTERM), 1 anything else."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Print one machine-readable JSON object on stdout; everything else goes to stderr.
    #[arg(long, global = true)]
    pub json: bool,
    /// Where to compute.
    #[arg(long, global = true, value_name = "auto|cpu|cuda[:N]|wgpu", default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,
    /// Seed of everything drawn at random; overrides a recipe's.
    #[arg(long, global = true, value_name = "N")]
    pub seed: Option<u64>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The main job end to end on synthetic patients.
    #[command(after_help = "Example:\n  clinlora demo --out demo --patients 800")]
    Demo(Demo),
    /// A synthetic hospital with the tables of MIMIC-III v1.4 and MIMIC-IV-Note v2.2.
    #[command(after_help = "Example:\n  clinlora cohort --patients 20000 --seed 7 --out hospital")]
    Cohort(Cohort),
    /// The paper's task sets and pretraining notes from raw tables.
    Prepare(Prepare),
    /// Domain-adaptive pretraining on notes.
    #[command(
        after_help = "Example:\n  clinlora pretrain recipes/clinical.toml training.epochs=2 out=runs/clinical"
    )]
    Pretrain(Train),
    /// Downstream fine-tuning: a head, and adapters each frozen or trained.
    #[command(
        after_help = "Example:\n  clinlora finetune recipes/mortality.toml adapter.0.trainable=false\n  \
                      clinlora finetune trainer/recipes/table3/lora.toml with=LOS,author_compat base.path=llama-7b\n\n\
                      Where everything below the head is frozen and nothing is dropped, what the head reads of the notes is\n\
                      computed once and kept in the folder `features` beside the run's (data.features=DIR for another one,\n\
                      data.keep_features=false for none)."
    )]
    Finetune(Train),
    /// Metrics and predictions of a task on labelled notes.
    #[command(
        after_help = "Example:\n  clinlora evaluate --model base --adapter clinical --adapter runs/mor \
                            --task mor.toml --data test.csv --out eval"
    )]
    Evaluate(Evaluate),
    /// Probabilities for unlabelled notes, one JSON line a note.
    #[command(after_help = "Examples:\n  clinlora predict --model base --adapter runs/mor --task mor.toml \
                            --notes notes.jsonl\n  clinlora predict --bundle bundle --task MOR --notes notes.jsonl")]
    Predict(Predict),
    /// A quantised bundle for the browser: packed base, adapters, tasks.
    #[command(after_help = "Examples:\n  clinlora export --model base --bits 4 --out bundle \\\n    \
                      --task MOR=tasks/mor/task.toml:clinical+runs/mor --valid MOR=tasks/mor/valid.csv --test MOR=tasks/mor/test.csv\n  \
                      clinlora export --model llama-7b --base-only --out base-bundle\n  \
                      clinlora export --model llama-7b --adapters-only --base base-bundle --out adapters --task MOR=...\n\n\
                      Of a task's adapters the last is its own and carries the head; those before it are the clinical part.\n\
                      On --valid are fitted: the calibration (temperature or isotonic: the task file's, else the one of lower\n\
                      cross-validated log loss) and a threshold for each label (highest F1). Tables for the page and the\n\
                      agreement with the unpacked model come from --test. The bundle is read back before it gets its name.")]
    Export(Export),
    /// Perplexity of notes.
    #[command(
        after_help = "Example:\n  clinlora perplexity --model base --adapter clinical --notes notes.jsonl"
    )]
    Perplexity(Perplexity),
    /// Counts of trainable and all parameters, without allocating a weight.
    #[command(after_help = "Example:\n  clinlora params --config llama-7b --method lora --r 16\n  \
                            clinlora params --config llama-7b --method prefix --virtual-tokens 20")]
    Params(Params),
    /// Memory and time a recipe will take: by arithmetic, then by one measured step at its largest shape.
    #[command(after_help = "Example:\n  clinlora plan recipes/clinical.toml training.batch_size=32\n\n\
                      Reads what the run would read and writes nothing. The step is made on the recipe's own model, every\n\
                      note max_tokens long, on the device the run would use.")]
    Plan(Plan),
    /// Speed of a step on random weights and tokens, beside the device's own rate.
    Bench(Bench),
    /// Hyper-parameters by Gaussian-process search, journalled and resumable.
    #[command(after_help = "Examples:\n  clinlora search mortality.toml --trials 20 --out search\n  \
                      clinlora search clinical.toml --space mine.toml --trials 30 training.epochs=2\n\n\
                      A space is a TOML file, one line a key of the recipe:\n  \
                      \"adapter.0.r\" = [2, 4, 8, 16]\n  \
                      \"training.learning_rate\" = { min = 1e-4, max = 1e-2, log = true }\n\
                      Each trial is a run folder in --out. The same command continues where a killed one stopped; typed in\n\
                      several places at once on one file system, as by a job array, it shares the trials out.")]
    Search(Search),
    /// The paper's tables, ours beside theirs.
    Reproduce(Reproduce),
    /// A merged Hugging Face checkpoint: base plus adapters.
    #[command(after_help = "Example:\n  clinlora merge --model base --adapter clinical --out merged")]
    Merge(Merge),
    /// What a base, adapter, run, bundle or task holds.
    #[command(after_help = "Example:\n  clinlora inspect runs/clinical")]
    Inspect(Inspect),
    /// Runs below a folder, compared.
    #[command(after_help = "Example:\n  clinlora runs runs --html runs.html")]
    Runs(Runs),
    /// Who did what in a folder, and whether its log is whole.
    #[command(
        after_help = "Example:\n  clinlora audit runs/clinical\n\nChecks the chain of hashes of audit.jsonl, in the folder \
                      and below; exit status 2 names the first broken line."
    )]
    Audit(Audit),
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Folder for everything the demo makes.
    #[arg(long, default_value = "demo")]
    pub out: PathBuf,
    /// Synthetic patients.
    #[arg(long, default_value_t = 1200, value_parser = clap::value_parser!(u64).range(200..=100_000))]
    pub patients: u64,
    /// Replace the folder if it exists and this program made it.
    #[arg(long)]
    pub overwrite: bool,
}

/// Arguments of `cohort`.
#[derive(Debug, Args)]
pub struct Cohort {
    /// Patients of MIMIC-III's tables, and as many others of MIMIC-IV-Note's.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MOST_PATIENTS))]
    pub patients: u64,
    /// Folder for the tables.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Replace the folder if it exists.
    #[arg(long)]
    pub overwrite: bool,
}

/// Arguments of `prepare`.
#[derive(Debug, Args)]
pub struct Prepare {
    /// What to prepare.
    #[command(subcommand)]
    pub what: PrepareWhat,
}

/// What `prepare` makes.
#[derive(Debug, Subcommand)]
pub enum PrepareWhat {
    /// LOS, MOR, DIAG, PROC and PMV from the tables of MIMIC-III v1.4.
    #[command(
        after_help = "Example:\n  clinlora prepare tasks --mimic3 mimiciii/1.4 --splits core/tasks --out tasks\n\n\
                      Makes tasks/<task>/{train,valid,test}.csv with id,text,label, the task files, and report.json.\n\
                      Tables are NAME.csv or NAME.csv.gz. PMV needs PATIENTS, ICUSTAYS, CHARTEVENTS and\n\
                      PROCEDUREEVENTS_MV, or --pmv-labels; without them the other four are made."
    )]
    Tasks(PrepareTasks),
    /// Pretraining notes from MIMIC-IV-Note v2.2.
    #[command(
        after_help = "Examples:\n  clinlora prepare notes --mimic4-note note --tokenizer llama-7b --out notes\n  \
                      clinlora prepare notes --mimic4-note note --out texts\n\n\
                      With --tokenizer makes notes/train, notes/valid and notes/test, folders to give as data.train\n\
                      and data.valid; without it train.jsonl, valid.jsonl and test.jsonl, for a base from scratch."
    )]
    Notes(PrepareNotes),
}

/// Arguments of `prepare tasks`.
#[derive(Debug, Args)]
pub struct PrepareTasks {
    /// Folder of the MIMIC-III tables.
    #[arg(long, value_name = "DIR")]
    pub mimic3: PathBuf,
    /// Folder to make.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Folder of `mimic_train.csv`, `mimic_val.csv` and `mimic_test.csv`, lists of `SUBJECT_ID`; without it patients are
    /// split 70/10/20 by hash.
    #[arg(long, value_name = "DIR")]
    pub splits: Option<PathBuf>,
    /// Published labels of PMV: CSV with `hadm_id`, `label` and `split`.
    #[arg(long, value_name = "FILE")]
    pub pmv_labels: Option<PathBuf>,
    /// Defects of the tables that are tolerated, all together; the rows are left out.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub skip_bad_rows: u64,
    /// Replace the folder if it exists.
    #[arg(long)]
    pub overwrite: bool,
}

/// Arguments of `prepare notes`.
#[derive(Debug, Args)]
pub struct PrepareNotes {
    /// Folder of `discharge.csv.gz` and `radiology.csv.gz`.
    #[arg(long, value_name = "DIR")]
    pub mimic4_note: PathBuf,
    /// Folder to make.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Base folder, `tokenizer.json` or `tokenizer.model`; without it the cleaned notes are written as JSON lines.
    #[arg(long, value_name = "DIR|FILE")]
    pub tokenizer: Option<PathBuf>,
    /// Notes are cut at this many tokens.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(2..))]
    pub max_tokens: u32,
    /// What the splits keep apart: patients (80/10/10), or notes as the authors did (90/10, no validation).
    #[arg(long, value_enum, default_value = "patient")]
    pub split: NoteSplit,
    /// Lay whole notes end to end and cut them into sequences of --max-tokens, rather than cut each note.
    #[arg(long, requires = "tokenizer")]
    pub packing: bool,
    /// Defects of the tables that are tolerated, both together; the rows are left out.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub skip_bad_rows: u64,
    /// Replace the folder if it exists.
    #[arg(long)]
    pub overwrite: bool,
}

/// Arguments of `pretrain` and `finetune`.
#[derive(Debug, Args)]
pub struct Train {
    /// Recipe file (TOML).
    pub recipe: PathBuf,
    /// Values that replace the recipe's: `training.epochs=3`, `adapter.0.r=8`; `KEY=` leaves a key out. `with=NAME,NAME` lays overlays of the recipe
    /// over it: a task, a base, the authors' settings.
    #[arg(value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Continue an interrupted run from its last checkpoint.
    #[arg(long, conflicts_with = "overwrite")]
    pub resume: bool,
    /// Resume though the recipe has changed since the run began; the changes are logged.
    #[arg(long, requires = "resume")]
    pub accept_changed_recipe: bool,
    /// Replace the run folder if it exists and this program made it; the old one goes once the new run can begin.
    #[arg(long)]
    pub overwrite: bool,
}

/// Arguments of `search`.
#[derive(Debug, Args)]
pub struct Search {
    /// Recipe file (TOML) of a downstream run, if it names a task, or else of pretraining.
    pub recipe: PathBuf,
    /// Values that replace the recipe's in all trials: `training.epochs=3`.
    #[arg(value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Trials in all, those of earlier commands and of other processes included.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub trials: u32,
    /// Space file (TOML), or the paper's space of a method: lora, prefix, prompt, p-tuning, adaption-prompt [default: that
    /// of the topmost adapter the recipe trains from nothing].
    #[arg(long, value_name = "FILE|METHOD")]
    pub space: Option<PathBuf>,
    /// Folder of the search; one that was begun is continued [default: the recipe's, and `-search`].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// How the next trial is chosen.
    #[arg(long, value_enum, default_value = "gp")]
    pub sampler: Sampler,
    /// What is made better, on the validation notes [default: auroc, or of pretraining perplexity].
    #[arg(long, value_enum)]
    pub metric: Option<Metric>,
    /// Which trials are given up after an epoch: those worse than the median of the others after as many epochs, or none.
    #[arg(long, value_enum, default_value = "none")]
    pub prune: Prune,
    /// Begin anew: replace the folder, trials included, if it exists and this program made it.
    #[arg(long)]
    pub overwrite: bool,
}

/// Which trials are given up early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Prune {
    /// Those worse than the median of the others after as many epochs.
    Median,
    /// None.
    None,
}

/// A base and the adapters on it.
#[derive(Debug, Args)]
pub struct Model {
    /// Hugging Face model folder.
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// PEFT adapter folder; may be repeated, and they stack in that order.
    #[arg(long = "adapter", value_name = "DIR")]
    pub adapters: Vec<PathBuf>,
    /// Notes are cut at this many tokens.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(2..))]
    pub max_tokens: u32,
}

/// Arguments of `evaluate`.
#[derive(Debug, Args)]
pub struct Evaluate {
    /// Model and adapters.
    #[command(flatten)]
    pub model: Model,
    /// Task file.
    #[arg(long, value_name = "FILE")]
    pub task: PathBuf,
    /// Labelled notes, CSV or JSON lines.
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// Folder for metrics.json and predictions.csv.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Bootstrap resamples behind the 95 % interval.
    #[arg(long, default_value_t = 1000)]
    pub resamples: u32,
    /// Leave notes without text out rather than refuse them.
    #[arg(long)]
    pub skip_empty: bool,
    /// Replace the folder if it exists and this program made it.
    #[arg(long)]
    pub overwrite: bool,
}

impl Evaluate {
    /// Everything it reads.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = &Path> {
        let files = [&self.model.model, &self.task, &self.data];
        files.into_iter().chain(&self.model.adapters).map(PathBuf::as_path)
    }
}

/// Arguments of `predict`.
#[derive(Debug, Args)]
pub struct Predict {
    /// Hugging Face model folder.
    #[arg(long, value_name = "DIR", required_unless_present = "bundles", conflicts_with = "bundles")]
    pub model: Option<PathBuf>,
    /// PEFT adapter folder; may be repeated, and they stack in that order.
    #[arg(long = "adapter", value_name = "DIR", conflicts_with = "bundles")]
    pub adapters: Vec<PathBuf>,
    /// Folder of a quantised bundle, instead of model and adapters; a second one adds its adapters and tasks.
    #[arg(long = "bundle", value_name = "DIR")]
    pub bundles: Vec<PathBuf>,
    /// Which adapters of a bundle take part [default: all].
    #[arg(long = "adapters", value_name = "WHICH", value_enum, requires = "bundles")]
    pub which: Option<AdaptersChoice>,
    /// Task file, or with --bundle the task's name in it.
    #[arg(long, value_name = "FILE|NAME")]
    pub task: PathBuf,
    /// Notes are cut at this many tokens [default: 128, or what the bundle says].
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..))]
    pub max_tokens: Option<u32>,
    /// Notes: JSON lines with id and text.
    #[arg(long, value_name = "FILE")]
    pub notes: PathBuf,
    /// Leave notes without text out rather than refuse them.
    #[arg(long)]
    pub skip_empty: bool,
}

/// Adapters of a bundle that take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum AdaptersChoice {
    /// None.
    Off,
    /// The clinical part of the task's stack.
    Clinical,
    /// The whole stack.
    #[default]
    All,
}

/// Arguments of `perplexity`.
#[derive(Debug, Args)]
pub struct Perplexity {
    /// Model and adapters.
    #[command(flatten)]
    pub model: Model,
    /// Notes: JSON lines with id and text.
    #[arg(long, value_name = "FILE")]
    pub notes: PathBuf,
    /// Notes in a batch of the batch-mean figure, in the file's order.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub batch_size: u32,
    /// Leave notes without text out rather than refuse them.
    #[arg(long)]
    pub skip_empty: bool,
}

/// Arguments of `params`.
#[derive(Debug, Args)]
pub struct Params {
    /// A config.json, a model folder, or `llama-7b`.
    #[arg(long, value_name = "FILE|llama-7b")]
    pub config: PathBuf,
    /// Adapter method.
    #[arg(long, value_enum)]
    pub method: AdapterMethod,
    /// lora: rank [default: 16].
    #[arg(long)]
    pub r: Option<usize>,
    /// lora: layers that get a delta, separated by commas [default: `q_proj,v_proj`].
    #[arg(long, value_delimiter = ',')]
    pub target_modules: Option<Vec<String>>,
    /// adaption-prompt: tokens of the prompt on each layer [default: 10].
    #[arg(long)]
    pub adapter_len: Option<usize>,
    /// adaption-prompt: layers that have one, from the top [default: 30].
    #[arg(long)]
    pub adapter_layers: Option<usize>,
    /// prefix, prompt, p-tuning: virtual tokens [default: 20, prompt 15].
    #[arg(long, alias = "num-virtual-tokens")]
    pub virtual_tokens: Option<usize>,
    /// prefix: two linear layers behind the table.
    #[arg(long, alias = "prefix-projection")]
    pub projection: bool,
    /// p-tuning: network behind the table [default: lstm].
    #[arg(long, value_enum, alias = "encoder-reparameterization-type", ignore_case = true)]
    pub encoder: Option<Encoder>,
    /// prefix with projection, p-tuning: inner width [default: the model's; p-tuning 256].
    #[arg(long)]
    pub encoder_hidden_size: Option<usize>,
    /// p-tuning: layers of its LSTM [default: 4].
    #[arg(long, alias = "encoder-num-layers")]
    pub encoder_layers: Option<usize>,
}

impl Params {
    /// The adapter as a recipe would have it.
    #[must_use]
    pub fn adapter(&self) -> Adapter {
        Adapter {
            name: "params".to_owned(),
            method: Some(self.method),
            r: self.r,
            target_modules: self.target_modules.clone(),
            adapter_len: self.adapter_len,
            adapter_layers: self.adapter_layers,
            virtual_tokens: self.virtual_tokens,
            projection: self.projection.then_some(true),
            encoder: self.encoder,
            encoder_hidden_size: self.encoder_hidden_size,
            encoder_layers: self.encoder_layers,
            ..Adapter::default()
        }
    }
}

/// Arguments of `merge`.
#[derive(Debug, Args)]
pub struct Merge {
    /// Hugging Face model folder.
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// PEFT adapter folder; may be repeated.
    #[arg(long = "adapter", value_name = "DIR", required = true)]
    pub adapters: Vec<PathBuf>,
    /// Folder for the merged model.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Replace the folder if it exists and this program made it.
    #[arg(long)]
    pub overwrite: bool,
}

/// Arguments of `inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    /// A folder of a base, an adapter, a run or a bundle; or a task file.
    pub path: PathBuf,
}

/// Arguments of `runs`.
#[derive(Debug, Args)]
pub struct Runs {
    /// Folder whose runs, at any depth, are listed.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Write a page with the curves too: one file, readable without network.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// Arguments of `audit`.
#[derive(Debug, Args)]
pub struct Audit {
    /// Folder with an audit.jsonl, or one that holds such folders.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}
