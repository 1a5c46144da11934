//! What labelled notes say of calibrated probabilities: thresholds, reliability, and decisions at a grid of thresholds.

use clinlora_core::probability::Calibrator;
use clinlora_core::task::TaskKind;
use clinlora_core::weights::bundle::{Evidence, OperatingPoints, ReliabilityBin};

use super::calibrate::{Scored, nine_figures};

/// Thresholds of the table a page's slider moves over: finer where rare outcomes are decided.
const GRID: [f64; 26] = [
    0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.12, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55,
    0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95,
];

/// Bins of the reliability table.
const BINS: usize = 10;

/// Base rates and thresholds of the validation notes, tables of the held-out ones (`split`).
#[must_use]
pub(crate) fn of(calibrator: &Calibrator, valid: Scored<'_>, held_out: Scored<'_>, split: &str) -> Evidence {
    let labels = valid.targets.first().map_or(0, Vec::len);
    let on_valid = probabilities(calibrator, valid);
    let on_held_out = probabilities(calibrator, held_out);
    let shown = match held_out.kind {
        TaskKind::Binary => 1..labels,
        TaskKind::Multiclass | TaskKind::Multilabel => 0..labels,
    };
    let base_rate = |label: usize| {
        let present = valid.targets.iter().filter(|row| row[label] > 0.0).count();
        nine_figures(present as f64 / valid.targets.len() as f64)
    };
    Evidence {
        base_rates: (0..labels).map(base_rate).collect(),
        thresholds: (0..labels).map(|label| best_f1(&column(&on_valid, valid, label))).collect(),
        split: split.to_owned(),
        notes: held_out.logits.len(),
        reliability: reliability(shown.clone().flat_map(|label| column(&on_held_out, held_out, label))),
        grid: GRID.to_vec(),
        operating: shown.map(|label| operating(label, &column(&on_held_out, held_out, label))).collect(),
    }
}

fn probabilities(calibrator: &Calibrator, notes: Scored<'_>) -> Vec<Vec<f64>> {
    notes.logits.iter().map(|row| calibrator.probabilities(notes.kind, row)).collect()
}

/// Probability and truth of one label in each note.
fn column(probabilities: &[Vec<f64>], notes: Scored<'_>, label: usize) -> Vec<(f64, bool)> {
    probabilities.iter().zip(notes.targets).map(|(p, y)| (p[label], y[label] > 0.0)).collect()
}

/// The threshold above which predicting the label gives the highest F1: halfway to the next probability below; none where no
/// note has the label.
fn best_f1(notes: &[(f64, bool)]) -> Option<f64> {
    let positives = notes.iter().filter(|(_, present)| *present).count();
    let mut notes: Vec<_> = notes.to_vec();
    notes.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut found, mut alerts, mut best) = (0, 0, (0.0, None));
    for group in notes.chunk_by(|a, b| a.0 == b.0) {
        found += group.iter().filter(|(_, present)| *present).count();
        alerts += group.len();
        let f1 = 2.0 * found as f64 / (positives + alerts) as f64;
        if f1 > best.0 {
            let below = notes.get(alerts).map_or(0.0, |(p, _)| *p);
            best = (f1, Some(nine_figures(f64::midpoint(group[0].0, below))));
        }
    }
    best.1
}

fn reliability(notes: impl Iterator<Item = (f64, bool)>) -> Vec<ReliabilityBin> {
    let mut bins = [(0.0, 0_u64, 0_u64); BINS];
    for (p, present) in notes {
        let place = (1..BINS).filter(|edge| *edge as f64 / BINS as f64 <= p).count();
        bins[place].0 += p;
        bins[place].1 += u64::from(present);
        bins[place].2 += 1;
    }
    let filled = bins.into_iter().filter(|(.., count)| *count > 0);
    filled
        .map(|(sum, present, count)| ReliabilityBin {
            predicted: nine_figures((sum / count as f64).clamp(0.0, 1.0)),
            observed: nine_figures(present as f64 / count as f64),
            count,
        })
        .collect()
}

fn operating(label: usize, notes: &[(f64, bool)]) -> OperatingPoints {
    let count = |wanted: bool, above: f64| {
        notes.iter().filter(|(p, present)| *present == wanted && *p >= above).count() as u64
    };
    OperatingPoints {
        label,
        positives: count(true, 0.0),
        negatives: count(false, 0.0),
        true_positives: GRID.iter().map(|threshold| count(true, *threshold)).collect(),
        false_positives: GRID.iter().map(|threshold| count(false, *threshold)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_where_f1_is_highest() {
        // Above 0.3: two of two found among three alerts, F1 = 4/5; above 0.5 one of one, F1 = 2/3.
        let notes = [(0.9, true), (0.5, false), (0.4, true), (0.2, false), (0.1, false)];
        let threshold = best_f1(&notes).expect("there are positives");
        assert!((threshold - 0.3).abs() < 1e-12, "{threshold}");
        assert_eq!(best_f1(&[(0.4, false)]), None);
        assert_eq!(best_f1(&[(0.4, true)]), Some(0.2));
    }

    #[test]
    fn tables_count_what_a_threshold_does() {
        let logit = |p: f32| (p / (1.0 - p)).ln();
        let logits: Vec<Vec<f32>> = [0.93, 0.52, 0.41, 0.21].map(|p| vec![0.0, logit(p)]).to_vec();
        let targets: Vec<Vec<f32>> = [1.0, 0.0, 1.0, 0.0].map(|y| vec![1.0 - y, y]).to_vec();
        let notes = Scored { kind: TaskKind::Binary, logits: &logits, targets: &targets };
        let evidence = of(&Calibrator::None, notes, notes, "test");
        assert_eq!(evidence.base_rates, [0.5, 0.5]);
        assert_eq!(evidence.operating.len(), 1, "the positive label alone");
        let half = evidence.grid.iter().position(|threshold| *threshold == 0.5).expect("on the grid");
        let point = evidence.operating[0].at(half);
        assert_eq!(
            (point.sensitivity, point.specificity, point.ppv, point.alerts_per_100),
            (Some(0.5), Some(0.5), Some(0.5), 50.0)
        );
        let last = evidence.operating[0].at(GRID.len() - 1);
        assert_eq!((last.ppv, last.alerts_per_100), (None, 0.0), "no alert, no share of right ones");
        assert_eq!(evidence.reliability.iter().map(|bin| bin.count).sum::<u64>(), 4);
        assert!(evidence.reliability.iter().all(|bin| bin.observed == 0.0 || bin.observed == 1.0));
    }
}
