//! What the page and its worker share: the messages between them, and how a bundle gets onto this machine; and what the page
//! knows without a browser.
//!
//! Two programs are built from this package. The page (`main.rs`) draws and asks; the worker (`engine/worker/`) owns the
//! model, the store and the device, and answers. They share only [`engine::protocol`], so the page links neither the
//! model nor a backend and shows at once.
//!
//! Everything here is plain Rust without a browser: it is tested natively, and the glue around it stays thin. Reading order:
//! [`about`] is what a bundle says of itself, [`risk`] and [`operating`] put its numbers into words.

pub mod about;
pub mod compare;
pub mod engine;
pub mod marks;
pub mod operating;
pub mod reasons;
pub mod risk;
pub mod samples;
pub mod trial;
