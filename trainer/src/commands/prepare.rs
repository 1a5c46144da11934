//! `clinlora prepare`.

use super::print_json;
use crate::cli::{Common, Prepare, PrepareNotes, PrepareTasks, PrepareWhat};
use crate::error::Result;
use crate::mimic::{NoteOptions, TaskOptions, prepare_notes, prepare_tasks};
use crate::training::interrupt;

/// Makes task sets or pretraining notes from raw tables, and prints how many rows each stage let through.
///
/// # Errors
/// [`crate::error::Error`] for tables that cannot be used; nothing is written then.
pub fn run(args: &Prepare, common: &Common) -> Result<()> {
    interrupt::listen();
    match &args.what {
        PrepareWhat::Tasks(args) => tasks(args, common),
        PrepareWhat::Notes(args) => notes(args, common),
    }
}

fn tasks(args: &PrepareTasks, common: &Common) -> Result<()> {
    let report = prepare_tasks(&TaskOptions {
        mimic3: args.mimic3.clone(),
        out: args.out.clone(),
        splits: args.splits.clone(),
        pmv_labels: args.pmv_labels.clone(),
        skip_bad_rows: args.skip_bad_rows,
        overwrite: args.overwrite,
    })?;
    if common.json {
        return print_json(&report);
    }
    println!("{}\n{}", report.table(), report.out.display());
    Ok(())
}

fn notes(args: &PrepareNotes, common: &Common) -> Result<()> {
    let report = prepare_notes(&NoteOptions {
        mimic4_note: args.mimic4_note.clone(),
        out: args.out.clone(),
        tokenizer: args.tokenizer.clone(),
        max_tokens: args.max_tokens as usize,
        split: args.split,
        packing: args.packing,
        skip_bad_rows: args.skip_bad_rows,
        overwrite: args.overwrite,
    })?;
    if common.json {
        return print_json(&report);
    }
    println!("{}\n{}", report.table(), report.out.display());
    Ok(())
}
