//! `clinlora`: the command line.

use std::process::ExitCode;

use clap::Parser;
use clinlora::cli::{Cli, Command};
use clinlora::commands;

fn main() -> ExitCode {
    let Cli { command, common } = Cli::parse();
    let result = match command {
        Command::Demo(args) => commands::demo::run(&args, &common),
        Command::Prepare(args) => commands::prepare::run(&args, &common),
        Command::Pretrain(args) => commands::pretrain::run(&args, &common),
        Command::Finetune(args) => commands::finetune::run(&args, &common),
        Command::Evaluate(args) => commands::evaluate::run(&args, &common),
        Command::Predict(args) => commands::predict::run(&args, &common),
        Command::Perplexity(args) => commands::perplexity::run(&args, &common),
        Command::Params(args) => commands::params::run(&args),
        Command::Merge(args) => commands::merge::run(&args, &common),
        Command::Inspect(args) => commands::inspect::run(&args, &common),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
