//! A card, and what all cards share: the risk in words, figures and on a scale; what happened; the way to the reasons.

use std::sync::Arc;

use clinlora_webapp::about::Kind;
use clinlora_webapp::risk::{self, Relation, Risk};
use leptos::prelude::*;

use super::super::feedback::Opinion;
use super::super::state::{Model, Page};
use super::codes::CodesCard;
use super::details::Details;
use super::stay::Stay;
use super::{SHOWN, Shown};

/// The card of one task.
#[component]
pub(super) fn Card(page: Page, model: Arc<Model>, place: usize) -> impl IntoView {
    let task = &model.about.tasks[place];
    let (name, heading) = (task.name.clone(), task.heading().to_owned());
    let task_name = name.clone();
    let outcome = Memo::new(move |_| {
        page.predictions.with(|all| {
            let outcomes = &all.get(&SHOWN)?.outcomes;
            outcomes.iter().find(|outcome| outcome.task == task_name).cloned().map(Arc::new)
        })
    });
    let is_waiting = move || outcome.with(Option::is_none).to_string();
    let numbers = move || outcome.with(|o| o.as_ref().map(|outcome| format!("{:?}", outcome.probabilities)));
    let body = move || match outcome.get() {
        None => view! { <p class="soft">"Computing…"</p> }.into_any(),
        Some(outcome) => {
            let shown = Shown { page, model: model.clone(), place, outcome };
            match shown.task().kind {
                Kind::Binary if risk::outcome_label(shown.task()).is_some() => {
                    view! { <Binary shown /> }.into_any()
                }
                Kind::Multilabel => view! { <CodesCard shown /> }.into_any(),
                _ => view! { <Stay shown /> }.into_any(),
            }
        }
    };
    let title = format!("card-{place}");
    let id = title.clone();
    view! {
        <article class="card" data-task=name data-probabilities=numbers aria-labelledby=title aria-busy=is_waiting>
            <h3 id=id>{heading}</h3>
            {body}
        </article>
    }
}

/// An outcome that happens or does not.
#[component]
fn Binary(shown: Shown) -> impl IntoView {
    let label = risk::outcome_label(shown.task()).unwrap_or_default();
    let risk = Risk::of(shown.task(), label, shown.probability(label));
    let average = risk.base_rate.map(|rate| format!(" Average: {}.", risk::percent(rate)));
    let words = risk::capital(shown.words(label));
    let happened = {
        let shown = shown.clone();
        move || {
            let yes = shown.happened(label);
            let said = match yes {
                Some(true) => Some(format!("What happened: {}.", shown.words(label))),
                Some(false) => Some(format!("What happened: {}.", shown.words(1 - label))),
                None => shown.truth().map(|_| "What happened: not recorded for this patient.".to_owned()),
            };
            said.map(
                |said| view! { <p class="truth" data-happened=yes.map(|yes| yes.to_string())>{said}</p> },
            )
        }
    };
    view! {
        <p class="figure"><span class="numbers">{risk.percent.clone()}</span>{risk.relation.map(relation)}</p>
        <Scale probability=risk.probability base_rate=risk.base_rate />
        <p>{words}": "{risk.frequency.clone()}"."<span class="soft">{average}</span></p>
        {happened}
        <Why shown=shown.clone() label />
        <Details shown=shown.clone() label=Signal::stored(label) />
        <Opinion shown label=Signal::stored(label) />
    }
}

/// Where a risk lies beside the average, by a mark and in words.
pub(super) fn relation(relation: Relation) -> impl IntoView {
    let class = match relation {
        Relation::WellAbove | Relation::Above => "relation above",
        Relation::About => "relation",
        Relation::Below | Relation::WellBelow => "relation below",
    };
    view! { <span class=class><span aria-hidden="true">{relation.mark()}</span>" "{relation.words()}</span> }
}

/// A probability on a line from 0 to 100 %, with the average as a stroke across. What it shows is said in words beside it.
#[component]
pub(super) fn Scale(probability: f64, base_rate: Option<f64>) -> impl IntoView {
    let at = |share: f64| format!("{:.2}%", 100.0 * share.clamp(0.0, 1.0));
    let average = base_rate.map(|rate| {
        let anchor = match rate {
            rate if rate < 0.15 => "start",
            rate if rate > 0.85 => "end",
            _ => "middle",
        };
        view! {
            <line class="average" x1=at(rate) x2=at(rate) y1="2" y2="20"></line>
            <text x=at(rate) y="32" text-anchor=anchor>"average"</text>
        }
    });
    let x = if probability.is_finite() { at(probability) } else { at(0.0) };
    view! {
        <svg class="scale" width="100%" height="36" aria-hidden="true">
            <line class="axis" x1="0" x2="100%" y1="11" y2="11"></line>
            <line class="risk" x1="0" x2=x.clone() y1="11" y2="11"></line>
            {average}
            <circle class="risk" cx=x cy="11" r="6"></circle>
        </svg>
    }
}

/// A probability as a bar in a table, with the average as a stroke across.
#[component]
pub(super) fn Bar(probability: f64, base_rate: Option<f64>) -> impl IntoView {
    let at = |share: f64| format!("{:.2}%", 100.0 * share.clamp(0.0, 1.0));
    let width = if probability.is_finite() { at(probability) } else { at(0.0) };
    let average = base_rate.map(|rate| {
        view! { <line class="average" x1=at(rate) x2=at(rate) y1="0" y2="18"></line> }
    });
    view! {
        <svg class="bar" width="100%" height="18" aria-hidden="true">
            <rect class="room" x="0" y="3" width="100%" height="12"></rect>
            <rect class="risk" x="0" y="3" width=width height="12"></rect>
            {average}
        </svg>
    }
}

/// Asks what drove an outcome.
#[component]
pub(super) fn Why(shown: Shown, label: usize) -> impl IntoView {
    let (page, focus) = (shown.page, shown.focus(label));
    let of = format!(" ({})", shown.words(label));
    let is_chosen = {
        let focus = focus.clone();
        move || page.focus.with(|now| now.as_ref() == Some(&focus)).to_string()
    };
    view! {
        <button type="button" class="quiet why" aria-pressed=is_chosen on:click=move |_| page.ask_why(focus.clone())>
            "Why?"<span class="unseen">{of}</span>
        </button>
    }
}
