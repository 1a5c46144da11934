//! The command line as people and scripts meet it: the real program, run as a process.
//!
//! A target of the package `clinlora`, because only there Cargo names the built program (`CARGO_BIN_EXE_clinlora`); the
//! files stand here with the other tests.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod audit; // the audit log and the model card of what was made
mod broken_files; // checkpoints, adapters and tokenizers that cannot be used
mod broken_input; // notes, tables, recipes and folders that cannot be used
mod bundle; // quantised bundles: export, predict, inspect, and their damages
mod closed_site; // no network: in the dependencies, in a namespace without one, under a filter that kills
mod crash; // kills at exact system calls and at random moments
mod dynamics; // what run.jsonl says of schedules, accumulation, clipping, selection, divergence
mod event_files; // TensorBoard's files, read as another program would
mod features; // what a frozen base makes of the notes, kept and found again
mod interruption; // signals, kills and full disks, and resuming from them
mod journey; // pretrain, finetune, evaluate, predict, perplexity, merge, inspect, params
mod locks; // two processes, stale locks, locks of another host
mod methods; // every PEFT method, and a BERT, through the commands
mod mtsamples; // the shipped recipes on real transcriptions, shortened
mod planning; // what plan and bench foretell and measure
mod program; // runs the program; notes, recipes and trained folders to start from
mod progress; // what is said while something takes its time
#[cfg(feature = "mpi")]
mod ranks; // two processes that train together
mod reproduce; // the paper's Table 2, continued, refused and begun anew
mod reproduce_grid; // Tables 1, 3 and 4: killed, continued, with what cannot be computed
mod runs; // runs compared, in the terminal and on a page
mod search; // hyper-parameters: trials, the shared journal, kills, refusals
mod variants; // the six downstream variants, rates of their own, the switches of the authors' code
