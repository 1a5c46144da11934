//! What the page and its worker share: the messages between them, and how a bundle gets onto this machine; and what the page
//! knows without a browser.
//!
//! Two programs are built from this package. The page (`main.rs`) draws and asks; the worker (`engine/worker/`) owns the
//! model, the store and the device, and answers. They share only [`engine::protocol`], so the page links neither the
//! model nor a backend and shows at once.
//!
//! Everything here is plain Rust without a browser: it is tested natively, and the glue around it stays thin. Reading order:
//! [`about`] is what a bundle says of itself, [`risk`] and [`operating`] put its numbers into words, [`note`] is what is read,
//! [`codes`] are lists of diagnoses and procedures, [`out`] and [`feedback`] what is exported and kept,
//! [`samples`] notes to try; [`reasons`] are what drove an outcome, [`trial`] is what-if changes with a way back, [`compare`] sets
//! predictions beside each other; [`policy`] is what the browser forbids the page.

pub mod about;
pub mod codes;
pub mod compare;
pub mod engine;
pub mod feedback;
pub mod marks;
pub mod note;
pub mod operating;
pub mod out;
pub mod policy;
pub mod reasons;
pub mod risk;
pub mod samples;
pub mod trial;
