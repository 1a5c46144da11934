//! The `clinlora` program as a second process of this test: the library is all of it but the reading of arguments, and
//! its output can be read without the program having been built.

use std::env;
use std::process::Command as Process;

use clap::Parser;
use clinlora::cli::{Cli, Command};
use clinlora::commands;
use serde_json::Value;

const ARGUMENTS: &str = "CLINLORA_TEST_ARGUMENTS";

/// Runs `test`, which begins with [`become_if_asked`], in a process where it is `clinlora` with these arguments; returns
/// the JSON it printed.
pub(crate) fn run(test: &str, arguments: &[&str]) -> Value {
    let output = Process::new(env::current_exe().expect("a test has a path"))
        .args(["--exact", test, "--nocapture"])
        .env(ARGUMENTS, arguments.join("\n"))
        .output()
        .expect("this program starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "clinlora {arguments:?}: {errors}");
    let printed = String::from_utf8(output.stdout).expect("the program prints text");
    // The test's own name stands before it.
    let (start, end) = (printed.find('{'), printed.rfind('}'));
    let json = start.zip(end).map(|(start, end)| &printed[start..=end]);
    serde_json::from_str(json.expect("an object is printed")).expect("JSON is printed")
}

/// In the second process: runs the command and ends the process.
pub(crate) fn become_if_asked() {
    let Ok(arguments) = env::var(ARGUMENTS) else {
        return;
    };
    let cli = Cli::parse_from(["clinlora"].into_iter().chain(arguments.split('\n')));
    let Command::Params(params) = cli.command else {
        panic!("only `clinlora params` is asked for");
    };
    commands::params::run(&params).expect("the counts are printed");
    std::process::exit(0);
}
