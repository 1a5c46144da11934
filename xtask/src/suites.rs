//! The suites and checks themselves.

use std::process::Command;

use crate::setup;
use crate::shell::{cargo, root, run};

/// How everything is built: as Cargo.lock says, in a release-like profile with debug assertions, since an unoptimised Burn
/// is too slow to test with.
const PROFILE: [&str; 3] = ["--locked", "--profile", "checked"];

/// Runs every suite: native tests and documentation tests, the kernels on a Vulkan device among them, then the model in a
/// browser.
pub(crate) fn test() -> Result<(), String> {
    setup::wasm_target()?;
    setup::vulkan()?;
    run(cargo().args(["test", "--workspace"]).args(PROFILE))?;
    setup::browser()?;
    let runner = setup::WASM_TEST_RUNNER.install()?;
    let wasm = ["test", "--package", "clinlora-tests", "--test", "web", "--no-default-features"];
    run(cargo()
        .args(wasm)
        .args(PROFILE)
        .args(["--target", "wasm32-unknown-unknown"])
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER", runner)
        .env("WASM_BINDGEN_TEST_TIMEOUT", "600"))
}

/// Formatting, lints, each feature by itself, licences.
pub(crate) fn check() -> Result<(), String> {
    run(cargo().args(["fmt", "--all", "--check"]))?;
    clippy(&["--workspace", "--all-targets"])?;
    setup::wasm_target()?;
    clippy(&["--package", "clinlora-core", "--target", "wasm32-unknown-unknown"])?;
    let mut features = vec!["cpu", "wgpu", "vulkan", "cuda"];
    if cfg!(target_os = "macos") {
        features.push("metal");
    }
    for feature in features {
        let alone = ["check", "--package", "clinlora", "--no-default-features", "--features", feature];
        run(cargo().args(alone).args(PROFILE))?;
    }
    let deny = setup::CARGO_DENY.install()?;
    run(Command::new(deny).current_dir(root()).args(["--offline", "check", "bans", "licenses", "sources"]))
}

fn clippy(what: &[&str]) -> Result<(), String> {
    run(cargo().arg("clippy").args(what).args(PROFILE).args(["--", "--deny", "warnings"]))
}
