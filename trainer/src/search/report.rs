//! What a search came to: for a terminal, as JSON, and as a page that needs no network.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value as Json;

use super::gp::Surrogate;
use super::importance::main_effects;
use super::metric::Metric;
use super::plots;
use super::sampler::Sampler;
use super::shared::Shared;
use super::space::Space;
use super::study::{State, Study, Trial};
use crate::error::{AtPath, Result};
use crate::report::html::escaped;

/// Trials that must have a figure before an axis is said to matter.
const FEWEST_TO_WEIGH: usize = 5;

/// A search so far.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) out: PathBuf,
    pub(crate) metric: Metric,
    sampler: Sampler,
    seed: u64,
    /// Points of the space, where they can be counted.
    points: Option<usize>,
    /// Every point has been tried.
    exhausted: bool,
    /// Trials that run elsewhere.
    elsewhere: usize,
    pub(crate) best: Option<Row>,
    /// Share of the figure's variance by each key alone; null while there are too few trials.
    pub(crate) importance: Option<BTreeMap<String, f64>>,
    pub(crate) trials: Vec<Row>,
}

/// A trial.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) trial: usize,
    state: &'static str,
    /// The figure; of a trial that was given up, its best until then.
    pub(crate) value: Option<f64>,
    pub(crate) values: BTreeMap<String, Json>,
    /// Its run folder; none of a trial that repeats an earlier one.
    pub(crate) run: Option<PathBuf>,
    /// Why it has no figure of its own, or ended early.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(skip)]
    text: Vec<String>,
}

impl Report {
    pub(crate) fn new(search: &Shared, study: &Study, exhausted: bool, elsewhere: usize) -> Self {
        let metric = search.header.metric;
        let row = |trial: &Trial| row(search, trial);
        Self {
            out: search.folder.clone(),
            metric,
            sampler: search.header.sampler,
            seed: search.header.seed,
            points: search.space.size(),
            exhausted,
            elsewhere,
            best: study.best(metric).map(|(trial, _)| row(trial)),
            importance: importance(&search.space, study, metric),
            trials: study.trials.iter().map(row).collect(),
        }
    }

    fn keys(&self) -> Vec<&str> {
        self.trials.first().map_or_else(Vec::new, |row| row.values.keys().map(String::as_str).collect())
    }

    fn is_best(&self, row: &Row) -> bool {
        self.best.as_ref().is_some_and(|best| best.trial == row.trial)
    }

    /// Keys by their share, the largest first.
    fn shares(&self) -> Vec<(&str, f64)> {
        let mut shares: Vec<(&str, f64)> = self
            .importance
            .iter()
            .flat_map(|shares| shares.iter().map(|(key, share)| (key.as_str(), *share)))
            .collect();
        shares.sort_by(|a, b| b.1.total_cmp(&a.1));
        shares
    }

    /// The table and the shares, for a terminal.
    pub(crate) fn text(&self) -> String {
        let head = [&["trial", self.metric.name()], self.keys().as_slice(), &["state"]].concat();
        let mut lines: Vec<Vec<String>> = vec![head.into_iter().map(str::to_owned).collect()];
        for row in &self.trials {
            let mut line = vec![row.trial.to_string(), figure(row.value)];
            line.extend(row.text.iter().cloned());
            line.push(match (&row.note, self.is_best(row)) {
                (_, true) => "best".to_owned(),
                (Some(note), _) => format!("{}: {note}", row.state),
                (None, _) => row.state.to_owned(),
            });
            lines.push(line);
        }
        let columns = lines[0].len();
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns - 1).map(width).collect();
        let mut text = String::new();
        for line in &lines {
            for (cell, width) in line.iter().zip(&widths) {
                let _ = write!(text, "{cell:>width$}  ");
            }
            let _ = writeln!(text, "{}", line[columns - 1]);
        }
        let shares = self.shares();
        if !shares.is_empty() {
            let width = shares.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
            let _ =
                writeln!(text, "\nshare of the variance of the {} by each key alone:", self.metric.name());
            for (key, share) in shares {
                let line =
                    format!("  {key:width$}  {:5.1} %  {}", 100.0 * share, "#".repeat(bar_length(share)));
                let _ = writeln!(text, "{}", line.trim_end());
            }
        }
        let _ = write!(text, "\n{}", self.summary());
        text
    }

    fn summary(&self) -> String {
        let mut text = match &self.best {
            Some(Row { trial, value, run, .. }) => {
                let run = run.as_ref().map_or_else(String::new, |run| format!("; {}", run.display()));
                format!("best: trial {trial}, {} {}{run}", self.metric.name(), figure(*value))
            }
            None => "no trial has come to an end".to_owned(),
        };
        if self.exhausted {
            let _ = write!(text, "\nevery one of the {} points has been tried", self.points.unwrap_or(0));
        }
        if self.elsewhere > 0 {
            let _ = write!(text, "\n{} trials still run in other processes", self.elsewhere);
        }
        text
    }

    /// The page.
    ///
    /// # Errors
    /// What the plotting library says.
    pub(crate) fn html(&self, space: &Space, study: &Study) -> Result<String> {
        let mut charts = vec![plots::best_so_far(study, self.metric)];
        let shares = self.shares();
        if !shares.is_empty() {
            charts.push(plots::importance(&shares));
        }
        charts.extend((0..space.axes.len()).map(|axis| plots::scatter(space, axis, study, self.metric)));
        let charts = charts.into_iter().collect::<std::result::Result<Vec<_>, _>>();
        let charts = charts.map_err(std::io::Error::other).at(&self.out)?;
        let mut table = String::new();
        let head = [&["trial", self.metric.name()], self.keys().as_slice(), &["state"]].concat();
        for cell in head {
            let _ = write!(table, "<th>{}</th>", escaped(cell));
        }
        for row in &self.trials {
            let class = if self.is_best(row) { " class=\"best\"" } else { "" };
            let link = format!("<a href=\"trials/{0:04}/run.jsonl\">{0}</a>", row.trial);
            let number = if row.run.is_some() { link } else { row.trial.to_string() };
            let _ = write!(table, "</tr>\n<tr{class}><td>{number}</td><td>{}</td>", figure(row.value));
            for cell in &row.text {
                let _ = write!(table, "<td>{}</td>", escaped(cell));
            }
            let note = row.note.as_ref().map_or_else(String::new, |note| format!(": {}", escaped(note)));
            let _ = write!(table, "<td>{}{note}</td>", row.state);
        }
        Ok(format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Clinlora search</title>\n<style>\
             body{{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#1b2733}}\
             table{{border-collapse:collapse;font-variant-numeric:tabular-nums}}\
             th,td{{padding:.2em .8em;text-align:right;border-bottom:1px solid #d8dee4}}\
             .best{{background:#e3f1e5;font-weight:600}}svg{{max-width:100%;height:auto}}</style></head>\n<body>\
             <h1>Search by {}</h1>\n<p>{}</p>\n<p>Sampler {}, seed {}. Importance is the variance of an axis's main effect \
             in the surrogate, as a share of the variance over the space; what the shares leave to 100 % is interaction.</p>\
             \n{}\n<table><tr>{table}</tr></table>\n</body></html>\n",
            self.metric.name(),
            escaped(&self.summary()).replace('\n', "<br>"),
            self.sampler.name(),
            self.seed,
            charts.join("\n"),
        ))
    }
}

fn row(search: &Shared, trial: &Trial) -> Row {
    let (state, value, note) = match &trial.state {
        State::Running => ("running", None, None),
        State::Finished { value, same_as: None } => ("finished", Some(*value), None),
        State::Finished { value, same_as: Some(same) } => {
            ("finished", Some(*value), Some(format!("the values of trial {same}")))
        }
        State::Failed { reason } => ("failed", None, Some(reason.clone())),
        State::Pruned { value, epoch } => {
            ("pruned", Some(*value), Some(format!("below the median after epoch {epoch}")))
        }
    };
    let is_repeat = matches!(trial.state, State::Finished { same_as: Some(_), .. });
    Row {
        trial: trial.number,
        state,
        value,
        values: search.space.values(&trial.point),
        run: (!is_repeat).then(|| search.run_folder(trial.number)),
        note,
        text: search.space.axes.iter().zip(&trial.point).map(|(axis, at)| axis.text(*at)).collect(),
    }
}

fn importance(space: &Space, study: &Study, metric: Metric) -> Option<BTreeMap<String, f64>> {
    let history = study.history(metric, Sampler::Gp);
    if history.observed.len() < FEWEST_TO_WEIGH {
        return None;
    }
    let (points, costs): (Vec<_>, Vec<f64>) = history.observed.into_iter().unzip();
    let rows: Vec<Vec<f64>> = points.iter().map(|point| space.encode(point)).collect();
    let shares = main_effects(space, &Surrogate::fit(&rows, &costs)?)?;
    Some(space.axes.iter().map(|axis| axis.key.clone()).zip(shares).collect())
}

fn figure(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of 40 characters")]
fn bar_length(share: f64) -> usize {
    (40.0 * share.clamp(0.0, 1.0)).round() as usize
}
