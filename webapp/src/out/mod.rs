//! What leaves the page, at the reader's wish only: a FHIR bundle, a table. Neither ever holds the note's text.

pub mod csv;
pub mod fhir;

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// What every product of the page says.
pub const WARNING: &str = "Research demonstration, not for clinical use. The probabilities come from a language model and have not \
    been validated for the care of patients.";

/// Hash of a note, in its place wherever a note has to be named: lower-case hexadecimal SHA-256 of its UTF-8 bytes.
#[must_use]
pub fn note_hash(note: &str) -> String {
    hexadecimal(&Sha256::digest(note.as_bytes()))
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}
