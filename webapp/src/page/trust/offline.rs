//! The check that needs no trust: switch the network off, and run.

use clinlora_webapp::samples::samples;
use leptos::prelude::*;

use super::super::outcomes::SHOWN;
use super::super::state::{Page, Status};
use super::requests::{Counter, now_ms};

/// How the check stands.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Check {
    /// Not begun.
    Idle,
    /// The reader is to switch the network off.
    Begun,
    /// The note is run; since when, and whether the machine has been offline all the time.
    Running { since_ms: f64, was_offline: bool },
    /// Outcomes, requests meanwhile, whether the machine was offline all the time.
    Ended { outcomes: usize, requests: usize, was_offline: bool },
}

/// The check.
#[component]
pub(super) fn Offline(page: Page, counter: Counter) -> impl IntoView {
    let check = RwSignal::new(Check::Idle);
    let is_online = RwSignal::new(window().navigator().on_line());
    let follow = move || {
        let now = window().navigator().on_line();
        is_online.set(now);
        check.update(|check| {
            if let Check::Running { was_offline, .. } = check {
                *was_offline &= !now;
            }
        });
    };
    for event in ["online", "offline"] {
        let handle = window_event_listener_untyped(event, move |_| follow());
        on_cleanup(move || handle.remove());
    }
    let ended = Memo::new(move |_| {
        page.predictions.with(|all| {
            let shown = all.get(&SHOWN)?;
            (!matches!(shown.status, Status::Running(_))).then_some(shown.outcomes.len())
        })
    });
    Effect::new(move |_| {
        let (Some(outcomes), Check::Running { since_ms, .. }) = (ended.get(), check.get_untracked()) else {
            return;
        };
        // The worker's record is asked for once more, so that the count is of the whole run.
        page.ask_requests(move |asked| {
            counter.worker_says(asked);
            if let Check::Running { was_offline, .. } = check.get_untracked() {
                let requests = counter.since(since_ms);
                check.set(Check::Ended { outcomes, requests, was_offline });
                page.announce(said(outcomes, requests, was_offline));
            }
        });
    });
    let run = move |_| {
        if page.note.with_untracked(|note| note.trim().is_empty()) && !samples().is_empty() {
            page.choose_sample(0);
        }
        let was_offline = !window().navigator().on_line();
        page.predict();
        check.set(Check::Running { since_ms: now_ms(), was_offline });
    };
    let connection = move || match is_online.get() {
        true => "The browser says: connected.",
        false => "The browser says: disconnected.",
    };
    let step = move || match check.get() {
        Check::Idle => "idle",
        Check::Begun => "begun",
        Check::Running { .. } => "running",
        Check::Ended { was_offline: true, requests: 0, outcomes: 1.. } => "proved",
        Check::Ended { .. } => "failed",
    };
    let result = move || match check.get() {
        Check::Ended { outcomes, requests, was_offline } => Some(said(outcomes, requests, was_offline)),
        Check::Running { .. } => Some("Running…".to_owned()),
        _ => None,
    };
    let cannot = move || page.model.with(Option::is_none) || matches!(check.get(), Check::Running { .. });
    let which = move || match page.note.with(|note| note.trim().is_empty()) {
        true => "Run a sample note now",
        false => "Run my note now",
    };
    view! {
        <div class="proof" id="offline" data-step=step>
            <h3>"Disconnect and run"</h3>
            <p>"The surest proof: without a network nothing can leave."</p>
            <Show when=move || check.get() == Check::Idle>
                <button type="button" class="quiet" id="offline-begin" on:click=move |_| check.set(Check::Begun)>
                    "Check it"
                </button>
            </Show>
            <Show when=move || check.get() != Check::Idle>
                <ol>
                    <li>
                        "Switch the network off: Wi-Fi off, cable out, or flight mode. "
                        <strong role="status" class:good=move || !is_online.get()>{connection}</strong>
                    </li>
                    <li>
                        <button type="button" id="offline-run" class:primary=move || !is_online.get() disabled=cannot on:click=run>
                            {which}
                        </button>
                        {move || page.model.with(Option::is_none).then_some(" Load the model first.")}
                    </li>
                    <li>"Read what it says here, then switch the network on again."</li>
                </ol>
            </Show>
            <p class="figure-line">{result}</p>
        </div>
    }
}

fn said(outcomes: usize, requests: usize, was_offline: bool) -> String {
    match (outcomes, was_offline) {
        (0, _) => "The note could not be run: see the message beside the outcomes.".to_owned(),
        (_, false) => {
            "It ran, but the browser says that this machine was connected meanwhile, so it proves nothing. Switch the network off \
             and run again. (With virtual network devices browsers do not always notice.)"
                .to_owned()
        }
        (outcomes, true) => {
            format!("It worked offline: {outcomes} outcomes while this machine was disconnected, {requests} requests tried.")
        }
    }
}
