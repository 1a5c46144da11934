//! `cargo xtask VERB`: what a person types to set up, test and check the workspace.

mod assemble;
mod bench;
mod bundles;
mod gpu;
mod page;
mod server;
mod setup;
mod shell;
mod suites;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask test     the suites, native and in a browser, installing what is missing first
                     [--all] also what takes a software GPU minutes  [--large] instead: a bundle of LLaMA-7B's size, 10 GB of disk
cargo xtask browser  the page in headless Chromium alone; what follows goes to Playwright, such as a file's name
cargo xtask serve    builds the page and serves it, with a bundle of the demo, on this machine only
                     [--demo DIR] folder of `clinlora demo`, run if it is not there  [--bundle DIR] another bundle
                     [--release] small and slow to build  [--port N] instead of 8080
cargo xtask mpi      trains with two processes through MPI, installing it first; also the job script of SLURM
cargo xtask gpu      the trainer's kernels and gradients on a software Vulkan device, against the processor's
cargo xtask cuda     a training step's CUDA kernels through NVIDIA's compiler, which Python's pip fetches; wants no GPU
                     (either builds Burn for GPUs first: 20 minutes, once)
cargo xtask size     builds the page as it is published and weighs it
cargo xtask bench web  times the engine in headless Chromium and natively, beside a plain product and the fixed peer
                     [--checked] quick to build  [--seconds N] for each case  [--lengths 32,128] of notes, tokens
cargo xtask check    formatting, lints (native and wasm), each feature by itself, licences";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["test"] => suites::test(false),
        ["test", "--all"] => suites::test(true),
        ["test", "--large"] => suites::large(),
        ["browser", ..] => suites::browser(&arguments[1..]),
        ["check"] => suites::check(),
        ["mpi"] => suites::mpi(),
        ["gpu"] => gpu::software(),
        ["cuda"] => gpu::cuda(),
        ["serve", ..] => page::Serve::parse(&arguments[1..]).and_then(page::Serve::run),
        ["size"] => page::size(),
        ["bench", "web", ..] => bench::Web::parse(&arguments[2..]).and_then(bench::Web::run),
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
