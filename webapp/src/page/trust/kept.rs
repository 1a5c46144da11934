//! What this page keeps in the browser, and how all of it is erased.

use leptos::prelude::*;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::ServiceWorkerRegistration;

use super::super::feedback::{Collected, Opinions};
use super::super::state::Page;
use super::super::words;

/// Name of the page's own files in the browser's cache, as `service-worker.js` has it.
const CACHE: &str = "clinlora";

/// What is kept, and the way to erase it.
#[component]
pub(super) fn Kept(page: Page) -> impl IntoView {
    let is_asked = RwSignal::new(false);
    let models = move || {
        page.stored.with(|stored| {
            stored.as_ref().map_or_else(
                || "not known".to_owned(),
                |stored| match stored.bundles.len() {
                    0 => "nothing".to_owned(),
                    1 => format!("1 model, {}", words::bytes(stored.bytes)),
                    count => format!("{count} models, {}", words::bytes(stored.bytes)),
                },
            )
        })
    };
    let opinions = Opinions::here();
    let judged = move || opinions.count();
    let erase = move |_| {
        is_asked.set(false);
        opinions.erase();
        page.set_note(String::new(), None);
        page.delete(None);
        leptos::task::spawn_local(erase_shell());
    };
    view! {
        <div class="scrolls" tabindex="0" role="group" aria-label="What is kept">
            <table>
                <caption>"What this page keeps in this browser"</caption>
                <thead><tr><th scope="col">"What"</th><th scope="col">"Where"</th><th scope="col">"Now"</th></tr></thead>
                <tbody>
                    <tr>
                        <th scope="row">"Your notes, and what was predicted"</th>
                        <td>"nowhere: only in the open page, gone when it is closed"</td>
                        <td>"nothing"</td>
                    </tr>
                    <tr>
                        <th scope="row">"Models"</th>
                        <td>"the browser's private files of this page (OPFS)"</td>
                        <td>{models}</td>
                    </tr>
                    <tr>
                        <th scope="row">"The page and its programs"</th>
                        <td>"the browser's cache, for a start without a network"</td>
                        <td>"a few megabytes"</td>
                    </tr>
                    <tr>
                        <th scope="row">"Your judgements of outcomes"</th>
                        <td>"the browser's small store of this page (localStorage)"</td>
                        <td>{judged}</td>
                    </tr>
                </tbody>
            </table>
        </div>
        <Collected page />
        <Install />
        <div class="row">
            <Show when=move || is_asked.get() fallback=move || view! {
                <button type="button" id="erase-all" class="quiet" on:click=move |_| is_asked.set(true)>
                    "Erase everything this page keeps"
                </button>
            }>
                <span>"Models have to be loaded again afterwards, and judgements are gone. Erase?"</span>
                <button type="button" id="erase-yes" on:click=erase>"Yes, erase everything"</button>
                <button type="button" class="quiet" on:click=move |_| is_asked.set(false)>"Keep it"</button>
            </Show>
        </div>
    }
}

/// Removes the page's own files and its service worker; the browser makes both anew at the next visit.
async fn erase_shell() {
    let window = window();
    let caches = js_sys::Reflect::get(&window, &"caches".into()).unwrap_or(JsValue::UNDEFINED);
    if let Ok(delete) = js_sys::Reflect::get(&caches, &"delete".into())
        && let Some(delete) = delete.dyn_ref::<js_sys::Function>()
        && let Ok(promise) = delete.call1(&caches, &CACHE.into())
    {
        let _ = JsFuture::from(js_sys::Promise::from(promise)).await;
    }
    let navigator = window.navigator();
    // Absent where the page does not come over a secure connection.
    if js_sys::Reflect::has(&navigator, &"serviceWorker".into()).unwrap_or(false)
        && let Ok(list) = JsFuture::from(navigator.service_worker().get_registrations()).await
    {
        for registration in js_sys::Array::from(&list) {
            if let Ok(promise) = registration.unchecked_into::<ServiceWorkerRegistration>().unregister() {
                let _ = JsFuture::from(promise).await;
            }
        }
    }
}

/// How the page becomes an app of its own.
#[component]
fn Install() -> impl IntoView {
    let offer = RwSignal::new_local(None::<web_sys::Event>);
    let handle = window_event_listener_untyped("beforeinstallprompt", move |event| {
        // Otherwise the browser would ask on its own.
        event.prevent_default();
        offer.set(Some(event));
    });
    on_cleanup(move || handle.remove());
    let install = move |_| {
        if let Some(event) = offer.get_untracked()
            && let Ok(prompt) = js_sys::Reflect::get(&event, &"prompt".into())
            && let Some(prompt) = prompt.dyn_ref::<js_sys::Function>()
        {
            // The browser asks the reader; both answers are good.
            let _ = prompt.call0(&event);
            offer.set(None);
        }
    };
    view! {
        <p>
            "Once a model is loaded, the page starts and computes without a network. It can also be installed like a program: in the \
             browser's menu choose Install, or Add to Home Screen."
        </p>
        <Show when=move || offer.with(Option::is_some)>
            <button type="button" id="install" class="quiet" on:click=install>"Install"</button>
        </Show>
    }
}
