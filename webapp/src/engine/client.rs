//! The page's end of the protocol: starts the worker, numbers the requests, and starts another worker when one has died.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use js_sys::{Array, Object, Reflect};
use wasm_bindgen::prelude::*;
use web_sys::{ErrorEvent, File, MessageEvent, Worker, WorkerOptions, WorkerType};

use super::protocol::{Command, Event, Failure, PROTOCOL, Reply, Request};

/// The worker's loader, beside the page.
const WORKER: &str = "./worker_loader.js";

/// A handle of the worker. Clones are one.
#[derive(Clone)]
pub struct Client {
    inner: Rc<Inner>,
}

struct Inner {
    worker: RefCell<Option<Worker>>,
    is_ready: Cell<bool>,
    /// Messages from before the worker was ready.
    early: RefCell<Vec<JsValue>>,
    open: RefCell<BTreeSet<u64>>,
    last_id: Cell<u64>,
    on_reply: Box<dyn Fn(Reply)>,
}

impl Client {
    /// Starts a worker; `on_reply` gets every answer.
    pub fn start(on_reply: impl Fn(Reply) + 'static) -> Self {
        let inner = Inner {
            worker: RefCell::default(),
            is_ready: Cell::default(),
            early: RefCell::default(),
            open: RefCell::default(),
            last_id: Cell::default(),
            on_reply: Box::new(on_reply),
        };
        let client = Self { inner: Rc::new(inner) };
        client.start_worker();
        client
    }

    /// Sends a request and returns its id.
    pub fn send(&self, command: Command, files: &[(String, File)]) -> u64 {
        let inner = &self.inner;
        let id = inner.last_id.get() + 1;
        inner.last_id.set(id);
        inner.open.borrow_mut().insert(id);
        let message = message(&Request { id, command }, files);
        match (&*inner.worker.borrow(), inner.is_ready.get()) {
            (Some(worker), true) => post(worker, &message),
            _ => inner.early.borrow_mut().push(message),
        }
        id
    }

    fn start_worker(&self) {
        let options = WorkerOptions::new();
        options.set_type(WorkerType::Module);
        let worker = match Worker::new_with_options(WORKER, &options) {
            Ok(worker) => worker,
            Err(_) => return self.give_up("the browser starts no worker"),
        };
        let client = self.clone();
        let on_message = Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| {
            client.receive(&event.data());
        });
        worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        let client = self.clone();
        let on_error = Closure::<dyn Fn(ErrorEvent)>::new(move |event: ErrorEvent| {
            client.crashed(&event.message());
        });
        worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        // They live as long as the page: workers are started rarely.
        on_message.forget();
        on_error.forget();
        self.inner.is_ready.set(false);
        *self.inner.worker.borrow_mut() = Some(worker);
    }

    fn receive(&self, data: &JsValue) {
        let inner = &self.inner;
        let reply = data.as_string().and_then(|json| serde_json::from_str::<Reply>(&json).ok());
        match reply {
            Some(Reply { event: Event::Ready { protocol: PROTOCOL }, .. }) => {
                inner.is_ready.set(true);
                let early = std::mem::take(&mut *inner.early.borrow_mut());
                if let Some(worker) = &*inner.worker.borrow() {
                    early.iter().for_each(|message| post(worker, message));
                }
            }
            Some(Reply { event: Event::Failed(Failure::Crashed { reason }), .. }) => self.crashed(&reason),
            Some(reply) if !matches!(reply.event, Event::Ready { .. }) => {
                if matches!(reply.event, Event::Done | Event::Failed(_)) {
                    inner.open.borrow_mut().remove(&reply.id);
                }
                (inner.on_reply)(reply);
            }
            _ => self.give_up("the page and its worker are not of one version; reload the page"),
        }
    }

    /// Ends the worker and starts another: what is stored is sound, what was loaded is gone.
    fn crashed(&self, reason: &str) {
        let had_started = self.inner.is_ready.get();
        self.give_up(reason);
        // One that dies while starting would do so again.
        if had_started {
            self.start_worker();
        }
    }

    fn give_up(&self, reason: &str) {
        if let Some(worker) = self.inner.worker.borrow_mut().take() {
            worker.set_onmessage(None);
            worker.set_onerror(None);
            worker.terminate();
        }
        self.inner.is_ready.set(false);
        let mut lost: Vec<u64> = std::mem::take(&mut *self.inner.open.borrow_mut()).into_iter().collect();
        // Even with nothing under way the page must know that nothing is loaded any more.
        lost.push(0);
        for id in lost {
            let event = Event::Failed(Failure::Crashed { reason: reason.to_owned() });
            (self.inner.on_reply)(Reply { id, event });
        }
    }
}

fn message(request: &Request, files: &[(String, File)]) -> JsValue {
    let json = serde_json::to_string(request).expect("messages are JSON");
    let (paths, contents) = (Array::new(), Array::new());
    for (path, file) in files {
        paths.push(&path.as_str().into());
        contents.push(file);
    }
    let message = Object::new();
    for (name, value) in [("json", json.into()), ("paths", paths.into()), ("files", contents.into())] {
        Reflect::set(&message, &name.into(), &value).expect("a fresh object takes any field");
    }
    message.into()
}

fn post(worker: &Worker, message: &JsValue) {
    worker.post_message(message).expect("strings and files can be copied");
}
