//! Bundles made by the program itself, for the browser suite: synthetic patients, a small base, a clinical adapter and five
//! tasks on it, exported at both precisions, and what the native program predicts from them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::page::target;
use crate::shell::{cargo, output, root, run};

const TASKS: [&str; 5] = ["mor", "pmv", "los", "diag", "proc"];

/// Notes on which browser and native program are compared.
const NOTES: usize = 50;

/// Makes the bundles unless they are there and as new as the program; returns their folder.
pub(crate) fn make() -> Result<PathBuf, String> {
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
    let program = target().join("checked/clinlora");
    let folder = target().join("browser-bundles");
    let made = folder.join("made");
    let newest = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
    if newest(&made).is_some_and(|made| newest(&program).is_some_and(|program| program <= made)) {
        return Ok(folder);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    }
    fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    Maker { program, folder: folder.clone() }.all()?;
    fs::write(&made, "").map_err(|e| format!("{}: {e}", made.display()))?;
    Ok(folder)
}

/// Arguments of `export` for every task: definition, the clinical adapter under the task's own, and labelled notes to fit and
/// measure on if wanted.
fn tasks(has_evidence: bool) -> Vec<String> {
    let mut arguments = Vec::new();
    for task in TASKS {
        arguments
            .extend(["--task".to_owned(), format!("{task}=tasks/{task}/task.toml:clinical+runs/{task}")]);
        if has_evidence {
            for (flag, split) in [("--valid", "valid"), ("--test", "test")] {
                arguments.extend([flag.to_owned(), format!("{task}=tasks/{task}/{split}.csv")]);
            }
        }
    }
    arguments
}

struct Maker {
    program: PathBuf,
    folder: PathBuf,
}

impl Maker {
    fn clinlora(&self, arguments: &[&str]) -> Result<(), String> {
        run(Command::new(&self.program).current_dir(&self.folder).args(arguments))
    }

    fn all(&self) -> Result<(), String> {
        self.clinlora(&["cohort", "--patients", "300", "--seed", "7", "--out", "hospital"])?;
        self.clinlora(&["prepare", "tasks", "--mimic3", "hospital/mimic-iii", "--out", "tasks"])?;
        self.clinlora(&["prepare", "notes", "--mimic4-note", "hospital/mimic-iv-note", "--out", "notes"])?;
        let set = ["out=checkpoint", "base.scratch.vocab_size=1024"];
        self.train("pretrain", "base", &set, "notes/train.jsonl", "notes/valid.jsonl")?;
        self.train(
            "pretrain",
            "clinical",
            &["out=clinical", "base.path=checkpoint"],
            "notes/train.jsonl",
            "notes/valid.jsonl",
        )?;
        for task in TASKS {
            let (out, file) = (format!("out=runs/{task}"), format!("task=tasks/{task}/task.toml"));
            let set = [
                out.as_str(),
                file.as_str(),
                "base.path=checkpoint",
                "adapter.0.path=clinical",
                "adapter.0.trainable=false",
            ];
            let data = |split: &str| format!("tasks/{task}/{split}.csv");
            self.train("finetune", "clinical-downstream", &set, &data("train"), &data("valid"))?;
        }
        self.notes()?;
        for bits in ["4", "8"] {
            let bundle = format!("trained-int{bits}");
            // Calibration levels what the adapters change: once without, once with.
            let tasks = tasks(bits == "8");
            let mut export =
                vec!["export", "--model", "checkpoint", "--bits", bits, "--out", bundle.as_str()];
            export.extend(tasks.iter().map(String::as_str));
            self.clinlora(&export)?;
            for adapters in ["off", "clinical", "all"] {
                for task in TASKS {
                    self.predict(&bundle, adapters, task)?;
                }
            }
        }
        Ok(())
    }

    /// One epoch of a recipe of the demo: the numbers need not be good, only different from chance and from each other.
    fn train(&self, verb: &str, recipe: &str, set: &[&str], train: &str, valid: &str) -> Result<(), String> {
        let recipe = root().join(format!("trainer/recipes/demo/{recipe}.toml"));
        let recipe = recipe.display().to_string();
        let data =
            [format!("data.train={train}"), format!("data.valid={valid}"), "training.epochs=1".to_owned()];
        let mut arguments = vec![verb, recipe.as_str()];
        arguments.extend(set.iter().copied().chain(data.iter().map(String::as_str)));
        self.clinlora(&arguments)
    }

    /// Notes to compare on: of held-out patients, some that are odd, and the page's samples.
    fn notes(&self) -> Result<(), String> {
        let path = self.folder.join("notes/test.jsonl");
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let lines: Vec<&str> = text.lines().take(NOTES).collect();
        if lines.len() < NOTES {
            return Err(format!(
                "{} has {} notes; the comparison wants {NOTES}",
                path.display(),
                lines.len()
            ));
        }
        let odd = r#"{"id":"odd-0","text":"x"}
{"id":"odd-1","text":"\u202eRTL \u05d0\u05d1 emoji \ud83e\udec0 NUL \u0000 </s> <s> end"}
"#;
        let path = root().join("webapp/samples.json");
        let samples = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let path = self.folder.join("notes.jsonl");
        fs::write(&path, format!("{}\n{odd}{}", lines.join("\n"), notes_of_samples(&samples)))
            .map_err(|e| format!("{}: {e}", path.display()))
    }

    /// What the native program says, one line a note.
    fn predict(&self, bundle: &str, adapters: &str, task: &str) -> Result<(), String> {
        let path = self.folder.join(format!("{bundle}-{adapters}-{task}.jsonl"));
        let arguments = [
            "predict",
            "--bundle",
            bundle,
            "--task",
            task,
            "--adapters",
            adapters,
            "--notes",
            "notes.jsonl",
            "--json",
        ];
        let lines = output(Command::new(&self.program).current_dir(&self.folder).args(arguments))
            .ok_or_else(|| format!("clinlora {} failed", arguments.join(" ")))?;
        fs::write(&path, lines).map_err(|e| format!("{}: {e}", path.display()))
    }
}

/// The page's samples as notes, one a line. Their file has a line for each field, whose text is JSON as it stands.
fn notes_of_samples(samples: &str) -> String {
    let field = |line: &'_ str, name: &str| {
        let value = line.trim().strip_prefix(&format!("\"{name}\": "))?;
        Some(value.trim_end_matches(',').to_owned())
    };
    let ids = samples.lines().filter_map(|line| field(line, "id"));
    let texts = samples.lines().filter_map(|line| field(line, "text"));
    ids.zip(texts).map(|(id, text)| format!("{{\"id\":{id},\"text\":{text}}}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_notes_by_their_own_ids() {
        let file = "{\n \"samples\": [\n  {\n   \"id\": \"7\",\n   \"title\": \"x\",\n   \"text\": \"a, \\\"b\\\"\",\n   \"truth\": {}\n  }\n ]\n}";
        assert_eq!(notes_of_samples(file), "{\"id\":\"7\",\"text\":\"a, \\\"b\\\"\"}\n");
        let shipped = fs::read_to_string(root().join("webapp/samples.json")).expect("a file of the checkout");
        assert!(notes_of_samples(&shipped).lines().count() >= 8);
    }
}
