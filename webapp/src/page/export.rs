//! What leaves the page, at the reader's wish only: a FHIR bundle, a table, a print. No file's name says anything of the
//! patient, and neither file holds the note.

use clinlora_webapp::engine::protocol::Outcome;
use clinlora_webapp::out::{csv, fhir, note_hash};
use leptos::leptos_dom::helpers::set_timeout;
use leptos::prelude::*;
use std::time::Duration;
use wasm_bindgen::JsCast;
use web_sys::{Blob, BlobPropertyBag, HtmlAnchorElement, Url};

use super::outcomes::SHOWN;
use super::state::{Page, Status};
use super::words;

/// The buttons, once all outcomes are there.
#[component]
pub(crate) fn Export(page: Page) -> impl IntoView {
    let is_done = Memo::new(move |_| {
        page.predictions
            .with(|all| all.get(&SHOWN).is_some_and(|prediction| prediction.status == Status::Done))
    });
    view! {
        <Show when=move || is_done.get()>
            <section class="panel export" aria-labelledby="export-title">
                <h3 id="export-title">"Take it along"</h3>
                <p class="soft">"Files hold the outcomes and the model's hashes, never the note; they go to your downloads."</p>
                <div class="row">
                    <button type="button" id="save-csv" class="quiet" on:click=move |_| save_csv(page)>"Table (CSV)"</button>
                    <button type="button" id="save-fhir" class="quiet" on:click=move |_| save_fhir(page)>
                        "For a record system (FHIR)"
                    </button>
                    <button type="button" id="print" class="quiet" on:click=move |_| {
                        // It fails only where a browser has no printing at all.
                        let _ = window().print();
                    }>"Print or PDF"</button>
                    <label class="check"><input type="checkbox" id="print-note" />"print the note, too"</label>
                </div>
            </section>
        </Show>
    }
}

fn outcomes(page: Page) -> Option<Vec<Outcome>> {
    page.predictions.with_untracked(|all| all.get(&SHOWN).map(|prediction| prediction.outcomes.clone()))
}

fn save_csv(page: Page) {
    if let (Some(model), Some(outcomes)) = (page.model.get_untracked(), outcomes(page)) {
        download("csv", "text/csv", &csv::outcomes(&model.about, &outcomes));
        page.announce("The table is in your downloads.");
    }
}

fn save_fhir(page: Page) {
    if let (Some(model), Some(outcomes)) = (page.model.get_untracked(), outcomes(page)) {
        let context = fhir::Context {
            about: &model.about,
            manifest_sha256: &model.opened.manifest_sha256,
            note_sha256: &page.note.with_untracked(|note| note_hash(note)),
            time: &now(),
        };
        let bundle = fhir::bundle(&context, &outcomes);
        let text = serde_json::to_string_pretty(&bundle).expect("JSON values can be written");
        download("fhir.json", "application/fhir+json", &text);
        page.announce("The FHIR file is in your downloads.");
    }
}

/// `2026-11-26T01:35:00.000Z`
fn now() -> String {
    js_sys::Date::new_0().to_iso_string().into()
}

/// Gives a text to the browser to save: `clinlora-2026-11-26-0135.csv`.
pub(crate) fn download(ending: &str, kind: &str, text: &str) {
    let time: String = now().replace('T', "-").chars().filter(|c| *c != ':').take(15).collect();
    let name = format!("clinlora-{time}.{ending}");
    let parts = js_sys::Array::of1(&text.into());
    let options = BlobPropertyBag::new();
    options.set_type(kind);
    let Ok(blob) = Blob::new_with_str_sequence_and_options(&parts, &options) else { return };
    let Ok(address) = Url::create_object_url_with_blob(&blob) else { return };
    if let Ok(anchor) = document().create_element("a") {
        let anchor: HtmlAnchorElement = anchor.unchecked_into();
        anchor.set_href(&address);
        anchor.set_download(&name);
        anchor.click();
    }
    // Not at once: the browser reads it after the click.
    let free = move || {
        let _ = Url::revoke_object_url(&address);
    };
    set_timeout(free, Duration::from_secs(60));
}

/// What a print has to name: the model by its hashes, where it ran, and how much was read.
#[component]
pub(crate) fn Provenance(page: Page) -> impl IntoView {
    let read = move || {
        page.predictions.with(|all| {
            let outcomes = &all.get(&SHOWN)?.outcomes;
            let read = outcomes.iter().map(|outcome| outcome.tokens_read).max()?;
            Some(format!("{read} tokens of the note were read. Note (SHA-256): "))
        })
    };
    let said = move || {
        let model = page.model.get()?;
        let read = read()?;
        let about = &model.about;
        let adapters = about.adapters.iter().map(|adapter| {
            view! { <li>"Adapter "{adapter.name.clone()}": "<span class="technical">{adapter.sha256.clone()}</span></li> }
        });
        Some(view! {
            <h3>"What computed this"</h3>
            <ul>
                <li>"Model: "{if about.card.name.is_empty() { "without a name".to_owned() } else { about.card.name.clone() }}", "
                    {about.generator.clone()}</li>
                <li>"Bundle (manifest): "<span class="technical">{model.opened.manifest_sha256.clone()}</span></li>
                <li>"Base: "<span class="technical">{about.base_sha256.clone()}</span></li>
                {adapters.collect::<Vec<_>>()}
                <li>{read}<span class="technical">{page.note.with(|note| note_hash(note))}</span></li>
                <li>{words::place(&model.opened.place)}" Printed "{now().chars().take(10).collect::<String>()}"."</li>
            </ul>
        })
    };
    view! { <section class="print-only provenance" id="provenance">{said}</section> }
}
