//! `clinlora demo`: the main job end to end on synthetic patients, down to a bundle for a browser.
//!
//! Every step is one a person can type: the recipes of `trainer/recipes/demo/` are written into the folder, and the
//! report names the command behind each row.

mod report;

use std::path::{Path, PathBuf};
use std::time::Instant;

use clinlora_core::quant::Bits;
use clinlora_core::weights::bundle::ModelCard;

use self::report::{Cell, Report, Row};
use super::evaluate::{Evaluation, evaluate};
use super::finetune::finetune;
use super::pretrain::pretrain;
use super::recipe_run::{Outcome, RunOptions};
use super::{print_json, stack};
use crate::cli::{Common, Demo};
use crate::cohort;
use crate::console;
use crate::dataset::{notes, table, tokenise};
use crate::device::Opened;
use crate::error::Result;
use crate::eval::EvalOptions;
use crate::eval::perplexity::{Perplexity, batch_losses};
use crate::export::{ExportOptions, TaskToExport, export};
use crate::files::{self, NewFolder};
use crate::folders::base::BaseFolder;
use crate::mimic::{NoteOptions, NoteSplit, TaskOptions, prepare_notes, prepare_tasks};
use crate::recipe::shipped::{Shipped, shipped};
use crate::recipe::{Purpose, Recipe};
use crate::training::interrupt;
use crate::training::progress::Progress;

const BASE: Shipped = shipped!("demo", "base");
const CLINICAL: Shipped = shipped!("demo", "clinical");

/// A row of the table: how a task is learned.
struct Variant {
    title: &'static str,
    recipe: Shipped,
    /// Whether the recipe's first adapter is the clinical one.
    loads_clinical: bool,
}

/// The variant whose adapters the bundle has.
const IN_BUNDLE: Shipped = shipped!("demo", "clinical-downstream");

/// Four of the paper's six variants.
const VARIANTS: [Variant; 4] = [
    Variant { title: "head only", recipe: shipped!("demo", "head"), loads_clinical: false },
    Variant { title: "+ LoRA", recipe: shipped!("demo", "lora"), loads_clinical: false },
    Variant {
        title: "+ clinical (frozen)",
        recipe: shipped!("demo", "clinical-frozen"),
        loads_clinical: true,
    },
    Variant { title: "+ clinical (trainable) + downstream", recipe: IN_BUNDLE, loads_clinical: true },
];

/// The paper's tasks, in the order of its tables.
const TASKS: [&str; 5] = ["PMV", "MOR", "LOS", "DIAG", "PROC"];

/// Makes a hospital, prepares its notes and tasks, trains base, clinical adapter and downstream adapters, and prints
/// what each is worth on patients none of them has seen.
///
/// # Errors
/// [`crate::error::Error`] for a folder that exists, an interruption, or what the file system says.
pub fn run(args: &Demo, common: &Common) -> Result<()> {
    interrupt::listen();
    NewFolder::create(&args.out, args.overwrite)?.finish()?;
    let demo = Walkthrough {
        root: args.out.clone(),
        common,
        seed: common.seed.unwrap_or(1234),
        device: common.device.open()?,
        started: Instant::now(),
    };
    let report = demo.all(args.patients)?;
    let markdown = report.markdown();
    files::write_atomic(&demo.path("report.md"), markdown.as_bytes())?;
    let json = serde_json::to_string_pretty(&report).expect("a report serialises");
    files::write_atomic(&demo.path("report.json"), json.as_bytes())?;
    if common.json {
        return print_json(&report);
    }
    console::result(format_args!("\n{markdown}"))
}

/// One demo under way.
struct Walkthrough<'a> {
    root: PathBuf,
    common: &'a Common,
    seed: u64,
    device: Opened,
    started: Instant,
}

impl Walkthrough<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Says what has been reached, and when.
    fn say(&self, what: impl std::fmt::Display) {
        let seconds = self.started.elapsed().as_secs();
        console::note(format_args!("[{}:{:02}] {what}", seconds / 60, seconds % 60));
    }

    fn all(&self, patients: u64) -> Result<Report> {
        self.hospital(patients)?;
        let task_notes = self.tasks()?;
        self.notes()?;
        let base = self.base()?;
        let clinical = self.clinical(&base)?;
        let perplexity = self.perplexities(&base, &clinical)?;
        let mut rows = Vec::new();
        for variant in &VARIANTS {
            let mut cells = Vec::new();
            for task in TASKS {
                cells.push(self.cell(variant, task, &base, &clinical)?);
            }
            let row = Row { title: variant.title, cells };
            self.say(row.line());
            rows.push(row);
        }
        let bundle = self.bundle(&base)?;
        let folder = self.root.clone();
        Ok(Report { patients, seed: self.seed, folder, task_notes, perplexity, rows, bundle })
    }

    fn hospital(&self, patients: u64) -> Result<()> {
        let folder = NewFolder::create(&self.path("hospital"), false)?;
        let mut progress = Progress::new("patients", 0, patients);
        let summary = cohort::write(patients, self.seed, folder.path(), &mut progress)?;
        drop(progress);
        folder.finish()?;
        let rows: u64 = summary.rows.values().sum();
        self.say(format_args!(
            "hospital: {patients} synthetic patients with a history, {patients} with notes alone, {rows} rows"
        ));
        Ok(())
    }

    /// Makes the task sets; returns the sizes of training, validation and test sets.
    fn tasks(&self) -> Result<Vec<(String, [usize; 3])>> {
        prepare_tasks(&TaskOptions {
            mimic3: self.path("hospital").join(cohort::MIMIC3),
            out: self.path("tasks"),
            splits: None,
            pmv_labels: None,
            skip_bad_rows: 0,
            overwrite: false,
        })?;
        let mut sizes = Vec::new();
        for task in TASKS {
            let definition = table::read_task(&self.task_file(task, "task.toml"))?;
            let count = |split: &str| {
                table::read(&self.task_file(task, split), &definition, false).map(|notes| notes.len())
            };
            sizes.push((task.to_owned(), [count("train.csv")?, count("valid.csv")?, count("test.csv")?]));
        }
        self.say(format_args!("tasks: {}", report::sizes(&sizes)));
        Ok(sizes)
    }

    fn task_file(&self, task: &str, file: &str) -> PathBuf {
        self.path("tasks").join(task.to_lowercase()).join(file)
    }

    /// Makes the pretraining notes, and parts those of training in two: the base is made from the first part, the clinical
    /// adapter from the second.
    fn notes(&self) -> Result<()> {
        prepare_notes(&NoteOptions {
            mimic4_note: self.path("hospital").join(cohort::MIMIC4_NOTE),
            out: self.path("notes"),
            tokenizer: None,
            max_tokens: 128,
            split: NoteSplit::Patient,
            packing: false,
            skip_bad_rows: 0,
            overwrite: false,
        })?;
        let train = files::read_text(&self.path("notes/train.jsonl"))?;
        let lines: Vec<&str> = train.lines().collect();
        for (part, place) in [("first", 0), ("second", 1)] {
            let text: String = lines.iter().skip(place).step_by(2).map(|line| format!("{line}\n")).collect();
            files::write_atomic(&self.path(&format!("notes/{part}.jsonl")), text.as_bytes())?;
        }
        self.say(format_args!("notes: {} to train on", lines.len()));
        Ok(())
    }

    /// The recipe, in the demo's folder, with paths of this demo.
    fn recipe(&self, shipped: Shipped, purpose: Purpose, overrides: &[(&str, PathBuf)]) -> Result<Recipe> {
        let seed = format!("seed={}", self.seed);
        let overrides: Vec<String> =
            overrides.iter().map(|(key, value)| format!("{key}={}", value.display())).chain([seed]).collect();
        shipped.read_in(&self.path("recipes"), &overrides, purpose)
    }

    fn base(&self) -> Result<PathBuf> {
        let overrides = [
            ("out", self.path("base")),
            ("data.train", self.path("notes/first.jsonl")),
            ("data.valid", self.path("notes/valid.jsonl")),
        ];
        let recipe = self.recipe(BASE, Purpose::Pretrain, &overrides)?;
        let Outcome { run, trainable, summary, .. } =
            pretrain(&recipe, self.common, &RunOptions::anew("base"))?;
        self.say(format_args!("base: {trainable} values from scratch, {} updates", summary.updates));
        Ok(run)
    }

    fn clinical(&self, base: &Path) -> Result<PathBuf> {
        let overrides = [
            ("out", self.path("clinical")),
            ("base.path", base.to_owned()),
            ("data.train", self.path("notes/second.jsonl")),
            ("data.valid", self.path("notes/valid.jsonl")),
        ];
        let recipe = self.recipe(CLINICAL, Purpose::Pretrain, &overrides)?;
        let Outcome { run, trainable, summary, .. } =
            pretrain(&recipe, self.common, &RunOptions::anew("clinical adapter"))?;
        self.say(format_args!("clinical adapter: {trainable} values, {} updates", summary.updates));
        Ok(run)
    }

    /// Perplexity of held-out patients' notes under the base, and under base and clinical adapter.
    fn perplexities(&self, base: &Path, clinical: &Path) -> Result<[f64; 2]> {
        let folder = BaseFolder::open(base)?;
        let path = self.path("notes/test.jsonl");
        let notes = notes::read(&path, false)?;
        let samples = tokenise(&notes, &folder.tokenizer, 128, &path)?;
        let of = |adapters: &[PathBuf]| -> Result<f64> {
            let device = &self.device.device;
            let model = stack::causal_lm(&folder, adapters, device, self.device.dtype.burn())?;
            let losses = batch_losses(&model, &samples, 1, device)?;
            Ok(Perplexity::of(&losses).perplexity)
        };
        let both = [of(&[])?, of(&[clinical.to_owned()])?];
        self.say(format_args!(
            "perplexity of held-out notes: {:.2} with the base, {:.2} with the clinical adapter",
            both[0], both[1]
        ));
        Ok(both)
    }

    /// Packs base, clinical and downstream adapters of all tasks for a browser.
    fn bundle(&self, base: &Path) -> Result<report::Bundle> {
        let tasks = TASKS.map(|task| {
            let run = self.path("runs").join(format!("{}-{}", task.to_lowercase(), IN_BUNDLE.name));
            TaskToExport {
                name: task.to_lowercase(),
                file: self.task_file(task, "task.toml"),
                adapters: vec![run.join("clinical"), run],
                valid: Some(self.task_file(task, "valid.csv")),
                test: Some(self.task_file(task, "test.csv")),
            }
        });
        let said = |text: &str| text.to_owned();
        let card = ModelCard {
            name: said("clinlora demo"),
            licence: said("Apache-2.0"),
            intended_use: said("Showing that the program works, from raw tables to a page."),
            limitations: said("Trained on invented patients: its figures say nothing about real ones."),
            training_data: said("The synthetic hospital of `clinlora demo`."),
            ..ModelCard::default()
        };
        let options = ExportOptions {
            model: base.to_owned(),
            bits: Bits::Four,
            tasks: tasks.to_vec(),
            base: None,
            max_tokens: 128,
            card,
            out: self.path("bundle"),
            overwrite: false,
            seed: self.seed,
        };
        let bundle = report::Bundle::new(&export(&options, &self.device)?);
        self.say(bundle.line());
        Ok(bundle)
    }

    /// Trains and tests one variant on one task.
    fn cell(&self, variant: &Variant, task: &str, base: &Path, clinical: &Path) -> Result<Cell> {
        let name = format!("{}-{}", task.to_lowercase(), variant.recipe.name);
        let run = self.path("runs").join(&name);
        let mut overrides = vec![
            ("out", run.clone()),
            ("base.path", base.to_owned()),
            ("task", self.task_file(task, "task.toml")),
            ("data.train", self.task_file(task, "train.csv")),
            ("data.valid", self.task_file(task, "valid.csv")),
        ];
        if variant.loads_clinical {
            overrides.push(("adapter.0.path", clinical.to_owned()));
        }
        let recipe = self.recipe(variant.recipe, Purpose::Finetune, &overrides)?;
        let outcome = finetune(&recipe, self.common, &RunOptions::anew(&name))?;

        let definition = table::read_task(&self.task_file(task, "task.toml"))?;
        let metrics = evaluate(&Evaluation {
            title: &name,
            model: base,
            adapters: &outcome.adapters,
            max_tokens: recipe.max_tokens,
            task: &definition,
            task_file: &self.task_file(task, "task.toml"),
            data: &self.task_file(task, "test.csv"),
            skip_empty: false,
            options: EvalOptions { resamples: 1000, seed: self.seed },
            out: &run.join("test"),
            overwrite: false,
            device: &self.device.device,
            dtype: self.device.dtype.burn(),
        })?;
        Ok(Cell::new(task, run, outcome.trainable, &metrics))
    }
}
