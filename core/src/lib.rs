//! The LoRA-stacked LLaMA of Clinlora: one definition of the model, its adapters, weights, tokenizer and tasks.
//!
//! Reading order: [`model::llama`] is the network, [`linear`] the one layer adapters sit on, [`peft::lora`] what sits
//! there, [`peft::stack`] how several do. [`weights`] fills a model, [`params`] walks it, [`peft::store`] reads and
//! writes adapters as Hugging Face PEFT does. [`quant`] packs weights, [`weights::bundle`] ships them, and [`engine`] runs
//! what was shipped, natively and in a browser.
//!
//! The crate names no concrete backend and does no input or output: callers hand it bytes and a Burn device. That is
//! what lets it run in a browser.
//!
//! Dimension letters: `B` batch, `T` tokens, `D` model, `H` heads, `K` key/value heads, `E` head width, `F`
//! feed-forward width, `V` vocabulary, `R` rank.

pub mod config;
pub mod engine;
pub mod error;
pub mod explain;
pub mod linear;
pub mod model;
pub mod params;
pub mod peft;
pub mod probability;
pub mod quant;
pub mod task;
pub mod tokenizer;
pub mod weights;

pub use error::Error;
