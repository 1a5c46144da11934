//! A base model's folder: `config.json`, weights in any of their published forms, and a tokenizer.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device, TensorData};
use clinlora_core::Error as CoreError;
use clinlora_core::config::{LlamaConfig, ModelConfig};
use clinlora_core::model::head::{Backbone, CausalLm, is_head};
use clinlora_core::params::{Owner, ParamMut, Walk, for_each_param};
use clinlora_core::tokenizer::Tokenizer;
use clinlora_core::weights::checkpoint::{CheckpointWeights, TensorSource};
use clinlora_core::weights::safetensors::SafetensorsFile;
use memmap2::Mmap;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::pytorch::PytorchFile;
use crate::console;
use crate::error::{AtPath, Error, Result};
use crate::files;

/// A base folder whose configuration and tokenizer have been read; weights stay on disk until asked for.
pub(crate) struct BaseFolder {
    pub(crate) path: PathBuf,
    pub(crate) config: ModelConfig,
    pub(crate) tokenizer: Tokenizer,
}

impl BaseFolder {
    /// Reads `config.json` and the tokenizer of `path`.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        if !path.is_dir() {
            let message = format!("{}: not a folder; give a Hugging Face model folder", path.display());
            return Err(Error::Input(message));
        }
        let config_path = path.join("config.json");
        let config = ModelConfig::from_json(&files::read(&config_path)?).at(&config_path)?;
        let (tokenizer, _) = read_tokenizer(&tokenizer_file(path)?)?;
        if let Some(warning) = tokenizer.case_warning() {
            console::note(format_args!("warning: {}: {warning}", path.display()));
        }
        let ids = tokenizer.vocab_size();
        if ids > config.vocab_size() {
            return Err(Error::Input(format!(
                "{}: the tokenizer has {ids} tokens and the model an embedding of {} rows; the tokenizer belongs to \
                 another model",
                path.display(),
                config.vocab_size()
            )));
        }
        Ok(Self { path: path.to_owned(), config, tokenizer })
    }

    /// The weights, each read, checked and converted to `dtype` when the model asks for it.
    pub(crate) fn weights(&self, device: &Device, dtype: DType) -> Result<CheckpointWeights> {
        let sources = sources(&self.path)?;
        Ok(CheckpointWeights::new(self.path.display().to_string(), sources, device, dtype))
    }

    /// The checkpoint's fingerprint alone: reads every weight of the decoder, and so checks the folder too.
    pub(crate) fn fingerprint(&self, device: &Device) -> Result<String> {
        Ok(self.backbone(device, DType::F32)?.1)
    }

    /// The model without a head, and the checkpoint's fingerprint.
    pub(crate) fn backbone(&self, device: &Device, dtype: DType) -> Result<(Backbone, String)> {
        self.load(device, dtype, |weights| Backbone::build(&self.config, weights))
    }

    /// The model with its language-modelling head, and the checkpoint's fingerprint.
    pub(crate) fn causal_lm(&self, device: &Device, dtype: DType) -> Result<(CausalLm, String)> {
        let config = self.llama()?;
        self.load(device, dtype, |weights| CausalLm::build(config, weights))
    }

    /// The configuration, if the folder holds a model that predicts the next token.
    pub(crate) fn llama(&self) -> Result<&LlamaConfig> {
        match &self.config {
            ModelConfig::Llama(config) => Ok(config),
            ModelConfig::Bert(_) => Err(Error::Input(format!(
                "{}: a BERT, which predicts no next token; pretraining and perplexity need a LLaMA",
                self.path.display()
            ))),
        }
    }

    /// Refuses `training.recompute` of a network that has no such pass.
    pub(crate) fn check_recompute(&self, recompute: bool) -> Result<()> {
        match &self.config {
            ModelConfig::Bert(_) if recompute => Err(Error::Input(format!(
                "training.recompute: {} is a BERT, and only a LLaMA is trained so; leave it out",
                self.path.display()
            ))),
            _ => Ok(()),
        }
    }

    /// Refuses notes longer than the model has positions.
    pub(crate) fn check_max_tokens(&self, max_tokens: usize) -> Result<()> {
        match self.config.max_tokens().filter(|limit| max_tokens > *limit) {
            None => Ok(()),
            Some(limit) => Err(Error::Input(format!(
                "{}: notes of {max_tokens} tokens, and the model has positions for {limit}; lower max_tokens",
                self.path.display()
            ))),
        }
    }

    fn load<M>(
        &self,
        device: &Device,
        dtype: DType,
        build: impl FnOnce(&mut CheckpointWeights) -> M,
    ) -> Result<(M, String)> {
        let mut weights = self.weights(device, dtype)?;
        let model = build(&mut weights);
        let fingerprint = weights.fingerprint();
        weights.finish().at(&self.path)?;
        Ok((model, fingerprint))
    }
}

/// The tokenizer's file in a base folder: `tokenizer.json`, or else `tokenizer.model` or BERT's
/// `vocab.txt`; a file stands for itself.
///
/// # Errors
/// [`Error::Input`] for a folder with none of them.
pub(crate) fn tokenizer_file(path: &Path) -> Result<PathBuf> {
    if path.is_file() {
        return Ok(path.to_owned());
    }
    let files = ["tokenizer.json", "tokenizer.model", "vocab.txt"].map(|name| path.join(name));
    files.into_iter().find(|file| file.exists()).ok_or_else(|| {
        Error::Input(format!("{}: neither tokenizer.json, tokenizer.model nor vocab.txt", path.display()))
    })
}

/// Reads a tokenizer's file; returns the file's SHA-256 beside it.
///
/// # Errors
/// A file that cannot be read, or is no tokenizer.
pub(crate) fn read_tokenizer(file: &Path) -> Result<(Tokenizer, String)> {
    let bytes = files::read(file)?;
    let tokenizer = match file.extension().and_then(|ending| ending.to_str()) {
        Some("json") => Tokenizer::from_json(&bytes),
        Some("txt") => Tokenizer::from_wordpiece(&bytes, lower_cases(file)?),
        _ => Tokenizer::from_sentencepiece(&bytes),
    };
    Ok((tokenizer.at(file)?, files::sha256(&bytes)))
}

/// What `tokenizer_config.json` beside a `vocab.txt` says of lower-casing; Hugging Face's `BertTokenizer` lower-cases where
/// nothing is said.
fn lower_cases(vocab: &Path) -> Result<bool> {
    #[derive(serde::Deserialize)]
    struct Config {
        do_lower_case: Option<bool>,
    }
    let path = vocab.with_file_name("tokenizer_config.json");
    if !path.exists() {
        return Ok(true);
    }
    let config: Config = serde_json::from_slice(&files::read(&path)?)
        .map_err(|e| Error::Input(format!("{}: {e}", path.display())))?;
    Ok(config.do_lower_case.unwrap_or(true))
}

/// The weight files of a folder, in the order Hugging Face looks for them.
pub fn sources(folder: &Path) -> Result<Vec<Box<dyn TensorSource>>> {
    for (index, single) in [
        ("model.safetensors.index.json", "model.safetensors"),
        ("pytorch_model.bin.index.json", "pytorch_model.bin"),
    ] {
        let names = if folder.join(index).exists() {
            shards(&folder.join(index))?
        } else if folder.join(single).exists() {
            BTreeSet::from([single.to_owned()])
        } else {
            continue;
        };
        let absent: Vec<_> = names.iter().filter(|name| !folder.join(name).exists()).cloned().collect();
        if !absent.is_empty() {
            let message = format!("{}: {index} names files that are not there: {absent:?}", folder.display());
            return Err(Error::Input(message));
        }
        return names.iter().map(|name| open_weights(&folder.join(name))).collect();
    }
    Err(Error::Input(format!("{}: no model.safetensors, no pytorch_model.bin, no index", folder.display())))
}

fn shards(index: &Path) -> Result<BTreeSet<String>> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: std::collections::BTreeMap<String, String>,
    }
    let parsed: Index = serde_json::from_slice(&files::read(index)?)
        .map_err(|e| Error::Input(format!("{}: {e}", index.display())))?;
    let names: BTreeSet<String> = parsed.weight_map.into_values().collect();
    if let Some(name) = names.iter().find(|name| Path::new(name).components().count() != 1) {
        return Err(Error::Input(format!(
            "{}: shard {name:?} is not a file of this folder",
            index.display()
        )));
    }
    Ok(names)
}

/// Opens a weight file of either kind by its ending.
pub(super) fn open_weights(path: &Path) -> Result<Box<dyn TensorSource>> {
    if path.extension().is_some_and(|ending| ending == "safetensors") {
        let file = File::open(path).at(path)?;
        // SAFETY: the map is read-only. Should another process truncate the file meanwhile the program is killed
        // by the system, as with every mapped file; nothing is written from it before it was read as a whole.
        let map = unsafe { Mmap::map(&file) }.at(path)?;
        let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        Ok(Box::new(SafetensorsFile::open(name, map).at(path)?))
    } else {
        Ok(Box::new(PytorchFile::open(path).at(path)?))
    }
}

/// Writes a complete base folder: weights in f32 under their Hugging Face names, configuration and tokenizer.
pub(crate) fn save(
    folder: &Path,
    model: &mut dyn Walk,
    config: &ModelConfig,
    tokenizer_json: &[u8],
) -> Result<()> {
    save_weights(folder, model, config)?;
    files::write_atomic(&folder.join("tokenizer.json"), tokenizer_json)
}

/// [`save`] without a tokenizer, for a model that reads no text.
pub(crate) fn save_weights(folder: &Path, model: &mut dyn Walk, config: &ModelConfig) -> Result<()> {
    let mut tensors: Vec<(String, TensorData)> = Vec::new();
    for_each_param(model, |owner, name, param| {
        if *owner == Owner::Base && !is_head(name) {
            let shape = param.shape();
            let values = data(&param).into_data_as::<f32>();
            let (bytes, _, dtype) = values.into_parts();
            tensors.push((name.to_owned(), TensorData::from_bytes(bytes, shape, dtype)));
        }
    });
    for (name, values) in &tensors {
        if !values.as_slice::<f32>().is_ok_and(|values| values.iter().all(|v| v.is_finite())) {
            let source = CoreError::NotFinite { what: "the trained model".into(), name: name.clone() };
            return Err(Error::Model { path: folder.to_owned(), source: Box::new(source) });
        }
    }
    let views = tensors.iter().map(|(name, data)| {
        let view = TensorView::new(Dtype::F32, data.shape().to_vec(), data.as_bytes());
        (name, view.expect("a tensor's bytes match its shape"))
    });
    let metadata = std::collections::HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let weights = folder.join("model.safetensors");
    let bytes = safetensors::serialize(views, Some(metadata)).expect("views were checked one by one");
    files::write_atomic(&weights, &bytes)?;
    files::write_atomic(&folder.join("config.json"), config.to_json().as_bytes())
}

fn data(param: &ParamMut<'_>) -> burn::tensor::Tensor<1> {
    param.flat()
}
