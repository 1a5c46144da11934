//! Adaption prompt, prefix tuning, prompt tuning and P-tuning: the numbers of Python PEFT, and what holds for every method.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use burn::tensor::{DType, Device, Tensor, TensorData};
use clinlora_core::config::LlamaConfig;
use clinlora_core::model::batch::TokenBatch;
use clinlora_core::model::head::{CausalLm, Classifier};
use clinlora_core::model::llama::Llama;
use clinlora_core::params::{Owner, Walk, for_each_param, set_trainable};
use clinlora_core::peft::adaption_prompt::AdaptionPromptConfig;
use clinlora_core::peft::config::AdapterConfig;
use clinlora_core::peft::lora::LoraConfig;
use clinlora_core::peft::p_tuning::{EncoderKind, PTuningConfig};
use clinlora_core::peft::preamble::DecoderShape;
use clinlora_core::peft::prefix::PrefixConfig;
use clinlora_core::peft::prompt::{PromptConfig, PromptInit};
use clinlora_core::peft::stack::{adapters, attach, detach, merge, set_active};
use clinlora_core::peft::store::{self, AdapterFiles, StoredAdapter, TaskType};
use clinlora_core::weights::RandomWeights;
use clinlora_core::weights::safetensors::SafetensorsFile;
use clinlora_tests::{F32, Golden, assert_close, golden, read_golden, values, weights};

/// Case, variant and base of everything Python PEFT was run on.
pub(crate) const VARIANTS: [(&str, &str, &str); 8] = [
    ("peft_adaption_prompt", "mha", "llama_mha/model"),
    ("peft_adaption_prompt", "gqa", "peft_adaption_prompt/base_gqa"),
    ("peft_prefix", "plain", "llama_mha/model"),
    ("peft_prefix", "projected", "llama_mha/model"),
    ("peft_prefix", "grouped", "llama_gqa/model"),
    ("peft_prompt", "random", "llama_mha/model"),
    ("peft_p_tuning", "mlp", "llama_mha/model"),
    ("peft_p_tuning", "lstm", "llama_mha/model"),
];

/// Losses of a curve may drift: ten updates multiply a rounding.
pub(crate) const CURVE: f32 = 1e-4;

fn config(base: &str) -> LlamaConfig {
    let json = fs::read(golden(base).join("config.json")).expect("a golden configuration");
    LlamaConfig::from_json(&json).expect("a configuration of Hugging Face")
}

pub(crate) fn causal_lm(base: &str, device: &Device) -> CausalLm {
    let mut weights = weights(&golden(base), device);
    let model = CausalLm::build(&config(base), &mut weights);
    weights.finish().expect("every tensor has its place");
    model
}

pub(crate) fn classifier(base: &str, labels: usize, device: &Device) -> Classifier {
    let mut weights = weights(&golden(base), device);
    let backbone = Llama::build(&config(base), &mut weights);
    weights.finish().expect("every tensor has its place");
    let mut head = RandomWeights::new(1, device, DType::F32);
    Classifier::build(backbone, &config(base), labels, &mut head)
}

pub(crate) fn open_file(path: &Path) -> SafetensorsFile<Vec<u8>> {
    let bytes = fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    SafetensorsFile::open("adapter", bytes).expect("a golden file is whole")
}

pub(crate) fn read(folder: &Path, name: &str, device: &Device) -> StoredAdapter {
    let json = fs::read(folder.join("adapter_config.json")).expect("a golden adapter");
    let weights = open_file(&folder.join("adapter_model.safetensors"));
    let stored = StoredAdapter::read(name, &json, &weights, device).expect("an adapter of PEFT");
    assert_eq!(stored.warnings, Vec::<String>::new(), "every key of PEFT is known");
    let encoder = folder.join("encoder.safetensors");
    if encoder.exists() {
        return stored.with_encoder(&open_file(&encoder)).expect("its encoder");
    }
    stored
}

pub(crate) fn reread(files: &AdapterFiles, name: &str, device: &Device) -> StoredAdapter {
    let open = |bytes: &Vec<u8>| SafetensorsFile::open("written", bytes.clone()).expect("whole");
    let json = files.config_json.as_bytes();
    let stored = StoredAdapter::read(name, json, &open(&files.weights), device).expect("what was written");
    match &files.encoder {
        Some(encoder) => stored.with_encoder(&open(encoder)).expect("its encoder"),
        None => stored,
    }
}

fn notes(expected: &BTreeMap<String, Golden>) -> Vec<Vec<u32>> {
    expected["input_ids"].notes(&expected["attention_mask"])
}

fn batch(notes: &[Vec<u32>], device: &Device) -> TokenBatch {
    let notes: Vec<&[u32]> = notes.iter().map(Vec::as_slice).collect();
    TokenBatch::new(&notes, device).expect("tokens")
}

/// Logits at real positions only.
pub(crate) fn logits(model: &CausalLm, notes: &[Vec<u32>], device: &Device) -> Vec<f32> {
    let logits = model.logits(&batch(notes, device));
    let rows = notes.iter().enumerate();
    rows.flat_map(|(i, note)| values(logits.clone().narrow(0, i, 1).narrow(1, 0, note.len()))).collect()
}

fn golden_logits(expected: &BTreeMap<String, Golden>, name: &str) -> Vec<f32> {
    let (logits, mask) = (&expected[name], &expected["attention_mask"]);
    let width = *logits.shape.last().expect("logits have labels");
    let rows = logits.values.chunks_exact(width).zip(&mask.values);
    rows.filter(|(_, m)| **m > 0.0).flat_map(|(row, _)| row.to_vec()).collect()
}

/// Mean loss, and by our name the gradient of everything that has one.
fn loss_and_gradients(model: &mut CausalLm, batch: &TokenBatch) -> (f32, BTreeMap<String, Vec<f32>>) {
    #[expect(clippy::cast_precision_loss, reason = "a few tokens")]
    let loss = model.nll_sum(batch) / model.num_targets(batch) as f64;
    let mut gradients = loss.backward();
    let mut found = BTreeMap::new();
    for_each_param(model, |owner, name, param| {
        if let Some(gradient) = param.take_gradient(&mut gradients) {
            let name = match owner {
                Owner::Base => format!("base/{name}"),
                Owner::Adapter(adapter) => format!("{adapter}/{name}"),
            };
            found.insert(name, values(gradient));
        }
    });
    (values(loss)[0], found)
}

/// PyTorch's AdamW with the golden curves' settings, on plain rows.
#[derive(Default)]
pub(crate) struct AdamW {
    moments: BTreeMap<String, (Vec<f32>, Vec<f32>)>,
    updates: i32,
}

impl AdamW {
    /// Steps everything that has a gradient; gradients are named `<owner>/<tensor>`, `base` for the base and its head.
    pub(crate) fn step(&mut self, model: &mut dyn Walk, gradients: &BTreeMap<String, Vec<f32>>) {
        let (lr, decay, beta1, beta2, eps) = (1e-2_f32, 0.01_f32, 0.9_f32, 0.999_f32, 1e-8_f32);
        self.updates += 1;
        let (c1, c2) = (1.0 - beta1.powi(self.updates), 1.0 - beta2.powi(self.updates));
        for_each_param(model, |owner, name, mut param| {
            let owner = match owner {
                Owner::Base => "base",
                Owner::Adapter(adapter) => adapter,
            };
            let Some(g) = gradients.get(&format!("{owner}/{name}")) else {
                return;
            };
            let zeros = || (vec![0.0; g.len()], vec![0.0; g.len()]);
            let (m, v) = self.moments.entry(format!("{owner}/{name}")).or_insert_with(zeros);
            let mut p = values(param.flat());
            for i in 0..p.len() {
                m[i] = beta1 * m[i] + (1.0 - beta1) * g[i];
                v[i] = beta2 * v[i] + (1.0 - beta2) * g[i] * g[i];
                p[i] -= lr * decay * p[i];
                p[i] -= lr / c1 * m[i] / ((v[i] / c2).sqrt() + eps);
            }
            let (length, device) = (p.len(), param.flat().device());
            let row = Tensor::from_data(TensorData::new(p, [length]), (&device, DType::F32));
            param.set_flat(row);
        });
    }
}

/// A tensor's name in the golden files: that of PEFT's module, without the wrappers.
fn own_name(golden: &str) -> &str {
    golden.strip_prefix("base_model.model.").unwrap_or(golden)
}

#[test]
fn logits_loss_gradients_and_ten_updates_equal_python_peft() {
    for (case, variant, base) in VARIANTS {
        let device = Device::flex().autodiff();
        let expected = read_golden(case, "golden.safetensors");
        let notes = notes(&expected);
        let mut model = causal_lm(base, &device);
        read(&golden(case).join(variant), "a", &device).attach(&mut model).expect("it fits");
        let of = |name: &str| &expected[&format!("{variant}.{name}")];
        let line = |what: &str, worst: f32| println!("| {case}/{variant} | {what} | {worst:.1e} |");

        let actual = logits(&model, &notes, &device);
        let wanted = golden_logits(&expected, &format!("{variant}.logits"));
        line("logits", assert_close("logits", &actual, &wanted, F32));
        let batch = batch(&notes, &device);
        let (loss, mut gradients) = loss_and_gradients(&mut model, &batch);
        line("loss", assert_close("loss", &[loss], &of("loss").values, F32));
        let prefix = format!("{variant}.grad.");
        let mut worst = 0.0_f32;
        for (name, gradient) in expected.iter().filter_map(|(n, g)| Some((n.strip_prefix(&prefix)?, g))) {
            let ours = gradients
                .remove(&format!("a/{}", own_name(name)))
                .unwrap_or_else(|| panic!("{case}/{variant}: no gradient of {name}"));
            worst = worst.max(assert_close(name, &ours, &gradient.values, F32));
        }
        assert!(gradients.is_empty(), "{case}/{variant}: gradients of {:?} too", gradients.keys());
        line("gradients", worst);

        let (mut optimiser, mut curve) = (AdamW::default(), Vec::new());
        for _ in 0..of("curve").values.len() {
            let (loss, gradients) = loss_and_gradients(&mut model, &batch);
            curve.push(loss);
            optimiser.step(&mut model, &gradients);
        }
        line("10-step curve", assert_close("curve", &curve, &of("curve").values, CURVE));
        assert!(curve[9] < curve[0], "training lowers the loss");
    }
}

#[test]
fn heads_of_prompt_learning_are_read_and_pool_the_last_token_by_length() {
    for case in ["peft_prefix", "peft_prompt", "peft_p_tuning"] {
        let device = Device::flex();
        let expected = read_golden(case, "golden.safetensors");
        let mut model = classifier("llama_mha/model", 4, &device);
        let stored = read(&golden(case).join("classifier"), "a", &device);
        assert_eq!(stored.num_labels(), Some(4));
        let config = stored.config.clone();
        stored.attach(&mut model).expect("it fits");
        let notes = notes(&expected);
        let wanted = &expected["classifier.class_logits"].values;
        let actual = values(model.logits(&batch(&notes, &device)));
        let worst = assert_close(case, &actual, wanted, F32);
        println!("| {case}/classifier | class logits | {worst:.1e} |");

        let task = TaskType::SequenceClassification;
        let files = store::write(&mut model, "a", &config, task, "base").expect("written");
        let mut again = classifier("llama_mha/model", 4, &device);
        reread(&files, "a", &device).attach(&mut again).expect("it fits");
        assert_eq!(
            values(again.logits(&batch(&notes, &device))),
            actual,
            "{case}: head and adapter come back"
        );
    }
}

#[test]
fn a_text_fills_a_fresh_prompt_as_in_peft() {
    let device = Device::flex();
    let expected = read_golden("peft_prompt", "golden.safetensors");
    for name in ["text_short", "text_long"] {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "token ids")]
        let ids: Vec<u32> = expected[&format!("{name}_ids")].values.iter().map(|id| *id as u32).collect();
        let init = PromptInit::Text { text: name.into(), tokenizer: "base".into(), ids };
        let config = AdapterConfig::Prompt(PromptConfig { num_virtual_tokens: 6, init });
        let mut model = causal_lm("llama_mha/model", &device);
        attach(&mut model, "a", &config, 1, &device).expect("attached");
        let mut table = Vec::new();
        for_each_param(&mut model, |owner, _, param| {
            if *owner != Owner::Base {
                table = values(param.flat());
            }
        });
        assert_eq!(table, expected[name].values, "{name}");
    }
}

/// One configuration of every method for a decoder of three layers.
fn configs() -> Vec<AdapterConfig> {
    let p_tuning = |encoder| PTuningConfig {
        num_virtual_tokens: 3,
        encoder,
        hidden_size: Some(5),
        num_layers: 2,
        dropout_prob: 0.0,
    };
    vec![
        AdapterConfig::Lora(LoraConfig {
            r: 3,
            alpha: 5.0,
            target_modules: ["q_proj", "k_proj", "v_proj", "o_proj"].map(String::from).into(),
            ..LoraConfig::default()
        }),
        AdapterConfig::AdaptionPrompt(AdaptionPromptConfig { adapter_len: 4, adapter_layers: 2 }),
        AdapterConfig::Prefix(PrefixConfig { num_virtual_tokens: 3, ..PrefixConfig::default() }),
        AdapterConfig::Prefix(PrefixConfig {
            num_virtual_tokens: 2,
            projection: true,
            encoder_hidden_size: Some(7),
            zero_init: false,
        }),
        AdapterConfig::Prompt(PromptConfig { num_virtual_tokens: 5, init: PromptInit::Random }),
        AdapterConfig::PTuning(p_tuning(EncoderKind::Mlp)),
        AdapterConfig::PTuning(p_tuning(EncoderKind::Lstm)),
    ]
}

/// Moves every tensor of an adapter away from what leaves the base as it was.
fn stir(model: &mut dyn Walk, adapter: &str) {
    for_each_param(model, |owner, _, mut param| {
        if *owner == Owner::Adapter(adapter.to_owned()) {
            let moved = param.flat() * 0.9 + 0.05;
            param.set_flat(moved);
        }
    });
}

fn base_values(model: &mut dyn Walk) -> Vec<Vec<f32>> {
    let mut all = Vec::new();
    for_each_param(model, |owner, _, param| {
        if *owner == Owner::Base {
            all.push(values(param.flat()));
        }
    });
    all
}

#[test]
fn every_method_keeps_the_contract() {
    let device = Device::flex().autodiff();
    let notes: Vec<Vec<u32>> = vec![vec![1, 9, 33, 5, 71], vec![1, 44, 2]];
    for (i, config) in configs().iter().enumerate() {
        let what = format!("{} {i}", config.method());
        let mut model = causal_lm("llama_gqa/model", &device);
        let plain = logits(&model, &notes, &device);
        let before = base_values(&mut model);
        attach(&mut model, "a", config, 3, &device).expect("attached");
        let is_identity = matches!(config, AdapterConfig::Lora(_) | AdapterConfig::AdaptionPrompt(_));
        let fresh = logits(&model, &notes, &device);
        assert_eq!(fresh == plain, is_identity, "{what}: a fresh adapter");

        // Only its own tensors train, and there are as many as the closed form says.
        stir(&mut model, "a");
        let (_, gradients) = loss_and_gradients(&mut model, &batch(&notes, &device));
        let mut count = 0;
        for_each_param(&mut model, |owner, name, param| {
            let is_own = *owner != Owner::Base;
            assert_eq!(param.is_trainable(), is_own, "{what}: {name}");
            assert_eq!(gradients.contains_key(&format!("a/{name}")) && is_own, is_own, "{what}: {name}");
            count += if is_own { param.shape().iter().product() } else { 0 };
        });
        assert!(gradients.keys().all(|name| name.starts_with("a/")), "{what}");
        let shape = DecoderShape::from(&self::config("llama_gqa/model"));
        let sites = self::config("llama_gqa/model").sites();
        assert_eq!(count, config.num_params("a", &sites, Some(&shape)).expect("sound"), "{what}");
        AdamW::default().step(&mut model, &gradients);
        assert_eq!(base_values(&mut model), before, "{what}: an update left the base alone");

        // Saved, read back: the same logits; frozen: no gradients; inactive or detached: the base, to the bit.
        let active = logits(&model, &notes, &device);
        assert_ne!(active, plain, "{what}: it does something");
        let files = store::write(&mut model, "a", config, TaskType::CausalLm, "base").expect("written");
        let mut again = causal_lm("llama_gqa/model", &device);
        reread(&files, "b", &device).attach(&mut again).expect("it fits");
        assert_close(&what, &logits(&again, &notes, &device), &active, F32);
        set_trainable(&mut model, &Owner::Adapter("a".into()), false);
        for_each_param(&mut model, |_, name, param| {
            assert!(!param.is_trainable(), "{what}: {name}");
        });
        set_active(&mut model, &[]).expect("none");
        assert_eq!(logits(&model, &notes, &device), plain, "{what}: inactive");
        set_active(&mut model, &["a"]).expect("attached");
        assert_eq!(logits(&model, &notes, &device), active, "{what}: active again");
        detach(&mut model, "a").expect("attached");
        assert_eq!(logits(&model, &notes, &device), plain, "{what}: detached");
        assert_eq!(base_values(&mut model), before, "{what}: detached");
    }
}

#[test]
fn padding_changes_nothing_behind_prefixes_and_virtual_tokens() {
    let device = Device::flex();
    let notes: Vec<Vec<u32>> = vec![vec![1, 9, 33, 5, 71, 12, 2], vec![1, 44], vec![1, 8, 9, 10]];
    let mut model = causal_lm("llama_gqa/model", &device);
    for (i, config) in configs().iter().enumerate() {
        let name = format!("a{i}");
        attach(&mut model, &name, config, i as u64, &device).expect("attached");
        stir(&mut model, &name);
    }
    assert_eq!(adapters(&mut model).len(), configs().len());
    let together = logits(&model, &notes, &device);
    let alone: Vec<f32> =
        notes.iter().flat_map(|note| logits(&model, std::slice::from_ref(note), &device)).collect();
    assert_close("padded against alone", &together, &alone, F32);
}

#[test]
fn adapters_of_all_methods_stack_in_order_and_come_off_in_any() {
    let device = Device::flex();
    let notes: Vec<Vec<u32>> = vec![vec![1, 9, 33, 5, 71], vec![1, 44, 2]];
    let mut model = causal_lm("llama_gqa/model", &device);
    let plain = logits(&model, &notes, &device);
    let mut steps = Vec::new();
    let names: Vec<String> = (0..configs().len()).map(|i| format!("a{i}")).collect();
    // From the last method to the first: the order is that of attaching, whatever place a method has in the walk.
    for (name, config) in names.iter().zip(configs().iter().rev()) {
        attach(&mut model, name, config, 11, &device).expect("attached");
        stir(&mut model, name);
        steps.push(logits(&model, &notes, &device));
    }
    assert_eq!(adapters(&mut model), names);
    let half: Vec<&str> = names[..4].iter().map(String::as_str).collect();
    set_active(&mut model, &half).expect("attached");
    assert_eq!(logits(&model, &notes, &device), steps[3], "half of the stack");
    for name in [4, 5, 6, 0, 2, 1, 3].map(|i| &names[i]) {
        detach(&mut model, name).expect("attached");
    }
    assert_eq!(logits(&model, &notes, &device), plain);
    assert!(attach(&mut model, "x", &configs()[4], 1, &device).is_ok());
    let taken = attach(&mut model, "x", &configs()[0], 1, &device).expect_err("taken");
    assert!(taken.to_string().contains("attached already"), "{taken}");
}

#[test]
fn only_lora_merges_and_prompts_see_merged_projections_as_they_saw_the_deltas() {
    let device = Device::flex();
    let notes: Vec<Vec<u32>> = vec![vec![1, 9, 33, 5, 71], vec![1, 44, 2]];
    let all = configs();
    for config in &all[1..] {
        let mut model = causal_lm("llama_gqa/model", &device);
        attach(&mut model, "p", config, 3, &device).expect("attached");
        let error = merge(model).expect_err(config.method()).to_string();
        assert!(error.contains("adapter p") && error.contains("only LoRA"), "{error}");
    }
    let stacked = |merged: bool| {
        let mut model = causal_lm("llama_gqa/model", &device);
        attach(&mut model, "l", &all[0], 5, &device).expect("attached");
        stir(&mut model, "l");
        if merged {
            model = merge(model).expect("a LoRA");
            assert_eq!(adapters(&mut model), Vec::<String>::new());
        }
        for (name, config) in [("g", &all[1]), ("p", &all[2])] {
            attach(&mut model, name, config, 3, &device).expect("attached");
            stir(&mut model, name);
        }
        logits(&model, &notes, &device)
    };
    assert_close("merged below prompts", &stacked(true), &stacked(false), F32);
}

/// Every method at once against PEFT's modules composed by hand.
#[test]
fn a_stack_of_five_methods_equals_pefts_modules_composed_by_hand() {
    let device = Device::flex().autodiff();
    let expected = read_golden("peft_mixed", "golden.safetensors");
    let notes = notes(&expected);
    let mut model = causal_lm("llama_mha/model", &device);
    for (name, folder) in [
        ("lora", "peft_lora/adapter"),
        ("gated", "peft_adaption_prompt/mha"),
        ("prefix", "peft_prefix/projected"),
        ("prompt", "peft_prompt/random"),
        ("encoded", "peft_p_tuning/lstm"),
    ] {
        read(&golden(folder), name, &device).attach(&mut model).expect("it fits");
    }
    let wanted = golden_logits(&expected, "logits");
    let worst = assert_close("logits", &logits(&model, &notes, &device), &wanted, F32);
    println!("| peft_mixed | logits | {worst:.1e} |");
    let (loss, gradients) = loss_and_gradients(&mut model, &batch(&notes, &device));
    assert_close("loss", &[loss], &expected["loss"].values, F32);
    let mut worst = 0.0_f32;
    let mut compared = 0;
    for (name, gradient) in expected.iter().filter_map(|(n, g)| Some((n.strip_prefix("grad.")?, g))) {
        let (adapter, name) = name.split_once('.').expect("adapter and name");
        let ours = &gradients[&format!("{adapter}/{}", own_name(name))];
        worst = worst.max(assert_close(name, ours, &gradient.values, F32));
        compared += 1;
    }
    println!("| peft_mixed | gradients | {worst:.1e} |");
    assert_eq!(compared, gradients.len(), "every gradient");
}
