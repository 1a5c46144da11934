//! `clinlora params`.

use std::path::Path;

use clinlora_core::config::LlamaConfig;
use clinlora_core::peft::lora::LoraConfig;
use serde::Serialize;

use super::print_json;
use crate::cli::Params;
use crate::error::{AtPath, Error, Result};
use crate::files;

#[derive(Serialize)]
struct Counts {
    trainable: usize,
    total: usize,
    percent: f64,
}

/// Prints the counts.
///
/// # Errors
/// [`Error::Input`] for a configuration that cannot be read or targets that match nothing.
pub fn run(args: &Params) -> Result<()> {
    let config = read_config(&args.config)?;
    let lora = LoraConfig {
        r: args.r,
        target_modules: args.target_modules.clone(),
        ..LoraConfig::default()
    };
    lora.validate("params").map_err(|e| Error::Input(e.to_string()))?;
    let sites = config.sites();
    for target in &lora.target_modules {
        let alone = LoraConfig {
            target_modules: vec![target.clone()],
            ..lora.clone()
        };
        if !sites.iter().any(|(path, _)| alone.targets(path)) {
            return Err(Error::Input(format!(
                "target module {target} matches no layer of this model"
            )));
        }
    }
    let targeted = sites.iter().filter(|(path, _)| lora.targets(path));
    let trainable = targeted.map(|(_, shape)| lora.num_params(*shape)).sum();
    let total = config.num_params() + trainable;
    #[expect(clippy::cast_precision_loss, reason = "a percentage to print")]
    let percent = 100.0 * trainable as f64 / total as f64;
    print_json(&Counts {
        trainable,
        total,
        percent,
    })
}

fn read_config(path: &Path) -> Result<LlamaConfig> {
    if path == Path::new("llama-7b") {
        return Ok(LlamaConfig::llama_7b());
    }
    let path = if path.is_dir() {
        path.join("config.json")
    } else {
        path.to_owned()
    };
    LlamaConfig::from_json(&files::read(&path)?).at(&path)
}
