//! Arguments of the commands that measure: `plan` and `bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use clinlora_core::config::WeightDtype;

use crate::commands::bench::Preset;
use crate::recipe::AdapterMethod;

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub struct Plan {
    /// Recipe file (TOML).
    pub recipe: PathBuf,
    /// Values that replace the recipe's: `training.batch_size=32`, `max_tokens=512`.
    #[arg(value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Memory the run may take, GiB [default: what the system has available; GPUs do not say].
    #[arg(long, value_name = "GIB")]
    pub memory_gib: Option<f64>,
}

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub struct Bench {
    /// What to measure.
    #[command(subcommand)]
    pub what: BenchWhat,
}

/// What `bench` measures.
#[derive(Debug, Subcommand)]
pub enum BenchWhat {
    /// Steps of training: forward, backward, optimiser.
    #[command(after_help = "Example:\n  clinlora bench train --preset 15m --batch 10 --seq 128 --steps 10")]
    Train(BenchOptions),
    /// Forward passes alone.
    #[command(after_help = "Example:\n  clinlora bench predict --preset 15m --batch 10 --seq 128 --steps 10")]
    Predict(BenchOptions),
    /// The two products of a frozen weight, at a model's shapes.
    #[command(
        after_help = "Example:\n  clinlora bench matmul --device cuda --rows 8192,32768 --outs 4096,12288,11008,22016"
    )]
    Matmul(MatmulOptions),
    /// Gradients of this device against the processor's, of every method, in f32 and bf16.
    #[command(
        after_help = "Example:\n  clinlora bench gradients --device cuda\n\nExit status 1 if they do not agree."
    )]
    Gradients(GradientOptions),
    /// A loss curve, beside the base, the adapter and the tokens it began from.
    #[command(
        after_help = "Example:\n  clinlora bench curve --preset 15m --out curve && python bench/curve.py curve"
    )]
    Curve(CurveOptions),
}

/// Shapes of `bench matmul`.
#[derive(Debug, Args)]
pub struct MatmulOptions {
    /// Rows, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "8192,16384,32768", value_parser = at_least_one)]
    pub rows: Vec<usize>,
    /// Width of a row.
    #[arg(long, default_value_t = 4096, value_parser = at_least_one)]
    pub width: usize,
    /// Outputs, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "4096,12288,11008,22016", value_parser = at_least_one)]
    pub outs: Vec<usize>,
    /// Number format [default: f32, bf16 on CUDA].
    #[arg(long, value_enum)]
    pub dtype: Option<WeightFormat>,
}

/// Shape of `bench gradients`.
#[derive(Debug, Args)]
pub struct GradientOptions {
    /// What is trained, separated by commas [default: each in turn]. A GPU compiles some fifty kernels for each.
    #[arg(long, value_delimiter = ',', value_parser = ["lora", "adaption-prompt", "prefix", "prompt", "p-tuning", "full"])]
    pub methods: Vec<String>,
    /// Shape of the model.
    #[arg(long, value_enum, default_value = "tiny")]
    pub preset: Preset,
    /// Notes in a step.
    #[arg(long, default_value_t = 4, value_parser = at_least_one)]
    pub batch: usize,
    /// Tokens of the longest note.
    #[arg(long, default_value_t = 33, value_parser = at_least_two)]
    pub seq: usize,
}

/// Shape and length of `bench curve`.
#[derive(Debug, Args)]
pub struct CurveOptions {
    /// Shape of the model.
    #[arg(long, value_enum, default_value = "15m")]
    pub preset: Preset,
    /// Notes in a step.
    #[arg(long, default_value_t = 10, value_parser = at_least_one)]
    pub batch: usize,
    /// Tokens of a note.
    #[arg(long, default_value_t = 128, value_parser = at_least_two)]
    pub seq: usize,
    /// Updates.
    #[arg(long, default_value_t = 20, value_parser = at_least_one)]
    pub steps: usize,
    /// Learning rate.
    #[arg(long, default_value_t = 1e-2)]
    pub learning_rate: f64,
    /// Number format of the frozen weights [default: f32, bf16 on CUDA].
    #[arg(long, value_enum)]
    pub dtype: Option<WeightFormat>,
    /// Folder for base, adapter, tokens and curve; must not exist.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Whose kernels multiply with frozen weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ProductChoice {
    /// The faster, found by measuring.
    Auto,
    /// Burn's own.
    Burn,
    /// NVIDIA's cuBLASLt.
    #[value(name = "cublaslt")]
    CublasLt,
}

/// Shape and length of a measurement.
#[derive(Debug, Args)]
pub struct BenchOptions {
    /// Shape of the model.
    #[arg(long, value_enum, default_value = "15m")]
    pub preset: Preset,
    /// Method of the adapter.
    #[arg(long, value_enum, default_value = "lora")]
    pub method: AdapterMethod,
    /// Notes in a step.
    #[arg(long, default_value_t = 10, value_parser = at_least_one)]
    pub batch: usize,
    /// Tokens of a note.
    #[arg(long, default_value_t = 128, value_parser = at_least_two)]
    pub seq: usize,
    /// Measured steps.
    #[arg(long, default_value_t = 10, value_parser = at_least_one)]
    pub steps: usize,
    /// Steps before them that count for nothing.
    #[arg(long, default_value_t = 3)]
    pub warmup: usize,
    /// Number format of the frozen weights [default: f32, bf16 on CUDA].
    #[arg(long, value_enum)]
    pub dtype: Option<WeightFormat>,
    /// Further steps, taken apart by the kind of what is computed; 0 for none.
    #[arg(long, default_value_t = 2)]
    pub anatomy: usize,
    /// Whose kernels multiply with frozen weights.
    #[arg(long, value_enum, default_value = "auto")]
    pub products: ProductChoice,
    /// lora: rank [default: 16].
    #[arg(long)]
    pub r: Option<usize>,
    /// lora: numerator of the scale [default: 32].
    #[arg(long)]
    pub alpha: Option<f64>,
    /// lora: layers that get a delta, separated by commas [default: `q_proj,v_proj`].
    #[arg(long, value_delimiter = ',')]
    pub target_modules: Option<Vec<String>>,
}

/// A number format as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[expect(missing_docs, reason = "the names say it")]
pub enum WeightFormat {
    F32,
    F16,
    Bf16,
}

impl From<WeightFormat> for WeightDtype {
    fn from(format: WeightFormat) -> Self {
        match format {
            WeightFormat::F32 => Self::F32,
            WeightFormat::F16 => Self::F16,
            WeightFormat::Bf16 => Self::Bf16,
        }
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    at_least(1, text)
}

fn at_least_two(text: &str) -> Result<usize, String> {
    at_least(2, text)
}

fn at_least(least: usize, text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count >= least => Ok(count),
        _ => Err(format!("must be a whole number of at least {least}")),
    }
}
