//! Why: which sentences, sections or words raised or lowered the outcome that is looked at, in the note and as a table.

use std::ops::Range;
use std::sync::Arc;

use clinlora_webapp::engine::protocol::{AdapterChoice, Parts};
use clinlora_webapp::marks::{Mark, segments};
use clinlora_webapp::reasons::{Direction, Reason, Verdict, excerpt, points, reasons, summary, utf16_offset};
use clinlora_webapp::risk::Risk;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{HtmlElement, HtmlTextAreaElement, ScrollIntoViewOptions, ScrollLogicalPosition};

use super::note::go_to;
use super::standing::standing;
use super::state::{Explanation, Focus, Job, Model, Page, Status, Version};

/// Rows shown before the reader asks for all.
const ROWS: usize = 8;

/// Characters of a passage in a row.
const EXCERPT: usize = 90;

/// The reasons' place on the page.
#[component]
pub(super) fn Why(page: Page) -> impl IntoView {
    let is_predicted = Memo::new(move |_| {
        page.predictions.with(|all| all.contains_key(&(Version::Original, AdapterChoice::All)))
    });
    Effect::new(move |_| {
        if page.focus.with(Option::is_some) {
            request_animation_frame(|| go_to("why-title"));
        }
    });
    Effect::new(move |_| {
        if let Some(passage) = page.passage.get() {
            request_animation_frame(move || show_in_note(page, &passage, false));
        }
    });
    let heading = move || match (page.model.get(), page.focus.get()) {
        (Some(model), Some(focus)) => format!("Why: {}", title(&model, &focus)),
        _ => "Why?".to_owned(),
    };
    view! {
        <Show when=move || is_predicted.get()>
            <section class="panel reasons" id="why" aria-labelledby="why-title">
                <h2 id="why-title" tabindex="-1">{heading}</h2>
                <Show when=move || page.focus.with(Option::is_some) fallback=hint>
                    {move || said(page)}
                    <Switch page />
                    <Found page />
                </Show>
            </section>
        </Show>
    }
}

fn hint() -> impl IntoView {
    view! {
        <p class="soft">"Choose \u{201c}Why?\u{201d} beside an outcome to see which sentences of the note raised or lowered it."</p>
    }
}

/// An outcome in words: `Death in hospital`, or `Diagnoses, Heart failure`.
fn title(model: &Model, focus: &Focus) -> String {
    let Some(task) = model.about.task(&focus.task) else { return focus.task.clone() };
    match task.labels.get(focus.label) {
        Some(label) => format!("{}, {}", task.heading(), label.words()),
        None => task.heading().to_owned(),
    }
}

/// The outcome's number, so that it need not be looked for.
fn said(page: Page) -> Option<impl IntoView> {
    let (model, focus) = (page.model.get()?, page.focus.get()?);
    let task = model.about.task(&focus.task)?;
    let probability = page.predictions.with(|all| {
        let outcomes = &all.get(&(Version::Original, AdapterChoice::All))?.outcomes;
        let outcome = outcomes.iter().find(|outcome| outcome.task == focus.task)?;
        outcome.probabilities.get(focus.label).copied()
    })?;
    let Risk { percent, beside, .. } = Risk::of(task, focus.label, probability);
    let beside = if beside.is_empty() { beside } else { format!(" ({beside})") };
    Some(view! { <p class="soft">"The model expects "<span class="numbers">{percent}</span>{beside}"."</p> })
}

#[component]
fn Switch(page: Page) -> impl IntoView {
    let button = move |words: &'static str, parts: Parts| {
        let is_chosen = move || (page.parts.get() == parts).to_string();
        view! {
            <button type="button" class="quiet" aria-pressed=is_chosen on:click=move |_| page.explain(parts)>{words}</button>
        }
    };
    let words = move || {
        matches!(page.parts.get(), Parts::Words { .. }).then(|| {
            view! { <button type="button" class="quiet" aria-pressed="true">"Words of one sentence"</button> }
        })
    };
    view! {
        <div class="row" role="group" aria-label="What is left out in turn">
            {button("Sentences", Parts::Sentences)}
            {button("Sections", Parts::Sections)}
            {words}
        </div>
    }
}

/// What one part is called.
fn part_name(parts: Parts) -> &'static str {
    match parts {
        Parts::Sentences => "sentence",
        Parts::Sections => "section",
        Parts::Words { .. } => "word",
    }
}

#[component]
fn Found(page: Page) -> impl IntoView {
    let all = RwSignal::new(false);
    move || {
        let explanation = page.explanation()?;
        let again = move || page.explain(explanation.parts);
        let status = standing(
            "Looking for the reasons",
            &explanation.status,
            move || page.stop_job(Job::Explain),
            again,
        );
        let found = (explanation.status == Status::Done).then(|| found(page, &explanation, all));
        Some(view! { {status}{found} })
    }
}

fn found(page: Page, explanation: &Explanation, all: RwSignal<bool>) -> AnyView {
    let Explanation { parts, agreement, .. } = *explanation;
    let note = Arc::new(page.note.get());
    let reasons = reasons(&note, &explanation.effects);
    let name = part_name(parts);
    let check = format!(
        "Check: when the parts that speak most for the outcome are taken out first, its probability falls sooner than in \
         the opposite order, by {:.1} points on average. Above 0 the reasons are borne out.",
        100.0 * agreement
    );
    let technical = view! {
        <details class="how">
            <summary>"How this is found, and how far it can be trusted"</summary>
            <p>{format!("Each {name} was left out in turn and the note read again; the effect is what that changes. It tells what \
                the model reacted to, not what causes the outcome in the patient. Two passages that say the same can hide \
                each other: leaving out one of them then changes little.")}</p>
            <p data-agreement=format!("{agreement:?}")>{check}</p>
            <p class="technical">"Occlusion with deletion curves; adapters: all; effects in points of the calibrated probability."</p>
        </details>
    };
    let told = match Verdict::of(&reasons, agreement) {
        Verdict::NothingMatters => view! { <p class="verdict">{summary(&reasons, name)}</p> }.into_any(),
        Verdict::DoesNotHoldUp => view! {
            <div class="verdict unsound" role="note">
                <p><strong>"These reasons do not hold up."</strong>" Taking out what seemed to matter most did not change the outcome \
                    more than taking out what seemed to matter least. They are not marked in the note, and should not be relied on."</p>
            </div>
            <details class="unsound">
                <summary>"What was measured all the same"</summary>
                {table(page, &note, reasons, parts, all)}
            </details>
        }
        .into_any(),
        Verdict::HoldsUp => view! {
            <p class="verdict">{summary(&reasons, name)}</p>
            <p class="legend marked">"In the note: "<span class="raises">"raises"</span>", "<span class="raises strong">"raises most"</span>", "
                <span class="lowers">"lowers"</span>", "<span class="lowers strong">"lowers most"</span>"."</p>
            {sentence(&note, &reasons, parts)}
            {table(page, &note, reasons, parts, all)}
        }
        .into_any(),
    };
    view! {
        {told}
        <p class="caveat">"What the model reacted to is not what causes the outcome in the patient."</p>
        {technical}
    }
    .into_any()
}

/// The sentence whose words are explained, with its marks.
fn sentence(note: &str, reasons: &[Reason], parts: Parts) -> Option<impl IntoView + use<>> {
    let Parts::Words { start, end } = parts else { return None };
    let text = note.get(start..end)?;
    let within = |mark: Mark| Mark { range: mark.range.start - start..mark.range.end - start, ..mark };
    let marks: Vec<Mark> = reasons.iter().filter_map(Reason::mark).map(within).collect();
    let runs = segments(text, &marks).into_iter().map(|run| {
        view! { <span class=run.classes.join(" ")>{text[run.range].to_owned()}</span> }
    });
    Some(view! { <p class="marked sentence">{runs.collect::<Vec<_>>()}</p> })
}

fn table(page: Page, note: &Arc<String>, reasons: Vec<Reason>, parts: Parts, all: RwSignal<bool>) -> AnyView {
    let name = part_name(parts);
    let count = reasons.len();
    let shown = move |place: usize| all.get() || place < ROWS;
    let rows: Vec<_> = reasons
        .into_iter()
        .enumerate()
        .map(|(place, reason)| {
            let note = note.clone();
            move || shown(place).then(|| row(page, &note, &reason, parts))
        })
        .collect();
    let more = move || match all.get() {
        true => "Show fewer".to_owned(),
        false => format!("Show all {count}"),
    };
    let toggle = (count > ROWS).then(|| {
        view! { <button type="button" class="quiet more" on:click=move |_| all.update(|all| *all = !*all)>{more}</button> }
    });
    view! {
        <table class="effects">
            <caption>{format!("Effect of each {name} on the outcome, the largest first. Choose one to see it in the note.")}</caption>
            <thead><tr><th scope="col">"Effect"</th><th scope="col">"Passage"</th></tr></thead>
            <tbody>{rows}</tbody>
        </table>
        {toggle}
    }
    .into_any()
}

fn row(page: Page, note: &Arc<String>, reason: &Reason, parts: Parts) -> impl IntoView + use<> {
    let range = reason.range.clone();
    let text = note.get(range.clone()).unwrap_or_default().to_owned();
    let is_chosen = {
        let range = range.clone();
        Memo::new(move |_| page.passage.with(|passage| passage.as_ref() == Some(&range)))
    };
    let choose = {
        let range = range.clone();
        move |_| page.passage.set((!is_chosen.get_untracked()).then(|| range.clone()))
    };
    let class = match reason.direction {
        Direction::Raises => "raises",
        Direction::Lowers => "lowers",
        Direction::Neither => "neither",
    };
    let line = excerpt(&text, EXCERPT);
    let closer = move || is_chosen.get().then(|| closer(page, &text, &range, parts));
    view! {
        <tr data-effect=format!("{:?}", reason.effect) data-start=reason.range.start data-end=reason.range.end class=class>
            <td class="effect">
                <span class="numbers">{points(reason.effect)}</span>
                <span class="direction">{reason.direction.words()}</span>
                {bar(reason)}
            </td>
            <td>
                <button type="button" class="quiet passage" aria-pressed=move || is_chosen.get().to_string() on:click=choose>{line}</button>
                {closer}
            </td>
        </tr>
    }
}

/// A bar from the middle, to the right for what raises the outcome.
fn bar(reason: &Reason) -> impl IntoView + use<> {
    let width = 30.0 * reason.share;
    let x = if reason.effect < 0.0 { 30.0 - width } else { 30.0 };
    view! {
        <svg class="bar" viewBox="0 0 60 6" aria-hidden="true">
            <rect class="size" x=format!("{x:.2}") y="0" width=format!("{width:.2}") height="6" />
            <rect class="middle" x="29.5" y="0" width="1" height="6" />
        </svg>
    }
}

/// A chosen passage in full, and what can be done with it.
fn closer(page: Page, text: &str, range: &Range<usize>, parts: Parts) -> impl IntoView + use<> {
    let (shown, struck, worded) = (range.clone(), range.clone(), range.clone());
    let is_long = excerpt(text, EXCERPT).ends_with('\u{2026}');
    let full = is_long.then(|| view! { <p class="full">{text.to_owned()}</p> });
    let words = (parts == Parts::Sentences).then(|| {
        let parts = Parts::Words { start: worded.start, end: worded.end };
        view! { <button type="button" class="quiet words" on:click=move |_| page.explain(parts)>"Which words?"</button> }
    });
    view! {
        <div class="closer">
            {full}
            <div class="row">
                <button type="button" class="quiet show" on:click=move |_| show_in_note(page, &shown, true)>"Go to it in the note"</button>
                {words}
                <button type="button" class="quiet strike" on:click=move |_| super::what_if::strike(page, struck.clone())>
                    "What if it were left out?"
                </button>
            </div>
        </div>
    }
}

/// Selects a passage in the note's field and brings it into view there. The keyboard stays where it is unless it is to follow.
fn show_in_note(page: Page, passage: &Range<usize>, follow: bool) {
    let field =
        document().get_element_by_id("note").and_then(|field| field.dyn_into::<HtmlTextAreaElement>().ok());
    let Some(field) = field else { return };
    let place = page.note.with_untracked(|note| {
        let at = |byte| u32::try_from(utf16_offset(note, byte)).unwrap_or(u32::MAX);
        (at(passage.start), at(passage.end))
    });
    let _ = field.set_selection_range(place.0, place.1);
    if let Some(mark) = document().query_selector(".drawing .chosen").ok().flatten() {
        let mark: HtmlElement = mark.unchecked_into();
        field.set_scroll_top((mark.offset_top() - field.client_height() / 3).max(0));
    }
    let is_beside =
        window().match_media("(min-width: 64rem)").ok().flatten().is_some_and(|wide| wide.matches());
    if follow || is_beside {
        let options = ScrollIntoViewOptions::new();
        options.set_block(if follow {
            ScrollLogicalPosition::Center
        } else {
            ScrollLogicalPosition::Nearest
        });
        field.scroll_into_view_with_scroll_into_view_options(&options);
    }
    if follow {
        let _ = field.focus();
    }
}
