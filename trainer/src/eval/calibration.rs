//! How far probabilities can be taken at their word: Brier score and expected calibration error.

use super::classification::top;
use super::scores::Probabilities;

/// Bins of the expected calibration error.
const BINS: usize = 15;

/// Brier score of single-label notes: the mean over notes of `Σ_k (p_k - y_k)²`, from 0 to 2. With two classes it is
/// halved and so equals the mean of `(p₁ - y)²`, from 0 to 1.
pub(super) fn brier_of_classes(probabilities: &Probabilities, classes: &[usize]) -> f64 {
    let of_note = |(row, class): (&[f64], &usize)| {
        let squared = |(label, p): (usize, &f64)| (p - f64::from(u8::from(label == *class))).powi(2);
        row.iter().enumerate().map(squared).sum::<f64>()
    };
    let mean = probabilities.rows().zip(classes).map(of_note).sum::<f64>() / classes.len() as f64;
    if probabilities.labels() == 2 { mean / 2.0 } else { mean }
}

/// Brier score of multilabel notes: the mean of `(p - y)²` over all notes and labels.
pub(super) fn brier_of_labels(probabilities: &Probabilities, present: &[bool]) -> f64 {
    let squared = |(p, y): (&f64, &bool)| (p - f64::from(u8::from(*y))).powi(2);
    probabilities.values().iter().zip(present).map(squared).sum::<f64>() / present.len() as f64
}

/// Expected calibration error of single-label notes (Guo et al. 2017): the probability of the class decided for, set
/// against how often that class was right.
pub(super) fn ece_of_classes(probabilities: &Probabilities, classes: &[usize]) -> f64 {
    bins_of_classes(probabilities, classes).error()
}

/// Expected calibration error of multilabel notes: the probability of every label of every note, set against how often
/// such labels were present.
pub(super) fn ece_of_labels(probabilities: &Probabilities, present: &[bool]) -> f64 {
    bins_of_labels(probabilities, present).error()
}

/// Of the class decided for.
pub(super) fn bins_of_classes(probabilities: &Probabilities, classes: &[usize]) -> Bins {
    let mut bins = Bins::default();
    for (row, class) in probabilities.rows().zip(classes) {
        let (decided, confidence) = top(row);
        bins.add(confidence, decided == *class);
    }
    bins
}

/// Of every label of every note.
pub(super) fn bins_of_labels(probabilities: &Probabilities, present: &[bool]) -> Bins {
    let mut bins = Bins::default();
    for (p, present) in probabilities.values().iter().zip(present) {
        bins.add(*p, *present);
    }
    bins
}

/// 15 bins of equal width: bin `m` of 1 to 15 holds `(m - 1)/15 < p <= m/15`, and the first also `p = 0`.
#[derive(Debug, Default)]
pub(super) struct Bins {
    probability: [f64; BINS],
    hits: [u64; BINS],
    count: [u64; BINS],
}

impl Bins {
    /// Adds a probability, and whether what it speaks of came true.
    pub(super) fn add(&mut self, p: f64, hit: bool) {
        let bin = (1..BINS).filter(|edge| *edge as f64 / (BINS as f64) < p).count();
        self.probability[bin] += p;
        self.hits[bin] += u64::from(hit);
        self.count[bin] += 1;
    }

    /// Mean probability and share that came true, of the bins that are not empty.
    pub(super) fn points(&self) -> Vec<(f64, f64)> {
        let bins = self.probability.iter().zip(&self.hits).zip(&self.count);
        let filled = bins.filter(|(_, count)| **count > 0);
        filled.map(|((p, hits), count)| (p / *count as f64, *hits as f64 / *count as f64)).collect()
    }

    /// `Σ_m (count_m / count) · |hits_m / count_m - mean probability_m|`.
    fn error(&self) -> f64 {
        let gaps = self.hits.iter().zip(&self.probability).map(|(hits, p)| (*hits as f64 - p).abs());
        gaps.sum::<f64>() / self.count.iter().sum::<u64>() as f64
    }
}

#[cfg(test)]
mod tests {
    use clinlora_core::task::TaskKind;

    use super::*;

    #[test]
    fn a_probability_on_an_edge_falls_into_the_bin_below() {
        let mut bins = Bins::default();
        for p in [0.0, 1.0 / 15.0, 1.0 / 15.0 + 1e-12, 0.2, 14.0 / 15.0, 1.0] {
            bins.add(p, true);
        }
        assert_eq!(bins.count, [2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
    }

    #[test]
    fn errors_are_as_by_hand() {
        let mut bins = Bins::default();
        // Bin (8/15, 9/15]: mean 0.57, one of two right. Bin (13/15, 14/15]: 0.9, right.
        for (p, hit) in [(0.56, true), (0.58, false), (0.9, true)] {
            bins.add(p, hit);
        }
        let points = bins.points();
        assert_eq!(points.len(), 2, "empty bins are no points");
        assert!((points[0].0 - 0.57).abs() < 1e-15 && points[0].1 == 0.5 && points[1] == (0.9, 1.0));
        let by_hand = (2.0 * (0.57 - 0.5) + (1.0 - 0.9)) / 3.0;
        assert!((bins.error() - by_hand).abs() < 1e-15, "{}", bins.error());
    }

    #[test]
    fn brier_scores_are_as_by_hand() {
        let quarter = [3_f32.ln(), 0.0];
        let binary = Probabilities::new(TaskKind::Binary, &quarter, 2);
        assert!((brier_of_classes(&binary, &[1]) - 0.75_f64.powi(2)).abs() < 1e-7);
        let uniform = Probabilities::new(TaskKind::Multiclass, &[0.5; 4], 4);
        assert_eq!(brier_of_classes(&uniform, &[2]), 0.75_f64.powi(2) + 3.0 * 0.25_f64.powi(2));
        let labels = Probabilities::new(TaskKind::Multilabel, &[0.0, 0.0, 90.0], 3);
        assert_eq!(brier_of_labels(&labels, &[true, false, false]), (0.25 + 0.25 + 1.0) / 3.0);
    }
}
