//! `clinlora bench`: speed and memory of a step, beside the device's own rate.
//!
//! Shapes and the accounting of `tflops` are those of a Hugging Face Transformers + PEFT program to compare with: random
//! weights, random tokens, a causal loss over every position, AdamW on the adapter alone, and 4 operations per parameter
//! (head and embedding included) and token, 2 where nothing is trained.

mod anatomy;
mod curve;
#[cfg(feature = "cpu")]
mod gradients;
mod matmul;

use std::time::Instant;

use burn::tensor::{DType, Device, Distribution, Tensor};
use clinlora_core::config::{LLAMA_TARGETS, LlamaConfig, ModelConfig, WeightDtype};
use clinlora_core::model::head::CausalLm;
use clinlora_core::params::{Owner, set_trainable};
use clinlora_core::peft::stack::attach;
use clinlora_core::weights::{Init, Weights};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;

use self::anatomy::{Anatomy, Part, within};
use super::print_json;
use crate::cli::{Bench, BenchOptions, BenchWhat, Common, ProductChoice, WeightFormat};
use crate::console;
use crate::dataset::Sample;
use crate::error::{Error, Result};
use crate::plan::arithmetic::{Arithmetic, Planned};
use crate::plan::device;
use crate::plan::out_of_memory::{self, caught};
use crate::recipe::{Accumulation, Adapter, Schedule, Select, Training};
use crate::training::adamw::AdamW;
use crate::training::floor::matmul_flops_per_s;
use crate::training::objective::{LanguageModelling, Objective};
use crate::training::products::{self, Way};
use crate::training::progress::Progress;
use crate::training::schedule::RateFactors;
use crate::training::step::{self, Outcome};

/// Shapes to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Preset {
    /// 64 wide, 2 layers.
    Tiny,
    /// 288 wide, 6 layers, 24 million parameters with the tables.
    #[value(name = "15m")]
    M15,
    /// 768 wide, 12 layers.
    #[value(name = "110m")]
    M110,
    /// 2048 wide, 22 layers, 32 query heads over 4 key/value heads.
    #[value(name = "1b")]
    B1,
    /// LLaMA-7B.
    #[value(name = "7b")]
    B7,
}

impl Preset {
    fn config(self) -> LlamaConfig {
        match self {
            Self::Tiny => LlamaConfig::preset(1024, 64, 172, 2, 4, 4),
            Self::M15 => LlamaConfig::preset(32000, 288, 768, 6, 6, 6),
            Self::M110 => LlamaConfig::preset(32000, 768, 2048, 12, 12, 12),
            Self::B1 => LlamaConfig::preset(32000, 2048, 5632, 22, 32, 4),
            Self::B7 => LlamaConfig::llama_7b(),
        }
    }
}

/// Draws tensors on the device itself: a 7B model would take minutes from the host.
struct DeviceWeights<'a> {
    device: &'a Device,
    dtype: DType,
}

impl Weights for DeviceWeights<'_> {
    fn tensor<const D: usize>(&mut self, _name: &str, shape: [usize; D], init: Init) -> Tensor<D> {
        let options = (self.device, self.dtype);
        match init {
            Init::Zeros => Tensor::zeros(shape, options),
            Init::Ones => Tensor::ones(shape, options),
            Init::Normal(std) => Tensor::random(shape, Distribution::Normal(0.0, std), options),
        }
    }
}

/// What `bench` prints.
#[derive(Debug, Serialize)]
struct Measured {
    what: &'static str,
    preset: String,
    device: String,
    dtype: String,
    batch: usize,
    seq: usize,
    trainable: usize,
    total: usize,
    steps: usize,
    /// Tokens of a batch over the median step.
    tokens_per_s: f64,
    step_s_median: f64,
    step_s_min: f64,
    step_s_max: f64,
    /// Processor time of all threads, per step: on a shared machine it says more than the clock.
    cpu_s_median: Option<f64>,
    /// Share of a step the device has nothing to do: of a processor, what its threads did not use of the time; of a GPU, what a
    /// step takes beyond its kernels.
    idle_share: Option<f64>,
    warmup_s: f64,
    /// By the accounting of the comparison.
    tflops: f64,
    peak_gib: Option<f64>,
    /// Held after the warm-up, and after the last step: it should not grow.
    held_gib: [Option<f64>; 2],
    /// By arithmetic.
    planned_gib: Option<f64>,
    /// Whether every loss and gradient was a number.
    is_finite: bool,
    /// Whose kernels multiplied with frozen weights.
    products: &'static str,
    grad_norm: Option<f64>,
    loss: Vec<f64>,
    /// Rate of one large product on this device.
    matmul_tflops: f64,
    /// Operations of all products of a step, over that rate.
    share_of_peak: f64,
    /// The time of 4 operations per parameter that is multiplied and token, at that rate, over the time taken.
    share_of_floor: f64,
    /// What a step's time goes into, from steps of their own.
    anatomy: Option<Anatomy>,
}

/// Runs the benchmark and prints one JSON object.
///
/// # Errors
/// [`Error::Input`] for a device or number format this build or machine does not have, or adapter values with no meaning.
pub fn run(args: &Bench, common: &Common) -> Result<()> {
    let opened = common.device.open()?;
    let (device, seed) = (&opened.device, common.seed.unwrap_or(0));
    let dtype = |given: Option<WeightFormat>| -> Result<DType> {
        let dtype = given.map_or(opened.dtype, WeightDtype::from).burn();
        match device.supports_dtype(dtype) {
            true => Ok(dtype),
            false => Err(Error::Input(format!("--dtype: this device does not compute in {dtype:?}"))),
        }
    };
    let (options, trains) = match &args.what {
        BenchWhat::Train(options) => (options, true),
        BenchWhat::Predict(options) => (options, false),
        BenchWhat::Matmul(options) => {
            return print_json(&matmul::measure(options, seed, device, dtype(options.dtype)?)?);
        }
        #[cfg(not(feature = "cpu"))]
        BenchWhat::Gradients(_) => {
            let reason = "bench gradients: needs a program built with the feature cpu too";
            return Err(Error::Input(reason.to_owned()));
        }
        #[cfg(feature = "cpu")]
        BenchWhat::Gradients(options) => {
            let measured = gradients::measure(options, seed, device)?;
            print_json(&measured)?;
            return if measured.agrees {
                Ok(())
            } else {
                Err(Error::Device("its gradients are not the processor's".into()))
            };
        }
        BenchWhat::Curve(options) => {
            return print_json(&curve::measure(options, seed, device, dtype(options.dtype)?)?);
        }
    };
    let dtype = dtype(options.dtype)?;
    let matmul_tflops = matmul_flops_per_s(device, dtype) / 1e12;
    let config = options.preset.config();
    choose_products(options.products, device, dtype, options.batch * options.seq, config.hidden_size)?;
    let arithmetic = arithmetic(options, &config, dtype)?;
    let step = out_of_memory::Step {
        arithmetic: &arithmetic,
        batch: options.batch,
        tokens: options.seq,
        setting: "--batch",
    };
    out_of_memory::refuse_beforehand(device, &step)?;
    let measured = caught(device, &step, || {
        measure(options, trains, seed, device, dtype, &config, &arithmetic, matmul_tflops)
    })?;
    print_json(&measured)
}

/// Has frozen weights multiplied as asked.
fn choose_products(
    asked: ProductChoice,
    device: &Device,
    dtype: DType,
    rows: usize,
    width: usize,
) -> Result<()> {
    match asked {
        ProductChoice::Auto => {
            products::choose(device, dtype, rows, width);
        }
        ProductChoice::Burn => products::take(Way::Burn),
        ProductChoice::CublasLt => {
            let (ways, unavailable) = products::ways(device);
            let Some(way) = ways.into_iter().find(|way| way.name() == "cublaslt") else {
                let reason = unavailable.first().cloned().unwrap_or_else(|| "only with CUDA".to_owned());
                return Err(Error::Input(format!("--products cublaslt: {reason}")));
            };
            products::take(way);
        }
    }
    Ok(())
}

fn arithmetic(options: &BenchOptions, config: &LlamaConfig, dtype: DType) -> Result<Arithmetic> {
    let adapter = adapter(options);
    adapter.check().map_err(Error::Input)?;
    let adapter =
        Planned { config: adapter.config(std::path::Path::new(""), LLAMA_TARGETS), trainable: true };
    Arithmetic::new(&ModelConfig::Llama(config.clone()), vec![adapter], false, dtype, 0)
}

#[expect(clippy::too_many_arguments, reason = "what is measured, on what, and what is known of it")]
fn measure(
    options: &BenchOptions,
    trains: bool,
    seed: u64,
    plain: &Device,
    dtype: DType,
    config: &LlamaConfig,
    arithmetic: &Arithmetic,
    matmul_tflops: f64,
) -> Result<Measured> {
    let device = if trains { plain.clone().autodiff() } else { plain.clone() };
    device::reset_peak(plain);
    device.seed(seed);
    let mut model = CausalLm::build(config, &mut DeviceWeights { device: &device, dtype });
    let adapter = adapter(options);
    let adapter_config = adapter.config(std::path::Path::new(""), LLAMA_TARGETS);
    attach(&mut model, &adapter.name, &adapter_config, seed, &device)
        .map_err(|e| Error::Input(e.to_string()))?;
    set_trainable(&mut model, &Owner::Adapter(adapter.name.clone()), trains);

    let training = training(options.batch);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut optimizer = AdamW::default();
    let mut step = |i: usize| -> Result<(Outcome, f64, Option<f64>)> {
        let samples: Vec<Sample> =
            (0..options.batch).map(|_| random_note(config, options.seq, &mut rng)).collect();
        let samples: Vec<&Sample> = samples.iter().collect();
        let (started, worked) = (Instant::now(), device::processor_seconds());
        let outcome = if trains {
            let seed = seed.wrapping_add(i as u64);
            let (loss, gradients) =
                step::gradients(&LanguageModelling, &mut model, &samples, &training, seed, &device)?;
            within(Part::Optimiser, || {
                let outcome = step::measure(loss, &gradients);
                let lr = training.learning_rate;
                step::apply(
                    &mut model,
                    &mut optimizer,
                    gradients,
                    outcome,
                    &training,
                    lr,
                    &RateFactors::default(),
                );
                outcome
            })
        } else {
            let weight = LanguageModelling.weight(&model, &samples);
            let sum = LanguageModelling.loss_sum(&model, &samples, &device)?;
            Outcome { loss: f64::from(sum.into_scalar::<f32>()) / weight, grad_norm: 0.0 }
        };
        device::sync(plain)?;
        let worked = device::processor_seconds().zip(worked).map(|(after, before)| after - before);
        Ok((outcome, started.elapsed().as_secs_f64(), worked))
    };
    let mut progress = Progress::new("bench", 0, (options.warmup + options.steps) as u64);
    let (mut times, mut processor, mut outcomes) = (Vec::new(), Vec::new(), Vec::new());
    let (mut warmup_s, mut held) = (0.0, device::held_bytes(plain));
    for i in 0..options.warmup + options.steps {
        let (outcome, seconds, worked) = step(i)?;
        outcomes.push(outcome);
        if i < options.warmup {
            warmup_s += seconds;
        } else {
            times.push(seconds);
            processor.extend(worked);
        }
        if i == options.warmup {
            held = device::held_bytes(plain); // with the tensors a step leaves behind
        }
        progress.set(i as u64 + 1, || format!("loss {:.4} {seconds:.3} s a step", outcome.loss));
    }
    let (held_last, peak) = (device::held_bytes(plain), device::peak_bytes(plain));
    drop(progress);
    let is_finite = outcomes.iter().all(|outcome| outcome.loss.is_finite() && outcome.grad_norm.is_finite());
    if !is_finite {
        console::note("warning: a loss is not finite; the figures measure nothing");
    }
    let median = median(&mut times);
    let cpu_s_median = (!processor.is_empty()).then(|| self::median(&mut processor));
    let last = outcomes.last().map_or(f64::NAN, |outcome| outcome.grad_norm);
    let anatomy = match options.anatomy {
        0 => None,
        steps => {
            let mut i = options.warmup + options.steps;
            Some(anatomy::of(plain, steps, median, || {
                i += 1;
                step(i).map(|_| ())
            })?)
        }
    };
    let idle_share = match &anatomy {
        _ if device::is_processor(plain) => {
            let threads = rayon::current_num_threads() as f64;
            cpu_s_median.map(|worked| (1.0 - worked / (threads * median)).max(0.0))
        }
        Some(anatomy) => Some(anatomy.launch_gaps_s / median),
        None => None,
    };
    let gib = |bytes: u64| bytes as f64 / (1u64 << 30) as f64;
    let tokens = (options.batch * options.seq) as f64;
    let passes = if trains { 4.0 } else { 2.0 };
    let total = config.num_params() + arithmetic.adapter_values;
    let operations = arithmetic.operations(options.batch, options.seq, trains);
    Ok(Measured {
        what: if trains { "train" } else { "predict" },
        preset: clap::ValueEnum::to_possible_value(&options.preset)
            .map_or_else(String::new, |value| value.get_name().to_owned()),
        device: device::describe(plain),
        dtype: format!("{dtype:?}").to_lowercase(),
        batch: options.batch,
        seq: options.seq,
        trainable: if trains { arithmetic.adapter_values } else { 0 },
        total,
        steps: options.steps,
        tokens_per_s: tokens / median,
        step_s_median: median,
        step_s_min: times[0],
        step_s_max: times[times.len() - 1],
        cpu_s_median,
        idle_share,
        warmup_s,
        tflops: passes * total as f64 * tokens / median / 1e12,
        peak_gib: peak.map(gib),
        held_gib: [held.map(gib), held_last.map(gib)],
        planned_gib: if trains { arithmetic.memory(options.batch, options.seq).total.map(gib) } else { None },
        is_finite,
        products: products::taken().name(),
        grad_norm: trains.then_some(last),
        loss: outcomes.iter().map(|outcome| outcome.loss).collect(),
        matmul_tflops,
        share_of_peak: operations / (matmul_tflops * 1e12) / median,
        share_of_floor: passes * arithmetic.multiplied as f64 * tokens / (matmul_tflops * 1e12) / median,
        anatomy,
    })
}

fn adapter(options: &BenchOptions) -> Adapter {
    Adapter {
        name: "bench".to_owned(),
        method: Some(options.method),
        r: options.r,
        alpha: options.alpha,
        target_modules: options.target_modules.clone(),
        trainable: true,
        ..Adapter::default()
    }
}

/// The comparison's: AdamW with PyTorch's decay, nothing clipped, one micro-batch a step.
fn training(batch_size: usize) -> Training {
    Training {
        epochs: 1,
        learning_rate: 3e-4,
        head_learning_rate: None,
        batch_size,
        accumulation_steps: 1,
        accumulation: Accumulation::Exact,
        recompute: false,
        schedule: Schedule::Constant,
        warmup_ratio: 0.0,
        weight_decay: 0.01,
        max_grad_norm: None,
        select: Select::Last,
        patience: None,
        checkpoint_minutes: f64::INFINITY,
        keep_last: 1,
    }
}

fn random_note(config: &LlamaConfig, tokens: usize, rng: &mut ChaCha8Rng) -> Sample {
    let vocabulary = u32::try_from(config.vocab_size).expect("a token id is a u32");
    let ids = (0..tokens).map(|_| rng.random_range(3..vocabulary)).collect();
    Sample { id: String::new(), ids, target: Vec::new() }
}

/// Sorts, and takes the middle.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) {
        f64::midpoint(values[middle - 1], values[middle])
    } else {
        values[middle]
    }
}
