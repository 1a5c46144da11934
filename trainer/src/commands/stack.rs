//! A base with adapters on it, from folders.

use std::path::PathBuf;

use burn::tensor::{DType, Device, Tensor};
use clinlora_core::model::head::{CausalLm, Classifier};
use clinlora_core::model::llama::Llama;
use clinlora_core::task::Task;
use clinlora_core::weights::RandomWeights;

use crate::error::{Error, Result};
use crate::folders::adapter::AdapterFolder;
use crate::folders::base::BaseFolder;

/// Loads a language model with `adapters` stacked in order, all active.
pub(super) fn causal_lm(
    base: &BaseFolder,
    adapters: &[PathBuf],
    device: &Device,
    dtype: DType,
) -> Result<CausalLm> {
    causal_lm_and_head(base, adapters, device, dtype).map(|(model, _)| model)
}

/// As [`causal_lm`], with the head of the last folder that carries one.
pub(super) fn causal_lm_and_head(
    base: &BaseFolder,
    adapters: &[PathBuf],
    device: &Device,
    dtype: DType,
) -> Result<(CausalLm, Option<Tensor<2>>)> {
    let folders = open(adapters, device)?;
    let head = folders.iter().rev().find_map(AdapterFolder::head);
    let (mut model, fingerprint) = base.load(device, dtype, CausalLm::build)?;
    for folder in folders {
        folder.attach(&mut model, &fingerprint)?;
    }
    Ok((model, head))
}

/// Loads a classifier with `adapters` stacked in order, all active; the head is that of the last folder with one.
pub(super) fn classifier(
    base: &BaseFolder,
    adapters: &[PathBuf],
    task: &Task,
    device: &Device,
    dtype: DType,
) -> Result<Classifier> {
    let mut folders = open(adapters, device)?;
    let Some(last) = folders.iter().rposition(|folder| folder.num_labels().is_some()) else {
        return Err(Error::Input(format!(
            "none of the adapters carries a classification head for task {}; give the folder `finetune` made",
            task.name
        )));
    };
    let labels = folders[last].num_labels().unwrap_or_default();
    if labels != task.labels.len() {
        return Err(Error::Input(format!(
            "{}: its head has {labels} labels and task {} has {}",
            folders[last].path.display(),
            task.name,
            task.labels.len()
        )));
    }
    for folder in &mut folders[..last] {
        folder.drop_head();
    }
    let (backbone, fingerprint) = base.load(device, dtype, Llama::build)?;
    // The head's values are replaced by the folder's.
    let mut head = RandomWeights::new(0, device, DType::F32);
    let mut model = Classifier::build(backbone, &base.config, labels, &mut head);
    for folder in folders {
        folder.attach(&mut model, &fingerprint)?;
    }
    Ok(model)
}

fn open(adapters: &[PathBuf], device: &Device) -> Result<Vec<AdapterFolder>> {
    (1..)
        .zip(adapters)
        .map(|(i, path)| AdapterFolder::open(path, &format!("adapter-{i}"), device))
        .collect()
}
