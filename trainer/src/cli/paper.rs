//! Arguments of the commands that make the paper's tables: `reproduce`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::recipe::published::Setting;

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
    /// The sizes of the five task sets.
    #[command(after_help = "Examples:\n  clinlora reproduce table1 --data tasks\n  \
                      clinlora reproduce table1 --mimic3 mimiciii/1.4 --data tasks\n\n\
                      Counts what `clinlora prepare tasks` made, and with --mimic3 makes it first, if --data is not there. With\n\
                      the published splits or PMV labels, run `clinlora prepare tasks` yourself.")]
    Table1(Table1),
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
    /// Six ways of learning the five tasks, by AUROC.
    #[command(
        after_help = "Examples:\n  clinlora reproduce table3 --data tasks --model llama-7b --clinical table2/lora --seeds 3\n  \
                      clinlora reproduce table3 --data tasks --model base --notes notes --out table3 \\\n    \
                      training.epochs=3 head.training.learning_rate=1e-2 lora.mor.adapter.0.r=8\n\n\
                      Trains by the recipes of trainer/recipes/table3, one run folder a cell in --out, tests each as `evaluate`\n\
                      does, and writes table3.md, .html, .csv, .tex and .json. Rows: head, lora, clinical-frozen,\n\
                      clinical-frozen-downstream, clinical-trainable, clinical-trainable-downstream. The same command continues\n\
                      where a killed one stopped; more --seeds, --rows or --tasks add to what is there; a run folder that is\n\
                      removed is made anew, and with --overwrite all are."
    )]
    Table3(Table3),
    /// Clinical BERTs trained in full and with LoRA, by AUROC, beside the proposal.
    #[command(
        after_help = "Example:\n  clinlora reproduce table4 --data tasks --bert bluebert=bluebert --bert core=core \\\n    \
                      --model llama-7b --clinical table2/lora\n\n\
                      As table3, by the recipes of trainer/recipes/table4. Names the paper has: bluebert, umlsbert,\n\
                      bio-clinicalbert, core; any other BERT stands without its figures. Rows: NAME-full, NAME-lora, and\n\
                      proposal, which is made where --model and --clinical are given."
    )]
    Table4(Table4),
}

/// Arguments of `reproduce table1`.
#[derive(Debug, Args)]
pub struct Table1 {
    /// Folder of `prepare tasks`.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Folder of the MIMIC-III tables, to make --data from.
    #[arg(long, value_name = "DIR")]
    pub mimic3: Option<PathBuf>,
    /// Folder for the table; one that is there is written anew.
    #[arg(long, value_name = "DIR", default_value = "table1")]
    pub out: PathBuf,
    /// Replace the folder if it exists and this program made it.
    #[arg(long)]
    pub overwrite: bool,
}

/// Arguments of `reproduce table2`.
#[derive(Debug, Args)]
pub struct Table2 {
    /// Hugging Face model folder.
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Folder of `prepare notes`: train, valid and test, each a corpus of ids or `.jsonl`.
    #[arg(long, alias = "data", value_name = "DIR")]
    pub notes: PathBuf,
    /// Folder for the runs and the table; one that was begun is continued.
    #[arg(long, value_name = "DIR", default_value = "table2")]
    pub out: PathBuf,
    /// Values that replace those of all five recipes, `training.epochs=2`; or, after a method's name, of its own alone:
    /// `prefix.adapter.0.virtual_tokens=5`, `p-tuning.training.learning_rate=1e-3`.
    #[arg(value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Begin anew: replace the folder, finished runs included, if it exists and this program made it.
    #[arg(long)]
    pub overwrite: bool,
}

/// Arguments of `reproduce table3`.
#[derive(Debug, Args)]
pub struct Table3 {
    /// Hugging Face folder of a LLaMA.
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Folder of the clinical adapter.
    #[arg(long, value_name = "DIR", conflicts_with = "notes")]
    pub clinical: Option<PathBuf>,
    /// Folder of `prepare notes`, to train the clinical adapter on first: by Table 2's recipe for LoRA, with what is given
    /// as `clinical.KEY=VALUE`.
    #[arg(long, value_name = "DIR")]
    pub notes: Option<PathBuf>,
    /// Folder for the runs and the table; one that was begun is continued.
    #[arg(long, value_name = "DIR", default_value = "table3")]
    pub out: PathBuf,
    /// Rows to make, separated by commas [default: all six].
    #[arg(long, value_delimiter = ',', value_name = "ROW")]
    pub rows: Option<Vec<String>>,
    /// Which of the paper's bases stands beside ours.
    #[arg(long, value_enum, default_value = "llama")]
    pub paper: PaperBase,
    /// What tables of runs have in common.
    #[command(flatten)]
    pub grid: Grid,
}

/// A base of the paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum PaperBase {
    /// LLaMA-7B.
    Llama,
    /// PMC-LLaMA-7B.
    PmcLlama,
}

/// Arguments of `reproduce table4`.
#[derive(Debug, Args)]
pub struct Table4 {
    /// A BERT, as NAME=DIR; may be repeated.
    #[arg(long = "bert", value_name = "NAME=DIR", required = true)]
    pub berts: Vec<String>,
    /// Hugging Face folder of the LLaMA of the proposal's row.
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Folder of its clinical adapter.
    #[arg(long, value_name = "DIR")]
    pub clinical: Option<PathBuf>,
    /// Folder for the runs and the table; one that was begun is continued.
    #[arg(long, value_name = "DIR", default_value = "table4")]
    pub out: PathBuf,
    /// Rows to make, separated by commas [default: all].
    #[arg(long, value_delimiter = ',', value_name = "ROW")]
    pub rows: Option<Vec<String>>,
    /// What tables of runs have in common.
    #[command(flatten)]
    pub grid: Grid,
}

/// What tables of runs have in common.
#[derive(Debug, Args)]
pub struct Grid {
    /// Folder of `prepare tasks`.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Tasks, separated by commas [default: all of pmv,mor,los,diag,proc that --data has].
    #[arg(long, value_delimiter = ',', value_name = "TASK")]
    pub tasks: Option<Vec<String>>,
    /// Runs of each cell, by seeds one after the other; their mean and spread is shown.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub seeds: u32,
    /// The text of the paper, or what its authors' code did where that differs.
    #[arg(long, value_enum, default_value = "paper")]
    pub setting: Setting,
    /// Row that the others are tested against [default: head; table4: the first].
    #[arg(long, value_name = "ROW")]
    pub baseline: Option<String>,
    /// Bootstrap resamples behind intervals and tests.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub resamples: u32,
    /// Values that replace those of all recipes, `training.epochs=2`; or, after the name of a row, of a task or of both, of
    /// those cells alone: `lora.adapter.0.r=8`, `mor.training.epochs=3`, `lora.mor.training.learning_rate=1e-3`.
    #[arg(value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Begin anew: replace the folder, finished runs included, if it exists and this program made it.
    #[arg(long)]
    pub overwrite: bool,
}
