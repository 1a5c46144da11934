//! What the reader thinks of an outcome: kept in this browser alone, saved as a table and erased at will. Never the note.

use clinlora_webapp::feedback::{Feedback, Record, Verdict};
use clinlora_webapp::out::note_hash;
use leptos::prelude::*;

use super::export::download;
use super::outcomes::Shown;
use super::state::Page;

/// Where the browser keeps it.
const KEY: &str = "clinlora-feedback";

/// All opinions, in the page's context.
#[derive(Clone, Copy)]
pub(crate) struct Opinions {
    all: RwSignal<Feedback>,
    /// Why they could not be stored, for as long as that is so.
    problem: RwSignal<Option<&'static str>>,
}

impl Opinions {
    /// Reads what was kept, for [`Opinions::here`] to find.
    pub(crate) fn provide() {
        let lines = storage().and_then(|storage| storage.get_item(KEY).ok().flatten()).unwrap_or_default();
        let all = RwSignal::new(Feedback::from_lines(&lines).0);
        provide_context(Self { all, problem: RwSignal::new(None) });
    }

    /// The page's.
    pub(crate) fn here() -> Self {
        expect_context()
    }

    fn change(self, change: impl FnOnce(&mut Feedback)) {
        self.all.update(change);
        let lines = self.all.with_untracked(Feedback::to_lines);
        let kept = storage().is_some_and(|storage| match lines.is_empty() {
            true => storage.remove_item(KEY).is_ok(),
            false => storage.set_item(KEY, &lines).is_ok(),
        });
        self.problem.set(
            (!kept).then_some("This browser keeps nothing for the page: it is lost when the page is closed."),
        );
    }

    /// How many there are.
    pub(crate) fn count(self) -> usize {
        self.all.with(|all| all.records().len())
    }

    /// Erases all.
    pub(crate) fn erase(self) {
        self.change(Feedback::erase_all);
    }
}

fn storage() -> Option<web_sys::Storage> {
    window().local_storage().ok().flatten()
}

/// Agree or disagree with an outcome, and why.
#[component]
pub(crate) fn Opinion(shown: Shown, label: Signal<usize>) -> impl IntoView {
    let opinions = Opinions::here();
    // A card lives no longer than its note.
    let note = StoredValue::new(shown.page().note.with_untracked(|note| note_hash(note)));
    let (id, page) = (shown.id("reason"), shown.page());
    let (reader, writer) = (shown.clone(), shown.clone());
    let now = Memo::new(move |_| {
        let (task, label, manifest) = reader.names(label.get());
        opinions.all.with(|all| note.with_value(|note| all.of(&task, &label, note, &manifest).cloned()))
    });
    let record = StoredValue::new(move |verdict: Verdict, reason: String| {
        let place = label.get_untracked();
        let (task, name, manifest_sha256) = writer.names(place);
        let record = Record {
            time_ms: js_sys::Date::now(),
            task,
            label: name,
            probability: writer.probability(place),
            verdict,
            reason,
            note_sha256: note.get_value(),
            manifest_sha256,
        };
        opinions.change(|all| all.add(record));
    });
    let choose = move |verdict: Verdict, words: &'static str| {
        let is_chosen =
            move || now.with(|now| now.as_ref().is_some_and(|now| now.verdict == verdict)).to_string();
        let chosen = move |_| {
            let reason =
                now.with_untracked(|now| now.as_ref().map_or(String::new(), |now| now.reason.clone()));
            record.with_value(|record| record(verdict, reason));
            page.announce("Noted in this browser.");
        };
        view! { <button type="button" class="quiet" aria-pressed=is_chosen on:click=chosen>{words}</button> }
    };
    let is_given = move || now.with(Option::is_some);
    let reason = move || now.with(|now| now.as_ref().map_or(String::new(), |now| now.reason.clone()));
    let changed = move |reason: String| {
        if let Some(verdict) = now.with_untracked(|now| now.as_ref().map(|now| now.verdict)) {
            record.with_value(|record| record(verdict, reason));
            page.announce("Noted in this browser.");
        }
    };
    let field = id.clone();
    let of = move || format!(" ({})", shown.words(label.get()));
    view! {
        <div class="opinion" role="group" aria-labelledby=format!("{id}-title")>
            <span id=format!("{id}-title") class="soft">"Your judgement"<span class="unseen">{of}</span></span>
            {choose(Verdict::Agree, "Agree")}
            {choose(Verdict::Disagree, "Disagree")}
            <Show when=is_given>
                <label class="reason" for=field.clone()>
                    <span class="soft">"Why? (kept in this browser only; nothing that identifies the patient)"</span>
                    <input type="text" id=field.clone() autocomplete="off" maxlength="2000" prop:value=reason
                        on:change:target=move |event| changed(event.target().value()) />
                </label>
            </Show>
        </div>
    }
}

/// What was collected: how much, to save and to erase.
#[component]
pub(crate) fn Collected(page: Page) -> impl IntoView {
    let opinions = Opinions::here();
    let count = move || opinions.count();
    let words = move || match count() {
        0 => "No judgements are kept.".to_owned(),
        1 => "1 judgement is kept in this browser.".to_owned(),
        count => format!("{count} judgements are kept in this browser."),
    };
    view! {
        <p id="opinions" data-count=count>{words}" Each has the outcome, its probability, your reason and a fingerprint of the note, \
            never the note."</p>
        <p class="problem" role="alert">{move || opinions.problem.get()}</p>
        <div class="row">
            <button type="button" id="save-opinions" class="quiet" disabled=move || count() == 0 on:click=move |_| {
                download("judgements.csv", "text/csv", &opinions.all.with_untracked(Feedback::to_csv));
                page.announce("The judgements are in your downloads.");
            }>"Save as a table (CSV)"</button>
            <button type="button" id="erase-opinions" class="quiet" disabled=move || count() == 0 on:click=move |_| {
                opinions.erase();
                page.announce("The judgements are erased.");
            }>"Erase the judgements"</button>
        </div>
    }
}
