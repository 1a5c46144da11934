//! What the program does, one file a command.

pub mod audit;
pub mod bench;
pub mod cohort;
pub mod demo;
pub mod evaluate;
pub mod export;
pub mod finetune;
pub mod inspect;
pub mod merge;
pub mod params;
pub mod perplexity;
pub mod plan;
pub mod predict;
pub mod prepare;
pub mod pretrain;
mod recipe_run;
pub mod reproduce;
pub mod runs;
pub mod search;
#[cfg(test)]
mod shipped_recipes;
pub(crate) mod stack;

use serde::Serialize;

use crate::console;
use crate::error::Result;

/// Prints one JSON object as a line of stdout.
fn print_json(value: &impl Serialize) -> Result<()> {
    console::result(serde_json::to_string(value).expect("results serialise"))
}
