//! Predictions beside each other: which labels of a task are worth a line, and how they changed.

use crate::about::{Kind, TaskAbout};
use crate::risk::outcome_label;

/// Labels that a task without a short list of them shows at most, likeliest first; changed ones may add as many.
pub const LIKELIEST: usize = 4;

/// Smallest change that earns a label of a long list a line of its own: a point.
pub const CHANGED: f64 = 0.01;

/// Labels of a task to compare, in the order shown: of a binary task the outcome, of one with few labels all of them, of a long
/// list the likeliest of the first prediction and those that change most in the others.
#[must_use]
pub fn labels(task: &TaskAbout, first: &[f64], others: &[&[f64]]) -> Vec<usize> {
    let count = first.len().min(task.labels.len());
    if let Some(outcome) = outcome_label(task).filter(|outcome| *outcome < count) {
        return vec![outcome];
    }
    if task.kind != Kind::Multilabel && count <= 2 * LIKELIEST {
        return (0..count).collect();
    }
    let mut shown = largest(count, |label| first[label]);
    let change = |label: usize| {
        let changes = others.iter().filter_map(|other| other.get(label)).map(|p| (p - first[label]).abs());
        changes.filter(|change| *change >= CHANGED).fold(0.0, f64::max)
    };
    for label in largest(count, change) {
        if change(label) > 0.0 && !shown.contains(&label) {
            shown.push(label);
        }
    }
    shown
}

/// The [`LIKELIEST`] labels with the largest values, equal ones in their order.
fn largest(count: usize, value: impl Fn(usize) -> f64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).filter(|label| value(*label).is_finite()).collect();
    order.sort_by(|a, b| value(*b).total_cmp(&value(*a)));
    order.truncate(LIKELIEST);
    order
}

/// The largest change of any label between two predictions of one task; none where they do not fit each other.
#[must_use]
pub fn largest_change(first: &[f64], second: &[f64]) -> Option<f64> {
    let changes = first.iter().zip(second).map(|(a, b)| b - a);
    let largest =
        changes.fold(0.0, |most: f64, change| if change.abs() > most.abs() { change } else { most });
    (first.len() == second.len() && !first.is_empty()).then_some(largest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::about::LabelAbout;

    fn task(kind: Kind, count: usize) -> TaskAbout {
        let label = |n: usize| LabelAbout { name: n.to_string(), description: String::new() };
        TaskAbout { kind, labels: (0..count).map(label).collect(), ..TaskAbout::default() }
    }

    #[test]
    fn short_lists_are_shown_whole_and_binary_ones_by_their_outcome() {
        assert_eq!(labels(&task(Kind::Binary, 2), &[0.9, 0.1], &[]), [1]);
        assert_eq!(labels(&task(Kind::Multiclass, 4), &[0.1, 0.2, 0.3, 0.4], &[]), [0, 1, 2, 3]);
        assert!(labels(&task(Kind::Binary, 2), &[], &[]).is_empty());
        assert_eq!(labels(&task(Kind::Other, 3), &[0.1, 0.2], &[]), [0, 1]);
    }

    #[test]
    fn of_long_lists_the_likeliest_and_the_changed_are_shown() {
        let first = [0.5, 0.01, 0.02, 0.6, 0.4, 0.3, 0.1, f64::NAN];
        let mut second = first;
        second[1] = 0.2;
        second[2] = 0.025;
        second[3] = 0.1;
        assert_eq!(labels(&task(Kind::Multilabel, 8), &first, &[&second]), [3, 0, 4, 5, 1]);
        assert_eq!(labels(&task(Kind::Multilabel, 8), &first, &[&first, &[]]), [3, 0, 4, 5]);
    }

    #[test]
    fn the_largest_change_keeps_its_sign() {
        assert_eq!(largest_change(&[0.5, 0.5], &[0.6, 0.2]).map(|c| (100.0 * c).round()), Some(-30.0));
        assert_eq!(largest_change(&[0.5], &[]), None);
        assert_eq!(largest_change(&[], &[]), None);
    }
}
