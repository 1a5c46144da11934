//! Unlabelled notes: JSON lines `{"id": .., "text": ..}`.

use std::path::Path;

use serde::Deserialize;

use super::{Ids, Note};
use crate::console;
use crate::error::{Error, Result, at_line};
use crate::files;

#[derive(Deserialize)]
struct Line {
    id: serde_json::Value,
    text: String,
}

/// Reads every note of a file. Notes without text are refused, or, if `skip_empty`, left out and counted on stderr.
///
/// # Errors
/// [`Error::Input`] with the line for what is not JSON, lacks a key, or holds no text.
pub(crate) fn read(path: &Path, skip_empty: bool) -> Result<Vec<Note>> {
    let text = files::read_text(path)?;
    let mut notes = Vec::new();
    let mut ids = Ids::default();
    let mut skipped = 0;
    for (number, line) in (1u64..).zip(text.lines()) {
        if line.trim().is_empty() {
            continue;
        }
        // serde_json quotes no content in its messages but unknown keys, which are not part of a note.
        let Line { id, text } = serde_json::from_str(line).map_err(|e| {
            at_line(path, number, format!("not a {{\"id\", \"text\"}} line (column {})", e.column()))
        })?;
        let id =
            id_string(&id).ok_or_else(|| at_line(path, number, "id is neither a string nor a number"))?;
        if text.trim().is_empty() {
            if skip_empty {
                skipped += 1;
                continue;
            }
            return Err(at_line(path, number, "the note is empty; remove it, or pass --skip-empty"));
        }
        ids.add(path, number, &id)?;
        notes.push(Note { id, text, target: Vec::new() });
    }
    if skipped > 0 {
        console::note(format_args!("{}: {skipped} empty notes left out", path.display()));
    }
    if notes.is_empty() {
        return Err(Error::Input(format!("{}: holds no note", path.display())));
    }
    Ok(notes)
}

/// Identifiers may be strings or numbers.
pub(super) fn id_string(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::String(id) => Some(id.clone()),
        serde_json::Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}
