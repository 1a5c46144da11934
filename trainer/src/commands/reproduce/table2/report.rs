//! Table 2 as a document, as records and as JSON.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::super::curves::{Curves, LOSS_POINTS};
use super::super::grouped;
use super::PAPER_BATCH;
use crate::error::Result;
use crate::eval::perplexity::Perplexity;
use crate::report::plot::{Axis, Chart, Mark, Series, thinned};
use crate::report::{Cell, Column, Document, Figure, Table, link, shown};

/// The table. The same command on the same inputs gives the same, but for `seconds`.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) model: PathBuf,
    /// Values of the base.
    pub(super) parameters: usize,
    pub(super) notes: PathBuf,
    /// Training notes in all.
    pub(super) train_notes: usize,
    pub(super) max_tokens: usize,
    pub(super) seed: u64,
    /// As typed.
    pub(super) overrides: Vec<String>,
    pub(super) base: Figures,
    pub(super) methods: Vec<Row>,
    /// Of each method's updates.
    pub(super) seconds: BTreeMap<&'static str, f64>,
}

/// One method.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    #[serde(skip)]
    pub(super) title: &'static str,
    pub(super) method: &'static str,
    pub(super) run: PathBuf,
    pub(super) updates: u64,
    pub(super) learning_rate: f64,
    pub(super) trainable: usize,
    /// Of base and adapter.
    pub(super) percent: f64,
    #[serde(flatten)]
    pub(super) figures: Figures,
    pub(super) paper: Paper,
}

/// The paper's row for LLaMA-7B on MIMIC-IV.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Paper {
    pub(super) trainable: usize,
    pub(super) percent: f64,
    /// Of the last micro-batch of ten notes that was logged.
    pub(super) train_perplexity: f64,
    pub(super) test_perplexity: f64,
    /// Hours, minutes, seconds on one A100-80GB.
    pub(super) time: &'static str,
}

/// What a model makes of the notes.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    /// A sample of the training notes.
    pub(super) train: Measured,
    pub(super) test: Measured,
}

/// Perplexities of one set of notes.
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    /// As `clinlora perplexity` prints them: with the first token of a note where virtual tokens stand before it.
    #[serde(flatten)]
    pub(super) all: Perplexity,
    /// Of the tokens after a note's first, each weighing the same: of the same tokens for every method and the base.
    #[serde(rename = "perplexity_after_first_token")]
    pub(super) after_first: f64,
}

impl Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (train, test) = (&self.train, &self.test);
        write!(f, "{:.3} in training, {:.3} in test", train.after_first, test.after_first)
    }
}

impl Figures {
    /// Three cells of the table.
    fn cells(&self) -> [Cell; 3] {
        [self.train.after_first, self.test.after_first, self.test.all.batch_mean_perplexity]
            .map(|perplexity| Cell::of(format!("{perplexity:.3}")))
    }
}

impl Report {
    /// The table for people; `out` is its folder.
    pub(super) fn document(&self, out: &Path) -> Document {
        let ours = ["trained", "%", "train PPL", "test PPL", "test PPL, batch mean", "time"];
        let papers = ["trained", "%", "train PPL", "test PPL", "time"];
        let columns = std::iter::once(Column::words("method"))
            .chain(ours.map(|title| Column::under("ours", title)))
            .chain(papers.map(|title| Column::under("paper", title)));
        let blank = |count: usize| (0..count).map(|_| Cell::default());
        let base = std::iter::once(Cell::of("base")).chain(blank(2)).chain(self.base.cells()).chain(blank(6));
        let best = self.methods.iter().map(|row| row.figures.test.after_first).reduce(f64::min);
        let row = |row: &Row| {
            let paper = &row.paper;
            let here = |path: &Path| link(out, path);
            let title = Cell {
                link: here(&row.run).map(|path| path + "/"),
                details: vec![(format!("seed {}", self.seed), here(&row.run.join("recipe.toml")))],
                ..Cell::of(row.title)
            };
            let [train, mut test, batch_mean] = row.figures.cells();
            test.strong = Some(row.figures.test.after_first) == best;
            let seconds = self.seconds.get(row.method).copied().unwrap_or_default();
            let ours = [
                Cell::of(grouped(row.trainable as u64)),
                Cell::of(share(row.percent)),
                train,
                test,
                batch_mean,
            ];
            let theirs = [
                grouped(paper.trainable as u64),
                paper.percent.to_string(),
                paper.train_perplexity.to_string(),
                paper.test_perplexity.to_string(),
                paper.time.to_owned(),
            ];
            std::iter::once(title)
                .chain(ours)
                .chain([Cell::of(clock(seconds))])
                .chain(theirs.map(Cell::quiet))
                .collect()
        };
        Document {
            title: "Table 2: five PEFT methods by perplexity".to_owned(),
            lead: vec![format!(
                "Notes: `{}`, {} to train on and {} to test on, of {} tokens at most. Base: `{}` ({} values). Seed {}.",
                shown(&self.notes),
                grouped(self.train_notes as u64),
                grouped(self.base.test.all.notes as u64),
                self.max_tokens,
                shown(&self.model),
                grouped(self.parameters as u64),
                self.seed
            )],
            tables: vec![Table {
                name: "table2",
                caption: "Table 2: what each method trains, and what it makes of the notes".to_owned(),
                columns: columns.collect(),
                rows: std::iter::once(base.collect()).chain(self.methods.iter().map(row)).collect(),
            }],
            notes: self.remarks(),
            figures: Vec::new(),
        }
    }

    fn remarks(&self) -> Vec<String> {
        let mut remarks = vec![
            format!(
                "Train and test PPL: exp of the mean loss of a token, every token after a note's first weighing the same, with \
                 what each run saved; train over {} training notes evenly spaced, test over all test notes.",
                grouped(self.base.train.all.notes as u64)
            ),
            format!(
                "Batch mean, the paper's definition: exp of the mean over batches of {PAPER_BATCH} notes of each batch's mean. \
                 Prompt tuning and P-tuning predict a note's first token too, as in the paper."
            ),
            "Time: of the updates, h:mm:ss, without validation and measuring.".to_owned(),
            "Paper: LLaMA-7B on MIMIC-IV, one A100-80GB (arXiv 2307.03042, Table 2). On another base or other notes its figures \
             stand beside ours for the order of the methods alone; its train PPL is that of one micro-batch of ten notes, and \
             comparable to nothing."
                .to_owned(),
        ];
        if !self.overrides.is_empty() {
            remarks.push(format!("Not as in the paper: `{}`.", self.overrides.join("` `")));
        }
        remarks
    }

    /// A line a method, its header first.
    pub(super) fn records(&self) -> Vec<Vec<String>> {
        let header = "method,trainable,percent,train_perplexity,test_perplexity,test_batch_mean_perplexity,updates,seconds,\
                      paper_trainable,paper_percent,paper_train_perplexity,paper_test_perplexity,paper_time,run";
        let figures = |of: &Figures| {
            let (train, test) = (&of.train, &of.test);
            [train.after_first, test.after_first, test.all.batch_mean_perplexity].map(|p| p.to_string())
        };
        let mut records = vec![header.split(',').map(str::to_owned).collect::<Vec<_>>()];
        let blank = |count: usize| (0..count).map(|_| String::new());
        let base =
            std::iter::once("base".to_owned()).chain(blank(2)).chain(figures(&self.base)).chain(blank(8));
        records.push(base.collect());
        for row in &self.methods {
            let paper = &row.paper;
            let seconds = self.seconds.get(row.method).copied().unwrap_or_default();
            let counts = [row.method.to_owned(), row.trainable.to_string(), row.percent.to_string()];
            let more = [
                row.updates.to_string(),
                seconds.to_string(),
                paper.trainable.to_string(),
                paper.percent.to_string(),
                paper.train_perplexity.to_string(),
                paper.test_perplexity.to_string(),
                paper.time.to_owned(),
                shown(&row.run),
            ];
            records.push(counts.into_iter().chain(figures(&row.figures)).chain(more).collect());
        }
        records
    }

    /// Training losses and held-out perplexities of every method.
    pub(super) fn plots(&self) -> Result<Vec<Figure>> {
        let (mut losses, mut held_out) = (Vec::new(), Vec::new());
        for (color, row) in self.methods.iter().enumerate() {
            let curves = Curves::read(&row.run)?;
            let series = |mark: Mark, points: Vec<(f64, f64)>| Series {
                name: row.title.to_owned(),
                color,
                mark,
                points,
            };
            losses.push(series(Mark::Line, thinned(&curves.losses, LOSS_POINTS)));
            let perplexity = |(step, loss): &(f64, f64)| (*step, loss.exp());
            held_out.push(series(Mark::Dotted, curves.held_out.iter().map(perplexity).collect()));
        }
        let chart = |title: &str, y: &str, series: Vec<Series>| {
            let all =
                |axis: fn(&(f64, f64)) -> f64| series.iter().flat_map(move |of| of.points.iter().map(axis));
            Chart {
                title: title.to_owned(),
                x: Axis::around("update", all(|p| p.0)),
                y: Axis::around(y, all(|p| p.1)),
                diagonal: false,
                names: Vec::new(),
                series,
            }
            .svg()
        };
        Ok(vec![
            Figure {
                name: "loss".to_owned(),
                caption: "Training loss against updates, the mean of neighbouring updates.".to_owned(),
                svg: chart("Training loss", "training loss", losses),
            },
            Figure {
                name: "validation".to_owned(),
                caption: "Perplexity of the validation notes after each epoch.".to_owned(),
                svg: chart("Validation", "held-out perplexity", held_out),
            },
        ])
    }
}

/// A percentage with two digits that say something, and not below two places.
fn share(percent: f64) -> String {
    let mut places = 2;
    let mut scaled = percent * 100.0;
    while scaled > 0.0 && scaled < 9.5 && places < 6 {
        scaled *= 10.0;
        places += 1;
    }
    format!("{percent:.places$}")
}

/// Seconds as h:mm:ss.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a sum of durations, below 2^52")]
fn clock(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_paper_writes_them() {
        assert_eq!([0, 999, 61_440, 16_093_696].map(grouped), ["0", "999", "61,440", "16,093,696"]);
        assert_eq!([12.345, 0.124, 0.0182, 0.000_912].map(share), ["12.35", "0.12", "0.018", "0.00091"]);
        assert_eq!([0.4, 59.6, 77_862.0].map(clock), ["0:00:00", "0:01:00", "21:37:42"]);
    }
}
