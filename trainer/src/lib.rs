//! The `clinlora` program as a library, for its own `main` and for tests.
//!
//! [`commands`] is what the program does, one file a command. They stand on [`recipe`]s, on [`mimic`], which makes data
//! sets from raw tables, on the [`folders`] of Hugging Face, on [`dataset`]s, on [`training`] and on evaluation.

pub mod cli;
mod cohort;
pub mod commands;
pub mod console;
pub mod dataset;
mod device;
pub mod error;
mod eval;
mod features;
mod files;
pub mod folders;
pub mod mimic;
pub mod recipe;
mod report;
pub mod training;
