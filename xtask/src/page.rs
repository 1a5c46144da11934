//! Building the page, serving it, and what its programs weigh.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::assemble::assemble;
use crate::server::Server;
use crate::setup::{self, TRUNK, WASM_TEST_RUNNER};
use crate::shell::{cargo, output, root, run};

/// How a page is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Build {
    /// As the suites are: quick to build, large, without Trunk.
    Checked,
    /// As it is published, by Trunk: minutes of link-time optimisation, then `wasm-opt`.
    Release,
}

/// Options of `serve`.
pub(crate) struct Serve {
    build: Build,
    bundle: Option<PathBuf>,
    demo: PathBuf,
    port: u16,
}

impl Serve {
    /// Reads what follows the verb.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self { build: Build::Checked, bundle: None, demo: root().join("demo"), port: 8080 };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value = || rest.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--release" => options.build = Build::Release,
                "--bundle" => options.bundle = Some(value()?.into()),
                "--demo" => options.demo = value()?.into(),
                "--port" => {
                    options.port = value()?.parse().map_err(|_| "--port needs a number".to_owned())?;
                }
                other => return Err(format!("serve has no option {other}")),
            }
        }
        Ok(options)
    }

    /// Builds the page, and a demo's bundle unless one is given; then serves both until it is stopped.
    pub(crate) fn run(self) -> Result<(), String> {
        let page = build(self.build)?;
        let bundle = match self.bundle {
            Some(folder) => folder,
            None => demo_bundle(&self.demo)?,
        };
        if !bundle.join("manifest.json").exists() {
            return Err(format!("{} is no bundle: it has no manifest.json", bundle.display()));
        }
        let folders = vec![("/bundle/".to_owned(), bundle.clone()), ("/".to_owned(), page)];
        let server = Server::bind(self.port, folders)?;
        eprintln!("the page: {}\nits bundle: {}\nCtrl-C ends this", server.address(), bundle.display());
        server.run();
        Ok(())
    }
}

/// The bundle of a demo, which is run unless it is there.
fn demo_bundle(demo: &Path) -> Result<PathBuf, String> {
    let bundle = demo.join("bundle");
    if !bundle.join("manifest.json").exists() {
        eprintln!("running the demo in {} (some minutes, once)", demo.display());
        let arguments = ["run", "--locked", "--release", "--quiet", "--", "demo", "--overwrite", "--out"];
        run(cargo().args(arguments).arg(demo))?;
    }
    Ok(bundle)
}

/// Builds the page and its worker; returns their folder.
pub(crate) fn build(build: Build) -> Result<PathBuf, String> {
    setup::wasm_target()?;
    let dist = target().join(match build {
        Build::Checked => "page-checked",
        Build::Release => "page",
    });
    match build {
        Build::Checked => assemble(&dist)?,
        Build::Release => trunk(&dist)?,
    }
    Ok(dist)
}

fn trunk(dist: &Path) -> Result<(), String> {
    let trunk = TRUNK.install()?;
    let bindgen = WASM_TEST_RUNNER.install()?;
    let modules = setup::node_modules()?;
    let programs = [bindgen.parent().map(Path::to_owned), Some(modules.join(".bin"))];
    let before = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(programs.into_iter().flatten().chain(std::env::split_paths(&before)))
        .map_err(|e| e.to_string())?;
    let mut command = Command::new(trunk);
    command.current_dir(root()).args(["build", "--release", "--cargo-profile", "web", "--dist"]).arg(dist);
    // Trunk takes any value of this variable for a switch of its own, and refuses "1".
    run(command.env("PATH", path).env_remove("NO_COLOR"))
}

/// The folder Cargo builds in.
pub(crate) fn target() -> PathBuf {
    let folder = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| OsString::from("target"));
    root().join(folder)
}

/// Most bytes of the worker's program, compressed as a server would.
const WORKER_BYTES: u64 = 2_500_000;

/// Builds the page as it is published and reports what each part weighs.
pub(crate) fn size() -> Result<(), String> {
    let dist = build(Build::Release)?;
    let script = root().join("tests/browser/size.mjs");
    let mut node = Command::new("node");
    let table = output(node.arg(script).arg(&dist)).ok_or("node could not compress the page")?;
    println!("{table}");
    let worker = table.lines().find_map(|line| line.strip_prefix("worker_bg.wasm"));
    let bytes = worker.and_then(|line| line.split_whitespace().last()?.parse::<u64>().ok());
    match bytes {
        Some(bytes) if bytes <= WORKER_BYTES => Ok(()),
        Some(bytes) => {
            Err(format!("the worker has {bytes} bytes compressed; at most {WORKER_BYTES} are allowed"))
        }
        None => Err("the page has no worker".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Serve, String> {
        Serve::parse(&arguments.iter().map(|argument| (*argument).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn options_of_serve_are_read_and_others_refused() {
        let options = parse(&["--release", "--port", "0", "--bundle", "b"]).expect("all there are");
        assert_eq!((options.build, options.port), (Build::Release, 0));
        assert_eq!(options.bundle, Some("b".into()));
        for wrong in [&["--port", "eighty"][..], &["--port"], &["--relase"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
