//! The page as an engineer needs it: open a bundle, run a note, see probabilities and every state the engine can be in.

use clinlora_webapp::engine::client::Client;
use clinlora_webapp::engine::protocol::{
    AdapterChoice, Address, Command, CpuReason, DeviceWish, Event, Failure, Opened, Outcome, Place, Reply,
};
use leptos::prelude::*;
use wasm_bindgen::prelude::*;
use web_sys::{DragEvent, File, FileList};

/// Draws the page into its place in `index.html`.
pub(crate) fn mount() {
    let place = document().get_element_by_id("page").expect("index.html has the place");
    place.set_text_content(None);
    mount_to(place.unchecked_into(), App).forget();
}

/// What is shown, changed by the worker's answers.
#[derive(Clone, Copy)]
struct Shown {
    /// One word for the state, as tests and style sheets read it.
    state: RwSignal<String>,
    status: RwSignal<String>,
    share: RwSignal<Option<f64>>,
    opened: RwSignal<Option<Opened>>,
    outcomes: RwSignal<Vec<Outcome>>,
    stored: RwSignal<String>,
    /// The request the buttons wait for; 0 for none.
    request: RwSignal<u64>,
}

impl Shown {
    fn new() -> Self {
        Self {
            state: RwSignal::new("idle".to_owned()),
            status: RwSignal::new("No bundle is loaded.".to_owned()),
            share: RwSignal::new(None),
            opened: RwSignal::new(None),
            outcomes: RwSignal::new(Vec::new()),
            stored: RwSignal::new(String::new()),
            request: RwSignal::new(0),
        }
    }

    fn say(self, state: &str, status: impl Into<String>, share: Option<f64>) {
        self.state.set(state.to_owned());
        self.status.set(status.into());
        self.share.set(share);
    }

    fn take(self, reply: Reply) {
        match reply.event {
            Event::Ready { .. } => {}
            Event::WaitingForOtherTab => {
                self.say(
                    "waiting",
                    "Another tab is loading a bundle. This one goes on when it is done.",
                    None,
                );
            }
            Event::Fetching { received_bytes, total_bytes, retrying, .. } => {
                let trouble = if retrying > 0 { " The connection is being tried again." } else { "" };
                let (received, total) = (megabytes(received_bytes), megabytes(total_bytes));
                let status = format!("Fetching: {received} of {total}.{trouble}");
                self.say("fetching", status, share(received_bytes, total_bytes));
            }
            Event::Loading { loaded_bytes, total_bytes } => {
                let status = format!("Loading {} of {}.", megabytes(loaded_bytes), megabytes(total_bytes));
                self.say("loading", status, share(loaded_bytes, total_bytes));
            }
            Event::Recovering { reason } => {
                let status = format!("The GPU was lost ({reason}). The model is loaded again.");
                self.say("recovering", status, None);
            }
            Event::Opened(opened) => {
                self.say(
                    "ready",
                    format!("Loaded {}, {}", megabytes(opened.bytes), place(&opened.place)),
                    None,
                );
                self.opened.set(Some(opened));
            }
            Event::Step { done, total } => {
                self.say("running", "Computing.", share(done as u64, total as u64));
            }
            Event::Predicted(outcome) => self.outcomes.update(|outcomes| outcomes.push(outcome)),
            Event::Tokens { .. } | Event::Explained { .. } => {}
            Event::Stored { bundles, bytes, quota_bytes } => {
                let (bytes, quota) = (megabytes(bytes), megabytes(quota_bytes));
                self.stored.set(format!("{} bundles, {bytes} of {quota}.", bundles.len()));
            }
            Event::Done => self.done(reply.id),
            Event::Failed(failure) => self.failed(reply.id, &failure),
        }
    }

    fn done(self, id: u64) {
        if self.request.get_untracked() == id {
            self.request.set(0);
            let idle = if self.opened.with_untracked(Option::is_some) { "ready" } else { "idle" };
            self.state.set(idle.to_owned());
            self.share.set(None);
        }
    }

    fn failed(self, id: u64, failure: &Failure) {
        let is_crash = matches!(failure, Failure::Crashed { .. });
        if is_crash {
            self.opened.set(None);
        }
        if is_crash || self.request.get_untracked() == id {
            self.request.set(0);
            self.say(&format!("failed {}", word(failure)), failure.message(), None);
        }
    }
}

/// The name a failure has in the protocol.
fn word(failure: &Failure) -> String {
    let json = serde_json::to_value(failure).expect("messages are JSON");
    json["why"].as_str().unwrap_or_default().to_owned()
}

fn place(place: &Place) -> String {
    match place {
        Place::Gpu { adapter } if adapter.is_software => {
            format!("on the software adapter {}: slow.", adapter.name)
        }
        Place::Gpu { adapter } => format!("on the GPU {}.", adapter.name),
        Place::Cpu { reason } => format!("on the CPU: {}.", because(*reason)),
    }
}

fn because(reason: CpuReason) -> &'static str {
    match reason {
        CpuReason::Asked => "as asked for",
        CpuReason::NoWebGpu => "this browser has no WebGPU",
        CpuReason::NoAdapter => "this browser gives no GPU adapter",
        CpuReason::AdapterTimedOut => "the browser did not answer when asked for a GPU",
        CpuReason::NoDevice => "the GPU adapter gave no device",
        CpuReason::SoftwareAdapter => "the only GPU adapter is a program, slower than the CPU itself",
        CpuReason::WrongAnswers => "the GPU computed wrong numbers when it was tried",
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

#[expect(clippy::cast_precision_loss, reason = "a share shown as a bar")]
fn share(part: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| part as f64 / of as f64)
}

/// What the parts of the page have in common.
#[derive(Clone, Copy)]
struct Page {
    shown: Shown,
    client: StoredValue<Client, LocalStorage>,
}

impl Page {
    /// Sends a request whose end the page waits for.
    fn ask(self, command: Command, files: &[(String, File)]) {
        let id = self.client.with_value(|client| client.send(command, files));
        self.shown.request.set(id);
    }
}

#[component]
fn App() -> impl IntoView {
    let shown = Shown::new();
    let client = StoredValue::new_local(Client::start(move |reply| shown.take(reply)));
    let page = Page { shown, client };
    view! {
        <Loading page />
        <p id="state" role="status" data-state=move || shown.state.get()>{move || shown.status.get()}</p>
        <Show when=move || shown.share.get().is_some()>
            <progress aria-label="Progress" max="1" value=move || shown.share.get().unwrap_or(0.0)></progress>
        </Show>
        <Note page />
        <Outcomes shown />
    }
}

#[component]
fn Loading(page: Page) -> impl IntoView {
    let parameter = |name: &str| {
        let search = window().location().search().unwrap_or_default();
        web_sys::UrlSearchParams::new_with_str(&search).ok().and_then(|all| all.get(name))
    };
    let address = RwSignal::new(parameter("bundle").unwrap_or_else(|| "bundle/".to_owned()));
    let base = RwSignal::new(parameter("base").unwrap_or_default());
    let device = RwSignal::new(parameter("device").unwrap_or_else(|| "automatic".to_owned()));
    let open = move |bundle: Address, files: Vec<(String, File)>| {
        ask_to_persist();
        let base = base.get_untracked();
        let command = Command::Open {
            bundle,
            base: (!base.is_empty()).then_some(base),
            device: wish(&device.get_untracked()),
            refresh: false,
        };
        page.ask(command, &files);
    };
    let open_files = move |files: Option<FileList>| {
        let files = files.map(named).unwrap_or_default();
        if !files.is_empty() {
            open(Address::Files, files);
        }
    };
    let cancel = move |_| {
        let request = page.shown.request.get_untracked();
        page.client.with_value(|client| client.send(Command::Cancel { request }, &[]));
    };
    let shown = page.shown;
    view! {
        <fieldset
            on:dragover=|event: DragEvent| event.prevent_default()
            on:drop=move |event: DragEvent| {
                event.prevent_default();
                open_files(event.data_transfer().and_then(|data| data.files()));
            }
        >
            <legend>Bundle</legend>
            <label>Address
                <input id="address" type="text" prop:value=move || address.get()
                    on:input:target=move |event| address.set(event.target().value()) />
            </label>
            <label>Base, for a bundle of adapters only
                <input id="base" type="text" prop:value=move || base.get()
                    on:input:target=move |event| base.set(event.target().value()) />
            </label>
            <label>Compute on
                <select id="device" prop:value=move || device.get()
                    on:change:target=move |event| device.set(event.target().value())>
                    <option value="automatic">what is fastest</option>
                    <option value="gpu">the GPU, a software one too</option>
                    <option value="cpu">the CPU</option>
                </select>
            </label>
            <button id="open" on:click=move |_| open(Address::Url(address.get_untracked()), Vec::new())>Open</button>
            <button id="cancel" on:click=cancel>Stop</button>
            <button id="storage" on:click=move |_| page.ask(Command::Storage, &[])>Storage used</button>
            <button id="delete" on:click=move |_| page.ask(Command::Delete { address: None }, &[])>Delete all</button>
            <span id="stored">{move || shown.stored.get()}</span>
            <label>Or a folder or files of a bundle, without any network; they can be dropped here too
                <input id="files" type="file" multiple
                    on:change:target=move |event| open_files(event.target().files()) />
            </label>
            <label>Folder <input id="folder" type="file" prop:webkitdirectory=true
                on:change:target=move |event| open_files(event.target().files()) /></label>
        </fieldset>
    }
}

fn wish(name: &str) -> DeviceWish {
    match name {
        "gpu" => DeviceWish::Gpu,
        "cpu" => DeviceWish::Cpu,
        _ => DeviceWish::Automatic,
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

/// Asks the browser not to clear the store by itself. It may refuse; then a bundle is at worst fetched again.
fn ask_to_persist() {
    if let Ok(answer) = window().navigator().storage().persist() {
        leptos::task::spawn_local(async move {
            let _ = answer.await;
        });
    }
}

#[component]
fn Note(page: Page) -> impl IntoView {
    let shown = page.shown;
    let note = RwSignal::new(String::new());
    let adapters = RwSignal::new("all".to_owned());
    let predict = move |_| {
        shown.outcomes.set(Vec::new());
        let adapters = match adapters.get_untracked().as_str() {
            "off" => AdapterChoice::Off,
            "clinical" => AdapterChoice::Clinical,
            _ => AdapterChoice::All,
        };
        let note = note.get_untracked();
        let command = Command::Predict { note, tasks: Vec::new(), adapters, max_tokens: None };
        page.ask(command, &[]);
    };
    view! {
        <fieldset>
            <legend>Note</legend>
            <label>Admission note
                <textarea id="note" prop:value=move || note.get()
                    on:input:target=move |event| note.set(event.target().value())></textarea>
            </label>
            <label>Adapters
                <select id="adapters" on:change:target=move |event| adapters.set(event.target().value())>
                    <option value="all">clinical and task</option>
                    <option value="clinical">clinical</option>
                    <option value="off">off</option>
                </select>
            </label>
            <button id="predict" on:click=predict disabled=move || shown.opened.with(Option::is_none)>Predict</button>
        </fieldset>
    }
}

#[component]
fn Outcomes(shown: Shown) -> impl IntoView {
    let rows = move || {
        let about = shown.opened.with(|opened| opened.as_ref().map(|opened| opened.about.clone()));
        let row = |outcome: Outcome| {
            let labels = labels(about.as_ref(), &outcome.task);
            let mut ranked: Vec<(usize, f64)> = outcome.probabilities.iter().copied().enumerate().collect();
            ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
            let named = ranked.iter().take(5).map(|(label, probability)| {
                let name = labels.get(*label).cloned().unwrap_or_else(|| label.to_string());
                format!("{name} {:.1} %", probability * 100.0)
            });
            let text = named.collect::<Vec<_>>().join(", ");
            let numbers = format!("{:?}", outcome.probabilities);
            view! {
                <tr data-task=outcome.task.clone() data-probabilities=numbers>
                    <th scope="row">{outcome.task.clone()}</th>
                    <td>{text}</td>
                    <td>{format!("{:.0} ms", outcome.elapsed_ms)}</td>
                </tr>
            }
        };
        shown.outcomes.get().into_iter().map(row).collect::<Vec<_>>()
    };
    view! {
        <table id="outcomes">
            <thead><tr><th scope="col">Task</th><th scope="col">Most probable</th><th scope="col">After</th></tr></thead>
            <tbody>{rows}</tbody>
        </table>
    }
}

/// Names of a task's labels, from the manifest.
fn labels(about: Option<&serde_json::Value>, task: &str) -> Vec<String> {
    let tasks = about.and_then(|about| about["tasks"].as_array());
    let task = tasks.and_then(|tasks| tasks.iter().find(|other| other["name"] == task));
    let labels = task.and_then(|task| task["labels"].as_array()).into_iter().flatten();
    labels.filter_map(|label| label["name"].as_str().map(str::to_owned)).collect()
}
