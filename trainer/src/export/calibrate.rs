//! Fitting probabilities to what happened: temperature scaling and isotonic regression, on the validation split.
//!
//! The task file may name the method. Where it does not, the one with the lowest log loss is taken, each fitted on four fifths
//! of the notes and measured on the fifth that it has not seen, five times over; a tie goes to the simpler one.

use clinlora_core::probability::Calibrator;
use clinlora_core::task::{Calibration, TaskKind};

/// Parts of the notes in choosing a method.
const FOLDS: usize = 5;

/// Logits and truth of notes, row by row over the labels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scored<'a> {
    /// How many labels a note has.
    pub(crate) kind: TaskKind,
    /// Raw scores.
    pub(crate) logits: &'a [Vec<f32>],
    /// 0 or 1 for each label.
    pub(crate) targets: &'a [Vec<f32>],
}

/// Rounded to nine figures: what survives being written and read as decimal digits exactly.
#[must_use]
pub(crate) fn nine_figures(x: f64) -> f64 {
    format!("{x:.8e}").parse().expect("a number in decimal digits")
}

/// Fits a calibration as the task file asks.
#[must_use]
pub(crate) fn fit(asked: Calibration, notes: Scored<'_>) -> Calibrator {
    match asked {
        Calibration::Temperature => temperature(notes),
        Calibration::Isotonic => isotonic(notes),
        Calibration::None => choose(notes),
    }
}

fn choose(notes: Scored<'_>) -> Calibrator {
    let methods: [fn(Scored<'_>) -> Calibrator; 3] = [|_| Calibrator::None, temperature, isotonic];
    let losses = methods.map(|fit| cross_validated(notes, fit));
    let mut best = 0;
    for (place, loss) in losses.iter().enumerate() {
        if *loss < losses[best] {
            best = place;
        }
    }
    methods[best](notes)
}

fn cross_validated(notes: Scored<'_>, fit: fn(Scored<'_>) -> Calibrator) -> f64 {
    let part = |fold: usize, held: bool| {
        let keep = |i: &usize| (i % FOLDS == fold) == held;
        let places: Vec<usize> = (0..notes.logits.len()).filter(keep).collect();
        let of = |rows: &[Vec<f32>]| places.iter().map(|i| rows[*i].clone()).collect::<Vec<_>>();
        (of(notes.logits), of(notes.targets))
    };
    let mut sum = 0.0;
    for fold in 0..FOLDS {
        let (logits, targets) = part(fold, false);
        let fitted = fit(Scored { kind: notes.kind, logits: &logits, targets: &targets });
        let (logits, targets) = part(fold, true);
        sum += log_loss(&fitted, Scored { kind: notes.kind, logits: &logits, targets: &targets });
    }
    sum
}

/// Log loss in nats, summed over the notes.
fn log_loss(calibrator: &Calibrator, notes: Scored<'_>) -> f64 {
    let of_label = |(p, y): (&f64, &f32)| {
        let chance = if *y > 0.0 { *p } else { 1.0 - p };
        -chance.max(1e-12).ln()
    };
    let of_note = |(logits, target): (&Vec<f32>, &Vec<f32>)| {
        let probabilities = calibrator.probabilities(notes.kind, logits);
        let labels = probabilities.iter().zip(target);
        match notes.kind {
            TaskKind::Multilabel => labels.map(of_label).sum::<f64>(),
            TaskKind::Binary | TaskKind::Multiclass => labels.filter(|(_, y)| **y > 0.0).map(of_label).sum(),
        }
    };
    notes.logits.iter().zip(notes.targets).map(of_note).sum()
}

/// The temperature of least log loss between 1/20 and 20, by golden-section search over its logarithm, in which the loss has
/// one minimum.
fn temperature(notes: Scored<'_>) -> Calibrator {
    let loss = |ln: f64| log_loss(&Calibrator::Temperature { temperature: ln.exp() }, notes);
    let golden = (5_f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (-(20_f64.ln()), 20_f64.ln());
    let (mut left, mut right) = (high - golden * (high - low), low + golden * (high - low));
    let (mut at_left, mut at_right) = (loss(left), loss(right));
    while high - low > 1e-5 {
        if at_left <= at_right {
            (high, right, at_right) = (right, left, at_left);
            left = high - golden * (high - low);
            at_left = loss(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = low + golden * (high - low);
            at_right = loss(right);
        }
    }
    Calibrator::Temperature { temperature: nine_figures(f64::midpoint(low, high).exp()) }
}

/// Fewest notes of a step: with fewer the curve would be so steep that two devices' rounding shows in a probability.
const STEP_NOTES: f64 = 10.0;

/// A rising function for each label by pooling adjacent violators (Ayer et al. 1955), linear between the means of its steps. A
/// step of `n` notes is kept within `1/(2n)` of 0 and 1: no note is certain.
fn isotonic(notes: Scored<'_>) -> Calibrator {
    let labels = notes.targets.first().map_or(0, Vec::len);
    let raw: Vec<Vec<f64>> =
        notes.logits.iter().map(|row| Calibrator::None.probabilities(notes.kind, row)).collect();
    let curve = |label: usize| {
        let pairs = raw.iter().zip(notes.targets);
        rising(pairs.map(|(p, y)| (p[label], f64::from(y[label]))).collect(), STEP_NOTES)
    };
    Calibrator::Isotonic { curves: (0..labels).map(curve).collect() }
}

/// A step of an isotonic regression: sums of probabilities and of truths, and how many notes.
#[derive(Clone, Copy)]
struct Step {
    p: f64,
    y: f64,
    count: f64,
}

impl Step {
    fn mean(self) -> f64 {
        self.y / self.count
    }

    fn with(self, other: Self) -> Self {
        Self { p: self.p + other.p, y: self.y + other.y, count: self.count + other.count }
    }
}

fn rising(mut pairs: Vec<(f64, f64)>, least: f64) -> Vec<(f64, f64)> {
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut pooled: Vec<Step> = Vec::new();
    for equal in pairs.chunk_by(|a, b| a.0 == b.0) {
        let one = |(p, y): &(f64, f64)| Step { p: *p, y: *y, count: 1.0 };
        let step = equal.iter().map(one).reduce(Step::with).expect("a chunk has a first");
        pooled.push(step);
        while let [.., before, after] = pooled[..]
            && before.mean() >= after.mean()
        {
            pooled.truncate(pooled.len() - 2);
            pooled.push(before.with(after));
        }
    }
    // Steps that are too small join the one below; means of neighbours that rise still rise then.
    let mut steps: Vec<Step> = Vec::new();
    for step in pooled {
        match steps.last_mut() {
            Some(last) if last.count < least => *last = last.with(step),
            _ => steps.push(step),
        }
    }
    if let [.., before, after] = steps[..]
        && after.count < least
    {
        steps.truncate(steps.len() - 2);
        steps.push(before.with(after));
    }
    let mut curve: Vec<(f64, f64)> = Vec::new();
    for step in steps {
        let margin = 0.5 / step.count;
        let value = nine_figures(step.mean().clamp(margin, 1.0 - margin));
        // The margins of two steps may cross; the curve must not fall.
        let value = curve.last().map_or(value, |(_, before)| value.max(*before));
        let at = nine_figures((step.p / step.count).clamp(0.0, 1.0));
        if curve.last().is_none_or(|(before, _)| *before < at) {
            curve.push((at, value));
        }
    }
    curve
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Notes whose true log-odds are `x`, and that a model gives `sharpness · x`.
    fn overconfident(sharpness: f32) -> (Vec<Vec<f32>>, Vec<Vec<f32>>) {
        let mut state = 7_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1_u64 << 24) as f32
        };
        let (mut logits, mut targets) = (Vec::new(), Vec::new());
        for _ in 0..4000 {
            let x = 4.0 * next() - 2.0;
            let y = f32::from(u8::from(next() < 1.0 / (1.0 + (-x).exp())));
            logits.push(vec![0.0, sharpness * x]);
            targets.push(vec![1.0 - y, y]);
        }
        (logits, targets)
    }

    #[test]
    fn an_overconfident_model_is_cooled() {
        let (logits, targets) = overconfident(3.0);
        let notes = Scored { kind: TaskKind::Binary, logits: &logits, targets: &targets };
        let Calibrator::Temperature { temperature } = fit(Calibration::Temperature, notes) else {
            panic!("a temperature was asked for");
        };
        assert!((temperature - 3.0).abs() < 0.25, "{temperature}");
        let cooled = log_loss(&Calibrator::Temperature { temperature }, notes);
        assert!(cooled < log_loss(&Calibrator::None, notes));
        for other in [0.9, 1.1] {
            let beside = log_loss(&Calibrator::Temperature { temperature: temperature * other }, notes);
            assert!(cooled < beside, "the minimum: {cooled} and {beside}");
        }
        assert!(matches!(fit(Calibration::None, notes), Calibrator::Temperature { .. }), "chosen by itself");
    }

    #[test]
    fn pooling_is_as_by_hand() {
        // 0.25 and 0.5 violate the order and are pooled, then with the equal 0.75s; one note alone is never certain.
        let pairs = [(0.125, 0.0), (0.5, 0.0), (0.25, 1.0), (0.75, 1.0), (0.75, 0.0), (0.875, 1.0)];
        let curve = rising(pairs.to_vec(), 1.0);
        assert_eq!(curve, [(0.125, 0.5), (0.5625, 0.5), (0.875, 0.5)]);
        // Ten notes are nearly certain.
        let many = |notes: u8| -> Vec<(f64, f64)> {
            (0..notes).map(|i| (f64::from(i) / 32.0, f64::from(u8::from(i >= 10)))).collect()
        };
        assert_eq!(rising(many(20), 1.0), [(0.140625, 0.05), (0.453125, 0.95)]);
        // Five notes of a step are too few for one of their own.
        assert_eq!(rising(many(15), 10.0), [(0.21875, nine_figures(1.0 / 3.0))]);
        assert!(rising(Vec::new(), 1.0).is_empty());
    }

    #[test]
    fn rounded_numbers_are_read_as_they_are_written() {
        for x in [1.0 / 3.0, 1e-9 / 7.0, 0.1 + 0.2, 12.345_678_901_234] {
            let rounded = nine_figures(x);
            assert!((rounded - x).abs() <= 1e-8 * x);
            let read: f64 =
                serde_json::from_str(&serde_json::to_string(&rounded).expect("a number")).expect("a number");
            assert_eq!(read, rounded);
        }
    }
}
