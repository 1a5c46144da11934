//! The outcomes: a card for each task, filled as soon as its numbers are there.
//!
//! Reading order: `card` is what all cards share and the card of a binary outcome; `stay` and `codes` are the cards of a
//! distribution and of a list of labels; `details` is how far to trust them.

mod card;
mod codes;
mod details;
mod stay;

use std::sync::Arc;

use clinlora_webapp::about::TaskAbout;
use clinlora_webapp::engine::protocol::{AdapterChoice, Outcome};
use clinlora_webapp::samples::{Truth, samples};
use leptos::prelude::*;

use super::export::{Export, Provenance};
use super::state::{Focus, Model, Page, Status, Version};

/// What the cards show: the note as it is, under all adapters.
pub(super) const SHOWN: (Version, AdapterChoice) = (Version::Original, AdapterChoice::All);

/// The outcomes of the note under all adapters.
#[component]
pub(crate) fn Outcomes(page: Page) -> impl IntoView {
    let status = Memo::new(move |_| {
        page.predictions.with(|all| all.get(&SHOWN).map(|prediction| prediction.status.clone()))
    });
    let is_asked = Memo::new(move |_| status.with(Option::is_some));
    // The cards stay while they fill: only another model, or another note, replaces them.
    let cards = move || {
        let model = page.model.get().filter(|_| is_asked.get())?;
        let card = |place| view! { <card::Card page model=model.clone() place /> };
        Some((0..model.about.tasks.len()).map(card).collect::<Vec<_>>())
    };
    view! {
        <section class="outcomes" aria-labelledby="outcomes-title">
            <h2 id="outcomes-title">"What the model expects"</h2>
            <Progress status />
            <Show when=move || !is_asked.get()>
                <p class="soft">"Nothing yet. Choose a sample or paste a note, then press Predict."</p>
            </Show>
            <div class="cards">{cards}</div>
            <Export page />
            <Provenance page />
        </section>
    }
}

#[component]
fn Progress(status: Memo<Option<Status>>) -> impl IntoView {
    move || match status.get() {
        Some(Status::Running(share)) => {
            Some(view! { <progress aria-label="Computing" max="1" value=share></progress> }.into_any())
        }
        Some(Status::Failed(failure)) => {
            let explained = super::words::explained(&failure);
            let what = format!("{}: {} {}", explained.title, explained.what, explained.advice);
            Some(view! { <p class="problem" role="alert">{what}</p> }.into_any())
        }
        Some(Status::Done) | None => None,
    }
}

/// One outcome as it is shown.
#[derive(Clone)]
pub(super) struct Shown {
    page: Page,
    model: Arc<Model>,
    /// Place of the task in the bundle.
    place: usize,
    outcome: Arc<Outcome>,
}

impl Shown {
    fn task(&self) -> &TaskAbout {
        &self.model.about.tasks[self.place]
    }

    pub(super) fn probability(&self, label: usize) -> f64 {
        self.outcome.probabilities.get(label).copied().unwrap_or(f64::NAN)
    }

    pub(super) fn words(&self, label: usize) -> &str {
        self.task().labels.get(label).map_or("", |label| label.words())
    }

    fn focus(&self, label: usize) -> Focus {
        Focus { task: self.task().name.clone(), label }
    }

    /// What happened to the patient, where the note is a sample as it was given.
    fn truth(&self) -> Option<&'static Truth> {
        self.page.sample.get().and_then(|place| samples().get(place)).map(|sample| &sample.truth)
    }

    /// Whether a label came true, where that is known.
    fn happened(&self, label: usize) -> Option<bool> {
        self.truth()?.label(self.task(), label)
    }

    /// Names of task and label, and hash of the bundle: what an opinion is about.
    pub(super) fn names(&self, label: usize) -> (String, String, String) {
        let task = self.task();
        let label = task.labels.get(label).map_or(String::new(), |label| label.name.clone());
        (task.name.clone(), label, self.model.opened.manifest_sha256.clone())
    }

    pub(super) fn page(&self) -> Page {
        self.page
    }

    /// An element's id that is this card's own.
    pub(super) fn id(&self, part: &str) -> String {
        format!("{part}-{}", self.place)
    }
}
