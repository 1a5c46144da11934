//! How a request stands: a bar with a way to stop it, or what went wrong with a way to try again.

use clinlora_webapp::engine::protocol::Failure;
use leptos::prelude::*;

use super::state::Status;
use super::words::explained;

/// Nothing once it is done.
pub(crate) fn standing(
    name: &'static str,
    status: &Status,
    stop: impl Fn() + 'static,
    again: impl Fn() + 'static,
) -> Option<AnyView> {
    match status {
        Status::Done => None,
        Status::Running(share) => Some(
            view! {
                <div class="standing">
                    <progress aria-label=name max="1" value=*share></progress>
                    <button type="button" class="quiet stop" on:click=move |_| stop()>"Stop"</button>
                </div>
            }
            .into_any(),
        ),
        Status::Failed(failure) => {
            let told = explained(failure);
            let class = if *failure == Failure::Cancelled { "soft" } else { "problem" };
            Some(
                view! {
                    <div class="standing">
                        <p class=class role="alert">{told.title}": "{told.what}" "{told.advice}</p>
                        <button type="button" class="quiet again" on:click=move |_| again()>"Compute it again"</button>
                    </div>
                }
                .into_any(),
            )
        }
    }
}
