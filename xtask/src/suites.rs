//! The suites and checks themselves.

use std::process::Command;

use crate::setup;
use crate::shell::{cargo, root, run};

/// Runs every suite: native tests and documentation tests, then the model in a browser.
pub(crate) fn test() -> Result<(), String> {
    setup::wasm_target()?;
    // A release-like profile with debug assertions: an unoptimised Burn is too slow to test with.
    run(cargo().args(["test", "--workspace", "--locked", "--profile", "checked"]))?;
    setup::browser()?;
    let runner = setup::WASM_TEST_RUNNER.install()?;
    let wasm = [
        "test",
        "--package",
        "clinlora-tests",
        "--test",
        "web",
        "--locked",
        "--profile",
        "checked",
    ];
    run(cargo()
        .args(wasm)
        .args(["--target", "wasm32-unknown-unknown", "--no-default-features"])
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER", runner)
        .env("WASM_BINDGEN_TEST_TIMEOUT", "120"))
}

/// Formatting, lints, each feature by itself, licences.
pub(crate) fn check() -> Result<(), String> {
    run(cargo().args(["fmt", "--all", "--check"]))?;
    let lint = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "--deny",
        "warnings",
    ];
    run(cargo().args(lint))?;
    setup::wasm_target()?;
    let wasm = [
        "clippy",
        "--package",
        "clinlora-core",
        "--target",
        "wasm32-unknown-unknown",
        "--locked",
    ];
    run(cargo().args(wasm).args(["--", "--deny", "warnings"]))?;
    let mut features = vec!["cpu", "wgpu", "vulkan", "cuda"];
    if cfg!(target_os = "macos") {
        features.push("metal");
    }
    for feature in features {
        let alone = [
            "check",
            "--package",
            "clinlora",
            "--locked",
            "--no-default-features",
            "--features",
        ];
        run(cargo().args(alone).arg(feature))?;
    }
    let deny = setup::CARGO_DENY.install()?;
    run(Command::new(deny)
        .current_dir(root())
        .args(["--offline", "check", "bans", "licenses", "sources"]))
}
