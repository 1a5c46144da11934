//! Notes and labelled notes from files, and their order in training.

pub mod notes;
pub mod order;
pub(crate) mod prefetch;
pub mod table;
pub mod tokens;

use std::borrow::Cow;

use std::collections::HashMap;
use std::path::Path;

use clinlora_core::tokenizer::Tokenizer;

use crate::error::{AtPath, Result, at_line};

/// One note as a model sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Identifier in the data.
    pub id: String,
    /// Token ids, BOS first, cut at the longest length asked for.
    pub ids: Vec<u32>,
    /// The truth, 0 or 1 for each label of the task; empty for unlabelled notes.
    pub target: Vec<f32>,
}

/// Notes a run trains on, each reached by its place, wherever they are kept.
pub(crate) trait Samples: Sync {
    /// How many.
    fn count(&self) -> usize;

    /// The one at `place`, which is below [`count`](Self::count).
    ///
    /// # Errors
    /// [`Error::Input`](crate::error::Error::Input) for a note on disk that is damaged.
    fn sample(&self, place: usize) -> Result<Cow<'_, Sample>>;
}

impl Samples for Vec<Sample> {
    fn count(&self) -> usize {
        self.len()
    }

    fn sample(&self, place: usize) -> Result<Cow<'_, Sample>> {
        Ok(Cow::Borrowed(&self[place]))
    }
}

/// Some of the notes of a larger set.
pub(crate) struct Selected<'a> {
    /// The set.
    pub(crate) all: &'a dyn Samples,
    /// Places in it.
    pub(crate) places: Vec<usize>,
}

impl Samples for Selected<'_> {
    fn count(&self) -> usize {
        self.places.len()
    }

    fn sample(&self, place: usize) -> Result<Cow<'_, Sample>> {
        self.all.sample(self.places[place])
    }
}

/// A note before tokenising.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    /// Identifier in the data.
    pub id: String,
    /// The text.
    pub text: String,
    /// The truth, as in [`Sample`].
    pub target: Vec<f32>,
}

/// Identifiers seen so far, each with its line: two notes of one id could not be told apart in predictions.
#[derive(Debug, Default)]
struct Ids(HashMap<String, u64>);

impl Ids {
    /// Notes the id of a line. The message gives lines and not the id, which may be a patient's.
    fn add(&mut self, path: &Path, line: u64, id: &str) -> Result<()> {
        match self.0.insert(id.to_owned(), line) {
            None => Ok(()),
            Some(first) => Err(at_line(
                path,
                line,
                format!("the id stands on line {first} already; give every note its own"),
            )),
        }
    }
}

/// Tokenises `notes`, each cut at `max_tokens`; `origin` is named if the tokenizer refuses one.
pub(crate) fn tokenise(
    notes: &[Note],
    tokenizer: &Tokenizer,
    max_tokens: usize,
    origin: &Path,
) -> Result<Vec<Sample>> {
    use rayon::prelude::*;
    notes
        .par_iter()
        .map(|note| {
            let ids = tokenizer.encode(&note.text, max_tokens).at(origin)?;
            Ok(Sample { id: note.id.clone(), ids, target: note.target.clone() })
        })
        .collect()
}
