//! The page as the suites run it, put together from index.html without Trunk: cargo, wasm-bindgen and copies.
//!
//! Trunk takes ten minutes to install and builds into a folder of Cargo of its own making; what is tested needs neither.
//! What is published is Trunk's (see [`crate::page`]). Both read the same `<link data-trunk>` lines, of which this knows the
//! few that index.html has, and refuses others.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::page::target;
use crate::setup::WASM_TEST_RUNNER;
use crate::shell::{cargo, root, run};

/// Builds page and worker in the suites' profile into `dist`.
pub(crate) fn assemble(dist: &Path) -> Result<(), String> {
    let bindgen = WASM_TEST_RUNNER.install()?.with_file_name("wasm-bindgen");
    let bins = ["--package", "clinlora-webapp", "--bins", "--target", "wasm32-unknown-unknown"];
    let build = ["build", "--locked", "--profile", "checked"];
    // Whole: the linker of wasm takes what an incremental build leaves unresolved for an import, and no browser has it.
    run(cargo().args(build).args(bins).env("CARGO_INCREMENTAL", "0"))?;
    fs::create_dir_all(dist).map_err(|e| format!("{}: {e}", dist.display()))?;
    let path = root().join("index.html");
    let source = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let (document, assets) = read(&source)?;
    for asset in &assets {
        match asset {
            Asset::File(path) => copy(path, dist)?,
            Asset::Program { bin, is_worker } => bind(&bindgen, bin, *is_worker, dist)?,
        }
    }
    write(&dist.join("index.html"), &document)
}

/// What index.html asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asset {
    /// A file or folder, copied beside the document under its own name.
    File(PathBuf),
    /// A program of the package.
    Program { bin: String, is_worker: bool },
}

/// The document without its `<link data-trunk>` tags, or with a style sheet in their place; and what they ask for.
fn read(source: &str) -> Result<(String, Vec<Asset>), String> {
    const TAG: &str = "<link data-trunk";
    let (mut document, mut assets, mut rest) = (String::new(), Vec::new(), source);
    while let Some((before, after)) = rest.split_once(TAG) {
        let (tag, after) = after.split_once('>').ok_or("index.html: a tag has no end")?;
        let value = |name: &str| {
            let (_, value) = tag.split_once(&format!("{name}=\""))?;
            value.split_once('"').map(|(value, _)| value)
        };
        let wanted = |name: &str| value(name).ok_or(format!("index.html: {TAG}{tag}> has no {name}"));
        document.push_str(before);
        let href = wanted("href")?;
        match wanted("rel")? {
            "css" => {
                let name = Path::new(href).file_name().map(|name| name.to_string_lossy().into_owned());
                let name = name.ok_or(format!("index.html: {href} is no file"))?;
                document.push_str(&format!("<link rel=\"stylesheet\" href=\"./{name}\">"));
                assets.push(Asset::File(href.into()));
            }
            "copy-file" | "copy-dir" => assets.push(Asset::File(href.into())),
            "rust" => {
                let is_worker = wanted("data-type")? == "worker";
                assets.push(Asset::Program { bin: wanted("data-bin")?.to_owned(), is_worker });
            }
            other => {
                return Err(format!(
                    "index.html: rel=\"{other}\" is known to Trunk alone; teach it to xtask"
                ));
            }
        }
        rest = after;
    }
    document.push_str(rest);
    Ok((document, assets))
}

/// Binds a program to JavaScript, unless what is there is as new; a worker gets the loader that Trunk would write.
fn bind(bindgen: &Path, bin: &str, is_worker: bool, dist: &Path) -> Result<(), String> {
    let program = target().join(format!("wasm32-unknown-unknown/checked/{bin}.wasm"));
    let bound = dist.join(format!("{bin}_bg.wasm"));
    let changed = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
    if changed(&bound).is_none_or(|bound| changed(&program).is_none_or(|program| bound < program)) {
        run(Command::new(bindgen)
            .args(["--target", "web", "--no-typescript", "--out-name", bin, "--out-dir"])
            .arg(dist)
            .arg(&program))?;
    }
    let script = dist.join(format!("{bin}.js"));
    if fs::read_to_string(&script).is_ok_and(|script| script.contains("from \"env\"")) {
        let message = "imports a function that nothing defines; delete what was built of clinlora-webapp";
        return Err(format!("{}: {message}", script.display()));
    }
    if is_worker {
        let loader = format!("import init from \"./{bin}.js\";\nawait init();\n");
        write(&dist.join(format!("{bin}_loader.js")), &loader)?;
    }
    Ok(())
}

fn copy(path: &Path, dist: &Path) -> Result<(), String> {
    let (from, name) =
        (root().join(path), path.file_name().ok_or(format!("{} has no name", path.display()))?);
    let to = dist.join(name);
    let failed = |e| format!("{}: {e}", from.display());
    if !from.is_dir() {
        return fs::copy(&from, &to).map(drop).map_err(failed);
    }
    fs::create_dir_all(&to).map_err(failed)?;
    for entry in fs::read_dir(&from).map_err(failed)? {
        copy(&path.join(entry.map_err(failed)?.file_name()), &to)?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_asks_for_what_is_there() {
        let source = fs::read_to_string(root().join("index.html")).expect("the workspace has a page");
        let (document, assets) = read(&source).expect("known links alone");
        assert!(!document.contains("data-trunk") && document.contains("rel=\"stylesheet\""), "{document}");
        let worker = Asset::Program { bin: "worker".to_owned(), is_worker: true };
        assert!(assets.contains(&worker), "{assets:?}");
        for asset in &assets {
            if let Asset::File(path) = asset {
                assert!(root().join(path).exists(), "{}", path.display());
            }
        }
    }

    #[test]
    fn what_only_trunk_knows_is_refused() {
        let refused = read(r#"<link data-trunk rel="sass" href="a.scss">"#);
        assert!(refused.is_err_and(|e| e.contains("sass")));
        assert!(read(r#"<link data-trunk rel="css">"#).is_err_and(|e| e.contains("href")));
    }
}
