//! `key=value` of a whole table: for all its cells, or, behind the name of a row, of a task or of both, for those alone.

use super::{Column, Row};
use crate::error::{Error, Result};
use crate::recipe::published::TASKS;

/// Name before the keys of the clinical adapter's own training.
pub(crate) const CLINICAL: &str = "clinical";

/// The overrides of a table, checked.
#[derive(Debug)]
pub(crate) struct Overrides {
    given: Vec<Override>,
}

#[derive(Debug, PartialEq, Eq)]
struct Override {
    row: Option<String>,
    task: Option<String>,
    assignment: String,
}

impl Overrides {
    /// Reads what was typed.
    ///
    /// # Errors
    /// [`Error::Input`] for keys that the command gives itself.
    pub(super) fn new(given: &[String], rows: &[Row], columns: &[Column]) -> Result<Self> {
        let mut read = Vec::new();
        for assignment in given.iter().filter(|text| !text.starts_with(&format!("{CLINICAL}."))) {
            let (mut row, mut task, mut rest) = (None, None, assignment.as_str());
            if let Some((first, after)) = rest.split_once('.')
                && rows.iter().any(|row| row.key == first)
            {
                (row, rest) = (Some(first.to_owned()), after);
            }
            if let Some((first, after)) = rest.split_once('.')
                && let Some(name) = TASKS.into_iter().find(|task| task.eq_ignore_ascii_case(first))
            {
                (task, rest) = (Some(name.to_owned()), after);
                if columns.iter().all(|column| column.name != name) {
                    continue; // of a task that was not chosen
                }
            }
            refuse_own(assignment, rest)?;
            read.push(Override { row, task, assignment: rest.to_owned() });
        }
        // What says more of where it belongs comes later, and so wins.
        read.sort_by_key(|of| u8::from(of.row.is_some()) + u8::from(of.task.is_some()));
        Ok(Self { given: read })
    }

    /// Those of one cell, in the order they are to be applied.
    pub(super) fn of(&self, row: &str, task: &str) -> Vec<String> {
        let belongs = |of: &&Override| {
            of.row.as_deref().is_none_or(|name| name == row)
                && of.task.as_deref().is_none_or(|name| name == task)
        };
        self.given.iter().filter(belongs).map(|of| of.assignment.clone()).collect()
    }
}

/// Those of the clinical adapter's training.
pub(crate) fn of_clinical(given: &[String]) -> Result<Vec<String>> {
    let prefix = format!("{CLINICAL}.");
    let own = given.iter().filter_map(|text| text.strip_prefix(&prefix).map(|rest| (text, rest)));
    own.map(|(assignment, rest)| refuse_own(assignment, rest).map(|()| rest.to_owned())).collect()
}

fn refuse_own(assignment: &str, rest: &str) -> Result<()> {
    let key = rest.split('=').next().unwrap_or_default();
    let from = match key {
        "out" => "--out",
        "seed" => "--seed and --seeds",
        "task" | "data" | "data.train" | "data.valid" => "--data and --notes",
        "with" => "--setting, the row and the task",
        "method" => "the row",
        _ if key.starts_with("base") => "--model or --bert",
        _ if key.ends_with(".path") => "--clinical",
        _ => return Ok(()),
    };
    Err(Error::Input(format!("{assignment:?}: comes from {from} here; leave it out")))
}
