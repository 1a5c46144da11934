//! Adapters as Hugging Face PEFT keeps them: `adapter_config.json` beside `adapter_model.safetensors`.
//!
//! Bytes in, bytes out; files are the caller's. Every key of the configuration that changes the numbers is honoured
//! or refused by name; keys PEFT itself would drop are returned as warnings.
//!
//! Where PEFT keeps the output of an encoder alone (P-tuning, a projected prefix), a third file, which PEFT ignores,
//! holds the encoder by the names of PEFT's module, so that training can resume. It must give the output beside it.

mod adaption_prompt;
mod keys;
mod lora;
mod prompt_learning;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use burn::tensor::{DType, Device, Tensor, TensorData};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use self::keys::{Keys, config_json};
use self::prompt_learning::StatedShape;
use super::config::{AdapterConfig, refuse};
use super::prefix::Prefix;
use super::stack::{self, decoder_shape, in_preamble};
use super::virtual_tokens::VirtualTokens;
use crate::error::{Error, Misshapen};
use crate::model::head::{HEADS, HeadValues, SCORE, is_head, set_head_values};
use crate::params::{Owner, Walk, for_each_param};
use crate::weights::checkpoint::{TensorSource, decode};

/// What the adapter was trained for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskType {
    /// Predicting the next token.
    CausalLm,
    /// Classifying a note; the folder holds a head.
    SequenceClassification,
}

impl TaskType {
    fn name(self) -> &'static str {
        match self {
            Self::CausalLm => "CAUSAL_LM",
            Self::SequenceClassification => "SEQ_CLS",
        }
    }
}

/// Tensors by name: shape, and values as one row.
type Tensors = BTreeMap<String, (Vec<usize>, Tensor<1>)>;

/// An adapter folder, read and checked, not yet on a model.
#[derive(Debug)]
pub struct StoredAdapter {
    /// Name it will have in the stack.
    pub name: String,
    /// Method and hyper-parameters.
    pub config: AdapterConfig,
    /// What it was trained for, if the file says.
    pub task_type: Option<TaskType>,
    /// Keys that were ignored, as PEFT ignores them.
    pub warnings: Vec<String>,
    stated_shape: Option<StatedShape>,
    tensors: Tensors,
    encoder: Option<Tensors>,
    head: Option<HeadValues>,
    device: Device,
}

/// The tensor of prompt learning in PEFT's file.
const PROMPT_EMBEDDINGS: &str = "prompt_embeddings";

/// How far an encoder's output may lie from what stands beside it: rounding of another order of summation.
const ENCODER_TOLERANCE: f32 = 1e-3;

impl StoredAdapter {
    /// Reads a folder's two files; `name` is what the adapter will be called, in the stack and in messages.
    ///
    /// # Errors
    /// [`Error::UnsupportedAdapter`] naming the key; [`Error::Adapter`] and [`Error::Container`] for damaged files;
    /// [`Error::Tensors`] for names that are no adapter's; [`Error::NotFinite`] for NaN in the adapter.
    pub fn read(
        name: &str,
        config_json: &[u8],
        weights: &dyn TensorSource,
        device: &Device,
    ) -> Result<Self, Error> {
        let keys = Keys::parse(name, config_json)?;
        let (config, stated_shape) = parse_config(&keys)?;
        config.validate(name)?;
        let mut stored = Self {
            name: name.to_owned(),
            config,
            task_type: keys.task_type()?,
            warnings: keys.warnings(),
            stated_shape,
            tensors: Tensors::new(),
            encoder: None,
            head: None,
            device: device.clone(),
        };
        let (mut unexpected, mut head) = (Vec::new(), Tensors::new());
        for (stored_name, tensor) in read_tensors(name, weights, device)? {
            let Some(path) = model_path(&stored_name) else {
                unexpected.push(stored_name);
                continue;
            };
            if is_head(&path) {
                head.insert(path, tensor);
            } else {
                stored.tensors.insert(path, tensor);
            }
        }
        let missing = missing_halves(&stored.config, &mut stored.tensors, &mut unexpected);
        if missing.is_empty() && unexpected.is_empty() {
            stored.head = head_values(name, head)?;
            return Ok(stored);
        }
        Err(Error::Tensors { what: format!("adapter {name}"), missing, unexpected, misshapen: Vec::new() })
    }

    /// Adds the file that holds the encoder of a P-tuning or a projected prefix, so that training can resume.
    ///
    /// # Errors
    /// [`Error::Adapter`] if the adapter has no encoder; [`Error::Container`] and [`Error::NotFinite`] for a damaged file.
    pub fn with_encoder(mut self, encoder: &dyn TensorSource) -> Result<Self, Error> {
        if !has_encoder(&self.config) {
            let reason = format!("an encoder stands beside it, and {} has none", self.config.method());
            return refuse(&self.name, reason);
        }
        self.encoder = Some(read_tensors(&self.name, encoder, &self.device)?);
        Ok(self)
    }

    /// Name in the model, shape and values of every tensor of the method itself, by name.
    pub fn values(&self) -> impl Iterator<Item = (String, Vec<usize>, Vec<f32>)> {
        self.tensors.iter().map(|(name, (shape, values))| {
            let values = values.clone().into_data_as::<f32>();
            (name.clone(), shape.clone(), values.as_slice::<f32>().expect("asked for as f32").to_vec())
        })
    }

    /// Number of labels of the head in the folder, if there is one.
    #[must_use]
    pub fn num_labels(&self) -> Option<usize> {
        self.head.as_ref().map(HeadValues::num_labels)
    }

    /// The head in the folder, if there is one.
    #[must_use]
    pub fn head(&self) -> Option<&HeadValues> {
        self.head.as_ref()
    }

    /// Values the method trained, as far as the folder holds them; the head not counted.
    #[must_use]
    pub fn num_values(&self) -> usize {
        let tensors = self.encoder.as_ref().unwrap_or(&self.tensors);
        tensors.values().map(|(shape, _)| shape.iter().product::<usize>()).sum()
    }

    /// Whether the folder lacks the encoder it was trained with: training would go on with the encoder's output as a
    /// plain table.
    #[must_use]
    pub fn lacks_encoder(&self) -> bool {
        has_encoder(&self.config) && self.encoder.is_none()
    }

    /// Forgets the head in the folder.
    pub fn drop_head(&mut self) {
        self.head = None;
    }

    /// Puts the adapter on `model`, active and trainable, and its head, if both have one, in the model's place for it.
    ///
    /// # Errors
    /// [`Error::Adapter`] as for [`stack::attach`], for sizes of another base, or an encoder that does not give what stands
    /// beside it; [`Error::Tensors`] with every tensor that is missing on one side or of another shape. The model is then as
    /// it was, but for the values of its head.
    pub fn attach(self, model: &mut dyn Walk) -> Result<(), Error> {
        let Self { name, config, stated_shape, mut tensors, encoder, head, device, .. } = self;
        if let (Some(stated), Some(shape)) = (stated_shape, decoder_shape(model)) {
            stated.check(&name, &shape, matches!(config, AdapterConfig::Prefix(_)))?;
        }
        if let Some(head) = &head {
            set_head_values(model, head)?;
        }
        let output = encoder.as_ref().and_then(|_| tensors.get(PROMPT_EMBEDDINGS).cloned());
        match encoder {
            Some(encoder) => {
                stack::attach(model, &name, &config, 0, &device)?;
                tensors.remove(PROMPT_EMBEDDINGS);
                tensors.extend(encoder);
            }
            None => attach_empty(model, &name, &config, &device)?,
        }
        let what = format!("adapter {name}");
        let owner = Owner::Adapter(name.clone());
        let filled = fill(model, &owner, &what, tensors)
            .and_then(|()| output.map_or(Ok(()), |output| check_encoder(model, &name, &output)));
        if filled.is_err() {
            stack::detach(model, &name)?;
        }
        filled
    }
}

fn has_encoder(config: &AdapterConfig) -> bool {
    match config {
        AdapterConfig::PTuning(_) => true,
        AdapterConfig::Prefix(prefix) => prefix.projection,
        AdapterConfig::Lora(_) | AdapterConfig::AdaptionPrompt(_) | AdapterConfig::Prompt(_) => false,
    }
}

/// Takes what is no tensor of the method out of `tensors`, into `unexpected`; returns the names that what is left cannot do
/// without.
fn missing_halves(
    config: &AdapterConfig,
    tensors: &mut Tensors,
    unexpected: &mut Vec<String>,
) -> Vec<String> {
    let halves: &[&str] = match config {
        AdapterConfig::Lora(_) => &[".lora_A.weight", ".lora_B.weight"],
        AdapterConfig::AdaptionPrompt(_) => &[".adaption_prompt", ".adaption_gate"],
        AdapterConfig::Prefix(_) | AdapterConfig::Prompt(_) | AdapterConfig::PTuning(_) => {
            &[PROMPT_EMBEDDINGS]
        }
    };
    let place = |name: &str| halves.iter().find_map(|half| name.strip_suffix(half).map(str::to_owned));
    unexpected.extend(tensors.keys().filter(|name| place(name).is_none()).cloned());
    tensors.retain(|name, _| place(name).is_some());
    let mut places: BTreeSet<String> = tensors.keys().filter_map(|name| place(name)).collect();
    if halves == [PROMPT_EMBEDDINGS] {
        places.insert(String::new());
    }
    let needed = places.iter().flat_map(|place| halves.iter().map(move |half| format!("{place}{half}")));
    needed.filter(|name| !tensors.contains_key(name)).collect()
}

/// The head among the tensors of a file, if it holds one.
fn head_values(adapter: &str, mut tensors: Tensors) -> Result<Option<HeadValues>, Error> {
    let Some((path, weight)) =
        HEADS.into_iter().find_map(|path| Some((path, tensors.remove(&format!("{path}.weight"))?)))
    else {
        return match tensors.into_keys().next() {
            None => Ok(None),
            Some(name) => refuse(adapter, format!("{name} stands without the weight of its head")),
        };
    };
    let (shape, weight) = weight;
    let Ok(shape) = <[usize; 2]>::try_from(shape) else {
        return refuse(adapter, format!("{path}.weight is no matrix"));
    };
    let bias = tensors.remove(&format!("{path}.bias"));
    if (path == SCORE) == bias.is_some() || !tensors.is_empty() {
        let reason =
            "its head is neither LLaMA's (score.weight) nor BERT's (classifier.weight and classifier.bias)";
        return refuse(adapter, reason);
    }
    if bias.as_ref().is_some_and(|(bias, _)| bias.as_slice() != &shape[..1]) {
        return refuse(adapter, format!("{path}.bias does not have one value for each label"));
    }
    Ok(Some(HeadValues { weight: weight.reshape(shape), bias: bias.map(|(_, values)| values) }))
}

/// Name in the model of a tensor in PEFT's file, or `None` if it is no adapter's.
fn model_path(stored: &str) -> Option<String> {
    if stored == PROMPT_EMBEDDINGS {
        return Some(stored.to_owned());
    }
    let path = stored.strip_prefix("base_model.model.").or(stored.strip_prefix("base_model."))?;
    // Adapters of the bare decoder or encoder.
    Some(match path.split_once('.') {
        Some(("layers", _)) => format!("model.{path}"),
        Some(("encoder", _)) => format!("bert.{path}"),
        _ => path.to_owned(),
    })
}

fn read_tensors(adapter: &str, source: &dyn TensorSource, device: &Device) -> Result<Tensors, Error> {
    let mut tensors = Tensors::new();
    for stored in source.tensors() {
        let (dtype, bytes) = source.read(&stored.name)?;
        let values: usize = stored.shape.iter().product();
        let data = decode(dtype, bytes, &[values], DType::F32).ok_or_else(|| Error::NotFinite {
            what: format!("adapter {adapter}"),
            name: stored.name.clone(),
        })?;
        let row = Tensor::<1>::from_data(data, (device, DType::F32));
        tensors.insert(stored.name, (stored.shape, row));
    }
    Ok(tensors)
}

/// Puts an adapter on whose values are set next; virtual tokens and prefixes as plain tables.
fn attach_empty(
    model: &mut dyn Walk,
    name: &str,
    config: &AdapterConfig,
    device: &Device,
) -> Result<(), Error> {
    let table = |rows: usize, columns: usize| Tensor::<2>::zeros([rows, columns], (device, DType::F32));
    let (tokens, is_prefix) = match config {
        AdapterConfig::Lora(_) | AdapterConfig::AdaptionPrompt(_) => {
            stack::attach(model, name, config, 0, device)?;
            return Ok(());
        }
        AdapterConfig::Prefix(config) => (config.num_virtual_tokens, true),
        AdapterConfig::Prompt(config) => (config.num_virtual_tokens, false),
        AdapterConfig::PTuning(config) => (config.num_virtual_tokens, false),
    };
    let Some(shape) = decoder_shape(model) else {
        return config.needs_decoder(name);
    };
    let membership = stack::join(model, name)?;
    in_preamble(model, |preamble| {
        if is_prefix {
            let width = 2 * shape.num_layers * shape.key_width();
            preamble.prefixes.push(Prefix::table(membership, table(tokens, width)));
        } else {
            let tokens = VirtualTokens::table(membership, table(tokens, shape.hidden_size));
            preamble.virtual_tokens.push(tokens);
        }
    });
    Ok(())
}

/// Sets every tensor of `owner` from `tensors`, or, if they do not fit one another, none of them.
fn fill(model: &mut dyn Walk, owner: &Owner, what: &str, mut tensors: Tensors) -> Result<(), Error> {
    let (mut missing, mut misshapen, mut fitting) = (Vec::new(), Vec::new(), Vec::new());
    for_each_param(model, |whose, name, param| {
        if whose != owner {
            return;
        }
        match tensors.get(name) {
            None => missing.push(name.to_owned()),
            Some((shape, _)) if *shape != param.shape() => misshapen.push(Misshapen {
                name: name.to_owned(),
                expected: param.shape(),
                found: shape.clone(),
            }),
            Some(_) => fitting.push(name.to_owned()),
        }
    });
    let known = |name: &String| fitting.contains(name) || misshapen.iter().any(|m| m.name == *name);
    let unexpected: Vec<String> = tensors.keys().filter(|name| !known(name)).cloned().collect();
    if !(missing.is_empty() && unexpected.is_empty() && misshapen.is_empty()) {
        return Err(Error::Tensors { what: what.to_owned(), missing, unexpected, misshapen });
    }
    for_each_param(model, |whose, name, mut param| {
        if whose == owner
            && let Some((_, values)) = tensors.remove(name)
        {
            param.set_flat(values);
        }
    });
    Ok(())
}

/// Refuses an encoder that does not give the output PEFT's file holds: the two belong to different adapters.
fn check_encoder(
    model: &mut dyn Walk,
    name: &str,
    (shape, values): &(Vec<usize>, Tensor<1>),
) -> Result<(), Error> {
    let Some(output) = embeddings(model, name) else {
        return Ok(());
    };
    let apart = if output.dims().as_slice() == shape {
        let difference = output.inner().flatten::<1>(0, 1) - values.clone().inner();
        difference.abs().max().into_scalar::<f32>()
    } else {
        f32::INFINITY
    };
    if apart > ENCODER_TOLERANCE {
        let reason =
            "the encoder beside it does not give its prompt_embeddings: the files are of different adapters";
        return refuse(name, reason);
    }
    Ok(())
}

/// What PEFT's file holds of a prompt or prefix.
fn embeddings(model: &mut dyn Walk, name: &str) -> Option<Tensor<2>> {
    use super::part::Part;
    let mut found = None;
    in_preamble(model, |preamble| {
        let tokens = preamble.virtual_tokens.iter();
        let tokens = tokens.filter(|t| t.membership().adapter == name).map(VirtualTokens::embeddings);
        let prefixes = preamble.prefixes.iter();
        let prefixes = prefixes.filter(|p| p.membership().adapter == name).map(Prefix::embeddings);
        found = tokens.chain(prefixes).next();
    });
    found
}

/// The files of an adapter folder.
#[derive(Debug)]
pub struct AdapterFiles {
    /// Content of `adapter_config.json`.
    pub config_json: String,
    /// Content of `adapter_model.safetensors`.
    pub weights: Vec<u8>,
    /// The encoder behind the weights, if there is one: a file of ours, which PEFT ignores.
    pub encoder: Option<Vec<u8>>,
}

/// Writes adapter `name` of `model` as PEFT does; with [`TaskType::SequenceClassification`] the model's head goes with
/// it. `base` is what `base_model_name_or_path` will say.
///
/// # Errors
/// [`Error::Adapter`] if no such adapter is attached, [`Error::NotFinite`] if a value of it is not finite.
pub fn write(
    model: &mut dyn Walk,
    name: &str,
    config: impl Into<AdapterConfig>,
    task_type: TaskType,
    base: &str,
) -> Result<AdapterFiles, Error> {
    let config = config.into();
    let owner = Owner::Adapter(name.to_owned());
    let (mut own, mut head) = (Vec::new(), Vec::new());
    for_each_param(model, |whose, tensor, param| {
        let entry = (tensor.to_owned(), param.shape(), param.flat());
        if *whose == owner {
            own.push(entry);
        } else if *whose == Owner::Base && is_head(tensor) {
            head.push(entry);
        }
    });
    if own.is_empty() {
        return refuse(name, "not attached, so there is nothing to write");
    }
    let prompt = embeddings(model, name).map(Tensor::inner);
    let (under, mut weights, encoder) = match prompt {
        // PEFT wraps the model of a prompt once, not twice.
        Some(prompt) => {
            let shape = prompt.dims().to_vec();
            let is_encoded = own.iter().all(|(tensor, ..)| tensor != PROMPT_EMBEDDINGS);
            let stored = vec![(PROMPT_EMBEDDINGS.to_owned(), shape, prompt.flatten(0, 1))];
            ("base_model", stored, is_encoded.then_some(own))
        }
        None => {
            let prefixed = own
                .into_iter()
                .map(|(tensor, shape, values)| (format!("base_model.model.{tensor}"), shape, values));
            ("base_model.model", prefixed.collect(), None)
        }
    };
    if task_type == TaskType::SequenceClassification {
        let heads =
            head.into_iter().map(|(tensor, shape, values)| (format!("{under}.{tensor}"), shape, values));
        weights.extend(heads);
    }
    Ok(AdapterFiles {
        config_json: write_config(model, name, &config, task_type, base)?,
        weights: serialise(name, weights)?,
        encoder: encoder.map(|encoder| serialise(name, encoder)).transpose()?,
    })
}

fn serialise(adapter: &str, tensors: Vec<(String, Vec<usize>, Tensor<1>)>) -> Result<Vec<u8>, Error> {
    let data: Vec<(String, Vec<usize>, TensorData)> = tensors
        .into_iter()
        .map(|(name, shape, values)| (name, shape, values.into_data_as::<f32>()))
        .collect();
    for (tensor, _, values) in &data {
        let values = values.as_slice::<f32>().expect("asked for as f32");
        if !values.iter().all(|v| v.is_finite()) {
            return Err(Error::NotFinite { what: format!("adapter {adapter}"), name: tensor.clone() });
        }
    }
    let views = data.iter().map(|(name, shape, values)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), values.as_bytes());
        (name, view.expect("a tensor's bytes match its shape"))
    });
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    Ok(safetensors::serialize(views, Some(metadata)).expect("views were checked one by one"))
}

fn parse_config(keys: &Keys) -> Result<(AdapterConfig, Option<StatedShape>), Error> {
    let Some(peft_type) = keys.string("peft_type")? else {
        return refuse(keys.adapter(), "adapter_config.json has no peft_type");
    };
    Ok(match peft_type {
        "LORA" => (AdapterConfig::Lora(lora::parse(keys)?), None),
        "ADAPTION_PROMPT" => (AdapterConfig::AdaptionPrompt(adaption_prompt::parse(keys)?), None),
        "PREFIX_TUNING" => {
            let (config, shape) = prompt_learning::parse_prefix(keys)?;
            (AdapterConfig::Prefix(config), Some(shape))
        }
        "PROMPT_TUNING" => {
            let (config, shape) = prompt_learning::parse_prompt(keys)?;
            (AdapterConfig::Prompt(config), Some(shape))
        }
        "P_TUNING" => {
            let (config, shape) = prompt_learning::parse_p_tuning(keys)?;
            (AdapterConfig::PTuning(config), Some(shape))
        }
        _ => {
            let hint = "; \"LORA\", \"ADAPTION_PROMPT\", \"PREFIX_TUNING\", \"PROMPT_TUNING\" and \"P_TUNING\" are read";
            return Err(keys.unsupported("peft_type", hint));
        }
    })
}

fn write_config(
    model: &mut dyn Walk,
    name: &str,
    config: &AdapterConfig,
    task_type: TaskType,
    base: &str,
) -> Result<String, Error> {
    let decoder = decoder_shape(model);
    let decoder = || decoder.map_or_else(|| config.needs_decoder(name), Ok);
    let (peft_type, own) = match config {
        AdapterConfig::Lora(config) => ("LORA", lora::json(config, task_type)),
        AdapterConfig::AdaptionPrompt(config) => ("ADAPTION_PROMPT", adaption_prompt::json(config)),
        AdapterConfig::Prefix(config) => {
            let own = prompt_learning::prefix_json(config, &decoder()?, task_type);
            ("PREFIX_TUNING", own)
        }
        AdapterConfig::Prompt(config) => {
            let own = prompt_learning::prompt_json(config, &decoder()?, task_type);
            ("PROMPT_TUNING", own)
        }
        AdapterConfig::PTuning(config) => {
            let own = prompt_learning::p_tuning_json(config, &decoder()?, task_type);
            ("P_TUNING", own)
        }
    };
    Ok(config_json(peft_type, task_type, base, own))
}
