//! What is decided: loss, accuracy and F1.
//!
//! A single-label note is given the class of the highest probability, the first of equals. A label of a multilabel note
//! is predicted where its probability is above [`THRESHOLD`].

use super::scores::Probabilities;

/// Probability above which a label of a multilabel note counts as predicted.
const THRESHOLD: f64 = 0.5;

/// How the notes of one class (or with one label) were told from the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Confusion {
    true_positives: u64,
    false_positives: u64,
    false_negatives: u64,
}

impl Confusion {
    fn count(&mut self, present: bool, predicted: bool) {
        self.true_positives += u64::from(present && predicted);
        self.false_positives += u64::from(!present && predicted);
        self.false_negatives += u64::from(present && !predicted);
    }

    /// Harmonic mean of precision and recall; none where nothing is present and nothing predicted.
    pub(super) fn f1(&self) -> Option<f64> {
        let doubled = 2 * self.true_positives;
        let all = doubled + self.false_positives + self.false_negatives;
        (all > 0).then(|| doubled as f64 / all as f64)
    }
}

/// The decisions on all notes.
#[derive(Debug)]
pub(super) struct Decisions {
    /// One for each label.
    pub(super) confusions: Vec<Confusion>,
    /// Share of notes with the right class, or with exactly the right set of labels.
    pub(super) accuracy: f64,
}

impl Decisions {
    /// Single-label notes of these classes.
    pub(super) fn of_classes(probabilities: &Probabilities, classes: &[usize]) -> Self {
        Self::count(
            probabilities,
            |note, label| classes[note] == label,
            |row| {
                let decided = top(row).0;
                move |label| label == decided
            },
        )
    }

    /// Multilabel notes with these labels, row by row.
    pub(super) fn of_labels(probabilities: &Probabilities, present: &[bool]) -> Self {
        let labels = probabilities.labels();
        Self::count(
            probabilities,
            |note, label| present[note * labels + label],
            |row| move |label| row[label] > THRESHOLD,
        )
    }

    fn count<'a, P: Fn(usize) -> bool>(
        probabilities: &'a Probabilities,
        present: impl Fn(usize, usize) -> bool,
        decide: impl Fn(&'a [f64]) -> P,
    ) -> Self {
        let mut confusions = vec![Confusion::default(); probabilities.labels()];
        let mut right = 0;
        for (note, row) in probabilities.rows().enumerate() {
            let predicted = decide(row);
            let mut all_right = true;
            for (label, confusion) in confusions.iter_mut().enumerate() {
                let (present, predicted) = (present(note, label), predicted(label));
                confusion.count(present, predicted);
                all_right &= present == predicted;
            }
            right += usize::from(all_right);
        }
        Self { confusions, accuracy: right as f64 / probabilities.notes() as f64 }
    }

    /// F1 of the decisions on all labels taken together. With one label a note this is the accuracy.
    pub(super) fn f1_micro(&self) -> Option<f64> {
        let mut all = Confusion::default();
        for confusion in &self.confusions {
            all.true_positives += confusion.true_positives;
            all.false_positives += confusion.false_positives;
            all.false_negatives += confusion.false_negatives;
        }
        all.f1()
    }

    /// Plain mean of the labels' F1, without labels that no note has and none was given.
    pub(super) fn f1_macro(&self) -> Option<f64> {
        let defined: Vec<f64> = self.confusions.iter().filter_map(Confusion::f1).collect();
        (!defined.is_empty()).then(|| defined.iter().sum::<f64>() / defined.len() as f64)
    }
}

/// The highest value of `row` and its place, the first of equals.
pub(super) fn top(row: &[f64]) -> (usize, f64) {
    let mut best = (0, row[0]);
    for (label, value) in row.iter().enumerate().skip(1) {
        if *value > best.1 {
            best = (label, *value);
        }
    }
    best
}

/// Mean cross-entropy of single-label notes in nats, every note weighing the same.
pub(super) fn cross_entropy(logits: &[f32], labels: usize, classes: &[usize]) -> f64 {
    let of_note = |(row, class): (&[f32], &usize)| {
        let highest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let sum: f64 = row.iter().map(|x| (f64::from(*x) - highest).exp()).sum();
        highest + sum.ln() - f64::from(row[*class])
    };
    logits.chunks_exact(labels).zip(classes).map(of_note).sum::<f64>() / classes.len() as f64
}

/// Mean binary cross-entropy in nats over all notes and labels.
pub(super) fn binary_cross_entropy(logits: &[f32], present: &[bool]) -> f64 {
    let of_label = |(x, present): (&f32, &bool)| {
        let (x, y) = (f64::from(*x), f64::from(u8::from(*present)));
        x.max(0.0) - x * y + (-x.abs()).exp().ln_1p()
    };
    logits.iter().zip(present).map(of_label).sum::<f64>() / present.len() as f64
}

#[cfg(test)]
mod tests {
    use clinlora_core::task::TaskKind;

    use super::*;

    #[test]
    fn three_classes_are_decided_as_by_hand() {
        // Decided: 0, 2, 0 (the first of equals), 2, 2. Class 1 is never given, and no note is of class 3.
        let logits = [
            2.0, 1.0, 0.0, -9.0, //
            0.0, 1.0, 2.0, -9.0, //
            1.0, 1.0, 0.0, -9.0, //
            0.0, 0.0, 1.0, -9.0, //
            0.0, 0.0, 1.0, -9.0,
        ];
        let probabilities = Probabilities::new(TaskKind::Multiclass, &logits, 4);
        let decisions = Decisions::of_classes(&probabilities, &[0, 2, 1, 2, 1]);
        let f1: Vec<_> = decisions.confusions.iter().map(Confusion::f1).collect();
        assert_eq!(f1, [Some(2.0 / 3.0), Some(0.0), Some(4.0 / 5.0), None]);
        assert_eq!(decisions.f1_macro(), Some((2.0 / 3.0 + 0.0 + 0.8) / 3.0));
        assert_eq!(decisions.accuracy, 3.0 / 5.0);
        assert_eq!(decisions.f1_micro(), Some(3.0 / 5.0));
    }

    #[test]
    fn a_label_is_predicted_above_one_half() {
        // Logit 0 is a probability of exactly one half: not predicted.
        let logits = [1.0, 0.0, -1.0, 3.0, -2.0, -1.0];
        let probabilities = Probabilities::new(TaskKind::Multilabel, &logits, 3);
        let decisions = Decisions::of_labels(&probabilities, &[true, false, false, false, true, false]);
        let f1: Vec<_> = decisions.confusions.iter().map(Confusion::f1).collect();
        assert_eq!(f1, [Some(2.0 / 3.0), Some(0.0), None]);
        assert_eq!(decisions.accuracy, 0.5, "both labels of the second note are wrong");
        assert_eq!(decisions.f1_micro(), Some(2.0 / (2.0 + 1.0 + 1.0)));
        assert_eq!(decisions.f1_macro(), Some((2.0 / 3.0) / 2.0));
        let nothing = Decisions::of_labels(&Probabilities::new(TaskKind::Multilabel, &[-1.0], 1), &[false]);
        assert_eq!((nothing.f1_micro(), nothing.f1_macro()), (None, None));
    }

    #[test]
    fn losses_are_as_by_hand_and_do_not_overflow() {
        let three_to_one = 3_f32.ln();
        let loss = cross_entropy(&[three_to_one, 0.0, 0.0, three_to_one], 2, &[0, 0]);
        assert!((loss - (-(0.75_f64.ln()) - 0.25_f64.ln()) / 2.0).abs() < 1e-7, "{loss}");
        assert_eq!(cross_entropy(&[3000.0, 0.0], 2, &[1]), 3000.0);
        let loss = binary_cross_entropy(&[three_to_one, three_to_one], &[true, false]);
        assert!((loss - (-(0.75_f64.ln()) - 0.25_f64.ln()) / 2.0).abs() < 1e-7, "{loss}");
        assert_eq!(binary_cross_entropy(&[-3000.0, 3000.0], &[true, true]), 1500.0);
    }
}
