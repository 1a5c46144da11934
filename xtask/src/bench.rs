//! `cargo xtask bench web`: how fast a bundle runs in a browser, on its processor path and over WebGPU, and what stands beside it.
//!
//! Four parts: this engine by length and number of tasks (`webapp/bench/measure.mjs`); the kernels natively on wgpu (the suite
//! of `shaders`); and, where `../shared/peers/web` is, the fixed peer in the same Chromium, driven by its own program. Each
//! prints one line a case. The peer needs Python with what its `requirements.txt` names, as `python3` or `$PYTHON`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::page::{Build, target};
use crate::setup::{self, WASM_TEST_RUNNER};
use crate::shell::{cargo, root, run};

const WASM: &str = "wasm32-unknown-unknown";

/// What is built quickly is measured with the kernels as they are published.
const FAST_KERNELS: [&str; 3] = ["opt-level=3", "debug-assertions=false", "overflow-checks=false"];

/// Options of `bench web`.
pub(crate) struct Web {
    build: Build,
    seconds: String,
    lengths: String,
}

impl Web {
    /// Reads what follows the verb.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, String> {
        let (seconds, lengths) = ("10".to_owned(), "32,64,128,256".to_owned());
        let mut options = Self { build: Build::Release, seconds, lengths };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value = || rest.next().cloned().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--checked" => options.build = Build::Checked,
                "--seconds" => options.seconds = value()?,
                "--lengths" => options.lengths = value()?,
                other => return Err(format!("bench web has no option {other}")),
            }
        }
        Ok(options)
    }

    pub(crate) fn run(self) -> Result<(), String> {
        setup::browser()?;
        setup::node_modules()?;
        let programs = self.programs()?;
        let clinlora = program()?;
        let folder = target().join("bench-web");
        let models = folder.join("models");
        let script = |name: &str| root().join("webapp/bench").join(name);
        run(Command::new("node").arg(script("bundles.mjs")).arg(&clinlora).arg(&models))?;
        eprintln!("this engine, a bundle of random weights in the shape of the peer's `small`:");
        run(Command::new("node")
            .arg(script("measure.mjs"))
            .args([&programs, &models.join("small")])
            .args(["--lengths", &self.lengths, "--seconds", &self.seconds]))?;
        eprintln!("the kernels natively, beside a plain product on the same adapter:");
        setup::vulkan()?;
        let speed =
            ["test", "--locked", "--package", "clinlora-shaders", "--profile", "checked", "--test", "device"];
        run(cargo().args(speed).args(["--", "--ignored", "--nocapture", "speed"]))?;
        self.beside_the_peer(&folder, &programs, &clinlora)
    }

    /// Builds the engine alone and binds it, once for each device; returns the folder of both.
    fn programs(&self) -> Result<PathBuf, String> {
        setup::wasm_target()?;
        let mut build = cargo();
        build.args(["build", "--locked", "--target", WASM, "--package", "clinlora-webapp", "--bin", "bench"]);
        let profile = match self.build {
            Build::Release => "web",
            Build::Checked => "checked",
        };
        build.args(["--profile", profile]);
        if self.build == Build::Checked {
            for setting in FAST_KERNELS {
                build.arg("--config").arg(format!("profile.checked.package.clinlora-core.{setting}"));
            }
        }
        run(&mut build)?;
        let bindgen = WASM_TEST_RUNNER.install()?.with_file_name("wasm-bindgen");
        let programs = target().join("bench-web/programs");
        let version = env!("CARGO_PKG_VERSION");
        for (folder, device) in [("cpu", "wasm"), ("webgpu", "webgpu")] {
            let folder = programs.join(folder);
            let program = target().join(WASM).join(profile).join("bench.wasm");
            run(Command::new(&bindgen)
                .args(["--target", "web", "--no-typescript", "--out-dir"])
                .arg(&folder)
                .arg(program))?;
            let engine = root().join("webapp/bench/engine.mjs");
            write(&folder.join("engine.mjs"), &fs::read_to_string(&engine).map_err(|e| e.to_string())?)?;
            let said = format!(
                "export const DEVICE = '{device}';\nexport const VERSION = '{version} ({profile})';\n"
            );
            write(&folder.join("device.mjs"), &said)?;
        }
        Ok(programs)
    }

    /// Runs the peer's own program, this engine among its peers.
    fn beside_the_peer(&self, folder: &Path, programs: &Path, clinlora: &Path) -> Result<(), String> {
        let shared =
            std::env::var_os("CLINLORA_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
        let source = shared.join("peers/web");
        if !source.exists() {
            eprintln!("no {}: nothing is measured beside the fixed peer", source.display());
            return Ok(());
        }
        let peer = folder.join("peer");
        copy(&source, &peer)?;
        let inside = |program: &str| {
            let mut command = Command::new(program);
            command.current_dir(&peer);
            command
        };
        run(inside("npm").args(["install", "--ignore-scripts", "--no-audit", "--no-fund"]))?;
        if !peer.join("models/small/int4/reference.json").exists() {
            let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
            run(inside(&python).args(["make_model.py", "--presets", "small"])).map_err(|e| {
                format!(
                    "{e}\nthe peer's models need Python with {}",
                    source.join("requirements.txt").display()
                )
            })?;
        }
        let bundles = root().join("webapp/bench/bundles.mjs");
        run(inside("node").arg(bundles).arg(clinlora).arg("models"))?;
        let engine = |name: &str, device: &str| format!("{name}={}", programs.join(device).display());
        run(inside("node")
            .args(["bench.mjs", "--presets", "small", "--precisions", "int4,int8"])
            .args(["--lengths", &self.lengths, "--seconds", &self.seconds])
            .args(["--engine", &engine("ours-cpu", "cpu"), "--engine", &engine("ours-webgpu", "webgpu")])
            .args(["--peers", "ours-cpu,ort-wasm-1,ours-webgpu,ort-jspi,ort-webgpu"]))
    }
}

/// The native program, which makes bundles.
fn program() -> Result<PathBuf, String> {
    run(cargo().args([
        "build",
        "--locked",
        "--profile",
        "checked",
        "--package",
        "clinlora",
        "--bin",
        "clinlora",
    ]))?;
    Ok(target().join("checked/clinlora"))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}

/// Copies a folder's files, which may be read-only, over what is there.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let failed = |path: &Path, e: std::io::Error| format!("{}: {e}", path.display());
    fs::create_dir_all(to).map_err(|e| failed(to, e))?;
    for entry in fs::read_dir(from).map_err(|e| failed(from, e))? {
        let path = entry.map_err(|e| failed(from, e))?.path();
        let into = to.join(path.file_name().expect("an entry of a folder has a name"));
        if path.is_dir() {
            copy(&path, &into)?;
        } else {
            let bytes = fs::read(&path).map_err(|e| failed(&path, e))?;
            fs::write(&into, bytes).map_err(|e| failed(&into, e))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_bench_are_read_and_others_refused() {
        let parse = |arguments: &[&str]| {
            Web::parse(&arguments.iter().map(|argument| (*argument).to_owned()).collect::<Vec<_>>())
        };
        let options = parse(&["--checked", "--lengths", "128"]).expect("all there are");
        assert_eq!((options.build, options.lengths.as_str()), (Build::Checked, "128"));
        for wrong in [&["--seconds"][..], &["--chekced"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
