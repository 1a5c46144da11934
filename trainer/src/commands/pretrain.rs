//! `clinlora pretrain`.

use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device};
use clinlora_core::config::ModelConfig;
use clinlora_core::model::head::CausalLm;
use clinlora_core::params::{Owner, set_trainable};
use clinlora_core::peft::store::TaskType;
use clinlora_core::tokenizer::Tokenizer;
use clinlora_core::weights::RandomWeights;

use super::finetune::{Foundation, attach_stack};
use super::recipe_run::{self, Outcome, RunOptions, Shape, print_report};
use crate::cli::{Common, Train};
use crate::dataset::order::split;
use crate::dataset::tokens::TokenCorpus;
use crate::dataset::{Note, Sample, Samples, Selected, notes, tokenise};
use crate::error::{Error, Result};
use crate::folders::adapter::Origin;
use crate::folders::base::{self, BaseFolder};
use crate::model_card::{self, Facts};
use crate::recipe::{Method, Purpose, Recipe};
use crate::training::objective::LanguageModelling;
use crate::training::progress::Stage;
use crate::training::run::{Job, RunFolder};
use crate::training::schedule::RateFactors;

/// Trains by language modelling on notes; leaves the adapters, or with `method = "full"` a base, in the run folder.
///
/// # Errors
/// [`Error`] for whatever of the inputs cannot be used, an interruption, or numbers that diverged.
pub fn run(args: &Train, common: &Common) -> Result<()> {
    recipe_run::run(args, common, Purpose::Pretrain, pretrain)
}

/// The command without its printing.
pub(crate) fn pretrain(recipe: &Recipe, common: &Common, options: &RunOptions<'_>) -> Result<Outcome> {
    let RunOptions { title, resume, overwrite, brief, watch, ranks, .. } = *options;
    let opened = common.device.open()?;
    if ranks.leads() {
        RunFolder::check(recipe, resume, overwrite)?;
    }
    let dtype = opened.dtype_for(recipe);
    let device = opened.device.autodiff();
    let reading = Stage::begin(&format!("{title}: reading notes and base"));
    let texts = if TokenCorpus::is_at(&recipe.data.train) { None } else { Some(read_notes(recipe)?) };
    let train_texts = texts.as_ref().map(|(train, _)| train.as_slice());
    let Start { mut model, config, tokenizer, base_path, fingerprint } =
        start(recipe, train_texts, &device, dtype)?;
    let corpus;
    let selected;
    let tokenised;
    let (train_samples, valid_samples): (&dyn Samples, Vec<Sample>) = match &texts {
        Some((train, valid)) => {
            tokenised = tokenise(train, &tokenizer, recipe.max_tokens, &recipe.data.train)?;
            (&tokenised, tokenise(valid, &tokenizer, recipe.max_tokens, &recipe.data.train)?)
        }
        None => {
            corpus = open_corpus(recipe, &recipe.data.train, &base_path)?;
            let valid = held_out(recipe, &corpus, &base_path)?;
            selected = valid.0;
            (&selected, valid.1)
        }
    };

    let foundation =
        Foundation { path: &base_path, config: &config, tokenizer: &tokenizer, fingerprint: &fingerprint };
    let stack = attach_stack(&mut model, recipe, &foundation, &device)?;
    set_trainable(&mut model, &Owner::Base, recipe.method == Method::Full);
    drop(reading);
    let folder = options.open(recipe, &fingerprint)?;
    let trainable = print_report(&mut model, brief);
    let job = Job {
        objective: &LanguageModelling,
        title,
        brief,
        train: train_samples,
        valid: &valid_samples,
        training: &recipe.training,
        rates: &RateFactors::of(recipe),
        seed: recipe.seed,
        device: &device,
        watch,
        ranks,
    };
    let shape = Shape { config: &config, stack: &stack, dtype, labels: 0 };
    let summary = recipe_run::train(&job, &mut model, &folder, recipe, &shape)?;
    if !folder.is_ours() {
        return Ok(Outcome { run: folder.path, adapters: Vec::new(), trainable, summary });
    }
    let _saving = Stage::begin(&format!("{title}: saving"));
    let adapters = match recipe.method {
        Method::Full => {
            let json = tokenizer.to_json().map_err(|e| Error::Input(e.to_string()))?;
            base::save(&folder.path, &mut model, &config, &json)?;
            Vec::new()
        }
        Method::Peft => {
            let origin = Origin { base_fingerprint: fingerprint.clone(), ..Origin::default() };
            stack.save(&folder.path, &mut model, TaskType::CausalLm, &base_path, &origin, &device)?;
            stack.folders(&folder.path)
        }
    };
    let card = Facts {
        recipe,
        task: None,
        base_fingerprint: &fingerprint,
        notes: [train_samples.count(), valid_samples.len()],
        trainable,
        summary: &summary,
    };
    model_card::publish(&card, &folder, &adapters)?;
    Ok(Outcome { run: folder.path, adapters, trainable, summary })
}

pub(super) fn open_corpus(recipe: &Recipe, path: &Path, base: &Path) -> Result<TokenCorpus> {
    let (_, sha256) = base::read_tokenizer(&base::tokenizer_file(base)?)?;
    TokenCorpus::open(path, &sha256, recipe.max_tokens)
}

/// The notes of `corpus` to train on, and those to validate on: `data.valid`, or else a share of the corpus.
fn held_out<'a>(
    recipe: &Recipe,
    corpus: &'a TokenCorpus,
    base: &Path,
) -> Result<(Selected<'a>, Vec<Sample>)> {
    let all: Vec<usize> = (0..corpus.count()).collect();
    let read = |corpus: &TokenCorpus, places: &[usize]| -> Result<Vec<Sample>> {
        places.iter().map(|place| Ok(corpus.sample(*place)?.into_owned())).collect()
    };
    let (places, valid) = match &recipe.data.valid {
        Some(path) => {
            let valid = open_corpus(recipe, path, base)?;
            let places: Vec<usize> = (0..valid.count()).collect();
            (all, read(&valid, &places)?)
        }
        None if all.len() < 2 => return Err(one_note(&recipe.data.train)),
        None => {
            let (train, valid) = split(corpus.count(), recipe.seed, recipe.data.valid_fraction);
            (train, read(corpus, &valid)?)
        }
    };
    Ok((Selected { all: corpus, places }, valid))
}

fn one_note(path: &Path) -> Error {
    Error::Input(format!("{}: one note cannot be split; give data.valid", path.display()))
}

pub(super) fn read_notes(recipe: &Recipe) -> Result<(Vec<Note>, Vec<Note>)> {
    let data = &recipe.data;
    let all = notes::read(&data.train, data.skip_empty)?;
    if let Some(valid) = &data.valid {
        return Ok((all, notes::read(valid, data.skip_empty)?));
    }
    if all.len() < 2 {
        return Err(one_note(&data.train));
    }
    let (train, valid) = split(all.len(), recipe.seed, data.valid_fraction);
    let pick = |places: &[usize]| places.iter().map(|i| all[*i].clone()).collect();
    Ok((pick(&train), pick(&valid)))
}

/// What a run starts from.
pub(super) struct Start {
    pub(super) model: CausalLm,
    pub(super) config: ModelConfig,
    pub(super) tokenizer: Tokenizer,
    pub(super) base_path: PathBuf,
    pub(super) fingerprint: String,
}

pub(super) fn start(recipe: &Recipe, train: Option<&[Note]>, device: &Device, dtype: DType) -> Result<Start> {
    if let Some(path) = &recipe.base.path {
        let base = BaseFolder::open(path)?;
        let (model, fingerprint) = base.causal_lm(device, dtype)?;
        let BaseFolder { path, config, tokenizer } = base;
        return Ok(Start { model, config, tokenizer, base_path: path, fingerprint });
    }
    let scratch = recipe.base.scratch.as_ref().expect("a valid recipe has a base");
    let train = train.ok_or_else(|| {
        let path = recipe.data.train.display();
        Error::Input(format!(
            "{path}: base.scratch trains its tokenizer on texts; give data.train as JSON lines (`clinlora prepare notes` \
             without --tokenizer writes them)"
        ))
    })?;
    let texts = train.iter().map(|note| note.text.as_str());
    let tokenizer = Tokenizer::train(texts, scratch.vocab_size)
        .map_err(|source| Error::Model { path: recipe.data.train.clone(), source: Box::new(source) })?;
    let config = scratch.config(tokenizer.vocab_size());
    let model = CausalLm::build(&config, &mut RandomWeights::new(recipe.seed, device, dtype));
    let base_path = Path::new("").to_owned();
    Ok(Start { model, config: ModelConfig::Llama(config), tokenizer, base_path, fingerprint: String::new() })
}
