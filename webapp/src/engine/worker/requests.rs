//! One request after the other, and what each of them does.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use clinlora_core::weights::bundle::Bundle;
use clinlora_webapp::engine::protocol::{Command, Event, Failure, PROTOCOL, Request, Stored};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::{File, MessageEvent};

use super::host::{Stop, asked, now_ms, receive, scope, send};
use super::model::{Loaded, Wanted};
use super::opening::{Opening, files_of};
use super::store::{Store, delete_everything, space};
use super::why::Why;

/// A request and what belongs to it.
struct Work {
    request: Request,
    files: Vec<(String, File)>,
    stop: Stop,
}

/// The worker's state.
#[derive(Default)]
struct Session {
    waiting: RefCell<VecDeque<Work>>,
    stops: RefCell<BTreeMap<u64, Stop>>,
    is_busy: Cell<bool>,
    loaded: RefCell<Option<Loaded>>,
}

/// Answers messages from now on.
pub(crate) fn listen() {
    let session = Rc::new(Session::default());
    let on_message =
        Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| session.clone().take(&event.data()));
    scope().set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    on_message.forget(); // it lives as long as the worker
    send(0, Event::Ready { protocol: PROTOCOL });
}

impl Session {
    fn take(self: Rc<Self>, message: &JsValue) {
        let (request, files) = match receive(message) {
            Ok(received) => received,
            Err(reason) => return send(0, Event::Failed(Failure::BadMessage { reason })),
        };
        if let Command::Cancel { request: other } = request.command {
            if let Some(stop) = self.stops.borrow().get(&other) {
                stop.stop();
            }
            return send(request.id, Event::Done);
        }
        if request.command == Command::Requests {
            send(request.id, Event::Requests { asked: asked() });
            return send(request.id, Event::Done);
        }
        let stop = Stop::new();
        self.stops.borrow_mut().insert(request.id, stop.clone());
        self.waiting.borrow_mut().push_back(Work { request, files, stop });
        if !self.is_busy.replace(true) {
            spawn_local(self.work());
        }
    }

    async fn work(self: Rc<Self>) {
        loop {
            let next = self.waiting.borrow_mut().pop_front();
            let Some(Work { request, files, stop }) = next else { break };
            let id = request.id;
            let result = match stop.check() {
                Ok(()) => self.serve(request, files, &stop).await,
                Err(cancelled) => Err(cancelled),
            };
            self.stops.borrow_mut().remove(&id);
            send(id, result.map_or_else(Event::Failed, |()| Event::Done));
        }
        self.is_busy.set(false);
    }

    async fn serve(&self, request: Request, files: Vec<(String, File)>, stop: &Stop) -> Result<(), Failure> {
        let id = request.id;
        match request.command {
            Command::Open { bundle, base, device, refresh } => {
                // The old model goes first: the device may not hold two.
                self.unload();
                let opening = Opening { id, stop, refresh };
                let loaded = opening.open(&bundle, base, files, device).await?;
                send(id, Event::Opened(loaded.describe()));
                *self.loaded.borrow_mut() = Some(loaded);
                Ok(())
            }
            Command::Predict { note, tasks, adapters, max_tokens } => {
                let wanted = Wanted { id, note, tasks, adapters, max_tokens, stop, started_ms: now_ms() };
                self.compute(id, &Job::Predict(wanted)).await
            }
            Command::Explain { note, task, label, parts, adapters, max_tokens } => {
                let why = Why { id, note, task, label, parts, adapters, max_tokens, stop };
                self.compute(id, &Job::Explain(why)).await
            }
            Command::CountTokens { note } => {
                let loaded = self.loaded.borrow();
                let loaded = loaded.as_ref().ok_or(Failure::NothingLoaded)?;
                send(id, loaded.count_tokens(&note)?);
                Ok(())
            }
            Command::Storage => storage(id, stop).await,
            Command::Delete { address } => {
                // A loaded model keeps its files open.
                self.unload();
                delete(id, address, stop).await
            }
            Command::Cancel { .. } | Command::Requests => unreachable!("obeyed when it came"),
        }
    }

    /// Computes; if the device is lost meanwhile, loads the model again on another and starts over, once.
    async fn compute(&self, id: u64, job: &Job<'_>) -> Result<(), Failure> {
        let mut loaded = self.loaded.borrow_mut().take().ok_or(Failure::NothingLoaded)?;
        let mut result = job.run(&loaded).await;
        if let Err(Failure::DeviceLost { reason }) = &result {
            send(id, Event::Recovering { reason: reason.clone() });
            loaded = loaded.reload(id).await?;
            result = job.run(&loaded).await;
        }
        if let Err(Failure::DeviceLost { .. } | Failure::OutOfMemory { .. }) = result {
            // What such a device has in its memory is worth nothing: the page opens the bundle again.
            loaded.end();
        } else {
            *self.loaded.borrow_mut() = Some(loaded);
        }
        result
    }

    fn unload(&self) {
        if let Some(loaded) = self.loaded.borrow_mut().take() {
            loaded.end();
        }
    }
}

/// What a loaded model is asked for.
enum Job<'a> {
    Predict(Wanted<'a>),
    Explain(Why<'a>),
}

impl Job<'_> {
    async fn run(&self, loaded: &Loaded) -> Result<(), Failure> {
        match self {
            Self::Predict(wanted) => loaded.predict(wanted).await,
            Self::Explain(why) => loaded.explain(why).await,
        }
    }
}

fn wait_for_other_tab(id: u64) -> impl FnOnce() {
    move || send(id, Event::WaitingForOtherTab)
}

/// Tells what is stored.
async fn storage(id: u64, stop: &Stop) -> Result<(), Failure> {
    let store = Store::open(stop, wait_for_other_tab(id)).await?;
    let mut bundles = Vec::new();
    for (address, manifest) in owned_manifests(&store) {
        let Some(bundle) = stored_bundle(&store, &manifest).await else { continue };
        let (mut bytes, mut present_bytes) = (0, 0);
        for file in files_of(&bundle) {
            bytes += file.bytes;
            if store.ledger().is_finished(&file.sha256) {
                present_bytes += file.bytes;
            }
        }
        bundles.push(Stored { address, manifest_sha256: manifest, bytes, present_bytes });
    }
    let mut bytes = 0;
    for name in store.shard_names().await? {
        bytes += store.shard_bytes(&name).await;
    }
    let quota_bytes = space().await?.quota_bytes;
    send(id, Event::Stored { bundles, bytes, quota_bytes });
    Ok(())
}

/// Deletes one bundle and what no other needs, or everything.
async fn delete(id: u64, address: Option<String>, stop: &Stop) -> Result<(), Failure> {
    let Some(address) = address else { return delete_everything(stop, wait_for_other_tab(id)).await };
    let store = Store::open(stop, wait_for_other_tab(id)).await?;
    store.forget(&address).await?;
    sweep(&store).await
}

/// Removes the shards that no stored manifest names.
pub(crate) async fn sweep(store: &Store) -> Result<(), Failure> {
    let mut needed = BTreeSet::new();
    for (_, manifest) in owned_manifests(store) {
        if let Some(bundle) = stored_bundle(store, &manifest).await {
            needed.extend(files_of(&bundle).into_iter().map(|file| file.sha256));
        }
    }
    for name in store.shard_names().await? {
        if !needed.contains(&name) {
            store.remove_shard(&name).await?;
        }
    }
    Ok(())
}

/// Address and manifest hash of every stored bundle.
pub(crate) fn owned_manifests(store: &Store) -> Vec<(String, String)> {
    let ledger = store.ledger();
    ledger.manifests().map(|(address, manifest)| (address.to_owned(), manifest.to_owned())).collect()
}

/// A stored manifest that is still one.
pub(crate) async fn stored_bundle(store: &Store, manifest: &str) -> Option<Bundle> {
    Bundle::parse(&store.manifest(manifest).await?).ok()
}
