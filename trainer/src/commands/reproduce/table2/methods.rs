//! The methods of Table 2: their recipes, how they fit a base, and what the paper has for them.

use std::path::{Path, PathBuf};

use super::super::super::params::{Counts, counts};
use super::report::Paper;
use crate::cli::{Common, Table2};
use crate::dataset::tokens::TokenCorpus;
use crate::error::{Error, Result};
use crate::folders::base::BaseFolder;
use crate::recipe::shipped::{Shipped, shipped};
use crate::recipe::{AdapterMethod, Purpose, Recipe};

/// A row: a method, its recipe, and what the paper has for LLaMA-7B.
pub(super) struct Method {
    pub(super) title: &'static str,
    pub(super) method: AdapterMethod,
    pub(super) recipe: Shipped,
    pub(super) paper: Paper,
}

/// The rows, in the paper's order.
pub(super) const METHODS: [Method; 5] = [
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

/// Where the recipes stand in the folder of the table.
const RECIPES: &str = "recipes";

/// Whether recipes of a table stand in `out`.
pub(super) fn is_begun(out: &Path) -> bool {
    let recipe = |row: &Method| out.join(RECIPES).join(format!("{}.toml", row.recipe.name));
    METHODS.iter().all(|row| recipe(row).is_file())
}

/// The recipe of every method with its counts on `base`; the files are written into `folder`.
pub(super) fn read_recipes(
    folder: &Path,
    args: &Table2,
    common: &Common,
    base: &BaseFolder,
) -> Result<Vec<(Recipe, Counts)>> {
    let read = |row: &Method| {
        let name = row.recipe.name;
        let overrides = overrides_of(name, &args.overrides)?;
        let mut recipe = row.recipe.read_in(&folder.join(RECIPES), &overrides, Purpose::Pretrain)?;
        recipe.seed = common.seed.unwrap_or(recipe.seed);
        recipe.out = args.out.join(name);
        recipe.base.path = Some(args.model.clone());
        recipe.data.train = split(&args.notes, "train")?;
        // Notes split as the authors split them have no validation part: a share of the training notes is held out.
        recipe.data.valid = split(&args.notes, "valid").ok();
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
pub(in super::super) fn split(folder: &Path, name: &str) -> Result<PathBuf> {
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

#[cfg(test)]
mod tests {
    use clinlora_core::config::{LlamaConfig, ModelConfig};

    use super::super::super::grouped;
    use super::*;

    #[test]
    fn a_methods_own_values_come_after_those_of_all() {
        let given =
            ["prefix.training.epochs=3", "training.epochs=2", "lora.adapter.0.r=4"].map(str::to_owned);
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
        let config = ModelConfig::Llama(LlamaConfig::llama_7b());
        let folder = tempfile::tempdir().unwrap();
        for row in &METHODS {
            let recipe = row.recipe.read_in(folder.path(), &[], Purpose::Pretrain).unwrap();
            let counts = counts(&config, &recipe.adapter[0]).unwrap();
            assert_eq!(counts.trainable, row.paper.trainable, "{}", row.title);
            // The paper cuts or rounds to the digits it prints.
            let digit = if row.paper.percent < 0.001 { 1e-4 } else { 1e-2 };
            assert!((counts.percent - row.paper.percent).abs() < digit, "{}", row.title);
            let training = &recipe.training;
            assert_eq!(
                (training.learning_rate, training.warmup_ratio, training.weight_decay),
                (3e-4, 0.06, 0.01)
            );
            assert_eq!((training.batch_size, training.accumulation_steps, training.epochs), (10, 4, 1));
            assert_eq!(recipe.max_tokens, 128);
            let count = row.recipe.text.contains(&grouped(row.paper.trainable as u64));
            assert!(count, "{}: the header gives the count", row.title);
        }
    }
}
