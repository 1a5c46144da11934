//! `cargo xtask VERB`: what a person types to set up, test and check the workspace.

mod bundles;
mod page;
mod server;
mod setup;
mod shell;
mod suites;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask test     the suites, native and wasm, installing what is missing first
cargo xtask browser  the page in headless Chromium, long on a software GPU; what follows goes to Playwright, such as a file's name
cargo xtask serve    builds the page and serves it, with a bundle of the demo, on this machine only
                     [--demo DIR] folder of `clinlora demo`, run if it is not there  [--bundle DIR] another bundle
                     [--release] small and slow to build  [--port N] instead of 8080
cargo xtask mpi      trains with two processes through MPI, installing it first; also the job script of SLURM
cargo xtask size     builds the page as it is published and weighs it
cargo xtask check    formatting, lints (native and wasm), each feature by itself, licences";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["test"] => suites::test(),
        ["browser", ..] => suites::browser(&arguments[1..]),
        ["check"] => suites::check(),
        ["mpi"] => suites::mpi(),
        ["serve", ..] => page::Serve::parse(&arguments[1..]).and_then(page::Serve::run),
        ["size"] => page::size(),
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
