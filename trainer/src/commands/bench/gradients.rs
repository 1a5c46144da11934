//! `clinlora bench gradients`: are the gradients of this device those of the processor? Every method, on a small LLaMA, and a
//! LoRA on a small BERT, in each number format, and both trained in full in f32: the same weights, adapter and notes, drawn on
//! the host.

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor, TensorData};
use clinlora_core::config::{BertConfig, LLAMA_TARGETS, ModelConfig};
use clinlora_core::model::head::{Backbone, CausalLm, Classifier};
use clinlora_core::params::{Owner, Walk, for_each_param, set_trainable};
use clinlora_core::peft::stack::attach;
use clinlora_core::task::TaskKind;
use clinlora_core::weights::RandomWeights;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;

use super::{Preset, training};
use crate::cli::GradientOptions;
use crate::dataset::Sample;
use crate::error::{Error, Result};
use crate::plan::device;
use crate::recipe::{Adapter, AdapterMethod};
use crate::training::objective::{Classification, LanguageModelling, Objective};
use crate::training::step;

/// Largest relative difference of a whole gradient that is rounding: f32 sums in another order, bf16 products.
const TOLERANCES: [(DType, f64); 2] = [(DType::F32, 1e-4), (DType::BF16, 2e-2)];

const BERT_LAYERS: usize = 2;

/// What is trained; `None` is the base itself.
const METHODS: [Option<AdapterMethod>; 6] = [
    Some(AdapterMethod::Lora),
    Some(AdapterMethod::AdaptionPrompt),
    Some(AdapterMethod::Prefix),
    Some(AdapterMethod::Prompt),
    Some(AdapterMethod::PTuning),
    None,
];

/// What is printed.
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    device: String,
    /// Whether every difference is within its tolerance.
    pub(super) agrees: bool,
    cases: Vec<Case>,
}

#[derive(Debug, Serialize)]
struct Case {
    model: &'static str,
    method: String,
    dtype: String,
    /// On the processor, in f32.
    loss_expected: f64,
    loss: f64,
    /// Norm of the difference of the whole gradient over the norm of the gradient.
    apart: f64,
    /// The same of the tensor that is furthest off, and its name.
    worst: f64,
    worst_tensor: String,
    gradient_norm: f64,
    tolerance: f64,
    agrees: bool,
}

/// Loss, and gradients by name.
type Computed = (f64, Vec<(String, Vec<f32>)>);

/// Trains by a method on a device in a number format.
type Run<'a> = &'a dyn Fn(Option<AdapterMethod>, &Device, DType) -> Result<Computed>;

pub(super) fn measure(options: &GradientOptions, seed: u64, plain: &Device) -> Result<Measured> {
    let mut cases = Vec::new();
    let mut check = |model: &'static str, method: Option<AdapterMethod>, run: Run<'_>| {
        if !options.methods.is_empty() && !options.methods.contains(&name(method)) {
            return Ok(());
        }
        let expected = run(method, &Device::flex(), DType::F32)?;
        for (dtype, tolerance) in TOLERANCES {
            // A base that is itself trained is f32.
            if plain.supports_dtype(dtype) && (method.is_some() || dtype == DType::F32) {
                let actual = run(method, plain, dtype)?;
                cases.push(compare(model, name(method), dtype, tolerance, &expected, &actual));
            }
        }
        Ok(())
    };
    for method in METHODS {
        check("llama", method, &|method, device, dtype| llama(options, method, seed, device, dtype))?;
    }
    for method in [Some(AdapterMethod::Lora), None] {
        check("bert", method, &|method, device, dtype| bert(options, method, seed, device, dtype))?;
    }
    let agrees = cases.iter().all(|case| case.agrees);
    Ok(Measured { device: device::describe(plain), agrees, cases })
}

fn name(method: Option<AdapterMethod>) -> String {
    let Some(method) = method else { return "full".to_owned() };
    let value = clap::ValueEnum::to_possible_value(&method).expect("no method is hidden");
    value.get_name().to_owned()
}

fn llama(
    options: &GradientOptions,
    method: Option<AdapterMethod>,
    seed: u64,
    plain: &Device,
    dtype: DType,
) -> Result<Computed> {
    let device = plain.clone().autodiff();
    let config = options.preset.config();
    let mut model = CausalLm::build(&config, &mut RandomWeights::new(seed, &device, dtype));
    train(&mut model, method, config.num_hidden_layers, LLAMA_TARGETS, seed, &device)?;
    let notes = notes(options, config.vocab_size, 0, seed);
    compute(&LanguageModelling, &mut model, &notes, seed, &device)
}

fn bert(
    options: &GradientOptions,
    method: Option<AdapterMethod>,
    seed: u64,
    plain: &Device,
    dtype: DType,
) -> Result<Computed> {
    let device = plain.clone().autodiff();
    let Preset::Tiny = options.preset else {
        return Err(Error::Input("bench gradients: --preset tiny is the one that has a BERT".to_owned()));
    };
    let config = ModelConfig::Bert(BertConfig {
        vocab_size: 1024,
        hidden_size: 64,
        intermediate_size: 128,
        num_hidden_layers: BERT_LAYERS,
        num_attention_heads: 4,
        max_position_embeddings: options.seq,
        type_vocab_size: 2,
        layer_norm_eps: 1e-12,
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        classifier_dropout_prob: 0.0,
        initializer_range: 0.02,
    });
    let backbone = Backbone::build(&config, &mut RandomWeights::new(seed, &device, dtype));
    const LABELS: usize = 3;
    let mut head = RandomWeights::new(seed, &device, DType::F32);
    let mut model = Classifier::build(backbone, &config, LABELS, &mut head);
    train(&mut model, method, BERT_LAYERS, config.lora_targets(), seed, &device)?;
    let notes = notes(options, 1024, LABELS, seed);
    let objective = Classification::unweighted(TaskKind::Multiclass, LABELS);
    compute(&objective, &mut model, &notes, seed, &device)
}

/// Puts an adapter on, with values of its own: a fresh one is nought in places, and so would gradients be. Without a method the
/// base is trained.
fn train(
    model: &mut dyn Walk,
    method: Option<AdapterMethod>,
    layers: usize,
    targets: [&str; 2],
    seed: u64,
    device: &Device,
) -> Result<()> {
    if method.is_none() {
        set_trainable(model, &Owner::Base, true);
        return Ok(());
    }
    let adapter = Adapter {
        name: "bench".to_owned(),
        method,
        virtual_tokens: Some(5),
        adapter_len: Some(5),
        adapter_layers: (method == Some(AdapterMethod::AdaptionPrompt)).then_some(layers),
        trainable: true,
        active: true,
        ..Adapter::default()
    };
    let config = adapter.config(std::path::Path::new(""), targets);
    attach(model, &adapter.name, &config, seed, device).map_err(|e| Error::Input(e.to_string()))?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let plain = device.clone().inner();
    for_each_param(model, |_, _, mut param| {
        if param.is_trainable() {
            let count: usize = param.shape().iter().product();
            let values: Vec<f32> = (0..count).map(|_| rng.random_range(-0.2f32..0.2)).collect();
            param.set_flat(Tensor::from_data(TensorData::new(values, [count]), (&plain, DType::F32)));
        }
    });
    Ok(())
}

/// Notes of different lengths, so that padding is part of it.
fn notes(options: &GradientOptions, vocabulary: usize, labels: usize, seed: u64) -> Vec<Sample> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x5EED);
    let vocabulary = u32::try_from(vocabulary).expect("a token id is a u32");
    let note = |i: usize| {
        let tokens = (options.seq - i % options.seq.min(5)).max(2);
        let ids = (0..tokens).map(|_| rng.random_range(3..vocabulary)).collect();
        let target = (0..labels).map(|label| if label == i % labels { 1.0 } else { 0.0 }).collect();
        Sample { id: String::new(), ids, target }
    };
    (0..options.batch).map(note).collect()
}

fn compute<O: Objective>(
    objective: &O,
    model: &mut O::Model,
    notes: &[Sample],
    seed: u64,
    device: &Device,
) -> Result<Computed>
where
    O::Model: Module + Walk,
{
    let notes: Vec<&Sample> = notes.iter().collect();
    let (loss, gradients) = step::gradients(objective, model, &notes, &training(notes.len()), seed, device)?;
    let values = |gradient: Tensor<1>| {
        let data = gradient.into_data_as::<f32>();
        data.as_slice::<f32>().expect("asked for as f32").to_vec()
    };
    let loss = f64::from(loss.cast(DType::F32).into_scalar::<f32>());
    Ok((loss, gradients.into_iter().map(|(name, gradient)| (name, values(gradient))).collect()))
}

fn compare(
    model: &'static str,
    method: String,
    dtype: DType,
    tolerance: f64,
    (loss_expected, expected): &Computed,
    (loss, actual): &Computed,
) -> Case {
    let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
    let (mut all, mut all_apart) = (0.0, 0.0);
    let (mut worst, mut worst_tensor) = (0.0f64, String::new());
    let mut is_whole = expected.len() == actual.len();
    for ((name, expected), (actual_name, actual)) in expected.iter().zip(actual) {
        is_whole &= name == actual_name && expected.len() == actual.len();
        let norm = squares(&mut expected.iter().map(|v| f64::from(*v)));
        let apart = squares(&mut expected.iter().zip(actual).map(|(e, a)| f64::from(*e) - f64::from(*a)));
        (all, all_apart) = (all + norm, all_apart + apart);
        let relative = (apart / norm.max(f64::MIN_POSITIVE)).sqrt();
        if relative > worst {
            (worst, worst_tensor) = (relative, name.clone());
        }
    }
    let apart = (all_apart / all.max(f64::MIN_POSITIVE)).sqrt();
    Case {
        model,
        method,
        dtype: format!("{dtype:?}").to_lowercase(),
        loss_expected: *loss_expected,
        loss: *loss,
        apart,
        worst,
        worst_tensor,
        gradient_norm: all.sqrt(),
        tolerance,
        agrees: is_whole && all > 0.0 && apart <= tolerance,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_agrees_with_itself_and_bf16_is_near() {
        let mut options = GradientOptions { methods: Vec::new(), preset: Preset::Tiny, batch: 3, seq: 9 };
        let measured = measure(&options, 3, &Device::flex()).unwrap();
        let f32s: Vec<&Case> = measured.cases.iter().filter(|case| case.dtype == "f32").collect();
        assert_eq!(f32s.len(), 8);
        for case in f32s {
            assert!(case.apart == 0.0 && case.gradient_norm > 0.0 && case.agrees, "{case:?}");
        }
        assert!(measured.agrees, "{:?}", measured.cases);
        options.methods = vec!["full".to_owned()];
        let measured = measure(&options, 3, &Device::flex()).unwrap();
        let models: Vec<_> = measured.cases.iter().map(|case| (case.model, case.method.as_str())).collect();
        assert_eq!(models, [("llama", "full"), ("bert", "full")]);
    }

    #[test]
    fn another_gradient_is_told_and_by_which_tensor() {
        let computed = |values: &[f32]| {
            (1.0, vec![("a".to_owned(), vec![1.0f32; 9]), ("b".to_owned(), values.to_vec())])
        };
        let same =
            compare("m", "l".to_owned(), DType::F32, 1e-4, &computed(&[1.0, 2.0]), &computed(&[1.0, 2.0]));
        assert!(same.agrees && same.apart == 0.0);
        let other =
            compare("m", "l".to_owned(), DType::F32, 1e-4, &computed(&[1.0, 2.0]), &computed(&[1.0, 2.5]));
        assert!(!other.agrees && other.worst_tensor == "b");
        assert!(
            (other.worst - 0.5 / 5f64.sqrt()).abs() < 1e-12
                && (other.apart - 0.5 / 14f64.sqrt()).abs() < 1e-12
        );
        let none = compare("m", "l".to_owned(), DType::F32, 1e-4, &(1.0, Vec::new()), &(1.0, Vec::new()));
        assert!(!none.agrees, "no gradient is no agreement");
    }
}
