//! Predictions side by side: a column each, and how each differs from the first, in points.

use clinlora_webapp::about::{About, TaskAbout};
use clinlora_webapp::compare::labels;
use clinlora_webapp::reasons::{Direction, points};
use clinlora_webapp::risk::{outcome_label, percent};
use leptos::prelude::*;

use super::state::Prediction;

/// A column of the table.
pub(crate) struct Column {
    /// What it is, as a style and as tests read it.
    pub(crate) name: &'static str,
    /// Heading.
    pub(crate) title: &'static str,
    /// What is known so far.
    pub(crate) prediction: Option<Prediction>,
}

impl Column {
    fn probabilities(&self, task: &TaskAbout) -> &[f64] {
        let outcomes = self.prediction.as_ref().map_or(&[][..], |prediction| &prediction.outcomes);
        outcomes
            .iter()
            .find(|outcome| outcome.task == task.name)
            .map_or(&[], |outcome| &outcome.probabilities)
    }
}

/// The main outcomes under each column; columns after the first tell the difference from it.
pub(crate) fn table(about: &About, caption: &'static str, columns: &[Column]) -> AnyView {
    let heads =
        columns.iter().map(|column| view! { <th scope="col" data-column=column.name>{column.title}</th> });
    let bodies = about.tasks.iter().map(|task| body(task, columns));
    view! {
        <div class="scrolls" tabindex="0" role="region" aria-label=caption>
            <table class="compared">
                <caption>{caption}</caption>
                <thead><tr><th scope="col">"Outcome"</th>{heads.collect::<Vec<_>>()}</tr></thead>
                {bodies.collect::<Vec<_>>()}
            </table>
        </div>
    }
    .into_any()
}

fn body(task: &TaskAbout, columns: &[Column]) -> impl IntoView + use<> {
    let Some((first, others)) = columns.split_first() else { return ().into_any() };
    let shown = first.probabilities(task);
    let others: Vec<&[f64]> = others.iter().map(|column| column.probabilities(task)).collect();
    let labels = labels(task, shown, &others);
    let is_one = outcome_label(task).is_some();
    let rows = labels.into_iter().map(|label| {
        let words = task.labels.get(label).map_or("", |label| label.words()).to_owned();
        let cells = columns.iter().enumerate().map(|(place, column)| {
            let probability = column.probabilities(task).get(label).copied();
            let change = (place > 0).then(|| Some(probability? - shown.get(label)?)).flatten();
            cell(column.name, probability, change)
        });
        let head = match is_one {
            true => view! { {task.heading().to_owned()}<span class="soft label">{words}</span> }.into_any(),
            false => words.into_any(),
        };
        view! { <tr data-label=label><th scope="row">{head}</th>{cells.collect::<Vec<_>>()}</tr> }
    });
    let rows = rows.collect::<Vec<_>>();
    let group = (!is_one).then(|| {
        let width = (columns.len() + 1).to_string();
        view! { <tr class="group"><th scope="rowgroup" colspan=width>{task.heading().to_owned()}</th></tr> }
    });
    view! { <tbody data-task=task.name.clone()>{group}{rows}</tbody> }.into_any()
}

fn cell(column: &'static str, probability: Option<f64>, change: Option<f64>) -> impl IntoView + use<> {
    let said = probability.map_or_else(|| "\u{2026}".to_owned(), percent);
    let change = change.map(|change| {
        let class = match Direction::of(change) {
            Direction::Raises => "change raises",
            Direction::Lowers => "change lowers",
            Direction::Neither => "change soft",
        };
        view! { <span class=class data-change=format!("{change:?}")>{points(change)}</span> }
    });
    view! {
        <td class="numbers" data-column=column data-probability=probability.map(|p| format!("{p:?}"))>
            <span class="percent">{said}</span>" "{change}
        </td>
    }
}
