//! A base with adapters on it, from folders.

use std::path::PathBuf;

use burn::tensor::{DType, Device};
use clinlora_core::config::ModelConfig;
use clinlora_core::model::head::{CausalLm, Classifier, HeadValues};
use clinlora_core::params::Walk;
use clinlora_core::peft::stack::merge;
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
    let folders = open(adapters, device)?;
    let (mut model, fingerprint) = base.causal_lm(device, dtype)?;
    for folder in folders {
        folder.attach(&mut model, &fingerprint)?;
    }
    Ok(model)
}

/// Loads a model, a LLaMA with its language-modelling head, and adds `adapters` into its weights; beside it the head of the
/// last folder that carries one.
pub(super) fn merged(
    base: &BaseFolder,
    adapters: &[PathBuf],
    device: &Device,
    dtype: DType,
) -> Result<(Box<dyn Walk>, Option<HeadValues>)> {
    fn merged<M: Walk>((mut model, fingerprint): (M, String), folders: Vec<AdapterFolder>) -> Result<M> {
        for folder in folders {
            folder.attach(&mut model, &fingerprint)?;
        }
        merge(model).map_err(|e| Error::Input(e.to_string()))
    }
    let folders = open(adapters, device)?;
    let head = folders.iter().rev().find_map(AdapterFolder::head);
    let model: Box<dyn Walk> = match base.config {
        ModelConfig::Llama(_) => Box::new(merged(base.causal_lm(device, dtype)?, folders)?),
        ModelConfig::Bert(_) => Box::new(merged(base.backbone(device, dtype)?, folders)?),
    };
    Ok((model, head))
}

/// Loads a classifier with `adapters` stacked in order, all active; the head is that of the last folder with one.
pub(crate) fn classifier(
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
    let (backbone, fingerprint) = base.backbone(device, dtype)?;
    // The head's values are replaced by the folder's.
    let mut head = RandomWeights::new(0, device, DType::F32);
    let mut model = Classifier::build(backbone, &base.config, labels, &mut head);
    for folder in folders {
        folder.attach(&mut model, &fingerprint)?;
    }
    Ok(model)
}

fn open(adapters: &[PathBuf], device: &Device) -> Result<Vec<AdapterFolder>> {
    (1..).zip(adapters).map(|(i, path)| AdapterFolder::open(path, &format!("adapter-{i}"), device)).collect()
}
