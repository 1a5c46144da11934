//! Probabilities from logits, in f64: what every metric but the loss reads.

pub(crate) use clinlora_core::probability::probabilities;
use clinlora_core::task::TaskKind;

/// One probability for each note and label.
#[derive(Debug)]
pub(super) struct Probabilities {
    values: Vec<f64>,
    labels: usize,
}

impl Probabilities {
    /// Of logits row by row over the labels, as [`probabilities`] makes them.
    pub(super) fn new(kind: TaskKind, logits: &[f32], labels: usize) -> Self {
        let values = logits.chunks_exact(labels).flat_map(|row| probabilities(kind, row)).collect();
        Self { values, labels }
    }

    /// Of values row by row over the labels.
    pub(super) fn of_values(values: Vec<f64>, labels: usize) -> Self {
        Self { values, labels }
    }

    /// The softmax over each note's labels that goes with these sigmoids: odds, divided by the sum of a note's odds.
    pub(super) fn softmax_of_sigmoids(&self) -> Self {
        // A sigmoid that was rounded to 1 has a logit of 37 or more; the next number below 1 has one of 36.7.
        let odds = |p: &f64| p / (1.0 - p).max(f64::EPSILON / 2.0);
        let row = |row: &[f64]| {
            let sum: f64 = row.iter().map(odds).sum();
            row.iter().map(|p| if sum > 0.0 { odds(p) / sum } else { 0.0 }).collect::<Vec<f64>>()
        };
        Self { values: self.rows().flat_map(row).collect(), labels: self.labels }
    }

    /// Row by row.
    pub(super) fn values(&self) -> &[f64] {
        &self.values
    }

    /// One row for each note.
    pub(super) fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.values.chunks_exact(self.labels)
    }

    /// One label's probability in each note, with the note's place.
    pub(super) fn column(&self, label: usize) -> impl Iterator<Item = (u32, f64)> {
        (0..).zip(self.values[label..].iter().step_by(self.labels).copied())
    }

    /// Number of labels.
    pub(super) fn labels(&self) -> usize {
        self.labels
    }

    /// Number of notes.
    pub(super) fn notes(&self) -> usize {
        self.values.len() / self.labels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_softmax_is_found_again_in_the_sigmoids() {
        let logits = [0.5, -3.0, 2.25, 7.0, -9.5, 0.0];
        let of = |kind| Probabilities::new(kind, &logits, 3);
        let again = of(TaskKind::Multilabel).softmax_of_sigmoids();
        for (a, b) in again.values().iter().zip(of(TaskKind::Multiclass).values()) {
            assert!((a - b).abs() < 1e-12, "{a} {b}");
        }
        let saturated = Probabilities::of_values(vec![1.0, 0.5, 0.0, 0.0], 2).softmax_of_sigmoids();
        assert!(saturated.values()[0] > 0.999 && saturated.values().iter().all(|p| p.is_finite()));
    }

    #[test]
    fn a_column_goes_through_the_notes() {
        let logits = [0.0, 9.0, 0.0, 9.0, -2000.0, 9.0];
        let probabilities = Probabilities::new(TaskKind::Multilabel, &logits, 2);
        assert_eq!(probabilities.column(0).collect::<Vec<_>>(), [(0, 0.5), (1, 0.5), (2, 0.0)]);
        assert_eq!((probabilities.notes(), probabilities.labels()), (3, 2));
    }
}
