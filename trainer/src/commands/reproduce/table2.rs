//! Table 2: five PEFT methods trained by language modelling on the same notes, and the perplexity each reaches.
//!
//! Every row is a run of `clinlora pretrain` by a recipe of `trainer/recipes/table2/`, in a folder named after the method
//! beside the table. A run that was begun is resumed, and a finished one has nothing left to train: so the command, typed
//! again, continues. What is measured is what the run saved, loaded as any command loads it.

mod report;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use clinlora_core::model::head::CausalLm;

use self::report::{Figures, Measured, Paper, Report, Row};
use super::super::params::{Counts, counts};
use super::super::pretrain::pretrain;
use super::super::{RunOptions, print_json, stack};
use crate::cli::{Common, Table2};
use crate::console;
use crate::dataset::tokens::TokenCorpus;
use crate::dataset::{Note, Sample, Samples, notes, tokenise};
use crate::device::Opened;
use crate::error::{Error, Result};
use crate::eval::perplexity::{Perplexity, batch_losses};
use crate::files::{self, FolderLock, NewFolder};
use crate::folders::base::{self, BaseFolder};
use crate::recipe::shipped::{Shipped, shipped};
use crate::recipe::{AdapterMethod, Purpose, Recipe};
use crate::training::run::{RunFolder, seconds};

/// A row: a method, its recipe, and what the paper has for LLaMA-7B.
struct Method {
    title: &'static str,
    method: AdapterMethod,
    recipe: Shipped,
    paper: Paper,
}

/// The rows, in the paper's order.
const METHODS: [Method; 5] = [
    Method {
        title: "LoRA",
        method: AdapterMethod::Lora,
        recipe: shipped!("table2", "lora"),
        paper: Paper {
            trainable: 8_388_608,
            percent: 0.12,
            train_perplexity: 1.858,
            test_perplexity: 2.244,
            time: "21:37:42",
        },
    },
    Method {
        title: "Adaptation prompt",
        method: AdapterMethod::AdaptionPrompt,
        recipe: shipped!("table2", "adaption-prompt"),
        paper: Paper {
            trainable: 1_228_830,
            percent: 0.02,
            train_perplexity: 2.561,
            test_perplexity: 2.865,
            time: "24:57:17",
        },
    },
    Method {
        title: "Prefix tuning",
        method: AdapterMethod::Prefix,
        recipe: shipped!("table2", "prefix"),
        paper: Paper {
            trainable: 5_242_880,
            percent: 0.08,
            train_perplexity: 2.815,
            test_perplexity: 2.748,
            time: "20:11:07",
        },
    },
    Method {
        title: "Prompt tuning",
        method: AdapterMethod::Prompt,
        recipe: shipped!("table2", "prompt"),
        paper: Paper {
            trainable: 61_440,
            percent: 0.0009,
            train_perplexity: 4.846,
            test_perplexity: 4.007,
            time: "23:27:28",
        },
    },
    Method {
        title: "P-tuning",
        method: AdapterMethod::PTuning,
        recipe: shipped!("table2", "p-tuning"),
        paper: Paper {
            trainable: 16_093_696,
            percent: 0.24,
            train_perplexity: 2.723,
            test_perplexity: 3.271,
            time: "23:49:31",
        },
    },
];

/// Training notes whose perplexity is measured at most, evenly spaced over all of them.
const TRAIN_SAMPLE: usize = 1000;

/// Notes in a batch of the batch mean: the paper's, and the default of `clinlora perplexity`.
const PAPER_BATCH: usize = 10;

/// Where the recipes stand in the folder of the table.
const RECIPES: &str = "recipes";

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
    let table = Table {
        args,
        common,
        device,
        base,
        notes,
    };
    let report = table.make(&recipes)?;

    let markdown = report.markdown();
    files::write_atomic(&args.out.join("table2.md"), markdown.as_bytes())?;
    let json = serde_json::to_string_pretty(&report).expect("a report serialises");
    files::write_atomic(&args.out.join("table2.json"), json.as_bytes())?;
    if common.json {
        return print_json(&report);
    }
    console::result(markdown)
}

/// Whether `out` is a table that was begun and is to be continued; refuses what can be neither continued nor begun.
fn check_out(args: &Table2) -> Result<bool> {
    let last = METHODS[METHODS.len() - 1].recipe.name;
    if !args.overwrite && args.out.join(RECIPES).join(format!("{last}.toml")).is_file() {
        return Ok(true);
    }
    files::refuse_existing(&args.out, args.overwrite)?;
    files::refuse_inputs_inside(&args.out, [args.model.as_path(), args.notes.as_path()])?;
    Ok(false)
}

/// The recipe of every method with its counts on `base`; the files are written into `folder`.
fn read_recipes(
    folder: &Path,
    args: &Table2,
    common: &Common,
    base: &BaseFolder,
) -> Result<Vec<(Recipe, Counts)>> {
    let read = |row: &Method| {
        let name = row.recipe.name;
        let mut overrides = vec![
            format!("out={}", args.out.join(name).display()),
            format!("base.path={}", args.model.display()),
            format!("data.train={}", split(&args.notes, "train")?.display()),
        ];
        let valid = split(&args.notes, "valid").ok();
        overrides.extend(valid.iter().map(|path| format!("data.valid={}", path.display())));
        overrides.extend(overrides_of(name, &args.overrides)?);
        let mut recipe = row
            .recipe
            .read_in(&folder.join(RECIPES), &overrides, Purpose::Pretrain)?;
        recipe.seed = common.seed.unwrap_or(recipe.seed);
        if valid.is_none() {
            recipe.data.valid = None; // notes split as the authors did: a share of the training notes is held out
        }
        base.check_max_tokens(recipe.max_tokens)?;
        let adapter = &recipe.adapter[0];
        if adapter.method != Some(row.method) {
            return Err(Error::Input(format!(
                "adapter.0.method: the row of {} is of that method; leave the key out",
                row.title
            )));
        }
        let counts = counts(&base.config, adapter).map_err(|e| {
            Error::Input(format!(
                "{}: {e} ({}); give {name}.adapter.0.KEY=VALUE for this method alone",
                row.title,
                base.path.display()
            ))
        })?;
        Ok((recipe, counts))
    };
    METHODS.iter().map(read).collect()
}

/// The overrides of one method's recipe: first those of all recipes, then those that begin with its name.
fn overrides_of(method: &str, given: &[String]) -> Result<Vec<String>> {
    let (mut of_all, mut its_own) = (Vec::new(), Vec::new());
    for assignment in given {
        let key = assignment.split('=').next().unwrap_or_default();
        let (first, rest) = key.split_once('.').unwrap_or((key, ""));
        let refuse = |reason: &str| Err(Error::Input(format!("{assignment:?}: {reason}")));
        if METHODS.iter().any(|row| row.recipe.name == first) {
            if !rest.starts_with("adapter.") && !rest.starts_with("training.") {
                return refuse(
                    "a method has its own adapter.0 and training keys; all else is the same for all",
                );
            }
            if first == method {
                its_own.push(assignment[first.len() + 1..].to_owned());
            }
            continue;
        }
        match key {
            "out" | "data.train" | "data.valid" => {
                return refuse("comes from --out and --notes here; leave it out");
            }
            _ if first == "base" => return refuse("comes from --model here; leave it out"),
            _ => of_all.push(assignment.clone()),
        }
    }
    of_all.append(&mut its_own);
    Ok(of_all)
}

/// A split of `prepare notes`: a corpus of ids, or else the texts.
fn split(folder: &Path, name: &str) -> Result<PathBuf> {
    let corpus = folder.join(name);
    let texts = folder.join(format!("{name}.jsonl"));
    if TokenCorpus::is_at(&corpus) {
        return Ok(corpus);
    }
    if texts.is_file() {
        return Ok(texts);
    }
    Err(Error::Input(format!(
        "{}: neither {name} nor {name}.jsonl; give the folder `clinlora prepare notes` made",
        folder.display()
    )))
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
        Ok(Self {
            train,
            test,
            train_count,
        })
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
    Ok((
        tokenise(&some, &base.tokenizer, recipe.max_tokens, path)?,
        all.len(),
    ))
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
        let options = RunOptions {
            title: method.recipe.name,
            resume: recipe.out.exists(),
            overwrite: false,
            brief: true,
        };
        let outcome = pretrain(recipe, self.common, &options).inspect_err(|error| {
            if matches!(error, Error::Interrupted { .. }) {
                console::note("what has been trained is kept: the same command, typed again, continues");
            }
        })?;
        debug_assert_eq!(
            outcome.trainable, counts.trainable,
            "`params` counts what is trained"
        );
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
        let dtype = recipe.dtype.unwrap_or(self.device.dtype).burn();
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
        return Ok(Measured {
            all,
            after_first: all.perplexity,
        });
    }
    let firsts: Vec<Sample> = samples
        .iter()
        .map(|sample| Sample {
            ids: sample.ids[..1].to_vec(),
            ..sample.clone()
        })
        .collect();
    let first = Perplexity::of(&batch_losses(model, &firsts, PAPER_BATCH, device)?);
    let sum = |part: &Perplexity| part.nll * part.tokens as f64;
    let tokens = all.tokens - first.tokens;
    Ok(Measured {
        all,
        after_first: ((sum(&all) - sum(&first)) / tokens as f64).exp(),
    })
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
            let log_probs = log_softmax(logits, 2).into_data().to_vec::<f32>().unwrap();
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
        let prompt = AdapterConfig::Prompt(PromptConfig {
            num_virtual_tokens: 3,
            ..PromptConfig::default()
        });
        let prefix = AdapterConfig::Prefix(PrefixConfig {
            num_virtual_tokens: 3,
            ..PrefixConfig::default()
        });
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

    #[test]
    fn a_methods_own_values_come_after_those_of_all() {
        let given = [
            "prefix.training.epochs=3",
            "training.epochs=2",
            "lora.adapter.0.r=4",
        ]
        .map(str::to_owned);
        let of = |method| overrides_of(method, &given).unwrap();
        assert_eq!(of("prefix"), ["training.epochs=2", "training.epochs=3"]);
        assert_eq!(of("lora"), ["training.epochs=2", "adapter.0.r=4"]);
        assert_eq!(of("prompt"), ["training.epochs=2"]);
        for refused in ["prompt.out=x", "prefix=3", "base=x", "data.valid=x"] {
            assert!(overrides_of("lora", &[refused.to_owned()]).is_err(), "{refused}");
        }
    }

    #[test]
    fn the_recipes_have_the_papers_counts_and_values() {
        let config = clinlora_core::config::ModelConfig::Llama(LlamaConfig::llama_7b());
        let folder = tempfile::tempdir().unwrap();
        for row in &METHODS {
            let recipe = row.recipe.read_in(folder.path(), &[], Purpose::Pretrain).unwrap();
            let counts = counts(&config, &recipe.adapter[0]).unwrap();
            assert_eq!(counts.trainable, row.paper.trainable, "{}", row.title);
            // The paper cuts or rounds to the digits it prints.
            let digit = if row.paper.percent < 0.001 { 1e-4 } else { 1e-2 };
            assert!(
                (counts.percent - row.paper.percent).abs() < digit,
                "{}",
                row.title
            );
            let training = &recipe.training;
            assert_eq!(
                (
                    training.learning_rate,
                    training.warmup_ratio,
                    training.weight_decay
                ),
                (3e-4, 0.06, 0.01)
            );
            assert_eq!(
                (training.batch_size, training.accumulation_steps, training.epochs),
                (10, 4, 1)
            );
            assert_eq!(recipe.max_tokens, 128);
            let count = row.recipe.text.contains(&report::grouped(row.paper.trainable));
            assert!(count, "{}: the header gives the count", row.title);
        }
    }
}
