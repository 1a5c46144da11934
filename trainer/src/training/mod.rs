//! Training: [`run`] is the loop, [`step`] one update, [`objective`] what is minimised.

pub(crate) mod adamw;
pub(crate) mod checkpoint;
pub(crate) mod interrupt;
pub(crate) mod objective;
pub(crate) mod progress;
pub(crate) mod run;
pub(crate) mod schedule;
pub(crate) mod step;
