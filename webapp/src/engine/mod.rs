//! Loading and running a bundle. Reading order: [`protocol`] is what is asked and answered, [`shards`] what has to be
//! fetched, [`download`] how one shard arrives, [`ledger`] how finished ones are remembered, [`choice`] where to compute.

pub mod choice;
#[cfg(target_arch = "wasm32")]
pub mod client;
#[cfg(target_arch = "wasm32")]
pub mod constructors;
pub mod download;
pub mod ledger;
pub mod protocol;
pub mod shards;
