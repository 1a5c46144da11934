//! The worker: owns the store, the device and the model, and answers the page (see `protocol.rs`).
//!
//! Reading order: `requests` takes one request after the other; `load` brings a bundle from a `source` into the `store`;
//! `device` finds where to compute; `model` predicts, `why` explains.

#[cfg(target_arch = "wasm32")]
mod device;
#[cfg(target_arch = "wasm32")]
mod host;
#[cfg(target_arch = "wasm32")]
mod load;
#[cfg(target_arch = "wasm32")]
mod model;
#[cfg(target_arch = "wasm32")]
mod opening;
#[cfg(target_arch = "wasm32")]
mod requests;
#[cfg(target_arch = "wasm32")]
mod source;
#[cfg(target_arch = "wasm32")]
mod store;
#[cfg(target_arch = "wasm32")]
mod why;

#[cfg(target_arch = "wasm32")]
fn main() {
    clinlora_webapp::engine::constructors::run_constructors();
    host::report_panics();
    host::record_requests();
    requests::listen();
}

/// The worker runs in a browser only; a native build exists so that the workspace compiles as one.
#[cfg(not(target_arch = "wasm32"))]
fn main() {}
