//! Native tests, one file a subject.

mod parity; // numbers of Hugging Face Transformers and PEFT
