//! Adapters as Hugging Face PEFT keeps them: `adapter_config.json` beside `adapter_model.safetensors`.
//!
//! Bytes in, bytes out; files are the caller's. Every key of the configuration that changes the numbers is honoured
//! or refused by name; keys PEFT itself would drop are returned as warnings.

use std::collections::{BTreeMap, HashMap};

use burn::tensor::{DType, Device, Tensor, TensorData};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};

use super::lora::LoraConfig;
use super::stack::{self, Factors};
use crate::error::{Error, Misshapen};
use crate::model::head::{SCORE, set_head_weight};
use crate::params::{Walk, for_each_site};
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

/// An adapter folder, read and checked, not yet on a model.
#[derive(Debug)]
pub struct StoredAdapter {
    /// Name it will have in the stack.
    pub name: String,
    /// Hyper-parameters.
    pub config: LoraConfig,
    /// What it was trained for, if the file says.
    pub task_type: Option<TaskType>,
    /// Keys that were ignored, as PEFT ignores them.
    pub warnings: Vec<String>,
    factors: BTreeMap<String, Factors>,
    head: Option<Tensor<2>>,
}

/// Keys read, or known not to change the numbers of a trained adapter.
const HARMLESS_KEYS: [&str; 25] = [
    "alpha_pattern",
    "auto_mapping",
    "base_model_name_or_path",
    "bias",
    "corda_config",
    "ensure_weight_tying",
    "eva_config",
    "fan_in_fan_out",
    "inference_mode",
    "init_lora_weights",
    "loftq_config",
    "lora_alpha",
    "lora_dropout",
    "lora_ga_config",
    "megatron_core",
    "modules_to_save",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "r",
    "rank_pattern",
    "revision",
    "target_modules",
    "task_type",
    "use_rslora",
];

/// Keys that change the numbers and are not implemented: any value but these neutral ones is refused.
const REFUSED_KEYS: [&str; 18] = [
    "alora_invocation_tokens",
    "arrow_config",
    "exclude_modules",
    "kasa_config",
    "layer_replication",
    "layers_pattern",
    "layers_to_transform",
    "lora_bias",
    "megatron_config",
    "monteclora_config",
    "runtime_config",
    "target_parameters",
    "trainable_token_indices",
    "use_bdlora",
    "use_dora",
    "use_qalora",
    "velora_config",
    "vblora_config",
];

impl StoredAdapter {
    /// Reads a folder's two files; `name` is what the adapter will be called, in the stack and in messages.
    ///
    /// # Errors
    /// [`Error::UnsupportedAdapter`] naming the key; [`Error::Adapter`] and [`Error::Container`] for damaged files;
    /// [`Error::Tensors`] for names that are no LoRA's; [`Error::NotFinite`] for NaN in the adapter.
    pub fn read(
        name: &str,
        config_json: &[u8],
        weights: &dyn TensorSource,
        device: &Device,
    ) -> Result<Self, Error> {
        let (config, task_type, warnings) = parse_config(name, config_json)?;
        let (mut halves_a, mut halves_b) = (BTreeMap::new(), BTreeMap::new());
        let (mut unexpected, mut misshapen) = (Vec::new(), Vec::new());
        let mut head = None;
        for stored in weights.tensors() {
            let path = stored
                .name
                .strip_prefix("base_model.model.")
                .or(stored.name.strip_prefix("base_model."));
            let Some(path) = path else {
                unexpected.push(stored.name);
                continue;
            };
            let &[rows, columns] = stored.shape.as_slice() else {
                misshapen.push(Misshapen {
                    name: stored.name,
                    expected: vec![0, 0],
                    found: stored.shape,
                });
                continue;
            };
            let (dtype, bytes) = weights.read(&stored.name)?;
            let data =
                decode(dtype, bytes, &[rows, columns], DType::F32).ok_or_else(|| Error::NotFinite {
                    what: format!("adapter {name}"),
                    name: stored.name.clone(),
                })?;
            let tensor = Tensor::<2>::from_data(data, (device, DType::F32));
            let site = |path: &str| {
                if path.starts_with("layers.") {
                    format!("model.{path}")
                } else {
                    path.to_owned()
                }
            };
            if let Some(path) = path.strip_suffix(".lora_A.weight") {
                halves_a.insert(site(path), tensor);
            } else if let Some(path) = path.strip_suffix(".lora_B.weight") {
                halves_b.insert(site(path), tensor);
            } else if path == "score.weight" {
                head = Some(tensor);
            } else {
                unexpected.push(stored.name);
            }
        }
        let (factors, missing) = pair(halves_a, halves_b);
        if !(missing.is_empty() && unexpected.is_empty() && misshapen.is_empty()) {
            let what = format!("adapter {name}");
            return Err(Error::Tensors {
                what,
                missing,
                unexpected,
                misshapen,
            });
        }
        Ok(Self {
            name: name.to_owned(),
            config,
            task_type,
            warnings,
            factors,
            head,
        })
    }

    /// Number of labels of the head in the folder, if there is one.
    #[must_use]
    pub fn num_labels(&self) -> Option<usize> {
        self.head.as_ref().map(|head| head.dims()[0])
    }

    /// The head in the folder, `[labels, D]`, if there is one.
    #[must_use]
    pub fn head(&self) -> Option<&Tensor<2>> {
        self.head.as_ref()
    }

    /// Values in the factors, the head not counted.
    #[must_use]
    pub fn num_values(&self) -> usize {
        self.factors
            .values()
            .map(|(a, b)| a.shape().num_elements() + b.shape().num_elements())
            .sum()
    }

    /// Forgets the head in the folder.
    pub fn drop_head(&mut self) {
        self.head = None;
    }

    /// Puts the adapter on `model`, active and trainable, and its head, if both have one, in the model's place for it.
    ///
    /// # Errors
    /// As [`stack::attach_loaded`]; [`Error::Tensors`] if the head has another shape than the model's.
    pub fn attach(self, model: &mut dyn Walk) -> Result<(), Error> {
        if let Some(head) = &self.head {
            set_head_weight(model, head)?;
        }
        stack::attach_loaded(model, &self.name, &self.config, self.factors)?;
        Ok(())
    }
}

/// The two files of a PEFT folder.
#[derive(Debug)]
pub struct AdapterFiles {
    /// Content of `adapter_config.json`.
    pub config_json: String,
    /// Content of `adapter_model.safetensors`.
    pub weights: Vec<u8>,
}

/// Writes adapter `name` of `model` as PEFT does; with [`TaskType::SequenceClassification`] the model's head goes with
/// it. `base` is what `base_model_name_or_path` will say.
///
/// # Errors
/// [`Error::Adapter`] if no such adapter is attached, [`Error::NotFinite`] if a value of it is not finite.
pub fn write(
    model: &mut dyn Walk,
    name: &str,
    config: &LoraConfig,
    task_type: TaskType,
    base: &str,
) -> Result<AdapterFiles, Error> {
    let mut tensors: Vec<(String, Tensor<2>)> = Vec::new();
    for_each_site(model, |path, linear| {
        for lora in linear.deltas().iter().filter(|lora| lora.adapter() == name) {
            tensors.push((format!("base_model.model.{path}.lora_A.weight"), lora.a.val()));
            tensors.push((format!("base_model.model.{path}.lora_B.weight"), lora.b.val()));
        }
        if path == SCORE && task_type == TaskType::SequenceClassification {
            tensors.push((format!("base_model.model.{path}.weight"), linear.weight.val()));
        }
    });
    let has_head_only = task_type == TaskType::SequenceClassification && config.target_modules.is_empty();
    if !has_head_only
        && !tensors
            .iter()
            .any(|(tensor, _)| tensor.ends_with(".lora_A.weight"))
    {
        let reason = "not attached, so there is nothing to write".to_owned();
        return Err(Error::Adapter {
            adapter: name.to_owned(),
            reason,
        });
    }
    let data: Vec<(String, TensorData)> = tensors
        .into_iter()
        .map(|(name, t)| (name, t.cast(DType::F32).into_data()))
        .collect();
    for (tensor, values) in &data {
        let values = values.as_slice::<f32>().expect("cast to f32 above");
        if !values.iter().all(|v| v.is_finite()) {
            return Err(Error::NotFinite {
                what: format!("adapter {name}"),
                name: tensor.clone(),
            });
        }
    }
    let views = data.iter().map(|(name, data)| {
        let view = TensorView::new(Dtype::F32, data.shape().to_vec(), data.as_bytes());
        (name, view.expect("a tensor's bytes match its shape"))
    });
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let weights = safetensors::serialize(views, Some(metadata)).expect("views were checked one by one");
    Ok(AdapterFiles {
        config_json: config_json(config, task_type, base),
        weights,
    })
}

fn pair(
    mut a: BTreeMap<String, Tensor<2>>,
    b: BTreeMap<String, Tensor<2>>,
) -> (BTreeMap<String, Factors>, Vec<String>) {
    let mut missing = Vec::new();
    let mut factors = BTreeMap::new();
    for (path, b) in b {
        match a.remove(&path) {
            Some(a) => {
                factors.insert(path, (a, b));
            }
            None => missing.push(format!("{path}.lora_A.weight")),
        }
    }
    missing.extend(a.into_keys().map(|path| format!("{path}.lora_B.weight")));
    (factors, missing)
}

fn parse_config(name: &str, bytes: &[u8]) -> Result<(LoraConfig, Option<TaskType>, Vec<String>), Error> {
    let refuse = |reason: String| Error::Adapter {
        adapter: name.to_owned(),
        reason,
    };
    let value: Value =
        serde_json::from_slice(bytes).map_err(|e| refuse(format!("adapter_config.json: {e}")))?;
    let Value::Object(keys) = value else {
        return Err(refuse("adapter_config.json is not a JSON object".into()));
    };
    let unsupported = |key: &str, hint: &str| Error::UnsupportedAdapter {
        adapter: name.to_owned(),
        key: key.to_owned(),
        value: keys.get(key).map_or_else(|| "(absent)".into(), Value::to_string),
        hint: hint.to_owned(),
    };
    let neutral = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        _ => false,
    };
    match keys.get("peft_type").and_then(Value::as_str) {
        Some("LORA") => {}
        Some(_) => return Err(unsupported("peft_type", "; this version reads \"LORA\"")),
        None => return Err(refuse("adapter_config.json has no peft_type".into())),
    }
    for key in REFUSED_KEYS.iter().chain(&["rank_pattern", "alpha_pattern"]) {
        if keys.get(*key).is_some_and(|value| !neutral(value)) {
            return Err(unsupported(key, "; retrain the adapter without it"));
        }
    }
    if keys.get("bias").is_some_and(|bias| bias.as_str() != Some("none")) {
        return Err(unsupported("bias", "; only \"none\" is read"));
    }
    if keys
        .get("fan_in_fan_out")
        .is_some_and(|v| v.as_bool() == Some(true))
    {
        return Err(unsupported(
            "fan_in_fan_out",
            "; the LLaMA family has no such layers",
        ));
    }
    let init_changes_base = keys
        .get("init_lora_weights")
        .and_then(Value::as_str)
        .is_some_and(|init| !matches!(init, "gaussian" | "eva" | "orthogonal"));
    if init_changes_base {
        return Err(unsupported(
            "init_lora_weights",
            "; it belongs to a base whose weights were changed",
        ));
    }
    let number = |key: &str, default: f64| match keys.get(key) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => value
            .as_f64()
            .ok_or_else(|| refuse(format!("{key} is not a number"))),
    };
    let strings = |key: &str| match keys.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect::<Option<Vec<_>>>()
            .map(Some)
            .ok_or_else(|| refuse(format!("{key} holds something that is not a string"))),
        Some(_) => Err(unsupported(key, "; give a list of names, not a pattern")),
    };
    let saved = strings("modules_to_save")?.unwrap_or_default();
    if saved
        .iter()
        .any(|module| !matches!(module.as_str(), "score" | "classifier"))
    {
        return Err(unsupported(
            "modules_to_save",
            "; only the classification head is read",
        ));
    }
    let config = LoraConfig {
        r: match keys.get("r") {
            None => 8, // PEFT's default
            Some(r) => r
                .as_u64()
                .and_then(|r| usize::try_from(r).ok())
                .ok_or_else(|| refuse("r is not a whole number".into()))?,
        },
        alpha: number("lora_alpha", 8.0)?,
        dropout_prob: number("lora_dropout", 0.0)?,
        target_modules: strings("target_modules")?.unwrap_or_else(|| vec!["q_proj".into(), "v_proj".into()]),
        use_rslora: keys.get("use_rslora").and_then(Value::as_bool).unwrap_or(false),
    };
    config.validate(name)?;
    let task_type = match keys.get("task_type").and_then(Value::as_str) {
        None => None,
        Some("CAUSAL_LM") => Some(TaskType::CausalLm),
        Some("SEQ_CLS") => Some(TaskType::SequenceClassification),
        Some(_) => {
            return Err(unsupported(
                "task_type",
                "; \"CAUSAL_LM\" and \"SEQ_CLS\" are read",
            ));
        }
    };
    let known = |key: &str| HARMLESS_KEYS.contains(&key) || REFUSED_KEYS.contains(&key);
    let warnings = keys
        .keys()
        .filter(|key| !known(key))
        .map(|key| format!("adapter {name}: unknown key {key} of adapter_config.json is ignored"))
        .collect();
    Ok((config, task_type, warnings))
}

/// Every key PEFT 0.17 writes, sorted, with two blanks of indent.
fn config_json(config: &LoraConfig, task_type: TaskType, base: &str) -> String {
    let modules_to_save = match task_type {
        TaskType::CausalLm => Value::Null,
        TaskType::SequenceClassification => json!(["classifier", "score"]),
    };
    let whole = config.alpha.fract() == 0.0 && config.alpha.abs() < 1e15;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "checked to be a small whole number"
    )]
    let alpha = if whole {
        json!(config.alpha as i64)
    } else {
        json!(config.alpha)
    };
    let value = json!({
        "alpha_pattern": {},
        "auto_mapping": null,
        "base_model_name_or_path": base,
        "bias": "none",
        "corda_config": null,
        "eva_config": null,
        "exclude_modules": null,
        "fan_in_fan_out": false,
        "inference_mode": true,
        "init_lora_weights": true,
        "layer_replication": null,
        "layers_pattern": null,
        "layers_to_transform": null,
        "loftq_config": {},
        "lora_alpha": alpha,
        "lora_bias": false,
        "lora_dropout": config.dropout_prob,
        "megatron_config": null,
        "megatron_core": "megatron.core",
        "modules_to_save": modules_to_save,
        "peft_type": "LORA",
        "qalora_group_size": 16,
        "r": config.r,
        "rank_pattern": {},
        "revision": null,
        "target_modules": config.target_modules,
        "target_parameters": null,
        "task_type": task_type.name(),
        "trainable_token_indices": null,
        "use_dora": false,
        "use_qalora": false,
        "use_rslora": config.use_rslora,
    });
    format!("{value:#}\n")
}
