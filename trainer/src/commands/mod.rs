//! What the program does, one file a command.

pub mod cohort;
pub mod demo;
pub mod evaluate;
pub mod finetune;
pub mod inspect;
pub mod merge;
pub mod params;
pub mod perplexity;
pub mod predict;
pub mod prepare;
pub mod pretrain;
pub mod reproduce;
mod stack;

use clinlora_core::params::Walk;
use clinlora_core::peft::stack::{ParamGroup, report};
use serde::Serialize;

use crate::cli::Train;
use crate::console;
use crate::error::Result;

/// Prints one JSON object as a line of stdout.
fn print_json(value: &impl Serialize) -> Result<()> {
    console::result(serde_json::to_string(value).expect("results serialise"))
}

/// How a training command goes about its run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunOptions<'a> {
    /// What progress is called.
    title: &'a str,
    /// Continue an interrupted run.
    resume: bool,
    /// Replace an older run.
    overwrite: bool,
    /// Say only how far the run is: it is one of many.
    brief: bool,
}

impl<'a> RunOptions<'a> {
    fn of(args: &Train, title: &'a str) -> Self {
        Self { title, resume: args.resume, overwrite: args.overwrite, brief: false }
    }

    /// A new run, one of many.
    fn anew(title: &'a str) -> Self {
        Self { title, resume: false, overwrite: false, brief: true }
    }
}

/// Prints what a run will change and what not, unless it is to be `brief`; returns the number of trainable values.
fn print_report(model: &mut dyn Walk, brief: bool) -> usize {
    let groups = report(model);
    let trainable: usize = groups.iter().filter(|g| g.trainable).map(|g| g.values).sum();
    if brief {
        return trainable;
    }
    let width = groups.iter().map(|g| g.tensors.len()).max().unwrap_or_default();
    let owner_width = groups.iter().map(|g| g.owner.len()).max().unwrap_or_default();
    for ParamGroup { owner, tensors, count, values, trainable } in &groups {
        let state = if *trainable { "trained" } else { "frozen" };
        console::note(format_args!(
            "  {owner:owner_width$}  {tensors:width$}  {count:4} x  {values:>13}  {state}"
        ));
    }
    let total: usize = groups.iter().map(|g| g.values).sum();
    #[expect(clippy::cast_precision_loss, reason = "a percentage to print")]
    let percent = 100.0 * trainable as f64 / total as f64;
    console::note(format_args!("  {trainable} of {total} values trained ({percent:.4} %)"));
    trainable
}
