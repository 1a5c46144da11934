//! What the worker says of a bundle: the manifest without tensors, as the page shows it.
//!
//! The worker has checked the manifest before it says anything, so this view is lenient: a field that is missing is empty, one
//! that is not known is passed over, and a table that does not fit its labels is left out rather than shown wrongly.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A bundle.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct About {
    /// Program that wrote it.
    pub generator: String,
    /// Hash of the base its adapters and tasks are for.
    pub base_sha256: String,
    /// The base, where the bundle has it.
    pub base: Option<BaseAbout>,
    /// Adapters.
    pub adapters: Vec<AdapterAbout>,
    /// Tasks, in the bundle's order.
    pub tasks: Vec<TaskAbout>,
    /// What is said of model and data.
    pub card: Card,
}

/// A packed base.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct BaseAbout {
    /// Bits of a weight.
    pub bits: u32,
    /// Hugging Face `config.json`.
    pub config: Value,
}

impl BaseAbout {
    /// A whole number of the configuration, such as `num_hidden_layers`.
    #[must_use]
    pub fn size(&self, key: &str) -> Option<u64> {
        self.config.get(key).and_then(Value::as_u64)
    }
}

/// A LoRA adapter.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct AdapterAbout {
    /// Name in the bundle.
    pub name: String,
    /// SHA-256 of its weights as they were trained.
    pub sha256: String,
    /// Rank.
    pub r: usize,
    /// Factor before `B·A`.
    pub scale: f64,
}

/// How many labels a note has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One of two; the second is the outcome.
    Binary,
    /// One of several.
    Multiclass,
    /// Any number of several.
    Multilabel,
    /// A kind this page does not know; shown as a plain table.
    #[default]
    #[serde(other)]
    Other,
}

/// A label.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct LabelAbout {
    /// As it stands in the data: `0`, `428`.
    pub name: String,
    /// In words; may be empty.
    pub description: String,
}

impl LabelAbout {
    /// The description, or the name where there is none.
    #[must_use]
    pub fn words(&self) -> &str {
        if self.description.trim().is_empty() { &self.name } else { &self.description }
    }
}

/// A task.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct TaskAbout {
    /// Short name: `MOR`.
    pub name: String,
    /// Name in words; may be empty.
    pub title: String,
    /// How many labels a note has.
    #[serde(deserialize_with = "or_default")]
    pub kind: Kind,
    /// Labels, in the order of the probabilities.
    pub labels: Vec<LabelAbout>,
    /// Notes are cut at this many tokens.
    pub max_tokens: usize,
    /// Adapters, from the bottom up.
    pub stack: Vec<String>,
    /// How many of the stack, from the bottom, are the clinical part.
    pub clinical: usize,
    /// How raw probabilities became calibrated ones.
    #[serde(deserialize_with = "or_default")]
    pub calibration: CalibrationAbout,
    /// What was measured on labelled notes.
    #[serde(deserialize_with = "or_default")]
    pub evidence: Option<EvidenceAbout>,
    /// How far the bundle lies from the model it was made from.
    #[serde(deserialize_with = "or_default")]
    pub agreement: Option<AgreementAbout>,
}

impl TaskAbout {
    /// Its title, or its name where it has none.
    #[must_use]
    pub fn heading(&self) -> &str {
        if self.title.trim().is_empty() { &self.name } else { &self.title }
    }

    /// Share of the validation notes with a label, where it was measured.
    #[must_use]
    pub fn base_rate(&self, label: usize) -> Option<f64> {
        self.evidence.as_ref()?.base_rates.get(label).copied()
    }

    /// Probability of a label above which it is predicted, where one was found.
    #[must_use]
    pub fn threshold(&self, label: usize) -> Option<f64> {
        self.evidence.as_ref()?.thresholds.get(label).copied().flatten()
    }
}

/// How raw probabilities became calibrated ones; the worker applies it, the page only names it.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct CalibrationAbout {
    /// `none`, `temperature` or `isotonic`.
    pub kind: String,
}

impl CalibrationAbout {
    /// A sentence for a reader.
    #[must_use]
    pub fn words(&self) -> &'static str {
        match self.kind.as_str() {
            "temperature" => "The model's confidence was adjusted with one number fitted on held-out notes.",
            "isotonic" => {
                "Probabilities were fitted to what happened on held-out notes (isotonic regression)."
            }
            _ => "Probabilities are shown as the model gives them; they were not fitted to outcomes.",
        }
    }
}

/// What labelled notes say of a task.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct EvidenceAbout {
    /// Share of the validation notes with each label.
    pub base_rates: Vec<f64>,
    /// Probability of each label above which it is predicted; none for a label no validation note has.
    pub thresholds: Vec<Option<f64>>,
    /// Split of the tables below: `test` or `valid`.
    pub split: String,
    /// Notes of that split.
    pub notes: usize,
    /// Calibrated probabilities set against what happened.
    pub reliability: Vec<ReliabilityAbout>,
    /// Thresholds of the operating points, rising.
    pub grid: Vec<f64>,
    /// Counts at each threshold of the grid, by label.
    pub operating: Vec<CountsAbout>,
}

/// Probabilities of one tenth, and how often they came true.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct ReliabilityAbout {
    /// Mean probability.
    pub predicted: f64,
    /// Share that came true.
    pub observed: f64,
    /// How many probabilities.
    pub count: u64,
}

/// Decisions on held-out notes at each threshold of the grid.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct CountsAbout {
    /// Place of the label in the task.
    pub label: usize,
    /// Notes that have it.
    pub positives: u64,
    /// Notes that have it not.
    pub negatives: u64,
    /// Notes rightly alerted on at each threshold.
    pub true_positives: Vec<u64>,
    /// Notes wrongly alerted on at each threshold.
    pub false_positives: Vec<u64>,
}

/// The packed model beside the one it was made from, on the same notes.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct AgreementAbout {
    /// Where the notes are from.
    pub sample: String,
    /// How many notes.
    pub notes: usize,
    /// Largest difference of a probability.
    pub max_difference: f64,
    /// Mean difference of a probability.
    pub mean_difference: f64,
    /// AUROC of the unpacked model on them.
    pub auroc_dense: Option<f64>,
    /// AUROC of the bundle on them.
    pub auroc_packed: Option<f64>,
}

impl AgreementAbout {
    /// The badge: `largest difference to the full model 2.3 points on 74 test notes`.
    #[must_use]
    pub fn words(&self) -> String {
        let sample = match self.sample.as_str() {
            "random token ids" => "made-up inputs",
            "test" => "test notes",
            "valid" => "validation notes",
            _ => "notes",
        };
        let points = 100.0 * self.max_difference;
        format!("largest difference to the full model {points:.1} points on {} {sample}", self.notes)
    }
}

/// What is said of a model.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Card {
    /// Name of the model.
    pub name: String,
    /// Licence of weights and adapters.
    pub licence: String,
    /// Who may use it, for what.
    pub intended_use: String,
    /// What it must not be used for, and where it fails.
    pub limitations: String,
    /// What it was trained on.
    pub training_data: String,
    /// Who answers for it.
    pub contact: String,
    /// Fingerprint of the checkpoint before packing.
    pub base_fingerprint: String,
}

impl Card {
    /// Its fields with their titles, in the order shown; empty ones too, so that what is not stated is seen.
    #[must_use]
    pub fn rows(&self) -> [(&'static str, &str); 7] {
        [
            ("Model", &self.name),
            ("Intended use", &self.intended_use),
            ("Limitations", &self.limitations),
            ("Training data", &self.training_data),
            ("Licence", &self.licence),
            ("Contact", &self.contact),
            ("Checkpoint before packing", &self.base_fingerprint),
        ]
    }
}

impl About {
    /// The view of what the worker said; empty where it is no manifest.
    #[must_use]
    pub fn read(about: &Value) -> Self {
        Self::deserialize(about).unwrap_or_default()
    }

    /// The task of this name.
    #[must_use]
    pub fn task(&self, name: &str) -> Option<&TaskAbout> {
        self.tasks.iter().find(|task| task.name == name)
    }
}

/// What can be read, and nothing where it cannot: one damaged table must not hide the others.
fn or_default<'de, D: Deserializer<'de>, T: Default + serde::de::DeserializeOwned>(
    from: D,
) -> Result<T, D::Error> {
    let value = Value::deserialize(from)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn manifest() -> Value {
        json!({
            "format": "clinlora-bundle", "version": 1, "generator": "clinlora 0.1.0", "base_sha256": "d0a1",
            "base": {"bits": 4, "config": {"num_hidden_layers": 2}, "tokenizer": {"file": "t", "bytes": 1, "sha256": "b"}},
            "adapters": [{"name": "clinical", "sha256": "0f57", "r": 16, "scale": 2.0}],
            "tasks": [{
                "name": "PMV", "title": "Prolonged mechanical ventilation", "kind": "binary",
                "labels": [{"name": "0", "description": "7 days at most"}, {"name": "1", "description": ""}],
                "max_tokens": 128, "stack": ["clinical"], "clinical": 1,
                "calibration": {"kind": "isotonic", "curves": [[[0.1, 0.2]], []]},
                "evidence": {
                    "base_rates": [0.625, 0.375], "thresholds": [0.44, null], "split": "test", "notes": 74,
                    "reliability": [{"predicted": 0.36, "observed": 0.33, "count": 21}], "grid": [0.1],
                    "operating": [{"label": 1, "positives": 35, "negatives": 39, "true_positives": [35], "false_positives": [39]}]
                },
                "agreement": {"sample": "test", "notes": 74, "max_difference": 0.0229, "mean_difference": 0.006,
                    "auroc_dense": 0.6, "auroc_packed": null}
            }],
            "card": {"name": "base", "licence": "MIT"}
        })
    }

    #[test]
    fn a_manifest_is_read_whole() {
        let about = About::read(&manifest());
        assert_eq!(about.base.as_ref().and_then(|base| base.size("num_hidden_layers")), Some(2));
        assert_eq!((about.adapters[0].r, about.card.licence.as_str()), (16, "MIT"));
        let task = about.task("PMV").unwrap();
        assert_eq!((task.kind, task.heading()), (Kind::Binary, "Prolonged mechanical ventilation"));
        assert_eq!(
            (task.base_rate(1), task.threshold(0), task.threshold(1)),
            (Some(0.375), Some(0.44), None)
        );
        assert_eq!((task.labels[0].words(), task.labels[1].words()), ("7 days at most", "1"));
        assert!(task.calibration.words().contains("isotonic"));
        let badge = task.agreement.as_ref().unwrap().words();
        assert_eq!(badge, "largest difference to the full model 2.3 points on 74 test notes");
    }

    #[test]
    fn what_is_missing_or_damaged_hides_nothing_else() {
        let mut value = manifest();
        value["tasks"][0]["evidence"]["grid"] = json!("no list");
        value["tasks"][0]["kind"] = json!("ordinal");
        value["tasks"][0]["agreement"] = Value::Null;
        let about = About::read(&value);
        let task = &about.tasks[0];
        assert_eq!((task.kind, &task.evidence, &task.agreement), (Kind::Other, &None, &None));
        assert_eq!((task.labels.len(), task.base_rate(0)), (2, None));
        assert_eq!(About::read(&Value::Null), About::default());
        assert_eq!(About::read(&json!({"tasks": [{}]})).tasks[0].heading(), "");
    }
}
