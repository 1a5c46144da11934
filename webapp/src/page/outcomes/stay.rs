//! The card of a distribution, such as the length of stay over its four bins; and of any task this page has no card for.

use clinlora_webapp::about::Kind;
use clinlora_webapp::risk::{self, Relation};
use leptos::prelude::*;

use super::super::feedback::Opinion;
use super::Shown;
use super::card::{Bar, Why};
use super::details::Details;

/// Borders, in days, whose chance of being passed is said beside the bins.
const BORDERS: [u32; 2] = [7, 14];

/// A probability for each of several labels.
#[component]
pub(super) fn Stay(shown: Shown) -> impl IntoView {
    let task = shown.task();
    let probabilities = &shown.outcome.probabilities;
    let summary = match task.kind {
        Kind::Multiclass => risk::distribution(task, probabilities) + ".",
        _ => risk::sentence(task, probabilities) + ".",
    };
    let longer: Vec<String> = BORDERS
        .into_iter()
        .filter_map(|days| risk::longer_than(task, probabilities, days).map(|p| (days, p)))
        .map(|(days, p)| format!("Longer than {days} days: {}, {}.", risk::percent(p), risk::frequency(p)))
        .collect();
    let likeliest = risk::likeliest(probabilities).map_or(0, |(label, _)| label);
    let label = RwSignal::new(likeliest);
    let rows: Vec<_> = (0..task.labels.len()).map(|label| row(&shown, label, label == likeliest)).collect();
    let caption = match task.kind {
        Kind::Multiclass => "How 100 such patients would be spread; the stroke across a bar is the average",
        _ => "Probability of each label; the stroke across a bar is the average",
    };
    let happened = {
        let shown = shown.clone();
        move || {
            let known = (0..shown.task().labels.len()).find(|label| shown.happened(*label) == Some(true));
            let said = match (known, shown.truth()) {
                (Some(label), _) => format!("What happened: {}.", shown.words(label)),
                (None, Some(truth)) if truth.died => {
                    "What happened: the patient died in hospital; the stay is not counted then.".to_owned()
                }
                (None, Some(_)) => "What happened: not recorded for this patient.".to_owned(),
                (None, None) => return None,
            };
            Some(view! { <p class="truth" data-happened=known.map(|label| label.to_string())>{said}</p> })
        }
    };
    let choices = task.labels.iter().enumerate().map(|(place, about)| {
        let is_chosen = move || label.get() == place;
        view! { <option value=place prop:selected=is_chosen>{risk::capital(about.words())}</option> }
    });
    let choices = choices.collect::<Vec<_>>();
    let id = shown.id("stay-label");
    view! {
        <p class="summary">{summary}</p>
        <div class="scrolls" tabindex="0" role="group" aria-label="Probability of each length">
            <table class="distribution">
                <caption>{caption}</caption>
                <thead>
                    <tr>
                        <th scope="col">{if task.kind == Kind::Multiclass { "Length" } else { "Label" }}</th>
                        <th scope="col">"Probability"</th>
                        <th scope="col"><span class="unseen">"As a bar"</span></th>
                        <th scope="col">"Average"</th>
                        <th scope="col"><span class="unseen">"Reasons"</span></th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
        {longer.into_iter().map(|said| view! { <p>{said}</p> }).collect::<Vec<_>>()}
        {happened}
        <Details shown=shown.clone() label=label.into()>
            <label class="field" for=id.clone()>"Alert on"</label>
            <select id=id on:change:target=move |event| {
                label.set(event.target().value().parse().unwrap_or(likeliest));
            }>{choices}</select>
        </Details>
        <Opinion shown label=Signal::stored(likeliest) />
    }
}

fn row(shown: &Shown, label: usize, is_likeliest: bool) -> impl IntoView + use<> {
    let probability = shown.probability(label);
    let base_rate = shown.task().base_rate(label);
    let average = base_rate.map(|rate| {
        let relation = Relation::of(probability, rate);
        view! {
            <span class="numbers">{risk::percent(rate)}</span>" "
            <span class="soft"><span aria-hidden="true">{relation.mark()}</span>
                <span class="unseen">", "{relation.words()}</span></span>
        }
    });
    let name = risk::capital(shown.words(label));
    let happened = {
        let shown = shown.clone();
        move || {
            (shown.happened(label) == Some(true)).then(|| view! { <span class="truth">" (happened)"</span> })
        }
    };
    view! {
        <tr class:likeliest=is_likeliest>
            <th scope="row">{name}{happened}</th>
            <td class="numbers">{risk::percent(probability)}</td>
            <td class="bar-cell"><Bar probability base_rate /></td>
            <td class="average">{average}</td>
            <td><Why shown=shown.clone() label /></td>
        </tr>
    }
}
