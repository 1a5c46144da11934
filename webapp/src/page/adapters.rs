//! The adapters: what they contribute to this note, side by side, and what is loaded.

use clinlora_webapp::about::{About, AdapterAbout, TaskAbout};
use clinlora_webapp::engine::protocol::AdapterChoice;
use leptos::prelude::*;

use super::compared::{Column, table};
use super::standing::standing;
use super::state::{Job, Model, Page, Status, Version};
use super::words;

/// Characters of a hash that are shown at first.
const SHORT: usize = 12;

/// The columns, the plainest model first.
const CHOICES: [(AdapterChoice, &str, &str); 3] = [
    (AdapterChoice::Off, "off", "No adapter"),
    (AdapterChoice::Clinical, "clinical", "Clinical"),
    (AdapterChoice::All, "all", "Clinical + task"),
];

/// Both parts.
#[component]
pub(super) fn Adapters(page: Page) -> impl IntoView {
    view! {
        <Show when=move || page.model.with(Option::is_some)>
            <div class="columns">
                <SideBySide page />
                <Loaded page />
            </div>
        </Show>
    }
}

#[component]
fn SideBySide(page: Page) -> impl IntoView {
    let is_predicted = Memo::new(move |_| {
        page.predictions.with(|all| {
            all.get(&(Version::Original, AdapterChoice::All)).is_some_and(|p| p.status == Status::Done)
        })
    });
    let is_asked = Memo::new(move |_| {
        page.predictions.with(|all| {
            [AdapterChoice::Off, AdapterChoice::Clinical]
                .iter()
                .any(|c| all.contains_key(&(Version::Original, *c)))
        })
    });
    let compare = move |_| {
        page.announce("Computing without the adapters.");
        for choice in [AdapterChoice::Off, AdapterChoice::Clinical] {
            page.predict_as(Version::Original, choice);
        }
    };
    let compared = move || {
        if !is_asked.get() {
            return None;
        }
        let model = page.model.get()?;
        let columns: Vec<Column> = CHOICES
            .iter()
            .map(|(choice, name, title)| Column {
                name,
                title,
                prediction: page.prediction(Version::Original, *choice),
            })
            .collect();
        let states = CHOICES.iter().zip(&columns).filter_map(|((choice, _, _), column)| {
            let job = Job::Predict(Version::Original, *choice);
            let again = move || page.predict_as(Version::Original, *choice);
            let status = &column.prediction.as_ref()?.status;
            standing("Computing without the adapters", status, move || page.stop_job(job), again)
        });
        let states = states.collect::<Vec<_>>();
        let table = table(&model.about, "This note with and without adapters", &columns);
        Some(view! { {states}{table} })
    };
    view! {
        <section class="panel adapters" id="adapters" aria-labelledby="adapters-title">
            <h2 id="adapters-title">"The same note without the adapters"</h2>
            <p class="soft">"An adapter is a small addition to a language model that was trained for one purpose. Here the same note is read \
                with and without them; differences are in points, from the first column."</p>
            <dl class="choices">
                <dt>"No adapter"</dt>
                <dd>"The general language model alone. Its answering layer was trained together with the adapters, so this column shows what \
                    they contribute, not how good the general model could be."</dd>
                <dt>"Clinical"</dt>
                <dd>"With the adapter that was trained to read clinical notes, and is shared by all outcomes."</dd>
                <dt>"Clinical + task"</dt>
                <dd>"With the adapter of each outcome on top: what is shown as the outcomes above."</dd>
            </dl>
            <Show when=move || !is_asked.get()>
                <div class="row">
                    <button type="button" id="compare-adapters" disabled=move || !is_predicted.get() on:click=compare>
                        "Compare on this note"
                    </button>
                    <Show when=move || !is_predicted.get()><span class="hint">"Predict first."</span></Show>
                </div>
            </Show>
            {compared}
        </section>
    }
}

#[component]
fn Loaded(page: Page) -> impl IntoView {
    let body = move || page.model.get().map(|model| loaded(&model));
    view! {
        <section class="panel loaded" id="loaded" aria-labelledby="loaded-title">
            <h2 id="loaded-title">"What is loaded"</h2>
            {body}
        </section>
    }
}

fn loaded(model: &Model) -> impl IntoView + use<> {
    let Model { opened, about } = model;
    let name =
        if about.card.name.trim().is_empty() { "A model without a name" } else { about.card.name.trim() };
    let base = about
        .base
        .as_ref()
        .map_or_else(String::new, |base| format!(", stored in {} bits a weight", base.bits));
    let adapters = match about.adapters.len() {
        0 => "no adapters".to_owned(),
        1 => "one adapter".to_owned(),
        n => format!("{n} adapters"),
    };
    let lead = format!(
        "{name}{base}, with {adapters}; {} in all. {}",
        words::bytes(opened.bytes),
        words::place(&opened.place)
    );
    view! {
        <p>{lead}</p>
        {agreement(about)}
        <details class="card-of-model">
            <summary>"Licence and model card"</summary>
            {card(about)}
        </details>
        <details class="technical-view">
            <summary>"Technical: versions, ranks and hashes"</summary>
            {facts(model)}
            {adapters_table(about)}
        </details>
    }
}

/// How far the packed model lies from the one it was made from, by outcome.
fn agreement(about: &About) -> AnyView {
    let measured: Vec<&TaskAbout> = about.tasks.iter().filter(|task| task.agreement.is_some()).collect();
    let largest = measured
        .iter()
        .filter_map(|task| task.agreement.as_ref())
        .max_by(|a, b| a.max_difference.total_cmp(&b.max_difference));
    let Some(largest) = largest else {
        return view! { <p class="soft">"How far this model lies from the one it was made from is not stated."</p> }.into_any();
    };
    let badge = largest.words();
    let number =
        |value: Option<f64>| value.map_or_else(|| "not stated".to_owned(), |value| format!("{value:.3}"));
    let rows = measured.iter().filter_map(|task| {
        let found = task.agreement.as_ref()?;
        Some(view! {
            <tr>
                <th scope="row">{task.heading().to_owned()}</th>
                <td class="numbers">{found.notes}</td>
                <td class="numbers">{format!("{:.2}", 100.0 * found.max_difference)}</td>
                <td class="numbers">{format!("{:.2}", 100.0 * found.mean_difference)}</td>
                <td class="numbers">{number(found.auroc_dense)}</td>
                <td class="numbers">{number(found.auroc_packed)}</td>
            </tr>
        })
    });
    view! {
        <p class="badge" id="agreement">{badge}"."</p>
        <details class="agreement">
            <summary>"Agreement with the full model, by outcome"</summary>
            <div class="scrolls" tabindex="0" role="group" aria-label="Agreement with the full model">
                <table>
                    <caption>"The model was made smaller to fit a browser. This is what that changed, on the same notes."</caption>
                    <thead><tr>
                        <th scope="col">"Outcome"</th>
                        <th scope="col">"Notes"</th>
                        <th scope="col">"Largest difference (points)"</th>
                        <th scope="col">"Mean difference (points)"</th>
                        <th scope="col">"AUROC, full"</th>
                        <th scope="col">"AUROC, here"</th>
                    </tr></thead>
                    <tbody>{rows.collect::<Vec<_>>()}</tbody>
                </table>
            </div>
        </details>
    }
    .into_any()
}

fn card(about: &About) -> impl IntoView + use<> {
    let rows = about.card.rows().map(|(title, text)| {
        let text = match text.trim() {
            "" => view! { <span class="soft">"not stated"</span> }.into_any(),
            hash if title == "Checkpoint before packing" => self::hash(hash),
            text => text.to_owned().into_any(),
        };
        view! { <dt>{title}</dt><dd>{text}</dd> }
    });
    view! { <dl class="facts">{rows.into_iter().collect::<Vec<_>>()}</dl> }
}

fn facts(model: &Model) -> impl IntoView + use<> {
    let Model { opened, about } = model;
    let size = |key, words: &str| {
        about.base.as_ref().and_then(|base| base.size(key)).map(|n| format!("{n} {words}"))
    };
    let sizes: Vec<String> = [
        size("num_hidden_layers", "layers"),
        size("hidden_size", "wide"),
        size("num_attention_heads", "heads"),
        size("vocab_size", "tokens in the vocabulary"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let base = match &about.base {
        Some(base) => format!("{} bits a weight; {}", base.bits, sizes.join(", ")),
        None => "from another bundle".to_owned(),
    };
    let tokens: Vec<usize> = about.tasks.iter().map(|task| task.max_tokens).collect();
    let reads = tokens.iter().max().map(|most| format!("{most} tokens of a note"));
    view! {
        <dl class="facts">
            <dt>"Base"</dt><dd>{base}</dd>
            <dt>"SHA-256 of the base"</dt><dd>{hash(&about.base_sha256)}</dd>
            <dt>"SHA-256 of the manifest"</dt><dd>{hash(&opened.manifest_sha256)}</dd>
            <dt>"Size"</dt><dd>{format!("{} ({} bytes)", words::bytes(opened.bytes), opened.bytes)}</dd>
            <dt>"Reads"</dt><dd>{reads}</dd>
            <dt>"Written by"</dt><dd>{about.generator.clone()}</dd>
            <dt>"Runs on"</dt><dd>{words::place(&opened.place)}</dd>
        </dl>
    }
}

fn adapters_table(about: &About) -> impl IntoView + use<> {
    let rows = about.adapters.iter().map(|adapter| {
        view! {
            <tr>
                <th scope="row">{adapter.name.clone()}</th>
                <td>{used_by(about, adapter)}</td>
                <td class="numbers">{adapter.r}</td>
                <td class="numbers">{adapter.scale}</td>
                <td>{hash(&adapter.sha256)}</td>
            </tr>
        }
    });
    view! {
        <div class="scrolls" tabindex="0" role="group" aria-label="Adapters">
            <table class="adapter-list">
                <caption>"Adapters, stacked on the base without changing it"</caption>
                <thead><tr>
                    <th scope="col">"Name"</th>
                    <th scope="col">"Used for"</th>
                    <th scope="col">"Rank"</th>
                    <th scope="col">"Scale"</th>
                    <th scope="col">"SHA-256"</th>
                </tr></thead>
                <tbody>{rows.collect::<Vec<_>>()}</tbody>
            </table>
        </div>
    }
}

/// Outcomes an adapter is used for: `all outcomes`, or their names.
fn used_by(about: &About, adapter: &AdapterAbout) -> String {
    let tasks = about.tasks.iter().filter(|task| task.stack.contains(&adapter.name));
    let names: Vec<&str> = tasks.map(TaskAbout::heading).collect();
    match names.len() {
        0 => "nothing".to_owned(),
        n if n == about.tasks.len() && n > 1 => "all outcomes".to_owned(),
        _ => names.join(", "),
    }
}

/// A hash: its beginning, and all of it on demand.
fn hash(hash: &str) -> AnyView {
    match hash.get(..SHORT) {
        Some(short) if hash.len() > SHORT => view! {
            <details class="hash">
                <summary class="technical">{short.to_owned()}"\u{2026}"</summary>
                <span class="technical">{hash.to_owned()}</span>
            </details>
        }
        .into_any(),
        _ if hash.is_empty() => view! { <span class="soft">"not stated"</span> }.into_any(),
        _ => view! { <span class="technical">{hash.to_owned()}</span> }.into_any(),
    }
}
