//! The command line as people and scripts meet it: the real program, run as a process.
//!
//! A target of the package `clinlora`, because only there Cargo names the built program (`CARGO_BIN_EXE_clinlora`); the
//! files stand here with the other tests.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod broken_files; // checkpoints, adapters and tokenizers that cannot be used
mod broken_input; // notes, tables, recipes and folders that cannot be used
mod dynamics; // what run.jsonl says of schedules, accumulation, clipping, selection, divergence
mod interruption; // signals, kills and full disks, and resuming from them
mod journey; // pretrain, finetune, evaluate, predict, perplexity, merge, inspect, params
mod methods; // every PEFT method, and a BERT, through the commands
mod mtsamples; // the shipped recipes on real transcriptions, shortened
mod program; // runs the program; notes, recipes and trained folders to start from
mod reproduce; // the paper's Table 2, continued, refused and begun anew
mod search; // hyper-parameters: trials, the shared journal, kills, refusals
