//! Parameter-efficient fine-tuning: adapters beside a base that never changes.
//!
//! | method | file | paper |
//! |---|---|---|
//! | LoRA | [`lora`] | Hu et al. 2021, arXiv 2106.09685 |
//!
//! [`stack`] puts named adapters on a model and takes them off; [`store`] reads and writes PEFT's folders.

pub mod lora;
pub mod stack;
pub mod store;
