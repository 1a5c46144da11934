//! What preparing came to: rows in and out of every stage, and the paper's table beside ours.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::defects::{DefectCount, DefectKind};
use super::identifiers::IdentifierCount;
use super::table::Counts;
use crate::error::{Error, Result};

/// Rows of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableRows {
    /// File name.
    pub file: String,
    /// Rows, the defective ones included.
    pub rows: u64,
    /// Rows without a defect.
    pub used: u64,
}

impl TableRows {
    pub(super) fn new(path: &Path, counts: Counts) -> Self {
        Self {
            file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            rows: counts.rows,
            used: counts.used,
        }
    }
}

impl Counts {
    /// # Errors
    /// The table has no row.
    pub(super) fn refuse_empty(self, path: &Path) -> Result<()> {
        if self.rows == 0 {
            let kind = DefectKind::EmptyTable;
            return Err(Error::Input(format!("{}:2: {kind}: a header and no row", path.display())));
        }
        Ok(())
    }
}

/// One step of the way from the tables to the output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stage {
    /// `notes`, or the task it belongs to.
    pub of: String,
    /// What is kept.
    pub stage: String,
    /// Rows before.
    pub rows_in: u64,
    /// Rows after.
    pub rows_out: u64,
}

/// Stages in the order they were passed.
#[derive(Debug, Default)]
pub(super) struct Stages(Vec<Stage>);

impl Stages {
    /// Adds a stage that keeps `rows_out` of `rows_in`.
    pub(super) fn add(&mut self, of: &str, stage: &str, rows_in: u64, rows_out: u64) {
        self.0.push(Stage { of: of.to_owned(), stage: stage.to_owned(), rows_in, rows_out });
    }

    /// Adds a chain of stages, each fed by the one before.
    pub(super) fn chain(&mut self, of: &str, mut rows: u64, stages: &[(&str, u64)]) {
        for (stage, rows_out) in stages {
            self.add(of, stage, rows, *rows_out);
            rows = *rows_out;
        }
    }

    pub(super) fn into_vec(self) -> Vec<Stage> {
        self.0
    }
}

/// A row of the paper's Table 1, and ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Table1Row {
    /// Task.
    pub task: String,
    /// Classes or labels.
    pub classes: Compared,
    /// Notes in training.
    pub train: Compared,
    /// Notes in validation.
    pub valid: Compared,
    /// Notes in testing.
    pub test: Compared,
}

/// A number of ours beside the paper's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// Here.
    pub ours: u64,
    /// In the paper.
    pub paper: u64,
    /// Ours less the paper's.
    pub difference: i64,
}

impl Compared {
    fn new(ours: u64, paper: u64) -> Self {
        Self { ours, paper, difference: ours.cast_signed() - paper.cast_signed() }
    }
}

/// Classes, then notes in train, valid, test, of the paper's Table 1.
const TABLE_1: [(&str, [u64; 4]); 5] = [
    ("los", [4, 30_421, 4_391, 8_797]),
    ("mor", [2, 33_954, 4_908, 9_822]),
    ("pmv", [2, 5_666, 707, 706]),
    ("diag", [1_266, 33_994, 4_918, 9_829]),
    ("proc", [711, 30_030, 4_357, 8_681]),
];

impl Table1Row {
    /// Of a task of the paper.
    pub(crate) fn new(task: &str, classes: u64, notes: [u64; 3]) -> Self {
        let (_, paper) = TABLE_1.into_iter().find(|(name, _)| *name == task).expect("a task of the paper");
        Self {
            task: task.to_owned(),
            classes: Compared::new(classes, paper[0]),
            train: Compared::new(notes[0], paper[1]),
            valid: Compared::new(notes[1], paper[2]),
            test: Compared::new(notes[2], paper[3]),
        }
    }
}

/// A task that could not be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotMade {
    /// Task.
    pub task: String,
    /// Why.
    pub reason: String,
}

/// What `prepare tasks` came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TasksReport {
    /// Folder of the tasks; not in the file, so that the same tables give the same file.
    #[serde(skip)]
    pub out: PathBuf,
    /// Tasks with notes in `<task>/<split>.csv`.
    pub made: Vec<String>,
    /// Tasks without, and why.
    pub not_made: Vec<NotMade>,
    /// How patients were split.
    pub split: String,
    /// Tables read.
    pub tables: Vec<TableRows>,
    /// From rows to samples.
    pub stages: Vec<Stage>,
    /// Beside the paper.
    pub table1: Vec<Table1Row>,
    /// Defects that were tolerated.
    pub defects: Vec<DefectCount>,
    /// What looks like an identifier in the notes that were used.
    pub identifiers: Vec<IdentifierCount>,
    /// What else a reader must know.
    pub remarks: Vec<String>,
}

impl TasksReport {
    /// The report as text, for a terminal.
    #[must_use]
    pub fn table(&self) -> String {
        let mut lines = stage_lines(&self.stages);
        lines.push(String::new());
        lines.push("Table 1: ours, the paper's, the difference".to_owned());
        lines
            .push(format!("  {:5} {:>25} {:>27} {:>24} {:>25}", "task", "classes", "train", "valid", "test"));
        for row in &self.table1 {
            let cell = |c: &Compared| format!("{:>7} {:>7} {:>+8}", c.ours, c.paper, c.difference);
            lines.push(format!(
                "  {:5} {:>25} {:>27} {:>24} {:>25}",
                row.task,
                cell(&row.classes),
                cell(&row.train),
                cell(&row.valid),
                cell(&row.test)
            ));
        }
        for NotMade { task, reason } in &self.not_made {
            lines.push(format!("not made: {task}: {reason}"));
        }
        lines.extend(defect_lines(&self.defects));
        lines.extend(identifier_lines(&self.identifiers));
        lines.extend(self.remarks.iter().map(|remark| format!("note: {remark}")));
        lines.join("\n")
    }
}

/// The stages as a table.
pub(super) fn stage_lines(stages: &[Stage]) -> Vec<String> {
    let width = stages.iter().map(|s| s.stage.chars().count()).max().unwrap_or_default();
    let mut lines = vec![format!("{:6} {:width$} {:>12} {:>12}", "of", "kept", "rows in", "rows out")];
    let line = |s: &Stage| format!("{:6} {:width$} {:>12} {:>12}", s.of, s.stage, s.rows_in, s.rows_out);
    lines.extend(stages.iter().map(line));
    lines
}

/// One line a kind of tolerated defect.
pub(super) fn defect_lines(defects: &[DefectCount]) -> Vec<String> {
    let line = |d: &DefectCount| {
        let column = d.column.as_deref().map_or_else(String::new, |column| format!(" column {column}"));
        format!("tolerated: {}{column}: {} x {}, first at line {}", d.file, d.count, d.kind, d.lines[0])
    };
    defects.iter().map(line).collect()
}

/// One line a kind of identifier.
pub(super) fn identifier_lines(identifiers: &[IdentifierCount]) -> Vec<String> {
    let line = |i: &IdentifierCount| {
        let lines: Vec<String> = i.lines.iter().take(5).map(u64::to_string).collect();
        format!(
            "looks like an identifier: {}: {} x {}, at lines {} ...",
            i.file,
            i.count,
            i.kind,
            lines.join(", ")
        )
    };
    identifiers.iter().map(line).collect()
}
