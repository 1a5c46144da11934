//! A table of runs as JSON, as records and as a document.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::cell::{Cell as Run, Done, End};
use super::figures::{Figure, Figures};
use super::{Column as TaskColumn, Grid};
use crate::eval::EvalOptions;
use crate::eval::paired::{Comparison, Test};
use crate::recipe::published::{Setting, TASKS};
use crate::report::{Cell, Column, Document, Table, link, shown};

/// What holds for the whole table.
pub(super) struct Header<'a> {
    pub(super) setting: Setting,
    pub(super) data: &'a Path,
    pub(super) baseline: &'a str,
    pub(super) options: EvalOptions,
    pub(super) overrides: &'a [String],
}

/// The table. The same command on the same inputs gives the same.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    table: &'static str,
    setting: &'static str,
    data: PathBuf,
    /// Row the p-values are against.
    baseline: String,
    seeds: Vec<u64>,
    /// Behind intervals and bootstrap tests.
    resamples: u32,
    /// As typed.
    overrides: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    row: String,
    title: String,
    model: Option<PathBuf>,
    clinical: Option<PathBuf>,
    cells: Vec<Entry>,
    #[serde(rename = "macro")]
    mean: Macro,
}

/// A row on a task. AUROCs are shares of 1, but for the paper's per cent.
#[derive(Debug, Serialize)]
struct Entry {
    task: &'static str,
    /// `done`, `undefined`, `diverged` or `missing`.
    status: &'static str,
    /// Mean over the seeds.
    auroc: Option<f64>,
    /// Why there is none, in a word or two.
    #[serde(rename = "reason")]
    word: Option<String>,
    /// In a sentence.
    #[serde(rename = "explanation")]
    reason: Option<String>,
    sd: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
    delong: Option<[f64; 2]>,
    against_baseline: Option<Comparison>,
    paper_percent: Option<f64>,
    runs: Vec<RunEntry>,
}

#[derive(Debug, Serialize)]
struct RunEntry {
    seed: u64,
    run: PathBuf,
    auroc: Option<f64>,
    diverged: Option<String>,
    adapters: Vec<PathBuf>,
    trainable: Option<usize>,
    updates: Option<u64>,
    kept_update: Option<u64>,
    recipe: PathBuf,
}

#[derive(Debug, Serialize)]
struct Macro {
    auroc: Option<f64>,
    sd: Option<f64>,
    paper_percent: Option<f64>,
    /// Where the paper prints another mean than that of its row.
    paper_printed_percent: Option<f64>,
}

/// The macro averages that the paper prints wrong.
const MISPRINTED: [(&str, f64); 3] =
    [("LLaMA*", 58.61), ("PMC-LLaMA + Clinical (Frozen)", 60.06), ("BlueBERT + LoRA", 71.56)];

pub(super) fn report(
    grid: &Grid<'_>,
    columns: &[TaskColumn],
    figures: &Figures,
    header: &Header<'_>,
    done: &[(Run, Done)],
) -> Report {
    let mut seeds: Vec<u64> = done.iter().map(|(cell, _)| cell.recipe.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    let rows = grid.rows.iter().enumerate().map(|(i, row)| {
        let paper = row.in_paper.then_some(&row.published);
        let entry = |(task, column): (usize, &TaskColumn)| {
            let place = TASKS.iter().position(|name| *name == column.name);
            let printed = paper.zip(place).map(|(paper, place)| paper.auroc_percent[place]);
            entry(column.name, figures.at(i, task), printed, done)
        };
        let mean = figures.means[i];
        Row {
            row: row.key.clone(),
            title: row.title.clone(),
            model: row.base.clone(),
            clinical: row.clinical.clone(),
            cells: columns.iter().enumerate().map(entry).collect(),
            mean: Macro {
                auroc: mean.map(|(mean, _)| mean),
                sd: mean.and_then(|(_, sd)| sd),
                paper_percent: paper.map(|paper| (100.0 * paper.mean_percent()).round() / 100.0),
                paper_printed_percent: paper.and_then(|paper| {
                    MISPRINTED.iter().find(|(title, _)| *title == paper.title).map(|(_, printed)| *printed)
                }),
            },
        }
    });
    Report {
        table: grid.name,
        setting: setting_name(header.setting),
        data: header.data.to_owned(),
        baseline: header.baseline.to_owned(),
        seeds,
        resamples: header.options.resamples,
        overrides: header.overrides.to_vec(),
        rows: rows.collect(),
    }
}

fn setting_name(setting: Setting) -> &'static str {
    match setting {
        Setting::Paper => "paper",
        Setting::AuthorCompat => "author_compat",
    }
}

fn entry(task: &'static str, figure: &Figure, paper_percent: Option<f64>, done: &[(Run, Done)]) -> Entry {
    let run = |(place, auroc): &(usize, Option<f64>)| {
        let (cell, Done { end, .. }) = &done[*place];
        let mut entry = RunEntry {
            seed: cell.recipe.seed,
            run: cell.recipe.out.clone(),
            auroc: *auroc,
            diverged: None,
            adapters: Vec::new(),
            trainable: None,
            updates: None,
            kept_update: None,
            recipe: cell.recipe.out.join("recipe.toml"),
        };
        match end {
            End::Diverged { reason } => entry.diverged = Some(reason.clone()),
            End::Tested { adapters, trainable, updates, kept_update, .. } => {
                entry.adapters.clone_from(adapters);
                entry.trainable = Some(*trainable);
                entry.updates = Some(*updates);
                entry.kept_update = Some(*kept_update);
            }
        }
        entry
    };
    let status = match &figure.auroc {
        Ok(_) => "done",
        Err(_) if figure.cells.is_empty() => "missing",
        Err(_) if figure.diverged == figure.cells.len() => "diverged",
        Err(_) => "undefined",
    };
    Entry {
        task,
        status,
        auroc: figure.auroc.as_ref().ok().copied(),
        reason: figure.auroc.as_ref().err().map(|(_, long)| long.clone()),
        word: figure.auroc.as_ref().err().map(|(short, _)| short.clone()).filter(|short| !short.is_empty()),
        sd: figure.sd,
        low: figure.interval.map(|interval| interval.low),
        high: figure.interval.map(|interval| interval.high),
        delong: figure.delong,
        against_baseline: figure.comparison,
        paper_percent,
        runs: figure.cells.iter().map(run).collect(),
    }
}

/// A line a cell, its header first.
pub(super) fn records(report: &Report) -> Vec<Vec<String>> {
    let header = "row,title,task,status,reason,auroc,sd,low,high,delong_low,delong_high,difference,difference_low,\
                  difference_high,p_value,test,paper_percent,seeds,runs";
    let mut records = vec![header.split(',').map(str::to_owned).collect::<Vec<_>>()];
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    for row in &report.rows {
        for cell in &row.cells {
            let test = |of: fn(&Comparison) -> f64| number(cell.against_baseline.as_ref().map(of));
            let each = |of: fn(&RunEntry) -> String| cell.runs.iter().map(of).collect::<Vec<_>>().join(" ");
            records.push(vec![
                row.row.clone(),
                row.title.clone(),
                cell.task.to_owned(),
                cell.status.to_owned(),
                cell.word.clone().unwrap_or_default(),
                number(cell.auroc),
                number(cell.sd),
                number(cell.low),
                number(cell.high),
                number(cell.delong.map(|ends| ends[0])),
                number(cell.delong.map(|ends| ends[1])),
                test(|of| of.difference),
                test(|of| of.low),
                test(|of| of.high),
                test(|of| of.p_value),
                cell.against_baseline.map_or_else(String::new, |of| test_name(of.test).to_owned()),
                number(cell.paper_percent),
                each(|run| run.seed.to_string()),
                each(|run| shown(&run.run)),
            ]);
        }
    }
    records
}

fn test_name(test: Test) -> &'static str {
    match test {
        Test::DeLong => "DeLong",
        Test::Bootstrap => "bootstrap",
    }
}

pub(super) fn document(
    grid: &Grid<'_>,
    columns: &[TaskColumn],
    figures: &Figures,
    header: &Header<'_>,
    report: &Report,
) -> Document {
    let tasks = columns.iter().flat_map(|c| [Column::under(c.name, "ours"), Column::under(c.name, "paper")]);
    let means = [Column::under("macro", "ours"), Column::under("macro", "paper")];
    let best_mean = report.rows.iter().filter_map(|row| row.mean.auroc).reduce(f64::max);
    let rows = report.rows.iter().map(|row| {
        let cells = row.cells.iter().enumerate().flat_map(|(task, entry)| {
            [ours(grid, row, entry, figures.best_of(task), header), paper(entry.paper_percent)]
        });
        let title = Cell { details: vec![(row.row.clone(), None)], ..Cell::of(&row.title) };
        let mean = match row.mean.auroc {
            Some(auroc) => Cell { strong: Some(auroc) == best_mean, ..Cell::of(spread(auroc, row.mean.sd)) },
            None => Cell::quiet("–"),
        };
        let mut printed = paper(row.mean.paper_percent);
        if let Some(wrong) = row.mean.paper_printed_percent {
            printed.text.push('†');
            printed.details = vec![(format!("printed {wrong:.2}"), None)];
        }
        std::iter::once(title).chain(cells).chain([mean, printed]).collect()
    });
    let table = Table {
        name: grid.name,
        caption: format!("{}: AUROC in per cent, ours and the paper's", grid.title),
        columns: std::iter::once(Column::words("model")).chain(tasks).chain(means).collect(),
        rows: rows.collect(),
    };
    Document {
        title: grid.title.clone(),
        lead: grid.lead.clone(),
        tables: vec![table, runs(grid, report)],
        notes: notes(columns, report, header),
        figures: Vec::new(),
    }
}

fn paper(percent: Option<f64>) -> Cell {
    percent.map_or_else(Cell::default, |percent| Cell::quiet(format!("{percent:.2}")))
}

/// In per cent.
fn spread(auroc: f64, sd: Option<f64>) -> String {
    match sd {
        Some(sd) => format!("{:.2} ± {:.2}", 100.0 * auroc, 100.0 * sd),
        None => format!("{:.2}", 100.0 * auroc),
    }
}

fn ours(grid: &Grid<'_>, row: &Row, entry: &Entry, best: Option<f64>, header: &Header<'_>) -> Cell {
    let mut cell = match entry.auroc {
        Some(auroc) => Cell { strong: best == Some(auroc), ..Cell::of(spread(auroc, entry.sd)) },
        None => Cell::quiet(entry.word.clone().unwrap_or_default()),
    };
    let here = |path: &Path| link(grid.out, path);
    cell.link = entry.runs.first().and_then(|run| here(&run.run)).map(|path| path + "/");
    if let (Some(low), Some(high)) = (entry.low, entry.high) {
        cell.details.push((format!("{:.1}–{:.1}", 100.0 * low, 100.0 * high), None));
    }
    if let Some(against) = entry.against_baseline {
        cell.details.push((p_value(against.p_value), None));
    } else if row.row == header.baseline && entry.auroc.is_some() {
        cell.details.push(("baseline".to_owned(), None));
    }
    let diverged = entry.runs.iter().filter(|run| run.diverged.is_some()).count();
    if diverged > 0 && entry.auroc.is_some() {
        cell.details.push((format!("{diverged} of {} diverged", entry.runs.len()), None));
    }
    cell.details.extend(entry.runs.iter().map(|run| (format!("seed {}", run.seed), here(&run.recipe))));
    cell
}

fn p_value(p: f64) -> String {
    if p < 0.001 { "p < 0.001".to_owned() } else { format!("p = {p:.3}") }
}

/// Every run behind the table.
fn runs(grid: &Grid<'_>, report: &Report) -> Table {
    let here = |path: &Path| link(grid.out, path);
    let mut rows = Vec::new();
    for row in &report.rows {
        for entry in &row.cells {
            for run in &entry.runs {
                let count = |n: Option<u64>| Cell::of(n.map_or_else(String::new, |n| n.to_string()));
                let auroc = match (run.auroc, &run.diverged) {
                    (Some(auroc), _) => Cell::of(format!("{:.2}", 100.0 * auroc)),
                    (None, Some(reason)) => Cell::quiet(format!("diverged: {reason}")),
                    (None, None) => Cell::quiet(entry.word.clone().unwrap_or_default()),
                };
                rows.push(vec![
                    Cell { link: here(&run.run).map(|path| path + "/"), ..Cell::of(shown(&run.run)) },
                    Cell::of(&row.row),
                    Cell::of(entry.task),
                    Cell { link: here(&run.recipe), ..Cell::of(run.seed.to_string()) },
                    auroc,
                    count(run.trainable.map(|n| n as u64)),
                    count(run.updates),
                    count(run.kept_update),
                ]);
            }
        }
    }
    let numbers = ["AUROC", "trained values", "updates", "kept"].map(Column::numbers);
    let words = ["run", "row", "task", "seed and recipe"].map(Column::words);
    Table {
        name: "runs",
        caption: "Runs".to_owned(),
        columns: words.into_iter().chain(numbers).collect(),
        rows,
    }
}

fn notes(columns: &[TaskColumn], report: &Report, header: &Header<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    let sizes: Vec<String> = columns
        .iter()
        .filter_map(|column| {
            let [train, valid, test] = column.of.as_ref().ok()?.notes;
            Some(format!("{} {train}/{valid}/{test}", column.name))
        })
        .collect();
    notes.push(format!("Notes to train on, to validate with, to test on: {}.", sizes.join(", ")));
    notes.push(
        "AUROC of the test notes: LOS is one-vs-one, DIAG and PROC are means over the labels that some notes have and some \
         have not. Macro is the plain mean over the five tasks; there is none where one of them has no figure."
            .to_owned(),
    );
    let seeds = report.seeds.len();
    let over =
        if seeds > 1 { format!("Mean ± standard deviation over {seeds} seeds. ") } else { String::new() };
    notes.push(format!(
        "{over}Below: the 95 % interval by {} resamples of the test notes; p of the paired test against `{}` (DeLong's for \
         PMV and MOR, the bootstrap for the others), not corrected for the number of tests; the seed, which leads to the \
         recipe.",
        report.resamples, header.baseline
    ));
    if report.rows.iter().any(|row| row.mean.paper_printed_percent.is_some()) {
        notes.push("† The mean of the paper's own row; it prints another.".to_owned());
    }
    if header.setting == Setting::AuthorCompat {
        notes.push(
            "Setting author_compat: DIAG and PROC are ranked by a softmax over the labels, and a downstream adapter on a \
             clinical one is not active, as in the authors' code."
                .to_owned(),
        );
    } else {
        notes.push(
            "The authors' downstream adapter on a clinical one was never active, and their DIAG and PROC are ranked by a \
             softmax over the labels: `--setting author_compat` does the same."
                .to_owned(),
        );
    }
    if !header.overrides.is_empty() {
        notes.push(format!("Not as in the recipes: `{}`.", header.overrides.join("` `")));
    }
    for column in columns {
        notes.extend(column.of.as_ref().err().map(|gap| format!("{}: {}.", column.name, gap.long)));
    }
    for row in &report.rows {
        for cell in row.cells.iter().filter(|cell| cell.status == "undefined" || cell.status == "diverged") {
            let reason = cell.reason.as_deref().unwrap_or_default();
            notes.push(format!("{}, {}: {reason}.", row.title, cell.task));
        }
    }
    notes
}
