//! The command line as typed.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::cohort::MOST_PATIENTS;
use crate::device::DeviceChoice;
use crate::mimic::NoteSplit;
use crate::recipe::{Adapter, AdapterMethod, Encoder};
use crate::search::metric::Metric;
use crate::search::sampler::Sampler;

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
    #[arg(long, global = true, value_enum, default_value = "auto")]
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
    #[command(after_help = "Example:\n  clinlora finetune recipes/mortality.toml adapter.0.trainable=false")]
    Finetune(Train),
    /// Metrics and predictions of a task on labelled notes.
    #[command(
        after_help = "Example:\n  clinlora evaluate --model base --adapter clinical --adapter runs/mor \
                            --task mor.toml --data test.csv --out eval"
    )]
    Evaluate(Evaluate),
    /// Probabilities for unlabelled notes, one JSON line a note.
    #[command(after_help = "Example:\n  clinlora predict --model base --adapter runs/mor --task mor.toml \
                            --notes notes.jsonl")]
    Predict(Predict),
    /// Perplexity of notes.
    #[command(
        after_help = "Example:\n  clinlora perplexity --model base --adapter clinical --notes notes.jsonl"
    )]
    Perplexity(Perplexity),
    /// Counts of trainable and all parameters, without allocating a weight.
    #[command(after_help = "Example:\n  clinlora params --config llama-7b --method lora --r 16\n  \
                            clinlora params --config llama-7b --method prefix --virtual-tokens 20")]
    Params(Params),
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
    /// What a base, adapter, run or task holds.
    #[command(after_help = "Example:\n  clinlora inspect runs/clinical")]
    Inspect(Inspect),
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
    /// Values that replace the recipe's: `training.epochs=3`, `adapter.0.r=8`; `KEY=` leaves a key out.
    #[arg(value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Continue an interrupted run from its last checkpoint.
    #[arg(long, conflicts_with = "overwrite")]
    pub resume: bool,
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
    /// Model and adapters.
    #[command(flatten)]
    pub model: Model,
    /// Task file.
    #[arg(long, value_name = "FILE")]
    pub task: PathBuf,
    /// Notes: JSON lines with id and text.
    #[arg(long, value_name = "FILE")]
    pub notes: PathBuf,
    /// Leave notes without text out rather than refuse them.
    #[arg(long)]
    pub skip_empty: bool,
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

/// Arguments of `reproduce`.
#[derive(Debug, Args)]
pub struct Reproduce {
    /// Which table.
    #[command(subcommand)]
    pub table: PaperTable,
}

/// A table of the paper.
#[derive(Debug, Subcommand)]
pub enum PaperTable {
    /// Five PEFT methods by perplexity: what each trains, and what it makes of the notes.
    #[command(
        after_help = "Examples:\n  clinlora reproduce table2 --model llama-7b --notes notes --out table2\n  \
                      clinlora reproduce table2 --model base --notes notes --out table2 training.learning_rate=3e-3 \\\n    \
                      adaption-prompt.adapter.0.adapter_layers=2 prompt.training.learning_rate=3e-2\n\n\
                      Trains by the five recipes of trainer/recipes/table2, one run folder a method in --out, and writes\n\
                      table2.md and table2.json. The same command continues where a killed one stopped, and trains no\n\
                      finished method again, though it measures it again; a run folder that is removed is trained anew, and\n\
                      with --overwrite all five are."
    )]
    Table2(Table2),
}

/// Arguments of `reproduce table2`.
#[derive(Debug, Args)]
pub struct Table2 {
    /// Hugging Face model folder.
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Folder of `prepare notes`: train, valid and test, each a corpus of ids or `.jsonl`.
    #[arg(long, value_name = "DIR")]
    pub notes: PathBuf,
    /// Folder for the runs and the table; one that was begun is continued.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Values that replace those of all five recipes, `training.epochs=2`; or, after a method's name, of its own alone:
    /// `prefix.adapter.0.virtual_tokens=5`, `p-tuning.training.learning_rate=1e-3`.
    #[arg(value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Begin anew: replace the folder, finished runs included, if it exists and this program made it.
    #[arg(long)]
    pub overwrite: bool,
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
    /// A folder of a base, an adapter or a run; or a task file.
    pub path: PathBuf,
}
