//! The `clinlora` program as a library, for its own `main` and for tests.
//!
//! [`commands`] is what the program does, one file a command. They stand on [`recipe`], on the folders of Hugging Face,
//! on data sets, on training and on evaluation.

pub mod cli;
mod cohort;
pub mod commands;
pub mod console;
mod dataset;
mod device;
pub mod error;
mod eval;
mod files;
mod folders;
pub mod recipe;
mod training;
