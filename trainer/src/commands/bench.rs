//! `clinlora bench`: speed and memory of a step, beside the device's own rate.
//!
//! Shapes and the accounting of `tflops` are those of a Hugging Face Transformers + PEFT program to compare with: random
//! weights, random tokens, a causal loss over every position, AdamW on the adapter alone, and 4 operations per parameter
//! (head and embedding included) and token, 2 where nothing is trained.

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

use super::print_json;
use crate::cli::{Bench, BenchOptions, BenchWhat, Common};
use crate::console;
use crate::dataset::Sample;
use crate::error::{Error, Result};
use crate::plan::arithmetic::{Arithmetic, Planned};
use crate::plan::device;
use crate::recipe::{Accumulation, Adapter, Schedule, Select, Training};
use crate::training::adamw::AdamW;
use crate::training::floor::matmul_flops_per_s;
use crate::training::objective::{LanguageModelling, Objective};
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
    warmup_s: f64,
    /// By the accounting of the comparison.
    tflops: f64,
    peak_gib: Option<f64>,
    grad_norm: Option<f64>,
    loss: Vec<f64>,
    /// Rate of one large product on this device.
    matmul_tflops: f64,
    /// Operations of all products of a step, over that rate.
    share_of_peak: f64,
    /// The time of 4 operations per parameter that is multiplied and token, at that rate, over the time taken.
    share_of_floor: f64,
}

/// Runs the benchmark and prints one JSON object.
///
/// # Errors
/// [`Error::Input`] for a device or number format this build or machine does not have, or adapter values with no meaning.
pub fn run(args: &Bench, common: &Common) -> Result<()> {
    let (options, trains) = match &args.what {
        BenchWhat::Train(options) => (options, true),
        BenchWhat::Predict(options) => (options, false),
    };
    let opened = common.device.open()?;
    let dtype = options.dtype.map_or(opened.dtype, WeightDtype::from).burn();
    if !opened.device.supports_dtype(dtype) {
        return Err(Error::Input(format!("--dtype: this device does not compute in {dtype:?}")));
    }
    let seed = common.seed.unwrap_or(0);
    let matmul_tflops = matmul_flops_per_s(&opened.device, dtype) / 1e12;
    print_json(&measure(options, trains, seed, &opened.device, dtype, matmul_tflops)?)
}

fn measure(
    options: &BenchOptions,
    trains: bool,
    seed: u64,
    plain: &Device,
    dtype: DType,
    matmul_tflops: f64,
) -> Result<Measured> {
    let config = options.preset.config();
    let device = if trains { plain.clone().autodiff() } else { plain.clone() };
    device::reset_peak(plain);
    device.seed(seed);
    let mut model = CausalLm::build(&config, &mut DeviceWeights { device: &device, dtype });
    let adapter = adapter(options);
    adapter.check().map_err(Error::Input)?;
    let adapter_config = adapter.config(std::path::Path::new(""), LLAMA_TARGETS);
    attach(&mut model, &adapter.name, &adapter_config, seed, &device)
        .map_err(|e| Error::Input(e.to_string()))?;
    set_trainable(&mut model, &Owner::Adapter(adapter.name.clone()), trains);

    let training = training(options.batch);
    let arithmetic = Arithmetic::new(
        &ModelConfig::Llama(config.clone()),
        vec![Planned { config: adapter_config, trainable: true }],
        false,
        dtype,
        0,
    )?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut optimizer = AdamW::default();
    let mut progress = Progress::new("bench", 0, (options.warmup + options.steps) as u64);
    let (mut times, mut processor, mut losses) = (Vec::new(), Vec::new(), Vec::new());
    let (mut warmup_s, mut last) = (0.0, Outcome { loss: f64::NAN, grad_norm: f64::NAN });
    for i in 0..options.warmup + options.steps {
        let samples: Vec<Sample> =
            (0..options.batch).map(|_| random_note(&config, options.seq, &mut rng)).collect();
        let samples: Vec<&Sample> = samples.iter().collect();
        let (started, worked) = (Instant::now(), device::processor_seconds());
        if trains {
            let (loss, gradients) = step::gradients(
                &LanguageModelling,
                &mut model,
                &samples,
                &training,
                seed.wrapping_add(i as u64),
                &device,
            )?;
            last = step::measure(loss, &gradients);
            let lr = training.learning_rate;
            step::apply(&mut model, &mut optimizer, gradients, last, &training, lr, &RateFactors::default());
            device::sync(plain)?;
        } else {
            let weight = LanguageModelling.weight(&model, &samples);
            let sum = LanguageModelling.loss_sum(&model, &samples, &device)?;
            last.loss = f64::from(sum.into_scalar::<f32>()) / weight;
        }
        let seconds = started.elapsed().as_secs_f64();
        losses.push(last.loss);
        if i < options.warmup {
            warmup_s += seconds;
        } else {
            times.push(seconds);
            processor.extend(device::processor_seconds().zip(worked).map(|(after, before)| after - before));
        }
        progress.set(i as u64 + 1, || format!("loss {:.4} {seconds:.3} s a step", last.loss));
    }
    drop(progress);
    if !losses.iter().all(|loss| loss.is_finite()) {
        console::note("warning: a loss is not finite; the figures measure nothing");
    }
    let median = median(&mut times);
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
        cpu_s_median: (!processor.is_empty()).then(|| self::median(&mut processor)),
        warmup_s,
        tflops: passes * total as f64 * tokens / median / 1e12,
        peak_gib: device::peak_bytes(plain).map(|bytes| bytes as f64 / (1u64 << 30) as f64),
        grad_norm: trains.then_some(last.grad_norm),
        loss: losses,
        matmul_tflops,
        share_of_peak: operations / (matmul_tflops * 1e12) / median,
        share_of_floor: passes * arithmetic.multiplied as f64 * tokens / (matmul_tflops * 1e12) / median,
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
