//! What shows that notes stay on this machine, rather than claims it; what is kept, and how it is erased.

mod kept;
mod offline;
mod requests;

use clinlora_webapp::policy::{directives, is_closed};
use leptos::prelude::*;

use super::state::Page;

/// The panel.
#[component]
pub(crate) fn Trust(page: Page) -> impl IntoView {
    let counter = requests::Counter::start(page);
    view! {
        <section class="panel trust" id="trust" aria-labelledby="trust-title">
            <h2 id="trust-title">"Your notes stay on this machine: see for yourself"</h2>
            <div class="proofs">
                <requests::Requests counter />
                <offline::Offline page counter />
            </div>
            <details class="policy">
                <summary>"What the browser forbids this page"</summary>
                <Policy />
            </details>
            <details class="kept" id="kept">
                <summary>"What is kept in this browser, and how to erase it"</summary>
                <kept::Kept page />
            </details>
        </section>
    }
}

/// The content security policy.
#[component]
fn Policy() -> impl IntoView {
    let element = document().query_selector("meta[http-equiv='Content-Security-Policy']").ok().flatten();
    let policy = element.and_then(|element| element.get_attribute("content")).unwrap_or_default();
    let verdict = match is_closed(&policy) {
        true => {
            "The browser lets this page and its programs talk to the server it came from and to nobody else: whatever the \
                 program did, a note could not be sent elsewhere."
        }
        false => "This copy of the page may reach other servers than its own: see the list.",
    };
    let rows = directives(&policy).into_iter().map(|directive| {
        view! {
            <tr>
                <td>{directive.words}</td>
                <td class="technical">{directive.text}</td>
            </tr>
        }
    });
    view! {
        <p>{verdict}</p>
        <div class="scrolls" tabindex="0" role="group" aria-label="Content security policy">
            <table>
                <caption>"The page's content security policy"</caption>
                <thead><tr><th scope="col">"In words"</th><th scope="col">"As written"</th></tr></thead>
                <tbody>{rows.collect::<Vec<_>>()}</tbody>
            </table>
        </div>
    }
}
