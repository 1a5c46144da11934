//! Which parts of a note drove a prediction: occlusion, the change when a part is left out.
//!
//! Zeiler and Fergus 2014 (arXiv 1311.2901) for images; Li, Monroe and Jurafsky 2016 (arXiv 1612.08220) for text. A part is a
//! sentence, a section, or on demand each word of one sentence. The note without the part is read anew, so that nothing of it
//! is left; `effect = log-odds(note) - log-odds(note without the part)`: above 0, the part speaks for the outcome.
//!
//! The deletion curve (Petsiuk, Das and Saenko 2018, arXiv 1806.07421) is the check on it: with the parts taken out one after
//! the other, those that speak most for the outcome first, its probability must fall sooner than in the opposite order. An
//! explanation whose [`DeletionCurves::agreement`] is not above 0 should not be shown.
//!
//! Everything here is text and numbers. The caller runs [`notes`](Occlusion::notes) through its engine, in batches of any size
//! and under the same adapters as the prediction, and hands the logits back in the same order.

mod text;

use std::ops::Range;

pub use self::text::{Section, Sentence, sections, sentences, words};
use crate::error::Error;
use crate::probability::log_odds;
use crate::tokenizer::Tokenizer;
use crate::weights::bundle::BundleTask;

/// A note, and the same note without each of its parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Occlusion {
    parts: Vec<Range<usize>>,
    notes: Vec<Vec<u32>>,
}

/// What one part does to an outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    /// The part, in bytes of the note.
    pub range: Range<usize>,
    /// Log-odds of the outcome with the part, less those without it.
    pub log_odds: f64,
    /// Calibrated probability with the part, less that without it.
    pub probability: f64,
}

/// How much of a note is read: the longest beginning that has at most `max_tokens` tokens, in bytes.
///
/// # Errors
/// As [`Tokenizer::encode`].
pub fn visible(tokenizer: &Tokenizer, text: &str, max_tokens: usize) -> Result<usize, Error> {
    // One token more than is read shows whether anything is cut.
    let fits = |bytes: usize| -> Result<bool, Error> {
        Ok(tokenizer.encode(&text[..bytes], max_tokens.saturating_add(1))?.len() <= max_tokens)
    };
    if fits(text.len())? {
        return Ok(text.len());
    }
    let ends: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    let (mut low, mut high) = (0, ends.len());
    while high - low > 1 {
        let middle = usize::midpoint(low, high);
        if fits(ends[middle])? { low = middle } else { high = middle }
    }
    Ok(ends[low])
}

impl Occlusion {
    /// Leaves each of `parts` out of `text` in turn. Give the [`visible`] beginning of a note alone: what stands behind it would
    /// move up into the place of a part that is left out.
    ///
    /// # Errors
    /// [`Error::EmptyNote`] for a note without a token.
    ///
    /// # Panics
    /// If a part does not lie within the text, on boundaries of characters.
    pub fn new(
        tokenizer: &Tokenizer,
        text: &str,
        parts: Vec<Range<usize>>,
        max_tokens: usize,
    ) -> Result<Self, Error> {
        let whole = whole(tokenizer, text, max_tokens)?;
        let mut notes = Vec::with_capacity(parts.len() + 1);
        for part in &parts {
            notes.push(without(tokenizer, text, std::slice::from_ref(part), &whole, max_tokens)?);
        }
        notes.insert(0, whole);
        Ok(Self { parts, notes })
    }

    /// The notes to run: the whole first, then without each part.
    #[must_use]
    pub fn notes(&self) -> &[Vec<u32>] {
        &self.notes
    }

    /// The parts, in the order given.
    #[must_use]
    pub fn parts(&self) -> &[Range<usize>] {
        &self.parts
    }

    /// What each part does to label `outcome`, from the logits of [`notes`](Self::notes) in the same order.
    ///
    /// # Panics
    /// If there is not a row of logits for each note, or the task has no such label.
    #[must_use]
    pub fn effects(&self, task: &BundleTask, outcome: usize, logits: &[Vec<f32>]) -> Vec<Effect> {
        assert_eq!(logits.len(), self.notes.len(), "a row of logits for each note");
        let (whole, others) = logits.split_first().expect("the whole note is always there");
        let odds = |row: &[f32]| log_odds(task.kind, row, outcome);
        let chance = |row: &[f32]| task.calibration.probabilities(task.kind, row)[outcome];
        let effect = |(part, row): (&Range<usize>, &Vec<f32>)| Effect {
            range: part.clone(),
            log_odds: odds(whole) - odds(row),
            probability: chance(whole) - chance(row),
        };
        self.parts.iter().zip(others).map(effect).collect()
    }
}

/// Most points of a deletion curve.
const POINTS: usize = 10;

/// A note from which more and more parts are taken, in two orders.
#[derive(Debug, Clone, PartialEq)]
pub struct Deletion {
    /// Parts gone at each point.
    counts: Vec<usize>,
    notes: Vec<Vec<u32>>,
}

/// Probability of an outcome as parts are taken out.
#[derive(Debug, Clone, PartialEq)]
pub struct DeletionCurves {
    /// Parts gone at each point, from 0 to all.
    pub removed: Vec<usize>,
    /// Those that speak most for the outcome first.
    pub most_first: Vec<f64>,
    /// Those that speak most against it first.
    pub least_first: Vec<f64>,
}

impl DeletionCurves {
    /// Mean height of the second curve above the first: above 0 the effects are borne out.
    #[must_use]
    pub fn agreement(&self) -> f64 {
        let gaps = self.least_first.iter().zip(&self.most_first).map(|(least, most)| least - most);
        #[expect(clippy::cast_precision_loss, reason = "a curve has at most eleven points")]
        let mean = gaps.sum::<f64>() / self.most_first.len().max(1) as f64;
        mean
    }
}

impl Deletion {
    /// Takes the parts of `effects` out of `text`, at most ten points an order.
    ///
    /// # Errors
    /// [`Error::EmptyNote`] for a note without a token.
    pub fn new(
        tokenizer: &Tokenizer,
        text: &str,
        effects: &[Effect],
        max_tokens: usize,
    ) -> Result<Self, Error> {
        let whole = whole(tokenizer, text, max_tokens)?;
        let mut order: Vec<&Effect> = effects.iter().collect();
        order.sort_by(|a, b| b.log_odds.total_cmp(&a.log_odds));
        let points = effects.len().min(POINTS);
        let counts: Vec<usize> = (1..=points).map(|point| (effects.len() * point).div_ceil(points)).collect();
        let mut notes = vec![whole.clone()];
        for reversed in [false, true] {
            if reversed {
                order.reverse();
            }
            for count in &counts {
                let gone: Vec<Range<usize>> =
                    order[..*count].iter().map(|effect| effect.range.clone()).collect();
                notes.push(without(tokenizer, text, &gone, &whole, max_tokens)?);
            }
        }
        Ok(Self { counts, notes })
    }

    /// The notes to run: the whole first, then the points of either order.
    #[must_use]
    pub fn notes(&self) -> &[Vec<u32>] {
        &self.notes
    }

    /// The curves of label `outcome`, from the logits of [`notes`](Self::notes) in the same order.
    ///
    /// # Panics
    /// If there is not a row of logits for each note, or the task has no such label.
    #[must_use]
    pub fn curves(&self, task: &BundleTask, outcome: usize, logits: &[Vec<f32>]) -> DeletionCurves {
        assert_eq!(logits.len(), self.notes.len(), "a row of logits for each note");
        let chance = |row: &Vec<f32>| task.calibration.probabilities(task.kind, row)[outcome];
        let curve = |points: &[Vec<f32>]| logits[..1].iter().chain(points).map(chance).collect();
        let (most, least) = logits[1..].split_at(self.counts.len());
        let removed = std::iter::once(0).chain(self.counts.iter().copied()).collect();
        DeletionCurves { removed, most_first: curve(most), least_first: curve(least) }
    }
}

/// Ids of `text` without some parts; where nothing is left, the first id of the whole note alone, its BOS.
fn without(
    tokenizer: &Tokenizer,
    text: &str,
    parts: &[Range<usize>],
    whole: &[u32],
    max_tokens: usize,
) -> Result<Vec<u32>, Error> {
    let mut parts: Vec<&Range<usize>> = parts.iter().collect();
    parts.sort_unstable_by_key(|part| part.start);
    let (mut left, mut from) = (String::with_capacity(text.len()), 0);
    for part in parts {
        left.push_str(&text[from.min(part.start)..part.start]);
        // Two blanks where the part stood would be a token of their own: one is enough.
        let after = text[part.end..].chars().next().filter(|c| c.is_whitespace());
        let blank = left.is_empty() || left.ends_with(char::is_whitespace);
        from = part.end + after.filter(|_| blank).map_or(0, char::len_utf8);
    }
    left.push_str(&text[from..]);
    let ids = if left.trim().is_empty() { Vec::new() } else { tokenizer.encode(&left, max_tokens)? };
    Ok(if ids.is_empty() { whole[..1].to_vec() } else { ids })
}

/// Ids of a note with something in it.
fn whole(tokenizer: &Tokenizer, text: &str, max_tokens: usize) -> Result<Vec<u32>, Error> {
    let ids = tokenizer.encode(text, max_tokens)?;
    if text.trim().is_empty() || ids.is_empty() { Err(Error::EmptyNote) } else { Ok(ids) }
}

#[cfg(test)]
mod tests;
