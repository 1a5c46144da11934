//! Native tests, one file a subject.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bert; // BERT against Transformers and PEFT
mod forms; // number formats, shards and containers of checkpoints
mod hostile; // damaged and hostile weights
mod methods; // adapters of every method against Python PEFT, and their contract
mod methods_files; // their folders: refusals, encoders, and Python PEFT reading ours
mod padding; // a note has the same numbers in any batch
mod parity; // numbers of Hugging Face Transformers and PEFT
mod peft; // the contract every adapter keeps
mod peft_files; // adapter folders read and written
mod pooling; // where a head reads a note
mod program; // running the `clinlora` program
mod tidy; // rules of the house
mod tiny; // golden bases, adapters and notes, loaded
mod tokenizer; // tokenizer.model against tokenizer.json
mod training; // training curves of torch
