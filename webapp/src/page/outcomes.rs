//! The outcomes: a card for each task, filled as soon as its numbers are there.

use std::sync::Arc;

use clinlora_webapp::about::{Kind, TaskAbout};
use clinlora_webapp::engine::protocol::{AdapterChoice, Outcome};
use clinlora_webapp::risk::{self, Risk};
use leptos::prelude::*;

use super::state::{Focus, Model, Page, Prediction, Status, Version};

/// The outcomes of the note under all adapters.
#[component]
pub(crate) fn Outcomes(page: Page) -> impl IntoView {
    let prediction = Memo::new(move |_| page.prediction(Version::Original, AdapterChoice::All));
    let cards = move || {
        let (model, prediction) = (page.model.get()?, prediction.get()?);
        let cards = model.about.tasks.iter().map(|task| card(page, &model, task, &prediction));
        Some(cards.collect::<Vec<_>>())
    };
    view! {
        <section class="outcomes" aria-labelledby="outcomes-title">
            <h2 id="outcomes-title">"What the model expects"</h2>
            <Progress prediction=prediction.into() />
            <Show when=move || prediction.with(Option::is_none)>
                <p class="soft">"Nothing yet: choose or paste a note, and predict."</p>
            </Show>
            <div class="cards">{cards}</div>
        </section>
    }
}

#[component]
fn Progress(prediction: Signal<Option<Prediction>>) -> impl IntoView {
    move || match prediction.with(|p| p.as_ref().map(|p| p.status.clone())) {
        Some(Status::Running(share)) => {
            Some(view! { <progress aria-label="Computing" max="1" value=share></progress> }.into_any())
        }
        Some(Status::Failed(failure)) => {
            let explained = super::words::explained(&failure);
            Some(view! { <p class="problem" role="alert">{explained.title}": "{explained.what}" "{explained.advice}</p> }.into_any())
        }
        Some(Status::Done) | None => None,
    }
}

fn card(page: Page, model: &Arc<Model>, task: &TaskAbout, prediction: &Prediction) -> impl IntoView + use<> {
    let outcome = prediction.outcomes.iter().find(|outcome| outcome.task == task.name);
    let numbers = outcome.map(|outcome| format!("{:?}", outcome.probabilities));
    let body = match outcome {
        None => view! { <p class="soft">"…"</p> }.into_any(),
        Some(outcome) => filled(page, model, task, outcome),
    };
    view! {
        <article class="card" data-task=task.name.clone() data-probabilities=numbers>
            <h3>{task.heading().to_owned()}</h3>
            {body}
        </article>
    }
}

fn filled(page: Page, _model: &Arc<Model>, task: &TaskAbout, outcome: &Outcome) -> AnyView {
    match task.kind {
        Kind::Binary => {
            let label = risk::outcome_label(task).unwrap_or_default();
            let probability = outcome.probabilities.get(label).copied().unwrap_or(f64::NAN);
            let risk = Risk::of(task, label, probability);
            view! {
                <p class="figure numbers">{risk.percent}</p>
                <p>{risk.frequency}<br /><span class="soft">{risk.beside}</span></p>
                <Why page task=task.name.clone() label />
            }
            .into_any()
        }
        Kind::Multiclass | Kind::Multilabel | Kind::Other => {
            let mut ranked: Vec<(usize, f64)> = outcome.probabilities.iter().copied().enumerate().collect();
            if task.kind == Kind::Multilabel {
                ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
                ranked.truncate(5);
            }
            let rows = ranked.into_iter().map(|(label, probability)| {
                let name = task.labels.get(label).map_or("", |label| label.words()).to_owned();
                view! {
                    <tr>
                        <th scope="row">{name}</th>
                        <td class="numbers">{risk::percent(probability)}</td>
                        <td><Why page task=task.name.clone() label /></td>
                    </tr>
                }
            });
            view! { <table><tbody>{rows.collect::<Vec<_>>()}</tbody></table> }.into_any()
        }
    }
}

/// Asks what drove an outcome.
#[component]
fn Why(page: Page, task: String, label: usize) -> impl IntoView {
    let focus = Focus { task, label };
    let is_chosen = {
        let focus = focus.clone();
        move || page.focus.with(|now| now.as_ref() == Some(&focus)).to_string()
    };
    view! {
        <button type="button" class="quiet why" aria-pressed=is_chosen on:click=move |_| page.ask_why(focus.clone())>"Why?"</button>
    }
}
