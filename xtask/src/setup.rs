//! What the suites need beyond Rust, installed once into a cache outside the checkout.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::shell::{cargo, output, root, run};

/// A program built from crates.io.
pub(crate) struct Tool {
    package: &'static str,
    version: &'static str,
    program: &'static str,
    /// What `cargo install` needs besides.
    options: &'static [&'static str],
}

/// Runs wasm tests in a browser. Its version must equal that of `wasm-bindgen` in Cargo.lock.
pub(crate) const WASM_TEST_RUNNER: Tool = Tool {
    package: "wasm-bindgen-cli",
    version: "0.2.130",
    program: "wasm-bindgen-test-runner",
    options: &[],
};

/// Checks licences and sources.
pub(crate) const CARGO_DENY: Tool =
    Tool { package: "cargo-deny", version: "0.20.2", program: "cargo-deny", options: &[] };

/// Builds the page. It declares a newer Rust than ours and builds with it all the same; without its default features it
/// does not ask the network for a newer version of itself.
pub(crate) const TRUNK: Tool = Tool {
    package: "trunk",
    version: "0.22.1",
    program: "trunk",
    options: &["--locked", "--ignore-rust-version", "--no-default-features", "--features", "rustls"],
};

impl Tool {
    /// Installs the program unless it is there; returns its path.
    pub(crate) fn install(&self) -> Result<PathBuf, String> {
        let Self { package, version, program, options } = self;
        let folder = cache().join(format!("{package}-{version}"));
        let path = folder.join("bin").join(program);
        if !path.exists() {
            eprintln!("installing {package} {version} into {} (up to ten minutes, once)", folder.display());
            fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
            let build = folder.join("target");
            run(cargo()
                .args(["install", package, "--version", version, "--root"])
                .arg(&folder)
                .args(*options)
                .env("CARGO_TARGET_DIR", &build)
                // Tools are waited for once and run for seconds: compile them quickly.
                .env("CARGO_PROFILE_RELEASE_LTO", "off")
                .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
                .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"))?;
            fs::remove_dir_all(&build).map_err(|e| format!("{}: {e}", build.display()))?;
        }
        Ok(path)
    }
}

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
    let sysroot = output(Command::new("rustc").current_dir(root()).args(["--print", "sysroot"]));
    let library = sysroot.map(|path| PathBuf::from(path.trim()).join("lib/rustlib").join(TARGET));
    if library.is_some_and(|path| path.exists()) {
        return Ok(());
    }
    run(Command::new("rustup").current_dir(root()).args(["target", "add", TARGET]))
        .map_err(|e| format!("{e}\nthe wasm suite needs Rust's {TARGET} target"))
}

/// Installs the Node packages of the browser suite, as its lock file says; returns their folder.
///
/// Among them is Binaryen, whose `wasm-opt` Trunk runs: Debian's is too old and breaks the program without a word.
pub(crate) fn node_modules() -> Result<PathBuf, String> {
    let folder = root().join("tests/browser");
    let modules = folder.join("node_modules");
    let lock = fs::read(folder.join("package-lock.json")).map_err(|e| format!("package-lock.json: {e}"))?;
    let stamp = modules.join(".installed");
    if fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(modules);
    }
    if output(Command::new("npm").arg("--version")).is_none() {
        let advice = "the page and the browser suite need Node 20 or later with npm: on Debian or Ubuntu \
                      `apt-get install nodejs npm`, elsewhere from nodejs.org or your system's packages";
        install(&["nodejs", "npm"], advice)?;
    }
    run(Command::new("npm").current_dir(&folder).args(["ci", "--no-audit", "--no-fund"]))
        .map_err(|e| format!("{e}\nthe page and the browser suite need Node 20 or later with npm"))?;
    fs::write(&stamp, lock).map_err(|e| format!("{}: {e}", stamp.display()))?;
    Ok(modules)
}

/// Installs a browser and its driver where they are missing and Debian's packages can be had.
pub(crate) fn browser() -> Result<(), String> {
    let is_there = |program: &str| output(Command::new(program).arg("--version")).is_some();
    if is_there("chromium") && is_there("chromedriver") {
        return Ok(());
    }
    let advice = "the browser suite needs the programs `chromium` and `chromedriver`: on Debian or Ubuntu \
                  `apt-get install chromium chromium-driver`, elsewhere from your system's packages";
    install(&["chromium", "chromium-driver"], advice)
}

/// Installs a Vulkan driver for machines without a GPU where there is no driver at all: the kernels' suite needs one.
pub(crate) fn vulkan() -> Result<(), String> {
    let folders = ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d"];
    let has_driver =
        folders.iter().any(|folder| fs::read_dir(folder).is_ok_and(|mut files| files.next().is_some()));
    // Elsewhere than on Linux the system brings its own, or a loader that this cannot look into.
    if has_driver || !cfg!(target_os = "linux") || std::env::var_os("VK_ICD_FILENAMES").is_some() {
        return Ok(());
    }
    let advice = "the suite of the kernels needs a Vulkan driver: on Debian or Ubuntu `apt-get install \
                  mesa-vulkan-drivers`, elsewhere from your system's packages";
    install(&["mesa-vulkan-drivers", "libvulkan1"], advice)
}

/// Installs an MPI library, its launcher and what reads its header, where one is missing.
pub(crate) fn mpi() -> Result<(), String> {
    let is_there = |program: &str| output(Command::new(program).arg("--version")).is_some();
    if is_there("mpirun") && is_there("mpicc") {
        return Ok(());
    }
    let advice = "training with several processes needs an MPI library and libclang: on Debian or Ubuntu `apt-get install \
                  libopenmpi-dev openmpi-bin libclang-dev`, elsewhere from your system's packages";
    install(&["libopenmpi-dev", "openmpi-bin", "libclang-dev"], advice)
}

/// A folder with NVIDIA's run-time compiler, the headers it wants and its assembler: `CUDA_PATH`, or their Python packages,
/// unpacked into the cache. No GPU is needed, and no driver.
pub(crate) fn cuda_compiler() -> Result<PathBuf, String> {
    const PACKAGES: [&str; 5] = [
        "nvidia-cuda-nvrtc==13.0.88",
        "nvidia-cuda-nvcc==13.0.88", // for ptxas
        "nvidia-cuda-runtime==13.0.96",
        "nvidia-cuda-crt==13.0.88",
        "nvidia-cuda-cccl==13.0.85",
    ];
    if let Some(path) = std::env::var_os("CUDA_PATH") {
        return Ok(path.into());
    }
    let folder = cache().join("cuda-13.0");
    let path = folder.join("nvidia/cu13");
    if !path.join("include/crt/mma.h").exists() {
        let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
        run(Command::new(python)
            .args(["-m", "pip", "install", "--quiet", "--no-deps", "--target"])
            .arg(&folder)
            .args(PACKAGES))
        .map_err(|e| {
            format!("{e}\nset CUDA_PATH to an installed CUDA 13, or PYTHON to a Python with pip that reaches a package index")
        })?;
    }
    // Opened by the name without a version.
    let plain = path.join("lib/libnvrtc.so");
    if !plain.exists() {
        std::os::unix::fs::symlink("libnvrtc.so.13", &plain)
            .map_err(|e| format!("{}: {e}", plain.display()))?;
    }
    Ok(path)
}

/// Installs Debian's packages, or says what to do.
fn install(packages: &[&str], advice: &str) -> Result<(), String> {
    if output(Command::new("apt-get").arg("--version")).is_none() {
        return Err(advice.to_owned());
    }
    let administrator = output(Command::new("id").arg("-u")).is_some_and(|id| id.trim() == "0");
    let apt = |arguments: &[&str]| {
        let mut command = if administrator { Command::new("apt-get") } else { Command::new("sudo") };
        if !administrator {
            command.arg("apt-get");
        }
        run(command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    let options = ["install", "-y", "-qq", "--no-install-recommends"];
    apt(&["update", "-qq"])
        .and_then(|()| apt(&[&options, packages].concat()))
        .map_err(|e| format!("{e}\n{advice}"))
}
