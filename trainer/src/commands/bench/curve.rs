//! `clinlora bench curve`: a loss curve that another program can be held against. Base, initial adapter and tokens are written
//! down first, in the formats of Hugging Face and PEFT; then the same batch is trained on for some updates.
//!
//! The notes follow a rule (each token decides the next), so that the loss has somewhere to fall to.

use std::fs;
use std::path::Path;

use burn::tensor::{DType, Device};
use clinlora_core::config::{LLAMA_TARGETS, ModelConfig};
use clinlora_core::model::head::CausalLm;
use clinlora_core::params::{Owner, set_trainable};
use clinlora_core::peft::stack::attach;
use clinlora_core::peft::store::TaskType;
use clinlora_core::weights::RandomWeights;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;

use super::training;
use crate::cli::CurveOptions;
use crate::dataset::Sample;
use crate::error::{AtPath, Error, Result};
use crate::files;
use crate::folders::adapter::{self, Origin};
use crate::folders::base;
use crate::plan::device;
use crate::recipe::{Adapter, AdapterMethod};
use crate::training::adamw::AdamW;
use crate::training::objective::LanguageModelling;
use crate::training::schedule::RateFactors;
use crate::training::step;

/// Ids the notes are of.
const IDS: u32 = 61;

/// What is printed, and written beside what it was made from.
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    device: String,
    dtype: String,
    learning_rate: f64,
    weight_decay: f64,
    /// Before each update.
    pub(super) losses: Vec<f64>,
    pub(super) grad_norms: Vec<f64>,
}

pub(super) fn measure(options: &CurveOptions, seed: u64, plain: &Device, dtype: DType) -> Result<Measured> {
    files::refuse_existing(&options.out, false)?;
    let device = plain.clone().autodiff();
    let config = options.preset.config();
    let mut model = CausalLm::build(&config, &mut RandomWeights::new(seed, &device, dtype));
    let adapter = Adapter {
        name: "bench".to_owned(),
        method: Some(AdapterMethod::Lora),
        trainable: true,
        ..Adapter::default()
    };
    let adapter_config = adapter.config(Path::new(""), LLAMA_TARGETS);
    attach(&mut model, &adapter.name, &adapter_config, seed, &device)
        .map_err(|e| Error::Input(e.to_string()))?;
    set_trainable(&mut model, &Owner::Base, false);
    let notes = notes(options, seed);

    let [base_folder, adapter_folder] = ["base", "adapter"].map(|name| options.out.join(name));
    for folder in [&base_folder, &adapter_folder] {
        fs::create_dir_all(folder).at(folder)?;
    }
    base::save_weights(&base_folder, &mut model, &ModelConfig::Llama(config))?;
    let origin = Origin::default();
    let task = TaskType::CausalLm;
    adapter::save(
        &adapter_folder,
        &mut model,
        &adapter.name,
        &adapter_config,
        task,
        &base_folder,
        &origin,
        &device,
    )?;
    let ids: Vec<&[u32]> = notes.iter().map(|note| note.ids.as_slice()).collect();
    write_json(&options.out.join("tokens.json"), &ids)?;

    let mut training = training(options.batch);
    training.learning_rate = options.learning_rate;
    let samples: Vec<&Sample> = notes.iter().collect();
    let mut optimizer = AdamW::default();
    let (mut losses, mut grad_norms) = (Vec::new(), Vec::new());
    for update in 0..options.steps {
        let seed = seed.wrapping_add(update as u64);
        let (loss, gradients) =
            step::gradients(&LanguageModelling, &mut model, &samples, &training, seed, &device)?;
        let outcome = step::measure(loss, &gradients);
        let lr = training.learning_rate;
        step::apply(&mut model, &mut optimizer, gradients, outcome, &training, lr, &RateFactors::default());
        losses.push(outcome.loss);
        grad_norms.push(outcome.grad_norm);
    }
    let measured = Measured {
        device: device::describe(plain),
        dtype: format!("{dtype:?}").to_lowercase(),
        learning_rate: training.learning_rate,
        weight_decay: training.weight_decay,
        losses,
        grad_norms,
    };
    write_json(&options.out.join("curve.json"), &measured)?;
    Ok(measured)
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    files::write_atomic(path, serde_json::to_string(value).expect("numbers and names serialise").as_bytes())
}

/// Walks round a cycle of ids, each note from a place of its own.
fn notes(options: &CurveOptions, seed: u64) -> Vec<Sample> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let note = |_| {
        let mut id = rng.random_range(0..IDS);
        let ids = (0..options.seq)
            .map(|_| {
                id = (7 * id + 3) % IDS;
                3 + id
            })
            .collect();
        Sample { id: String::new(), ids, target: Vec::new() }
    };
    (0..options.batch).map(note).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Preset;
    use super::*;

    #[test]
    fn a_curve_falls_and_stands_beside_what_it_was_made_from() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("curve");
        let options = CurveOptions {
            preset: Preset::Tiny,
            batch: 3,
            seq: 17,
            steps: 12,
            learning_rate: 2e-2,
            dtype: None,
            out,
        };
        let measured = measure(&options, 5, &Device::flex(), DType::F32).unwrap();
        let (first, last) = (measured.losses[0], measured.losses[11]);
        assert!((5.0..9.0).contains(&first), "about ln 1024 at first: {first}");
        assert!(last < 0.97 * first, "{first} to {last}");
        assert!(measured.grad_norms.iter().all(|norm| *norm > 0.0));
        for file in
            ["base/config.json", "base/model.safetensors", "adapter/adapter_model.safetensors", "tokens.json"]
        {
            assert!(options.out.join(file).is_file(), "{file}");
        }
        assert!(matches!(
            measure(&options, 5, &Device::flex(), DType::F32),
            Err(Error::Input(_) | Error::Io { .. })
        ));
    }
}
