//! What if: changes on a copy of the note, and what the model would then expect beside what it expects now.

use std::ops::Range;

use clinlora_webapp::compare::largest_change;
use clinlora_webapp::engine::protocol::AdapterChoice;
use clinlora_webapp::note::age::find_age;
use clinlora_webapp::note::edit::{Sex, find_sex, note_sentences};
use clinlora_webapp::reasons::{Direction, excerpt};
use clinlora_webapp::trial::{Kind, Trial};
use leptos::prelude::*;

use super::compared::{Column, table};
use super::note::go_to;
use super::standing::standing;
use super::state::{Job, Page, Prediction, Status, Version};

/// Characters of a sentence in the list.
const EXCERPT: usize = 110;

/// Oldest age that can be tried.
const OLDEST: u32 = 110;

/// Leaves a passage of the note out of the copy, and goes to what that changes.
pub(crate) fn strike(page: Page, passage: Range<usize>) {
    page.announce("Left out of the copy. Computing.");
    page.try_change(
        |trial| {
            trial.strike(passage);
        },
        true,
    );
    request_animation_frame(|| go_to("what-if-title"));
}

/// The trial's place on the page.
#[component]
pub(super) fn WhatIf(page: Page) -> impl IntoView {
    let is_predicted = Memo::new(move |_| {
        page.predictions.with(|all| all.contains_key(&(Version::Original, AdapterChoice::All)))
    });
    // The copy before any change.
    let first = Memo::new(move |_| {
        page.note.track();
        page.tokens.track();
        if is_predicted.get() { page.read_note() } else { String::new() }
    });
    let is_part = Memo::new(move |_| page.note.with(String::len) > first.with(String::len));
    view! {
        <Show when=move || is_predicted.get()>
            <section class="panel what-if" id="what-if" aria-labelledby="what-if-title">
                <h2 id="what-if-title" tabindex="-1">"What if the note were different?"</h2>
                <p class="soft">
                    "Try changes on a copy and see what the model would then expect. The note itself stays as it is."
                    {move || is_part.get().then_some(" The copy holds the part of the note that the model reads.")}
                </p>
                <div class="tries">
                    <Age page first />
                    <SexOf page first />
                </div>
                <Sentences page first />
                <Copy page first />
                <Changes page />
                <Result page />
            </section>
        </Show>
    }
}

#[component]
fn Age(page: Page, first: Memo<String>) -> impl IntoView {
    let age = Memo::new(move |_| first.with(|note| find_age(note)).map(|age| age.years));
    let wanted = RwSignal::new(None::<u32>);
    let problem = RwSignal::new(String::new());
    let change = move || {
        let Some(years) = wanted.get_untracked().filter(|years| *years <= OLDEST) else {
            return problem.set(format!("Give an age from 0 to {OLDEST}."));
        };
        problem.set(String::new());
        page.announce("Another age in the copy. Computing.");
        page.try_change(
            |trial| {
                trial.set_age(years);
            },
            true,
        );
    };
    move || {
        match age.get() {
        None => view! { <p class="soft">"The note tells no age that could be changed."</p> }.into_any(),
        Some(years) => view! {
            <div class="field age">
                <label for="try-age">{format!("Age (the note says {years})")}</label>
                <div class="row">
                    <input id="try-age" type="number" min="0" max=OLDEST inputmode="numeric" autocomplete="off"
                        aria-describedby="try-age-problem"
                        on:input:target=move |event| wanted.set(event.target().value().trim().parse().ok())
                        on:keydown=move |event| {
                            if event.key() == "Enter" {
                                change();
                            }
                        } />
                    <button type="button" class="quiet" id="change-age" on:click=move |_| change()>"Try this age"</button>
                </div>
                <p id="try-age-problem" class="problem" role="alert">{move || problem.get()}</p>
            </div>
        }
        .into_any(),
    }
    }
}

#[component]
fn SexOf(page: Page, first: Memo<String>) -> impl IntoView {
    let sex = Memo::new(move |_| first.with(|note| find_sex(note)));
    let is_tried = move |sex: Sex| {
        page.trial.with(|trial| trial.as_ref().is_some_and(|trial| step_of(trial, Kind::Sex(sex)).is_some()))
    };
    move || match sex.get() {
        None => view! { <p class="soft">"The note does not tell the patient\u{2019}s sex."</p> }.into_any(),
        Some(said) => {
            let other = said.other();
            let change = move |_| {
                page.announce("Another sex in the copy. Computing.");
                page.try_change(
                    |trial| match step_of(trial, Kind::Sex(other)) {
                        Some(place) => trial.undo(place),
                        None => {
                            trial.set_sex(other);
                        }
                    },
                    true,
                );
            };
            view! {
                <div class="field">
                    <p class="name">{format!("Sex (the note says {})", said.words())}</p>
                    <button type="button" class="quiet" id="change-sex" aria-pressed=move || is_tried(other).to_string()
                        on:click=change>{format!("Try it as a {}", other.words())}</button>
                </div>
            }
            .into_any()
        }
    }
}

fn step_of(trial: &Trial, kind: Kind) -> Option<usize> {
    trial.steps().iter().position(|step| step.kind == kind)
}

/// The sentences of the copy, each with a switch that leaves it out.
#[component]
fn Sentences(page: Page, first: Memo<String>) -> impl IntoView {
    let items = move || {
        let note = first.get();
        let item = |range: Range<usize>| {
            let words = excerpt(&note[range.clone()], EXCERPT);
            let place = {
                let range = range.clone();
                move |trial: Option<&Trial>| trial.and_then(|trial| trial.struck(&range))
            };
            let is_struck = {
                let place = place.clone();
                Memo::new(move |_| page.trial.with(|trial| place(trial.as_ref()).is_some()))
            };
            let toggle = move |_| {
                let range = range.clone();
                page.announce(if is_struck.get_untracked() {
                    "Put back. Computing."
                } else {
                    "Left out. Computing."
                });
                page.try_change(
                    move |trial| match trial.struck(&range) {
                        Some(place) => trial.undo(place),
                        None => {
                            trial.strike(range);
                        }
                    },
                    true,
                );
            };
            view! {
                <li>
                    <button type="button" class="quiet sentence" aria-pressed=move || is_struck.get().to_string() on:click=toggle>
                        {words}
                    </button>
                </li>
            }
        };
        note_sentences(&note).into_iter().map(|sentence| item(sentence.range)).collect::<Vec<_>>()
    };
    view! {
        <details class="strikes">
            <summary>"Leave sentences out"</summary>
            <ol class="sentences" aria-label="Sentences; press one to leave it out">{items}</ol>
        </details>
    }
}

/// The copy as a text to edit.
#[component]
fn Copy(page: Page, first: Memo<String>) -> impl IntoView {
    let field = NodeRef::<leptos::html::Textarea>::new();
    Effect::new(move |_| {
        let text = page.edited.get().unwrap_or_else(|| first.get());
        // Set only where they differ: setting moves the cursor to the end.
        if let Some(field) = field.get().filter(|field| field.value() != text) {
            field.set_value(&text);
        }
    });
    let typed = move |text: String| page.try_change(|trial| trial.edit(&text), false);
    view! {
        <details class="copy">
            <summary>"Edit the copy freely"</summary>
            <label for="copy">"Copy of the note"</label>
            <textarea id="copy" node_ref=field spellcheck="false" autocomplete="off" rows="8"
                on:input:target=move |event| typed(event.target().value())></textarea>
        </details>
    }
}

/// What was changed, each with a way back.
#[component]
fn Changes(page: Page) -> impl IntoView {
    let undone = move |change: Box<dyn FnOnce(&mut Trial)>| {
        page.announce("Taken back.");
        page.try_change(change, true);
        // The button that was pressed is gone.
        request_animation_frame(|| go_to("what-if-title"));
    };
    move || {
        let trial = page.trial.get()?;
        let items = trial.steps().iter().enumerate().map(|(place, step)| {
            let words = trial.words(step);
            let label = format!("Undo: {words}");
            let replaced = trial.replaced(step);
            let pairs = (matches!(step.kind, Kind::Sex(_)) && !replaced.is_empty()).then(|| {
                let pairs: Vec<String> = replaced.iter().map(|(from, to)| format!("{from} \u{2192} {to}")).collect();
                view! { <details><summary>"Which words"</summary><p>{pairs.join(", ")}</p></details> }
            });
            view! {
                <li>
                    <div class="words">{words}{pairs}</div>
                    <button type="button" class="quiet undo" aria-label=label on:click=move |_| undone(Box::new(move |trial| trial.undo(place)))>
                        "Undo"
                    </button>
                </li>
            }
        });
        let items = items.collect::<Vec<_>>();
        let all = (items.len() > 1).then(|| {
            view! {
                <button type="button" class="quiet" id="undo-all" on:click=move |_| undone(Box::new(Trial::undo_all))>"Undo all"</button>
            }
        });
        Some(view! { <h3>"Changes on the copy"</h3><ol class="changes">{items}</ol>{all} })
    }
}

/// What the model would then expect.
#[component]
fn Result(page: Page) -> impl IntoView {
    let run = move || page.predict_as(Version::Edited, AdapterChoice::All);
    let edited = Memo::new(move |_| page.prediction(Version::Edited, AdapterChoice::All));
    let original = Memo::new(move |_| page.prediction(Version::Original, AdapterChoice::All));
    move || {
        let is_tried = page.edited.with(Option::is_some);
        let (model, original) = (page.model.get()?, original.get()?);
        let Some(prediction) = edited.get() else {
            return Some(match is_tried {
                false => view! { <p class="soft" data-what-if="unchanged">"Nothing is changed yet."</p> }.into_any(),
                true => view! {
                    <p class="soft" data-what-if="waiting">"The copy was changed."</p>
                    <button type="button" class="primary" id="compare" on:click=move |_| run()>"Compare"</button>
                }
                .into_any(),
            });
        };
        let stop = move || page.stop_job(Job::Predict(Version::Edited, AdapterChoice::All));
        let status = standing("Computing the outcomes of the copy", &prediction.status, stop, run);
        let (word, told) = match &prediction.status {
            Status::Running(_) => ("running", None),
            Status::Failed(_) => ("failed", None),
            Status::Done if is_unchanged(&original, &prediction) => {
                ("same", Some("These changes alter no outcome by as much as a tenth of a point."))
            }
            Status::Done => ("done", None),
        };
        let told = told.map(|told| view! { <p>{told}</p> });
        let table = (!prediction.outcomes.is_empty()).then(|| {
            let columns = [
                Column { name: "original", title: "The note", prediction: Some(original) },
                Column { name: "edited", title: "With the changes", prediction: Some(prediction) },
            ];
            table(&model.about, "Outcomes with your changes, and the difference in points", &columns)
        });
        Some(view! { <div data-what-if=word>{status}{told}{table}</div> }.into_any())
    }
}

fn is_unchanged(original: &Prediction, edited: &Prediction) -> bool {
    edited.outcomes.iter().all(|after| {
        let before = original.outcomes.iter().find(|before| before.task == after.task);
        let change = before.and_then(|before| largest_change(&before.probabilities, &after.probabilities));
        change.is_some_and(|change| Direction::of(change) == Direction::Neither)
    })
}
