//! `clinlora search`: trials of a recipe, each a run folder of its own, chosen by what those before came to.
//!
//! The folder of a search holds `journal.jsonl`, which decides everything, the runs in `trials/`, and `report.html` and
//! `report.json`, written anew after every trial. Whoever types the command again, or at the same time on another machine,
//! goes on with the same journal.

use std::path::{Path, PathBuf};

use super::finetune::finetune;
use super::pretrain::pretrain;
use super::print_json;
use super::recipe_run::RunOptions;
use crate::cli::{Common, Prune, Search};
use crate::console;
use crate::error::{AtPath, Error, Result};
use crate::files::{self, FolderLock, NewFolder};
use crate::recipe::shipped::{Shipped, shipped};
use crate::recipe::{Adapter, AdapterMethod, Purpose, Recipe};
use crate::search::journal::{self, Header, JOURNAL};
use crate::search::metric::Metric;
use crate::search::report::Report;
use crate::search::shared::{Claim, Next, Shared, trials};
use crate::search::space::{Point, Space};
use crate::training::interrupt;
use crate::training::objective::Validation;
use crate::training::run::Watch;

/// The paper's spaces, by method.
const SPACES: [(AdapterMethod, Shipped); 5] = [
    (AdapterMethod::Lora, shipped!("search", "lora")),
    (AdapterMethod::Prefix, shipped!("search", "prefix")),
    (AdapterMethod::Prompt, shipped!("search", "prompt")),
    (AdapterMethod::PTuning, shipped!("search", "p-tuning")),
    (AdapterMethod::AdaptionPrompt, shipped!("search", "adaption-prompt")),
];

/// Grids up to this size have the recipe of every point checked before the first trial.
const CHECKED: usize = 2048;

/// Searches until as many trials have begun as are wanted, or nothing is left to try.
///
/// # Errors
/// [`Error`] for a recipe, space or journal that cannot be used, and for whatever ends a trial but divergence, which is a
/// failed trial.
pub fn run(args: &Search, common: &Common) -> Result<()> {
    let trial = TrialRecipe::new(args, common)?;
    let space = trial.space(args)?;
    trial.check(&space)?;
    let folder = args.out.clone().map_or_else(|| trial.default_out(), Ok)?;
    let (search, _lock) = begin(args, &trial, space, &folder)?;
    interrupt::listen();

    let (exhausted, elsewhere) = loop {
        let claim = match search.next()? {
            Next::Run(claim) => claim,
            Next::Enough { elsewhere } => break (false, elsewhere),
            Next::Exhausted { elsewhere } => break (true, elsewhere),
        };
        run_trial(&search, &trial, claim, args, common)?;
        write_report(&search, false, 0)?;
    };
    let report = write_report(&search, exhausted, elsewhere)?;
    if common.json {
        return print_json(&report);
    }
    console::result(report.text())
}

/// The recipe all trials share, but for their values.
struct TrialRecipe<'a> {
    path: &'a Path,
    overrides: &'a [String],
    purpose: Purpose,
    /// As read without a trial's values, unless they are what makes it valid.
    adapters: Vec<Adapter>,
    seed: Option<u64>,
}

impl<'a> TrialRecipe<'a> {
    fn new(args: &'a Search, common: &Common) -> Result<Self> {
        let path = args.recipe.as_path();
        let text = files::read_text(path)?;
        // What is wrong with the text is said, with its line, when the recipe is read as such.
        let table: toml::Table = toml::from_str(&text).unwrap_or_default();
        let names_task = table.contains_key("task") || args.overrides.iter().any(|o| o.starts_with("task="));
        let purpose = if names_task { Purpose::Finetune } else { Purpose::Pretrain };
        let adapters = Recipe::read(path, &args.overrides, purpose)?.adapter;
        Ok(Self { path, overrides: &args.overrides, purpose, adapters, seed: common.seed })
    }

    /// The recipe of a trial, with its run folder.
    fn read(&self, space: &Space, point: &Point, out: &Path) -> Result<Recipe> {
        let overrides = [self.overrides, &space.overrides(point)].concat();
        let mut recipe = Recipe::read(self.path, &overrides, self.purpose)?;
        recipe.seed = self.seed.unwrap_or(recipe.seed);
        out.clone_into(&mut recipe.out);
        Ok(recipe)
    }

    fn default_out(&self) -> Result<PathBuf> {
        let mut out = Recipe::read(self.path, self.overrides, self.purpose)?.out.into_os_string();
        out.push("-search");
        Ok(out.into())
    }

    /// The space that is asked for, or the paper's of the topmost adapter trained from nothing.
    fn space(&self, args: &Search) -> Result<Space> {
        let name = args.space.as_ref().and_then(|path| path.to_str()).unwrap_or_default();
        let fresh = self.adapters.iter().rfind(|adapter| adapter.path.is_none() && adapter.trainable);
        let shipped = match &args.space {
            Some(_) => SPACES.iter().find(|(_, space)| space.name == name),
            None => {
                let method = fresh.map(|adapter| adapter.method.unwrap_or_default());
                SPACES.iter().find(|(of, _)| Some(*of) == method)
            }
        };
        let space = match (shipped, &args.space) {
            (Some((_, space)), _) => {
                let origin = PathBuf::from(format!("space {}", space.name));
                Space::read(&origin, space.text, &self.adapters)?
            }
            (None, Some(path)) if !path.exists() => {
                let names: Vec<&str> = SPACES.iter().map(|(_, space)| space.name).collect();
                return Err(Error::Input(format!(
                    "--space {}: neither a file nor one of the paper's spaces: {}",
                    path.display(),
                    names.join(", ")
                )));
            }
            (None, Some(path)) => Space::read(path, &files::read_text(path)?, &self.adapters)?,
            (None, None) => {
                return Err(Error::Input(format!(
                    "{}: trains no adapter from nothing, so no space of the paper fits; give --space FILE",
                    self.path.display()
                )));
            }
        };
        for axis in &space.axes {
            let given = |o: &&String| o.split_once('=').is_some_and(|(key, _)| key == axis.key);
            if let Some(given) = self.overrides.iter().find(given) {
                return Err(Error::Input(format!(
                    "{given:?}: the space searches {}; leave one out",
                    axis.key
                )));
            }
        }
        Ok(space)
    }

    /// Refuses values the recipe refuses before the first trial, not at the fifteenth.
    fn check(&self, space: &Space) -> Result<()> {
        let points: Vec<Point> = match space.size().filter(|size| *size <= CHECKED) {
            Some(size) => (0..size).map(|place| space.grid_point(place)).collect(),
            None => space.ends(),
        };
        for point in &points {
            self.read(space, point, Path::new("trial"))?;
        }
        Ok(())
    }
}

/// Joins the search in `folder`, or begins one there.
fn begin(
    args: &Search,
    trial: &TrialRecipe<'_>,
    space: Space,
    folder: &Path,
) -> Result<(Shared, FolderLock)> {
    let first = space.first();
    let recipe = trial.read(&space, &first, Path::new("trial"))?;
    let metric = args.metric.unwrap_or(Metric::of(trial.purpose));
    if metric == Metric::Auroc && trial.purpose == Purpose::Pretrain {
        return Err(Error::Input(
            "--metric auroc: pretraining has none; accepted are perplexity and loss".to_owned(),
        ));
    }
    let header = Header::new(args.sampler, metric, recipe.seed, space.describe(), recipe.resolved());
    let is_begun = || folder.join(JOURNAL).is_file();
    if args.overwrite || !is_begun() {
        files::refuse_existing(folder, args.overwrite)?;
        let inputs = recipe.inputs().chain([trial.path]).chain(args.space.as_deref());
        files::refuse_inputs_inside(folder, inputs)?;
        let new = NewFolder::create(folder, args.overwrite)?;
        journal::begin(new.path(), header.clone())?;
        std::fs::create_dir(trials(new.path())).at(folder)?;
        match new.finish() {
            // Another process began it at the same moment.
            Err(Error::Input(_)) if !args.overwrite && is_begun() => {}
            finished => finished?,
        }
    }
    let lock = FolderLock::share(folder)?;
    // Processes may name the folder in different ways; the trials' recipes name it in one.
    let folder = folder.canonicalize().at(folder)?;
    let search = Shared { folder, space, header, wanted: args.trials as usize };
    let study = search.study()?;
    if !study.trials.is_empty() {
        console::note(format_args!(
            "{}: goes on after {} trials",
            search.folder.display(),
            study.trials.len()
        ));
    }
    Ok((search, lock))
}

/// Notes the epochs of a trial in the journal.
struct Observer<'a> {
    search: &'a Shared,
    number: usize,
    prune: bool,
    was_pruned: std::cell::Cell<bool>,
}

impl Watch for Observer<'_> {
    fn goes_on(&self, epoch: u64, valid: Validation) -> Result<bool> {
        let Some(value) = self.search.header.metric.value(valid) else {
            return Ok(true);
        };
        let pruned = self.search.end_epoch(self.number, epoch, value, self.prune)?;
        self.was_pruned.set(pruned);
        Ok(!pruned)
    }
}

fn run_trial(
    search: &Shared,
    trial: &TrialRecipe<'_>,
    claim: Claim,
    args: &Search,
    common: &Common,
) -> Result<()> {
    let (number, metric) = (claim.number, search.header.metric);
    let title = format!("trial {number}/{}", search.wanted);
    let reason = match (claim.is_taken_up, claim.expected_improvement) {
        (true, _) => "taken up where its process stopped".to_owned(),
        (false, Some(improvement)) => format!("expected improvement {improvement:.2e}"),
        (false, None) => "chosen by chance".to_owned(),
    };
    console::note(format_args!("{title}: {} ({reason})", search.space.text(&claim.point)));
    let out = search.run_folder(number);
    let observer = Observer { search, number, prune: args.prune == Prune::Median, was_pruned: false.into() };
    let options = RunOptions {
        title: &title,
        resume: out.exists(),
        overwrite: false,
        brief: true,
        watch: Some(&observer),
    };
    let outcome = trial.read(&search.space, &claim.point, &out).and_then(|recipe| match trial.purpose {
        Purpose::Pretrain => pretrain(&recipe, common, &options),
        Purpose::Finetune => finetune(&recipe, common, &options),
    });
    match outcome {
        Ok(_) if observer.was_pruned.get() => {
            search.close(claim)?;
            console::note(format_args!("{title}: given up: worse than the median of the others so far"));
            Ok(())
        }
        Ok(outcome) => {
            let Some(value) = outcome.summary.valid.and_then(|valid| metric.value(valid)) else {
                search.leave(claim)?;
                return Err(Error::Input(format!(
                    "{title}: the validation notes give no {}; give data.valid with notes of every class, or another \
                     --metric",
                    metric.name()
                )));
            };
            search.finish(claim, value)?;
            let study = search.study()?;
            let (best, best_value) = study.best(metric).expect("a trial has finished");
            console::note(format_args!(
                "{title}: {} {value:.4}; best {best_value:.4} of trial {}",
                metric.name(),
                best.number
            ));
            Ok(())
        }
        Err(Error::Diverged { update, what, .. }) => {
            let reason = format!("diverged at update {update}: {what}");
            console::note(format_args!("{title}: failed: {reason}"));
            search.fail(claim, reason)
        }
        Err(error) => {
            search.leave(claim)?;
            if matches!(error, Error::Interrupted { .. }) {
                console::note("the journal has what was tried: the same command, typed again, continues");
            }
            Err(error)
        }
    }
}

/// Writes `report.json` and `report.html`.
fn write_report(search: &Shared, exhausted: bool, elsewhere: usize) -> Result<Report> {
    let study = search.study()?;
    let report = Report::new(search, &study, exhausted, elsewhere);
    let json = serde_json::to_string_pretty(&report).expect("a report serialises");
    files::write_atomic(&search.folder.join("report.json"), json.as_bytes())?;
    let html = report.html(&search.space, &study)?;
    files::write_atomic(&search.folder.join("report.html"), html.as_bytes())?;
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pretraining recipe of one fresh adapter.
    fn recipe(folder: &Path, method: &str) -> PathBuf {
        let path = folder.join(format!("{method}.toml"));
        let text = format!(
            "out = \"run\"\n[base]\npath = \"base\"\n[data]\ntrain = \"notes.jsonl\"\n[[adapter]]\nname = \"a\"\n\
             method = \"{method}\"\n[training]\nepochs = 1\nlearning_rate = 1e-3\n"
        );
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn the_spaces_are_the_papers_and_each_is_taken_by_a_recipe_of_its_method() {
        let folder = tempfile::tempdir().unwrap();
        for (method, size) in
            [("lora", 48), ("prefix", 10), ("prompt", 10), ("p-tuning", 600), ("adaption-prompt", 6)]
        {
            let path = recipe(folder.path(), method);
            let line = ["clinlora", "search", path.to_str().unwrap()];
            let cli = <crate::cli::Cli as clap::Parser>::parse_from(line);
            let crate::cli::Command::Search(args) = cli.command else { panic!("a search") };
            let trial = TrialRecipe::new(&args, &cli.common).unwrap();
            let space = trial.space(&args).unwrap();
            assert_eq!(space.size(), Some(size), "{method}");
            trial.check(&space).unwrap();
        }
    }
}
