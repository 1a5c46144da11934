//! Rows times tasks times seeds: what Tables 3 and 4 are made of.
//!
//! Every cell is a run of `clinlora finetune` by a recipe of `trainer/recipes/`, in a folder of its own under `runs/`, tested
//! as `clinlora evaluate` tests. A cell that is done is done: the command, typed again, reads what it wrote; one that was
//! begun is resumed; one that diverged says so and stops nothing. The figures of the table come from the predictions on disk.

mod cell;
mod document;
mod figures;
mod overrides;
mod plots;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clinlora_core::task::{ClassWeighting, Task};

use self::cell::{Cell, Data, Done};
use self::document::Header;
use self::overrides::Overrides;
pub(super) use self::overrides::of_clinical;
use super::super::print_json;
use crate::cli::{Common, Grid as Args};
use crate::console;
use crate::dataset::{Note, table};
use crate::error::{Error, Result};
use crate::eval::EvalOptions;
use crate::files;
use crate::folders::base::BaseFolder;
use crate::recipe::published::{self, TASKS};
use crate::recipe::{Method, Recipe};
use crate::training::progress::Progress;
use crate::training::run::RunFolder;

/// A row to be made.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// What it is called on the command line and in folders.
    pub(super) key: String,
    pub(super) title: String,
    /// Its recipe, and the paper's row.
    pub(super) published: published::Row,
    /// Whether the paper has the row.
    pub(super) in_paper: bool,
    /// Folder of the base; a row without one is shown with the paper's figures alone.
    pub(super) base: Option<PathBuf>,
    /// Folder of the clinical adapter, of a row that loads one.
    pub(super) clinical: Option<PathBuf>,
}

/// A table of rows and tasks.
pub(super) struct Grid<'a> {
    /// `table3`.
    pub(super) name: &'static str,
    pub(super) title: String,
    /// What is said before the table.
    pub(super) lead: Vec<String>,
    pub(super) rows: Vec<Row>,
    /// Folder of the table.
    pub(super) out: &'a Path,
    pub(super) args: &'a Args,
    pub(super) common: &'a Common,
    /// The row tests are against if none is named.
    pub(super) baseline: String,
}

/// A task of the table.
pub(super) struct Column {
    /// As the paper calls it.
    pub(super) name: &'static str,
    pub(super) of: std::result::Result<Data, Gap>,
}

/// Why a task cannot be learned, in a word or two and in a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) short: String,
    pub(super) long: String,
}

impl Grid<'_> {
    /// What every cell will be, in the order it will be made; everything a person can have got wrong is found out here. The
    /// files of the recipes are written into `folder`.
    pub(super) fn plan(&self, folder: &Path, columns: &[Column]) -> Result<Vec<Cell>> {
        let overrides = Overrides::new(&self.args.overrides, &self.rows, columns)?;
        let first_seed = self.common.seed;
        let mut cells = Vec::new();
        // A whole table by the first seed comes before the second.
        for nth in 0..u64::from(self.args.seeds) {
            for (row, of) in self.rows.iter().enumerate().filter(|(_, row)| row.base.is_some()) {
                for (task, column) in columns.iter().enumerate() {
                    let Ok(data) = &column.of else {
                        continue;
                    };
                    let given = overrides.of(&of.key, column.name);
                    let mut recipe = of.published.recipe(
                        column.name,
                        self.args.setting,
                        &folder.join("recipes"),
                        &given,
                    )?;
                    recipe.seed = first_seed.unwrap_or(recipe.seed).wrapping_add(nth);
                    let name = format!("{}-{}-seed{}", column.name.to_lowercase(), of.key, recipe.seed);
                    recipe.out = self.out.join("runs").join(name);
                    recipe.base.path.clone_from(&of.base);
                    recipe.task = Some(data.file("task.toml"));
                    recipe.data.train = data.file("train.csv");
                    recipe.data.valid = Some(data.file("valid.csv"));
                    if of.published.loads_clinical() {
                        recipe.adapter[0].path.clone_from(&of.clinical);
                    }
                    cells.push(Cell { row, task, recipe });
                }
            }
        }
        if cells.is_empty() {
            return Err(Error::Input("no cell is left to be made; choose other --rows or --tasks".into()));
        }
        let mut longest: BTreeMap<&Path, usize> = BTreeMap::new();
        for cell in &cells {
            let base = self.rows[cell.row].base.as_deref().expect("only such rows have cells");
            let most = longest.entry(base).or_default();
            *most = cell.recipe.max_tokens.max(*most);
        }
        for (base, max_tokens) in longest {
            BaseFolder::open(base)?.check_max_tokens(max_tokens)?;
        }
        // A run by another recipe is refused now, not once those before it have been trained.
        for cell in cells.iter().filter(|cell| cell.recipe.out.exists()) {
            RunFolder::open(&cell.recipe, true, false)?;
        }
        Ok(cells)
    }

    /// Makes every cell, and the table of them.
    pub(super) fn make(&self, columns: &[Column], cells: Vec<Cell>) -> Result<()> {
        let device = self.common.device.open()?;
        let options = EvalOptions {
            resamples: self.args.resamples,
            seed: self.common.seed.unwrap_or(cells[0].recipe.seed),
        };
        let mut pace = Pace::new(&cells, columns);
        let mut done: Vec<(Cell, Done)> = Vec::new();
        let count = cells.len();
        for (cell, i) in cells.into_iter().zip(1..) {
            let (row, column) = (&self.rows[cell.row], &columns[cell.task]);
            let data = column.of.as_ref().expect("planned cells have data");
            let title = format!("[{i}/{count}] {} {}", column.name, row.key);
            let begun = Instant::now();
            let made = cell.make(&title, data, self.common, &device, options).inspect_err(|error| {
                if matches!(error, Error::Interrupted { .. }) {
                    console::note("what has been trained is kept: the same command, typed again, continues");
                }
            })?;
            let seconds = begun.elapsed().as_secs();
            let left = pace.left_after(&cell, column, made.was_made);
            console::note(format_args!(
                "{title}: {}{}",
                made.done.summary(),
                worked(made.was_made, seconds, left)
            ));
            done.push((cell, made.done));
        }
        let figures = figures::Figures::of(self, columns, &done, options)?;
        let header = Header {
            setting: self.args.setting,
            data: &self.args.data,
            baseline: &self.baseline,
            options,
            overrides: &self.args.overrides,
        };
        let report = document::report(self, columns, &figures, &header, &done);
        let mut document = document::document(self, columns, &figures, &header, &report);
        document.figures = plots::plots(self, columns, &figures, &done)?;
        document.write(self.out, self.name, &document::records(&report), &report)?;
        if self.common.json {
            return print_json(&report);
        }
        let out = self.out.display();
        let name = self.name;
        console::result(document.terminal())?;
        console::result(format_args!(
            "{out}/{name}.html has the plots; {name}.md, .csv, .tex and .json are beside it"
        ))
    }
}

fn worked(was_made: bool, seconds: u64, left: Option<u64>) -> String {
    let took = if was_made { format!(", {seconds} s") } else { " (done before)".to_owned() };
    match left {
        Some(left) if left >= 90 => format!("{took}; about {} min left", left.div_ceil(60)),
        Some(left) if left > 0 => format!("{took}; about {left} s left"),
        _ => took,
    }
}

/// How long the rest will take: cells are weighed by the notes they read, and those that train below the head by three times
/// their epochs, a backward pass costing two forward ones.
struct Pace {
    left: f64,
    made: f64,
    started: Instant,
}

impl Pace {
    fn new(cells: &[Cell], columns: &[Column]) -> Self {
        let left = cells.iter().map(|cell| Self::weight(cell, &columns[cell.task])).sum();
        Self { left, made: 0.0, started: Instant::now() }
    }

    fn weight(cell: &Cell, column: &Column) -> f64 {
        let data = column.of.as_ref().expect("planned cells have data");
        let [train, valid, test] = data.notes.map(|notes| notes as f64);
        let Recipe { method, adapter, training, .. } = &cell.recipe;
        let trains_below = *method == Method::Full || adapter.iter().any(|adapter| adapter.trainable);
        let epochs = training.epochs as f64;
        if trains_below { epochs * (3.0 * train + valid) + test } else { train + valid + test }
    }

    /// Seconds for the cells after `cell`; none before anything was made.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a duration, for people")]
    fn left_after(&mut self, cell: &Cell, column: &Column, was_made: bool) -> Option<u64> {
        let weight = Self::weight(cell, column);
        self.left -= weight;
        if !was_made {
            // Reading what was done before takes no time worth a word.
            self.started = if self.made == 0.0 { Instant::now() } else { self.started };
            return None;
        }
        self.made += weight;
        Some((self.started.elapsed().as_secs_f64() * self.left.max(0.0) / self.made).round() as u64)
    }
}

/// The tasks of `args`, each with its data read once: a file that cannot be used is refused before anything is trained. A task
/// that cannot be learned is refused if it was asked for by name; otherwise the table says so.
pub(super) fn columns(args: &Args) -> Result<Vec<Column>> {
    let chosen: Vec<&'static str> = match &args.tasks {
        None => TASKS.to_vec(),
        Some(names) => {
            let known = |name: &String| TASKS.into_iter().find(|task| task.eq_ignore_ascii_case(name));
            if let Some(name) = names.iter().find(|name| known(name).is_none()) {
                return Err(Error::Input(format!(
                    "--tasks {name}: no such task; there are {}",
                    TASKS.join(", ")
                )));
            }
            TASKS
                .into_iter()
                .filter(|task| names.iter().any(|name| task.eq_ignore_ascii_case(name)))
                .collect()
        }
    };
    let mut columns = Vec::new();
    let mut progress = Progress::new("tasks", 0, chosen.len() as u64);
    for name in chosen {
        let of = read_data(args.data.join(name.to_lowercase()))?;
        if let (Err(gap), Some(_)) = (&of, &args.tasks) {
            return Err(Error::Input(format!("{}; leave {name} out of --tasks, or prepare more", gap.long)));
        }
        columns.push(Column { name, of });
        progress.set(columns.len() as u64, || name.to_owned());
    }
    drop(progress);
    if columns.iter().all(|column| column.of.is_err()) {
        return Err(Error::Input(format!(
            "{}: holds none of the tasks; give the folder `clinlora prepare tasks` made",
            args.data.display()
        )));
    }
    Ok(columns)
}

fn read_data(folder: PathBuf) -> Result<std::result::Result<Data, Gap>> {
    let task_file = folder.join("task.toml");
    if !task_file.is_file() {
        let long = format!("{}: there is no such file: the task was not made", task_file.display());
        return Ok(Err(Gap { short: "not made".to_owned(), long }));
    }
    let task = table::read_task(&task_file)?;
    let mut notes = [0; 3];
    let mut sha256 = BTreeMap::from([("task".to_owned(), files::sha256(&files::read(&task_file)?))]);
    for (i, split) in ["train", "valid", "test"].into_iter().enumerate() {
        let path = folder.join(format!("{split}.csv"));
        if table::count(&path, &task)? == 0 {
            let long = format!("{}: holds no note", path.display());
            return Ok(Err(Gap { short: format!("no {split} notes"), long }));
        }
        let read = table::read(&path, &task, false)?;
        if let Some(label) = absent_class(&task, &read).filter(|_| split == "train") {
            // It cannot be weighed; training would say so, some cells later.
            let long =
                format!("{}: no note is labelled {label}, and classes are to be balanced", path.display());
            return Ok(Err(Gap { short: format!("no class {label} to train on"), long }));
        }
        notes[i] = read.len();
        sha256.insert(split.to_owned(), files::sha256(&files::read(&path)?));
    }
    Ok(Ok(Data { folder, task, notes, sha256 }))
}

/// The first class that no note has, of a task whose classes are balanced.
fn absent_class<'a>(task: &'a Task, notes: &[Note]) -> Option<&'a str> {
    let balanced = task.class_weighting == ClassWeighting::Balanced;
    let absent = |class: &usize| balanced && notes.iter().all(|note| note.target[*class] == 0.0);
    (0..task.labels.len()).find(absent).map(|class| task.labels[class].name.as_str())
}
