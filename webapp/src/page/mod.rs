//! The clinician's page. Reading order: `state` is what the page knows and can ask; each other file is one part of what is
//! seen, from top to bottom.

mod adapters;
mod compared;
mod engine;
mod export;
mod feedback;
mod loading;
mod note;
mod offer;
mod outcomes;
#[cfg(debug_assertions)]
mod pretend;
mod reading;
mod standing;
mod state;
mod stored;
mod trust;
mod what_if;
mod why;
mod words;

use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::UrlSearchParams;

use state::{Page, Phase, Source};

/// Draws the page into its place in `index.html`.
pub(crate) fn mount() {
    let place = document().get_element_by_id("page").expect("index.html has the place");
    place.set_text_content(None);
    mount_to(place.unchecked_into(), App).forget();
}

#[component]
fn App() -> impl IntoView {
    let page = Page::start(source());
    feedback::Opinions::provide();
    match pretended() {
        Some(phase) => page.phase.set(phase),
        None => page.look(),
    }
    view! {
        <p class="unseen" role="status" id="announcement">{move || page.announcement.get()}</p>
        <loading::Loading page />
        <div class="columns">
            <note::Note page />
            <div class="stack">
                <outcomes::Outcomes page />
                <why::Why page />
                <what_if::WhatIf page />
            </div>
        </div>
        <adapters::Adapters page />
        <trust::Trust page />
    }
}

/// A state that the page's address asks to be shown: `?state=quota`.
fn pretended() -> Option<Phase> {
    #[cfg(debug_assertions)]
    return parameter("state").and_then(|name| pretend::phase(&name));
    #[cfg(not(debug_assertions))]
    None
}

/// What the page's address asks for: `?bundle=`, `?base=`, `?device=cpu|gpu`.
fn source() -> Source {
    Source {
        address: parameter("bundle").unwrap_or_else(|| "bundle/".to_owned()),
        base: parameter("base").unwrap_or_default(),
        device: loading::wish(&parameter("device").unwrap_or_default()),
    }
}

fn parameter(name: &str) -> Option<String> {
    let search = window().location().search().unwrap_or_default();
    UrlSearchParams::new_with_str(&search).ok().and_then(|all| all.get(name))
}
