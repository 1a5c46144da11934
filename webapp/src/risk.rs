//! Probabilities in words a clinician uses.
//!
//! Whole percents are read and recalled better than decimals, and natural frequencies ("18 of 100") better than percents;
//! a risk means little without the average beside it. So every outcome is said in these three ways, never in colour alone.

use crate::about::{Kind, TaskAbout};

/// Most characters of an outcome's sentence, as CDS Hooks has it for a card's summary.
pub const SENTENCE_CHARACTERS: usize = 140;

/// A probability as whole percent: `18 %`, `less than 1 %`, `more than 99 %`.
#[must_use]
pub fn percent(probability: f64) -> String {
    match hundredths(probability) {
        Hundredths::None => "unknown".to_owned(),
        Hundredths::Below => "less than 1 %".to_owned(),
        Hundredths::Above => "more than 99 %".to_owned(),
        Hundredths::Whole(n) => format!("{n} %"),
    }
}

/// A probability as a natural frequency: `about 18 of 100 such patients`.
#[must_use]
pub fn frequency(probability: f64) -> String {
    match hundredths(probability) {
        Hundredths::None => "unknown".to_owned(),
        Hundredths::Below => "fewer than 1 of 100 such patients".to_owned(),
        Hundredths::Above => "more than 99 of 100 such patients".to_owned(),
        Hundredths::Whole(n) => format!("about {n} of 100 such patients"),
    }
}

/// A difference in whole points with its sign: `+3 points`, `−1 point`, `no change`, `less than 1 point more`.
#[must_use]
pub fn points(difference: f64) -> String {
    let rounded = (100.0 * difference).round();
    if !difference.is_finite() {
        "unknown".to_owned()
    } else if rounded == 0.0 {
        match difference {
            d if d > 0.0005 => "less than 1 point more".to_owned(),
            d if d < -0.0005 => "less than 1 point less".to_owned(),
            _ => "no change".to_owned(),
        }
    } else {
        let sign = if rounded > 0.0 { '+' } else { '\u{2212}' };
        let plural = if rounded.abs() == 1.0 { "" } else { "s" };
        format!("{sign}{} point{plural}", rounded.abs())
    }
}

enum Hundredths {
    None,
    Below,
    Whole(u32),
    Above,
}

/// Ends are kept apart: neither 0 % nor 100 % is ever claimed.
fn hundredths(probability: f64) -> Hundredths {
    let p = 100.0 * probability;
    if !(0.0..=100.0).contains(&p) {
        Hundredths::None
    } else if p < 1.0 {
        Hundredths::Below
    } else if p > 99.0 {
        Hundredths::Above
    } else {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 99")]
        Hundredths::Whole(p.round() as u32)
    }
}

/// Where a risk lies beside the average.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relation {
    /// Odds at most a half of the average's.
    WellBelow,
    /// Below.
    Below,
    /// Within a quarter of it, or within a point.
    About,
    /// Above.
    Above,
    /// Odds at least twice the average's.
    WellAbove,
}

impl Relation {
    /// Of a probability to a base rate. Odds are compared, so that 99 % beside 97 % counts as 1 % beside 3 % does; a
    /// difference below one point is never more than "about".
    #[must_use]
    pub fn of(probability: f64, base_rate: f64) -> Self {
        let odds = |p: f64| p.clamp(1e-6, 1.0 - 1e-6) / (1.0 - p.clamp(1e-6, 1.0 - 1e-6));
        let ratio = odds(probability) / odds(base_rate);
        if (probability - base_rate).abs() < 0.01 || (0.8..=1.25).contains(&ratio) {
            Self::About
        } else if ratio >= 2.0 {
            Self::WellAbove
        } else if ratio <= 0.5 {
            Self::WellBelow
        } else if ratio > 1.0 {
            Self::Above
        } else {
            Self::Below
        }
    }

    /// In words: `well above average`.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::WellBelow => "well below average",
            Self::Below => "below average",
            Self::About => "about average",
            Self::Above => "above average",
            Self::WellAbove => "well above average",
        }
    }

    /// A mark that needs no colour: `↓↓`, `↓`, `≈`, `↑`, `↑↑`.
    #[must_use]
    pub fn mark(self) -> &'static str {
        match self {
            Self::WellBelow => "\u{2193}\u{2193}",
            Self::Below => "\u{2193}",
            Self::About => "\u{2248}",
            Self::Above => "\u{2191}",
            Self::WellAbove => "\u{2191}\u{2191}",
        }
    }
}

/// Which label is "the outcome" of a task: of a binary one the positive label, the second; else none.
#[must_use]
pub fn outcome_label(task: &TaskAbout) -> Option<usize> {
    (task.kind == Kind::Binary && task.labels.len() == 2).then_some(1)
}

/// The likeliest label and its probability; the first of equals, none without a number.
#[must_use]
pub fn likeliest(probabilities: &[f64]) -> Option<(usize, f64)> {
    let numbers = probabilities.iter().copied().enumerate().filter(|(_, p)| p.is_finite());
    numbers.fold(None, |best, (at, p)| match best {
        Some((_, most)) if most >= p => best,
        _ => Some((at, p)),
    })
}

/// What is said of one outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct Risk {
    /// Place of the label it speaks of.
    pub label: usize,
    /// Its probability.
    pub probability: f64,
    /// Share of the validation notes with it.
    pub base_rate: Option<f64>,
    /// Where the first lies beside the second.
    pub relation: Option<Relation>,
    /// `18 %`.
    pub percent: String,
    /// `about 18 of 100 such patients`.
    pub frequency: String,
    /// `average 10 %, well above average`; empty where the average is unknown.
    pub beside: String,
}

impl Risk {
    /// Of one label.
    #[must_use]
    pub fn of(task: &TaskAbout, label: usize, probability: f64) -> Self {
        let base_rate = task.base_rate(label).filter(|rate| rate.is_finite());
        let relation = base_rate.map(|rate| Relation::of(probability, rate));
        let beside = match (base_rate, relation) {
            (Some(rate), Some(relation)) => format!("average {}, {}", percent(rate), relation.words()),
            _ => String::new(),
        };
        Self {
            label,
            probability,
            base_rate,
            relation,
            percent: percent(probability),
            frequency: frequency(probability),
            beside,
        }
    }
}

/// One sentence for a task's card, at most [`SENTENCE_CHARACTERS`] characters.
#[must_use]
pub fn sentence(task: &TaskAbout, probabilities: &[f64]) -> String {
    let words = |label: usize| task.labels.get(label).map_or("", |label| label.words());
    let said = match (outcome_label(task), task.kind) {
        (Some(label), _) if label < probabilities.len() => {
            let risk = Risk::of(task, label, probabilities[label]);
            let beside = if risk.beside.is_empty() { String::new() } else { format!(" ({})", risk.beside) };
            let head = format!("{}: {}{beside}", capital(words(label)), risk.percent);
            let whole = format!("{head}, {}", risk.frequency);
            if whole.chars().count() < SENTENCE_CHARACTERS { whole } else { head }
        }
        (_, Kind::Multiclass) => distribution(task, probabilities),
        (_, Kind::Multilabel) => {
            let passed = (0..probabilities.len()).filter(|label| {
                task.threshold(*label).is_some_and(|threshold| probabilities[*label] >= threshold)
            });
            let first = likeliest(probabilities).map_or(String::new(), |(label, p)| {
                format!("; likeliest {} ({})", short(words(label), 60), percent(p))
            });
            format!("{} of {} codes above their threshold{first}", passed.count(), task.labels.len())
        }
        _ => likeliest(probabilities).map_or_else(
            || "No outcome".to_owned(),
            |(label, p)| format!("{}: {}", words(label), percent(p)),
        ),
    };
    short(&said, SENTENCE_CHARACTERS - 1)
}

/// A distribution in words: `Most likely 4 to 7 days (41 %), then at most 3 days (30 %); beyond 7 days 29 %`, without the last
/// part where the labels are no lengths of stay.
#[must_use]
pub fn distribution(task: &TaskAbout, probabilities: &[f64]) -> String {
    let mut order: Vec<usize> =
        (0..probabilities.len().min(task.labels.len())).filter(|at| probabilities[*at].is_finite()).collect();
    order.sort_by(|a, b| probabilities[*b].total_cmp(&probabilities[*a]));
    let part = |at: usize| format!("{} ({})", short(task.labels[at].words(), 40), percent(probabilities[at]));
    match order.as_slice() {
        [] => "No outcome".to_owned(),
        [only] => format!("Most likely {}", part(*only)),
        [first, second, ..] if probabilities[*first] - probabilities[*second] < 0.05 => {
            format!("Undecided between {} and {}", part(*first), part(*second))
        }
        [first, second, ..] => format!("Most likely {}, then {}", part(*first), part(*second)),
    }
}

/// The probability that a stay is longer than a number of days, from bins whose labels say their days; none where a bin lies
/// across the border or a label is no length of stay.
#[must_use]
pub fn longer_than(task: &TaskAbout, probabilities: &[f64], days: u32) -> Option<f64> {
    let mut longer = 0.0;
    for (label, p) in task.labels.iter().zip(probabilities) {
        let (low, high) = days_of(label.words())?;
        if low >= days {
            longer += p;
        } else if high.is_none_or(|high| high > days) {
            return None;
        }
    }
    Some(longer)
}

/// Days a length-of-stay label covers: the lower border and, where there is one, the upper. `at most 3 days` is `(0, 3)`,
/// `more than 14 days` is `(14, none)`, `more than 3, up to 7 days` is `(3, 7)`, `4 to 7 days` too: days are whole, and its
/// lower border is the end of the day before.
#[must_use]
pub fn days_of(words: &str) -> Option<(u32, Option<u32>)> {
    let lower = words.to_lowercase();
    if !(lower.contains("day") || lower.contains("week")) {
        return None;
    }
    let unit = if lower.contains("week") { 7 } else { 1 };
    let numbers: Vec<u32> =
        lower.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse::<u32>().ok()).collect();
    let above = ["more than", "over", "longer", "above", ">"].iter().any(|word| lower.contains(word));
    match numbers.as_slice() {
        [one] if above => Some((one.checked_mul(unit)?, None)),
        [one] => Some((0, Some(one.checked_mul(unit)?))),
        [low, high] if low < high => {
            let low = if above || unit == 7 { *low } else { low.saturating_sub(1) };
            Some((low.checked_mul(unit)?, Some(high.checked_mul(unit)?)))
        }
        _ => None,
    }
}

/// The beginning of a text, with an ellipsis where something is left out.
#[must_use]
pub fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{}\u{2026}", kept.trim_end())
}

/// A text with its first letter large.
#[must_use]
pub fn capital(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map_or_else(String::new, |first| first.to_uppercase().chain(rest).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::about::{EvidenceAbout, LabelAbout};

    fn task(kind: Kind, labels: &[&str], base_rates: &[f64]) -> TaskAbout {
        TaskAbout {
            kind,
            labels: labels
                .iter()
                .enumerate()
                .map(|(at, words)| LabelAbout { name: at.to_string(), description: (*words).to_owned() })
                .collect(),
            evidence: Some(EvidenceAbout {
                base_rates: base_rates.to_vec(),
                thresholds: vec![Some(0.3); base_rates.len()],
                ..EvidenceAbout::default()
            }),
            ..TaskAbout::default()
        }
    }

    #[test]
    fn neither_never_nor_always_is_claimed() {
        let said = [0.0, 0.0099, 0.01, 0.184, 0.5, 0.99, 0.9901, 1.0].map(percent);
        let expected = [
            "less than 1 %",
            "less than 1 %",
            "1 %",
            "18 %",
            "50 %",
            "99 %",
            "more than 99 %",
            "more than 99 %",
        ];
        assert_eq!(said, expected);
        assert_eq!(percent(f64::NAN), "unknown");
        assert_eq!(frequency(0.184), "about 18 of 100 such patients");
        assert_eq!(frequency(0.001), "fewer than 1 of 100 such patients");
    }

    #[test]
    fn differences_are_said_in_points() {
        let said = [0.03, -0.0123, 0.002, -0.002, 0.0, -0.2].map(points);
        let expected = [
            "+3 points",
            "\u{2212}1 point",
            "less than 1 point more",
            "less than 1 point less",
            "no change",
            "\u{2212}20 points",
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn relations_compare_odds_and_pass_over_less_than_a_point() {
        assert_eq!(Relation::of(0.18, 0.10), Relation::Above);
        assert_eq!(Relation::of(0.25, 0.10), Relation::WellAbove);
        assert_eq!(Relation::of(0.105, 0.10), Relation::About);
        assert_eq!(Relation::of(0.07, 0.10), Relation::Below);
        assert_eq!(Relation::of(0.04, 0.10), Relation::WellBelow);
        assert_eq!(Relation::of(0.009, 0.001), Relation::About, "less than a point");
        assert_eq!(Relation::of(0.99, 0.97), Relation::WellAbove);
        assert_eq!(Relation::of(0.0, 0.5), Relation::WellBelow);
        assert_eq!(Relation::of(1.0, 1.0), Relation::About);
    }

    #[test]
    fn a_binary_outcome_is_its_second_label() {
        let mor = task(Kind::Binary, &["leaves hospital alive", "dies in hospital"], &[0.9, 0.1]);
        assert_eq!(outcome_label(&mor), Some(1));
        assert_eq!(
            sentence(&mor, &[0.82, 0.18]),
            "Dies in hospital: 18 % (average 10 %, above average), about 18 of 100 such patients"
        );
        assert_eq!(outcome_label(&task(Kind::Multiclass, &["a", "b"], &[])), None);
    }

    #[test]
    fn lengths_of_stay_are_a_distribution() {
        let labels =
            ["up to 3 days", "more than 3, up to 7 days", "more than 7, up to 14 days", "more than 14 days"];
        let los = task(Kind::Multiclass, &labels, &[]);
        let p = [0.2, 0.5, 0.2, 0.1];
        assert!(
            distribution(&los, &p)
                .starts_with("Most likely more than 3, up to 7 days (50 %), then up to 3 days")
        );
        assert!(distribution(&los, &[0.3, 0.31, 0.2, 0.19]).starts_with("Undecided between"));
        assert!((longer_than(&los, &p, 7).unwrap() - 0.3).abs() < 1e-12);
        assert_eq!(longer_than(&los, &p, 5), None, "within a bin");
        assert_eq!(longer_than(&task(Kind::Multiclass, &["a", "b"], &[]), &[0.5, 0.5], 3), None);
    }

    #[test]
    fn days_are_read_from_labels() {
        let read =
            ["at most 3 days", "4 to 7 days", "> 14 days", "over 2 weeks", "1 week at most", "7", "no days"];
        let expected = [
            Some((0, Some(3))),
            Some((3, Some(7))),
            Some((14, None)),
            Some((14, None)),
            Some((0, Some(7))),
            None,
            None,
        ];
        assert_eq!(read.map(days_of), expected);
    }

    #[test]
    fn the_labels_of_the_published_task_are_lengths() {
        let labels =
            ["3 days at most", "more than 3 to 7 days", "more than 1 to 2 weeks", "more than 2 weeks"];
        assert_eq!(
            labels.map(days_of),
            [Some((0, Some(3))), Some((3, Some(7))), Some((7, Some(14))), Some((14, None))]
        );
        let los = task(Kind::Multiclass, &labels, &[]);
        assert!((longer_than(&los, &[0.2, 0.4, 0.3, 0.1], 7).unwrap() - 0.4).abs() < 1e-12);
    }

    #[test]
    fn every_sentence_is_short_whatever_the_labels() {
        let long = "a description of unusual length that goes on and on ".repeat(9);
        for kind in [Kind::Binary, Kind::Multiclass, Kind::Multilabel, Kind::Other] {
            for labels in [vec![long.as_str(), long.as_str()], vec!["\u{e4}"; 2], vec![], vec!["x"]] {
                for p in [vec![0.3, 0.7], vec![], vec![f64::NAN, 0.5], vec![0.1]] {
                    let said = sentence(&task(kind, &labels, &[0.5, 0.5]), &p);
                    assert!(said.chars().count() < SENTENCE_CHARACTERS, "{said}");
                }
            }
        }
        let codes = task(Kind::Multilabel, &["Heart failure", "Diabetes"], &[0.1, 0.2]);
        assert_eq!(
            sentence(&codes, &[0.4, 0.1]),
            "1 of 2 codes above their threshold; likeliest Heart failure (40 %)"
        );
    }
}
