//! Equal numbers with Hugging Face Transformers: logits, hidden states, losses, gradients, training curves.

use std::fs;

use burn::tensor::Device;
use clinlora_core::config::LlamaConfig;
use clinlora_core::model::batch::TokenBatch;
use clinlora_core::model::head::CausalLm;
use clinlora_core::params::{Owner, for_each_param, set_trainable};
use clinlora_tests::{F32, assert_close, golden, read_golden, values, weights};

/// A golden base and its configuration.
fn base(case: &str, config: &str, device: &Device) -> (CausalLm, LlamaConfig) {
    let folder = golden(case).join("model");
    let config = fs::read(golden(case).join(config)).expect("a golden configuration");
    let config = LlamaConfig::from_json(&config).expect("a configuration of Hugging Face");
    let mut weights = weights(&folder, device);
    let model = CausalLm::build(&config, &mut weights);
    weights.finish().expect("every tensor has its place");
    (model, config)
}

/// Values of `[B, T, ..]` at real positions only.
fn unpadded(values: &[f32], mask: &[f32]) -> Vec<f32> {
    let width = values.len() / mask.len();
    let rows = values.chunks_exact(width).zip(mask);
    rows.filter(|(_, m)| **m > 0.0)
        .flat_map(|(row, _)| row.to_vec())
        .collect()
}

fn forward_and_gradients_equal(case: &str, config: &str) {
    let device = Device::flex().autodiff();
    let (mut model, _) = base(case, config, &device);
    set_trainable(&mut model, &Owner::Base, true);
    let expected = read_golden(case, "golden.safetensors");
    let mask = &expected["attention_mask"];
    let notes = expected["input_ids"].notes(mask);
    let batch =
        TokenBatch::new(&notes.iter().map(Vec::as_slice).collect::<Vec<_>>(), &device).expect("tokens");

    let compare = |what: &str, actual: Vec<f32>, expected: &[f32]| {
        let worst = assert_close(
            what,
            &unpadded(&actual, &mask.values),
            &unpadded(expected, &mask.values),
            F32,
        );
        println!("{case} {what}: {worst:e}");
    };
    compare("logits", values(model.logits(&batch)), &expected["logits"].values);
    let mut layer = 0;
    let last = model.model.forward_observed(batch.ids(), |x| {
        let name = format!("hidden.{layer}");
        compare(&name, values(x.clone()), &expected[&name].values);
        layer += 1;
    });
    compare(
        "last hidden",
        values(last),
        &expected[&format!("hidden.{layer}")].values,
    );

    let sum = model.nll_sum(&batch);
    #[expect(clippy::cast_precision_loss, reason = "a few tokens")]
    let loss = sum / batch.num_targets() as f64;
    assert_close("loss", &values(loss.clone()), &expected["loss"].values, F32);
    let mut gradients = loss.backward();
    let mut compared = 0;
    for_each_param(&mut model, |_, name, param| {
        let gradient = param
            .take_gradient(&mut gradients)
            .unwrap_or_else(|| panic!("no gradient of {name}"));
        let worst = assert_close(
            name,
            &values(gradient),
            &expected[&format!("grad.{name}")].values,
            F32,
        );
        println!("{case} grad {name}: {worst:e}");
        compared += 1;
    });
    assert_eq!(
        compared,
        expected.keys().filter(|key| key.starts_with("grad.")).count(),
        "every gradient"
    );
}

#[test]
fn multi_head_attention_equals_transformers() {
    forward_and_gradients_equal("llama_mha", "model/config.json");
}

#[test]
fn grouped_queries_llama3_scaling_ties_and_biases_equal_transformers() {
    forward_and_gradients_equal("llama_gqa", "model/config.json");
}

#[test]
fn a_configuration_of_transformers_4_gives_the_same_numbers() {
    forward_and_gradients_equal("llama_gqa", "config_v4.json");
}
