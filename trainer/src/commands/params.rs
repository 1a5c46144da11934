//! `clinlora params`.

use std::path::Path;

use clinlora_core::config::{LlamaConfig, ModelConfig};
use serde::Serialize;

use super::print_json;
use crate::cli::Params;
use crate::error::{AtPath, Error, Result};
use crate::files;
use crate::recipe::Adapter;

/// Values of an adapter, and of a base with it.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Counts {
    pub(crate) trainable: usize,
    pub(crate) total: usize,
    pub(crate) percent: f64,
}

/// Prints the counts.
///
/// # Errors
/// [`Error::Input`] for a configuration that cannot be read, options of another method, or targets that match nothing.
pub fn run(args: &Params) -> Result<()> {
    let config = read_config(&args.config)?;
    let adapter = args.adapter();
    adapter.check().map_err(Error::Input)?;
    print_json(&counts(&config, &adapter)?)
}

/// The counts of a fresh adapter on a model of this shape.
pub(crate) fn counts(config: &ModelConfig, adapter: &Adapter) -> Result<Counts> {
    let trainable = adapter
        .config(Path::new(""), config.lora_targets())
        .num_params(&adapter.name, &config.sites(), config.decoder_shape().as_ref())
        .map_err(|e| Error::Input(e.to_string()))?;
    let total = config.num_params() + trainable;
    #[expect(clippy::cast_precision_loss, reason = "a percentage to print")]
    let percent = 100.0 * trainable as f64 / total as f64;
    Ok(Counts { trainable, total, percent })
}

fn read_config(path: &Path) -> Result<ModelConfig> {
    if path == Path::new("llama-7b") {
        return Ok(ModelConfig::Llama(LlamaConfig::llama_7b()));
    }
    let path = if path.is_dir() { path.join("config.json") } else { path.to_owned() };
    ModelConfig::from_json(&files::read(&path)?).at(&path)
}
