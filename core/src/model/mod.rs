//! The networks. A file here knows nothing of adapters, number formats or platforms: linear layers do.

pub mod batch;
pub mod bert;
pub(crate) mod dropout;
pub mod head;
pub mod llama;
pub mod norm;
mod packing;
#[cfg(feature = "autodiff")]
pub mod recompute;
pub mod rope;
