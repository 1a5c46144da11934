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
