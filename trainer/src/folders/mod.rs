//! Folders of Hugging Face: bases and adapters, read from and written to disk.

pub(crate) mod adapter;
pub(crate) mod base;
mod pytorch;
