//! The model card written with everything that is trained: `model_card.json` for programs, `model_card.md` for people.
//!
//! After Mitchell et al. 2019, "Model Cards for Model Reporting" (arXiv 1810.03993): what it is, what it was made from, how
//! good it is, what it is for and what not. It holds counts and hashes, and no note's text.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clinlora_core::task::Task;
use serde::Serialize;
use serde_json::{Value, json};

use crate::audit::Event;
use crate::error::Result;
use crate::files;
use crate::process;
use crate::recipe::{Method, Recipe};
use crate::training::checkpoint::{STATE, read_state};
use crate::training::run::{RECIPE, RunFolder, Summary};

const JSON: &str = "model_card.json";
const MARKDOWN: &str = "model_card.md";
/// Key of the card that is inherited from what a model stands on.
const CREDENTIALED: &str = "derived_from_credentialed_data";

const INTENDED_USE: &str = "Research on clinical text. Not for clinical use: not for diagnosis, treatment or triage of patients, \
     and not a medical device.";

const LIMITS: [&str; 4] = [
    "The metrics are of held-out notes of the training data's source; other hospitals, periods, languages and populations \
     were not measured.",
    "The best validated state was kept, so its validation metrics are optimistic; report those of a test set.",
    "A model trained on notes repeats what is in them: errors, habits of documentation and inequities of care.",
    "Probabilities are as good as their calibration on the data at hand; check it with `clinlora evaluate`.",
];

/// What a training command knows of what it trained.
pub(crate) struct Facts<'a> {
    pub(crate) recipe: &'a Recipe,
    /// The task of a downstream run.
    pub(crate) task: Option<&'a Task>,
    /// Empty for a base from scratch.
    pub(crate) base_fingerprint: &'a str,
    /// Notes trained on, and held out.
    pub(crate) notes: [usize; 2],
    /// Values trained.
    pub(crate) trainable: usize,
    pub(crate) summary: &'a Summary,
}

/// A card, in the order in which it is read.
#[derive(Debug, Serialize)]
struct Card {
    format: u32,
    name: String,
    description: String,
    intended_use: &'static str,
    derived_from_credentialed_data: bool,
    licence: Option<String>,
    base: Value,
    stack: Vec<Value>,
    data: Value,
    training: Value,
    metrics: Value,
    limits: [&'static str; 4],
    program: String,
    created: String,
}

/// Writes the cards of a finished run: into its folder, and into those of `adapters` that lie in it. The audit log gets
/// the hashes of what was made.
pub(crate) fn publish(facts: &Facts<'_>, run: &RunFolder, adapters: &[PathBuf]) -> Result<()> {
    let card = Card::new(facts, &run.path)?;
    let json = serde_json::to_string_pretty(&card).expect("a card serialises");
    let mut finished = Event::new("finished").detail("updates", facts.summary.updates);
    let inside = adapters.iter().filter(|folder| folder.starts_with(&run.path) && **folder != run.path);
    for folder in inside.chain([&run.path]) {
        files::write_atomic(&folder.join(MARKDOWN), card.markdown().as_bytes())?;
        files::write_atomic(&folder.join(JSON), json.as_bytes())?;
        for name in ["adapter_model.safetensors", "head.safetensors", "model.safetensors", JSON, RECIPE] {
            let path = folder.join(name);
            if path.is_file() {
                let shown = path.strip_prefix(&run.path).unwrap_or(&path).display().to_string();
                finished = finished.sha256(&shown, &files::sha256_of_file(&path)?);
            }
        }
    }
    finished.append_to(&run.path)
}

impl Card {
    fn new(facts: &Facts<'_>, run: &Path) -> Result<Self> {
        let Facts { recipe, task, base_fingerprint, notes, trainable, summary } = facts;
        let state = read_state(&run.join(STATE))?;
        let below =
            recipe.adapter.iter().filter_map(|adapter| adapter.path.as_ref()).chain(&recipe.base.path);
        let inherited = below.clone().any(|folder| is_credentialed(folder));
        let base = match (&recipe.base.path, &recipe.base.scratch) {
            (Some(path), _) => json!({"name": last(path), "fingerprint": base_fingerprint}),
            (None, scratch) => json!({"scratch": scratch}),
        };
        let trained = match recipe.method {
            Method::Full => "All weights",
            Method::Peft if recipe.adapter.iter().any(|adapter| adapter.trainable) => "Adapters",
            Method::Peft => "A head",
        };
        let purpose = task.map_or_else(
            || "by language modelling on clinical notes".to_owned(),
            |task| {
                format!("for the task {} ({}, {} labels)", task.title, word(&task.kind), task.labels.len())
            },
        );
        let stack = recipe.adapter.iter().map(|adapter| {
            let mut layer = serde_json::to_value(adapter).expect("an adapter of a recipe serialises");
            // A card travels; where things lay on one machine is of no use then.
            if let Some(path) = &adapter.path {
                layer["path"] = json!(last(path));
            }
            layer
        });
        let mut metrics = serde_json::Map::new();
        if let Some(valid) = summary.valid {
            metrics.insert("validation_loss".into(), json!(valid.loss));
            if let Some(auroc) = valid.auroc {
                metrics.insert("validation_auroc".into(), json!(auroc));
            }
            if task.is_none() {
                metrics.insert("validation_perplexity".into(), json!(valid.loss.exp()));
            }
        }
        Ok(Self {
            format: 1,
            name: last(run),
            description: format!("{trained} trained {purpose}."),
            intended_use: INTENDED_USE,
            derived_from_credentialed_data: recipe.data.credentialed || inherited,
            licence: recipe.licence.clone(),
            base,
            stack: stack.collect(),
            data: json!({
                "file": last(&recipe.data.train),
                "training_notes": notes[0],
                "validation_notes": notes[1],
                "max_tokens": recipe.max_tokens,
                "tokens_sha256": state.notes_sha256,
                "credentialed": recipe.data.credentialed,
            }),
            training: json!({
                "method": word(&recipe.method),
                "trained_values": trainable,
                "seed": recipe.seed,
                "updates": summary.updates,
                "kept_update": summary.kept_update,
                "hyper_parameters": recipe.training,
                "recipe_sha256": state.recipe_sha256,
            }),
            metrics: Value::Object(metrics),
            limits: LIMITS,
            program: format!("clinlora {}", env!("CARGO_PKG_VERSION")),
            created: process::now(),
        })
    }

    fn markdown(&self) -> String {
        let mut text = format!("# {}\n\n{}\n\n", self.name, self.description);
        let origin = if self.derived_from_credentialed_data {
            "**Derived from credentialed data.** It may reveal notes it was trained on: share it only as the data's use agreement \
             lets the data be shared."
        } else {
            "Not derived from credentialed data, as its recipes say."
        };
        let licence = self.licence.as_deref().unwrap_or(
            "not stated; whoever passes it on states one that the licences of the base and of the data allow",
        );
        // Writing to a string does not fail.
        let _ =
            writeln!(text, "{origin}\n\n## Intended use\n\n{}\n\n## Licence\n\n{licence}", self.intended_use);
        let sections = [
            ("Metrics", &self.metrics),
            ("Base", &self.base),
            ("Data", &self.data),
            ("Training", &self.training),
        ];
        for (title, facts) in sections {
            let _ = write!(text, "\n## {title}\n\n{}", table(facts));
        }
        for layer in &self.stack {
            let _ = write!(
                text,
                "\n### Adapter {}\n\n{}",
                layer["name"].as_str().unwrap_or_default(),
                table(layer)
            );
        }
        let limits: String = self.limits.iter().map(|limit| format!("- {limit}\n")).collect();
        let _ = writeln!(text, "\n## Limits\n\n{limits}\n{}, {}", self.program, self.created);
        text
    }
}

/// Rows of what is known.
fn table(facts: &Value) -> String {
    let mut rows = String::from("| | |\n|---|---|\n");
    add_rows(&mut rows, facts);
    rows
}

fn add_rows(rows: &mut String, facts: &Value) {
    for (key, value) in facts.as_object().into_iter().flatten() {
        let key = key.replace('_', " ");
        match value {
            Value::Object(_) => add_rows(rows, value),
            Value::Null => {}
            Value::String(text) => rows.push_str(&format!("| {key} | {} |\n", text.replace('|', "\\|"))),
            other => rows.push_str(&format!("| {key} | {other} |\n")),
        }
    }
}

/// The last part of a path: a name that says nothing of the machine.
fn last(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// An enum's value as recipes write it.
fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Whether the card in `folder` says that it is derived from credentialed data; a folder without a card says nothing.
fn is_credentialed(folder: &Path) -> bool {
    let card = std::fs::read(folder.join(JSON)).unwrap_or_default();
    serde_json::from_slice::<Value>(&card).is_ok_and(|card| card[CREDENTIALED] == true)
}
