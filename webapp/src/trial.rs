//! A copy of the note on which changes are tried: what was changed, what the text is now, and the way back from each change by
//! itself.
//!
//! Every change is kept as replacements in the *first* text, so that one can be undone without those made after it. Where two
//! meet, a struck passage hides what was changed within it, and typing over a change takes its place.

use std::ops::Range;

use crate::note::edit::{Change, Sex, change_age, change_sex};
use crate::reasons::excerpt;

/// Most characters of a passage that is named in a list.
const NAMED: usize = 70;

/// A passage of the first text and what stands there instead.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hunk {
    range: Range<usize>,
    to: String,
}

/// What a change is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A passage was left out.
    Struck,
    /// The patient has another age.
    Age {
        /// Years.
        years: u32,
    },
    /// The patient has another sex.
    Sex(Sex),
    /// Something was typed.
    Typed,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it is.
    pub kind: Kind,
    hunks: Vec<Hunk>,
}

/// A copy of a note with the changes tried on it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trial {
    first: String,
    steps: Vec<Step>,
}

/// A passage of the text as it is now, and of the first text.
struct Piece {
    now: Range<usize>,
    first: Range<usize>,
    /// Step and hunk it is from; none for what was left as it was.
    from: Option<(usize, usize)>,
}

impl Trial {
    /// An unchanged copy.
    #[must_use]
    pub fn new(first: String) -> Self {
        Self { first, steps: Vec::new() }
    }

    /// The text before any change.
    #[must_use]
    pub fn first(&self) -> &str {
        &self.first
    }

    /// The changes, in the order they were made.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The text with all changes.
    #[must_use]
    pub fn text(&self) -> String {
        self.pieces().1
    }

    /// Strikes a passage of the first text; what is struck already stays so. False if that changes nothing.
    pub fn strike(&mut self, range: Range<usize>) -> bool {
        let Some(place) = struck_range(&self.first, &range) else { return false };
        if self.struck(&range).is_some() {
            return false;
        }
        let hunk = Hunk { range: place, to: String::new() };
        let is_in_the_way = |typed: &Hunk| {
            let meets = typed.range.start <= hunk.range.end && hunk.range.start <= typed.range.end;
            meets && !(range.start < typed.range.start && typed.range.end < range.end)
        };
        if self.typed().any(is_in_the_way) {
            // What was typed beside it stays, so that only what is still there of the passage goes.
            return self.strike_rest(&range);
        }
        self.steps.push(Step { kind: Kind::Struck, hunks: vec![hunk] });
        true
    }

    /// Takes out of the present text what is left of a passage of the first.
    fn strike_rest(&mut self, range: &Range<usize>) -> bool {
        let (pieces, now) = self.pieces();
        let mut rest: Option<Range<usize>> = None;
        for Piece { now, first, from } in pieces {
            let part = first.start.max(range.start)..first.end.min(range.end);
            let is_whole = part == first;
            if part.start >= part.end || (from.is_some() && !is_whole) {
                continue;
            }
            let place = if from.is_some() {
                now
            } else {
                now.start + part.start - first.start..now.end + part.end - first.end
            };
            rest =
                Some(rest.map_or(place.clone(), |rest| rest.start.min(place.start)..rest.end.max(place.end)));
        }
        let Some(rest) = rest else { return false };
        let Some(Range { start, end }) = struck_range(&now, &rest) else { return false };
        self.edit(&format!("{}{}", &now[..start], &now[end..]));
        true
    }

    /// Place of the step that strikes a passage of the first text.
    #[must_use]
    pub fn struck(&self, range: &Range<usize>) -> Option<usize> {
        let covers = |hunk: &Hunk| hunk.range.start <= range.start && range.end <= hunk.range.end;
        self.steps.iter().position(|step| step.kind == Kind::Struck && step.hunks.iter().any(covers))
    }

    /// Passages of the first text that are struck.
    #[must_use]
    pub fn struck_passages(&self) -> Vec<Range<usize>> {
        let struck = self.steps.iter().filter(|step| step.kind == Kind::Struck);
        struck.flat_map(|step| &step.hunks).map(|hunk| hunk.range.clone()).collect()
    }

    /// Gives the patient another age. False if the text tells none, or this one.
    pub fn set_age(&mut self, years: u32) -> bool {
        self.steps.retain(|step| !matches!(step.kind, Kind::Age { .. }));
        let changed = change_age(&self.first, years).unwrap_or_default();
        self.push(Kind::Age { years }, &changed.changes)
    }

    /// Gives the patient this sex. False if the text tells none, or this one.
    pub fn set_sex(&mut self, sex: Sex) -> bool {
        self.steps.retain(|step| !matches!(step.kind, Kind::Sex(_)));
        let changed = change_sex(&self.first, sex);
        self.push(Kind::Sex(sex), &changed.changes)
    }

    fn push(&mut self, kind: Kind, changes: &[Change]) -> bool {
        let typed: Vec<Range<usize>> = self.typed().map(|hunk| hunk.range.clone()).collect();
        let is_free = |hunk: &Hunk| {
            !typed.iter().any(|typed| typed.start < hunk.range.end && hunk.range.start < typed.end)
        };
        let hunks: Vec<Hunk> = hunks(changes).into_iter().filter(is_free).collect();
        let is_change = !hunks.is_empty();
        if is_change {
            self.steps.push(Step { kind, hunks });
        }
        is_change
    }

    fn typed(&self) -> impl Iterator<Item = &Hunk> {
        self.steps.iter().filter(|step| step.kind == Kind::Typed).flat_map(|step| &step.hunks)
    }

    /// Takes over what was typed: the present text becomes `text`.
    pub fn edit(&mut self, text: &str) {
        let (pieces, now) = self.pieces();
        let Some((place, with)) = difference(&now, text) else { return };
        let is_typed =
            |piece: &Piece| piece.from.is_some_and(|(step, _)| self.steps[step].kind == Kind::Typed);
        // Changes that were typed over become part of this one; so does what was typed right beside it.
        let is_taken = |piece: &&Piece| {
            let is_over = piece.now.start < place.end && place.start < piece.now.end;
            let is_beside = piece.now.start <= place.end && place.start <= piece.now.end;
            piece.from.is_some() && (is_over || is_typed(piece) && is_beside)
        };
        let taken: Vec<&Piece> = pieces.iter().filter(is_taken).collect();
        let mut range = place.clone();
        let mut first = first_range(&pieces, &place);
        for piece in &taken {
            range = range.start.min(piece.now.start)..range.end.max(piece.now.end);
            first = Some(first.map_or(piece.first.clone(), |first| {
                first.start.min(piece.first.start)..first.end.max(piece.first.end)
            }));
        }
        let Some(first) = first else { return };
        let with = format!("{}{with}{}", &now[range.start..place.start], &now[place.end..range.end]);
        let is_shown = |hunk: (usize, usize)| pieces.iter().any(|piece| piece.from == Some(hunk));
        let is_gone = |at: (usize, usize), hunk: &Hunk| match is_shown(at) {
            true => {
                let is_inside = first.start < hunk.range.end && hunk.range.start < first.end;
                is_inside || taken.iter().any(|piece| piece.from == Some(at))
            }
            false => first.start <= hunk.range.end && hunk.range.start <= first.end,
        };
        let mut steps = self.steps.clone();
        for (step, Step { hunks, .. }) in steps.iter_mut().enumerate() {
            let kept = std::mem::take(hunks).into_iter().enumerate();
            *hunks = kept.filter(|(at, hunk)| !is_gone((step, *at), hunk)).map(|(_, hunk)| hunk).collect();
        }
        steps.retain(|step| !step.hunks.is_empty());
        // What was typed and taken back is no change.
        if let Some((within, to)) = difference(&self.first[first.clone()], &with) {
            let range = first.start + within.start..first.start + within.end;
            steps.push(Step { kind: Kind::Typed, hunks: vec![Hunk { range, to: to.to_owned() }] });
        }
        self.steps = steps;
    }

    /// Takes one change back.
    pub fn undo(&mut self, place: usize) {
        if place < self.steps.len() {
            self.steps.remove(place);
        }
    }

    /// Takes all changes back.
    pub fn undo_all(&mut self) {
        self.steps.clear();
    }

    /// A change in words: `Struck: “On vasopressors.”`.
    #[must_use]
    pub fn words(&self, step: &Step) -> String {
        let quoted = |text: &str| format!("\u{201c}{}\u{201d}", excerpt(text, NAMED));
        let passage = |hunk: &Hunk| self.first[hunk.range.clone()].to_owned();
        match (step.kind, step.hunks.as_slice()) {
            (Kind::Struck, [hunk, ..]) => format!("Struck: {}", quoted(&passage(hunk))),
            (Kind::Age { years }, [hunk, ..]) => format!("Age: {} instead of {}", years, passage(hunk)),
            (Kind::Sex(sex), hunks) => {
                let s = if hunks.len() == 1 { "" } else { "s" };
                format!("Sex: a {} ({} word{s} changed)", sex.words(), hunks.len())
            }
            (Kind::Typed, [hunk, ..]) => match (passage(hunk).trim(), hunk.to.trim()) {
                ("", "") => "Typed: blanks".to_owned(),
                ("", to) => format!("Typed: {}", quoted(to)),
                (from, "") => format!("Removed: {}", quoted(from)),
                (from, to) => format!("Typed: {} instead of {}", quoted(to), quoted(from)),
            },
            (_, []) => String::new(),
        }
    }

    /// The words a change replaced, each with what stands there now.
    #[must_use]
    pub fn replaced<'a>(&'a self, step: &'a Step) -> Vec<(&'a str, &'a str)> {
        step.hunks.iter().map(|hunk| (&self.first[hunk.range.clone()], hunk.to.as_str())).collect()
    }

    /// The present text, and the pieces it is made of, in order.
    fn pieces(&self) -> (Vec<Piece>, String) {
        let mut hunks: Vec<((usize, usize), &Hunk)> = Vec::new();
        for (step, Step { hunks: own, .. }) in self.steps.iter().enumerate() {
            hunks.extend(own.iter().enumerate().map(|(place, hunk)| ((step, place), hunk)));
        }
        // Insertions before what is replaced behind them; of two that begin together the longer hides the other.
        hunks
            .sort_by_key(|(_, hunk)| (hunk.range.start, !hunk.range.is_empty(), usize::MAX - hunk.range.end));
        let (mut pieces, mut text, mut at) = (Vec::new(), String::new(), 0);
        let mut add = |first: Range<usize>, words: &str, from: Option<(usize, usize)>| {
            let start = text.len();
            text.push_str(words);
            pieces.push(Piece { now: start..text.len(), first, from });
        };
        for (from, Hunk { range, to }) in hunks {
            if range.start < at {
                continue;
            }
            add(at..range.start, &self.first[at..range.start], None);
            add(range.clone(), to, Some(from));
            at = range.end;
        }
        add(at..self.first.len(), &self.first[at..], None);
        (pieces, text)
    }
}

/// What goes with a passage that is struck: one blank behind it where a blank stands before it, as where the model's reasons leave
/// a passage out. None for a range without text, or not on borders of characters.
fn struck_range(text: &str, range: &Range<usize>) -> Option<Range<usize>> {
    text.get(range.clone()).filter(|passage| !passage.is_empty())?;
    let before = &text[..range.start];
    let is_apart = before.is_empty() || before.ends_with(char::is_whitespace);
    let blank = text[range.end..].chars().next().filter(|c| is_apart && c.is_whitespace());
    Some(range.start..range.end + blank.map_or(0, char::len_utf8))
}

/// Where a passage of the present text stands in the first, as far as it was left as it was; none if nothing of it was.
fn first_range(pieces: &[Piece], place: &Range<usize>) -> Option<Range<usize>> {
    let plain = pieces.iter().filter(|piece| piece.from.is_none());
    let parts = plain.filter_map(|Piece { now, first, .. }| {
        let is_met = match place.is_empty() {
            true => now.start <= place.start && place.end <= now.end,
            false => now.start < place.end && place.start < now.end,
        };
        let part = place.start.max(now.start)..place.end.min(now.end);
        is_met.then(|| first.start + (part.start - now.start)..first.start + (part.end - now.start))
    });
    let mut parts = parts;
    let one = parts.next()?;
    // A place between two passages belongs to the end of the one before it.
    Some(if place.is_empty() { one } else { parts.fold(one, |all, part| all.start..part.end) })
}

/// Replacements in the first text, from changes that tell where the new words stand.
fn hunks(changes: &[Change]) -> Vec<Hunk> {
    let (mut added, mut removed) = (0, 0);
    changes
        .iter()
        .map(|Change { range, from, to }| {
            let start = range.start + removed - added;
            added += to.len();
            removed += from.len();
            Hunk { range: start..start + from.len(), to: to.clone() }
        })
        .collect()
}

/// The one passage of `from` that differs in `to`, and what stands there; none where the two are equal.
fn difference<'a>(from: &str, to: &'a str) -> Option<(Range<usize>, &'a str)> {
    if from == to {
        return None;
    }
    let ahead = from.chars().zip(to.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8());
    let start: usize = ahead.sum();
    let behind = from[start..].chars().rev().zip(to[start..].chars().rev());
    let end: usize = behind.take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
    Some((start..from.len() - end, &to[start..to.len() - end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTE: &str = "68F with CAD. She fell. On vasopressors. Her son called.";

    fn trial() -> Trial {
        Trial::new(NOTE.to_owned())
    }

    fn part(words: &str) -> Range<usize> {
        let start = NOTE.find(words).unwrap();
        start..start + words.len()
    }

    fn said(trial: &Trial) -> Vec<String> {
        trial.steps().iter().map(|step| trial.words(step)).collect()
    }

    #[test]
    fn each_change_is_undone_by_itself() {
        let mut trial = trial();
        assert!(trial.strike(part("She fell.")) && trial.set_age(50) && trial.set_sex(Sex::Male));
        assert_eq!(trial.text(), "50M with CAD. On vasopressors. His son called.");
        let expected =
            ["Struck: \u{201c}She fell.\u{201d}", "Age: 50 instead of 68", "Sex: a man (3 words changed)"];
        assert_eq!(said(&trial), expected);
        let pairs = trial.replaced(&trial.steps()[2]);
        assert_eq!(pairs, [("F", "M"), ("She", "He"), ("Her", "His")]);
        trial.undo(0);
        assert_eq!(trial.text(), "50M with CAD. He fell. On vasopressors. His son called.");
        trial.undo(0);
        assert_eq!(trial.text(), "68M with CAD. He fell. On vasopressors. His son called.");
        trial.undo_all();
        assert_eq!((trial.text().as_str(), trial.steps().len()), (NOTE, 0));
        trial.undo(3);
    }

    #[test]
    fn a_second_age_replaces_the_first_and_the_notes_own_is_no_change() {
        let mut trial = trial();
        assert!(trial.set_age(50) && trial.set_age(7));
        assert!(trial.text().starts_with("7F with"));
        assert_eq!(trial.steps().len(), 1);
        assert!(!trial.set_age(68) && trial.steps().is_empty());
        assert!(!trial.set_sex(Sex::Female) && trial.text() == NOTE);
        assert!(!Trial::new("no age".to_owned()).set_age(3));
    }

    #[test]
    fn a_passage_is_struck_once() {
        let mut trial = trial();
        assert!(trial.strike(part("She fell.")));
        assert!(!trial.strike(part("She fell.")) && !trial.strike(0..0) && !trial.strike(0..9999));
        assert_eq!(trial.struck(&part("She fell.")), Some(0));
        assert_eq!(trial.struck(&part("On vasopressors.")), None);
        assert!(trial.strike(part("On vasopressors.")));
        assert_eq!(trial.text(), "68F with CAD. Her son called.");
    }

    #[test]
    fn typing_letter_by_letter_is_one_change() {
        let mut trial = trial();
        for typed in ["68F with CAD, ", "68F with CAD, D", "68F with CAD, DM"] {
            trial.edit(&format!("{typed}. She fell. On vasopressors. Her son called."));
        }
        assert_eq!(said(&trial), ["Typed: \u{201c}, DM\u{201d}"]);
        assert_eq!(trial.text(), "68F with CAD, DM. She fell. On vasopressors. Her son called.");
        trial.edit(NOTE);
        assert_eq!((trial.steps().len(), trial.text().as_str()), (0, NOTE));
    }

    #[test]
    fn typing_in_two_places_is_two_changes() {
        let mut trial = trial();
        trial.edit("68F with CAD and DM. She fell. On vasopressors. Her son called.");
        trial.edit("68F with CAD and DM. She fell. Off vasopressors. Her son called.");
        assert_eq!(
            said(&trial),
            ["Typed: \u{201c}and DM\u{201d}", "Typed: \u{201c}ff\u{201d} instead of \u{201c}n\u{201d}"]
        );
        trial.undo(0);
        assert_eq!(trial.text(), "68F with CAD. She fell. Off vasopressors. Her son called.");
    }

    #[test]
    fn typing_over_a_change_takes_its_place() {
        let mut trial = trial();
        trial.set_age(50);
        trial.strike(part("She fell."));
        trial.edit("A patient. Her son called.");
        assert_eq!(trial.text(), "A patient. Her son called.");
        assert_eq!(trial.steps().len(), 1);
        assert!(!trial.set_age(20), "its place was typed over");
        trial.undo(0);
        assert_eq!(trial.text(), NOTE);
    }

    #[test]
    fn typing_beside_a_struck_passage_leaves_it_struck() {
        let mut trial = trial();
        trial.strike(part("She fell."));
        trial.edit("68F with CAD. New. On vasopressors. Her son called.");
        assert_eq!(trial.text(), "68F with CAD. New. On vasopressors. Her son called.");
        assert_eq!(trial.struck(&part("She fell.")), Some(0));
        trial.undo(1);
        assert_eq!(trial.text(), "68F with CAD. On vasopressors. Her son called.");
    }

    #[test]
    fn striking_hides_what_was_changed_within() {
        let mut trial = trial();
        trial.set_age(50);
        trial.strike(part("68F with CAD."));
        assert_eq!(trial.text(), "She fell. On vasopressors. Her son called.");
        trial.undo(1);
        assert!(trial.text().starts_with("50F with CAD."));
    }

    /// Any sequence of edits ends in the text that was typed, and undoing everything ends in the first.
    #[test]
    fn the_present_text_is_always_what_was_typed() {
        let mut seed = 7_u64;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(seed >> 33).unwrap() % below
        };
        for _ in 0..400 {
            let first = "ab cd. \u{1fac0}e fg. \u{e4}h 68F ij.";
            let mut trial = Trial::new(first.to_owned());
            for _ in 0..8 {
                let now = trial.text();
                let ends: Vec<usize> = now.char_indices().map(|(at, _)| at).chain([now.len()]).collect();
                match random(6) {
                    0 => {
                        let sentences = crate::note::edit::note_sentences(first);
                        trial.strike(sentences[random(sentences.len())].range.clone());
                    }
                    1 => {
                        trial.set_age(u32::try_from(random(100)).unwrap());
                    }
                    2 if !trial.steps().is_empty() => trial.undo(random(trial.steps().len())),
                    _ => {
                        let (a, b) = (ends[random(ends.len())], ends[random(ends.len())]);
                        let typed = ["", "x", "\u{1fac0}", "a b", ". "][random(5)];
                        let text = format!("{}{typed}{}", &now[..a.min(b)], &now[a.max(b)..]);
                        trial.edit(&text);
                        assert_eq!(trial.text(), text, "from {now:?}");
                    }
                }
                said(&trial);
            }
            trial.undo_all();
            assert_eq!(trial.text(), first);
        }
    }
}
