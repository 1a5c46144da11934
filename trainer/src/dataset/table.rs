//! Labelled notes: any CSV or JSONL file with the columns a task file names.

use std::path::Path;

use clinlora_core::task::{Label, Task};

use super::notes::id_string;
use super::{Ids, Note};
use crate::console;
use crate::error::{AtPath, Error, Result, at_line};
use crate::files;

/// Reads a task file and, where it names one, the file of its labels.
///
/// # Errors
/// [`Error::Model`] or [`Error::Input`] with the place in the file.
pub(crate) fn read_task(path: &Path) -> Result<Task> {
    let text = files::read_text(path)?;
    let mut nested = None;
    let folder = path.parent().unwrap_or(Path::new("."));
    let task = Task::from_toml(&text, |name| {
        read_labels(&folder.join(name)).map_err(|error| {
            let reason = error.to_string();
            nested = Some(error);
            clinlora_core::Error::Task { reason }
        })
    });
    match nested {
        Some(error) => Err(error),
        None => task.at(path),
    }
}

fn read_labels(path: &Path) -> Result<Vec<Label>> {
    let mut reader = csv_reader(path)?;
    let columns = Columns::find(path, reader.headers().map_err(|e| csv_error(path, &e))?, &["name"])?;
    let description = columns.optional("description");
    let mut labels = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|e| csv_error(path, &e))?;
        let cell = |i: Option<usize>| i.and_then(|i| record.get(i)).unwrap_or_default().to_owned();
        labels.push(Label { name: cell(columns.optional("name")), description: cell(description) });
    }
    Ok(labels)
}

/// How many labels a message lists.
const LISTED: usize = 8;

/// Reads every labelled note of `path`: CSV with a header, or JSON lines if the name ends in `.jsonl`.
///
/// # Errors
/// [`Error::Input`] with the line for a missing column, an empty note, a label outside the task or a damaged row.
pub(crate) fn read(path: &Path, task: &Task, skip_empty: bool) -> Result<Vec<Note>> {
    let rows = rows(path, task)?;
    let mut notes = Vec::with_capacity(rows.len());
    let mut ids = Ids::default();
    let mut skipped = 0;
    for Row { line, id, text, label } in rows {
        if text.trim().is_empty() {
            if skip_empty {
                skipped += 1;
                continue;
            }
            return Err(at_line(path, line, "the note is empty; remove it, or pass --skip-empty"));
        }
        let target = task.target(&label).map_err(|e| {
            let names: Vec<&str> = task.labels.iter().take(LISTED).map(|label| label.name.as_str()).collect();
            let more = if names.len() < task.labels.len() { ", ..." } else { "" };
            at_line(path, line, format!("{e}: {}{more}", names.join(", ")))
        })?;
        ids.add(path, line, &id)?;
        notes.push(Note { id, text, target });
    }
    if skipped > 0 {
        console::note(format_args!("{}: {skipped} empty notes left out", path.display()));
    }
    if notes.is_empty() {
        return Err(Error::Input(format!("{}: holds no note", path.display())));
    }
    Ok(notes)
}

/// How many rows `path` has; none is no error here.
///
/// # Errors
/// [`Error::Input`] with the line for a missing column or a damaged row.
pub(crate) fn count(path: &Path, task: &Task) -> Result<usize> {
    Ok(rows(path, task)?.len())
}

fn rows(path: &Path, task: &Task) -> Result<Vec<Row>> {
    if path.extension().is_some_and(|ending| ending == "jsonl") {
        jsonl_rows(path, task)
    } else {
        csv_rows(path, task)
    }
}

struct Row {
    line: u64,
    id: String,
    text: String,
    label: String,
}

fn csv_rows(path: &Path, task: &Task) -> Result<Vec<Row>> {
    let mut reader = csv_reader(path)?;
    let wanted = [task.id_column.as_str(), &task.text_column, &task.label_column];
    let headers = reader.headers().map_err(|e| csv_error(path, &e))?;
    let columns = Columns::find(path, headers, &wanted)?;
    let [id, text, label] = wanted.map(|name| columns.required(name));
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|e| csv_error(path, &e))?;
        let line = record.position().map_or(0, csv::Position::line);
        let cell = |column: usize| record.get(column).unwrap_or_default().to_owned();
        rows.push(Row { line, id: cell(id), text: cell(text), label: cell(label) });
    }
    Ok(rows)
}

fn jsonl_rows(path: &Path, task: &Task) -> Result<Vec<Row>> {
    let content = files::read_text(path)?;
    let mut rows = Vec::new();
    for (line, json) in (1u64..).zip(content.lines()).filter(|(_, json)| !json.trim().is_empty()) {
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json)
            .map_err(|e| at_line(path, line, format!("not a JSON object (column {})", e.column())))?;
        let cell = |column: &str| {
            object.get(column).ok_or_else(|| at_line(path, line, format!("no key \"{column}\"")))
        };
        let words = |column: &str, value: &serde_json::Value| {
            match value {
                serde_json::Value::Array(items) => {
                    items.iter().map(id_string).collect::<Option<Vec<_>>>().map(|all| all.join(","))
                }
                other => id_string(other),
            }
            .ok_or_else(|| at_line(path, line, format!("\"{column}\" is neither text nor a number")))
        };
        let read = |column: &str| cell(column).and_then(|value| words(column, value));
        rows.push(Row {
            line,
            id: read(&task.id_column)?,
            text: read(&task.text_column)?,
            label: read(&task.label_column)?,
        });
    }
    Ok(rows)
}

/// Places of named columns in a header.
struct Columns(Vec<String>);

impl Columns {
    fn find(path: &Path, headers: &csv::StringRecord, wanted: &[&str]) -> Result<Self> {
        let columns = Self(headers.iter().map(|h| h.trim_start_matches('\u{feff}').to_owned()).collect());
        let missing: Vec<_> =
            wanted.iter().filter(|name| columns.optional(name).is_none()).copied().collect();
        if missing.is_empty() {
            return Ok(columns);
        }
        // A file without a header has a note where the header should be: only names that can be nothing else are said.
        let is_name = |name: &String| {
            name.len() <= 32
                && name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        let found = if columns.0.iter().all(is_name) {
            format!("it has {:?}", columns.0)
        } else {
            format!("its {} fields do not all look like column names", columns.0.len())
        };
        Err(at_line(path, 1, format!("no column {missing:?} in the header; {found}")))
    }

    fn optional(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|header| header == name)
    }

    fn required(&self, name: &str) -> usize {
        self.optional(name).expect("`find` refuses a header without it")
    }
}

fn csv_reader(path: &Path) -> Result<csv::Reader<std::fs::File>> {
    csv::ReaderBuilder::new().from_path(path).map_err(|e| csv_error(path, &e))
}

/// A CSV defect with its place and kind, never the content.
fn csv_error(path: &Path, error: &csv::Error) -> Error {
    let line = error.position().map_or(1, csv::Position::line);
    match error.kind() {
        csv::ErrorKind::Io(io) => {
            Error::Io { path: path.to_owned(), source: std::io::Error::new(io.kind(), io.to_string()) }
        }
        csv::ErrorKind::Utf8 { err, .. } => {
            at_line(path, line, format!("field {} is not UTF-8", err.field() + 1))
        }
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            at_line(path, line, format!("{len} fields where the header has {expected_len}"))
        }
        _ => at_line(path, line, "damaged CSV row"),
    }
}
