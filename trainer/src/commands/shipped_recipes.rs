//! Every recipe of `trainer/recipes/`: read and checked with every choice of its overlays, and run for one update on models
//! of a few thousand values.

use std::fs;
use std::path::{Path, PathBuf};

use super::finetune::finetune;
use super::pretrain::pretrain;
use super::recipe_run::{Outcome, RunOptions};
use crate::cli::Common;
use crate::device::DeviceChoice;
use crate::recipe::published::{Base, Row, Setting, TABLE3, TABLE4, TASKS};
use crate::recipe::{Method, Pooling, Purpose, Recipe, Schedule, Scores, Select};

const COMPAT: &str = "author_compat";

/// A recipe of the folder and what can be chosen in it.
struct Listed {
    path: PathBuf,
    text: String,
    purpose: Purpose,
    bases: Vec<String>,
    tasks: Vec<String>,
    settings: Vec<Option<&'static str>>,
}

impl Listed {
    fn read(path: PathBuf) -> Self {
        let text = fs::read_to_string(&path).expect("readable");
        let purpose = if text.contains("clinlora pretrain") { Purpose::Pretrain } else { Purpose::Finetune };
        let table: toml::Table = toml::from_str(&text).expect("TOML");
        let overlays: Vec<String> = table
            .get("with")
            .and_then(toml::Value::as_table)
            .map_or_else(Vec::new, |with| with.keys().cloned().collect());
        let is_task = |name: &&String| TASKS.contains(&name.as_str());
        let tasks = overlays.iter().filter(is_task).cloned().collect();
        let bases = overlays.iter().filter(|name| !is_task(name) && *name != COMPAT).cloned().collect();
        let settings =
            [None, Some(COMPAT)].into_iter().filter(|s| s.is_none_or(|s| text.contains(s))).collect();
        Self { path, text, purpose, bases, tasks, settings }
    }

    /// Every base, LLaMA being none of the overlays.
    fn bases(&self) -> Vec<Option<&str>> {
        let needs_one = !self.text.contains("\n[base");
        let none = (!needs_one).then_some(None);
        none.into_iter().chain(self.bases.iter().map(|name| Some(name.as_str()))).collect()
    }

    fn tasks(&self) -> Vec<Option<&str>> {
        if self.tasks.is_empty() {
            vec![None]
        } else {
            self.tasks.iter().map(|name| Some(name.as_str())).collect()
        }
    }

    fn recipe(&self, overlays: [Option<&str>; 3], overrides: &[String]) -> Recipe {
        let names: Vec<&str> = overlays.into_iter().flatten().collect();
        let with = format!("with={}", names.join(","));
        let given: Vec<String> = std::iter::once(with).chain(overrides.iter().cloned()).collect();
        Recipe::read(&self.path, &given, self.purpose).unwrap_or_else(|error| panic!("{given:?}: {error}"))
    }
}

/// All of them but the spaces of `clinlora search`, which are no recipes.
fn all() -> Vec<Listed> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of the checkout") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                if !path.ends_with("search") {
                    folders.push(path);
                }
            } else {
                found.push(Listed::read(path));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() >= 22, "the recipes are where they should be");
    found
}

#[test]
fn every_recipe_is_valid_with_every_choice_and_says_what_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let resolved = folder.path().join("recipe.toml");
    for listed in all() {
        for part in ["# Purpose: ", "# Command: ", "# Hardware: ", "# Expected: "] {
            assert!(listed.text.contains(part), "{}: no {part}", listed.path.display());
        }
        for base in listed.bases() {
            for task in listed.tasks() {
                for setting in &listed.settings {
                    let recipe = listed.recipe([base, task, *setting], &[]);
                    fs::write(&resolved, recipe.resolved()).expect("writable");
                    let again = Recipe::read(&resolved, &[], listed.purpose).expect("its own text");
                    assert_eq!(again, recipe, "{}", listed.path.display());
                }
            }
        }
    }
}

fn row(title: &str) -> &'static Row {
    TABLE3.iter().chain(&TABLE4).find(|row| row.title == title).expect("a row of that title")
}

fn read(row: &Row, task: &str, setting: Setting) -> Recipe {
    let folder = tempfile::tempdir().expect("a folder");
    row.recipe(task, setting, folder.path(), &[])
        .unwrap_or_else(|error| panic!("{} {task}: {error}", row.title))
}

#[test]
fn rows_are_trained_as_the_text_and_as_the_code_had_it() {
    for row in TABLE3.iter().chain(&TABLE4) {
        let figures: Vec<String> = row.auroc_percent.iter().map(|figure| format!("{figure:.2}")).collect();
        let line = format!("{}  {:.2}", figures.join("  "), row.mean_percent());
        assert!(row.recipe.text.contains(&line), "{}: the header has {line}", row.title);
        let is_bert = !matches!(row.base, Base::Llama | Base::PmcLlama);
        for task in TASKS {
            let recipe = read(row, task, Setting::Paper);
            let training = &recipe.training;
            assert_eq!(
                (training.learning_rate, training.warmup_ratio, training.weight_decay),
                (5e-5, 0.06, 0.01)
            );
            assert_eq!((training.batch_size, training.accumulation_steps, training.epochs), (10, 10, 10));
            assert_eq!((training.schedule, training.select), (Schedule::Linear, Select::Best));
            assert_eq!((recipe.max_tokens, recipe.seed, recipe.scores), (128, 1234, Some(Scores::Sigmoid)));
            assert_eq!(recipe.method == Method::Full, is_bert && !row.title.contains("LoRA"));
            assert_eq!(row.loads_clinical(), recipe.adapter.first().is_some_and(|a| a.path.is_some()));
            assert!(recipe.adapter.iter().all(|adapter| adapter.active));
            let path = format!("tasks/{}/", task.to_lowercase());
            assert!(recipe.task.expect("a task").starts_with(&path) && recipe.data.train.starts_with(&path));

            let recipe = read(row, task, Setting::AuthorCompat);
            assert_eq!(
                (recipe.training.schedule, recipe.scores),
                (Schedule::AuthorCompat, Some(Scores::Softmax))
            );
            let pooling = if is_bert { Pooling::Last } else { Pooling::LastPosition };
            assert_eq!(recipe.pooling, Some(pooling));
            assert!(recipe.adapter.get(1).is_none_or(|second| !second.active), "the second is inert");
        }
    }
    let shape = |title: &str, task: &str| {
        let training = read(row(title), task, Setting::AuthorCompat).training;
        (training.batch_size, training.accumulation_steps, training.select, training.learning_rate)
    };
    assert_eq!(shape("LLaMA*", "LOS"), (8, 10, Select::Last, 5e-5));
    assert_eq!(shape("LLaMA + LoRA", "MOR"), (10, 2, Select::Last, 3e-4));
    assert_eq!(shape("LLaMA + LoRA", "LOS"), (10, 2, Select::Last, 5e-5));
    assert_eq!(shape("PMC-LLaMA + LoRA", "MOR"), (10, 2, Select::Last, 5e-5));
    assert_eq!(shape("BlueBERT + LoRA", "MOR"), (32, 2, Select::Last, 5e-5));
    assert_eq!(shape("LLaMA + Clinical (Trainable) + Downstream", "MOR"), (8, 2, Select::LowestLoss, 5e-5));
    assert_eq!(shape("PMC-LLaMA + Clinical (Trainable) + Downstream", "MOR"), (8, 10, Select::Last, 5e-5));
    let best = |task: &str| {
        let recipe = read(row("LLaMA + Clinical (Trainable) + Downstream"), task, Setting::Paper);
        let second = &recipe.adapter[1];
        (second.r, second.alpha, second.dropout)
    };
    assert_eq!(best("PMV"), (Some(16), Some(32.0), Some(0.0)));
    assert_eq!(best("PROC"), (Some(2), Some(8.0), Some(0.1)));
}

/// Tiny models, notes and tasks.
struct Room {
    folder: tempfile::TempDir,
    common: Common,
}

const MULTILABEL: [&str; 2] = ["DIAG", "PROC"];

impl Room {
    fn new() -> Self {
        let common = Common { json: false, device: DeviceChoice::Cpu, seed: None };
        let room = Self { folder: tempfile::tempdir().expect("a folder"), common };
        let note = |i: usize| format!("Chief complaint: {} on day {i}", ["fever", "a fall", "cough"][i % 3]);
        let notes: String = (0..8).map(|i| format!("{{\"id\": {i}, \"text\": \"{}\"}}\n", note(i))).collect();
        fs::write(room.path("notes.jsonl"), notes).expect("writable");
        for task in TASKS {
            let classes = if task == "LOS" { 4 } else { 2 };
            let kind = match task {
                "LOS" => "multiclass",
                _ if MULTILABEL.contains(&task) => "multilabel",
                _ => "binary",
            };
            let labels: Vec<String> = (0..classes).map(|k| format!("{{ name = \"c{k}\" }}")).collect();
            let weighting = if kind == "multilabel" { "none" } else { "balanced" };
            let text = format!(
                "name = \"{task}\"\nkind = \"{kind}\"\nclass_weighting = \"{weighting}\"\nlabels = [{}]\n",
                labels.join(", ")
            );
            fs::write(room.path(&format!("{task}.toml")), text).expect("writable");
            let rows: String = (0..8).map(|i| format!("{i},{},c{}\n", note(i), i % classes)).collect();
            fs::write(room.path(&format!("{task}.csv")), format!("id,text,label\n{rows}")).expect("writable");
        }
        room
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What makes a recipe small: one epoch of eight short notes, which is one update.
    fn overrides(&self, listed: &Listed, recipe: &Recipe, out: &str, task: &str) -> Vec<String> {
        let mut given =
            vec![("max_tokens".to_owned(), "24".to_owned()), ("training.epochs".to_owned(), "1".to_owned())];
        let mut set = |key: &str, value: String| given.push((key.to_owned(), value));
        let path = |name: &str| self.path(name).display().to_string();
        set("out", path(out));
        if recipe.base.scratch.is_some() {
            for (key, value) in [
                ("vocab_size", 300),
                ("hidden_size", 16),
                ("intermediate_size", 20),
                ("num_hidden_layers", 2),
            ] {
                set(&format!("base.scratch.{key}"), value.to_string());
            }
        } else {
            let is_bert = listed.path.file_stem().is_some_and(|stem| stem.to_string_lossy().contains("bert"));
            let bert = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/bert/model");
            set("base.path", if is_bert { bert.to_owned() } else { path("base") });
        }
        let (train, valid) = match listed.purpose {
            Purpose::Pretrain => (path("notes.jsonl"), path("notes.jsonl")),
            Purpose::Finetune => (path(&format!("{task}.csv")), path(&format!("{task}.csv"))),
        };
        if listed.purpose == Purpose::Finetune {
            set("task", path(&format!("{task}.toml")));
        }
        set("data.train", train);
        set("data.valid", valid);
        for (i, adapter) in recipe.adapter.iter().enumerate() {
            if adapter.path.is_some() {
                set(&format!("adapter.{i}.path"), path("clinical"));
            }
            if adapter.adapter_layers.is_some() {
                set(&format!("adapter.{i}.adapter_layers"), "2".into());
            }
            if adapter.encoder.is_some() {
                set(&format!("adapter.{i}.encoder_hidden_size"), "8".into());
            }
        }
        given.into_iter().map(|(key, value)| format!("{key}={value}")).collect()
    }

    /// Runs a recipe for one update.
    fn run(&self, listed: &Listed, overlays: [Option<&str>; 3], out: &str, task: &str) -> Outcome {
        let published = listed.recipe(overlays, &[]);
        let recipe = listed.recipe(overlays, &self.overrides(listed, &published, out, task));
        let options = RunOptions::anew(out);
        let outcome = match listed.purpose {
            Purpose::Pretrain => pretrain(&recipe, &self.common, &options),
            Purpose::Finetune => finetune(&recipe, &self.common, &options),
        };
        outcome.unwrap_or_else(|error| panic!("{} with {overlays:?}: {error}", listed.path.display()))
    }
}

#[test]
fn every_recipe_makes_an_update_in_every_setting_on_every_base() {
    let room = Room::new();
    let recipes = all();
    let named = |ending: &str| recipes.iter().find(|listed| listed.path.ends_with(ending)).expect("a recipe");
    room.run(named("demo/base.toml"), [None; 3], "base", "");
    room.run(named("table2/lora.toml"), [None; 3], "clinical", "");
    let mut tasks = TASKS.iter().cycle();
    for (i, listed) in recipes.iter().enumerate() {
        for base in listed.bases() {
            for setting in &listed.settings {
                // Every task comes about with every setting, in turn.
                let task = *tasks.next().expect("they go round");
                let chosen = (!listed.tasks.is_empty()).then_some(task);
                let out = format!("run-{i}-{}-{}", base.unwrap_or("llama"), setting.unwrap_or("paper"));
                let outcome = room.run(listed, [base, chosen, *setting], &out, task);
                assert_eq!(outcome.summary.updates, 1, "{out}");
                assert!(outcome.trainable > 0 && outcome.run.join("recipe.toml").is_file(), "{out}");
            }
        }
    }
}
