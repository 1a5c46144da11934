//! `key=value` on the command line, and where a recipe's values come from.

use std::path::Path;

use crate::error::{Error, Result};

/// Where a recipe's values come from, to name the place of a wrong one.
pub(super) struct Origin<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
    /// `key=value`, without the choice of overlays.
    pub(super) overrides: &'a [String],
    /// Overlays that were laid.
    pub(super) with: &'a [String],
}

impl Origin<'_> {
    /// The error for `key`, at the override that gave it, or else at its line in an overlay or in the recipe.
    pub(super) fn refuse(&self, key: &str, reason: &str) -> Error {
        let gives = |assignment: &&String| {
            let given = assignment.split_once('=').map_or("", |(given, _)| given);
            given == key || given.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'))
        };
        if let Some(assignment) = self.overrides.iter().rev().find(gives) {
            return Error::Input(format!("{assignment:?}: {key} {reason}"));
        }
        let in_overlay = self.with.iter().rev().find_map(|name| {
            let (line, is_whole) = line_of(self.text, &format!("with.{name}.{key}"))?;
            is_whole.then_some(line)
        });
        let line = in_overlay.or_else(|| line_of(self.text, key).map(|(line, _)| line));
        let place = line.map_or_else(String::new, |line| format!(":{line}"));
        Error::Input(format!("{}{place}: {key} {reason}", self.path.display()))
    }
}

/// Puts the value of a `key=value` into `table`.
///
/// # Errors
/// [`Error::Input`] if it is none, or its key goes into what is neither a table nor a list.
pub(super) fn apply(table: &mut toml::Table, assignment: &str) -> Result<()> {
    let Some((key, value)) = assignment.split_once('=') else {
        return Err(Error::Input(format!("{assignment:?}: an override is key=value")));
    };
    // What is no TOML value by itself is taken as a string, so that paths need no quotes.
    let parsed = toml::from_str::<toml::Table>(&format!("value = {value}"))
        .ok()
        .and_then(|mut t| t.remove("value"))
        .unwrap_or_else(|| toml::Value::String(value.to_owned()));
    let parts: Vec<&str> = key.split('.').collect();
    let (last, path) = parts.split_last().expect("splitting gives at least one part");
    let refuse = |part: &str| Error::Input(format!("{assignment:?}: there is no {part:?} to go into"));
    let mut place = table;
    let mut parts = path.iter();
    while let Some(part) = parts.next() {
        let entry = place.entry((*part).to_owned()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        place = match entry {
            toml::Value::Table(inner) => inner,
            toml::Value::Array(items) => {
                let index = parts.next().ok_or_else(|| refuse(last))?;
                index
                    .parse::<usize>()
                    .ok()
                    .and_then(|i| items.get_mut(i))
                    .and_then(toml::Value::as_table_mut)
                    .ok_or_else(|| refuse(index))?
            }
            _ => return Err(refuse(part)),
        };
    }
    if value.is_empty() {
        place.remove(*last);
    } else {
        place.insert((*last).to_owned(), parsed);
    }
    Ok(())
}

/// Line of a dotted key in a TOML text, of the innermost part that the text has, and whether that is the whole key.
fn line_of(text: &str, key: &str) -> Option<(usize, bool)> {
    let document = toml::de::DeTable::parse(text).ok()?;
    let mut table = document.get_ref();
    let mut offset = None;
    let mut is_whole = true;
    let mut parts = key.split('.');
    while let Some(part) = parts.next() {
        let Some((name, value)) = table.get_key_value(part) else {
            is_whole = false;
            break;
        };
        offset = Some(name.span().start);
        match value.get_ref() {
            toml::de::DeValue::Table(inner) => table = inner,
            toml::de::DeValue::Array(items) => {
                let index = parts.next().and_then(|index| index.parse().ok()).unwrap_or(0);
                let Some(item) = items.get::<usize>(index) else {
                    break;
                };
                offset = Some(item.span().start);
                match item.get_ref().as_table() {
                    Some(inner) => table = inner,
                    None => break,
                }
            }
            _ => break,
        }
    }
    offset.map(|at| (line_at(text, at), is_whole))
}

/// Line, from 1, of a byte of `text`.
pub(super) fn line_at(text: &str, at: usize) -> usize {
    let before = text.as_bytes().iter().take(at);
    1 + before.filter(|byte| **byte == b'\n').count()
}
