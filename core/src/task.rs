//! Task files: what is predicted, from which column, over which labels.

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// How many labels a note has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskKind {
    /// One of two; the second is the positive class.
    Binary,
    /// One of several.
    Multiclass,
    /// Any number of several.
    Multilabel,
}

/// Weighting of classes in the training loss of single-label tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassWeighting {
    /// Every note weighs the same.
    #[default]
    None,
    /// A note weighs `n / (classes · count of its class)`.
    Balanced,
}

/// Fitting of probabilities on the validation split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Calibration {
    /// Probabilities as the model gives them.
    #[default]
    None,
    /// Logits divided by one fitted temperature.
    Temperature,
    /// A fitted monotone step function for each label.
    Isotonic,
}

/// One label of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// As it stands in the data.
    pub name: String,
    /// In words.
    #[serde(default)]
    pub description: String,
}

/// A task: columns of a data set and the labels they speak of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Short name, used in file names.
    pub name: String,
    /// Name in words.
    #[serde(default)]
    pub title: String,
    /// How many labels a note has.
    pub kind: TaskKind,
    /// Column that identifies a note.
    #[serde(default = "id_column")]
    pub id_column: String,
    /// Column of the text.
    #[serde(default = "text_column")]
    pub text_column: String,
    /// Column of the label; several are joined by commas.
    #[serde(default = "label_column")]
    pub label_column: String,
    /// Weighting of classes in training.
    #[serde(default)]
    pub class_weighting: ClassWeighting,
    /// Fitting of probabilities.
    #[serde(default)]
    pub calibration: Calibration,
    /// A CSV with columns `name` and `description`, beside the task file, instead of `labels`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels_file: Option<String>,
    /// The labels in class order.
    #[serde(default)]
    pub labels: Vec<Label>,
}

fn id_column() -> String {
    "id".to_owned()
}

fn text_column() -> String {
    "text".to_owned()
}

fn label_column() -> String {
    "label".to_owned()
}

impl Task {
    /// Reads a task file. `labels_file`, if it names one, is handed to `read_labels`, which returns the labels.
    ///
    /// # Errors
    /// [`Error::Task`] with line and column for what is not TOML or not a task; too few, repeated or empty labels.
    pub fn from_toml(
        text: &str,
        read_labels: impl FnOnce(&str) -> Result<Vec<Label>, Error>,
    ) -> Result<Self, Error> {
        // Without the snippet of TOML's own message: a file given by mistake may hold notes.
        let mut task: Self = toml::from_str(text).map_err(|e| {
            let at = e.span().map_or(0, |span| span.start);
            let line = 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
            refuse(format!("line {line}: {}", e.message()))
        })?;
        if let Some(file) = &task.labels_file {
            if !task.labels.is_empty() {
                return Err(refuse("give either labels or labels_file, not both"));
            }
            task.labels = read_labels(file)?;
        }
        task.validate()?;
        Ok(task)
    }

    fn validate(&self) -> Result<(), Error> {
        let fits_a_file_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if self.name.is_empty() || !self.name.chars().all(fits_a_file_name) {
            return Err(refuse("name must be letters, digits, '-' and '_'"));
        }
        let enough = match self.kind {
            TaskKind::Binary => self.labels.len() == 2,
            TaskKind::Multiclass => self.labels.len() >= 2,
            TaskKind::Multilabel => !self.labels.is_empty(),
        };
        if !enough {
            return Err(refuse(format!(
                "a {} task has {} labels; it needs {}",
                match self.kind {
                    TaskKind::Binary => "binary",
                    TaskKind::Multiclass => "multiclass",
                    TaskKind::Multilabel => "multilabel",
                },
                self.labels.len(),
                match self.kind {
                    TaskKind::Binary => "exactly 2, the positive class second",
                    TaskKind::Multiclass => "at least 2",
                    TaskKind::Multilabel => "at least 1",
                }
            )));
        }
        if self.class_weighting == ClassWeighting::Balanced && self.kind == TaskKind::Multilabel {
            return Err(refuse("class_weighting = \"balanced\" is for tasks with one label per note"));
        }
        let mut seen = std::collections::BTreeSet::new();
        for label in &self.labels {
            if label.name.trim().is_empty() || label.name.contains(',') {
                return Err(refuse("a label's name must not be empty or hold a comma"));
            }
            if !seen.insert(&label.name) {
                return Err(refuse(format!("label \"{}\" stands twice", label.name)));
            }
        }
        Ok(())
    }

    /// Row of 0 and 1 over the labels for the content of the label column.
    ///
    /// # Errors
    /// [`Error::UnknownLabel`]; [`Error::Task`] for a single-label note with no label or several.
    pub fn target(&self, cell: &str) -> Result<Vec<f32>, Error> {
        let mut row = vec![0.0; self.labels.len()];
        let names: Vec<&str> = match self.kind {
            TaskKind::Multilabel => cell.split(',').map(str::trim).filter(|name| !name.is_empty()).collect(),
            TaskKind::Binary | TaskKind::Multiclass => vec![cell.trim()],
        };
        for name in names {
            let class = self
                .labels
                .iter()
                .position(|label| label.name == name)
                .ok_or_else(|| Error::UnknownLabel { task: self.name.clone(), label: name.to_owned() })?;
            row[class] = 1.0;
        }
        Ok(row)
    }
}

fn refuse(reason: impl Into<String>) -> Error {
    Error::Task { reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODES: &str = "name = \"codes\"\nkind = \"multilabel\"\n\
        labels = [{ name = \"401\" }, { name = \"V45\" }, { name = \"E88\", description = \"x\" }]\n";

    fn read(text: &str) -> Result<Task, Error> {
        Task::from_toml(text, |_| Ok(Vec::new()))
    }

    #[test]
    fn targets_follow_the_order_of_the_labels() {
        let task = read(CODES).expect("a task");
        assert_eq!(task.target("E88, 401").expect("known labels"), [1.0, 0.0, 1.0]);
        assert_eq!(task.target("").expect("no label is a truth too"), [0.0; 3]);
        assert_eq!(
            task.target("402").expect_err("unknown"),
            Error::UnknownLabel { task: "codes".into(), label: "402".into() }
        );
    }

    #[test]
    fn a_task_that_cannot_be_one_is_refused_with_the_reason() {
        for (from, to, named) in [
            ("multilabel", "binary", "exactly 2"),
            ("V45", "401", "twice"),
            ("kind", "knd", "line 2"),
            ("\"codes\"", "\"a/b\"", "name"),
        ] {
            let error = read(&CODES.replacen(from, to, 1)).expect_err(named).to_string();
            assert!(error.contains(named) || error.contains("unknown field"), "{named}: {error}");
        }
    }
}
