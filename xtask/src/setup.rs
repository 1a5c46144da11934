//! What the suites need beyond Rust, installed once into a cache outside the checkout.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::shell::{cargo, output, root, run};

/// Must equal the `wasm-bindgen` of Cargo.lock; the suites refuse to run otherwise.
const WASM_BINDGEN: &str = "0.2.130";

/// Folder of installed tools: `CLINLORA_CACHE`, or `clinlora` in the user's cache folder.
pub(crate) fn cache() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    variable("CLINLORA_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|path| path.join("clinlora")))
        .or_else(|| variable("HOME").map(|path| path.join(".cache/clinlora")))
        .unwrap_or_else(|| root().join("target/clinlora-cache"))
}

/// Adds the wasm target to the toolchain.
pub(crate) fn wasm_target() -> Result<(), String> {
    const TARGET: &str = "wasm32-unknown-unknown";
    let sysroot = output(
        Command::new("rustc")
            .current_dir(root())
            .args(["--print", "sysroot"]),
    );
    let library = sysroot.map(|path| PathBuf::from(path.trim()).join("lib/rustlib").join(TARGET));
    if library.is_some_and(|path| path.exists()) {
        return Ok(());
    }
    run(Command::new("rustup")
        .current_dir(root())
        .args(["target", "add", TARGET]))
    .map_err(|e| format!("{e}\nthe wasm suite needs Rust's {TARGET} target"))
}

/// Installs the runner of wasm tests; returns its path.
pub(crate) fn wasm_test_runner() -> Result<PathBuf, String> {
    let tools = cache().join(format!("wasm-bindgen-{WASM_BINDGEN}"));
    let runner = tools.join("bin/wasm-bindgen-test-runner");
    if !runner.exists() {
        eprintln!(
            "installing wasm-bindgen-cli {WASM_BINDGEN} into {} (a few minutes, once)",
            tools.display()
        );
        fs::create_dir_all(&tools).map_err(|e| format!("{}: {e}", tools.display()))?;
        let install = ["install", "wasm-bindgen-cli", "--version", WASM_BINDGEN, "--root"];
        run(cargo()
            .args(install)
            .arg(&tools)
            .env("CARGO_TARGET_DIR", tools.join("target")))?;
        // The build folder is a gigabyte that nothing needs again.
        fs::remove_dir_all(tools.join("target")).map_err(|e| e.to_string())?;
    }
    Ok(runner)
}

/// Installs a browser and its driver where they are missing and Debian's packages can be had.
pub(crate) fn browser() -> Result<(), String> {
    let is_there = |program: &str| output(Command::new(program).arg("--version")).is_some();
    if is_there("chromium") && is_there("chromedriver") {
        return Ok(());
    }
    let advice = "the browser suite needs the programs `chromium` and `chromedriver`: on Debian or Ubuntu \
                  `apt-get install chromium chromium-driver`, elsewhere from your system's packages";
    if !is_there("apt-get") {
        return Err(advice.to_owned());
    }
    let administrator = output(Command::new("id").arg("-u")).is_some_and(|id| id.trim() == "0");
    let apt = |arguments: &[&str]| {
        let mut command = if administrator {
            Command::new("apt-get")
        } else {
            Command::new("sudo")
        };
        if !administrator {
            command.arg("apt-get");
        }
        run(command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    apt(&["update"])
        .and_then(|()| {
            apt(&[
                "install",
                "-y",
                "--no-install-recommends",
                "chromium",
                "chromium-driver",
            ])
        })
        .map_err(|e| format!("{e}\n{advice}"))
}
