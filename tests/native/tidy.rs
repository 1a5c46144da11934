//! Rules of the house as code: sizes of files, their first lines, names, lints with reasons, and what core may not do.

use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file, its tests included.
const LONGEST: usize = 600;

/// Tables of clinical knowledge are data in the shape of code: splitting them would help nobody.
const MAY_BE_LONG: &str = "trainer/src/cohort/knowledge/";

/// Names that say nothing about what is inside. The golden generators share a `common.py`, and what it holds is said there.
const BANNED_NAMES: [&str; 5] = ["utils", "common", "misc", "helpers", "base_utils"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace is there")
}

/// Paths, from the root of the workspace, of every file of its packages with one of these endings, and their text.
fn files(endings: &[&str]) -> Vec<(String, String)> {
    let root = root();
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = ["core", "trainer", "webapp", "shaders", "tests", "xtask", "vendor"]
        .iter()
        .map(|name| root.join(name))
        .filter(|path| path.is_dir())
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the checkout") {
            let path = entry.expect("an entry of the checkout").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() && !["target", "dist", "node_modules", "__pycache__", "pkg"].contains(&name) {
                folders.push(path);
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                let text = fs::read_to_string(&path).expect("source is text");
                let path = path.strip_prefix(&root).expect("found below the root");
                found.push((path.to_string_lossy().replace('\\', "/"), text));
            }
        }
    }
    found.sort();
    found
}

/// Fails with every offender at once.
fn assert_none(rule: &str, offenders: Vec<String>) {
    assert!(offenders.is_empty(), "{rule}:\n  {}", offenders.join("\n  "));
}

/// `path:line` of each line of each file for which `is_wrong` holds.
fn lines(files: &[(String, String)], mut is_wrong: impl FnMut(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in files {
        for (i, line) in text.lines().enumerate() {
            if is_wrong(line) {
                found.push(format!("{path}:{}: {}", i + 1, line.trim()));
            }
        }
    }
    found
}

#[test]
fn no_file_is_too_long_to_read() {
    let long = files(&[".rs", ".py", ".wgsl", ".js"])
        .into_iter()
        .filter(|(path, text)| text.lines().count() > LONGEST && !path.starts_with(MAY_BE_LONG))
        .map(|(path, text)| format!("{path}: {} lines", text.lines().count()))
        .collect();
    assert_none("split by concept what is longer than 600 lines", long);
}

#[test]
fn every_file_says_first_what_it_is() {
    let sources = files(&[".rs"]);
    assert!(sources.len() > 50, "the sources are not where they should be");
    let silent = sources
        .into_iter()
        .filter(|(_, text)| {
            !text.trim_start_matches(|c: char| c == '#' || c.is_whitespace()).starts_with("//!")
        })
        .map(|(path, _)| path);
    let without_docstring = files(&[".py"])
        .into_iter()
        .filter(|(_, text)| !text.starts_with("\"\"\"") && !text.starts_with("#!"))
        .map(|(path, _)| path);
    assert_none("the first line is the module's documentation", silent.chain(without_docstring).collect());
}

#[test]
fn names_of_files_say_what_is_inside() {
    let vague = files(&[".rs", ".py", ".js", ".wgsl"])
        .into_iter()
        .map(|(path, _)| path)
        .filter(|path| {
            let stem = Path::new(path).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            BANNED_NAMES.contains(&stem) && path != "tests/golden/common.py"
        })
        .collect();
    assert_none("a name in the field's terms", vague);
}

/// Lines of `expect(..)` and `allow(..)` of a lint, and whether each has a `reason`.
fn exceptions(text: &str) -> Vec<(usize, bool)> {
    let starts = text.match_indices("#[").chain(text.match_indices("#!["));
    let attributes = starts.filter_map(|(start, opening)| {
        let body = text[start + opening.len()..].trim_start();
        let is_exception = ["allow(", "expect("].iter().any(|word| body.starts_with(word));
        let whole = body.split(")]").next().unwrap_or_default();
        is_exception.then(|| (text[..start].lines().count() + 1, whole.contains("reason = ")))
    });
    attributes.collect()
}

#[test]
fn every_exception_from_a_lint_has_a_reason() {
    let bad = "//! Doc.\n#[expect(\n    dead_code\n)]\nfn f() {}\n#[allow(unused, reason = \"shown\")]\n";
    assert_eq!(exceptions(bad), [(2, false), (6, true)]);
    let (mut bare, mut seen) = (Vec::new(), 0);
    for (path, text) in files(&[".rs"]) {
        let exceptions = exceptions(&text);
        seen += exceptions.len();
        // The bad example above is not code.
        let bad = exceptions.iter().filter(|(_, has_reason)| !has_reason && !path.ends_with("tidy.rs"));
        bare.extend(bad.map(|(line, _)| format!("{path}:{line}")));
    }
    assert!(seen > 10, "exceptions are found at all");
    assert_none("say why a lint does not hold", bare);
}

#[test]
fn nothing_is_left_to_be_done() {
    // Spelled in halves, so that this file passes.
    let words = [
        concat!("to", "do!"),
        concat!("unimpl", "emented!"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("TO", "DO"),
    ];
    let left = lines(&files(&[".rs", ".py", ".toml", ".js", ".wgsl"]), |line| {
        words.iter().any(|word| line.contains(word))
    });
    assert_none("finish it, or write an issue", left);
}

fn core_sources() -> Vec<(String, String)> {
    let mut files = files(&[".rs"]);
    files.retain(|(path, _)| path.starts_with("core/src/") && !path.starts_with("core/src/kernels/"));
    // Unit tests may choose a device and read golden files.
    files.retain(|(path, _)| !path.ends_with("/tests.rs"));
    for (_, text) in &mut files {
        let starts = [
            "#[cfg(test)]\nmod ",
            "#[cfg(test)]\npub(super) mod ",
            "#[cfg(all(test, feature = \"autodiff\"))]\n",
        ];
        if let Some(start) = starts.iter().filter_map(|start| text.find(start)).min() {
            text.truncate(start);
        }
    }
    files
}

fn is_code(line: &str) -> bool {
    !line.trim_start().starts_with("//")
}

fn names_a_backend(line: &str) -> bool {
    const BACKENDS: [&str; 9] =
        ["flex", "ndarray", "candle", "cubecl", "cuda", "wgpu", "webgpu", "vulkan", "metal"];
    let line = line.to_lowercase();
    is_code(&line) && line.split(|c: char| !c.is_alphanumeric()).any(|word| BACKENDS.contains(&word))
}

#[test]
fn core_names_no_backend() {
    assert!(names_a_backend("let device = Device::flex();") && names_a_backend("use burn_cuda::Cuda;"));
    assert!(!names_a_backend("// on CUDA in bf16") && !names_a_backend("let flexible = metallic;"));
    assert_none("the backend is the caller's choice", lines(&core_sources(), names_a_backend));
}

fn does_io(line: &str) -> bool {
    const WORDS: [&str; 12] = [
        "std::fs",
        "std::net",
        "std::io",
        "std::env",
        "std::process",
        "std::time",
        "println!",
        "print!(",
        "dbg!",
        "File::",
        "SystemTime",
        "Instant::",
    ];
    is_code(line) && WORDS.iter().any(|word| line.contains(word))
}

#[test]
fn core_does_no_input_or_output() {
    assert!(does_io("    let bytes = std::fs::read(path)?;") && does_io("eprintln!(\"x\");"));
    assert!(!does_io("/// Reads nothing from std::fs."));
    assert_none("core is handed bytes, and prints nothing", lines(&core_sources(), does_io));
}

/// A model file knows nothing of adapters, number formats of packed weights, or the machine.
#[test]
fn a_model_file_has_no_branches_for_methods() {
    let mut models = core_sources();
    models.retain(|(path, _)| path.starts_with("core/src/model/"));
    let words = ["if lora", "if let Some(lora", "is_quantised", "is_packed", "cfg(target_arch"];
    let found = lines(&models, |line| is_code(line) && words.iter().any(|word| line.contains(word)));
    assert_none("adapters and packing belong to the one linear layer", found);
}

/// Golden files are committed, so they stay small, and each says how it was made.
#[test]
fn golden_cases_are_small_and_come_with_their_origin() {
    let golden = root().join("tests/golden");
    let mut wrong = Vec::new();
    for case in fs::read_dir(&golden).unwrap() {
        let case = case.unwrap().path();
        if !case.is_dir() || case.ends_with("__pycache__") {
            continue;
        }
        let has = |name: &str| case.join(name).exists();
        if !has("README.md") || !(has("generate.py") || has("check.py")) {
            wrong.push(format!("{}: no README.md or no generator", case.display()));
        }
        let mut folders = vec![case];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                let size = entry.metadata().unwrap().len();
                if entry.path().is_dir() {
                    folders.push(entry.path());
                } else if size > 200_000 {
                    wrong.push(format!("{}: {size} bytes", entry.path().display()));
                }
            }
        }
    }
    assert_none("golden files", wrong);
}
