//! Running the `clinlora` program of this build, for what only its output can show.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

/// Runs `clinlora` with `arguments`, which ask for JSON, and returns what it printed.
pub(crate) fn run(arguments: &[&str]) -> Value {
    let output = Command::new(path())
        .args(arguments)
        .output()
        .expect("the program starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "clinlora {arguments:?}: {errors}");
    serde_json::from_slice(&output.stdout).expect("JSON was asked for")
}

/// The program beside this test in the target folder; a test of another package is not told where it is, and building
/// one package's tests does not build it.
fn path() -> PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let test = std::env::current_exe().expect("a test has a path");
        let folder = test.ancestors().nth(2).expect("target/PROFILE/deps/native");
        let profile = match folder.file_name().and_then(|name| name.to_str()) {
            Some("debug") => "dev",
            Some(name) => name,
            None => panic!("{}: no profile", folder.display()),
        };
        let mut build = Command::new(env!("CARGO"));
        build.args([
            "build",
            "--quiet",
            "--package",
            "clinlora",
            "--bin",
            "clinlora",
            "--locked",
            "--profile",
            profile,
        ]);
        let built = build
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .expect("cargo starts");
        assert!(built.success(), "clinlora does not build");
        folder
            .join("clinlora")
            .with_extension(std::env::consts::EXE_EXTENSION)
    })
    .clone()
}
