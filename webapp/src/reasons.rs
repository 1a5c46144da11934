//! Which parts of a note raised or lowered an outcome, as a reader is shown them: sorted, in words, in two steps of strength.
//!
//! An effect is what the outcome's probability changes when the part is left out; what is struck in a what-if changes by the
//! same. Whether it is shown at all is decided by the check that came with it ([`Verdict`]).

use std::ops::Range;

use crate::engine::protocol::Effect;
use crate::marks::Mark;

/// Smallest change that counts as one, as a probability: a twentieth of a point, which is the last that rounds to a tenth.
pub const SMALLEST: f64 = 0.0005;

/// Which way a part pushed the outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// With it the outcome is likelier.
    Raises,
    /// With it the outcome is less likely.
    Lowers,
    /// It changes the outcome by less than [`SMALLEST`].
    Neither,
}

impl Direction {
    /// Of an effect.
    #[must_use]
    pub fn of(effect: f64) -> Self {
        match effect {
            e if e >= SMALLEST => Self::Raises,
            e if e <= -SMALLEST => Self::Lowers,
            _ => Self::Neither,
        }
    }

    /// `raises`, `lowers`, `changes nothing`.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Raises => "raises",
            Self::Lowers => "lowers",
            Self::Neither => "changes nothing",
        }
    }
}

/// One part of a note and what it does.
#[derive(Debug, Clone, PartialEq)]
pub struct Reason {
    /// Where it stands in the note.
    pub range: Range<usize>,
    /// Which way.
    pub direction: Direction,
    /// Whether its effect is at least half of the largest.
    pub is_strong: bool,
    /// Probability with it, less that without.
    pub effect: f64,
    /// The same in log-odds, before calibration.
    pub log_odds: f64,
    /// Its size beside the largest, 0 to 1.
    pub share: f64,
}

impl Reason {
    /// Style of its mark in the note; none for a part that changes nothing, or next to nothing beside the largest.
    #[must_use]
    pub fn class(&self) -> Option<&'static str> {
        match (self.direction, self.is_strong) {
            (Direction::Neither, _) => None,
            _ if self.share < 0.1 => None,
            (Direction::Raises, true) => Some("raises strong"),
            (Direction::Raises, false) => Some("raises"),
            (Direction::Lowers, true) => Some("lowers strong"),
            (Direction::Lowers, false) => Some("lowers"),
        }
    }

    /// The mark, where there is one.
    #[must_use]
    pub fn mark(&self) -> Option<Mark> {
        self.class().map(|class| Mark { range: self.range.clone(), class })
    }
}

/// The parts of a note by the size of their effect, the largest first; equal ones in the order of the note. A part whose effect
/// is no number, or that does not lie within `note`, is passed over.
#[must_use]
pub fn reasons(note: &str, effects: &[Effect]) -> Vec<Reason> {
    let is_sound = |effect: &&Effect| {
        effect.probability.is_finite()
            && note.get(effect.start..effect.end).is_some_and(|part| !part.is_empty())
    };
    let sound: Vec<&Effect> = effects.iter().filter(is_sound).collect();
    let largest = sound.iter().map(|effect| effect.probability.abs()).fold(0.0, f64::max);
    let mut reasons: Vec<Reason> = sound
        .into_iter()
        .map(|effect| {
            let share = if largest > 0.0 { effect.probability.abs() / largest } else { 0.0 };
            Reason {
                range: effect.start..effect.end,
                direction: Direction::of(effect.probability),
                is_strong: share >= 0.5,
                effect: effect.probability,
                log_odds: effect.log_odds,
                share,
            }
        })
        .collect();
    // Calibration may have steps: where the probability stays, the log-odds decide.
    reasons.sort_by(|a, b| {
        let by_effect = b.effect.abs().total_cmp(&a.effect.abs());
        by_effect.then(b.log_odds.abs().total_cmp(&a.log_odds.abs()))
    });
    reasons
}

/// Whether reasons may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Taking out what seemed to matter most changed the outcome first.
    HoldsUp,
    /// It did not, or nobody knows.
    DoesNotHoldUp,
    /// No part changes the outcome by as much as is shown.
    NothingMatters,
}

impl Verdict {
    /// Of reasons and of how far deleting parts bears them out.
    #[must_use]
    pub fn of(reasons: &[Reason], agreement: f64) -> Self {
        if reasons.iter().all(|reason| reason.direction == Direction::Neither) {
            Self::NothingMatters
        } else if agreement > 0.0 {
            Self::HoldsUp
        } else {
            Self::DoesNotHoldUp
        }
    }
}

/// A difference of probabilities in points: whole ones from 1 on, tenths below: `+3 points`, `−0.4 points`, `no change`.
#[must_use]
pub fn points(difference: f64) -> String {
    let points = 100.0 * difference;
    if !difference.is_finite() {
        return "unknown".to_owned();
    }
    if difference.abs() < SMALLEST {
        return "no change".to_owned();
    }
    let sign = if difference > 0.0 { '+' } else { '\u{2212}' };
    match points.abs() {
        size if size < 0.95 => format!("{sign}{size:.1} points"),
        size if size < 1.5 => format!("{sign}1 point"),
        size => format!("{sign}{size:.0} points"),
    }
}

/// A part of a note in one line of at most `most` characters: line breaks and runs of blanks become one blank.
#[must_use]
pub fn excerpt(text: &str, most: usize) -> String {
    let mut line = String::new();
    let mut characters = 0;
    for word in text.split_whitespace() {
        if characters > most {
            break; // what follows is cut anyway, and a note may have megabytes
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        characters += word.chars().count() + 1;
    }
    crate::risk::short(&line, most)
}

/// What has been found, in one sentence: `3 sentences raise the outcome, 1 lowers it.`
#[must_use]
pub fn summary(reasons: &[Reason], part: &str) -> String {
    let count = |direction| reasons.iter().filter(|reason| reason.direction == direction).count();
    let (raise, lower) = (count(Direction::Raises), count(Direction::Lowers));
    let parts = |n: usize| if n == 1 { part.to_owned() } else { format!("{part}s") };
    let s = |n: usize| if n == 1 { "s" } else { "" };
    match (raise, lower) {
        (0, 0) => format!("No {part} by itself changes this outcome by a tenth of a point."),
        (n, 0) => format!("{n} {} raise{} the outcome, none lowers it.", parts(n), s(n)),
        (0, n) => format!("{n} {} lower{} the outcome, none raises it.", parts(n), s(n)),
        (n, m) => format!("{n} {} raise{} the outcome, {m} lower{} it.", parts(n), s(n), s(m)),
    }
}

/// Place of a byte in the units in which a browser counts text: those of UTF-16.
#[must_use]
pub fn utf16_offset(text: &str, byte: usize) -> usize {
    text.char_indices().take_while(|(at, _)| *at < byte).map(|(_, c)| c.len_utf16()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effect(start: usize, end: usize, probability: f64) -> Effect {
        Effect { start, end, log_odds: 10.0 * probability, probability }
    }

    #[test]
    fn the_largest_effect_comes_first_whatever_its_direction() {
        let note = "aa bb cc dd";
        let effects = [effect(0, 2, 0.01), effect(3, 5, -0.2), effect(6, 8, 0.11), effect(9, 11, 0.0001)];
        let found = reasons(note, &effects);
        let order: Vec<&str> = found.iter().map(|reason| &note[reason.range.clone()]).collect();
        assert_eq!(order, ["bb", "cc", "aa", "dd"]);
        let classes: Vec<Option<&str>> = found.iter().map(Reason::class).collect();
        assert_eq!(classes, [Some("lowers strong"), Some("raises strong"), None, None]);
        let words: Vec<&str> = found.iter().map(|reason| reason.direction.words()).collect();
        assert_eq!(words, ["lowers", "raises", "raises", "changes nothing"]);
        assert_eq!(found[1].mark().map(|mark| mark.range), Some(6..8));
        assert_eq!(summary(&found, "sentence"), "2 sentences raise the outcome, 1 lowers it.");
    }

    #[test]
    fn what_does_not_fit_the_note_is_passed_over() {
        let note = "a\u{1fac0}b";
        let effects = [
            effect(0, 99, 0.5),
            effect(2, 3, 0.5),
            effect(1, 1, 0.5),
            effect(1, 5, f64::NAN),
            effect(5, 6, 0.1),
        ];
        let found = reasons(note, &effects);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].range.clone(), found[0].share), (5..6, 1.0));
        assert!(reasons("", &[]).is_empty());
    }

    #[test]
    fn steps_of_a_calibration_are_told_apart_by_log_odds() {
        let mut effects = [effect(0, 1, 0.0), effect(1, 2, 0.0), effect(2, 3, 0.0)];
        effects[1].log_odds = -0.4;
        effects[2].log_odds = 0.2;
        let order: Vec<usize> = reasons("abc", &effects).iter().map(|reason| reason.range.start).collect();
        assert_eq!(order, [1, 2, 0]);
    }

    #[test]
    fn reasons_that_deletion_does_not_bear_out_do_not_hold_up() {
        let some = reasons("ab", &[effect(0, 1, 0.1), effect(1, 2, -0.1)]);
        assert_eq!(Verdict::of(&some, 0.01), Verdict::HoldsUp);
        for agreement in [0.0, -0.2, f64::NAN] {
            assert_eq!(Verdict::of(&some, agreement), Verdict::DoesNotHoldUp);
        }
        let none = reasons("ab", &[effect(0, 1, 0.0004), effect(1, 2, -0.0004)]);
        assert_eq!(Verdict::of(&none, 1.0), Verdict::NothingMatters);
        assert_eq!(Verdict::of(&[], 1.0), Verdict::NothingMatters);
    }

    #[test]
    fn small_points_have_tenths() {
        let said = [0.03, -0.004, 0.0095, 0.0149, 0.0005, 0.0004, -0.0004, 0.0, -0.204, f64::NAN].map(points);
        let minus = '\u{2212}';
        let expected = [
            "+3 points".to_owned(),
            format!("{minus}0.4 points"),
            "+1 point".to_owned(),
            "+1 point".to_owned(),
            "+0.1 points".to_owned(),
            "no change".to_owned(),
            "no change".to_owned(),
            "no change".to_owned(),
            format!("{minus}20 points"),
            "unknown".to_owned(),
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn summaries_agree_with_their_numbers() {
        let of = |effects: &[f64]| {
            let note = "x".repeat(effects.len());
            let effects: Vec<Effect> =
                effects.iter().enumerate().map(|(at, e)| effect(at, at + 1, *e)).collect();
            summary(&reasons(&note, &effects), "word")
        };
        assert_eq!(of(&[0.1]), "1 word raises the outcome, none lowers it.");
        assert_eq!(of(&[-0.1, -0.2]), "2 words lower the outcome, none raises it.");
        assert_eq!(of(&[0.1, -0.1, -0.2]), "1 word raises the outcome, 2 lower it.");
        assert_eq!(of(&[0.0]), "No word by itself changes this outcome by a tenth of a point.");
    }

    #[test]
    fn an_excerpt_is_one_line() {
        assert_eq!(excerpt(" CHIEF  COMPLAINT:\n\tdyspnoea ", 90), "CHIEF COMPLAINT: dyspnoea");
        assert_eq!(excerpt("one two three", 8), "one two\u{2026}");
        assert_eq!(excerpt(&"word ".repeat(1_000_000), 20).chars().count(), 20);
        assert_eq!(excerpt("", 9), "");
    }

    #[test]
    fn browsers_count_in_utf16() {
        let text = "a\u{1fac0}\u{e4}b";
        let offsets: Vec<usize> = [0, 1, 5, 7, 8].iter().map(|at| utf16_offset(text, *at)).collect();
        assert_eq!(offsets, [0, 1, 3, 4, 5]);
    }
}
