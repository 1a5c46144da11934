//! The model: offered, fetched, loaded, stored, deleted; and every state in which there is none.

use clinlora_webapp::engine::protocol::{Address, DeviceWish, Failure};
use leptos::prelude::*;
use web_sys::{DragEvent, File, FileList};

use super::state::{Page, Phase};
use super::words;

/// The model's place on the page.
#[component]
pub(crate) fn Loading(page: Page) -> impl IntoView {
    let word = move || page.phase.with(word);
    let spoken = Memo::new(move |_| page.phase.with(spoken));
    Effect::new(move |_| {
        if let Some(words) = spoken.get() {
            page.announce(words);
        }
    });
    let is_ready = Memo::new(move |_| page.phase.with(|phase| *phase == Phase::Ready));
    view! {
        <section class="panel model" aria-labelledby="model-title" data-phase=word id="model"
            on:dragover=|event: DragEvent| event.prevent_default()
            on:drop=move |event: DragEvent| {
                event.prevent_default();
                open_files(page, event.data_transfer().and_then(|data| data.files()));
            }>
            <h2 id="model-title">"Model"</h2>
            {move || state(page)}
            <details class="sources" open=move || page.phase.with(|phase| *phase == Phase::NothingOffered)>
                <summary>{move || if is_ready.get() { "Open another model or adapter" } else { "Open it from elsewhere" }}</summary>
                <Sources page />
            </details>
            <details class="storage">
                <summary>"Stored on this machine"</summary>
                <Stored page />
            </details>
        </section>
    }
}

/// One word for a phase, as tests and style sheets read it.
fn word(phase: &Phase) -> String {
    match phase {
        Phase::Looking => "looking".to_owned(),
        Phase::Offered { .. } => "offered".to_owned(),
        Phase::NothingOffered => "nothing".to_owned(),
        Phase::WaitingForOtherTab => "waiting".to_owned(),
        Phase::Fetching { .. } => "fetching".to_owned(),
        Phase::Paused { .. } => "paused".to_owned(),
        Phase::Loading { .. } => "loading".to_owned(),
        Phase::Ready => "ready".to_owned(),
        Phase::Recovering { .. } => "recovering".to_owned(),
        Phase::Failed(failure) => {
            let json = serde_json::to_value(failure).expect("messages are JSON");
            format!("failed {}", json["why"].as_str().unwrap_or_default())
        }
    }
}

/// What is said when a phase begins, to those who do not see it; none where something else says it.
fn spoken(phase: &Phase) -> Option<&'static str> {
    match phase {
        Phase::Offered { .. } => Some("A model can be loaded."),
        Phase::NothingOffered => Some("There is no model yet."),
        Phase::WaitingForOtherTab => Some("Waiting for another tab."),
        Phase::Fetching { .. } => Some("The model is being fetched."),
        Phase::Paused { .. } => Some("Fetching is paused."),
        Phase::Loading { .. } => Some("The model is being loaded."),
        Phase::Recovering { .. } => Some("The graphics processor was lost; the model is loaded again."),
        Phase::Looking | Phase::Ready | Phase::Failed(_) => None,
    }
}

fn state(page: Page) -> AnyView {
    match page.phase.get() {
        Phase::Looking => view! { <p>"Looking for a model…"</p> }.into_any(),
        Phase::Offered { bytes, present_bytes } => offered(page, bytes, present_bytes).into_any(),
        Phase::NothingOffered => view! {
            <p>"No model comes with this page. Open one from a folder of this machine, or from an address: whoever runs this page \
                can tell you where it is."</p>
        }
        .into_any(),
        Phase::WaitingForOtherTab => view! {
            <p>"Another tab of this page is loading a model. This one goes on by itself when that is done, or when that tab is closed."</p>
        }
        .into_any(),
        Phase::Fetching { received_bytes, total_bytes, bytes_per_second, retrying } => {
            fetching(page, received_bytes, total_bytes, bytes_per_second, retrying).into_any()
        }
        Phase::Paused { received_bytes, total_bytes } => paused(page, received_bytes, total_bytes).into_any(),
        Phase::Loading { loaded_bytes, total_bytes } => view! {
            <p>"Loading the model…"</p>
            <Bar name="Loading" part=loaded_bytes of=total_bytes />
        }
        .into_any(),
        Phase::Ready => ready(page).into_any(),
        Phase::Recovering { .. } => view! {
            <p>"The graphics processor was lost. The model is loaded again on a new one, and your note is run once more."</p>
        }
        .into_any(),
        Phase::Failed(failure) => failed(page, &failure).into_any(),
    }
}

/// A bar for those who see it and those who do not.
#[component]
fn Bar(
    /// What it measures.
    name: &'static str,
    /// How much is done.
    part: u64,
    /// Of how much.
    of: u64,
) -> impl IntoView {
    #[expect(clippy::cast_precision_loss, reason = "a share shown as a bar")]
    let share = if of == 0 { 0.0 } else { part as f64 / of as f64 };
    view! { <progress aria-label=name max="1" value=share></progress> }
}

fn from_source(page: Page) {
    ask_to_persist();
    let address = page.source.with_untracked(|source| source.address.clone());
    page.open(Address::Url(address), &[]);
}

fn offered(page: Page, bytes: u64, present_bytes: u64) -> impl IntoView {
    let free = page.stored.get().map(|stored| stored.quota_bytes.saturating_sub(stored.bytes));
    let room = free.map(|free| format!(" This browser has room for {}.", words::bytes(free)));
    let missing = bytes.saturating_sub(present_bytes);
    let size = match present_bytes {
        0 => format!("{} will be fetched once and stored in this browser.", words::bytes(bytes)),
        present => format!("{} of {} are here already.", words::bytes(present), words::bytes(bytes)),
    };
    view! {
        <p>{size}{room}" Your notes stay on this machine."</p>
        <button type="button" id="load" class="primary" on:click=move |_| from_source(page)>
            {format!("Load the model ({})", words::bytes(missing))}
        </button>
    }
}

fn fetching(page: Page, received: u64, total: u64, speed: Option<f64>, retrying: u32) -> impl IntoView {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "shown with two digits"
    )]
    let rate = speed.map(|speed| {
        let left = total.saturating_sub(received) as f64 / speed;
        format!(", {} a second, {}", words::bytes(speed as u64), words::seconds_left(left))
    });
    let trouble = (retrying > 0).then_some(" The connection faltered; it is being tried again.");
    view! {
        <p>{format!("Fetching: {} of {}", words::bytes(received), words::bytes(total))}{rate}"."{trouble}</p>
        <Bar name="Fetching" part=received of=total />
        <button type="button" id="pause" class="quiet" on:click=move |_| page.pause()>"Pause"</button>
    }
}

fn paused(page: Page, received: u64, total: u64) -> impl IntoView {
    let words = match total {
        0 => "Stopped.".to_owned(),
        total => format!(
            "Paused at {} of {}. What has arrived is kept.",
            words::bytes(received),
            words::bytes(total)
        ),
    };
    view! {
        <p>{words}</p>
        <div class="row">
            <button type="button" id="resume" class="primary" on:click=move |_| from_source(page)>"Continue"</button>
            <button type="button" id="cancel" class="quiet" on:click=move |_| page.delete_source()>
                "Cancel and delete what arrived"
            </button>
        </div>
    }
}

fn ready(page: Page) -> impl IntoView {
    page.model.get().map(|model| {
        let name = match model.about.card.name.is_empty() {
            true => "A model without a name".to_owned(),
            false => model.about.card.name.clone(),
        };
        let size = words::bytes(model.opened.bytes);
        view! {
            <p><strong>{name}</strong>{format!(", {size}, is ready. ")}{words::place(&model.opened.place)}</p>
        }
    })
}

fn failed(page: Page, failure: &Failure) -> impl IntoView {
    let explained = words::explained(failure);
    let technical = failure.message();
    view! {
        <div class="failure" role="alert">
            <h3>{explained.title}</h3>
            <p>{explained.what}" "{explained.advice}</p>
            <details><summary>"Technical"</summary><p class="technical">{technical}</p></details>
        </div>
        <Show when=move || explained.can_retry>
            <button type="button" id="retry" class="primary" on:click=move |_| from_source(page)>"Try again"</button>
        </Show>
    }
}

#[component]
fn Sources(page: Page) -> impl IntoView {
    let source = page.source;
    view! {
        <label class="field">"A folder of this machine (nothing is fetched; files can be dropped here too)"
            <input id="folder" type="file" prop:webkitdirectory=true
                on:change:target=move |event| open_files(page, event.target().files()) />
        </label>
        <label class="field">"Files of a model"
            <input id="files" type="file" multiple
                on:change:target=move |event| open_files(page, event.target().files()) />
        </label>
        <label class="field">"Address"
            <input id="address" type="text" inputmode="url" autocomplete="off" prop:value=move || source.get().address
                on:input:target=move |event| source.update(|source| source.address = event.target().value()) />
        </label>
        <label class="field">"Address of the base, for an adapter by itself (may be empty)"
            <input id="base" type="text" inputmode="url" autocomplete="off" prop:value=move || source.get().base
                on:input:target=move |event| source.update(|source| source.base = event.target().value()) />
        </label>
        <label class="field">"Compute on"
            <select id="device"
                on:change:target=move |event| source.update(|source| source.device = wish(&event.target().value()))>
                <option value="automatic">"what is fastest"</option>
                <option value="gpu">"the graphics processor, even a software one"</option>
                <option value="cpu">"the processor"</option>
            </select>
        </label>
        <button type="button" id="open" on:click=move |_| from_source(page)>"Open the address"</button>
    }
}

/// A device by its name in addresses and in the list above.
pub(crate) fn wish(name: &str) -> DeviceWish {
    match name {
        "gpu" => DeviceWish::Gpu,
        "cpu" => DeviceWish::Cpu,
        _ => DeviceWish::Automatic,
    }
}

#[component]
fn Stored(page: Page) -> impl IntoView {
    let list = move || {
        let stored = page.stored.get()?;
        let used = format!("{} of {} used.", words::bytes(stored.bytes), words::bytes(stored.quota_bytes));
        let rows = stored.bundles.into_iter().map(|bundle| {
            let address = bundle.address.clone();
            let state = match bundle.present_bytes == bundle.bytes {
                true => words::bytes(bundle.bytes),
                false => format!("{} of {}", words::bytes(bundle.present_bytes), words::bytes(bundle.bytes)),
            };
            view! {
                <li>
                    <span class="technical">{bundle.address}</span>" "{state}" "
                    <button type="button" class="quiet" on:click=move |_| page.delete(Some(address.clone()))>
                        "Delete"
                    </button>
                </li>
            }
        });
        Some(view! { <p id="stored">{used}</p><ul>{rows.collect::<Vec<_>>()}</ul> })
    };
    view! {
        {list}
        <button type="button" id="delete" class="quiet" on:click=move |_| page.delete(None)>"Delete everything"</button>
    }
}

fn open_files(page: Page, files: Option<FileList>) {
    let files = files.map(named).unwrap_or_default();
    if !files.is_empty() {
        ask_to_persist();
        page.open(Address::Files, &files);
    }
}

/// Files under their path in the chosen folder, or their name.
fn named(files: FileList) -> Vec<(String, File)> {
    let path = |file: &File| {
        let path = js_sys::Reflect::get(file, &"webkitRelativePath".into()).ok();
        path.and_then(|path| path.as_string()).filter(|path| !path.is_empty()).unwrap_or_else(|| file.name())
    };
    (0..files.length()).filter_map(|i| files.get(i)).map(|file| (path(&file), file)).collect()
}

/// Asks the browser not to clear the store by itself. It may refuse; then a model is at worst fetched again.
fn ask_to_persist() {
    if let Ok(answer) = window().navigator().storage().persist() {
        leptos::task::spawn_local(async move {
            let _ = wasm_bindgen_futures::JsFuture::from(answer).await;
        });
    }
}
