//! Reading `adapter_config.json`: every key is either read, known to change nothing, or refused by name; the rest warns.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::TaskType;
use crate::error::Error;
use crate::model::head::HEADS;
use crate::peft::config::refuse;

/// The keys of one file.
pub(super) struct Keys {
    adapter: String,
    values: Map<String, Value>,
    known: RefCell<BTreeSet<&'static str>>,
}

/// Keys of every method that change no number of a trained adapter.
const COMMON: [&str; 6] =
    ["auto_mapping", "base_model_name_or_path", "inference_mode", "peft_type", "peft_version", "revision"];

impl Keys {
    pub(super) fn parse(adapter: &str, bytes: &[u8]) -> Result<Self, Error> {
        let value: Value = match serde_json::from_slice(bytes) {
            Ok(value) => value,
            Err(e) => return refuse(adapter, format!("adapter_config.json: {e}")),
        };
        let Value::Object(values) = value else {
            return refuse(adapter, "adapter_config.json is not a JSON object");
        };
        let keys = Self { adapter: adapter.to_owned(), values, known: RefCell::default() };
        keys.ignore(&COMMON);
        Ok(keys)
    }

    /// Name of the adapter, for messages.
    pub(super) fn adapter(&self) -> &str {
        &self.adapter
    }

    /// A key's value, unless it is absent or null.
    pub(super) fn get(&self, key: &'static str) -> Option<&Value> {
        self.known.borrow_mut().insert(key);
        self.values.get(key).filter(|value| !value.is_null())
    }

    /// Refuses a value of `key`, saying what to do.
    pub(super) fn unsupported(&self, key: &str, hint: &str) -> Error {
        Error::UnsupportedAdapter {
            adapter: self.adapter.clone(),
            key: key.to_owned(),
            value: self.values.get(key).map_or_else(|| "(absent)".into(), Value::to_string),
            hint: hint.to_owned(),
        }
    }

    /// Keys that change no number.
    pub(super) fn ignore(&self, keys: &[&'static str]) {
        self.known.borrow_mut().extend(keys);
    }

    /// Keys that change the numbers and are not implemented: only what leaves them off is let through.
    pub(super) fn refuse(&self, keys: &[&'static str]) -> Result<(), Error> {
        for key in keys {
            let neutral = match self.get(key) {
                None | Some(Value::Bool(false)) => true,
                Some(Value::Array(items)) => items.is_empty(),
                Some(Value::Object(entries)) => entries.is_empty(),
                Some(_) => false,
            };
            if !neutral {
                return Err(self.unsupported(key, "; retrain the adapter without it"));
            }
        }
        Ok(())
    }

    fn wrong<T>(&self, key: &str, what: &str) -> Result<T, Error> {
        refuse(&self.adapter, format!("{key} of adapter_config.json is not {what}"))
    }

    pub(super) fn count(&self, key: &'static str) -> Result<Option<usize>, Error> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match value.as_u64().and_then(|n| usize::try_from(n).ok()) {
            Some(count) => Ok(Some(count)),
            None => self.wrong(key, "a whole number"),
        }
    }

    pub(super) fn required_count(&self, key: &'static str) -> Result<usize, Error> {
        match self.count(key)? {
            Some(count) => Ok(count),
            None => refuse(&self.adapter, format!("adapter_config.json has no {key}")),
        }
    }

    pub(super) fn number(&self, key: &'static str, default: f64) -> Result<f64, Error> {
        match self.get(key).map(Value::as_f64) {
            None => Ok(default),
            Some(Some(number)) => Ok(number),
            Some(None) => self.wrong(key, "a number"),
        }
    }

    pub(super) fn flag(&self, key: &'static str) -> Result<bool, Error> {
        match self.get(key).map(Value::as_bool) {
            None => Ok(false),
            Some(Some(flag)) => Ok(flag),
            Some(None) => self.wrong(key, "true or false"),
        }
    }

    pub(super) fn string(&self, key: &'static str) -> Result<Option<&str>, Error> {
        match self.get(key).map(Value::as_str) {
            None => Ok(None),
            Some(Some(text)) => Ok(Some(text)),
            Some(None) => self.wrong(key, "a string"),
        }
    }

    pub(super) fn strings(&self, key: &'static str) -> Result<Option<Vec<String>>, Error> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Array(items)) => {
                let names = items.iter().map(|item| item.as_str().map(str::to_owned));
                match names.collect::<Option<Vec<_>>>() {
                    Some(names) => Ok(Some(names)),
                    None => self.wrong(key, "a list of strings"),
                }
            }
            Some(_) => Err(self.unsupported(key, "; give a list of names, not a pattern")),
        }
    }

    pub(super) fn task_type(&self) -> Result<Option<TaskType>, Error> {
        match self.string("task_type")? {
            None => Ok(None),
            Some("CAUSAL_LM") => Ok(Some(TaskType::CausalLm)),
            Some("SEQ_CLS") => Ok(Some(TaskType::SequenceClassification)),
            Some(_) => Err(self.unsupported("task_type", "; \"CAUSAL_LM\" and \"SEQ_CLS\" are read")),
        }
    }

    /// Refuses modules beside the head: their weights would be left out.
    pub(super) fn check_modules_to_save(&self) -> Result<(), Error> {
        let saved = self.strings("modules_to_save")?.unwrap_or_default();
        if saved.iter().any(|module| !HEADS.contains(&module.as_str())) {
            let hint = "; only the classification head is read";
            return Err(self.unsupported("modules_to_save", hint));
        }
        Ok(())
    }

    /// A warning for each key nobody asked for: PEFT drops those too.
    pub(super) fn warnings(&self) -> Vec<String> {
        let known = self.known.borrow();
        let unknown = self.values.keys().filter(|key| !known.contains(key.as_str()));
        unknown
            .map(|key| {
                format!("adapter {}: unknown key {key} of adapter_config.json is ignored", self.adapter)
            })
            .collect()
    }
}

/// `own` and the keys every method has, sorted, with two blanks of indent, as PEFT writes them.
pub(super) fn config_json(peft_type: &str, task_type: TaskType, base: &str, own: Value) -> String {
    let mut value = json!({
        "auto_mapping": null,
        "base_model_name_or_path": base,
        "inference_mode": true,
        "peft_type": peft_type,
        "revision": null,
        "task_type": task_type.name(),
    });
    if let (Some(all), Value::Object(own)) = (value.as_object_mut(), own) {
        all.extend(own);
        all.sort_keys();
    }
    format!("{value:#}\n")
}

/// What `modules_to_save` says.
pub(super) fn modules_to_save(task_type: TaskType) -> Value {
    match task_type {
        TaskType::CausalLm => Value::Null,
        TaskType::SequenceClassification => json!(["classifier", "score"]),
    }
}
