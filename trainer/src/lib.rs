//! The `clinlora` program as a library, for its own `main` and for tests.
//!
//! [`commands`] is what the program does, one file a command. They stand on [`recipe`]s, on [`mimic`], which makes data
//! sets from raw tables, on the [`folders`] of Hugging Face, on [`dataset`]s, on [`training`], on evaluation and on the
//! search for hyper-parameters.

pub mod cli;
mod cohort;
pub mod commands;
pub mod console;
pub mod dataset;
mod device;
pub mod error;
mod eval;
mod files;
pub mod folders;
pub mod mimic;
pub mod recipe;
mod search;
pub mod training;
