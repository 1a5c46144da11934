//! Folders of Hugging Face: bases and adapters, read from and written to disk.

pub mod adapter;
pub mod base;
pub(crate) mod bundle;
mod pytorch;
