//! What every adapter must do, whatever its shape: the contract of parameter-efficient fine-tuning, a line a test.
//!
//! Each line runs over every case below: non-zero inputs, `alpha` that is not `r`, and a `B` that is not zero.

use std::collections::BTreeMap;

use burn::tensor::{Device, Distribution, Tensor};
use clinlora::training::adamw::AdamW;
use clinlora::training::objective::LanguageModelling;
use clinlora::training::schedule::RateFactors;
use clinlora::training::step;
use clinlora_core::model::head::CausalLm;
use clinlora_core::params::{Owner, for_each_param, for_each_site, set_trainable};
use clinlora_core::peft::lora::LoraConfig;
use clinlora_core::peft::stack::{adapters, detach, report, set_active};
use clinlora_core::peft::store::{AdapterFiles, StoredAdapter, TaskType};
use clinlora_core::weights::safetensors::SafetensorsFile;
use clinlora_tests::{F32, assert_close, golden, read_golden, values};
use serde_json::json;

use crate::{parity, program, tiny, training};

/// An adapter's shape on a base.
struct Case {
    name: &'static str,
    base: &'static str,
    config: LoraConfig,
}

fn lora(r: usize, alpha: f64, use_rslora: bool, targets: &[&str]) -> LoraConfig {
    LoraConfig {
        r,
        alpha,
        dropout_prob: 0.0,
        target_modules: targets.iter().map(|target| (*target).to_owned()).collect(),
        use_rslora,
    }
}

const EVERY_PROJECTION: [&str; 7] =
    ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "queries and values",
            base: "llama_mha",
            config: lora(3, 5.0, false, &["q_proj", "v_proj"]),
        },
        Case {
            name: "every projection, rank-stabilised",
            base: "llama_gqa",
            config: lora(4, 1.5, true, &EVERY_PROJECTION),
        },
        Case {
            name: "one layer by its path, rank 1",
            base: "llama_gqa",
            config: lora(1, 2.0, false, &["layers.1.mlp.down_proj"]),
        },
    ]
}

impl Case {
    /// Base with adapter `a`, its `B` filled.
    fn attached(&self, device: &Device) -> CausalLm {
        let mut model = tiny::causal_lm(self.base, device);
        tiny::attach(&mut model, "a", &self.config, device).unwrap();
        tiny::fill_b(&mut model, "a");
        model
    }

    fn notes(&self) -> Vec<Vec<u32>> {
        tiny::notes(&read_golden(self.base, "golden.safetensors"))
    }

    fn logits(&self, model: &CausalLm, device: &Device) -> Vec<f32> {
        values(model.logits(&tiny::batch(&self.notes(), device)))
    }

    fn base_logits(&self, device: &Device) -> Vec<f32> {
        self.logits(&tiny::causal_lm(self.base, device), device)
    }
}

/// Some updates of everything trainable, by the trainer's own step.
fn train(case: &Case, model: &mut CausalLm, updates: u64, device: &Device) {
    let samples = tiny::samples(&read_golden(case.base, "golden.safetensors"));
    let samples: Vec<_> = samples.iter().collect();
    let training = training::training(json!({}));
    let mut optimizer = AdamW::default();
    for update in 0..updates {
        let (loss, gradients) =
            step::gradients(&LanguageModelling, model, &samples, &training, update, device).unwrap();
        let outcome = step::measure(loss, &gradients);
        step::apply(model, &mut optimizer, gradients, outcome, &training, 1e-2, &RateFactors::default());
    }
}

fn read_back(files: &AdapterFiles, name: &str, device: &Device) -> StoredAdapter {
    let file = SafetensorsFile::open("adapter_model.safetensors", files.weights.clone()).unwrap();
    StoredAdapter::read(name, files.config_json.as_bytes(), &file, device).unwrap()
}

fn assert_differ(what: &str, a: &[f32], b: &[f32]) {
    let largest = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(largest > 1e-2, "{what}: hardly a difference ({largest:e})");
}

#[test]
fn only_the_adapters_own_tensors_get_gradients_and_the_base_keeps_its_bits() {
    let device = Device::flex().autodiff();
    for case in cases() {
        let mut model = case.attached(&device);
        let batch = tiny::batch(&case.notes(), &device);
        let mut gradients = model.nll_sum(&batch).backward();
        for_each_param(&mut model, |owner, name, param| {
            let gradient = param.take_gradient(&mut gradients);
            assert_eq!(gradient.is_some(), *owner != Owner::Base, "{}: {name}", case.name);
            if let Some(gradient) = gradient {
                assert!(values(gradient).iter().any(|g| *g != 0.0), "{}: {name} gets zeros", case.name);
            }
        });
        let adapter = Owner::Adapter("a".into());
        let before = (tiny::bits(&mut model, &Owner::Base), tiny::bits(&mut model, &adapter));
        train(&case, &mut model, 1, &device);
        assert!(tiny::bits(&mut model, &Owner::Base) == before.0, "{}: the base was written", case.name);
        for (name, bits) in tiny::bits(&mut model, &adapter) {
            assert!(bits != before.1[&name], "{}: {name} did not move", case.name);
        }
    }
}

#[test]
fn a_frozen_adapter_keeps_its_bits_while_another_trains() {
    let device = Device::flex().autodiff();
    let case = &cases()[0];
    let mut model = case.attached(&device);
    tiny::attach(&mut model, "b", &lora(2, 3.0, false, &["o_proj", "v_proj"]), &device).unwrap();
    let frozen = Owner::Adapter("a".into());
    set_trainable(&mut model, &frozen, false);
    let before = tiny::bits(&mut model, &frozen);
    train(case, &mut model, 2, &device);
    assert!(tiny::bits(&mut model, &frozen) == before, "the frozen adapter was written");
    assert!(
        tiny::bits(&mut model, &Owner::Adapter("b".into()))
            .iter()
            .all(|(_, bits)| bits.iter().any(|bits| f32::from_bits(*bits) != 0.0)),
        "the trainable adapter moved from zero"
    );
}

#[test]
fn a_fresh_adapter_changes_nothing() {
    let device = Device::flex();
    for case in cases() {
        let mut model = tiny::causal_lm(case.base, &device);
        tiny::attach(&mut model, "a", &case.config, &device).unwrap();
        assert_eq!(case.logits(&model, &device), case.base_logits(&device), "{}", case.name);
    }
}

#[test]
fn a_deactivated_adapter_is_as_if_never_attached_and_a_detached_one_is_gone_to_the_bit() {
    let device = Device::flex();
    for case in cases() {
        let base = case.base_logits(&device);
        let bits = tiny::bits(&mut tiny::causal_lm(case.base, &device), &Owner::Base);
        let mut model = case.attached(&device);
        let adapted = case.logits(&model, &device);
        assert_differ(case.name, &adapted, &base);
        set_active(&mut model, &[]).unwrap();
        assert_eq!(case.logits(&model, &device), base, "{}: deactivated", case.name);
        set_active(&mut model, &["a"]).unwrap();
        assert_eq!(case.logits(&model, &device), adapted, "{}: activated again", case.name);
        detach(&mut model, "a").unwrap();
        assert_eq!(case.logits(&model, &device), base, "{}: detached", case.name);
        assert!(tiny::bits(&mut model, &Owner::Base) == bits, "{}: the base was written", case.name);
        assert_eq!(adapters(&mut model), Vec::<String>::new());
        assert!(detach(&mut model, "a").is_err() && set_active(&mut model, &["a"]).is_err());
    }
}

#[test]
fn a_trained_adapter_that_is_saved_and_loaded_gives_the_same_logits_and_its_b_is_not_zero() {
    let device = Device::flex().autodiff();
    for case in cases() {
        let mut model = tiny::causal_lm(case.base, &device);
        tiny::attach(&mut model, "a", &case.config, &device).unwrap();
        train(&case, &mut model, 3, &device);
        let files = tiny::write(&mut model, "a", &case.config, TaskType::CausalLm, "base").unwrap();

        let mut loaded = tiny::causal_lm(case.base, &device);
        let stored = read_back(&files, "reloaded", &device);
        assert_eq!(tiny::lora_config(&stored), case.config, "{}", case.name);
        stored.attach(&mut loaded).unwrap();
        let factors = tiny::bits(&mut loaded, &Owner::Adapter("reloaded".into()));
        assert!(
            factors == tiny::bits(&mut model, &Owner::Adapter("a".into())),
            "{}: other factors",
            case.name
        );
        for (name, bits) in factors.iter().filter(|(name, _)| name.ends_with("lora_B.weight")) {
            let is_zero = bits.iter().all(|bits| f32::from_bits(*bits) == 0.0);
            assert!(!is_zero, "{}: {name} is zero after training", case.name);
        }
        let logits = case.logits(&loaded, &device);
        assert_eq!(logits, case.logits(&model, &device), "{}", case.name);
        assert!(logits != case.base_logits(&device), "{}: nothing was trained", case.name);
    }
}

#[test]
fn merging_equals_applying_and_merging_twice_equals_merging_once() {
    let device = Device::flex();
    for case in cases() {
        let model = case.attached(&device);
        let applied = case.logits(&model, &device);
        let mut merged = tiny::merge(model);
        assert!(adapters(&mut merged).is_empty(), "{}: nothing is left to apply", case.name);
        let once = (case.logits(&merged, &device), tiny::bits(&mut merged, &Owner::Base));
        tiny::compare("merged", case.name, &once.0, &applied, F32);
        let mut twice = tiny::merge(merged);
        assert!(tiny::bits(&mut twice, &Owner::Base) == once.1, "{}: merged again", case.name);
    }
}

#[test]
fn merging_takes_the_active_adapters_alone() {
    let device = Device::flex();
    let case = &cases()[0];
    let mut model = case.attached(&device);
    tiny::attach(&mut model, "b", &lora(2, 3.0, false, &["v_proj", "up_proj"]), &device).unwrap();
    tiny::fill_b(&mut model, "b");
    set_active(&mut model, &["b"]).unwrap();
    let applied = case.logits(&model, &device);
    tiny::compare("merged", "one of two", &case.logits(&tiny::merge(model), &device), &applied, F32);
}

#[test]
fn a_stack_of_two_is_the_sum_of_their_deltas_in_either_order() {
    let device = Device::flex();
    let (a, b) = (lora(3, 5.0, false, &["q_proj", "v_proj"]), lora(2, 1.7, true, &EVERY_PROJECTION));
    let stacked = |order: [(&str, &LoraConfig); 2]| {
        let mut model = tiny::causal_lm("llama_gqa", &device);
        for (name, config) in order {
            tiny::attach(&mut model, name, config, &device).unwrap();
            tiny::fill_b(&mut model, name);
        }
        model
    };
    let mut model = stacked([("a", &a), ("bb", &b)]);
    let mut turned = stacked([("bb", &b), ("a", &a)]);
    assert_eq!(adapters(&mut model), ["a", "bb"]);
    assert_eq!(adapters(&mut turned), ["bb", "a"]);
    let notes = tiny::notes(&read_golden("llama_gqa", "golden.safetensors"));
    let batch = tiny::batch(&notes, &device);
    tiny::compare("stack", "other order", &values(turned.logits(&batch)), &values(model.logits(&batch)), F32);

    // Layer by layer, where deltas add up: y = Wx + Δa(x) + Δb(x).
    let outputs = |model: &mut CausalLm, active: &[&str]| {
        set_active(model, active).unwrap();
        let mut outputs = BTreeMap::new();
        for_each_site(model, |path, linear| {
            let [_, d_in] = linear.shape();
            let x = Tensor::<2>::from_data(
                burn::tensor::TensorData::new((0..5 * d_in).map(wave).collect::<Vec<_>>(), [5, d_in]),
                &device,
            );
            outputs.insert(path.to_owned(), values(linear.forward(x)));
        });
        outputs
    };
    let base = outputs(&mut model, &[]);
    let (only_a, only_b) = (outputs(&mut model, &["a"]), outputs(&mut model, &["bb"]));
    for (path, both) in outputs(&mut model, &["a", "bb"]) {
        let parts = base[&path].iter().zip(&only_a[&path]).zip(&only_b[&path]);
        let sum: Vec<f32> = parts.map(|((base, a), b)| a + b - base).collect();
        assert_close(&path, &both, &sum, F32);
        assert_differ(&path, &both, &base[&path]);
    }
}

/// A value between -1 and 1 for each place.
#[expect(clippy::cast_precision_loss, reason = "a few places")]
fn wave(place: usize) -> f32 {
    (place as f32 * 0.7).sin()
}

#[test]
fn every_site_and_every_tensor_is_visited_exactly_once() {
    for base in ["llama_mha", "llama_gqa"] {
        let device = Device::flex();
        let config = tiny::config(&format!("{base}/model/config.json"));
        let mut model = tiny::causal_lm(base, &device);
        let mut expected: Vec<_> = config.sites();
        if !config.tie_word_embeddings {
            expected.push(("lm_head".to_owned(), [config.vocab_size, config.hidden_size]));
        }
        let mut seen = Vec::new();
        for_each_site(&mut model, |path, linear| {
            seen.push((path.to_owned(), linear.shape()));
        });
        assert_eq!(seen, expected, "{base}");
        seen.clear();
        for_each_site(&mut tiny::classifier(base, 4, &device), |path, linear| {
            seen.push((path.to_owned(), linear.shape()));
        });
        let score = [("score".to_owned(), [4, config.hidden_size])];
        assert_eq!(seen, [config.sites(), score.to_vec()].concat(), "{base}");

        let file = std::fs::read(golden(base).join("model/model.safetensors")).unwrap();
        let file = safetensors::SafeTensors::deserialize(&file).unwrap();
        let mut stored: Vec<&str> = file.names();
        let mut names = Vec::new();
        for_each_param(&mut model, |_, name, _| names.push(name.to_owned()));
        names.sort();
        stored.sort_unstable();
        assert_eq!(names, stored, "{base}");
    }
}

/// In closed form: `r · (d_in + d_out)` for each layer that is targeted.
#[test]
fn the_trainable_count_is_the_closed_form_and_what_the_program_prints() {
    program::become_if_asked();
    let device = Device::flex().autodiff(); // without it nothing is trainable
    for case in cases() {
        let config = tiny::config(&format!("{}/model/config.json", case.base));
        let mut model = case.attached(&device);
        let targeted = config.sites().into_iter().filter(|(path, _)| case.config.targets(path));
        let closed_form: usize = targeted.map(|(_, [d_out, d_in])| case.config.r * (d_in + d_out)).sum();
        let report = report(&mut model);
        let sum = |trainable| -> usize {
            let groups = report.iter().filter(|group| group.trainable == trainable);
            groups.map(|group| group.values).sum()
        };
        assert_eq!(sum(true), closed_form, "{}", case.name);
        assert_eq!(sum(false), config.num_params(), "{}", case.name);

        let printed = program::run(
            "peft::the_trainable_count_is_the_closed_form_and_what_the_program_prints",
            &[
                "params",
                "--json",
                "--config",
                golden(case.base).join("model").to_str().unwrap(),
                "--method",
                "lora",
                "--r",
                &case.config.r.to_string(),
                "--target-modules",
                &case.config.target_modules.join(","),
            ],
        );
        assert_eq!(printed["trainable"], closed_form, "{}", case.name);
        assert_eq!(printed["total"], closed_form + config.num_params(), "{}", case.name);
    }
}

#[test]
fn dropout_acts_in_training_alone_and_keeps_the_mean() {
    let case =
        Case { config: LoraConfig { dropout_prob: 0.4, ..cases()[0].config.clone() }, ..cases().remove(0) };
    let plain = Device::flex();
    assert_eq!(
        case.logits(&case.attached(&plain), &plain),
        cases()[0].logits(&cases()[0].attached(&plain), &plain),
        "no dropout without autodiff"
    );
    let device = Device::flex().autodiff();
    let model = case.attached(&device);
    let (first, second) = (case.logits(&model, &device), case.logits(&model, &device));
    assert_differ("two passes", &first, &second);

    let mut model = case.attached(&device);
    for_each_site(&mut model, |path, linear| {
        if path != "model.layers.0.self_attn.q_proj" {
            return;
        }
        let x = Tensor::<2>::random([1, linear.shape()[1]], Distribution::Normal(0.0, 1.0), &device);
        let rows = linear.forward(x.clone().repeat_dim(0, 4096)).mean_dim(0);
        let exact = values(burn::module::Module::valid(&*linear).forward(x.inner()));
        // 4096 draws: the standard error of a delta near 1 is about 0.02.
        assert_close("mean over dropout masks", &values(rows), &exact, 0.1);
    });
}

#[test]
fn an_adapter_with_nan_is_refused_when_read_and_when_written() {
    let device = Device::flex();
    let case = &cases()[0];
    let mut model = case.attached(&device);
    let files = tiny::write(&mut model, "a", &case.config, TaskType::CausalLm, "base").unwrap();
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut damaged = files.weights.clone();
        let last = damaged.len() - 4;
        damaged[last..].copy_from_slice(&bad.to_le_bytes());
        let file = SafetensorsFile::open("adapter_model.safetensors", damaged).unwrap();
        let error = StoredAdapter::read("a", files.config_json.as_bytes(), &file, &device).unwrap_err();
        assert!(error.to_string().contains("not finite"), "{error}");
        assert!(error.to_string().contains("lora_"), "the error names the tensor: {error}");
    }
    for_each_param(&mut model, |owner, name, mut param| {
        if *owner != Owner::Base && name.contains("layers.2.self_attn.v_proj.lora_A") {
            param.set_flat(param.flat() * f32::NAN);
        }
    });
    let error = tiny::write(&mut model, "a", &case.config, TaskType::CausalLm, "base").unwrap_err();
    assert!(error.to_string().contains("layers.2.self_attn.v_proj.lora_A"), "{error}");
}

#[test]
fn a_classifier_with_two_adapters_survives_saving_and_loading_head_included() {
    let device = Device::flex();
    let mut model = parity::stacked_classifier(&device);
    let notes = tiny::notes(&read_golden("peft_stack", "golden.safetensors"));
    let batch = tiny::batch(&notes, &device);
    let before = values(model.logits(&batch));
    let configs = ["clinical", "downstream"]
        .map(|name| tiny::lora_config(&tiny::adapter(&format!("peft_stack/{name}"), name, &device)));
    let files = [
        tiny::write(&mut model, "clinical", &configs[0], TaskType::CausalLm, "base").unwrap(),
        tiny::write(&mut model, "downstream", &configs[1], TaskType::SequenceClassification, "base").unwrap(),
    ];
    let mut loaded = tiny::classifier("llama_gqa", 4, &device);
    for (name, files) in ["first", "second"].iter().zip(&files) {
        read_back(files, name, &device).attach(&mut loaded).unwrap();
    }
    assert_eq!(values(loaded.logits(&batch)), before);
}

#[test]
fn an_adapter_that_does_not_fit_is_refused_and_leaves_the_model_alone() {
    let device = Device::flex();
    let mut model = tiny::causal_lm("llama_gqa", &device);
    let base = tiny::bits(&mut model, &Owner::Base);
    // llama_mha's value projections are 24 wide, those of llama_gqa 20: three layers and both factors at once.
    let error =
        tiny::adapter("peft_lora/adapter", "foreign", &device).attach(&mut model).unwrap_err().to_string();
    assert!(
        error.contains("of another shape") && error.contains("layers.2.self_attn.v_proj.lora_B"),
        "{error}"
    );
    assert!(error.contains("layers.0.self_attn.q_proj.lora_B"), "{error}");
    for (config, part) in [
        (lora(0, 1.0, false, &["q_proj"]), "r = 0"),
        (lora(2, f64::NAN, false, &["q_proj"]), "lora_alpha"),
        (lora(2, 1.0, false, &[]), "target_modules is empty"),
        (lora(2, 1.0, false, &["q_proj", "query"]), "query matches no layer"),
        (LoraConfig { dropout_prob: 1.0, ..lora(2, 1.0, false, &["q_proj"]) }, "lora_dropout"),
    ] {
        let error = tiny::attach(&mut model, "a", &config, &device).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    assert!(adapters(&mut model).is_empty() && tiny::bits(&mut model, &Owner::Base) == base);
    tiny::attach(&mut model, "a", &cases()[1].config, &device).unwrap();
    let error = tiny::attach(&mut model, "a", &cases()[1].config, &device).unwrap_err().to_string();
    assert!(error.contains("attached already"), "{error}");
}
