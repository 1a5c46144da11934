//! Equal numbers with Hugging Face Transformers and PEFT: logits, hidden states, losses and gradients, f32 on the CPU.

use std::collections::BTreeMap;

use burn::tensor::{Device, Gradients};
use clinlora_core::model::head::{Classifier, classification_loss};
use clinlora_core::params::{Owner, Walk, for_each_param, set_trainable};
use clinlora_core::peft::stack::set_active;
use clinlora_core::task::TaskKind;
use clinlora_tests::{F32, Golden, assert_close, read_golden, values};

use crate::tiny;

#[test]
fn multi_head_attention_equals_transformers() {
    base_equals_transformers("llama_mha", "model/config.json");
}

#[test]
fn grouped_queries_llama3_scaling_ties_and_biases_equal_transformers() {
    base_equals_transformers("llama_gqa", "model/config.json");
}

#[test]
fn a_configuration_of_transformers_4_gives_the_same_numbers() {
    base_equals_transformers("llama_gqa", "config_v4.json");
}

/// Logits, every hidden state, the loss and the gradient of every weight.
fn base_equals_transformers(case: &str, config: &str) {
    let device = Device::flex().autodiff();
    let mut model = tiny::causal_lm_as(case, &tiny::config(&format!("{case}/{config}")), &device);
    set_trainable(&mut model, &Owner::Base, true);
    let expected = read_golden(case, "golden.safetensors");
    let mask = &expected["attention_mask"].values;
    let batch = tiny::batch(&tiny::notes(&expected), &device);
    let case = &format!("{case} ({config})");

    let compare = |what: &str, actual: Vec<f32>, expected: &[f32]| {
        let real = |values| tiny::unpadded(values, mask);
        tiny::compare(case, what, &real(&actual), &real(expected), F32);
    };
    compare("logits", values(model.logits(&batch)), &expected["logits"].values);
    let mut layer = 0;
    let last = model.model.forward_observed(batch.ids(), |x| {
        let name = format!("hidden.{layer}");
        compare(&name, values(x.clone()), &expected[&name].values);
        layer += 1;
    });
    let name = format!("hidden.{layer}");
    compare(&name, values(last), &expected[&name].values);

    let sum = model.nll_sum(&batch);
    tiny::compare(case, "loss sum", &values(sum.clone()), &expected["loss_sum"].values, 1e-4);
    #[expect(clippy::cast_precision_loss, reason = "a few tokens")]
    let loss = sum / batch.num_targets() as f64;
    tiny::compare(case, "loss", &values(loss.clone()), &expected["loss"].values, F32);
    gradients_equal(case, &mut model, loss.backward(), &expected, |_, name| Some(format!("grad.{name}")));
}

/// Compares the gradient of each tensor that `key` names with the golden one, and that no golden one is left over.
fn gradients_equal(
    case: &str,
    model: &mut dyn Walk,
    mut gradients: Gradients,
    expected: &BTreeMap<String, Golden>,
    key: impl Fn(&Owner, &str) -> Option<String>,
) {
    let mut worst = 0.0_f32;
    let mut compared = 0;
    for_each_param(model, |owner, name, param| {
        let Some(gradient) = param.take_gradient(&mut gradients) else {
            assert!(!param.is_trainable(), "no gradient of {name}");
            return;
        };
        let key = key(owner, name).unwrap_or_else(|| panic!("{name} has a gradient"));
        let difference =
            assert_close(&format!("{case} {key}"), &values(gradient), &expected[&key].values, F32);
        worst = worst.max(difference);
        compared += 1;
    });
    let golden = expected.keys().filter(|key| key.starts_with("grad.")).count();
    assert_eq!(compared, golden, "every golden gradient is compared");
    tiny::table_line(case, &format!("gradients of {compared} tensors"), worst, F32);
}

#[test]
fn a_lora_of_peft_equals_peft() {
    let device = Device::flex().autodiff();
    let expected = read_golden("peft_lora", "golden.safetensors");
    let mask = &expected["attention_mask"].values;
    let batch = tiny::batch(&tiny::notes(&expected), &device);
    let compare = |what: &str, actual: Vec<f32>| {
        let real = |values| tiny::unpadded(values, mask);
        tiny::compare("peft_lora", what, &real(&actual), &real(&expected[what].values), F32);
    };

    let mut model = tiny::causal_lm("llama_mha", &device);
    tiny::adapter("peft_lora/adapter", "lora", &device).attach(&mut model).unwrap();
    compare("logits", values(model.logits(&batch)));
    #[expect(clippy::cast_precision_loss, reason = "a few tokens")]
    let loss = model.nll_sum(&batch) / batch.num_targets() as f64;
    tiny::compare("peft_lora", "loss", &values(loss.clone()), &expected["loss"].values, F32);
    gradients_equal("peft_lora", &mut model, loss.backward(), &expected, |owner, name| {
        (*owner == Owner::Adapter("lora".into())).then(|| format!("grad.base_model.model.{name}"))
    });
    compare("merged_logits", values(tiny::merge(model).logits(&batch)));

    let mut model = tiny::causal_lm("llama_mha", &device);
    tiny::adapter("peft_lora/adapter_rslora_all", "rslora", &device).attach(&mut model).unwrap();
    compare("rslora_all_logits", values(model.logits(&batch)));
}

#[test]
fn two_stacked_adapters_of_peft_equal_peft() {
    let device = Device::flex().autodiff();
    let expected = read_golden("peft_stack", "golden.safetensors");
    let notes = tiny::notes(&expected);
    let batch = tiny::batch(&notes, &device);
    let compare = |what: &str, actual: &[f32]| {
        tiny::compare("peft_stack", what, actual, &expected[what].values, F32);
    };

    let mut language_model = tiny::causal_lm("llama_gqa", &device);
    tiny::adapter("peft_stack/clinical", "clinical", &device).attach(&mut language_model).unwrap();
    let mask = &expected["attention_mask"].values;
    tiny::compare(
        "peft_stack",
        "clinical_lm_logits",
        &tiny::unpadded(&values(language_model.logits(&batch)), mask),
        &tiny::unpadded(&expected["clinical_lm_logits"].values, mask),
        F32,
    );

    let mut model = stacked_classifier(&device);
    for (active, what) in [
        (&[][..], "logits.none"),
        (&["clinical"], "logits.clinical"),
        (&["downstream"], "logits.downstream"),
        (&["clinical", "downstream"], "logits.both"),
    ] {
        set_active(&mut model, active).unwrap();
        compare(what, &values(model.logits(&batch)));
    }
    let alone = |note: &Vec<u32>| values(model.logits(&tiny::batch(std::slice::from_ref(note), &device)));
    compare("alone.both", &notes.iter().flat_map(alone).collect::<Vec<_>>());

    let targets: Vec<Vec<f32>> = expected["class_labels"]
        .values
        .iter()
        .map(|label| (0_u8..4).map(|class| f32::from(u8::from(f32::from(class) == *label))).collect())
        .collect();
    let loss = classification_loss(TaskKind::Multiclass, model.logits(&batch), &targets, None);
    let loss = loss.sum / loss.weight;
    compare("loss", &values(loss.clone()));
    gradients_equal("peft_stack", &mut model, loss.backward(), &expected, |owner, name| match owner {
        Owner::Adapter(adapter) => Some(format!("grad.{adapter}.base_model.model.{name}")),
        Owner::Base => (name == "score.weight").then(|| format!("grad.downstream.base_model.model.{name}")),
    });
}

/// `llama_gqa` with the head and both adapters of `peft_stack`.
pub(crate) fn stacked_classifier(device: &Device) -> Classifier {
    let mut model = tiny::classifier("llama_gqa", 4, device);
    for name in ["clinical", "downstream"] {
        tiny::adapter(&format!("peft_stack/{name}"), name, device).attach(&mut model).unwrap();
    }
    model
}
