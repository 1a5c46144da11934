//! The note before a model reads it: [`file`](mod@file) is how it comes in, [`text`] and [`sections`] are its parts,
//! [`identifiers`] what should not be in it, [`fitness`] whether the model should read it at all, [`age`] and [`edit`] what-if
//! changes.
//!
//! Every range is of bytes of the note and lies on borders of characters.

pub mod age;
pub mod edit;
pub mod file;
pub mod fitness;
pub mod identifiers;
pub mod sections;
// The model's own parting of a note, from its one source: what is struck here is what is explained there.
#[path = "../../../core/src/explain/text.rs"]
pub mod text;
pub(crate) mod words;
