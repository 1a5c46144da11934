//! How many requests were made, as the browser records them: those of the page and those of the worker, which runs in a scope
//! of its own and is asked for its record.

use clinlora_webapp::engine::protocol::Asked;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::Closure;
use web_sys::{Performance, PerformanceEntry, PerformanceObserver, PerformanceObserverInit};

use super::super::state::{Page, Phase, Status};

/// How many requests the browser shall record of the page; its own number is 250.
const RECORDED: u32 = 100_000;

/// Addresses listed at most; the newest.
const LISTED: usize = 200;

/// The records.
#[derive(Clone, Copy)]
pub(super) struct Counter {
    page: RwSignal<Vec<Asked>>,
    /// None until the worker has answered.
    worker: RwSignal<Option<Vec<Asked>>>,
    /// When the model was ready, in milliseconds since 1970; none while there is none.
    ready_ms: RwSignal<Option<f64>>,
}

impl Counter {
    /// Records from now on, with what was recorded before.
    pub(super) fn start(page: Page) -> Self {
        let counter =
            Self { page: RwSignal::default(), worker: RwSignal::new(None), ready_ms: RwSignal::new(None) };
        if let Some(performance) = window().performance() {
            performance.set_resource_timing_buffer_size(RECORDED);
            counter.observe(performance);
        }
        let is_ready = Memo::new(move |_| page.phase.with(|phase| *phase == Phase::Ready));
        Effect::new(move |_| counter.ready_ms.set(is_ready.get().then(now_ms)));
        // The worker is asked whenever something has ended.
        let ended = Memo::new(move |_| {
            page.predictions
                .with(|all| all.values().filter(|one| !matches!(one.status, Status::Running(_))).count())
        });
        Effect::new(move |_| {
            is_ready.track();
            ended.track();
            page.ask_requests(move |asked| counter.worker_says(asked));
        });
        counter
    }

    fn observe(self, performance: Performance) {
        let read = move || {
            let entries = performance.get_entries_by_type("resource").to_vec();
            let entries = entries.into_iter().map(|entry| entry.unchecked_into::<PerformanceEntry>());
            let asked = entries.map(|entry| Asked {
                address: entry.name(),
                time_ms: performance.time_origin() + entry.start_time(),
            });
            self.page.set(asked.collect());
        };
        read();
        let on_entries = Closure::<dyn Fn()>::new(read);
        if let Ok(observer) = PerformanceObserver::new(on_entries.as_ref().unchecked_ref()) {
            let kinds = js_sys::Array::of1(&"resource".into());
            observer.observe(&PerformanceObserverInit::new(&kinds));
        }
        on_entries.forget(); // it lives as long as the page
    }

    /// Takes over the worker's record.
    pub(super) fn worker_says(self, asked: Vec<Asked>) {
        self.worker.set(Some(asked));
    }

    /// Requests since a time.
    pub(super) fn since(self, time_ms: f64) -> usize {
        let later = |all: &[Asked]| all.iter().filter(|asked| asked.time_ms > time_ms).count();
        self.page.with(|all| later(all)) + self.worker.with(|all| all.as_deref().map_or(0, later))
    }
}

/// The time, on the clock the records are on.
pub(super) fn now_ms() -> f64 {
    window().performance().map_or_else(js_sys::Date::now, |p| p.time_origin() + p.now())
}

/// The count, and the addresses on demand.
#[component]
pub(super) fn Requests(counter: Counter) -> impl IntoView {
    let of_page = move || counter.page.with(Vec::len);
    let of_worker = move || counter.worker.with(|all| all.as_ref().map_or(0, Vec::len));
    let since_ready = move || counter.ready_ms.get().map(|ready| counter.since(ready));
    let headline = move || match since_ready() {
        None => "The model is not loaded yet.".to_owned(),
        Some(0) => "No request since the model was ready.".to_owned(),
        Some(1) => "1 request since the model was ready: see the list.".to_owned(),
        Some(count) => format!("{count} requests since the model was ready: see the list."),
    };
    let total = move || {
        format!(
            "Since this page was opened: {}, to load the page, its programs and the model. Of the page {}, of the program that \
             runs the model {}.",
            of_page() + of_worker(),
            of_page(),
            of_worker()
        )
    };
    let rows = move || {
        let mut all: Vec<(&str, Asked)> =
            counter.page.get().into_iter().map(|asked| ("page", asked)).collect();
        all.extend(
            counter.worker.get().unwrap_or_default().into_iter().map(|asked| ("model's program", asked)),
        );
        all.sort_by(|a, b| b.1.time_ms.total_cmp(&a.1.time_ms));
        let ready = counter.ready_ms.get();
        let row = |(who, asked): (&'static str, Asked)| {
            let is_after = ready.is_some_and(|ready| asked.time_ms > ready);
            view! {
                <tr>
                    <td class="technical">{asked.address}</td>
                    <td>{who}</td>
                    <td>{if is_after { "after the model was ready" } else { "before" }}</td>
                </tr>
            }
        };
        all.into_iter().take(LISTED).map(row).collect::<Vec<_>>()
    };
    view! {
        <div class="proof" id="requests" data-total=move || of_page() + of_worker() data-since-ready=since_ready>
            <h3>"Requests to the network"</h3>
            <p class="figure-line" role="status">{headline}</p>
            <p>{total}</p>
            <details>
                <summary>"The addresses, and what is counted"</summary>
                <p class="soft">
                    "Counted is every request that the browser recorded of the page and of the program that runs the model, answered \
                     from the network or from what the browser keeps. Not counted: the browser's own look for a newer version of the \
                     page and the copies it makes of the page for a start without a network. The developer tools of the browser (F12, \
                     Network) show the same, independently."
                </p>
                <div class="scrolls tall" tabindex="0" role="group" aria-label="Addresses asked">
                    <table>
                        <caption>{format!("Addresses, the newest first; at most {LISTED}")}</caption>
                        <thead>
                            <tr><th scope="col">"Address"</th><th scope="col">"Asked by"</th><th scope="col">"When"</th></tr>
                        </thead>
                        <tbody>{rows}</tbody>
                    </table>
                </div>
            </details>
        </div>
    }
}
