//! Native tests, one file a subject.

mod methods; // adapters of every method against Python PEFT, and their contract
mod methods_files; // their folders: refusals, encoders, and Python PEFT reading ours
mod parity; // numbers of Hugging Face Transformers and PEFT
