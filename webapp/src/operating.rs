//! What a threshold would have done on held-out notes: sensitivity, specificity, predictive values, alerts.
//!
//! The bundle states counts at each threshold of a grid; everything here is arithmetic on them. What is divided by nothing is
//! undefined and said so, never shown as 0 or 1.

use crate::about::{CountsAbout, EvidenceAbout};

/// One threshold in the terms of a test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Probability at or above which a note is alerted on.
    pub threshold: f64,
    /// Notes rightly alerted on.
    pub true_positives: u64,
    /// Notes wrongly alerted on.
    pub false_positives: u64,
    /// Notes with the outcome.
    pub positives: u64,
    /// Notes without it.
    pub negatives: u64,
}

impl Point {
    /// Share of the notes with the outcome that are alerted on; none without such notes.
    #[must_use]
    pub fn sensitivity(&self) -> Option<f64> {
        share(self.true_positives, self.positives)
    }

    /// Share of the notes without the outcome that are left alone; none without such notes.
    #[must_use]
    pub fn specificity(&self) -> Option<f64> {
        share(self.negatives - self.false_positives, self.negatives)
    }

    /// Share of the alerts that are right; none without alerts.
    #[must_use]
    pub fn ppv(&self) -> Option<f64> {
        share(self.true_positives, self.true_positives + self.false_positives)
    }

    /// Share of the notes left alone that are without the outcome; none if every note is alerted on.
    #[must_use]
    pub fn npv(&self) -> Option<f64> {
        let quiet = self.negatives - self.false_positives;
        share(quiet, quiet + self.positives - self.true_positives)
    }

    /// Alerts on a hundred notes; none without notes.
    #[must_use]
    pub fn alerts_per_100(&self) -> Option<f64> {
        share(self.true_positives + self.false_positives, self.positives + self.negatives)
            .map(|share| 100.0 * share)
    }

    /// The point as a sentence without jargon: `At 10 %: 31 of 100 notes would raise an alert; 24 of 100 alerts would be right;
    /// 72 of 100 notes with the outcome would be found.`
    #[must_use]
    pub fn words(&self) -> String {
        let of_100 = |share: Option<f64>| share.map(|share| (100.0 * share).round());
        let mut said = format!("At {}: ", crate::risk::percent(self.threshold));
        match self.alerts_per_100() {
            None => return said + "no held-out notes.",
            Some(alerts) => said += &format!("{} of 100 notes would raise an alert", alerts.round()),
        }
        if let Some(right) = of_100(self.ppv()) {
            said += &format!("; {right} of 100 alerts would be right");
        }
        if let Some(found) = of_100(self.sensitivity()) {
            said += &format!("; {found} of 100 notes with the outcome would be found");
        }
        said + "."
    }
}

#[expect(clippy::cast_precision_loss, reason = "notes are far fewer than 2^52")]
fn share(part: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| part as f64 / of as f64)
}

/// The points of one label over the grid.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Points {
    points: Vec<Point>,
}

impl Points {
    /// The table of a label; none where the bundle has none for it, or one that contradicts itself.
    #[must_use]
    pub fn of(evidence: &EvidenceAbout, label: usize) -> Option<Self> {
        let counts = evidence.operating.iter().find(|counts| counts.label == label)?;
        let fits = |alerts: &[u64], most: u64| {
            alerts.len() == evidence.grid.len() && alerts.iter().all(|count| *count <= most)
        };
        let is_sound = !evidence.grid.is_empty()
            && evidence.grid.iter().all(|threshold| (0.0..=1.0).contains(threshold))
            && evidence.grid.is_sorted()
            && counts.positives.checked_add(counts.negatives).is_some_and(|notes| notes < 1 << 40)
            && fits(&counts.true_positives, counts.positives)
            && fits(&counts.false_positives, counts.negatives);
        is_sound.then(|| Self { points: Self::collect(evidence, counts) })
    }

    fn collect(evidence: &EvidenceAbout, counts: &CountsAbout) -> Vec<Point> {
        let alerts = counts.true_positives.iter().zip(&counts.false_positives);
        evidence
            .grid
            .iter()
            .zip(alerts)
            .map(|(threshold, (right, wrong))| Point {
                threshold: *threshold,
                true_positives: *right,
                false_positives: *wrong,
                positives: counts.positives,
                negatives: counts.negatives,
            })
            .collect()
    }

    /// All of them, by rising threshold; never empty.
    #[must_use]
    pub fn all(&self) -> &[Point] {
        &self.points
    }

    /// Place of the threshold of the grid nearest to this one: where a slider starts.
    #[must_use]
    pub fn nearest(&self, threshold: f64) -> usize {
        let distance = |at: &usize| (self.points[*at].threshold - threshold).abs();
        (0..self.points.len()).min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(0)
    }

    /// The point at this place; of the last one for a place beyond the grid.
    #[must_use]
    pub fn at(&self, place: usize) -> Option<Point> {
        self.points.get(place.min(self.points.len().saturating_sub(1))).copied()
    }

    /// Corners `(1 − specificity, sensitivity)` of the ROC curve from no alert to every one; empty where either is undefined.
    #[must_use]
    pub fn roc(&self) -> Vec<(f64, f64)> {
        let corner = |point: &Point| Some((1.0 - point.specificity()?, point.sensitivity()?));
        self.points.iter().rev().map(corner).collect::<Option<Vec<_>>>().unwrap_or_default()
    }
}

/// A point of the reliability curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reliability {
    /// Mean probability said.
    pub predicted: f64,
    /// Share that came true.
    pub observed: f64,
    /// Bounds of a 95 % interval of that share (Wilson 1927).
    pub interval: (f64, f64),
    /// How many probabilities.
    pub count: u64,
}

/// The reliability curve, by rising probability; bins without notes or with what is no share are left out.
#[must_use]
pub fn reliability(evidence: &EvidenceAbout) -> Vec<Reliability> {
    let is_share = |p: f64| (0.0..=1.0).contains(&p);
    let mut points: Vec<Reliability> = evidence
        .reliability
        .iter()
        .filter(|bin| bin.count > 0 && is_share(bin.predicted) && is_share(bin.observed))
        .map(|bin| Reliability {
            predicted: bin.predicted,
            observed: bin.observed,
            interval: wilson(bin.observed, bin.count),
            count: bin.count,
        })
        .collect();
    points.sort_by(|a, b| a.predicted.total_cmp(&b.predicted));
    points
}

/// Mean distance between what was said and what happened, weighted by notes (expected calibration error); none without bins.
#[must_use]
pub fn calibration_error(points: &[Reliability]) -> Option<f64> {
    let notes: u64 = points.iter().map(|point| point.count).sum();
    #[expect(clippy::cast_precision_loss, reason = "notes are far fewer than 2^52")]
    let sum: f64 =
        points.iter().map(|point| (point.predicted - point.observed).abs() * point.count as f64).sum();
    #[expect(clippy::cast_precision_loss, reason = "notes are far fewer than 2^52")]
    (notes > 0).then(|| sum / notes as f64)
}

/// Wilson's score interval of a share at 95 %.
fn wilson(share: f64, count: u64) -> (f64, f64) {
    const Z: f64 = 1.959_963_984_540_054;
    #[expect(clippy::cast_precision_loss, reason = "notes are far fewer than 2^52")]
    let n = count as f64;
    let centre = share + Z * Z / (2.0 * n);
    let spread = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    (((centre - spread) / scale).max(0.0), ((centre + spread) / scale).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::about::ReliabilityAbout;

    fn evidence() -> EvidenceAbout {
        EvidenceAbout {
            grid: vec![0.1, 0.5, 0.9],
            operating: vec![CountsAbout {
                label: 1,
                positives: 10,
                negatives: 90,
                true_positives: vec![9, 5, 0],
                false_positives: vec![45, 15, 0],
            }],
            ..EvidenceAbout::default()
        }
    }

    fn close(actual: Option<f64>, expected: f64) -> bool {
        actual.is_some_and(|actual| (actual - expected).abs() < 1e-12)
    }

    #[test]
    fn counts_become_rates() {
        let points = Points::of(&evidence(), 1).unwrap();
        let point = points.at(1).unwrap();
        assert!(close(point.sensitivity(), 0.5) && close(point.specificity(), 75.0 / 90.0));
        assert!(
            close(point.ppv(), 0.25)
                && close(point.npv(), 75.0 / 80.0)
                && close(point.alerts_per_100(), 20.0)
        );
        assert_eq!(
            point.words(),
            "At 50 %: 20 of 100 notes would raise an alert; 25 of 100 alerts would be right; 50 of 100 notes with the outcome \
             would be found."
        );
        assert_eq!((points.nearest(0.28), points.nearest(0.31), points.nearest(7.0)), (0, 1, 2));
        assert_eq!(points.at(99), points.at(2));
        let roc = points.roc();
        assert_eq!((roc[0], roc[2]), ((0.0, 0.0), (0.5, 0.9)));
    }

    #[test]
    fn what_is_divided_by_nothing_is_undefined() {
        let silent = Points::of(&evidence(), 1).unwrap().at(2).unwrap();
        assert_eq!((silent.ppv(), silent.sensitivity()), (None, Some(0.0)));
        let none =
            Point { threshold: 0.1, true_positives: 0, false_positives: 0, positives: 0, negatives: 0 };
        assert_eq!(
            (none.sensitivity(), none.specificity(), none.npv(), none.alerts_per_100()),
            (None, None, None, None)
        );
        assert_eq!(none.words(), "At 10 %: no held-out notes.");
        let all = Point { threshold: 0.0, true_positives: 1, false_positives: 1, positives: 1, negatives: 1 };
        assert_eq!(all.npv(), None);
    }

    #[test]
    fn tables_that_contradict_themselves_are_left_out() {
        assert_eq!(Points::of(&evidence(), 0), None);
        for spoil in [
            |e: &mut EvidenceAbout| e.operating[0].true_positives[0] = 11,
            |e: &mut EvidenceAbout| e.operating[0].false_positives.truncate(2),
            |e: &mut EvidenceAbout| e.grid[2] = 0.2,
            |e: &mut EvidenceAbout| e.grid[2] = f64::NAN,
            |e: &mut EvidenceAbout| e.operating[0].positives = u64::MAX,
        ] {
            let mut evidence = evidence();
            spoil(&mut evidence);
            assert_eq!(Points::of(&evidence, 1), None);
        }
    }

    #[test]
    fn reliability_rises_and_has_intervals() {
        let bin = |predicted, observed, count| ReliabilityAbout { predicted, observed, count };
        let evidence = EvidenceAbout {
            reliability: vec![bin(0.6, 0.5, 10), bin(0.1, 0.2, 30), bin(0.3, 0.3, 0), bin(0.2, 1.5, 4)],
            ..EvidenceAbout::default()
        };
        let points = reliability(&evidence);
        assert_eq!(points.iter().map(|p| p.count).collect::<Vec<_>>(), [30, 10]);
        // scipy.stats.binomtest(5, 10).proportion_ci(method="wilson")
        let (low, high) = points[1].interval;
        assert!((low - 0.236_593).abs() < 1e-5 && (high - 0.763_407).abs() < 1e-5, "{low} {high}");
        assert!(close(calibration_error(&points), 0.1));
        assert_eq!(calibration_error(&[]), None);
    }
}
