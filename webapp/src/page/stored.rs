//! What the browser keeps for this page, and what the worker has asked of the network.

use clinlora_webapp::engine::protocol::{Asked, Command, Event};
use leptos::prelude::*;

use super::state::{Page, Phase, Storage};

impl Page {
    /// Asks what the browser keeps.
    pub(crate) fn look_at_storage(self) {
        self.look_at_storage_then(|| {});
    }

    /// Asks what the browser keeps, and goes on when that is known, or that nothing can be known.
    pub(crate) fn look_at_storage_then(self, then: impl Fn() + 'static) {
        self.send(Command::Storage, &[], move |event| match event {
            Event::Stored { bundles, bytes, quota_bytes } => {
                self.stored.set(Some(Storage { bundles, bytes, quota_bytes }));
            }
            Event::Done | Event::Failed(_) => then(),
            _ => {}
        });
    }

    /// Asks what the worker has asked the network for.
    pub(crate) fn ask_requests(self, then: impl Fn(Vec<Asked>) + 'static) {
        self.send(Command::Requests, &[], move |event| {
            if let Event::Requests { asked } = event {
                then(asked);
            }
        });
    }

    /// Deletes a stored bundle, or everything. The model is unloaded: it keeps its files open.
    pub(crate) fn delete(self, address: Option<String>) {
        self.forget_predictions();
        self.model.set(None);
        self.phase.set(Phase::Looking);
        self.send(Command::Delete { address }, &[], move |event| match event {
            Event::Done => {
                self.announce("Deleted from this browser.");
                self.look();
            }
            Event::Failed(failure) => self.phase.set(Phase::Failed(failure)),
            _ => {}
        });
    }
}
