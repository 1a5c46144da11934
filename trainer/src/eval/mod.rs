//! How good a model is: the metrics of `clinlora evaluate`, and the perplexities of `clinlora perplexity`.
//!
//! [`evaluate`] takes the truth and the raw logits of a set of notes; softmax and sigmoid are taken here, in f64.
//!
//! | figure | binary | multiclass | multilabel |
//! |---|---|---|---|
//! | probabilities | softmax | softmax | a sigmoid for each label |
//! | `auroc` | of class 1 | one-vs-one macro (Hand and Till 2001) | macro, labels that do not vary skipped |
//! | `auroc_ovr` | | one-vs-rest macro | |
//! | `auroc_softmax` | | | `auroc` with softmax over a note's labels for scores: what the authors report |
//! | `auprc` | average precision of class 1 | one-vs-rest macro | macro over labels that a note has |
//! | decision | highest probability | highest probability | each label above 1/2 |
//! | `f1_micro` | accuracy | accuracy | over all decisions |
//! | `f1_macro` | mean over classes | mean over classes | mean over labels |
//! | `accuracy` | notes decided rightly | notes decided rightly | notes with every label right |
//! | `brier` | mean (p₁ - y)² | mean over notes of Σ (p - y)² | mean over notes and labels of (p - y)² |
//! | `ece` | of the class decided for | of the class decided for | of every label |
//! | `loss` | mean cross-entropy | mean cross-entropy | mean binary cross-entropy over notes and labels |
//!
//! Macro averages are plain means. Single-label AUROC and AUPRC need notes of every class. F1 leaves out labels that no
//! note has and none was given, as scikit-learn does with `zero_division=nan`. The calibration error has 15 bins of
//! equal width, closed above. F1 of one class, the positive one of a binary task for one, stands in `per_class`.

mod auroc;
mod calibration;
mod classification;
mod curves;
pub(crate) mod delong;
#[cfg(test)]
mod golden;
pub(crate) mod interval;
mod metrics;
mod normal;
pub(crate) mod paired;
pub(crate) mod perplexity;
pub(crate) mod predictions;
mod scores;

use clinlora_core::task::TaskKind;
use rayon::prelude::*;

use auroc::{MacroAuroc, Ranking};
use classification::{Confusion, Decisions};
use interval::Interval;
pub(crate) use metrics::{ClassMetrics, Counts, Metrics, Reasons, Undefined, summary};
pub(crate) use predictions::Predictions;
use scores::Probabilities;
pub(crate) use scores::probabilities;

use crate::error::Error;

/// The truth of a set of notes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Labels {
    num_labels: usize,
    truth: Truth,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Truth {
    /// The class of each note.
    Classes(Vec<usize>),
    /// Whether each label is present in each note, row by row over the labels.
    Present(Vec<bool>),
}

impl Labels {
    /// Of rows of 0 and 1 over the labels, one for each note.
    ///
    /// # Panics
    /// If rows differ in length, or one of a single-label task holds no 1.
    pub(crate) fn of<'a>(kind: TaskKind, rows: impl Iterator<Item = &'a [f32]>) -> Self {
        let mut rows = rows.peekable();
        let num_labels = rows.peek().map_or(0, |row| row.len());
        let rows = rows.inspect(|row| assert_eq!(row.len(), num_labels, "one value for each label"));
        let class = |row: &[f32]| row.iter().position(|v| *v > 0.0).expect("a single-label note has a class");
        let truth = match kind {
            TaskKind::Binary | TaskKind::Multiclass => Truth::Classes(rows.map(class).collect()),
            TaskKind::Multilabel => Truth::Present(rows.flatten().map(|v| *v > 0.0).collect()),
        };
        Self { num_labels, truth }
    }

    fn num_notes(&self) -> usize {
        match &self.truth {
            Truth::Classes(classes) => classes.len(),
            Truth::Present(present) => present.len().checked_div(self.num_labels).unwrap_or(0),
        }
    }
}

/// What to compute beside the figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EvalOptions {
    /// Bootstrap resamples of the AUROC; 0 for no interval.
    pub(crate) resamples: u32,
    /// Seed of the resamples.
    pub(crate) seed: u64,
}

impl EvalOptions {
    /// Figures only.
    pub(crate) fn without_intervals() -> Self {
        Self { resamples: 0, seed: 0 }
    }
}

/// Scores that cannot be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EvalError {
    /// Nothing to evaluate on.
    #[error("there is no note to evaluate on")]
    NoNotes,
    /// More notes than can be counted.
    #[error("{notes} notes are too many to evaluate at once; split the file")]
    TooManyNotes {
        /// How many.
        notes: usize,
    },
    /// NaN or infinity from the model.
    #[error(
        "the model's score of label {label} for note {note} (both counted from 1) is not a finite number; an adapter or \
         the base model is damaged, or its training diverged"
    )]
    NotFinite {
        /// The note, from 1, in the order of the data.
        note: usize,
        /// The label, from 1, in the order of the task.
        label: usize,
    },
}

/// The program's error for scores that cannot be evaluated.
pub(crate) fn refused(error: EvalError) -> Error {
    match error {
        EvalError::NotFinite { .. } => Error::NotFinite(error.to_string()),
        EvalError::NoNotes | EvalError::TooManyNotes { .. } => Error::Input(error.to_string()),
    }
}

/// Metrics of `logits`, row by row over the labels as the model gave them, against the truth.
///
/// # Errors
/// [`EvalError`] for scores that are not finite, for no notes, and for 2³¹ or more.
///
/// # Panics
/// If the sizes or the kinds of truth and logits do not fit each other.
pub(crate) fn evaluate(
    kind: TaskKind,
    labels: &Labels,
    logits: &[f32],
    options: &EvalOptions,
) -> Result<Metrics, EvalError> {
    let (notes, num_labels) = (labels.num_notes(), labels.num_labels);
    assert_eq!(
        logits.len(),
        notes * num_labels,
        "one logit for each of {notes} notes and {num_labels} labels"
    );
    if notes == 0 {
        return Err(EvalError::NoNotes);
    }
    // Twice the notes of a resample are counted in 32 bits.
    let Some(notes) = u32::try_from(notes).ok().filter(|notes| *notes < 1 << 31) else {
        return Err(EvalError::TooManyNotes { notes });
    };
    check_finite(logits, num_labels)?;
    let evaluation = Evaluation { kind, num_labels, notes, logits, options };
    Ok(match (&labels.truth, kind) {
        (Truth::Classes(classes), TaskKind::Binary | TaskKind::Multiclass) => evaluation.of_classes(classes),
        (Truth::Present(present), TaskKind::Multilabel) => evaluation.of_labels(present),
        _ => panic!("labels of another kind than {kind:?}"),
    })
}

/// Refuses scores that are no numbers.
pub(crate) fn check_finite(logits: &[f32], num_labels: usize) -> Result<(), EvalError> {
    match logits.iter().position(|x| !x.is_finite()) {
        None => Ok(()),
        Some(place) => {
            Err(EvalError::NotFinite { note: place / num_labels + 1, label: place % num_labels + 1 })
        }
    }
}

/// Scores known to be sound.
struct Evaluation<'a> {
    kind: TaskKind,
    num_labels: usize,
    notes: u32,
    logits: &'a [f32],
    options: &'a EvalOptions,
}

impl Evaluation<'_> {
    /// Notes of one class each.
    fn of_classes(&self, classes: &[usize]) -> Metrics {
        let probabilities = Probabilities::new(self.kind, self.logits, self.num_labels);
        let decisions = Decisions::of_classes(&probabilities, classes);
        let one_vs_rest = one_vs_rest(&probabilities, |note, label| classes[note] == label);
        let per_class = per_class(&one_vs_rest, &decisions.confusions);
        let absent = per_class.iter().find(|class| class.positives == 0);
        let of_all_classes = |figure: Option<f64>| match absent {
            Some(class) => Err(Undefined::ClassAbsent { class: class.index }),
            None => Ok(figure.expect("there are two classes or more, and each has notes")),
        };
        let one_vs_one = match self.kind {
            TaskKind::Multiclass => one_vs_one(&probabilities, classes),
            TaskKind::Binary | TaskKind::Multilabel => Vec::new(),
        };
        let (main, main_classes) = match self.kind {
            TaskKind::Multiclass => (one_vs_one.as_slice(), per_class.as_slice()),
            TaskKind::Binary | TaskKind::Multilabel => (&one_vs_rest[1..], &per_class[1..]),
        };
        let main = MacroAuroc::of_all(main);
        let auroc = of_all_classes(main.value());
        let ovr = (self.kind == TaskKind::Multiclass)
            .then(|| of_all_classes(MacroAuroc::of_all(&one_vs_rest).value()));

        let mut undefined = Reasons::default();
        Metrics {
            kind: self.kind,
            loss: classification::cross_entropy(self.logits, self.num_labels, classes),
            auroc_interval: undefined.figure("auroc_interval", self.interval(main, &auroc)),
            auroc: undefined.figure("auroc", auroc),
            auroc_ovr: ovr.and_then(|ovr| undefined.figure("auroc_ovr", ovr)),
            auroc_softmax: None,
            auprc: undefined.figure("auprc", of_all_classes(mean_auprc(main_classes))),
            f1_micro: decisions.f1_micro(),
            f1_macro: decisions.f1_macro(),
            accuracy: decisions.accuracy,
            brier: calibration::brier_of_classes(&probabilities, classes),
            ece: calibration::ece_of_classes(&probabilities, classes),
            undefined,
            counts: self.counts(&per_class),
            per_class,
        }
    }

    /// Notes with any of the labels each.
    fn of_labels(&self, present: &[bool]) -> Metrics {
        let is_present = |note: usize, label: usize| present[note * self.num_labels + label];
        let softmax = Probabilities::new(TaskKind::Multiclass, self.logits, self.num_labels);
        let softmax = MacroAuroc::of_varying(&one_vs_rest(&softmax, is_present)).value();

        let probabilities = Probabilities::new(self.kind, self.logits, self.num_labels);
        let decisions = Decisions::of_labels(&probabilities, present);
        let rankings = one_vs_rest(&probabilities, is_present);
        let per_class = per_class(&rankings, &decisions.confusions);
        let main = MacroAuroc::of_varying(&rankings);
        let auroc = main.value().ok_or(Undefined::NoLabelVaries);

        let mut undefined = Reasons::default();
        let f1 = |f1: Option<f64>| f1.ok_or(Undefined::NothingPresentOrPredicted);
        Metrics {
            kind: self.kind,
            loss: classification::binary_cross_entropy(self.logits, present),
            auroc_interval: undefined.figure("auroc_interval", self.interval(main, &auroc)),
            auroc: undefined.figure("auroc", auroc),
            auroc_ovr: None,
            auroc_softmax: undefined.figure("auroc_softmax", softmax.ok_or(Undefined::NoLabelVaries)),
            auprc: undefined.figure("auprc", mean_auprc(&per_class).ok_or(Undefined::NoLabelPresent)),
            f1_micro: undefined.figure("f1_micro", f1(decisions.f1_micro())),
            f1_macro: undefined.figure("f1_macro", f1(decisions.f1_macro())),
            accuracy: decisions.accuracy,
            brier: calibration::brier_of_labels(&probabilities, present),
            ece: calibration::ece_of_labels(&probabilities, present),
            undefined,
            counts: self.counts(&per_class),
            per_class,
        }
    }

    fn interval(&self, auroc: MacroAuroc<'_>, value: &Result<f64, Undefined>) -> Result<Interval, Undefined> {
        value.clone()?;
        let EvalOptions { resamples, seed } = *self.options;
        if resamples == 0 {
            return Err(Undefined::NoResamples);
        }
        let values = interval::resampled(auroc, self.notes, resamples, seed);
        Interval::of(&values).ok_or(Undefined::InNoResample { resamples })
    }

    fn counts(&self, per_class: &[ClassMetrics]) -> Counts {
        Counts {
            notes: self.notes as usize,
            labels: self.num_labels,
            labels_with_auroc: per_class.iter().filter(|class| class.auroc.is_some()).count(),
        }
    }
}

/// Ranks all notes by each label's probability.
fn one_vs_rest(probabilities: &Probabilities, present: impl Fn(usize, usize) -> bool + Sync) -> Vec<Ranking> {
    let rank = |label| {
        let notes = probabilities.column(label);
        Ranking::new(notes.map(|(note, p)| (note, p, present(note as usize, label))))
    };
    (0..probabilities.labels()).into_par_iter().map(rank).collect()
}

/// For every ordered pair of classes, ranks the notes of both by the probability of the first.
fn one_vs_one(probabilities: &Probabilities, classes: &[usize]) -> Vec<Ranking> {
    let labels = 0..probabilities.labels();
    let pairs = labels.clone().flat_map(|i| labels.clone().filter(move |j| *j != i).map(move |j| (i, j)));
    let rank = |(i, j): (usize, usize)| {
        let class = |note: u32| classes[note as usize];
        let notes = probabilities.column(i).filter(|(note, _)| [i, j].contains(&class(*note)));
        Ranking::new(notes.map(|(note, p)| (note, p, class(note) == i)))
    };
    pairs.map(rank).collect()
}

fn per_class(rankings: &[Ranking], confusions: &[Confusion]) -> Vec<ClassMetrics> {
    let of_label = |(index, (ranking, confusion)): (usize, (&Ranking, &Confusion))| ClassMetrics {
        index,
        positives: ranking.positives(),
        auroc: ranking.auroc(),
        auprc: ranking.average_precision(),
        f1: confusion.f1(),
    };
    rankings.iter().zip(confusions).enumerate().map(of_label).collect()
}

/// Plain mean over the classes that have notes.
fn mean_auprc(classes: &[ClassMetrics]) -> Option<f64> {
    let defined: Vec<f64> = classes.iter().filter_map(|class| class.auprc).collect();
    (!defined.is_empty()).then(|| defined.iter().sum::<f64>() / defined.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Scores;

    const OPTIONS: EvalOptions = EvalOptions { resamples: 50, seed: 2 };

    fn labels(kind: TaskKind, rows: &[[f32; 2]]) -> Labels {
        Labels::of(kind, rows.iter().map(<[f32; 2]>::as_slice))
    }

    #[test]
    fn labels_are_read_from_rows_of_0_and_1() {
        let rows = [[0.0, 1.0], [1.0, 0.0]];
        assert_eq!(labels(TaskKind::Binary, &rows).truth, Truth::Classes(vec![1, 0]));
        let expected = Truth::Present(vec![false, true, true, false]);
        assert_eq!(labels(TaskKind::Multilabel, &rows), Labels { num_labels: 2, truth: expected });
    }

    #[test]
    fn scores_that_are_not_finite_are_named_by_place_alone() {
        let labels = labels(TaskKind::Multilabel, &[[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let logits = [0.1, 0.2, 0.3, bad, 0.5, 0.6];
            let error = evaluate(TaskKind::Multilabel, &labels, &logits, &OPTIONS).expect_err("not finite");
            assert_eq!(error, EvalError::NotFinite { note: 2, label: 2 });
            assert!(!error.to_string().contains("0.3"), "{error}");
        }
    }

    #[test]
    fn no_notes_are_refused() {
        let error = evaluate(TaskKind::Binary, &labels(TaskKind::Binary, &[]), &[], &OPTIONS);
        assert_eq!(error.expect_err("no note"), EvalError::NoNotes);
    }

    #[test]
    fn labels_are_ranked_by_their_own_probability_or_by_their_share_of_the_note() {
        let truth = labels(TaskKind::Multilabel, &[[1.0, 0.0], [0.0, 1.0]]);
        // Label 0 ranks 1 above 0.5, but its share of the first note is 1.8 % and that of the second 99.6 %.
        let metrics =
            evaluate(TaskKind::Multilabel, &truth, &[1.0, 5.0, 0.5, -5.0], &OPTIONS).expect("finite");
        assert_eq!(metrics.auroc_by(Scores::Sigmoid), Some(0.5));
        assert_eq!(metrics.auroc_by(Scores::Softmax), Some(0.0));
        let truth = labels(TaskKind::Binary, &[[1.0, 0.0], [0.0, 1.0]]);
        let metrics = evaluate(TaskKind::Binary, &truth, &[1.0, 0.0, 0.0, 1.0], &OPTIONS).expect("finite");
        assert_eq!(metrics.auroc_by(Scores::Softmax), metrics.auroc);
    }

    #[test]
    #[should_panic(expected = "one logit for each of 1 notes and 2 labels")]
    fn logits_of_another_size_are_a_bug() {
        let _ = evaluate(TaskKind::Binary, &labels(TaskKind::Binary, &[[1.0, 0.0]]), &[0.5], &OPTIONS);
    }

    #[test]
    fn metrics_are_written_with_null_and_a_reason_where_there_is_no_figure() {
        let truth = labels(TaskKind::Binary, &[[1.0, 0.0], [1.0, 0.0]]);
        let metrics = evaluate(TaskKind::Binary, &truth, &[1.0, 0.0, 0.0, 1.0], &OPTIONS).expect("finite");
        let json = serde_json::to_value(&metrics).expect("metrics serialise");
        assert_eq!(json["kind"], "binary");
        assert_eq!(json["auroc"], serde_json::Value::Null);
        let reason = json["undefined"]["auroc"].as_str().expect("a reason");
        assert!(reason.contains("no note is of class 1"), "{reason}");
        assert_eq!(json["accuracy"], 0.5);
        assert_eq!(json["counts"], serde_json::json!({"notes": 2, "labels": 2, "labels_with_auroc": 0}));
        let text = summary(&metrics);
        assert!(text.contains("AUROC                undefined: no note is of class 1"), "{text}");
        assert!(text.contains("accuracy             0.5000"), "{text}");
    }

    #[test]
    fn a_summary_gives_the_interval_beside_the_auroc() {
        let truth = labels(TaskKind::Binary, &[[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]);
        let logits = [1.0, 0.0, 0.0, 1.0, 0.0, 2.0, 0.0, 3.0];
        let metrics = evaluate(TaskKind::Binary, &truth, &logits, &OPTIONS).expect("finite");
        assert_eq!(metrics.auroc, Some(0.75));
        let interval = metrics.auroc_interval.expect("an interval");
        assert!(interval.low < 0.75 && interval.high == 1.0, "{interval:?}");
        let text = summary(&metrics);
        assert!(text.starts_with("AUROC                0.7500  (95 % 0."), "{text}");
        assert!(text.ends_with("4 notes, 2 labels, 2 of them in some notes and not in others"), "{text}");
    }
}
