//! The figures of a table, from the predictions of its cells.

use clinlora_core::task::{Task, TaskKind};

use super::cell::{Cell, Done, End};
use super::{Column, Grid};
use crate::error::Result;
use crate::eval::delong::{Components, sample_variance};
use crate::eval::interval::Interval;
use crate::eval::paired::{self, Comparison};
use crate::eval::{EvalOptions, Predictions, Undefined};
use crate::recipe::published::TASKS;
use crate::training::progress::Progress;

/// Standard errors to either side of a normal variable's middle 95 %.
const NORMAL_95: f64 = 1.959_963_984_540_054;

/// Every figure of a table, by row and column.
pub(super) struct Figures {
    rows: Vec<Vec<Figure>>,
    /// The macro average of each row, with its spread over the seeds; none where a task has no figure.
    pub(super) means: Vec<Option<(f64, Option<f64>)>>,
}

/// One row on one task, over all seeds.
#[derive(Debug)]
pub(super) struct Figure {
    /// Mean over the seeds that have one; or why there is none, in a word or two and in a sentence.
    pub(super) auroc: std::result::Result<f64, (String, String)>,
    /// Standard deviation over the seeds, of two or more.
    pub(super) sd: Option<f64>,
    /// Of the mean, by resampling notes.
    pub(super) interval: Option<Interval>,
    /// Of the mean, by DeLong's variance: low and high.
    pub(super) delong: Option<[f64; 2]>,
    /// Against the baseline.
    pub(super) comparison: Option<Comparison>,
    /// Places among the cells that are done, a cell a seed, each with its own AUROC.
    pub(super) cells: Vec<(usize, Option<f64>)>,
    /// How many of these diverged.
    pub(super) diverged: usize,
    /// What the plots show, of the first seed that has predictions.
    pub(super) shown: Option<Shown>,
}

/// Curves of one run.
#[derive(Debug)]
pub(super) struct Shown {
    /// One-vs-rest of each class of a single-label task, of class 1 alone where there are two; empty otherwise.
    pub(super) roc: Vec<(usize, Vec<(f64, f64)>)>,
    pub(super) reliability: Vec<(f64, f64)>,
    pub(super) classes: Vec<Option<f64>>,
}

/// What tests and intervals of a figure are made of.
#[derive(Default)]
struct Evidence {
    ids: Vec<String>,
    /// In every resample, the mean over the seeds.
    resampled: Vec<Option<f64>>,
    components: Option<Components>,
}

impl Figures {
    pub(super) fn of(
        grid: &Grid<'_>,
        columns: &[Column],
        done: &[(Cell, Done)],
        options: EvalOptions,
    ) -> Result<Self> {
        let baseline = grid.rows.iter().position(|row| row.key == grid.baseline);
        let mut progress = Progress::new("figures", 0, (grid.rows.len() * columns.len()) as u64);
        let mut rows: Vec<Vec<Figure>> = grid.rows.iter().map(|_| Vec::new()).collect();
        for (task, column) in columns.iter().enumerate() {
            let mut all = Vec::new();
            for row in 0..grid.rows.len() {
                all.push(figure(row, task, column, done, options)?);
                progress.set((task * grid.rows.len() + row + 1) as u64, String::new);
            }
            if let Some(baseline) = baseline {
                compare(&mut all, baseline);
            }
            rows.iter_mut().zip(all).for_each(|(row, (figure, _))| row.push(figure));
        }
        let means = rows.iter().map(|row| macro_mean(row)).collect();
        Ok(Self { rows, means })
    }

    pub(super) fn at(&self, row: usize, task: usize) -> &Figure {
        &self.rows[row][task]
    }

    /// The best of a column, and of the macro averages, is the highest.
    pub(super) fn best_of(&self, task: usize) -> Option<f64> {
        self.rows.iter().filter_map(|row| row[task].auroc.as_ref().ok()).copied().reduce(f64::max)
    }
}

fn figure(
    row: usize,
    task: usize,
    column: &Column,
    done: &[(Cell, Done)],
    options: EvalOptions,
) -> Result<(Figure, Evidence)> {
    let belongs = |(_, (cell, _)): &(usize, &(Cell, Done))| cell.row == row && cell.task == task;
    let cells = done.iter().enumerate().filter(belongs).map(|(i, _)| (i, None)).collect();
    let mut figure = Figure {
        auroc: Err((String::new(), "no run was asked for".to_owned())),
        sd: None,
        interval: None,
        delong: None,
        comparison: None,
        diverged: 0,
        shown: None,
        cells,
    };
    let data = match &column.of {
        Ok(data) => data,
        Err(gap) => {
            figure.auroc = Err((gap.short.clone(), gap.long.clone()));
            return Ok((figure, Evidence::default()));
        }
    };
    let mut aurocs = Vec::new();
    let mut resampled: Vec<Vec<Option<f64>>> = Vec::new();
    let mut components = Vec::new();
    let mut ids = Vec::new();
    for (place, of_cell) in &mut figure.cells {
        let (cell, end) = (&done[*place].0, &done[*place].1.end);
        if let End::Diverged { reason } = end {
            figure.diverged += 1;
            figure.auroc = Err(("diverged".to_owned(), format!("training diverged: {reason}")));
            continue;
        }
        let predictions = Predictions::read(&cell.predictions(), &data.task)?;
        let ranked = predictions.ranked(cell.recipe.scores.unwrap_or_default());
        match ranked.auroc() {
            Ok(auroc) => {
                *of_cell = Some(auroc);
                aurocs.push(auroc);
            }
            Err(undefined) => {
                figure.auroc = Err((short(&undefined, &data.task), undefined.to_string()));
            }
        }
        resampled.push(ranked.resampled(&options));
        components.extend(predictions.components());
        if figure.shown.is_none() {
            figure.shown = Some(shown(&predictions, &data.task));
        }
        ids = predictions.ids;
    }
    let mut evidence = Evidence { ids, ..Evidence::default() };
    if !aurocs.is_empty() {
        figure.auroc = Ok(mean(&aurocs));
        figure.sd = (aurocs.len() > 1).then(|| sample_variance(&aurocs).sqrt());
        evidence.resampled = mean_resampled(&resampled);
        figure.interval = Interval::of(&evidence.resampled);
        evidence.components = Components::mean(&components);
        figure.delong = evidence.components.as_ref().map(|of| {
            let margin = NORMAL_95 * of.variance().sqrt();
            [(of.value() - margin).max(0.0), (of.value() + margin).min(1.0)]
        });
    }
    Ok((figure, evidence))
}

fn shown(predictions: &Predictions, task: &Task) -> Shown {
    let labels = task.labels.len();
    let single = task.kind != TaskKind::Multilabel;
    let curves = if single { usize::from(labels == 2)..labels } else { 0..0 };
    Shown {
        roc: curves.filter_map(|label| Some((label, predictions.roc(label)?))).collect(),
        reliability: predictions.reliability(),
        classes: predictions.class_aurocs(),
    }
}

/// For a cell of a table.
fn short(undefined: &Undefined, task: &Task) -> String {
    match undefined {
        Undefined::ClassAbsent { .. } if task.labels.len() == 2 => "one class".to_owned(),
        Undefined::ClassAbsent { class } => format!("no class {}", task.labels[*class].name),
        _ => "no label varies".to_owned(),
    }
}

/// In every resample the mean over the seeds, where all have a value.
fn mean_resampled(seeds: &[Vec<Option<f64>>]) -> Vec<Option<f64>> {
    let of = |resample: usize| -> Option<f64> {
        let values: Option<Vec<f64>> = seeds.iter().map(|seed| seed[resample]).collect();
        values.map(|values| mean(&values))
    };
    (0..seeds.first().map_or(0, Vec::len)).map(of).collect()
}

/// Tests every row against `baseline`: by DeLong where the task has components, by resampling otherwise. Runs that were
/// tested on other notes are not compared.
fn compare(all: &mut [(Figure, Evidence)], baseline: usize) {
    for row in (0..all.len()).filter(|row| *row != baseline) {
        let ((figure, ours), (base, theirs)) = (&all[row], &all[baseline]);
        let (Ok(auroc), Ok(of_baseline)) = (&figure.auroc, &base.auroc) else {
            continue;
        };
        if ours.ids != theirs.ids {
            continue;
        }
        let comparison = match (&ours.components, &theirs.components) {
            (Some(ours), Some(theirs)) => paired::delong(ours, theirs),
            _ => paired::bootstrap(auroc - of_baseline, &ours.resampled, &theirs.resampled),
        };
        all[row].0.comparison = comparison;
    }
}

/// The plain mean over the paper's five tasks, and its standard deviation over the seeds.
fn macro_mean(row: &[Figure]) -> Option<(f64, Option<f64>)> {
    if row.len() != TASKS.len() {
        return None;
    }
    let aurocs: Option<Vec<f64>> = row.iter().map(|figure| figure.auroc.as_ref().ok().copied()).collect();
    let of_seed = |nth: usize| -> Option<f64> {
        let aurocs: Option<Vec<f64>> = row.iter().map(|figure| figure.cells.get(nth)?.1).collect();
        aurocs.map(|aurocs| mean(&aurocs))
    };
    let of_seeds: Option<Vec<f64>> = (0..row[0].cells.len()).map(of_seed).collect();
    let sd = of_seeds.filter(|values| values.len() > 1).map(|values| sample_variance(&values).sqrt());
    Some((mean(&aurocs?), sd))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
