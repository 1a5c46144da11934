//! Table 2: five PEFT methods trained by language modelling on the same notes, and the perplexity each reaches.
//!
//! Every row is a run of `clinlora pretrain` by a recipe of `trainer/recipes/table2/`, in a folder named after the method
//! beside the table. A run that was begun is resumed, and a finished one has nothing left to train: so the command, typed
//! again, continues. What is measured is what the run saved, loaded as any command loads it.

mod methods;
mod report;

pub(super) use self::methods::split;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use clinlora_core::model::head::CausalLm;

use self::methods::{METHODS, Method, is_begun, read_recipes};
use self::report::{Figures, Measured, Report, Row};
use super::super::params::Counts;
use super::super::pretrain::pretrain;
use super::super::recipe_run::RunOptions;
use super::super::{print_json, stack};
use crate::cli::{Common, Table2};
use crate::console;
use crate::dataset::tokens::TokenCorpus;
use crate::dataset::{Note, Sample, Samples, notes, tokenise};
use crate::device::Opened;
use crate::error::{Error, Result};
use crate::eval::perplexity::{Perplexity, batch_losses};
use crate::files::{self, FolderLock, NewFolder};
use crate::folders::base::{self, BaseFolder};
use crate::recipe::Recipe;
use crate::recipe::shipped::Shipped;
use crate::training::run::{RunFolder, seconds};

/// Training notes whose perplexity is measured at most, evenly spaced over all of them.
const TRAIN_SAMPLE: usize = 1000;

/// Notes in a batch of the batch mean: the paper's, and the default of `clinlora perplexity`.
const PAPER_BATCH: usize = 10;

/// The recipe of LoRA, which gives the clinical adapter of the other tables.
pub(super) fn lora() -> Shipped {
    METHODS[0].recipe
}

/// Trains what is not trained yet, measures every method, and prints the table.
///
/// # Errors
/// [`Error`] for inputs or overrides that cannot be used, before anything is trained; an interruption, or numbers that
/// diverged.
pub(super) fn run(args: &Table2, common: &Common) -> Result<()> {
    let device = common.device.open()?;
    let begun = check_out(args)?;
    let base = BaseFolder::open(&args.model)?;
    base.llama()?;
    let read = |folder: &Path| -> Result<_> {
        let recipes = read_recipes(folder, args, common, &base)?;
        let notes = Notes::read(args, &recipes[0].0, &base)?;
        Ok((recipes, notes))
    };
    let (recipes, notes, _lock) = if begun {
        let lock = FolderLock::take(&args.out)?;
        files::remove_temporaries(&args.out)?;
        let (recipes, notes) = read(&args.out)?;
        (recipes, notes, lock)
    } else {
        // The folder appears, and an older one goes, once recipes, base and notes have turned out to fit each other.
        let folder = NewFolder::create(&args.out, args.overwrite)?;
        let (recipes, notes) = read(folder.path())?;
        let lock = FolderLock::take(folder.path())?;
        folder.finish()?;
        (recipes, notes, lock)
    };
    // A run by another recipe is refused now, not once those before it have been trained.
    for (recipe, _) in recipes.iter().filter(|(recipe, _)| recipe.out.exists()) {
        RunFolder::open(recipe, true, false)?;
    }
    let table = Table { args, common, device, base, notes };
    let report = table.make(&recipes)?;

    let mut document = report.document(&args.out);
    document.figures = report.plots()?;
    document.write(&args.out, "table2", &report.records(), &report)?;
    if common.json {
        return print_json(&report);
    }
    console::result(document.terminal())
}

/// Whether `out` is a table that was begun and is to be continued; refuses what can be neither continued nor begun.
fn check_out(args: &Table2) -> Result<bool> {
    if !args.overwrite && is_begun(&args.out) {
        return Ok(true);
    }
    files::refuse_existing(&args.out, args.overwrite)?;
    files::refuse_inputs_inside(&args.out, [args.model.as_path(), args.notes.as_path()])?;
    Ok(false)
}

/// The notes that are measured, as the base sees them.
struct Notes {
    train: Vec<Sample>,
    test: Vec<Sample>,
    /// Training notes in all.
    train_count: usize,
}

impl Notes {
    fn read(args: &Table2, recipe: &Recipe, base: &BaseFolder) -> Result<Self> {
        let (train, train_count) = samples(&recipe.data.train, recipe, base, TRAIN_SAMPLE)?;
        let (test, _) = samples(&split(&args.notes, "test")?, recipe, base, usize::MAX)?;
        Ok(Self { train, test, train_count })
    }
}

/// At most `most` of the notes at `path`, evenly spaced, and how many there are.
fn samples(path: &Path, recipe: &Recipe, base: &BaseFolder, most: usize) -> Result<(Vec<Sample>, usize)> {
    let places = |count: usize| {
        let some = count.min(most);
        (0..some).map(move |i| i * count / some)
    };
    if TokenCorpus::is_at(path) {
        let (_, sha256) = base::read_tokenizer(&base::tokenizer_file(&base.path)?)?;
        let corpus = TokenCorpus::open(path, &sha256, recipe.max_tokens)?;
        let read = places(corpus.count()).map(|place| Ok(corpus.sample(place)?.into_owned()));
        return Ok((read.collect::<Result<_>>()?, corpus.count()));
    }
    let all = notes::read(path, recipe.data.skip_empty)?;
    let some: Vec<Note> = places(all.len()).map(|place| all[place].clone()).collect();
    Ok((tokenise(&some, &base.tokenizer, recipe.max_tokens, path)?, all.len()))
}

/// A table being made.
struct Table<'a> {
    args: &'a Table2,
    common: &'a Common,
    device: Opened,
    base: BaseFolder,
    notes: Notes,
}

impl Table<'_> {
    fn make(&self, recipes: &[(Recipe, Counts)]) -> Result<Report> {
        let first = &recipes[0].0;
        let base = self.figures(first, &[])?;
        console::note(format_args!("base: perplexity {base}"));
        let mut methods = Vec::new();
        let mut times = BTreeMap::new();
        for (method, (recipe, counts)) in METHODS.iter().zip(recipes) {
            let row = self.row(method, recipe, *counts)?;
            times.insert(row.method, seconds(&row.run)?);
            methods.push(row);
        }
        Ok(Report {
            model: self.args.model.clone(),
            parameters: self.base.config.num_params(),
            notes: self.args.notes.clone(),
            train_notes: self.notes.train_count,
            max_tokens: first.max_tokens,
            seed: first.seed,
            overrides: self.args.overrides.clone(),
            base,
            methods,
            seconds: times,
        })
    }

    /// Trains a method, unless that is done, and measures it.
    fn row(&self, method: &Method, recipe: &Recipe, counts: Counts) -> Result<Row> {
        let options = RunOptions { resume: recipe.out.exists(), ..RunOptions::anew(method.recipe.name) };
        let outcome = pretrain(recipe, self.common, &options).inspect_err(|error| {
            if matches!(error, Error::Interrupted { .. }) {
                console::note("what has been trained is kept: the same command, typed again, continues");
            }
        })?;
        debug_assert_eq!(outcome.trainable, counts.trainable, "`params` counts what is trained");
        let figures = self.figures(recipe, &outcome.adapters)?;
        console::note(format_args!(
            "{}: {} updates, perplexity {figures}",
            method.title, outcome.summary.updates
        ));
        Ok(Row {
            title: method.title,
            method: method.recipe.name,
            run: outcome.run,
            updates: outcome.summary.updates,
            learning_rate: recipe.training.learning_rate,
            trainable: outcome.trainable,
            percent: counts.percent,
            figures,
            paper: method.paper,
        })
    }

    /// Perplexities of the base with `adapters`.
    fn figures(&self, recipe: &Recipe, adapters: &[PathBuf]) -> Result<Figures> {
        let dtype = self.device.dtype_for(recipe);
        let device = &self.device.device;
        let model = stack::causal_lm(&self.base, adapters, device, dtype)?;
        Ok(Figures {
            train: measure(&model, &self.notes.train, device)?,
            test: measure(&model, &self.notes.test, device)?,
        })
    }
}

/// Perplexity of `samples`, and of their tokens after the first.
///
/// Behind virtual tokens the first token of a note is predicted too, which the base cannot do. Its loss, as it would be of a
/// note that ends there, is taken out again: what follows a token changes nothing of it.
fn measure(model: &CausalLm, samples: &[Sample], device: &Device) -> Result<Measured> {
    let all = Perplexity::of(&batch_losses(model, samples, PAPER_BATCH, device)?);
    if model.num_targets_of(1) == 0 {
        return Ok(Measured { all, after_first: all.perplexity });
    }
    let firsts: Vec<Sample> =
        samples.iter().map(|sample| Sample { ids: sample.ids[..1].to_vec(), ..sample.clone() }).collect();
    let first = Perplexity::of(&batch_losses(model, &firsts, PAPER_BATCH, device)?);
    let sum = |part: &Perplexity| part.nll * part.tokens as f64;
    let tokens = all.tokens - first.tokens;
    Ok(Measured { all, after_first: ((sum(&all) - sum(&first)) / tokens as f64).exp() })
}

#[cfg(test)]
mod tests {
    use burn::tensor::DType;
    use burn::tensor::activation::log_softmax;
    use clinlora_core::config::LlamaConfig;
    use clinlora_core::peft::config::AdapterConfig;
    use clinlora_core::peft::prefix::PrefixConfig;
    use clinlora_core::peft::prompt::PromptConfig;
    use clinlora_core::peft::stack::attach;
    use clinlora_core::weights::RandomWeights;

    use super::*;
    use crate::training::objective::batch;

    /// `exp` of the mean loss of every token after a note's first, from the logits of one note at a time.
    fn from_logits(model: &CausalLm, samples: &[Sample], device: &Device) -> f64 {
        let (mut nll, mut tokens) = (0.0, 0.0);
        for sample in samples {
            let logits = model.logits(&batch(&[sample], device).unwrap()); // [1, T, V]
            let [_, _, vocab_size] = logits.dims();
            let log_probs = log_softmax(logits, 2).into_data();
            let log_probs = log_probs.as_slice::<f32>().unwrap();
            for (row, next) in log_probs.chunks(vocab_size).zip(&sample.ids[1..]) {
                nll -= f64::from(row[*next as usize]);
                tokens += 1.0;
            }
        }
        (nll / tokens).exp()
    }

    #[test]
    fn virtual_tokens_or_none_the_same_tokens_are_weighed() {
        let device = Device::flex();
        let config = LlamaConfig::preset(29, 12, 20, 2, 2, 2);
        let samples: Vec<Sample> = (0..23u32)
            .map(|i| Sample {
                id: i.to_string(),
                ids: (0..=i % 7).map(|k| (i * i + 3 * k * k + 1) % 29).collect(),
                target: Vec::new(),
            })
            .collect();
        let prompt = AdapterConfig::Prompt(PromptConfig { num_virtual_tokens: 3, ..PromptConfig::default() });
        let prefix = AdapterConfig::Prefix(PrefixConfig { num_virtual_tokens: 3, ..PrefixConfig::default() });
        for (adapter, more) in [(None, 0), (Some(prefix), 0), (Some(prompt), samples.len())] {
            let mut model = CausalLm::build(&config, &mut RandomWeights::new(7, &device, DType::F32));
            if let Some(adapter) = adapter {
                attach(&mut model, "a", adapter, 3, &device).unwrap();
            }
            let measured = measure(&model, &samples, &device).unwrap();
            let expected = from_logits(&model, &samples, &device);
            assert!(
                (measured.after_first / expected - 1.0).abs() < 1e-5,
                "{} against {expected}",
                measured.after_first
            );
            let after_first: usize = samples.iter().map(|sample| sample.ids.len() - 1).sum();
            assert_eq!(measured.all.tokens, after_first + more);
        }
    }
}
