//! The figures of one evaluation, as `metrics.json` holds them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clinlora_core::task::TaskKind;
use serde::{Serialize, Serializer};

use super::interval::Interval;
use crate::recipe::Scores;

/// Why there is no figure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Undefined {
    /// A single-label figure that needs every class.
    #[error("no note is of class {class}, counting from 0; the figure needs notes of every class")]
    ClassAbsent {
        /// The first of them.
        class: usize,
    },
    /// A multilabel mean over labels that some notes have and some have not.
    #[error("no label is present in some notes and absent from others")]
    NoLabelVaries,
    /// A multilabel mean over labels that a note has.
    #[error("no note has any label")]
    NoLabelPresent,
    /// F1 of nothing.
    #[error("no note has a label, and none was predicted")]
    NothingPresentOrPredicted,
    /// An interval nobody asked for.
    #[error("no resamples were asked for")]
    NoResamples,
    /// An interval over too few notes.
    #[error("AUROC exists in none of the {resamples} resamples")]
    InNoResample {
        /// How many were drawn.
        resamples: u32,
    },
}

impl Serialize for Undefined {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The reasons of one evaluation, by the name of the figure that is not there.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub(crate) struct Reasons(BTreeMap<&'static str, Undefined>);

impl Reasons {
    /// Passes `figure` on, or keeps why there is none.
    pub(super) fn figure<T>(&mut self, name: &'static str, figure: Result<T, Undefined>) -> Option<T> {
        figure.map_err(|reason| self.0.insert(name, reason)).ok()
    }

    /// Why the figure of this name is not there.
    pub(crate) fn get(&self, name: &str) -> Option<&Undefined> {
        self.0.get(name)
    }
}

/// Figures of one model on one evaluation set; the module documentation says how each is defined.
///
/// One that cannot be computed is null, never 0 or NaN, and [`Self::undefined`] says why.
#[derive(Debug, Serialize)]
pub(crate) struct Metrics {
    /// Labels a note has.
    pub(crate) kind: TaskKind,
    /// What was evaluated on.
    pub(crate) counts: Counts,
    /// Mean cross-entropy in nats, without class weights.
    pub(crate) loss: f64,
    /// The main figure: of class 1, one-vs-one macro, or the macro average over labels.
    pub(crate) auroc: Option<f64>,
    /// Bootstrap interval of `auroc`.
    pub(crate) auroc_interval: Option<Interval>,
    /// Only of multiclass tasks: one-vs-rest macro.
    pub(crate) auroc_ovr: Option<f64>,
    /// Only of multilabel tasks: as `auroc`, the scores being a softmax over each note's labels; the authors' figure.
    pub(crate) auroc_softmax: Option<f64>,
    /// Average precision of class 1, or its macro average.
    pub(crate) auprc: Option<f64>,
    /// F1 over all labels together.
    pub(crate) f1_micro: Option<f64>,
    /// Mean of the labels' F1.
    pub(crate) f1_macro: Option<f64>,
    /// Share of notes with the right class, or exactly the right labels.
    pub(crate) accuracy: f64,
    /// Mean squared error of the probabilities.
    pub(crate) brier: f64,
    /// Expected calibration error.
    pub(crate) ece: f64,
    /// Why figures of this kind of task are null, by their names.
    pub(crate) undefined: Reasons,
    /// One row for each label, in their order.
    pub(crate) per_class: Vec<ClassMetrics>,
}

impl Metrics {
    /// The main figure, the labels of a multilabel task being ranked by `scores`.
    pub(crate) fn auroc_by(&self, scores: Scores) -> Option<f64> {
        match (self.kind, scores) {
            (TaskKind::Multilabel, Scores::Softmax) => self.auroc_softmax,
            _ => self.auroc,
        }
    }
}

/// Sizes of an evaluation.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    /// Notes.
    pub(crate) notes: usize,
    /// Labels of the task.
    pub(crate) labels: usize,
    /// Labels that some notes have and some have not: those with an AUROC of their own.
    pub(crate) labels_with_auroc: usize,
}

/// Figures of one label against all others.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct ClassMetrics {
    /// Place among the task's labels, from 0.
    pub(crate) index: usize,
    /// Notes that have it.
    pub(crate) positives: usize,
    /// AUROC of the label's probability; null if all notes have the label or none.
    pub(crate) auroc: Option<f64>,
    /// Average precision of the label's probability; null if no note has the label.
    pub(crate) auprc: Option<f64>,
    /// F1 of the decisions; null if no note has the label and none was given it.
    pub(crate) f1: Option<f64>,
}

/// `metrics` for people, without the table of classes.
pub(crate) fn summary(metrics: &Metrics) -> String {
    const TO_A_STRING: &str = "writing to a string does not fail";
    let mut text = String::new();
    let mut line = |name: &str, figure: Option<f64>, key: &str, more: String| {
        match (figure, metrics.undefined.get(key)) {
            (Some(figure), _) => writeln!(text, "{name:<20} {figure:.4}{more}"),
            (None, Some(reason)) => writeln!(text, "{name:<20} undefined: {reason}"),
            (None, None) => Ok(()), // not a figure of this kind of task
        }
        .expect(TO_A_STRING);
    };
    let interval = metrics.auroc_interval.map_or_else(String::new, |interval| {
        let Interval { low, high, resamples, skipped } = interval;
        let skipped = if skipped == 0 { String::new() } else { format!(", {skipped} skipped") };
        format!("  (95 % {low:.4} to {high:.4}, {resamples} resamples{skipped})")
    });
    line("AUROC", metrics.auroc, "auroc", interval);
    line("AUROC, one-vs-rest", metrics.auroc_ovr, "auroc_ovr", String::new());
    line("AUROC, softmax", metrics.auroc_softmax, "auroc_softmax", String::new());
    line("AUPRC", metrics.auprc, "auprc", String::new());
    line("F1 micro", metrics.f1_micro, "f1_micro", String::new());
    line("F1 macro", metrics.f1_macro, "f1_macro", String::new());
    for (name, figure) in [
        ("accuracy", metrics.accuracy),
        ("Brier score", metrics.brier),
        ("calibration error", metrics.ece),
        ("loss", metrics.loss),
    ] {
        line(name, Some(figure), name, String::new());
    }
    let Counts { notes, labels, labels_with_auroc } = metrics.counts;
    write!(
        text,
        "{notes} notes, {labels} labels, {labels_with_auroc} of them in some notes and not in others"
    )
    .expect(TO_A_STRING);
    text
}
