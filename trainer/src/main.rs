//! `clinlora`: the command line.

use std::process::ExitCode;

use clap::Parser;
use clinlora::cli::{Cli, Command, Common};
use clinlora::error::Result;
use clinlora::{commands, console};

fn main() -> ExitCode {
    let Cli { command, common } = Cli::parse();
    // A panic has been told on stderr by then; it is a bug, and "anything else" of the exit statuses.
    let Ok(result) = std::panic::catch_unwind(|| run(command, &common)) else {
        let bug = Err(clinlora::error::Error::Ranks("stopped by a bug".to_owned()));
        clinlora::training::ranks::leave(&bug);
        return ExitCode::FAILURE;
    };
    clinlora::training::ranks::leave(&result);
    match result {
        Err(error) if !error.is_closed_stdout() => {
            console::error(format_args!("error: {error}"));
            ExitCode::from(error.exit_code())
        }
        _ => ExitCode::SUCCESS,
    }
}

fn run(command: Command, common: &Common) -> Result<()> {
    match command {
        Command::Demo(args) => commands::demo::run(&args, common),
        Command::Prepare(args) => commands::prepare::run(&args, common),
        Command::Cohort(args) => commands::cohort::run(&args, common),
        Command::Pretrain(args) => commands::pretrain::run(&args, common),
        Command::Finetune(args) => commands::finetune::run(&args, common),
        Command::Evaluate(args) => commands::evaluate::run(&args, common),
        Command::Predict(args) => commands::predict::run(&args, common),
        Command::Export(args) => commands::export::run(&args, common),
        Command::Perplexity(args) => commands::perplexity::run(&args, common),
        Command::Params(args) => commands::params::run(&args),
        Command::Plan(args) => commands::plan::run(&args, common),
        Command::Bench(args) => commands::bench::run(&args, common),
        Command::Search(args) => commands::search::run(&args, common),
        Command::Reproduce(args) => commands::reproduce::run(&args, common),
        Command::Merge(args) => commands::merge::run(&args, common),
        Command::Inspect(args) => commands::inspect::run(&args, common),
        Command::Runs(args) => commands::runs::run(&args, common),
        Command::Audit(args) => commands::audit::run(&args, common),
    }
}
