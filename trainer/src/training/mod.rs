//! Training: [`run`] is the loop, [`step`] one update, [`objective`] what is minimised.

pub mod adamw;
pub(crate) mod checkpoint;
pub(crate) mod floor;
pub(crate) mod interrupt;
pub(crate) mod log;
pub mod objective;
pub(crate) mod products;
pub(crate) mod progress;
pub mod ranks;
pub(crate) mod run;
pub mod schedule;
pub mod step;
mod tensorboard;
