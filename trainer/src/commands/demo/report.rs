//! What the demo came to, as a table for people and as JSON.

use std::fmt::Write;
use std::path::PathBuf;

use clinlora_core::weights::bundle::{Agreement, Manifest};
use serde::Serialize;

use crate::eval::Metrics;

/// A whole demo. It holds no time of day and no duration: the same seed gives the same report.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) patients: u64,
    pub(super) seed: u64,
    pub(super) folder: PathBuf,
    /// Task, and notes to train on, to validate with, to test on.
    pub(super) task_notes: Vec<(String, [usize; 3])>,
    /// Of held-out notes: base, and base with the clinical adapter.
    pub(super) perplexity: [f64; 2],
    pub(super) rows: Vec<Row>,
    pub(super) bundle: Bundle,
}

/// What was packed for a browser.
#[derive(Debug, Serialize)]
pub(super) struct Bundle {
    /// Size of its shards.
    bytes: u64,
    /// Task, AUROC of the test notes unpacked and packed.
    auroc: Vec<(String, Option<f64>, Option<f64>)>,
}

impl Bundle {
    pub(super) fn new(manifest: &Manifest) -> Self {
        let auroc = manifest.tasks.iter().map(|task| {
            let Agreement { auroc_dense, auroc_packed, .. } = task.agreement;
            (task.name.clone(), auroc_dense, auroc_packed)
        });
        Self { bytes: manifest.shards.iter().map(|shard| shard.bytes).sum(), auroc: auroc.collect() }
    }

    /// In short.
    pub(super) fn line(&self) -> String {
        let points = self.auroc.iter().filter_map(|(task, dense, packed)| {
            Some(format!("{} {:+.2}", task.to_uppercase(), 100.0 * ((*packed)? - (*dense)?)))
        });
        let points = points.collect::<Vec<_>>().join(", ");
        format!(
            "bundle: int4, {:.2} MB; AUROC of the test notes by packing, points: {points}",
            self.bytes as f64 / 1e6
        )
    }
}

/// One way of learning the tasks.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) title: &'static str,
    pub(super) cells: Vec<Cell>,
}

/// One task learned one way.
#[derive(Debug, Serialize)]
pub(super) struct Cell {
    task: String,
    run: PathBuf,
    trainable: usize,
    /// Null, with the reason, where it cannot be computed.
    auroc: Option<f64>,
    /// 95 % by bootstrap over the test notes.
    interval: Option<(f64, f64)>,
    undefined: Option<String>,
}

impl Cell {
    pub(super) fn new(task: &str, run: PathBuf, trainable: usize, metrics: &Metrics) -> Self {
        Self {
            task: task.to_owned(),
            run,
            trainable,
            auroc: metrics.auroc,
            interval: metrics.auroc_interval.map(|interval| (interval.low, interval.high)),
            undefined: metrics.undefined.get("auroc").map(ToString::to_string),
        }
    }

    fn text(&self) -> String {
        match (self.auroc, self.interval) {
            (Some(auroc), Some((low, high))) => {
                format!("{:.1} ({:.0}-{:.0})", 100.0 * auroc, 100.0 * low, 100.0 * high)
            }
            (Some(auroc), None) => format!("{:.1}", 100.0 * auroc),
            (None, _) => "undefined".to_owned(),
        }
    }
}

impl Row {
    /// The row in short.
    pub(super) fn line(&self) -> String {
        let cells: Vec<String> =
            self.cells.iter().map(|cell| format!("{} {}", cell.task, cell.text())).collect();
        format!("{}: {}", self.title, cells.join(", "))
    }
}

/// Sizes of the task sets in one line.
pub(super) fn sizes(task_notes: &[(String, [usize; 3])]) -> String {
    let size = |(task, [train, valid, test]): &(String, [usize; 3])| format!("{task} {train}/{valid}/{test}");
    task_notes.iter().map(size).collect::<Vec<_>>().join(", ")
}

const TO_A_STRING: &str = "writing to a string does not fail";

impl Report {
    /// The report for people.
    pub(super) fn markdown(&self) -> String {
        let mut text = String::new();
        let mut line = |content: String| writeln!(text, "{content}").expect(TO_A_STRING);
        line(format!(
            "# {} synthetic patients, seed {}\n\nEvery patient is invented. What the figures show is that the pipeline runs; they \
             say nothing about real\npatients, and nothing was tuned to resemble the paper's.\n",
            self.patients, self.seed
        ));
        line("| perplexity of held-out notes | |\n|---|---:|".to_owned());
        line(format!("| base | {:.2} |", self.perplexity[0]));
        line(format!("| + clinical adapter | {:.2} |\n", self.perplexity[1]));

        let tasks: Vec<&str> = self.task_notes.iter().map(|(task, _)| task.as_str()).collect();
        line(format!("| AUROC, % (95 % interval) | {} |", tasks.join(" | ")));
        line(format!("|---|{}", "---|".repeat(tasks.len())));
        for row in &self.rows {
            let cells: Vec<String> = row.cells.iter().map(Cell::text).collect();
            line(format!("| {} | {} |", row.title, cells.join(" | ")));
        }
        line(format!(
            "\nNotes to train on / validate with / test on: {}. LOS is one-vs-one, DIAG and\nPROC are means over the labels that \
             some test notes have and some have not.",
            sizes(&self.task_notes)
        ));
        for cell in self.rows.iter().flat_map(|row| &row.cells) {
            if let Some(reason) = &cell.undefined {
                line(format!("{} is undefined: {reason}.", cell.task));
            }
        }
        let folder = self.folder.display();
        line(format!(
            "\nEvery run is in {folder}/runs, its recipe in recipe.toml, its predictions in test/predictions.csv. To predict:\n\n    \
             clinlora predict --model {folder}/base --adapter {folder}/runs/mor-lora --task {folder}/tasks/mor/task.toml \
             --notes NOTES.jsonl"
        ));
        line(format!(
            "\nThe last row's models for a browser are in {folder}/bundle ({}). In the checkout\n`cargo xtask serve --demo \
             {folder}` shows them.",
            self.bundle.line().trim_start_matches("bundle: ")
        ));
        text
    }
}
