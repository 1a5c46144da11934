//! Tasks of a bundle: labels, head, calibration, and what labelled notes say of them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::manifest::{BundleTensor, Format, refuse, unique};
use crate::error::Error;
use crate::probability::Calibrator;
use crate::task::{Label, TaskKind};

/// A task of a bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleTask {
    /// Short name.
    pub name: String,
    /// Name in words.
    #[serde(default)]
    pub title: String,
    /// How many labels a note has.
    pub kind: TaskKind,
    /// Labels in class order.
    pub labels: Vec<Label>,
    /// Notes are cut at this many tokens.
    pub max_tokens: usize,
    /// Adapters, from the bottom up.
    pub stack: Vec<String>,
    /// How many of the stack, from the bottom, are the clinical part: what stays when only clinical adapters are on.
    pub clinical: usize,
    /// Classification head, f16, `[labels, D]`.
    pub head: BundleTensor,
    /// From raw to calibrated probabilities.
    #[serde(default)]
    pub calibration: Calibrator,
    /// What was measured on labelled notes; absent where the exporter had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// How far this bundle's probabilities lie from the unpacked model's.
    pub agreement: Agreement,
}

/// What labelled notes say of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// Share of the validation notes with each label.
    pub base_rates: Vec<f64>,
    /// Probability of each label above which it is predicted: where F1 is highest on the validation notes; null for a label
    /// none of them has.
    pub thresholds: Vec<Option<f64>>,
    /// Split of the tables below: `test`, or `valid` where no test split was given.
    pub split: String,
    /// Notes of that split.
    pub notes: usize,
    /// Calibrated probabilities set against what happened.
    pub reliability: Vec<ReliabilityBin>,
    /// Grid of the operating points.
    pub grid: Vec<f64>,
    /// Counts at each threshold of the grid, by label: of the positive label alone in a binary task.
    pub operating: Vec<OperatingPoints>,
}

/// Probabilities of one tenth, and how often they came true.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReliabilityBin {
    /// Mean probability.
    pub predicted: f64,
    /// Share that came true.
    pub observed: f64,
    /// How many probabilities.
    pub count: u64,
}

/// Decisions on held-out notes at each threshold of a grid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatingPoints {
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

/// One threshold in the terms of a test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OperatingPoint {
    /// Share of the positives alerted on; none without positives.
    pub sensitivity: Option<f64>,
    /// Share of the negatives left alone; none without negatives.
    pub specificity: Option<f64>,
    /// Share of the alerts that are right; none without alerts.
    pub ppv: Option<f64>,
    /// Alerts on a hundred notes.
    pub alerts_per_100: f64,
}

impl OperatingPoints {
    /// The point at one place of the grid.
    ///
    /// # Panics
    /// If the grid has no such place.
    #[must_use]
    pub fn at(&self, place: usize) -> OperatingPoint {
        let (right, wrong) = (self.true_positives[place], self.false_positives[place]);
        #[expect(clippy::cast_precision_loss, reason = "notes are far fewer than 2^52")]
        let share = |part: u64, of: u64| (of > 0).then(|| part as f64 / of as f64);
        OperatingPoint {
            sensitivity: share(right, self.positives),
            specificity: share(self.negatives - wrong, self.negatives),
            ppv: share(right, right + wrong),
            alerts_per_100: share(100 * (right + wrong), self.positives + self.negatives).unwrap_or(0.0),
        }
    }
}

/// The packed model beside the one it was made from, on the same notes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    /// Where the notes are from: `test`, `valid`, or `random token ids`.
    pub sample: String,
    /// How many notes.
    pub notes: usize,
    /// Largest difference of a probability.
    pub max_difference: f64,
    /// Mean difference of a probability.
    pub mean_difference: f64,
    /// AUROC of the unpacked model on them, where it is defined.
    pub auroc_dense: Option<f64>,
    /// AUROC of this bundle on them.
    pub auroc_packed: Option<f64>,
}

impl BundleTask {
    pub(super) fn validate(&self, adapters: &BTreeSet<&str>) -> Result<(), Error> {
        let refuse = |reason: String| refuse::<()>(format!("task {}: {reason}", self.name));
        let labels = self.labels.len();
        let enough = match self.kind {
            TaskKind::Binary => labels == 2,
            TaskKind::Multiclass => labels >= 2,
            TaskKind::Multilabel => labels >= 1,
        };
        if !enough {
            return refuse(format!("{labels} labels do not make a task of its kind"));
        }
        unique("label", self.labels.iter().map(|label| label.name.as_str()))?;
        if !(1..=1 << 20).contains(&self.max_tokens) {
            return refuse(format!("max_tokens = {}", self.max_tokens));
        }
        // An adapter that is elsewhere cannot be on the stack: bundles of adapters are complete in themselves.
        if let Some(name) = self.stack.iter().find(|name| !adapters.contains(name.as_str())) {
            return refuse(format!("adapter {name} of its stack is not in the bundle"));
        }
        unique("adapter of a stack", self.stack.iter().map(String::as_str))?;
        if self.clinical > self.stack.len() {
            return refuse(format!(
                "clinical = {}, and the stack has {} adapters",
                self.clinical,
                self.stack.len()
            ));
        }
        if self.head.format != Format::F16 || self.head.shape.first() != Some(&(labels as u64)) {
            return refuse(format!("its head is not f16 with a row for each of {labels} labels"));
        }
        self.calibration.validate(labels).or_else(refuse)?;
        match &self.evidence {
            Some(evidence) => evidence.validate(labels).or_else(|reason| refuse(reason.to_owned())),
            None => Ok(()),
        }
    }
}

impl Evidence {
    fn validate(&self, labels: usize) -> Result<(), &'static str> {
        let is_share = |p: &f64| (0.0..=1.0).contains(p);
        if self.base_rates.len() != labels || !self.base_rates.iter().all(is_share) {
            return Err("base_rates are not one share for each label");
        }
        if self.thresholds.len() != labels || !self.thresholds.iter().flatten().all(is_share) {
            return Err("thresholds are not one probability for each label");
        }
        if !self.reliability.iter().all(|bin| is_share(&bin.predicted) && is_share(&bin.observed)) {
            return Err("reliability holds what is no share");
        }
        if !self.grid.iter().all(is_share) || !self.grid.is_sorted() {
            return Err("the grid is no rising row of probabilities");
        }
        let fits = |points: &OperatingPoints| {
            let within = |counts: &[u64], most: u64| {
                counts.len() == self.grid.len() && counts.iter().all(|count| *count <= most)
            };
            points.label < labels
                && points.positives.checked_add(points.negatives).is_some_and(|notes| notes < 1 << 40)
                && within(&points.true_positives, points.positives)
                && within(&points.false_positives, points.negatives)
        };
        if !self.operating.iter().all(fits) {
            return Err("operating points do not fit the grid, the labels or the counts of notes");
        }
        Ok(())
    }
}
