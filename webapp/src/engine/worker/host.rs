//! The worker's surroundings: messages to the page, the clock, pauses, stopping, and the last words of a panic.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use clinlora_webapp::engine::protocol::{Asked, Event, Failure, Reply, Request};
use js_sys::{Array, Promise, Reflect};
use wasm_bindgen::prelude::*;
use web_sys::{AbortController, AbortSignal, DedicatedWorkerGlobalScope, File, PerformanceEntry};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(callback: &js_sys::Function, wait_ms: u32) -> JsValue;

    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    pub(crate) fn now_ms() -> f64;
}

pub(crate) fn scope() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}

/// Tells the page.
pub(crate) fn send(id: u64, event: Event) {
    let json = serde_json::to_string(&Reply { id, event }).expect("messages are JSON");
    // It fails only for what cannot be copied, and a string can.
    let _ = scope().post_message(&json.into());
}

/// A request, and the files that came with it under their paths.
pub(crate) fn receive(message: &JsValue) -> Result<(Request, Vec<(String, File)>), String> {
    let field = |name: &str| Reflect::get(message, &name.into()).unwrap_or(JsValue::UNDEFINED);
    let json = field("json").as_string().ok_or("a message without json")?;
    let request = serde_json::from_str(&json).map_err(|e| e.to_string())?;
    let list = |name: &str| field(name).dyn_into::<Array>().map(|a| a.to_vec()).unwrap_or_default();
    let paths = list("paths").into_iter().filter_map(|path| path.as_string());
    let files = list("files").into_iter().filter_map(|file| file.dyn_into::<File>().ok());
    Ok((request, paths.zip(files).collect()))
}

/// How many requests the browser shall record; its own number, 250, is less than the shards of a large bundle.
const RECORDED: u32 = 100_000;

/// Has the browser record every request of this worker.
pub(crate) fn record_requests() {
    if let Some(performance) = scope().performance() {
        performance.set_resource_timing_buffer_size(RECORDED);
    }
}

/// What the browser recorded.
pub(crate) fn asked() -> Vec<Asked> {
    let Some(performance) = scope().performance() else { return Vec::new() };
    let entries = performance.get_entries_by_type("resource").to_vec();
    let entries = entries.into_iter().map(|entry| entry.unchecked_into::<PerformanceEntry>());
    entries
        .map(|entry| Asked { address: entry.name(), time_ms: performance.time_origin() + entry.start_time() })
        .collect()
}

/// What JavaScript threw, in words: the name of the exception and its message.
pub(crate) fn words(error: &JsValue) -> String {
    let field = |name: &str| Reflect::get(error, &name.into()).ok().and_then(|value| value.as_string());
    match (field("name"), field("message")) {
        (Some(name), Some(message)) => format!("{name}: {message}"),
        _ => error.as_string().unwrap_or_else(|| "an unknown error".to_owned()),
    }
}

/// Whether JavaScript threw an exception of this name.
pub(crate) fn is_called(error: &JsValue, name: &str) -> bool {
    Reflect::get(error, &"name".into()).ok().and_then(|value| value.as_string()).as_deref() == Some(name)
}

/// Lets the event loop go on for at least this long.
pub(crate) async fn pause(wait_ms: u32) {
    let promise = Promise::new(&mut |resolve, _| {
        set_timeout(&resolve, wait_ms);
    });
    // A promise that only a timer resolves is never rejected.
    let _ = promise.await;
}

/// The outcome of `future`, or nothing if it takes longer than this.
pub(crate) async fn within<T>(limit_ms: u32, future: impl Future<Output = T>) -> Option<T> {
    let (mut future, mut limit) = (pin!(future), pin!(pause(limit_ms)));
    poll_fn(|context| {
        if let Poll::Ready(value) = future.as_mut().poll(context) {
            return Poll::Ready(Some(value));
        }
        limit.as_mut().poll(context).map(|()| None)
    })
    .await
}

/// Runs all futures side by side until every one has ended.
pub(crate) async fn together<'a>(mut futures: Vec<Pin<Box<dyn Future<Output = ()> + 'a>>>) {
    poll_fn(|context| {
        futures.retain_mut(|future| future.as_mut().poll(context).is_pending());
        if futures.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// The page's means to stop one request. Clones are one.
#[derive(Clone)]
pub(crate) struct Stop {
    stopped: Rc<Cell<bool>>,
    abort: AbortController,
}

impl Stop {
    pub(crate) fn new() -> Self {
        let abort = AbortController::new().expect("every browser with workers has it");
        Self { stopped: Rc::default(), abort }
    }

    pub(crate) fn stop(&self) {
        self.stopped.set(true);
        self.abort.abort();
    }

    /// Aborts what a request has asked of the network.
    pub(crate) fn signal(&self) -> AbortSignal {
        self.abort.signal()
    }

    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.stopped.get() { Err(Failure::Cancelled) } else { Ok(()) }
    }

    /// A pause that ends early when the request is stopped.
    pub(crate) async fn pause(&self, wait_ms: u32) -> Result<(), Failure> {
        const SLICE_MS: u32 = 100;
        for _ in 0..wait_ms.div_ceil(SLICE_MS) {
            self.check()?;
            pause(SLICE_MS).await;
        }
        self.check()
    }
}

/// Has a panic tell the page before the program ends: the page starts another worker, which finds the store sound.
pub(crate) fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let reason = panic.to_string();
        web_sys::console::error_1(&reason.as_str().into());
        send(0, Event::Failed(Failure::Crashed { reason }));
    }));
}
