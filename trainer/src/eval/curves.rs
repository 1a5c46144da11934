//! Points of ROC curves.

use super::predictions::Predictions;
use super::{Truth, calibration};

/// The smallest step along either axis that a drawn curve shows.
const STEP: f64 = 1.0 / 400.0;

/// Points of a ROC curve from (0, 0) to (1, 1), false positive rate first; none without notes of both kinds. Points closer
/// than a drawing can show are left out.
fn roc(notes: impl Iterator<Item = (f64, bool)>) -> Option<Vec<(f64, f64)>> {
    let mut notes: Vec<(f64, bool)> = notes.collect();
    notes.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let positives = notes.iter().filter(|note| note.1).count();
    let negatives = notes.len() - positives;
    if positives == 0 || negatives == 0 {
        return None;
    }
    let mut points = vec![(0.0, 0.0)];
    let (mut found, mut wrong) = (0, 0);
    for group in notes.chunk_by(|a, b| a.0 == b.0) {
        let here = group.iter().filter(|note| note.1).count();
        found += here;
        wrong += group.len() - here;
        let point = (wrong as f64 / negatives as f64, found as f64 / positives as f64);
        let last = points[points.len() - 1];
        if point.0 - last.0 >= STEP || point.1 - last.1 >= STEP || found + wrong == notes.len() {
            points.push(point);
        }
    }
    Some(points)
}

impl Predictions {
    /// ROC curve of a label against all others.
    pub(crate) fn roc(&self, label: usize) -> Option<Vec<(f64, f64)>> {
        let column = self.probabilities.column(label);
        roc(column.map(|(note, p)| (p, self.has(note as usize, label))))
    }

    /// Mean probability and share that came true, by bins of probability: of class 1 of a binary task, of the class decided
    /// for, or of every label of every note.
    pub(crate) fn reliability(&self) -> Vec<(f64, f64)> {
        match &self.labels.truth {
            Truth::Present(present) => calibration::bins_of_labels(&self.probabilities, present),
            Truth::Classes(classes) if self.probabilities.labels() > 2 => {
                calibration::bins_of_classes(&self.probabilities, classes)
            }
            Truth::Classes(classes) => {
                let mut bins = calibration::Bins::default();
                for (note, p) in self.probabilities.column(1) {
                    bins.add(p, classes[note as usize] == 1);
                }
                bins
            }
        }
        .points()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_goes_up_at_positives_right_at_negatives_and_across_at_ties() {
        let notes = [(0.9, true), (0.8, false), (0.5, true), (0.5, false), (0.1, true), (0.05, false)];
        let third = 1.0 / 3.0;
        let expected = [
            (0.0, 0.0),
            (0.0, third),
            (third, third),
            (2.0 * third, 2.0 * third),
            (2.0 * third, 1.0),
            (1.0, 1.0),
        ];
        assert_eq!(roc(notes.into_iter()).expect("both kinds"), expected);
        assert_eq!(roc([(0.3, true)].into_iter()), None);
    }

    #[test]
    fn a_long_curve_is_thinned_and_keeps_its_ends() {
        let notes = (0..20_000u32).map(|i| (f64::from(i), i % 3 != 0));
        let points = roc(notes).expect("both kinds");
        assert!(points.len() < 900, "{}", points.len());
        assert_eq!((points[0], points[points.len() - 1]), ((0.0, 0.0), (1.0, 1.0)));
    }
}
