//! The metrics against scikit-learn's: `tests/golden/metrics/generate.py` made the numbers.

use clinlora_core::task::TaskKind;
use serde::Deserialize;
use serde_json::Value;

use super::auroc::MacroAuroc;
use super::scores::Probabilities;
use super::{EvalOptions, Labels, Metrics, Truth, evaluate, one_vs_one, one_vs_rest};

/// Both sides compute in f64; the order of sums differs.
const TOLERANCE: f64 = 1e-12;

#[derive(Deserialize)]
struct Case {
    name: String,
    kind: TaskKind,
    num_labels: usize,
    /// The class of each note, or 0 and 1 row by row over the labels.
    truth: Vec<usize>,
    logits: Vec<f32>,
    metrics: Value,
    resampled: Vec<Resample>,
    interval: Option<GoldenInterval>,
}

#[derive(Deserialize)]
struct Resample {
    weights: Vec<u32>,
    auroc: Option<f64>,
}

#[derive(Deserialize)]
struct GoldenInterval {
    low: f64,
    high: f64,
    skipped_share: f64,
}

fn cases() -> Vec<Case> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/metrics/golden.json");
    let text = std::fs::read_to_string(path).expect("the golden file is in the checkout");
    let cases: Vec<Case> = serde_json::from_str(&text).expect("the golden file is as generated");
    assert_eq!(cases.len(), 12);
    cases
}

impl Case {
    fn present(&self, note: usize, label: usize) -> bool {
        match self.kind {
            TaskKind::Binary | TaskKind::Multiclass => self.truth[note] == label,
            TaskKind::Multilabel => self.truth[note * self.num_labels + label] == 1,
        }
    }

    fn evaluate(&self, resamples: u32) -> Metrics {
        let truth = match self.kind {
            TaskKind::Binary | TaskKind::Multiclass => Truth::Classes(self.truth.clone()),
            TaskKind::Multilabel => Truth::Present(self.truth.iter().map(|v| *v == 1).collect()),
        };
        let labels = Labels { num_labels: self.num_labels, truth };
        evaluate(self.kind, &labels, &self.logits, &EvalOptions { resamples, seed: 1 })
            .expect("finite logits")
    }

    fn check(&self, figure: &str, actual: Option<f64>, expected: Option<f64>) {
        let close = match (actual, expected) {
            (Some(actual), Some(expected)) => {
                (actual - expected).abs() <= TOLERANCE * expected.abs().max(1.0)
            }
            (None, None) => true,
            _ => false,
        };
        assert!(close, "{}: {figure} is {actual:?}, scikit-learn has {expected:?}", self.name);
    }
}

#[test]
fn figures_equal_those_of_scikit_learn() {
    for case in cases() {
        let metrics = case.evaluate(0);
        let actual = serde_json::to_value(&metrics).expect("metrics serialise");
        let expected = case.metrics.as_object().expect("an object");
        let figures = expected.iter().filter(|(_, value)| !value.is_array());
        let mut compared = 0;
        for (name, value) in figures {
            assert!(actual.get(name).is_some(), "there is no figure {name}");
            case.check(name, actual[name].as_f64(), value.as_f64());
            compared += 1;
        }
        assert_eq!(compared, 10, "{}", case.name);
        assert_eq!(metrics.per_class.len(), case.num_labels);
        for class in &metrics.per_class {
            let golden = |table: &str| expected[table][class.index].as_f64();
            case.check("the AUROC of a class", class.auroc, golden("class_auroc"));
            case.check("the AUPRC of a class", class.auprc, golden("class_auprc"));
            case.check("the F1 of a class", class.f1, golden("class_f1"));
        }
    }
}

#[test]
fn resamples_weighed_over_one_order_equal_resamples_written_out() {
    for case in cases() {
        let probabilities = Probabilities::new(case.kind, &case.logits, case.num_labels);
        let rest = one_vs_rest(&probabilities, |note, label| case.present(note, label));
        let pairs;
        let auroc = match case.kind {
            TaskKind::Binary => MacroAuroc::of_all(&rest[1..]),
            TaskKind::Multiclass => {
                pairs = one_vs_one(&probabilities, &case.truth);
                MacroAuroc::of_all(&pairs)
            }
            TaskKind::Multilabel => MacroAuroc::of_varying(&rest),
        };
        let weights: Vec<[u32; 3]> = (0..probabilities.notes())
            .map(|note| std::array::from_fn(|l| case.resampled[l].weights[note]))
            .collect();
        let values = auroc.resampled(&weights);
        for (value, resample) in values.into_iter().zip(&case.resampled) {
            case.check("the AUROC of a resample", value, resample.auroc);
        }
    }
}

/// Two independent bootstraps of some thousand resamples: the standard error of a percentile is about 0.003 here, that
/// of the share of skipped ones 0.01.
const INTERVAL_TOLERANCE: f64 = 0.01;
const SKIPPED_TOLERANCE: f64 = 0.03;

#[test]
fn intervals_agree_with_a_bootstrap_written_in_numpy() {
    let cases: Vec<Case> = cases().into_iter().filter(|case| case.interval.is_some()).collect();
    assert_eq!(cases.len(), 4, "of every kind, and one that skips resamples");
    for case in cases {
        let golden = case.interval.as_ref().expect("filtered");
        let interval = case.evaluate(4000).auroc_interval.expect("an interval");
        assert!((interval.low - golden.low).abs() < INTERVAL_TOLERANCE, "{}: {interval:?}", case.name);
        assert!((interval.high - golden.high).abs() < INTERVAL_TOLERANCE, "{}: {interval:?}", case.name);
        assert_eq!(interval.resamples + interval.skipped, 4000);
        let skipped_share = interval.skipped as f64 / 4000.0;
        assert!((skipped_share - golden.skipped_share).abs() < SKIPPED_TOLERANCE, "{}", case.name);
    }
}

#[test]
fn a_figure_that_is_null_has_a_reason() {
    for case in cases() {
        let metrics = serde_json::to_value(case.evaluate(7)).expect("metrics serialise");
        let mut names = vec!["auroc", "auroc_interval", "auprc", "f1_micro", "f1_macro"];
        names.extend(match case.kind {
            TaskKind::Binary => None,
            TaskKind::Multiclass => Some("auroc_ovr"),
            TaskKind::Multilabel => Some("auroc_softmax"),
        });
        for name in names {
            let reason = metrics["undefined"].get(name).and_then(Value::as_str);
            assert_eq!(
                metrics[name].is_null(),
                reason.is_some_and(|r| !r.is_empty()),
                "{}: {name}",
                case.name
            );
        }
    }
}
