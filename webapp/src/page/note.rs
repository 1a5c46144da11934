//! The note: a field to write in, over a drawing of the same text that carries the marks.
//!
//! The field's own letters are transparent, so what is seen is the drawing; both have the same font, width and breaks. For a
//! text too long to be drawn at every key the field shows its letters itself, without marks.

use clinlora_webapp::marks::{Mark, segments};
use clinlora_webapp::samples::samples;
use leptos::leptos_dom::helpers::set_timeout;
use leptos::prelude::*;
use std::time::Duration;
use wasm_bindgen::JsCast;
use web_sys::{ClipboardEvent, DragEvent, File, HtmlElement, HtmlTextAreaElement};

use super::reading::{marks, read_file, reason_marks};
use super::state::Page;

/// Longest text that is drawn with marks, in bytes.
const DRAWN_BYTES: usize = 60_000;

/// Quiet time after a key before tokens are counted.
const COUNT_AFTER: Duration = Duration::from_millis(300);

/// The note's place on the page.
#[component]
pub(crate) fn Note(page: Page) -> impl IntoView {
    view! {
        <section class="panel note" aria-labelledby="note-title">
            <h2 id="note-title">"Admission note"</h2>
            <Samples page />
            <Editor page />
            <Reading page />
            <Run page />
        </section>
    }
}

#[component]
fn Samples(page: Page) -> impl IntoView {
    let is_chosen = move |place: usize| page.sample.get() == Some(place);
    let buttons = samples().iter().enumerate().map(|(place, sample)| {
        view! {
            <li>
                <button type="button" class="sample" aria-pressed=move || is_chosen(place).to_string()
                    on:click=move |_| page.choose_sample(place)>
                    <span class="sample-title">{sample.title.as_str()}</span>
                    <span class="sample-line">{sample.description.as_str()}</span>
                </button>
            </li>
        }
    });
    view! {
        <details class="samples" open>
            <summary>"Sample notes (synthetic patients)"</summary>
            <ul>{buttons.collect::<Vec<_>>()}</ul>
        </details>
    }
}

#[component]
fn Editor(page: Page) -> impl IntoView {
    let field = NodeRef::<leptos::html::Textarea>::new();
    let drawing = NodeRef::<leptos::html::Div>::new();
    let problem = RwSignal::new(String::new());
    let is_drawn = move || page.note.with(|note| note.len() <= DRAWN_BYTES);
    // The note is scanned when it changes, not at every step of what is computed.
    let scans = Memo::new(move |_| marks(page));
    let marks = Memo::new(move |_| scans.get().into_iter().chain(reason_marks(page)).collect::<Vec<Mark>>());
    let drawn = move || {
        if !is_drawn() {
            return Vec::new();
        }
        page.note.with(|note| marks.with(|marks| runs(note, marks)))
    };
    let follow = move || {
        if let (Some(field), Some(drawing)) = (field.get_untracked(), drawing.get_untracked()) {
            drawing.set_scroll_top(field.scroll_top());
        }
    };
    Effect::new(move |_| {
        let note = page.note.get();
        // Set only where they differ: setting moves the cursor to the end.
        if let Some(field) = field.get().filter(|field| field.value() != note) {
            field.set_value(&note);
        }
        count_later(page, note);
    });
    let read = move |file: File| {
        leptos::task::spawn_local(async move {
            match read_file(&file).await {
                Ok(text) => {
                    problem.set(text.remark.clone().unwrap_or_default());
                    page.set_note(text.text, None);
                }
                Err(reason) => problem.set(reason),
            }
        });
    };
    let dropped = move |event: DragEvent| {
        event.prevent_default();
        if let Some(file) = event.data_transfer().and_then(|data| data.files()).and_then(|files| files.get(0))
        {
            read(file);
        }
    };
    let typed = move |text: String| match super::reading::pasted(&text) {
        Ok(read) => {
            problem.set(read.remark.unwrap_or_default());
            page.set_note(read.text, None);
        }
        Err(reason) => {
            problem.set(reason);
            restore(field.get_untracked(), &page.note.get_untracked());
        }
    };
    view! {
        <div class="editor" class:plain=move || !is_drawn()
            on:dragover=|event: DragEvent| event.prevent_default() on:drop=dropped>
            <div class="drawing" aria-hidden="true" node_ref=drawing>{drawn}<br /></div>
            <textarea id="note" node_ref=field aria-label="Admission note" spellcheck="false" autocomplete="off"
                placeholder="Paste an admission note, drop a text file, or choose a sample above."
                aria-describedby="note-problem reading"
                on:paste=move |event: ClipboardEvent| {
                    // Before it is in the field: laying out many megabytes takes a browser minutes.
                    let text = event.clipboard_data().and_then(|data| data.get_data("text/plain").ok());
                    if let Some(Err(reason)) = text.map(|text| super::reading::pasted(&text)) {
                        event.prevent_default();
                        problem.set(reason);
                    }
                }
                on:input:target=move |event| typed(event.target().value())
                on:scroll=move |_| follow()></textarea>
        </div>
        <p id="note-problem" class="problem" role="alert">{move || problem.get()}</p>
        <div class="row">
            <label class="button quiet">"Open a text file"
                <input id="note-file" type="file" accept=".txt,.text,.md,text/plain"
                    on:change:target=move |event| {
                        if let Some(file) = event.target().files().and_then(|files| files.get(0)) {
                            read(file);
                        }
                        event.target().set_value("");
                    } />
            </label>
            <button type="button" class="quiet" id="clear" disabled=move || page.note.with(String::is_empty)
                on:click=move |_| {
                    problem.set(String::new());
                    page.set_note(String::new(), None);
                }>"Clear"</button>
        </div>
    }
}

/// Puts back what the field had.
fn restore(field: Option<HtmlTextAreaElement>, note: &str) {
    if let Some(field) = field {
        field.set_value(note);
    }
}

/// Counts tokens once no key has been pressed for a while.
fn count_later(page: Page, note: String) {
    set_timeout(
        move || {
            if page.note.with_untracked(|now| *now == note) {
                page.count_tokens();
            }
        },
        COUNT_AFTER,
    );
}

fn runs(note: &str, marks: &[Mark]) -> Vec<AnyView> {
    let run = |segment: clinlora_webapp::marks::Segment| {
        let text = note[segment.range].to_owned();
        match segment.classes.is_empty() {
            true => text.into_any(),
            false => view! { <span class=segment.classes.join(" ")>{text}</span> }.into_any(),
        }
    };
    segments(note, marks).into_iter().map(run).collect()
}

/// What is to be known of the note before it is run.
#[component]
fn Reading(page: Page) -> impl IntoView {
    let count = move || {
        page.tokens.get().map(|tokens| {
            let words = match tokens.count <= tokens.limit {
                true => format!("{} tokens; the model reads up to {}.", tokens.count, tokens.limit),
                false => format!(
                    "{} tokens; the model reads the first {}. What is grey is not read.",
                    tokens.count, tokens.limit
                ),
            };
            view! { <p id="tokens" data-count=tokens.count data-limit=tokens.limit>{words}</p> }
        })
    };
    // Scanned once for a change, drawn only where it changes what is said.
    let remarks = Memo::new(move |_| super::reading::remarks(page));
    let remarks = move || {
        remarks
            .get()
            .into_iter()
            .map(|remark| view! { <li class=remark.class>{remark.text}</li> })
            .collect::<Vec<_>>()
    };
    view! {
        <div id="reading" class="reading">
            {count}
            <ul class="remarks">{remarks}</ul>
        </div>
    }
}

#[component]
fn Run(page: Page) -> impl IntoView {
    let cannot = move || page.model.with(Option::is_none) || page.note.with(|note| note.trim().is_empty());
    let why_not =
        move || match (page.model.with(Option::is_none), page.note.with(|note| note.trim().is_empty())) {
            (true, _) => "Load the model first.",
            (false, true) => "Choose or paste a note first.",
            (false, false) => "",
        };
    view! {
        <div class="row run">
            <button type="button" id="predict" class="primary" disabled=cannot on:click=move |_| page.predict()>
                "Predict"
            </button>
            <Show when=move || page.is_running()>
                <button type="button" id="stop" class="quiet" on:click=move |_| page.stop()>"Stop"</button>
            </Show>
            <span class="hint">{why_not}</span>
        </div>
    }
}

/// Brings an element into view and gives it the focus, so that a keyboard goes on from there.
pub(crate) fn go_to(id: &str) {
    if let Some(element) = document().get_element_by_id(id) {
        element.scroll_into_view();
        let _ = element.unchecked_ref::<HtmlElement>().focus();
    }
}
