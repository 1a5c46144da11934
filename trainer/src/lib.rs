//! The `clinlora` program as a library, for its own `main` and for tests.
//!
//! [`commands`] is what the program does, one file a command. They stand on [`recipe`]s, on [`mimic`], which makes data
//! sets from raw tables, on the [`folders`] of Hugging Face, on [`dataset`]s, on [`training`], on evaluation and on the
//! search for hyper-parameters.

mod audit;
pub mod cli;
mod cohort;
pub mod commands;
pub mod console;
pub mod dataset;
mod device;
pub mod error;
mod eval;
mod export;
mod features;
mod files;
pub mod folders;
pub mod mimic;
mod model_card;
mod plan;
mod process;
pub mod recipe;
mod report;
mod search;
pub mod training;
