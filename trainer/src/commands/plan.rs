//! `clinlora plan`: what a recipe will take, before the night's run.

use std::time::Instant;

use burn::tensor::{DType, Device};
use clinlora_core::config::ModelConfig;
use clinlora_core::model::head::Classifier;
use clinlora_core::params::{Owner, Walk, set_trainable};
use clinlora_core::peft::config::AdapterConfig;
use clinlora_core::task::{ClassWeighting, Task};
use clinlora_core::weights::RandomWeights;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;

use super::finetune::{self, Foundation, attach_stack};
use super::pretrain::{self, Start};
use super::print_json;
use crate::cli::{Common, Plan as Args};
use crate::console;
use crate::dataset::tokens::TokenCorpus;
use crate::dataset::{Sample, Samples, table};
use crate::error::{Error, Result};
use crate::folders::base::BaseFolder;
use crate::plan::arithmetic::{Arithmetic, Memory, Planned};
use crate::plan::device;
use crate::plan::out_of_memory;
use crate::recipe::{Method, Purpose, Recipe, Scores};
use crate::training::adamw::AdamW;
use crate::training::floor::matmul_flops_per_s;
use crate::training::objective::{Classification, LanguageModelling, Objective};
use crate::training::schedule::RateFactors;
use crate::training::step;

/// What a recipe takes, planned and measured.
#[derive(Debug, Serialize)]
struct Plan {
    device: String,
    dtype: String,
    /// Notes of a micro-batch.
    batch: usize,
    /// Tokens of its longest note.
    tokens: usize,
    trained_values: usize,
    /// Bytes, by arithmetic.
    planned: Memory,
    /// Bytes the model and the step took at their largest.
    measured_bytes: Option<u64>,
    /// Bytes each further note takes, from micro-batches of two sizes.
    bytes_per_note: Option<u64>,
    /// Bytes the run may take.
    available_bytes: Option<u64>,
    /// Whether it fits.
    fits: Option<bool>,
    /// The most notes of a micro-batch that fit.
    largest_batch: Option<u64>,
    matmul_tflops: f64,
    /// Operations of all products of a step.
    operations: f64,
    /// A micro-batch at the floor: 4 operations per multiplied value and token at the device's rate.
    floor_step_s: f64,
    /// A micro-batch as measured.
    step_s: f64,
    tokens_per_s: f64,
    share_of_floor: f64,
    /// Micro-batches of the whole run.
    micro_batches: u64,
    floor_hours: f64,
    hours: f64,
}

/// Prints memory and time of a recipe.
///
/// # Errors
/// [`Error`] for whatever of the recipe's inputs cannot be used.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    if args.memory_gib.is_some_and(|gib| !gib.is_finite() || gib <= 0.0) {
        return Err(Error::Input("--memory-gib: must be above 0".into()));
    }
    let purpose = purpose(args)?;
    let recipe = Recipe::read(&args.recipe, &args.overrides, purpose)?;
    let opened = common.device.open()?;
    let dtype = opened.dtype_for(&recipe);
    let seed = common.seed.unwrap_or(recipe.seed);
    let ground = Ground {
        recipe: &recipe,
        plain: opened.device.clone(),
        dtype,
        seed,
        limit: limit(args, &opened.device),
    };
    let plan = match purpose {
        Purpose::Pretrain => ground.pretraining()?,
        Purpose::Finetune => ground.finetuning()?,
    };
    if common.json {
        return print_json(&plan);
    }
    plan.print()
}

/// A recipe that names a task is for a downstream run.
fn purpose(args: &Args) -> Result<Purpose> {
    let text = crate::files::read_text(&args.recipe)?;
    let in_file = toml::from_str::<toml::Table>(&text).is_ok_and(|table| table.contains_key("task"));
    let named = in_file || args.overrides.iter().any(|assignment| assignment.starts_with("task="));
    Ok(if named { Purpose::Finetune } else { Purpose::Pretrain })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a size of memory, above 0 and far below 2^63"
)]
fn limit(args: &Args, device: &Device) -> Option<u64> {
    let given = args.memory_gib.map(|gib| (gib * f64::from(1u32 << 30)) as u64);
    given.or_else(|| device::available_bytes(device))
}

/// What both kinds of run are planned from.
struct Ground<'a> {
    recipe: &'a Recipe,
    plain: Device,
    dtype: DType,
    seed: u64,
    limit: Option<u64>,
}

impl Ground<'_> {
    fn pretraining(&self) -> Result<Plan> {
        let recipe = self.recipe;
        let is_corpus = TokenCorpus::is_at(&recipe.data.train);
        let texts = if is_corpus { None } else { Some(pretrain::read_notes(recipe)?.0) };
        let device = self.plain.clone().autodiff();
        let matmul_tflops = matmul_flops_per_s(&self.plain, self.dtype) / 1e12;
        let before = device::reset_peak(&self.plain);
        let start = pretrain::start(recipe, texts.as_deref(), &device, self.dtype)?;
        let Start { mut model, config, tokenizer, base_path, fingerprint } = start;
        let notes = match &texts {
            Some(texts) => texts.len(),
            None => pretrain::open_corpus(recipe, &recipe.data.train, &base_path)?.count(),
        };
        drop(texts);
        let foundation = Foundation {
            path: &base_path,
            config: &config,
            tokenizer: &tokenizer,
            fingerprint: &fingerprint,
        };
        let stack = attach_stack(&mut model, recipe, &foundation, &device)?;
        set_trainable(&mut model, &Owner::Base, recipe.method == Method::Full);
        let arithmetic = self.arithmetic(&config, stack.configs(), 0)?;
        let measured =
            self.caught(&arithmetic, || self.measure(&LanguageModelling, &mut model, &config, 0, before))?;
        Ok(self.plan(&arithmetic, &measured, notes, matmul_tflops))
    }

    fn finetuning(&self) -> Result<Plan> {
        let recipe = self.recipe;
        let device = self.plain.clone().autodiff();
        let task_path = recipe.task.as_ref().expect("a valid downstream recipe names a task");
        let task = table::read_task(task_path)?;
        let notes = finetune::read_notes(recipe, &task)?.0.len();
        let base_path = recipe.base.path.as_ref().ok_or_else(|| {
            Error::Input(
                "base.scratch is for pretraining; give base.path, the folder of a trained base".into(),
            )
        })?;
        let matmul_tflops = matmul_flops_per_s(&self.plain, self.dtype) / 1e12;
        let before = device::reset_peak(&self.plain);
        let base = BaseFolder::open(base_path)?;
        base.check_max_tokens(recipe.max_tokens)?;
        base.check_recompute(recipe.training.recompute)?;
        let (backbone, fingerprint) = base.backbone(&device, self.dtype)?;
        let mut head_weights = RandomWeights::new(self.seed, &device, DType::F32);
        let mut model = Classifier::build(backbone, &base.config, task.labels.len(), &mut head_weights);
        if recipe.method == Method::Full {
            set_trainable(&mut model, &Owner::Base, true);
        }
        let foundation = Foundation {
            path: &base.path,
            config: &base.config,
            tokenizer: &base.tokenizer,
            fingerprint: &fingerprint,
        };
        let stack = attach_stack(&mut model, recipe, &foundation, &device)?;
        // Weights of classes change no size.
        let unweighted = Task { class_weighting: ClassWeighting::None, ..task };
        let labels = unweighted.labels.len();
        let objective = Classification::new(&unweighted, &[], Scores::default())?;
        let arithmetic = self.arithmetic(&base.config, stack.configs(), labels)?;
        let measured =
            self.caught(&arithmetic, || self.measure(&objective, &mut model, &base.config, labels, before))?;
        Ok(self.plan(&arithmetic, &measured, notes, matmul_tflops))
    }

    fn arithmetic<'b>(
        &self,
        config: &ModelConfig,
        adapters: impl Iterator<Item = (&'b AdapterConfig, bool)>,
        labels: usize,
    ) -> Result<Arithmetic> {
        let adapters = adapters.map(|(config, trainable)| Planned { config: config.clone(), trainable });
        let full = self.recipe.method == Method::Full;
        let arithmetic = Arithmetic::new(config, adapters.collect(), full, self.dtype, labels)?;
        Ok(arithmetic.recomputing(self.recipe.training.recompute))
    }

    fn caught<T>(&self, arithmetic: &Arithmetic, run: impl FnOnce() -> Result<T>) -> Result<T> {
        let Recipe { training, max_tokens, .. } = self.recipe;
        let step = out_of_memory::Step {
            arithmetic,
            batch: training.batch_size,
            tokens: *max_tokens,
            setting: "training.batch_size",
        };
        out_of_memory::caught(&self.plain, &step, run)
    }

    /// Steps over half a micro-batch and over a whole one, every note as long as any may be.
    fn measure<O: Objective>(
        &self,
        objective: &O,
        model: &mut O::Model,
        config: &ModelConfig,
        labels: usize,
        before: Option<u64>,
    ) -> Result<Measured> {
        let batch = self.recipe.training.batch_size;
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let notes: Vec<Sample> = (0..batch).map(|i| self.worst_note(config, labels, i, &mut rng)).collect();
        let mut optimizer = AdamW::default();
        let mut step = |notes: &[Sample], what: &str| -> Result<(f64, Option<u64>)> {
            console::note(format_args!(
                "plan: {what} of {} x {} tokens",
                notes.len(),
                self.recipe.max_tokens
            ));
            let grown = device::reset_peak(&self.plain);
            let seconds = self.step(objective, model, &mut optimizer, notes)?;
            let peak = device::peak_bytes(&self.plain).zip(before.or(grown));
            Ok((seconds, peak.map(|(peak, before)| peak.saturating_sub(before))))
        };
        let half = if batch > 1 { Some(step(&notes[..batch / 2], "a step")?.1) } else { None };
        let first = step(&notes, "a step")?;
        let second = step(&notes, "the same step, warm,")?;
        let whole = first.1.max(second.1);
        #[expect(clippy::cast_possible_truncation, reason = "a quotient of sizes of memory")]
        let bytes_per_note = whole.zip(half.flatten()).map(|(whole, half)| {
            (u128::from(whole.saturating_sub(half)) / (batch - batch / 2) as u128) as u64
        });
        Ok(Measured { step_s: second.0, bytes: whole, bytes_per_note })
    }

    fn worst_note(&self, config: &ModelConfig, labels: usize, i: usize, rng: &mut ChaCha8Rng) -> Sample {
        let vocabulary = match config {
            ModelConfig::Llama(config) => config.vocab_size,
            ModelConfig::Bert(config) => config.vocab_size,
        };
        let vocabulary = u32::try_from(vocabulary).expect("a token id is a u32");
        let ids = (0..self.recipe.max_tokens).map(|_| rng.random_range(0..vocabulary)).collect();
        let target = (0..labels).map(|label| if label == i % labels { 1.0 } else { 0.0 }).collect();
        Sample { id: String::new(), ids, target }
    }

    fn step<O: Objective>(
        &self,
        objective: &O,
        model: &mut O::Model,
        optimizer: &mut AdamW,
        notes: &[Sample],
    ) -> Result<f64> {
        let device = self.plain.clone().autodiff();
        let training = &self.recipe.training;
        let notes: Vec<&Sample> = notes.iter().collect();
        let started = Instant::now();
        let (loss, gradients) = step::gradients(objective, model, &notes, training, self.seed, &device)?;
        let outcome = step::measure(loss, &gradients);
        let rates = RateFactors::default(); // they change no time
        let lr = training.learning_rate;
        step::apply(model as &mut dyn Walk, optimizer, gradients, outcome, training, lr, &rates);
        device::sync(&self.plain)?;
        Ok(started.elapsed().as_secs_f64())
    }

    #[expect(clippy::cast_precision_loss, reason = "counts and sizes to print")]
    fn plan(&self, arithmetic: &Arithmetic, measured: &Measured, notes: usize, matmul_tflops: f64) -> Plan {
        let training = &self.recipe.training;
        let (batch, tokens) = (training.batch_size, self.recipe.max_tokens);
        let floor_step_s = arithmetic.floor_seconds(batch, tokens, matmul_tflops);
        let micro_batches = (notes.div_ceil(batch) as u64).saturating_mul(training.epochs);
        let hours = |step_s: f64| step_s * micro_batches as f64 / 3600.0;
        let planned = arithmetic.memory(batch, tokens);
        let needed = measured.bytes.or(planned.total);
        let largest_batch = needed.zip(measured.bytes_per_note).zip(self.limit);
        Plan {
            device: device::describe(&self.plain),
            dtype: format!("{:?}", self.dtype).to_lowercase(),
            batch,
            tokens,
            trained_values: arithmetic.trained_values,
            planned,
            measured_bytes: measured.bytes,
            bytes_per_note: measured.bytes_per_note,
            available_bytes: self.limit,
            fits: needed.zip(self.limit).map(|(needed, limit)| needed <= limit),
            largest_batch: largest_batch.map(|((needed, per_note), limit)| {
                let fixed = needed.saturating_sub(per_note * batch as u64);
                limit.saturating_sub(fixed) / per_note.max(1)
            }),
            matmul_tflops,
            operations: arithmetic.operations(batch, tokens, true),
            floor_step_s,
            step_s: measured.step_s,
            tokens_per_s: (batch * tokens) as f64 / measured.step_s,
            share_of_floor: floor_step_s / measured.step_s,
            micro_batches,
            floor_hours: hours(floor_step_s),
            hours: hours(measured.step_s),
        }
    }
}

struct Measured {
    step_s: f64,
    bytes: Option<u64>,
    bytes_per_note: Option<u64>,
}

impl Plan {
    #[expect(clippy::cast_precision_loss, reason = "numbers to print")]
    fn print(&self) -> Result<()> {
        let mib = |bytes: u64| format!("{:.1}", bytes as f64 / f64::from(1u32 << 20));
        let known = |bytes: Option<u64>| bytes.map_or_else(|| "-".to_owned(), mib);
        let row = |what: &str, planned: &str, measured: &str| {
            console::result(format_args!("{what:<28} {planned:>12} {measured:>12}"))
        };
        let Self { batch, tokens, device, dtype, .. } = self;
        console::result(format_args!("{batch} x {tokens} tokens a micro-batch, {dtype}, on {device}"))?;
        row("", "planned", "measured")?;
        row("weights, MiB", &mib(self.planned.weights), "")?;
        row("adapters, MiB", &mib(self.planned.adapters), "")?;
        row("gradients, MiB", &mib(self.planned.gradients), "")?;
        row("optimiser, MiB", &mib(self.planned.optimiser), "")?;
        row("activations, MiB", &known(self.planned.activations), "")?;
        row("for a moment, MiB", &known(self.planned.transient), "")?;
        row("held beside it, MiB", &known(self.planned.overhead), "")?;
        row("together, MiB", &known(self.planned.total), &known(self.measured_bytes))?;
        row("each further note, MiB", "", &known(self.bytes_per_note))?;
        row("a micro-batch, s", &format!("{:.4}", self.floor_step_s), &format!("{:.4}", self.step_s))?;
        let (floor, whole) = (format!("{:.2}", self.floor_hours), format!("{:.2}", self.hours));
        row(&format!("{} micro-batches, h", self.micro_batches), &floor, &whole)?;
        console::result(format_args!(
            "{:.0} tokens/s, {:.0} % of the floor: the planned time is that of {:.3} TFLOP/s, the device's rate",
            self.tokens_per_s,
            100.0 * self.share_of_floor,
            self.matmul_tflops
        ))?;
        let Some((fits, available)) = self.fits.zip(self.available_bytes) else {
            return console::result("whether it fits is not known: give --memory-gib");
        };
        let largest =
            self.largest_batch.map_or_else(String::new, |n| format!("; at most {n} notes a micro-batch do"));
        let verdict = if fits { "fits" } else { "does NOT fit" };
        console::result(format_args!("{verdict} in {} MiB{largest}", mib(available)))
    }
}
