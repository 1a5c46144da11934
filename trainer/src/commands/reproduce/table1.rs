//! Table 1: the sizes of the task sets, ours beside the paper's.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::print_json;
use crate::cli::{Common, Table1};
use crate::console;
use crate::dataset::table;
use crate::error::{Error, Result};
use crate::files::{self, NewFolder};
use crate::mimic::{Compared, NotMade, Table1Row, TaskOptions, prepare_tasks};
use crate::report::{Cell, Column, Document, Table, shown};
use crate::training::progress::Progress;

/// The tasks in the paper's order.
const TASKS: [&str; 5] = ["los", "mor", "pmv", "diag", "proc"];
const SPLITS: [&str; 3] = ["train", "valid", "test"];

/// The table.
#[derive(Debug, Serialize)]
struct Report {
    table: &'static str,
    data: PathBuf,
    rows: Vec<Table1Row>,
    /// Tasks that are not there, and why.
    not_made: Vec<NotMade>,
    /// How patients were split, where it is known.
    split: Option<String>,
}

/// What of the report of `prepare tasks` is repeated.
#[derive(Debug, Default, Deserialize)]
struct Prepared {
    #[serde(default)]
    not_made: Vec<NotMade>,
    split: Option<String>,
}

/// Counts the notes of every task, prepared first where they are not, and prints the table.
///
/// # Errors
/// [`Error`] for tables or task sets that cannot be used, or an output that exists.
pub(super) fn run(args: &Table1, common: &Common) -> Result<()> {
    let begun = files::is_ours(&args.out) && args.out.join("table1.json").is_file();
    if !begun {
        files::refuse_existing(&args.out, args.overwrite)?;
        files::refuse_inputs_inside(&args.out, [args.data.as_path()])?;
    }
    if let Some(mimic3) = args.mimic3.as_ref().filter(|_| !args.data.exists()) {
        prepare_tasks(&TaskOptions {
            mimic3: mimic3.clone(),
            out: args.data.clone(),
            splits: None,
            pmv_labels: None,
            skip_bad_rows: 0,
            overwrite: false,
        })?;
    }
    let report = count(&args.data)?;
    let document = document(&report);
    if !begun {
        NewFolder::create(&args.out, args.overwrite)?.finish()?;
    }
    document.write(&args.out, "table1", &records(&report), &report)?;
    if common.json {
        return print_json(&report);
    }
    console::result(document.terminal())
}

fn count(data: &Path) -> Result<Report> {
    let is_there = |task: &&str| data.join(task).join("task.toml").is_file();
    let there: Vec<&str> = TASKS.into_iter().filter(is_there).collect();
    if there.is_empty() {
        return Err(Error::Input(format!(
            "{}: holds none of the tasks; give the folder `clinlora prepare tasks` made, or the tables as --mimic3 and a new \
             folder as --data",
            data.display()
        )));
    }
    let prepared = data.join("report.json");
    let Prepared { mut not_made, split } = if prepared.is_file() {
        serde_json::from_slice(&files::read(&prepared)?).map_err(|_| {
            Error::Input(format!("{}: not the report of `clinlora prepare tasks`", prepared.display()))
        })?
    } else {
        Prepared::default()
    };
    let mut progress = Progress::new("count", 0, (there.len() * SPLITS.len()) as u64);
    let mut rows = Vec::new();
    for (i, name) in there.iter().enumerate() {
        let task = table::read_task(&data.join(name).join("task.toml"))?;
        let mut notes = [0; 3];
        for (place, split) in SPLITS.into_iter().enumerate() {
            let path = data.join(name).join(format!("{split}.csv"));
            notes[place] = table::count(&path, &task)? as u64;
            progress.set((i * SPLITS.len() + place + 1) as u64, || (*name).to_owned());
        }
        rows.push(Table1Row::new(name, task.labels.len() as u64, notes));
    }
    drop(progress);
    for task in TASKS.into_iter().filter(|task| !is_there(task)) {
        if !not_made.iter().any(|of| of.task == task) {
            not_made.push(NotMade { task: task.to_owned(), reason: "it is not in the folder".to_owned() });
        }
    }
    Ok(Report { table: "table1", data: data.to_owned(), rows, not_made, split })
}

fn records(report: &Report) -> Vec<Vec<String>> {
    let mut records = vec![["task", "of", "ours", "paper", "difference"].map(str::to_owned).to_vec()];
    for row in &report.rows {
        for (of, Compared { ours, paper, difference }) in columns(row) {
            let numbers = [ours.to_string(), paper.to_string(), difference.to_string()];
            records.push([row.task.clone(), of.to_owned()].into_iter().chain(numbers).collect());
        }
    }
    records
}

fn columns(row: &Table1Row) -> [(&'static str, Compared); 4] {
    [("classes", row.classes), ("train", row.train), ("valid", row.valid), ("test", row.test)]
}

fn document(report: &Report) -> Document {
    let groups = ["classes", "train", "valid", "test"];
    let under = |group| ["ours", "paper", "difference"].map(|title| Column::under(group, title));
    let row = |row: &Table1Row| {
        let cells = columns(row).into_iter().flat_map(|(_, Compared { ours, paper, difference })| {
            [
                Cell::of(super::grouped(ours)),
                Cell::quiet(super::grouped(paper)),
                Cell::of(if difference == 0 { "0".to_owned() } else { format!("{difference:+}") }),
            ]
        });
        std::iter::once(Cell::of(row.task.to_uppercase())).chain(cells).collect()
    };
    let missing = |of: &NotMade| {
        let name = std::iter::once(Cell::of(of.task.to_uppercase()));
        name.chain((0..12).map(|i| if i == 0 { Cell::quiet("not made") } else { Cell::default() })).collect()
    };
    let table = Table {
        name: "table1",
        caption: "Table 1: task sets".to_owned(),
        columns: std::iter::once(Column::words("task")).chain(groups.into_iter().flat_map(under)).collect(),
        rows: report.rows.iter().map(row).chain(report.not_made.iter().map(missing)).collect(),
    };
    let mut notes = vec![
        "Classes are those of the task file, the labels of DIAG and PROC included; notes are admissions.".to_owned(),
        "Paper: MIMIC-III v1.4 with the published splits (arXiv 2307.03042, Table 1); the difference is ours less the \
         paper's."
            .to_owned(),
    ];
    notes.extend(report.split.iter().map(|split| format!("Split: {split}.")));
    notes.extend(
        report.not_made.iter().map(|of| format!("{} is not made: {}.", of.task.to_uppercase(), of.reason)),
    );
    Document {
        title: "Table 1: the task sets".to_owned(),
        lead: vec![format!("Of `{}`.", shown(&report.data))],
        tables: vec![table],
        notes,
        figures: Vec::new(),
    }
}
