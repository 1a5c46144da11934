//! From the raw tables of MIMIC-III and MIMIC-IV-Note to the paper's task sets and pretraining corpus.
//!
//! [`prepare_tasks`] and [`prepare_notes`] are the two ways in. Tables are read row by row ([`csv`], `table`), what is wrong
//! with them is counted (`defects`), and nothing appears under the output's name before all of it is there.

#[cfg(test)]
mod bad_input;
mod characters;
pub mod csv;
mod defects;
#[cfg(test)]
mod golden;
mod identifiers;
mod mimic3;
mod mimic4_note;
mod numpy_split;
mod report;
mod sections;
mod selection;
mod split;
mod table;
mod tasks;
mod timestamp;
mod ventilation;

pub use defects::{DefectCount, DefectKind};
pub use identifiers::{IdentifierCount, IdentifierKind};
pub use mimic4_note::{NoteOptions, NoteSplit, NotesReport, prepare_notes};
pub use report::{Compared, NotMade, Stage, Table1Row, TableRows, TasksReport};
pub use sections::admission_note;
pub use split::Split;
pub use tasks::{TaskOptions, prepare_tasks};
