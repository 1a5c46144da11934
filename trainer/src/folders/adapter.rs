//! An adapter's folder: PEFT's two files, and beside them what the base was, so that another one is noticed.
//!
//! A folder may instead hold `head.safetensors` alone: a classification head trained without an adapter, for which
//! PEFT has no form.

use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device, Tensor, TensorData};
use clinlora_core::model::head::{HeadValues, set_head_values};
use clinlora_core::params::Walk;
use clinlora_core::peft::config::AdapterConfig;
use clinlora_core::peft::store::{self, StoredAdapter, TaskType};
use clinlora_core::weights::checkpoint::StoredDtype;
use safetensors::tensor::TensorView;
use serde::{Deserialize, Serialize};

use super::base::open_weights;
use crate::console;
use crate::error::{AtPath, Error, Result};
use crate::files;

/// Our file beside PEFT's: where the adapter came from.
const ORIGIN: &str = "clinlora.json";
/// The encoder behind a P-tuning or a projected prefix, of which PEFT's file holds the output alone.
const ENCODER: &str = "encoder.safetensors";
/// A head without an adapter.
const HEAD: &str = "head.safetensors";

/// What [`ORIGIN`] says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// Fingerprint of the base's weights.
    pub(crate) base_fingerprint: String,
    /// Name of the adapter in the stack it was trained in.
    pub(crate) name: String,
    /// Adapters below it in the stack.
    pub(crate) stacked_on: Vec<String>,
}

/// An adapter folder that has been read.
pub struct AdapterFolder {
    pub(crate) path: PathBuf,
    pub(crate) origin: Option<Origin>,
    content: Content,
}

enum Content {
    Adapter(Box<StoredAdapter>),
    Head(Box<HeadValues>),
    Nothing,
}

impl AdapterFolder {
    /// Reads `path`; the adapter will be called `name` in the stack.
    pub fn open(path: &Path, name: &str, device: &Device) -> Result<Self> {
        if !path.is_dir() {
            let message = format!("{}: not a folder; give a PEFT adapter folder", path.display());
            return Err(Error::Input(message));
        }
        let origin_path = path.join(ORIGIN);
        let origin = if origin_path.exists() {
            let origin = serde_json::from_slice(&files::read(&origin_path)?)
                .map_err(|e| Error::Input(format!("{}: {e}", origin_path.display())))?;
            Some(origin)
        } else {
            None
        };
        let content = if path.join(HEAD).exists() {
            Content::Head(Box::new(read_head(&path.join(HEAD), device)?))
        } else {
            let config = files::read(&path.join("adapter_config.json"))?;
            let weights = ["adapter_model.safetensors", "adapter_model.bin"]
                .into_iter()
                .map(|file| path.join(file))
                .find(|file| file.exists())
                .ok_or_else(|| {
                    Error::Input(format!("{}: no adapter_model.safetensors (or .bin)", path.display()))
                })?;
            let weights = open_weights(&weights)?;
            let mut stored = StoredAdapter::read(name, &config, weights.as_ref(), device).at(path)?;
            let encoder = path.join(ENCODER);
            if encoder.exists() {
                stored = stored.with_encoder(open_weights(&encoder)?.as_ref()).at(path)?;
            }
            for warning in &stored.warnings {
                console::note(format_args!("warning: {warning}"));
            }
            Content::Adapter(Box::new(stored))
        };
        Ok(Self { path: path.to_owned(), origin, content })
    }

    /// Labels of the head in the folder, if it holds one.
    pub(crate) fn num_labels(&self) -> Option<usize> {
        match &self.content {
            Content::Adapter(stored) => stored.num_labels(),
            Content::Head(head) => Some(head.num_labels()),
            Content::Nothing => None,
        }
    }

    /// Forgets the head: another one will stand in its place.
    pub(crate) fn drop_head(&mut self) {
        match &mut self.content {
            Content::Adapter(stored) => stored.drop_head(),
            Content::Head(_) | Content::Nothing => self.content = Content::Nothing,
        }
    }

    /// The head in the folder, if it holds one.
    pub(crate) fn head(&self) -> Option<HeadValues> {
        match &self.content {
            Content::Adapter(stored) => stored.head().cloned(),
            Content::Head(head) => Some(HeadValues::clone(head)),
            Content::Nothing => None,
        }
    }

    /// The adapter, unless the folder holds a head alone.
    pub(crate) fn adapter(&self) -> Option<&StoredAdapter> {
        match &self.content {
            Content::Adapter(stored) => Some(stored),
            Content::Head(_) | Content::Nothing => None,
        }
    }

    /// Refuses a base of another fingerprint than the adapter was trained on, where the folder says.
    pub(crate) fn check_base(&self, base_fingerprint: &str) -> Result<()> {
        let Some(origin) = self.origin.as_ref().filter(|o| o.base_fingerprint != base_fingerprint) else {
            return Ok(());
        };
        Err(Error::Input(format!(
            "{}: this adapter was trained on another base (its fingerprint begins {}, this one's {}); give the base it was \
             trained on",
            self.path.display(),
            &origin.base_fingerprint.get(..12).unwrap_or_default(),
            &base_fingerprint.get(..12).unwrap_or_default(),
        )))
    }

    /// Puts adapter and head on `model`, whose base has this fingerprint.
    pub fn attach(self, model: &mut dyn Walk, base_fingerprint: &str) -> Result<()> {
        self.check_base(base_fingerprint)?;
        match self.content {
            Content::Adapter(stored) => stored.attach(model).at(&self.path),
            Content::Head(head) => set_head_values(model, &head).at(&self.path),
            Content::Nothing => Ok(()),
        }
    }
}

/// A weight, and the bias that belongs to it if there is one.
fn read_head(path: &Path, device: &Device) -> Result<HeadValues> {
    let refuse = |what: &str| Error::Input(format!("{}: {what}", path.display()));
    let source = open_weights(path)?;
    let (mut weight, mut bias) = (None, None);
    for stored in source.tensors() {
        let (dtype, bytes) = source.read(&stored.name).at(path)?;
        let values: Vec<f32> =
            bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        if dtype != StoredDtype::F32 || !values.iter().all(|v| v.is_finite()) {
            return Err(refuse(&format!("{} is not finite f32", stored.name)));
        }
        let options = (device, DType::F32);
        let data = TensorData::new(values, stored.shape.clone());
        match (stored.name.split_once('.'), stored.shape.len()) {
            (Some((_, "weight")), 2) => weight = Some(Tensor::from_data(data, options)),
            (Some((_, "bias")), 1) => bias = Some(Tensor::from_data(data, options)),
            _ => return Err(refuse(&format!("{} is no part of a head", stored.name))),
        }
    }
    let weight: Tensor<2> = weight.ok_or_else(|| refuse("holds no head"))?;
    Ok(HeadValues { weight, bias })
}

/// Writes adapter `name` of `model` into the existing folder `path`, reads it back and compares: only then is it saved.
#[expect(clippy::too_many_arguments, reason = "each is something a PEFT folder states")]
pub(crate) fn save(
    path: &Path,
    model: &mut dyn Walk,
    name: &str,
    config: &AdapterConfig,
    task_type: TaskType,
    base: &Path,
    origin: &Origin,
    device: &Device,
) -> Result<()> {
    let written = store::write(model, name, config, task_type, &base.display().to_string()).at(path)?;
    files::write_atomic(&path.join("adapter_config.json"), written.config_json.as_bytes())?;
    files::write_atomic(&path.join("adapter_model.safetensors"), &written.weights)?;
    if let Some(encoder) = &written.encoder {
        files::write_atomic(&path.join(ENCODER), encoder)?;
    }
    save_origin(path, origin)?;
    let weights = files::read(&path.join("adapter_model.safetensors"))?;
    if weights != written.weights {
        let message = format!("{}: what was read back differs from what was written", path.display());
        return Err(Error::Input(message));
    }
    AdapterFolder::open(path, name, device)?;
    Ok(())
}

/// Writes a classification head alone into the existing folder `path`.
pub(crate) fn save_head(path: &Path, head: &HeadValues, origin: &Origin) -> Result<()> {
    let weight = (head.weight.dims().to_vec(), head.weight.clone().flatten::<1>(0, 1));
    let bias = head.bias.clone().map(|bias| (bias.dims().to_vec(), bias));
    let parts: Vec<_> = [("weight", Some(weight)), ("bias", bias)]
        .into_iter()
        .filter_map(|(name, part)| Some((format!("{}.{name}", head.path()), part?)))
        .map(|(name, (shape, values))| (name, shape, values.inner().into_data_as::<f32>()))
        .collect();
    let views = parts.iter().map(|(name, shape, values)| {
        let view = TensorView::new(safetensors::Dtype::F32, shape.clone(), values.as_bytes());
        (name, view.expect("a tensor's bytes match its shape"))
    });
    let bytes = safetensors::serialize(views, None).expect("the views were checked");
    files::write_atomic(&path.join(HEAD), &bytes)?;
    save_origin(path, origin)
}

fn save_origin(path: &Path, origin: &Origin) -> Result<()> {
    let json = serde_json::to_string_pretty(origin).expect("strings serialise");
    files::write_atomic(&path.join(ORIGIN), json.as_bytes())
}
