//! The worker as the rest of the page sees it: a request, and what to do with its events.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use clinlora_webapp::engine::client::Client;
use clinlora_webapp::engine::protocol::{Command, Event, Reply};
use web_sys::File;

type Handler = Rc<dyn Fn(Event)>;

/// A worker with the requests under way.
pub(crate) struct Engine {
    client: Client,
    handlers: Rc<RefCell<HashMap<u64, Handler>>>,
}

impl Engine {
    /// Starts the worker. `on_other` gets what belongs to no request: that the worker has died.
    pub(crate) fn start(on_other: impl Fn(Event) + 'static) -> Self {
        let handlers = Rc::new(RefCell::new(HashMap::<u64, Handler>::new()));
        let registered = handlers.clone();
        let client = Client::start(move |Reply { id, event }| {
            let is_last = matches!(event, Event::Done | Event::Failed(_));
            // Taken out before it is called: a handler may send the next request.
            let handler = match is_last {
                true => registered.borrow_mut().remove(&id),
                false => registered.borrow().get(&id).cloned(),
            };
            match handler {
                Some(handler) => handler(event),
                None if id == 0 => on_other(event),
                None => {}
            }
        });
        Self { client, handlers }
    }

    /// Sends a request; `on_event` gets all of its events, the last of which is `Done` or `Failed`.
    pub(crate) fn send(
        &self,
        command: Command,
        files: &[(String, File)],
        on_event: impl Fn(Event) + 'static,
    ) -> u64 {
        let id = self.client.send(command, files);
        self.handlers.borrow_mut().insert(id, Rc::new(on_event));
        id
    }

    /// Stops a request. Its last event still comes.
    pub(crate) fn cancel(&self, request: u64) {
        self.client.send(Command::Cancel { request }, &[]);
    }
}
