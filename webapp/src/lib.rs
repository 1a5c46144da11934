//! What the page and its worker share: the messages between them, and how a bundle gets onto this machine.
//!
//! Two programs are built from this package. The page (`main.rs`) draws and asks; the worker (`engine/worker/`) owns the
//! model, the store and the device, and answers. They share only [`engine::protocol`], so the page links neither the
//! model nor a backend and shows at once.
//!
//! Everything here is plain Rust without a browser: it is tested natively, and the glue around it stays thin.

pub mod engine;
