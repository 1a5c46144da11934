//! Runs the program in a folder of its own, on notes and recipes written here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

/// Stands in every note and must stand in no message.
pub(crate) const SECRET: &str = "Quetzalcoatl";

/// How a run of the program ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn of(output: std::process::Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the program prints UTF-8");
        let ended =
            Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) };
        for stream in [&ended.stdout, &ended.stderr] {
            assert!(!stream.contains(SECRET), "note text was printed: {stream}");
            assert!(!stream.contains("panicked"), "{stream}");
        }
        ended
    }

    /// Asserts success.
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self
    }

    /// Asserts a refusal of bad usage or input whose message says all of `parts`.
    pub(crate) fn refused(self, parts: &[&str]) -> Self {
        assert_eq!(self.code, Some(2), "{}{}", self.stdout, self.stderr);
        for part in parts {
            assert!(self.stderr.contains(part), "no {part:?} in: {}", self.stderr);
        }
        assert_eq!(self.stdout, "", "a refusal prints no result");
        self
    }

    /// The one JSON object that stdout is.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "{}", self.stdout);
        serde_json::from_str(&self.stdout).expect("stdout is JSON")
    }

    /// Stdout as JSON lines.
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        let line = |line| serde_json::from_str(line).expect("stdout is JSON lines");
        self.stdout.lines().map(line).collect()
    }
}

/// A folder the program runs in.
pub(crate) struct Workshop(TempDir);

impl Workshop {
    /// An empty folder.
    pub(crate) fn empty() -> Self {
        let inside = env!("CARGO_TARGET_TMPDIR");
        Self(tempfile::tempdir_in(inside).expect("a temporary folder"))
    }

    /// A folder with notes, a task, recipes, a trained `base` and a `clinical` adapter on it.
    pub(crate) fn new() -> Self {
        static TRAINED: OnceLock<PathBuf> = OnceLock::new();
        let trained = TRAINED.get_or_init(|| {
            let workshop = Self::with_notes();
            workshop.run("pretrain base.toml").ok();
            workshop.run("pretrain clinical.toml").ok();
            workshop.0.keep()
        });
        let workshop = Self::empty();
        copy_folder(trained, workshop.path());
        workshop
    }

    /// A folder with notes, a task and recipes.
    pub(crate) fn with_notes() -> Self {
        let workshop = Self::empty();
        let notes =
            (0..NOTES).map(|i| serde_json::json!({"id": format!("n{i}"), "text": note(i)}).to_string());
        workshop.write("notes.jsonl", notes.collect::<Vec<_>>().join("\n") + "\n");
        let rows = (0..NOTES).map(|i| format!("n{i},\"{}\",{}\n", note(i), label(i)));
        workshop.write("mortality.csv", format!("id,text,label\n{}", rows.collect::<String>()));
        workshop.write("mortality.toml", TASK);
        workshop.write("base.toml", BASE);
        workshop.write("clinical.toml", CLINICAL);
        workshop.write("downstream.toml", DOWNSTREAM);
        workshop
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.file(name), content).expect("writable");
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.file(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    pub(crate) fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).expect("UTF-8")
    }

    /// Replaces the first `from` of a file, which must hold it.
    pub(crate) fn edit(&self, name: &str, from: &str, to: &str) {
        let text = self.text(name);
        assert!(text.contains(from), "{name} holds no {from:?}");
        self.write(name, text.replacen(from, to, 1));
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        fs::symlink_metadata(self.file(name)).is_ok()
    }

    /// The program with `line` for arguments (blanks part them) on the CPU, not yet started.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clinlora"));
        command
            .args(line.split_whitespace())
            .args(["--device", "cpu"])
            .current_dir(self.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, line: &str) -> Ended {
        Ended::of(self.command(line).output().expect("the program starts"))
    }

    /// Lines of a run's log: updates and validations.
    pub(crate) fn log(&self, run: &str) -> Vec<Value> {
        let line = |line| serde_json::from_str(line).expect("run.jsonl is JSON lines");
        self.text(&format!("{run}/run.jsonl")).lines().map(line).collect()
    }

    /// A number of every update of a run's log.
    pub(crate) fn updates(&self, run: &str, key: &str) -> Vec<f64> {
        let number = |line: &Value| line.get(key).and_then(Value::as_f64);
        self.log(run).iter().filter(|line| line.get("lr").is_some()).filter_map(number).collect()
    }

    /// Validation losses of a run's log, each with its update.
    pub(crate) fn validations(&self, run: &str) -> Vec<(u64, f64)> {
        let pair = |line: &Value| Some((line["step"].as_u64()?, line.get("valid")?["loss"].as_f64()?));
        self.log(run).iter().filter_map(pair).collect()
    }

    /// Names of `folder`'s entries that begin with `prefix`.
    pub(crate) fn entries(&self, folder: &str, prefix: &str) -> Vec<String> {
        let entries = fs::read_dir(self.file(folder)).expect("a folder");
        let names = entries.map(|entry| entry.expect("readable").file_name().into_string().expect("UTF-8"));
        names.filter(|name| name.starts_with(prefix)).collect()
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("writable");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("readable");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("writable");
        }
    }
}

pub(crate) const NOTES: usize = 25;

/// A note whose outcome follows from what it says, of a length of its own.
pub(crate) fn note(i: usize) -> String {
    let presentation = ["fever", "chest pain", "a fall", "shortness of breath", "confusion"][i % 5];
    let history = ["diabetes", "hypertension and atrial fibrillation", "no known illness"][i % 3];
    let course =
        if label(i) == "DIE" { "Septic shock, lactate rising, intubated" } else { "Comfortable on room air" };
    let plan = ["", " Antibiotics were begun and cultures sent.", " Seen by cardiology."][i % 3];
    format!("{SECRET}, {} years, came with {presentation} and {history}. {course}.{plan}", 40 + 2 * i)
}

pub(crate) fn label(i: usize) -> &'static str {
    if i % 3 == 1 { "DIE" } else { "NOT_DIE" }
}

const TASK: &str = r#"name = "mortality"
title = "Death in hospital"
kind = "binary"
labels = [{ name = "NOT_DIE" }, { name = "DIE", description = "died in hospital" }]
"#;

const BASE: &str = r#"out = "base"
max_tokens = 40
method = "full"

[base.scratch]
vocab_size = 330
hidden_size = 24
intermediate_size = 40
num_hidden_layers = 2
num_attention_heads = 4
num_key_value_heads = 2

[data]
train = "notes.jsonl"

[training]
epochs = 4
batch_size = 5
learning_rate = 1e-2
"#;

const CLINICAL: &str = r#"out = "clinical"
max_tokens = 40

[base]
path = "base"

[data]
train = "notes.jsonl"

[[adapter]]
name = "clinical"
r = 3
alpha = 5
target_modules = ["q_proj", "v_proj", "down_proj"]

[training]
epochs = 3
batch_size = 5
learning_rate = 1e-2
"#;

const DOWNSTREAM: &str = r#"out = "downstream"
max_tokens = 40
task = "mortality.toml"

[base]
path = "base"

[data]
train = "mortality.csv"
valid_fraction = 0.2

[[adapter]]
name = "clinical"
path = "clinical"
trainable = false

[[adapter]]
name = "downstream"
r = 2
alpha = 3
dropout = 0.1

[training]
epochs = 6
batch_size = 5
learning_rate = 2e-2
"#;
