//! The suites and checks themselves.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::page::{self, Build};
use crate::shell::{cargo, root, run};
use crate::{bundles, setup};

/// How everything is built: as Cargo.lock says, in a release-like profile with debug assertions, since an unoptimised Burn
/// is too slow to test with.
const PROFILE: [&str; 3] = ["--locked", "--profile", "checked"];

/// The package of the kernels.
const KERNELS: &str = "clinlora-shaders";

/// Runs the suites: native tests and documentation tests, the kernels on a Vulkan device among them, the model in a browser,
/// then page and worker in one. With `all` the last compares every note on the GPU too, which a software GPU is long about.
pub(crate) fn test(all: bool) -> Result<(), String> {
    setup::wasm_target()?;
    setup::vulkan()?;
    // By themselves, so that what they need of wgpu does not have Burn compiled anew for everything else.
    run(cargo().args(["test", "--workspace", "--exclude", KERNELS]).args(PROFILE))?;
    run(cargo().args(["test", "--package", KERNELS]).args(PROFILE))?;
    setup::browser()?;
    let runner = setup::WASM_TEST_RUNNER.install()?;
    let wasm = ["test", "--package", "clinlora-tests", "--test", "web", "--no-default-features"];
    run(cargo()
        .args(wasm)
        .args(PROFILE)
        .args(["--target", "wasm32-unknown-unknown"])
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER", runner)
        .env("WASM_BINDGEN_TEST_TIMEOUT", "600"))?;
    let quick = ["--grep-invert", LONG].map(str::to_owned);
    browser(if all { &[] } else { &quick })
}

/// In the title of a browser test that takes minutes on a software GPU, or times the page and wants a quiet machine.
const LONG: &str = "@long";

/// Builds the page as the suites are built and drives it in headless Chromium. `only` are arguments for Playwright.
pub(crate) fn browser(only: &[String]) -> Result<(), String> {
    playwright(&bundles::make()?, only, &[])
}

/// Loads and runs a bundle of LLaMA-7B's size in headless Chromium: 3.8 GB are written, and deleted afterwards.
pub(crate) fn large() -> Result<(), String> {
    let folder = setup::cache().join("large");
    let script = root().join("tests/browser/large.mjs");
    let result = run(Command::new("node").arg(script).arg(folder.join("large")))
        .and_then(|()| playwright(&folder, &[], &[("CLINLORA_LARGE", "1")]));
    fs::remove_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    result
}

fn playwright(bundles: &Path, arguments: &[String], variables: &[(&str, &str)]) -> Result<(), String> {
    setup::browser()?;
    let modules = setup::node_modules()?;
    let page = page::build(Build::Checked)?;
    run(Command::new(modules.join(".bin/playwright"))
        .current_dir(root().join("tests/browser"))
        .arg("test")
        .args(arguments)
        .envs(variables.iter().copied())
        .env("CLINLORA_PAGE", page)
        .env("CLINLORA_BUNDLES", bundles)
        .env("CLINLORA_BROWSER_OUT", page::target().join("browser-results")))
}

/// Trains with two processes through MPI, and runs the job script of SLURM against programs that write down their calls.
pub(crate) fn mpi() -> Result<(), String> {
    setup::mpi()?;
    run(cargo()
        .args(["test", "--package", "clinlora", "--features", "mpi", "--test", "cli", "ranks"])
        .args(PROFILE))?;
    run(Command::new("bash").current_dir(root()).arg("trainer/slurm/test.sh"))
}

/// Formatting, lints, each feature by itself, licences.
pub(crate) fn check() -> Result<(), String> {
    run(cargo().args(["fmt", "--all", "--check"]))?;
    clippy(&["--workspace", "--exclude", KERNELS, "--all-targets"])?;
    clippy(&["--package", KERNELS, "--all-targets"])?;
    setup::wasm_target()?;
    clippy(&["--package", "clinlora-webapp", "--target", "wasm32-unknown-unknown"])?;
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
