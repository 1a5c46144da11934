//! `cargo xtask VERB`: what a person types to set up, test and check the workspace.

mod setup;
mod shell;
mod suites;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask test     every suite, native and wasm, installing what is missing first
cargo xtask check    formatting, lints (native and wasm), each feature by itself, licences";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["test"] => suites::test(),
        ["check"] => suites::check(),
        [] | ["help" | "--help" | "-h"] => {
            println!("{HELP}");
            Ok(())
        }
        other => Err(format!("no such verb: {}\n\n{HELP}", other.join(" "))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}
