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
    fn a_column_goes_through_the_notes() {
        let logits = [0.0, 9.0, 0.0, 9.0, -2000.0, 9.0];
        let probabilities = Probabilities::new(TaskKind::Multilabel, &logits, 2);
        assert_eq!(probabilities.column(0).collect::<Vec<_>>(), [(0, 0.5), (1, 0.5), (2, 0.0)]);
        assert_eq!((probabilities.notes(), probabilities.labels()), (3, 2));
    }
}
